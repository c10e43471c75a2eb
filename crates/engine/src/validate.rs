//! What can never be, refused when a container is made and not when it is started.

use crate::config::{
    ContainerConfig, HealthTest, LogDriver, MountSource, NetworkMode, RestartPolicy,
};
use crate::spec::{self, Surroundings};
use crate::{Error, Result, stop};

/// Checks a whole wish; returns what has no effect here, one sentence each.
pub(crate) fn check(config: &ContainerConfig) -> Result<Vec<String>> {
    // Everything a spec is made of is checked by making one, with invented surroundings.
    let mut invented = Surroundings {
        root: "/".into(),
        ..Surroundings::default()
    };
    for (device, ..) in limited_devices(config) {
        invented.device_numbers.insert(device, (0, 0));
    }
    spec::spec(config, &invented)?;
    for mount in &config.mounts {
        target(&mount.target)?;
        if let MountSource::Bind { path, create, .. } = &mount.source {
            bind(path, *create)?;
        }
    }
    processors(config)?;
    if let Some(signal) = &config.stop_signal {
        stop::signal_number(signal)?;
    }
    if config.auto_remove && config.restart != RestartPolicy::No {
        return Err(Error::invalid(
            "restart policy",
            config.restart.word(),
            "it cannot go with --rm",
        ));
    }
    names(config)?;
    network(config)?;
    Ok(warnings(config))
}

/// Every device that block I/O limits name.
pub(crate) fn limited_devices(
    config: &ContainerConfig,
) -> impl Iterator<Item = (std::path::PathBuf, ())> {
    let r = &config.resources;
    let rates = [
        &r.device_read_bps,
        &r.device_write_bps,
        &r.device_read_iops,
        &r.device_write_iops,
    ];
    let rates = rates.into_iter().flatten().map(|(path, _)| path);
    rates
        .chain(r.blkio_weight_device.iter().map(|(path, _)| path))
        .map(|path| (path.clone(), ()))
}

/// A share of more processors than there are would never be reached.
fn processors(config: &ContainerConfig) -> Result<()> {
    let Some(nanos) = config.resources.nano_cpus.filter(|n| *n > 0) else {
        return Ok(());
    };
    let here = rustix::thread::sched_getaffinity(None)
        .map_err(|e| Error::system("count the processors")(e.into()))?
        .count();
    if !(10_000_000..=u64::from(here) * 1_000_000_000).contains(&nanos) {
        let shown = format!("{}.{:02}", nanos / 1_000_000_000, nanos / 10_000_000 % 100);
        let why = format!("the range is from 0.01 to {here}.00: that many processors are here");
        return Err(Error::invalid("cpus", shown, why));
    }
    Ok(())
}

fn target(path: &str) -> Result<()> {
    let refuse = |why| Err(Error::invalid("mount target", path, why));
    if !path.starts_with('/') {
        return refuse("it must be absolute");
    }
    if path.split('/').all(|part| part.is_empty() || part == ".") {
        return refuse("it cannot be the container's root");
    }
    if path.split('/').any(|part| part == "..") || path.contains('\0') {
        return refuse("it must not hold `..`");
    }
    Ok(())
}

fn bind(path: &std::path::Path, create: bool) -> Result<()> {
    let shown = path.display().to_string();
    if !path.is_absolute() {
        return Err(Error::invalid("bind source", shown, "it must be absolute"));
    }
    if !create && !path.exists() {
        return Err(Error::invalid(
            "bind source",
            shown,
            "it does not exist on this host",
        ));
    }
    Ok(())
}

fn names(config: &ContainerConfig) -> Result<()> {
    let host = |what: &'static str, name: &str| {
        let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        if name.is_empty() || name.len() > 64 || !name.bytes().all(good) {
            return Err(Error::invalid(
                what,
                name,
                "give at most 64 letters, digits, dots and dashes",
            ));
        }
        Ok(())
    };
    config
        .hostname
        .iter()
        .try_for_each(|name| host("host name", name))?;
    config
        .domainname
        .iter()
        .try_for_each(|name| host("domain name", name))?;
    if config.labels.contains_key("") {
        return Err(Error::invalid("label", "", "a label has a name"));
    }
    for variable in &config.env {
        if variable.is_empty() || variable.starts_with('=') {
            return Err(Error::invalid(
                "environment variable",
                variable.as_str(),
                "write it as NAME=value",
            ));
        }
    }
    Ok(())
}

fn network(config: &ContainerConfig) -> Result<()> {
    let published = !config.ports.is_empty() || config.publish_all;
    match &config.network {
        NetworkMode::Container(other) if published => Err(Error::invalid(
            "network",
            format!("container:{other}"),
            "ports are published by the container whose network it is",
        )),
        NetworkMode::Host | NetworkMode::None | NetworkMode::Container(_)
            if !config.networks.is_empty() =>
        {
            Err(Error::invalid(
                "network",
                "host, none or container",
                "it cannot go with other networks",
            ))
        }
        _ => Ok(()),
    }
}

fn warnings(config: &ContainerConfig) -> Vec<String> {
    let mut warnings = Vec::new();
    if !config.ports.is_empty() || config.publish_all {
        match config.network {
            NetworkMode::Host => warnings
                .push("Published ports are discarded when using host network mode".to_owned()),
            NetworkMode::None => warnings.push(
                "published ports are ignored: the container has no bridge network".to_owned(),
            ),
            _ => {}
        }
    }
    if config.log.driver == LogDriver::None
        && (config.log.max_size.is_some() || config.log.max_file.is_some())
    {
        warnings.push("log options are ignored: the log driver is none".to_owned());
    }
    if config.privileged {
        warnings.push("privileged: this container can do to the host what root can".to_owned());
    }
    let check = config.healthcheck.as_ref();
    if check.is_some_and(|c| c.test.is_none() || c.test == Some(HealthTest::Command(Vec::new()))) {
        warnings.push("the health check has no command: nothing is checked".to_owned());
    }
    warnings
}
