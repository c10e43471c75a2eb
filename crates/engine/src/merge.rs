//! The wish laid over the image: what `docker inspect` shows as a container's configuration.
//!
//! In: a [`ContainerConfig`] and the image's [`image::ImageConfig`]. Out: a `ContainerConfig` in which nothing more is
//! to be asked of the image. The rules are docker's: a wish replaces; environment, labels, exposed ports and volumes add up; a
//! new entrypoint drops the image's command; a health check is taken field by field.

use std::time::Duration;

use image::ImageConfig;

use crate::config::{ContainerConfig, ExposedPort, HealthTest, Healthcheck, Protocol};
use crate::{Error, Result};

impl ContainerConfig {
    /// Lays this wish over an image's configuration.
    ///
    /// # Errors
    /// When the image's own configuration holds something that is none (a port `abc/tcp`).
    pub fn over(mut self, image: &ImageConfig) -> Result<Self> {
        let base = &image.config;
        if self.entrypoint.is_none() {
            self.entrypoint.clone_from(&base.entrypoint);
            if self.command.is_none() {
                self.command.clone_from(&base.cmd);
            }
        }
        self.env = lay_environment(&base.env, &self.env);
        self.user = self.user.or_else(|| filled(&base.user));
        self.workdir = self.workdir.or_else(|| filled(&base.working_dir));
        self.stop_signal = self.stop_signal.or_else(|| base.stop_signal.clone());
        self.stop_timeout = self.stop_timeout.or(base.stop_timeout.and_then(seconds));
        for (key, value) in &base.labels {
            self.labels
                .entry(key.clone())
                .or_insert_with(|| value.clone());
        }
        for port in base.exposed_ports.keys() {
            let port = exposed(port)?;
            if !self.exposed.contains(&port) {
                self.exposed.push(port);
            }
        }
        for volume in base.volumes.keys() {
            if !self.image_volumes.contains(volume) {
                self.image_volumes.push(volume.clone());
            }
        }
        self.healthcheck = lay_healthcheck(base.healthcheck.as_ref(), self.healthcheck);
        Ok(self)
    }

    /// Entrypoint and command: what is exec'd.
    pub fn arguments(&self) -> Vec<String> {
        let entrypoint = self.entrypoint.iter().flatten();
        entrypoint
            .chain(self.command.iter().flatten())
            .cloned()
            .collect()
    }
}

/// `base` with the variables of `over` put in their places or at the end; `NAME` alone takes one away.
pub(crate) fn lay_environment(base: &[String], over: &[String]) -> Vec<String> {
    fn name(variable: &str) -> &str {
        variable.split_once('=').map_or(variable, |(name, _)| name)
    }
    let mut sum: Vec<String> = Vec::with_capacity(base.len() + over.len());
    for variable in base.iter().chain(over) {
        let place = sum.iter().position(|there| name(there) == name(variable));
        match (place, variable.contains('=')) {
            (Some(place), true) => sum[place].clone_from(variable),
            (Some(place), false) => drop(sum.remove(place)),
            (None, true) => sum.push(variable.clone()),
            (None, false) => {}
        }
    }
    sum
}

fn lay_healthcheck(
    base: Option<&image::HealthCheck>,
    wish: Option<Healthcheck>,
) -> Option<Healthcheck> {
    let Some(base) = base.map(from_image) else {
        return wish;
    };
    let wish = wish.unwrap_or_default();
    Some(Healthcheck {
        test: wish.test.or(base.test),
        interval: wish.interval.or(base.interval),
        timeout: wish.timeout.or(base.timeout),
        start_period: wish.start_period.or(base.start_period),
        start_interval: wish.start_interval.or(base.start_interval),
        retries: wish.retries.or(base.retries),
    })
}

