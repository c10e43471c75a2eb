//! Limits (`-m`, `--cpus`, `--pids-limit`, `--ulimit` ...) and devices.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use engine::ContainerConfig;
use engine::config::{Device, Resources, Ulimit};

use super::values;

/// Options for limits; `update` has the first part of them too.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Limits")]
pub struct LimitOptions {
    /// Memory limit
    #[arg(short, long, value_name = "BYTES")]
    memory: Option<String>,
    /// Swap limit equal to memory plus swap: '-1' to enable unlimited swap
    #[arg(long, value_name = "BYTES")]
    memory_swap: Option<String>,
    /// Memory soft limit
    #[arg(long, value_name = "BYTES")]
    memory_reservation: Option<String>,
    /// Tune container memory swappiness (0 to 100; cgroup v1 only)
    #[arg(long, value_name = "0-100")]
    memory_swappiness: Option<i64>,
    /// Disable OOM Killer (cgroup v1 only)
    #[arg(long)]
    oom_kill_disable: bool,
    /// Number of CPUs
    #[arg(long, value_name = "DECIMAL")]
    cpus: Option<String>,
    /// CPU shares (relative weight)
    #[arg(short, long, value_name = "WEIGHT")]
    cpu_shares: Option<u64>,
    /// Limit CPU CFS (Completely Fair Scheduler) period, in microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_period: Option<u64>,
    /// Limit CPU CFS (Completely Fair Scheduler) quota, in microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_quota: Option<i64>,
    /// CPUs in which to allow execution (0-3, 0,1)
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,
    /// MEMs in which to allow execution (0-3, 0,1)
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<String>,
    /// Tune container pids limit (set -1 for unlimited)
    #[arg(long, value_name = "NUMBER")]
    pids_limit: Option<i64>,
    /// Block IO (relative weight), between 10 and 1000, or 0 to disable
    #[arg(long, value_name = "WEIGHT")]
    blkio_weight: Option<u16>,
    /// Block IO weight (relative device weight)
    #[arg(long, value_name = "DEVICE:WEIGHT")]
    blkio_weight_device: Vec<String>,
    /// Limit read rate (bytes per second) from a device
    #[arg(long, value_name = "DEVICE:RATE")]
    device_read_bps: Vec<String>,
    /// Limit write rate (bytes per second) to a device
    #[arg(long, value_name = "DEVICE:RATE")]
    device_write_bps: Vec<String>,
    /// Limit read rate (IO per second) from a device
    #[arg(long, value_name = "DEVICE:RATE")]
    device_read_iops: Vec<String>,
    /// Limit write rate (IO per second) to a device
    #[arg(long, value_name = "DEVICE:RATE")]
    device_write_iops: Vec<String>,
    /// Ulimit options
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    ulimit: Vec<String>,
    /// Size of /dev/shm
    #[arg(long, value_name = "BYTES")]
    shm_size: Option<String>,
    /// Tune host's OOM preferences (-1000 to 1000)
    #[arg(long, value_name = "NUMBER")]
    oom_score_adj: Option<i32>,
}

impl LimitOptions {
    /// The limits that were given.
    pub fn resources(&self) -> Result<Resources> {
        if self.cpus.is_some() && (self.cpu_period.is_some() || self.cpu_quota.is_some()) {
            bail!("conflicting options: --cpus cannot be used with --cpu-period or --cpu-quota");
        }
        Ok(Resources {
            memory: size("-m, --memory", self.memory.as_deref())?,
            memory_swap: self
                .memory_swap
                .as_deref()
                .map(|text| values::bytes_or_unlimited("--memory-swap", text))
                .transpose()?,
            memory_reservation: size("--memory-reservation", self.memory_reservation.as_deref())?,
            memory_swappiness: swappiness(self.memory_swappiness)?,
            oom_kill_disable: self.oom_kill_disable,
            nano_cpus: self.cpus.as_deref().map(nano_cpus).transpose()?,
            cpu_shares: self.cpu_shares,
            cpu_quota: self.cpu_quota,
            cpu_period: self.cpu_period,
            cpuset_cpus: self.cpuset_cpus.clone(),
            cpuset_mems: self.cpuset_mems.clone(),
            pids: self.pids_limit,
            blkio_weight: self.blkio_weight.filter(|weight| *weight != 0),
            blkio_weight_device: each_device(
                "--blkio-weight-device",
                &self.blkio_weight_device,
                |text| text.parse().ok(),
            )?,
            device_read_bps: rates("--device-read-bps", &self.device_read_bps)?,
            device_write_bps: rates("--device-write-bps", &self.device_write_bps)?,
            device_read_iops: each_device("--device-read-iops", &self.device_read_iops, |text| {
                text.parse().ok()
            })?,
            device_write_iops: each_device(
                "--device-write-iops",
                &self.device_write_iops,
                |text| text.parse().ok(),
            )?,
            ulimits: self
                .ulimit
                .iter()
                .map(|text| ulimit(text))
                .collect::<Result<_>>()?,
            // Zero is docker's word for the default; for tmpfs it is no limit at all.
            shm_size: size("--shm-size", self.shm_size.as_deref())?.filter(|size| *size > 0),
            oom_score_adj: self.oom_score_adj.map(oom_score).transpose()?,
        })
    }
}

