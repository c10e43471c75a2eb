//! `inspect`: everything about one container under docker's JSON keys.

use std::collections::BTreeMap;
use std::time::Duration;

use network::Endpoint;
use serde_json::{Map, Value, json};

use crate::config::{
    ContainerConfig, HealthTest, Healthcheck, Mount, MountSource, NamespaceMode, NetworkAttachment,
    NetworkMode, PortBinding, RestartPolicy,
};
use crate::find::Observed;
use crate::list::Status;
use crate::record::Last;
use crate::{Engine, Result, disk, networking, spec};

/// What docker prints for a moment that has not been.
const NEVER: &str = "0001-01-01T00:00:00Z";

impl Engine {
    /// One object as docker's `inspect` prints it.
    pub fn inspect(&self, who: &str) -> Result<Value> {
        let seen = self.observe_as(who)?;
        let Observed { record, state, .. } = &seen;
        let config = &record.config;
        let paths = self.paths.container(&record.id);
        let live = state.is_some();
        let file = |path: std::path::PathBuf| {
            if live {
                path.display().to_string()
            } else {
                String::new()
            }
        };
        let arguments = config.arguments();
        Ok(json!({
            "Id": record.id,
            "Created": record.created.to_string(),
            "Path": arguments.first().cloned().unwrap_or_default(),
            "Args": arguments.get(1..).unwrap_or_default(),
            "State": state_of(&seen),
            "Image": config.image.id,
            "ResolvConfPath": file(paths.resolv_conf()),
            "HostnamePath": file(paths.hostname()),
            "HostsPath": file(paths.hosts()),
            "LogPath": paths.log().display().to_string(),
            "Name": format!("/{}", record.name),
            "RestartCount": restart_count(&seen),
            "Driver": "overlay2",
            "Platform": "linux",
            "MountLabel": "",
            "ProcessLabel": "",
            "AppArmorProfile": "",
            "ExecIDs": null,
            "HostConfig": host_config(config),
            "GraphDriver": {
                "Name": "overlay2",
                "Data": {
                    "LowerDir": record.lower.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(":"),
                    "MergedDir": file(paths.rootfs()),
                    "UpperDir": paths.kept.join("upper").display().to_string(),
                    "WorkDir": paths.kept.join("work").display().to_string(),
                },
            },
            "Mounts": config.mounts.iter().filter_map(|mount| self.mount(mount)).collect::<Vec<_>>(),
            "Config": image_config(config, &record.id),
            "NetworkSettings": self.network_settings(&seen)?,
        }))
    }

    /// Bytes of the files in the container's own layer: what it wrote over its image.
    pub fn size(&self, who: &str) -> Result<u64> {
        let id = self.resolve(who)?;
        Ok(disk::length(&self.paths.container(&id).kept.join("upper")))
    }

    fn mount(&self, mount: &Mount) -> Option<Value> {
        let mode = if mount.read_only { "ro" } else { "" };
        Some(match &mount.source {
            MountSource::Bind {
                path, propagation, ..
            } => json!({
                "Type": "bind", "Source": path.display().to_string(), "Destination": mount.target, "Mode": mode,
                "RW": !mount.read_only, "Propagation": propagation.map_or("rprivate", |p| p.word()),
            }),
            MountSource::Volume { name, .. } => {
                let name = name.as_deref().unwrap_or_default();
                json!({
                    "Type": "volume", "Name": name, "Source": self.paths.volume(name).join("_data").display().to_string(),
                    "Destination": mount.target, "Driver": "local", "Mode": mode, "RW": !mount.read_only, "Propagation": "",
                })
            }
            MountSource::Tmpfs { .. } => json!({
                "Type": "tmpfs", "Source": "", "Destination": mount.target, "Mode": mode, "RW": !mount.read_only,
                "Propagation": "",
            }),
            MountSource::Content { .. } => return None,
        })
    }

