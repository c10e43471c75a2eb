//! When an ended container is started again, and after how long: pure decisions.
//!
//! docker's rules: 100 ms at first, doubled at each restart up to a minute, and back to the start once the container stayed
//! up for ten seconds.

use std::time::Duration;

use crate::config::RestartPolicy;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(60);
const STABLE: Duration = Duration::from_secs(10);

/// How the last run ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ending {
    /// Exit code.
    pub(crate) code: i32,
    /// How long it was up.
    pub(crate) up: Duration,
    /// Somebody asked it to end.
    pub(crate) stopped: bool,
}

/// What was done before.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Restarts {
    /// Restarts so far.
    pub(crate) count: u32,
    /// The pause before the last of them.
    pub(crate) pause: Duration,
}

/// The restarts to come, or none when the container stays down. The pause in it comes first.
pub(crate) fn next(policy: RestartPolicy, ending: Ending, before: Restarts) -> Option<Restarts> {
    if ending.stopped {
        return None;
    }
    let again = match policy {
        RestartPolicy::No => false,
        RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
        RestartPolicy::OnFailure { max_retries } => {
            ending.code != 0 && max_retries.is_none_or(|most| before.count < most)
        }
    };
    again.then(|| Restarts {
        count: before.count.saturating_add(1),
        pause: pause(ending.up, before.pause),
    })
}

fn pause(up: Duration, before: Duration) -> Duration {
    if up >= STABLE || before.is_zero() {
        FIRST
    } else {
        (before * 2).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(up: u64) -> Ending {
        Ending {
            code: 1,
            up: Duration::from_secs(up),
            stopped: false,
        }
    }

    #[test]
    fn the_pause_doubles_to_a_minute_and_starts_over_after_ten_good_seconds() {
        let mut restarts = Restarts::default();
        let mut pauses = Vec::new();
        for _ in 0..12 {
            restarts = next(RestartPolicy::Always, failed(0), restarts).unwrap();
            pauses.push(restarts.pause.as_millis());
        }
        assert_eq!(
            pauses,
            [
                100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000
            ]
        );
        let calm = next(RestartPolicy::Always, failed(10), restarts).unwrap();
        assert_eq!((calm.count, calm.pause.as_millis()), (13, 100));
    }

    #[test]
    fn on_failure_counts_failures_only_and_ends() {
        let twice = RestartPolicy::OnFailure {
            max_retries: Some(2),
        };
        let good = Ending {
            code: 0,
            ..failed(0)
        };
        assert!(next(twice, good, Restarts::default()).is_none());
        let one = next(twice, failed(0), Restarts::default()).unwrap();
        let two = next(twice, failed(0), one).unwrap();
        assert!(next(twice, failed(0), two).is_none());
        let endless = RestartPolicy::OnFailure { max_retries: None };
        assert!(next(endless, failed(0), Restarts { count: 9999, ..two }).is_some());
    }

    #[test]
    fn what_somebody_stopped_stays_down() {
        let stopped = Ending {
            stopped: true,
            ..failed(0)
        };
        for policy in [RestartPolicy::Always, RestartPolicy::UnlessStopped] {
            assert!(next(policy, stopped, Restarts::default()).is_none());
        }
        assert!(next(RestartPolicy::No, failed(0), Restarts::default()).is_none());
    }
}
