//! How a container lives and ends: `--restart`, `--health-*`, `--stop-*`, `--log-*`.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use engine::ContainerConfig;
use engine::config::{HealthTest, Healthcheck, LogConfig, LogDriver, RestartPolicy};

use super::values;

/// Options for a container's life.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Life and health")]
pub struct LifeOptions {
    /// Restart policy to apply when a container exits: no, always, unless-stopped, on-failure[:MAX]
    #[arg(long, value_name = "POLICY")]
    restart: Option<String>,
    /// Signal to stop the container
    #[arg(long, value_name = "SIGNAL")]
    stop_signal: Option<String>,
    /// Timeout (in seconds) to stop a container
    #[arg(long, value_name = "SECONDS")]
    stop_timeout: Option<i64>,
    /// Command to run to check health
    #[arg(long, value_name = "COMMAND")]
    health_cmd: Option<String>,
    /// Time between running the check (ms|s|m|h)
    #[arg(long, value_name = "DURATION")]
    health_interval: Option<String>,
    /// Maximum time to allow one check to run (ms|s|m|h)
    #[arg(long, value_name = "DURATION")]
    health_timeout: Option<String>,
    /// Start period for the container to initialize before starting health-retries countdown (ms|s|m|h)
    #[arg(long, value_name = "DURATION")]
    health_start_period: Option<String>,
    /// Time between running the check during the start period (ms|s|m|h)
    #[arg(long, value_name = "DURATION")]
    health_start_interval: Option<String>,
    /// Consecutive failures needed to report unhealthy
    #[arg(long, value_name = "NUMBER")]
    health_retries: Option<u32>,
    /// Disable any container-specified HEALTHCHECK
    #[arg(long)]
    no_healthcheck: bool,
    /// Logging driver for the container: json-file or none
    #[arg(long, value_name = "NAME")]
    log_driver: Option<String>,
    /// Log driver options: max-size, max-file
    #[arg(long, value_name = "KEY=VALUE")]
    log_opt: Vec<String>,
}

impl LifeOptions {
    pub fn apply(&self, config: &mut ContainerConfig) -> Result<()> {
        config.restart = restart_policy(self.restart.as_deref().unwrap_or(""))?;
        if config.auto_remove && config.restart != RestartPolicy::No {
            bail!("conflicting options: cannot specify both --restart and --rm");
        }
        config.stop_signal = self.stop_signal.clone();
        config.stop_timeout = self.stop_timeout.map(stop_timeout);
        config.healthcheck = self.healthcheck()?;
        config.log = log(self.log_driver.as_deref(), &self.log_opt)?;
        Ok(())
    }

    fn healthcheck(&self) -> Result<Option<Healthcheck>> {
        let read = |option: &str, text: &Option<String>| {
            text.as_deref()
                .map(|text| values::duration(option, text))
                .transpose()
        };
        let check = Healthcheck {
            test: self
                .health_cmd
                .clone()
                .filter(|command| !command.is_empty())
                .map(HealthTest::Shell),
            interval: read("--health-interval", &self.health_interval)?,
            timeout: read("--health-timeout", &self.health_timeout)?,
            start_period: read("--health-start-period", &self.health_start_period)?,
            start_interval: read("--health-start-interval", &self.health_start_interval)?,
            retries: self.health_retries,
        };
        let given = check != Healthcheck::default();
        if self.no_healthcheck && given {
            bail!("conflicting options: --no-healthcheck conflicts with --health-* options");
        }
        let off = Healthcheck {
            test: Some(HealthTest::None),
            ..Healthcheck::default()
        };
        Ok(if self.no_healthcheck {
            Some(off)
        } else {
            given.then_some(check)
        })
    }
}

/// A negative number of seconds means to wait for as long as it takes.
pub fn stop_timeout(seconds: i64) -> Duration {
    u64::try_from(seconds).map_or(Duration::MAX, Duration::from_secs)
}

/// `no`, `always`, `unless-stopped`, `on-failure`, `on-failure:5`.
pub fn restart_policy(text: &str) -> Result<RestartPolicy> {
    let (word, count) = match text.split_once(':') {
        Some((word, count)) => (word, Some(count)),
        None => (text, None),
    };
    match (word, count) {
        ("" | "no", None) => Ok(RestartPolicy::No),
        ("always", None) => Ok(RestartPolicy::Always),
        ("unless-stopped", None) => Ok(RestartPolicy::UnlessStopped),
        ("on-failure", None) => Ok(RestartPolicy::OnFailure { max_retries: None }),
        ("on-failure", Some(count)) => {
            let count = count.parse().with_context(
                || "invalid restart policy format: maximum retry count must be an integer",
            )?;
            Ok(RestartPolicy::OnFailure {
                max_retries: (count != 0).then_some(count),
            })
        }
        ("always" | "unless-stopped" | "no", Some(_)) => {
            bail!("invalid restart policy: maximum retry count can only be used with 'on-failure'")
        }
        _ => bail!(
            "invalid restart policy: unknown policy '{word}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
        ),
    }
}

fn log(driver: Option<&str>, options: &[String]) -> Result<LogConfig> {
    let driver = match driver {
        None | Some("" | "json-file") => LogDriver::JsonFile,
        Some("none") => LogDriver::None,
        Some(other) => bail!(
            "logger: no log driver named '{other}' is registered: there are json-file and none"
        ),
    };
    if driver == LogDriver::None && !options.is_empty() {
        bail!("invalid logging opts for driver none");
    }
    let mut log = LogConfig {
        driver,
        ..LogConfig::default()
    };
    for option in options {
        match option.split_once('=') {
            Some(("max-size", "-1")) => {
                bail!("max-size=-1 is refused: a log without a limit fills the disk")
            }
            Some(("max-size", size)) => log.max_size = Some(values::bytes("max-size", size)?),
            Some(("max-file", count)) => {
                let count = count.parse().ok().filter(|count| *count > 0);
                log.max_file =
                    Some(count.with_context(|| {
                        format!("max-file must be a positive number: {option}")
                    })?);
            }
            Some(("labels", names)) => log.labels = list(names),
            Some(("env", names)) => log.env = list(names),
            // How docker does it without being asked, and how it is done here.
            Some(("mode", "blocking") | ("compress", "false")) => {}
            _ => bail!(
                "unknown log opt '{option}' for json-file log driver: there are max-size, max-file, labels and env"
            ),
        }
    }
    Ok(log)
}

/// `a,b`.
fn list(text: &str) -> Vec<String> {
    let names = text.split(',').map(str::trim);
    names
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}
