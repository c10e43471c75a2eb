//! An image's config: what to run, and which layers make its root
//! (image-spec: config.md, with Docker's additions).
//!
//! Docker's Healthcheck, OnBuild, Shell and every member we do not know are
//! kept. What is stored and pushed are the original bytes, never this type's
//! rendering, unless an image is made anew.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::json::{JsonError, null_as_empty, parse};
use crate::{Digest, Platform};

const LABELS_LIMIT: usize = 256 << 10;

/// The config of an image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// When it was made, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Go's name of the processor.
    #[serde(default)]
    pub architecture: String,
    /// `linux` for everything lighter runs.
    #[serde(default)]
    pub os: String,
    /// The processor's variant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// How to run it.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub config: RunConfig,
    /// What its root is made of.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub rootfs: RootFs,
    /// How each layer came to be, oldest first.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_as_empty"
    )]
    pub history: Vec<History>,
    /// Members we do not know, kept.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// How to run a container of an image; the names are Docker's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RunConfig {
    /// `user`, `uid`, `user:group`, or empty for root.
    #[serde(
        default,
        skip_serializing_if = "String::is_empty",
        deserialize_with = "null_as_empty"
    )]
    pub user: String,
    /// Keys like `80/tcp`.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "null_as_empty"
    )]
    pub exposed_ports: BTreeMap<String, Empty>,
    /// `NAME=value`.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_as_empty"
    )]
    pub env: Vec<String>,
    /// The program and its first arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// More arguments, or the program when there is no entrypoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// Absolute paths that get a volume each.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "null_as_empty"
    )]
    pub volumes: BTreeMap<String, Empty>,
    /// Where the program starts.
    #[serde(
        default,
        skip_serializing_if = "String::is_empty",
        deserialize_with = "null_as_empty"
    )]
    pub working_dir: String,
    /// Notes for people and tools.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "null_as_empty"
    )]
    pub labels: BTreeMap<String, String>,
    /// Stops the program, `SIGTERM` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// Seconds from the stop signal to SIGKILL (Docker's addition).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i64>,
    /// How to ask whether it is well (Docker's addition).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<HealthCheck>,
    /// Instructions for builds on top (Docker's addition).
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_as_empty"
    )]
    pub on_build: Vec<String>,
    /// What runs commands given as text (Docker's addition).
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_as_empty"
    )]
    pub shell: Vec<String>,
    /// Members we do not know, kept.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Docker's health check; durations are nanoseconds, 0 means inherit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HealthCheck {
    /// `["NONE"]`, `["CMD", ...]` or `["CMD-SHELL", "..."]`; empty inherits.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_as_empty"
    )]
    pub test: Vec<String>,
    /// Between two checks.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub interval: i64,
    /// For one check.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub timeout: i64,
    /// After the start, when failures do not count.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub start_period: i64,
    /// Between two checks in the start period.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub start_interval: i64,
    /// Failures in a row that make it unhealthy.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retries: i64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(value: &i64) -> bool {
    *value == 0
}

/// `{}`, the value of Go's sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

/// The layers, by the digest of their plain tar archive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(default, rename = "type")]
    pub kind: String,
    /// Bottom first.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub diff_ids: Vec<Digest>,
}

/// One step of an image's making.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// When, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// The command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// Who.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Whether the step made no layer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
    /// Members we do not know, kept.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl ImageConfig {
    /// Reads a config; refuses labels of more than 256 KiB together.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        let config: Self = parse(bytes)?;
        let labels: usize = config
            .config
            .labels
            .iter()
            .map(|(k, v)| k.len() + v.len())
            .sum();
        if labels > LABELS_LIMIT {
            return Err(JsonError::Rule(format!(
                "its labels have {labels} bytes; at most {LABELS_LIMIT} are read"
            )));
        }
        Ok(config)
    }

    /// The bytes of a config made here.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Where the image runs.
    pub fn platform(&self) -> Platform {
        Platform::of(&self.os, &self.architecture, self.variant.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dockers_members_and_unknown_ones_survive() {
        let text = r#"{"architecture":"amd64","os":"linux","docker_version":"20.10","config":{"Env":null,
            "Healthcheck":{"Test":["CMD","true"],"Interval":5000000000},"OnBuild":["RUN x"],"Shell":["/bin/bash","-c"],
            "ArgsEscaped":true,"ExposedPorts":{"80/tcp":{}}},"rootfs":{"type":"layers","diff_ids":null},"history":null}"#;
        let config = ImageConfig::parse(text.as_bytes()).unwrap();
        assert_eq!(
            config.config.healthcheck.as_ref().unwrap().interval,
            5_000_000_000
        );
        assert_eq!(config.config.shell, ["/bin/bash", "-c"]);
        let again = serde_json::to_value(&config).unwrap();
        assert_eq!(again["docker_version"], "20.10");
        assert_eq!(again["config"]["ArgsEscaped"], true);
        assert_eq!(
            serde_json::from_value::<ImageConfig>(again).unwrap(),
            config
        );
    }

    #[test]
    fn a_config_of_nulls_is_empty() {
        let config = ImageConfig::parse(br#"{"config":null,"rootfs":null}"#).unwrap();
        assert_eq!(config, ImageConfig::default());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = ImageConfig::parse(&bytes);
        }
    }
}