    fn network_settings(&self, seen: &Observed) -> Result<Value> {
        let up = seen.status.is_up();
        let endpoints = &seen.endpoints;
        let ports = match up {
            true => bound(&networking::bound_ports(endpoints), &seen.record.config),
            false => Map::new(),
        };
        let first = endpoints.first();
        let text = |value: Option<String>| value.unwrap_or_default();
        let address = |endpoint: &Endpoint| endpoint.ipv4.map(|cidr| cidr.address.to_string());
        Ok(json!({
            "Bridge": "",
            "SandboxID": if up { seen.record.id.as_str() } else { "" },
            "SandboxKey": seen.pid().map(|pid| format!("/proc/{pid}/ns/net")).unwrap_or_default(),
            "Ports": ports,
            "EndpointID": text(first.map(|endpoint| endpoint.id.clone())),
            "Gateway": text(first.and_then(|endpoint| endpoint.gateways.first()).map(ToString::to_string)),
            "IPAddress": text(first.and_then(address)),
            "IPPrefixLen": first.and_then(|endpoint| endpoint.ipv4).map_or(0, |cidr| cidr.prefix),
            "GlobalIPv6Address": text(first.and_then(|endpoint| endpoint.ipv6).map(|cidr| cidr.address.to_string())),
            "GlobalIPv6PrefixLen": first.and_then(|endpoint| endpoint.ipv6).map_or(0, |cidr| cidr.prefix),
            "MacAddress": text(first.map(|endpoint| endpoint.mac.to_string())),
            "Networks": self.networks(seen, endpoints),
        }))
    }

    fn networks(&self, seen: &Observed, endpoints: &[Endpoint]) -> Map<String, Value> {
        let config = &seen.record.config;
        let mut networks = Map::new();
        for attachment in networking::attachments(config) {
            let endpoint = endpoints
                .iter()
                .find(|endpoint| endpoint.network == attachment.network);
            networks.insert(attachment.network.clone(), network(&attachment, endpoint));
        }
        let unknown = NetworkAttachment::default();
        // Joined while it ran.
        for endpoint in endpoints {
            networks
                .entry(endpoint.network.clone())
                .or_insert_with(|| network(&unknown, Some(endpoint)));
        }
        match config.network {
            NetworkMode::Host => drop(networks.insert("host".to_owned(), network(&unknown, None))),
            NetworkMode::None => drop(networks.insert("none".to_owned(), network(&unknown, None))),
            _ => {}
        }
        networks
    }
}

/// One network of a container: what was asked for, and what it has while it runs.
fn network(asked: &NetworkAttachment, endpoint: Option<&Endpoint>) -> Value {
    let links = asked.links.iter();
    let links: Vec<String> = links
        .map(|link| format!("{}:{}", link.target, link.alias))
        .collect();
    let addresses = json!({ "IPv4Address": asked.ipv4, "IPv6Address": asked.ipv6 });
    let fixed = asked.ipv4.is_some() || asked.ipv6.is_some();
    let mut shown = json!({
        "IPAMConfig": fixed.then_some(addresses), "Links": (!links.is_empty()).then_some(links), "Aliases": asked.aliases,
        "MacAddress": "", "NetworkID": "", "EndpointID": "", "Gateway": "", "IPAddress": "", "IPPrefixLen": 0,
        "IPv6Gateway": "", "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0, "DNSNames": null,
    });
    if let (Some(endpoint), Some(shown)) = (endpoint, shown.as_object_mut()) {
        let has = joined(endpoint);
        shown.extend(has.as_object().cloned().unwrap_or_default());
    }
    shown
}

/// What a container has of a network while it runs.
fn joined(endpoint: &Endpoint) -> Value {
    let gateway = |v6: bool| {
        endpoint
            .gateways
            .iter()
            .find(|g| g.is_ipv6() == v6)
            .map(ToString::to_string)
    };
    json!({
        "MacAddress": endpoint.mac.to_string(),
        "NetworkID": endpoint.network_id,
        "EndpointID": endpoint.id,
        "Gateway": gateway(false).unwrap_or_default(),
        "IPAddress": endpoint.ipv4.map(|cidr| cidr.address.to_string()).unwrap_or_default(),
        "IPPrefixLen": endpoint.ipv4.map_or(0, |cidr| cidr.prefix),
        "IPv6Gateway": gateway(true).unwrap_or_default(),
        "GlobalIPv6Address": endpoint.ipv6.map(|cidr| cidr.address.to_string()).unwrap_or_default(),
        "GlobalIPv6PrefixLen": endpoint.ipv6.map_or(0, |cidr| cidr.prefix),
        "DNSNames": endpoint.names,
    })
}

