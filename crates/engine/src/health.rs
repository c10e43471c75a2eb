//! Health: when to check, and what a result means. Pure; `monitor/probe.rs` runs the checks.
//!
//! docker's rules: `starting` until the first success or until failures count; in the start period failures do not count
//! and checks come every `start_interval`; so many failures in a row make it unhealthy, one success healthy again.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::{HealthTest, Healthcheck};
use crate::list::HealthStatus;

/// Results kept, as docker keeps them.
const KEPT: usize = 5;
/// Bytes of one check's output that are kept, as docker keeps them.
pub(crate) const OUTPUT_LIMIT: usize = 4096;

/// A health check with every field decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Check {
    /// Program and arguments.
    pub(crate) command: Vec<String>,
    /// Between two checks.
    pub(crate) interval: Duration,
    /// For one check.
    pub(crate) timeout: Duration,
    /// Failures do not count for so long.
    pub(crate) start_period: Duration,
    /// Between two checks in the start period.
    pub(crate) start_interval: Duration,
    /// Failures in a row.
    pub(crate) retries: u32,
}

impl Check {
    /// With docker's defaults; none when there is nothing to run. `shell` is the image's SHELL.
    pub(crate) fn from(wish: &Healthcheck, shell: &[String]) -> Option<Self> {
        let or = |field: Option<Duration>, default: u64| {
            field
                .filter(|d| !d.is_zero())
                .unwrap_or(Duration::from_secs(default))
        };
        Some(Self {
            command: command(wish.test.as_ref()?, shell)?,
            interval: or(wish.interval, 30),
            timeout: or(wish.timeout, 30),
            start_period: wish.start_period.unwrap_or_default(),
            start_interval: or(wish.start_interval, 5),
            retries: wish.retries.filter(|n| *n > 0).unwrap_or(3),
        })
    }

    /// How long to wait before the next check of a container that has been up for `up`.
    pub(crate) fn pause(&self, status: HealthStatus, up: Duration) -> Duration {
        if status == HealthStatus::Starting && up < self.start_period {
            self.start_interval
        } else {
            self.interval
        }
    }
}

fn command(test: &HealthTest, shell: &[String]) -> Option<Vec<String>> {
    match test {
        HealthTest::None => None,
        HealthTest::Command(args) => (!args.is_empty()).then(|| args.clone()),
        HealthTest::Shell(line) => {
            let mut command = if shell.is_empty() {
                vec!["/bin/sh".to_owned(), "-c".to_owned()]
            } else {
                shell.to_vec()
            };
            command.push(line.clone());
            Some(command)
        }
    }
}

/// Health so far, kept in the container's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Health {
    /// Verdict.
    pub(crate) status: HealthStatus,
    /// Failures in a row.
    pub(crate) failing_streak: u32,
    /// The last few results, oldest first.
    pub(crate) log: Vec<Probe>,
}

/// One result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Probe {
    /// When it began.
    pub(crate) start: Timestamp,
    /// When it ended.
    pub(crate) end: Timestamp,
    /// 0 is healthy; -1 took too long or could not be run.
    pub(crate) exit_code: i32,
    /// What it printed, at most 4096 bytes.
    pub(crate) output: String,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            status: HealthStatus::Starting,
            failing_streak: 0,
            log: Vec::new(),
        }
    }
}

impl Health {
    /// Takes in one result of a container that had been up for `up` when the check began. True when the verdict changed.
    pub(crate) fn take(&mut self, check: &Check, probe: Probe, up: Duration) -> bool {
        let before = self.status;
        if probe.exit_code == 0 {
            self.failing_streak = 0;
            self.status = HealthStatus::Healthy;
        } else if before != HealthStatus::Starting || up >= check.start_period {
            self.failing_streak += 1;
            if self.failing_streak >= check.retries {
                self.status = HealthStatus::Unhealthy;
            }
        }
        if self.log.len() == KEPT {
            self.log.remove(0);
        }
        self.log.push(probe);
        self.status != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(start_period: u64) -> Check {
        Check::from(
            &Healthcheck {
                test: Some(HealthTest::Shell("true".into())),
                start_period: Some(Duration::from_secs(start_period)),
                ..Healthcheck::default()
            },
            &[],
        )
        .unwrap()
    }

    fn probe(exit_code: i32) -> Probe {
        let now = Timestamp::UNIX_EPOCH;
        Probe {
            start: now,
            end: now,
            exit_code,
            output: String::new(),
        }
    }

    #[test]
    fn docker_defaults() {
        let check = check(0);
        assert_eq!(check.command, ["/bin/sh", "-c", "true"]);
        assert_eq!(
            (
                check.interval.as_secs(),
                check.timeout.as_secs(),
                check.retries
            ),
            (30, 30, 3)
        );
    }

    #[test]
    fn three_failures_in_a_row_make_it_unhealthy_and_one_success_healthy() {
        let (check, mut health) = (check(0), Health::default());
        let up = Duration::from_secs(1);
        assert!(!health.take(&check, probe(1), up));
        assert!(!health.take(&check, probe(1), up));
        assert_eq!(health.status, HealthStatus::Starting);
        assert!(health.take(&check, probe(1), up));
        assert_eq!(health.status, HealthStatus::Unhealthy);
        assert!(health.take(&check, probe(0), up));
        assert_eq!(
            (health.status, health.failing_streak),
            (HealthStatus::Healthy, 0)
        );
        assert_eq!(health.log.len(), 4);
    }

    #[test]
    fn failures_in_the_start_period_do_not_count_until_it_was_healthy_once() {
        let (check, mut health) = (check(60), Health::default());
        let early = Duration::from_secs(1);
        for _ in 0..9 {
            health.take(&check, probe(1), early);
        }
        assert_eq!(
            (health.status, health.failing_streak),
            (HealthStatus::Starting, 0)
        );
        assert_eq!(check.pause(health.status, early), Duration::from_secs(5));
        health.take(&check, probe(0), early);
        assert_eq!(check.pause(health.status, early), Duration::from_secs(30));
        for _ in 0..3 {
            health.take(&check, probe(1), early);
        }
        assert_eq!(health.status, HealthStatus::Unhealthy);
        assert_eq!(health.log.len(), KEPT);
    }

    #[test]
    fn none_runs_nothing() {
        let none = Healthcheck {
            test: Some(HealthTest::None),
            ..Healthcheck::default()
        };
        assert!(Check::from(&none, &[]).is_none());
        assert!(Check::from(&Healthcheck::default(), &[]).is_none());
    }
}