fn from_image(check: &image::HealthCheck) -> Healthcheck {
    let nanos = |n: i64| {
        u64::try_from(n)
            .ok()
            .filter(|n| *n > 0)
            .map(Duration::from_nanos)
    };
    Healthcheck {
        test: test(&check.test),
        interval: nanos(check.interval),
        timeout: nanos(check.timeout),
        start_period: nanos(check.start_period),
        start_interval: nanos(check.start_interval),
        retries: u32::try_from(check.retries).ok().filter(|n| *n > 0),
    }
}

fn test(words: &[String]) -> Option<HealthTest> {
    match words {
        [kind, ..] if kind == "NONE" => Some(HealthTest::None),
        [kind, args @ ..] if kind == "CMD" => Some(HealthTest::Command(args.to_vec())),
        [kind, line, ..] if kind == "CMD-SHELL" => Some(HealthTest::Shell(line.clone())),
        _ => None,
    }
}

fn exposed(text: &str) -> Result<ExposedPort> {
    let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = match protocol {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        _ => {
            return Err(Error::invalid(
                "exposed port of the image",
                text,
                "the protocol is tcp, udp or sctp",
            ));
        }
    };
    let port =
        port.parse().ok().filter(|port| *port > 0).ok_or_else(|| {
            Error::invalid("exposed port of the image", text, "a port is 1 to 65535")
        })?;
    Ok(ExposedPort { port, protocol })
}

fn filled(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn seconds(n: i64) -> Option<Duration> {
    u64::try_from(n).ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(json: &str) -> ImageConfig {
        serde_json::from_str(json).unwrap()
    }

    fn strings(words: &[&str]) -> Option<Vec<String>> {
        Some(words.iter().map(|w| (*w).to_owned()).collect())
    }

    #[test]
    fn a_new_entrypoint_drops_the_images_command() {
        let image = image(r#"{"config":{"Entrypoint":["/e"],"Cmd":["a","b"]}}"#);
        let run = |entrypoint, command| {
            let wish = ContainerConfig {
                entrypoint,
                command,
                ..ContainerConfig::default()
            };
            wish.over(&image).unwrap().arguments().join(" ")
        };
        assert_eq!(run(None, None), "/e a b");
        assert_eq!(run(None, strings(&["c"])), "/e c");
        assert_eq!(run(strings(&["/x"]), None), "/x");
        assert_eq!(run(strings(&[]), strings(&["c"])), "c");
    }

    #[test]
    fn environment_keeps_its_order_and_can_be_taken_away() {
        let base = ["PATH=/bin", "A=1", "B=2"].map(String::from);
        let over = ["A=9", "B", "C=x=y"].map(String::from);
        assert_eq!(lay_environment(&base, &over), ["PATH=/bin", "A=9", "C=x=y"]);
    }

    #[test]
    fn a_health_check_is_taken_field_by_field() {
        let image = image(
            r#"{"config":{"Healthcheck":{"Test":["CMD","a"],"Interval":2000000000,"Retries":7}}}"#,
        );
        let wish = ContainerConfig {
            healthcheck: Some(Healthcheck {
                retries: Some(2),
                ..Healthcheck::default()
            }),
            ..ContainerConfig::default()
        };
        let check = wish.over(&image).unwrap().healthcheck.unwrap();
        assert_eq!(check.test, Some(HealthTest::Command(vec!["a".into()])));
        assert_eq!(
            (check.interval, check.retries),
            (Some(Duration::from_secs(2)), Some(2))
        );
    }

    #[test]
    fn labels_ports_and_volumes_add_up() {
        let image = image(
            r#"{"config":{"Labels":{"a":"image","b":"image"},"ExposedPorts":{"80/tcp":{},"53/udp":{}},"Volumes":{"/data":{}}}}"#,
        );
        let mut wish = ContainerConfig::default();
        wish.labels.insert("a".into(), "wish".into());
        let sum = wish.over(&image).unwrap();
        assert_eq!(
            (sum.labels["a"].as_str(), sum.labels["b"].as_str()),
            ("wish", "image")
        );
        assert_eq!(sum.exposed.len(), 2);
        assert_eq!(sum.image_volumes, ["/data"]);
    }
}