/// Options for devices.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Devices")]
pub struct DeviceOptions {
    /// Add a host device to the container
    #[arg(long, value_name = "HOST[:CONTAINER[:rwm]]")]
    device: Vec<String>,
    /// Add a rule to the cgroup allowed devices list
    #[arg(long, value_name = "RULE")]
    device_cgroup_rule: Vec<String>,
}

impl DeviceOptions {
    pub fn apply(&self, config: &mut ContainerConfig) -> Result<()> {
        config.devices = self
            .device
            .iter()
            .map(|text| device(text))
            .collect::<Result<_>>()?;
        for rule in &self.device_cgroup_rule {
            check_device_rule(rule)?;
        }
        config.device_cgroup_rules = self.device_cgroup_rule.clone();
        Ok(())
    }
}

fn size(option: &str, text: Option<&str>) -> Result<Option<u64>> {
    text.map(|text| values::bytes(option, text)).transpose()
}

fn swappiness(given: Option<i64>) -> Result<Option<u64>> {
    match given {
        None | Some(-1) => Ok(None),
        Some(value @ 0..=100) => Ok(Some(value.unsigned_abs())),
        Some(other) => bail!("invalid value: {other}. Valid memory swappiness range is 0-100"),
    }
}

fn oom_score(value: i32) -> Result<i32> {
    if !(-1000..=1000).contains(&value) {
        bail!("invalid value {value}, range for oom score adj is [-1000, 1000]");
    }
    Ok(value)
}

/// Processors in billionths: `1.5` is 1 500 000 000. Digits are counted, not floated.
fn nano_cpus(text: &str) -> Result<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
        bail!(
            "invalid argument {text:?} for \"--cpus\": failed to parse {text} as a rational number"
        );
    }
    if fraction.len() > 9 {
        bail!("invalid argument {text:?} for \"--cpus\": value is too precise");
    }
    format!("{whole}{fraction:0<9}")
        .parse()
        .with_context(|| format!("--cpus {text} is too large"))
}

fn rates(option: &str, given: &[String]) -> Result<Vec<(PathBuf, u64)>> {
    each_device(option, given, |text| values::bytes(option, text).ok())
}

fn each_device<T>(
    option: &str,
    given: &[String],
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Vec<(PathBuf, T)>> {
    given
        .iter()
        .map(|text| {
            let (path, value) = text
                .rsplit_once(':')
                .with_context(|| format!("bad format: {text} for {option:?}"))?;
            if !path.starts_with("/dev/") {
                bail!("bad format for device path: {text} for {option:?}");
            }
            let value = parse(value)
                .with_context(|| format!("invalid rate or weight in {text} for {option:?}"))?;
            Ok((PathBuf::from(path), value))
        })
        .collect()
}

const ULIMITS: &[&str] = &[
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// `nofile=1024:2048`; one number is both, -1 is unlimited.
pub fn ulimit(text: &str) -> Result<Ulimit> {
    let (name, limits) = text
        .split_once('=')
        .with_context(|| format!("invalid ulimit argument: {text}"))?;
    if !ULIMITS.contains(&name) {
        bail!("invalid ulimit type: {name}");
    }
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let number = |limit: &str| match limit {
        "unlimited" => Ok(-1),
        limit => limit
            .parse::<i64>()
            .ok()
            .filter(|n| *n >= -1)
            .with_context(|| format!("invalid ulimit value {limit:?} in {text}")),
    };
    let (soft, hard) = (number(soft)?, number(hard)?);
    if hard >= 0 && (soft > hard || soft < 0) {
        bail!("ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}");
    }
    Ok(Ulimit {
        name: name.into(),
        soft,
        hard,
    })
}

/// `/dev/fuse`, `/dev/sda:/dev/xvda`, `/dev/sda:r`, `/dev/sda:/dev/xvda:rwm`.
fn device(text: &str) -> Result<Device> {
    let is_mode = |word: &str| !word.is_empty() && word.chars().all(|c| "rwm".contains(c));
    let parts: Vec<&str> = text.split(':').collect();
    let (host, container, mode) = match parts[..] {
        [host] => (host, host, "rwm"),
        [host, mode] if is_mode(mode) => (host, host, mode),
        [host, container] => (host, container, "rwm"),
        [host, container, mode] if is_mode(mode) => (host, container, mode),
        _ => bail!("invalid device specification: {text}"),
    };
    if host.is_empty() || !container.starts_with('/') {
        bail!("{text} is not an absolute path");
    }
    Ok(Device {
        host: host.into(),
        container: container.into(),
        permissions: mode.into(),
    })
}

/// `c 42:* rmw`.
fn check_device_rule(rule: &str) -> Result<()> {
    let number =
        |text: &str| text == "*" || (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()));
    let words: Vec<&str> = rule.split(' ').collect();
    let good = match words[..] {
        [kind, numbers, mode] => {
            matches!(kind, "a" | "b" | "c")
                && numbers
                    .split_once(':')
                    .is_some_and(|(major, minor)| number(major) && number(minor))
                && (1..=3).contains(&mode.len())
                && mode.chars().all(|c| "rwm".contains(c))
        }
        _ => false,
    };
    if !good {
        bail!("invalid device cgroup format '{rule}'");
    }
    Ok(())
}