fn last(seen: &Observed) -> Option<&Last> {
    seen.state
        .as_ref()
        .and_then(|state| state.before.as_ref())
        .or(seen.last.as_ref())
}

fn restart_count(seen: &Observed) -> u32 {
    let running = seen.state.as_ref().map(|state| state.restart_count);
    running
        .or(seen.last.as_ref().map(|last| last.restart_count))
        .unwrap_or(0)
}

fn state_of(seen: &Observed) -> Value {
    let up = seen.status.is_up();
    let (state, last) = (seen.state.as_ref(), last(seen));
    let started = state
        .map(|state| state.started)
        .or(last.and_then(|last| last.started));
    let finished = last.and_then(|last| last.finished);
    let moment = |time: Option<jiff::Timestamp>| {
        time.map_or_else(|| NEVER.to_owned(), |time| time.to_string())
    };
    let mut object = json!({
        "Status": seen.status.word(),
        "Running": up || seen.status == Status::Restarting,
        "Paused": seen.status == Status::Paused,
        "Restarting": seen.status == Status::Restarting,
        "OOMKilled": !up && last.is_some_and(|last| last.oom_killed),
        "Dead": seen.status == Status::Dead,
        "Pid": seen.pid().unwrap_or(0),
        "ExitCode": if up { 0 } else { last.map_or(0, |last| last.exit_code) },
        "Error": last.filter(|_| !up).and_then(|last| last.error.clone()).unwrap_or_default(),
        "StartedAt": moment(started),
        "FinishedAt": moment(finished),
    });
    let health = state
        .and_then(|state| state.health.as_ref())
        .or(last.and_then(|last| last.health.as_ref()));
    if let (Some(health), Some(object)) = (health, object.as_object_mut()) {
        let log: Vec<Value> = health
            .log
            .iter()
            .map(|probe| {
                json!({
                    "Start": probe.start.to_string(),
                    "End": probe.end.to_string(),
                    "ExitCode": probe.exit_code,
                    "Output": probe.output,
                })
            })
            .collect();
        // docker calls a container that has stopped unhealthy.
        let status = if up {
            health.status.word()
        } else {
            "unhealthy"
        };
        let value = json!({ "Status": status, "FailingStreak": health.failing_streak, "Log": log });
        object.insert("Health".to_owned(), value);
    }
    object
}

fn bound(ports: &[PortBinding], config: &ContainerConfig) -> Map<String, Value> {
    let mut bound: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for port in &config.exposed {
        bound
            .entry(format!("{}/{}", port.port, port.protocol.word()))
            .or_default();
    }
    for port in ports {
        let binding = json!({
            "HostIp": port.host_ip.map(|ip| ip.to_string()).unwrap_or_default(),
            "HostPort": port.host_port.map(|port| port.to_string()).unwrap_or_default(),
        });
        bound
            .entry(format!("{}/{}", port.container_port, port.protocol.word()))
            .or_default()
            .push(binding);
    }
    let value = |bindings: Vec<Value>| {
        if bindings.is_empty() {
            Value::Null
        } else {
            Value::Array(bindings)
        }
    };
    bound
        .into_iter()
        .map(|(port, bindings)| (port, value(bindings)))
        .collect()
}

fn set_of(keys: impl Iterator<Item = String>) -> Value {
    let map: Map<String, Value> = keys.map(|key| (key, json!({}))).collect();
    if map.is_empty() {
        Value::Null
    } else {
        Value::Object(map)
    }
}

/// `Config`: the container's side.
fn image_config(config: &ContainerConfig, id: &str) -> Value {
    let exposed = config
        .exposed
        .iter()
        .map(|port| format!("{}/{}", port.port, port.protocol.word()));
    let volumes = config
        .mounts
        .iter()
        .filter_map(|mount| match &mount.source {
            MountSource::Volume { .. } => Some(mount.target.clone()),
            _ => None,
        });
    let mut object = json!({
        "Hostname": config.hostname.clone().unwrap_or_else(|| crate::find::short(id).to_owned()),
        "Domainname": config.domainname.clone().unwrap_or_default(),
        "User": config.user.clone().unwrap_or_default(),
        "AttachStdin": config.stdin_once,
        "AttachStdout": true,
        "AttachStderr": true,
        "Tty": config.tty,
        "OpenStdin": config.open_stdin,
        "StdinOnce": config.stdin_once,
        "Env": config.env,
        "Cmd": config.command,
        "Image": config.image.reference,
        "Volumes": set_of(volumes),
        "WorkingDir": config.workdir.clone().unwrap_or_default(),
        "Entrypoint": config.entrypoint,
        "Labels": config.labels,
    });
    let Some(map) = object.as_object_mut() else {
        return object;
    };
    if !config.exposed.is_empty() {
        map.insert("ExposedPorts".to_owned(), set_of(exposed));
    }
    if let Some(check) = &config.healthcheck {
        map.insert("Healthcheck".to_owned(), healthcheck(check));
    }
    if let Some(signal) = &config.stop_signal {
        map.insert("StopSignal".to_owned(), json!(signal));
    }
    if let Some(timeout) = config.stop_timeout {
        map.insert("StopTimeout".to_owned(), json!(timeout.as_secs()));
    }
    object
}

fn healthcheck(check: &Healthcheck) -> Value {
    let test = match &check.test {
        None => Vec::new(),
        Some(HealthTest::None) => vec!["NONE".to_owned()],
        Some(HealthTest::Command(args)) => [vec!["CMD".to_owned()], args.clone()].concat(),
        Some(HealthTest::Shell(line)) => vec!["CMD-SHELL".to_owned(), line.clone()],
    };
    let mut map = Map::new();
    map.insert("Test".to_owned(), json!(test));
    let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let times = [
        ("Interval", check.interval),
        ("Timeout", check.timeout),
        ("StartPeriod", check.start_period),
        ("StartInterval", check.start_interval),
    ];
    for (key, time) in times {
        map.extend(time.map(|time| (key.to_owned(), json!(nanos(time)))));
    }
    map.extend(check.retries.map(|n| ("Retries".to_owned(), json!(n))));
    Value::Object(map)
}

/// `HostConfig`: the host's side.
fn host_config(config: &ContainerConfig) -> Value {
    let masks = spec::masks(config);
    let mut object = json!({
        "Binds": binds(config),
        "ContainerIDFile": "",
        "LogConfig": log_config(config),
        "NetworkMode": network_mode(config),
        "PortBindings": port_bindings(config),
        "RestartPolicy": restart_policy(config.restart),
        "AutoRemove": config.auto_remove,
        "VolumeDriver": "",
        "VolumesFrom": null,
        "CapAdd": some(&config.cap_add),
        "CapDrop": some(&config.cap_drop),
        "CgroupnsMode": namespace(&config.cgroupns, "private"),
        "Dns": config.dns.servers,
        "DnsOptions": config.dns.options,
        "DnsSearch": config.dns.search,
        "ExtraHosts": config.extra_hosts.iter().map(|h| format!("{}:{}", h.name, h.address)).collect::<Vec<_>>(),
        "GroupAdd": some(&config.group_add),
        "IpcMode": namespace(&config.ipc, "private"),
        "OomScoreAdj": config.resources.oom_score_adj.unwrap_or(0),
        "PidMode": namespace(&config.pid, ""),
        "Privileged": config.privileged,
        "PublishAllPorts": config.publish_all,
        "ReadonlyRootfs": config.read_only,
        "SecurityOpt": some(&config.security_opt),
        "Sysctls": config.sysctls,
        "UTSMode": namespace(&config.uts, ""),
        "UsernsMode": "",
        "ShmSize": config.resources.shm_size.unwrap_or(64 << 20),
        "Runtime": "lighter",
        "Isolation": "",
        "Init": config.init,
        "MaskedPaths": masks.0,
        "ReadonlyPaths": masks.1,
    });
    if let (Some(object), Value::Object(limits)) = (object.as_object_mut(), limits(config)) {
        object.extend(limits);
    }
    object
}

/// The part of `HostConfig` that docker calls resources.
fn limits(config: &ContainerConfig) -> Value {
    let r = &config.resources;
    let cgroup_parent = config.cgroup_parent.clone().unwrap_or_default();
    json!({
        "CpuShares": r.cpu_shares.unwrap_or(0),
        "Memory": r.memory.unwrap_or(0),
        "NanoCpus": r.nano_cpus.unwrap_or(0),
        "CgroupParent": cgroup_parent,
        "BlkioWeight": r.blkio_weight.unwrap_or(0),
        "CpuPeriod": r.cpu_period.unwrap_or(0),
        "CpuQuota": r.cpu_quota.unwrap_or(0),
        "CpusetCpus": r.cpuset_cpus.clone().unwrap_or_default(),
        "CpusetMems": r.cpuset_mems.clone().unwrap_or_default(),
        "Devices": config.devices.iter().map(|device| json!({
            "PathOnHost": device.host.display().to_string(),
            "PathInContainer": device.container,
            "CgroupPermissions": device.permissions,
        })).collect::<Vec<_>>(),
        "DeviceCgroupRules": some(&config.device_cgroup_rules),
        "MemoryReservation": r.memory_reservation.unwrap_or(0),
        "MemorySwap": r.memory_swap.unwrap_or_else(|| r.memory.map_or(0, |m| m.saturating_mul(2).cast_signed())),
        "MemorySwappiness": r.memory_swappiness,
        "OomKillDisable": r.oom_kill_disable,
        "PidsLimit": r.pids,
        "Ulimits": r.ulimits.iter().map(|u| json!({"Name": u.name, "Soft": u.soft, "Hard": u.hard})).collect::<Vec<_>>(),
    })
}

fn some(list: &[String]) -> Value {
    if list.is_empty() {
        Value::Null
    } else {
        json!(list)
    }
}

fn binds(config: &ContainerConfig) -> Value {
    let bind = |mount: &Mount| {
        let source = match &mount.source {
            MountSource::Bind { path, .. } => path.display().to_string(),
            MountSource::Volume {
                name: Some(name), ..
            } => name.clone(),
            _ => return None,
        };
        let mode = if mount.read_only { ":ro" } else { "" };
        Some(format!("{source}:{}{mode}", mount.target))
    };
    some(&config.mounts.iter().filter_map(bind).collect::<Vec<_>>())
}

fn log_config(config: &ContainerConfig) -> Value {
    let kind = match config.log.driver {
        crate::config::LogDriver::JsonFile => "json-file",
        crate::config::LogDriver::None => "none",
    };
    let mut options = Map::new();
    options.extend(
        config
            .log
            .max_size
            .map(|size| ("max-size".to_owned(), json!(size.to_string()))),
    );
    options.extend(
        config
            .log
            .max_file
            .map(|files| ("max-file".to_owned(), json!(files.to_string()))),
    );
    json!({ "Type": kind, "Config": options })
}

fn network_mode(config: &ContainerConfig) -> String {
    match &config.network {
        NetworkMode::Bridged => config
            .networks
            .first()
            .map_or_else(|| "bridge".to_owned(), |n| n.network.clone()),
        NetworkMode::None => "none".to_owned(),
        NetworkMode::Host => "host".to_owned(),
        NetworkMode::Container(other) => format!("container:{other}"),
    }
}

fn port_bindings(config: &ContainerConfig) -> Value {
    let mut bindings: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for port in &config.ports {
        let text = match (port.host_port, port.host_port_end) {
            (Some(first), Some(last)) => format!("{first}-{last}"),
            (Some(first), None) => first.to_string(),
            _ => String::new(),
        };
        let host = port.host_ip.map(|ip| ip.to_string()).unwrap_or_default();
        let key = format!("{}/{}", port.container_port, port.protocol.word());
        bindings
            .entry(key)
            .or_default()
            .push(json!({ "HostIp": host, "HostPort": text }));
    }
    json!(bindings)
}

fn restart_policy(policy: RestartPolicy) -> Value {
    let most = match policy {
        RestartPolicy::OnFailure { max_retries } => max_retries.unwrap_or(0),
        _ => 0,
    };
    json!({ "Name": policy.word(), "MaximumRetryCount": most })
}

fn namespace(mode: &NamespaceMode, private: &str) -> String {
    match mode {
        NamespaceMode::Private => private.to_owned(),
        NamespaceMode::Shareable => "shareable".to_owned(),
        NamespaceMode::None => "none".to_owned(),
        NamespaceMode::Host => "host".to_owned(),
        NamespaceMode::Container(other) => format!("container:{other}"),
    }
}
