//! A service as a container: [`Service`] and its project to the engine's [`ContainerConfig`].
//!
//! The border between Compose's words and the engine's; each function maps one subject. What does not fit the engine's
//! types (an address that is none, a user that is no number) is an error that names the key.
//! Read next: `reconcile.rs` (when a container is made), `support.rs` (what is refused before).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use engine::config as wish;
use indexmap::IndexMap;
use sha2::{Digest, Sha256};

use crate::model::{Content, ContentMount, Mount, Project, Service, Ulimit};
use crate::quantity;
use crate::yaml::Node;

/// Labels that tools know, all under one prefix.
pub mod label {
    /// Name of the project.
    pub const PROJECT: &str = "com.docker.compose.project";
    /// Name of the service.
    pub const SERVICE: &str = "com.docker.compose.service";
    /// Number of the container within its service, from 1.
    pub const NUMBER: &str = "com.docker.compose.container-number";
    /// `True` for a container of `run`.
    pub const ONE_OFF: &str = "com.docker.compose.oneoff";
    /// SHA-256 of the normalised configuration.
    pub const CONFIG_HASH: &str = "com.docker.compose.config-hash";
    /// Key of the network in the project.
    pub const NETWORK: &str = "com.docker.compose.network";
    /// Key of the volume in the project.
    pub const VOLUME: &str = "com.docker.compose.volume";
    /// Directory of the project.
    pub const WORKING_DIR: &str = "com.docker.compose.project.working_dir";
    /// Files of the project, separated by commas.
    pub const CONFIG_FILES: &str = "com.docker.compose.project.config_files";
    /// What the service depends on: `name:condition:restart`, separated by commas.
    pub const DEPENDS_ON: &str = "com.docker.compose.depends_on";
    /// Id of the image.
    pub const IMAGE: &str = "com.docker.compose.image";
    /// Version of the program that made it.
    pub const VERSION: &str = "com.docker.compose.version";
    /// The normalised configuration itself, as JSON: what a change is found and explained by.
    pub const CONFIG: &str = "io.github.lighter.compose.config";
}

/// A value of a service that the engine cannot take.
#[derive(Debug, thiserror::Error)]
#[error("services.{service}.{key}: {reason}")]
pub struct Error {
    /// The service.
    pub service: String,
    /// The key below it.
    pub key: String,
    /// A sentence.
    pub reason: String,
}

type Result<T> = std::result::Result<T, Error>;

/// Name of container `number` of a service.
#[must_use]
pub fn name(project: &str, service: &str, number: u32, own: Option<&str>) -> String {
    own.map_or_else(|| format!("{project}-{service}-{number}"), str::to_owned)
}

/// The contents of the secrets and configs of a service: source to bytes. Directories are mounted, not read.
pub type Contents = IndexMap<PathBuf, Vec<u8>>;

/// What a service wants of the engine, for its container `number`.
///
/// # Errors
/// The first value that the engine's types cannot hold.
pub fn container(
    project: &Project,
    service_name: &str,
    number: u32,
) -> Result<wish::ContainerConfig> {
    let Some(service) = project.services.get(service_name) else {
        return Err(Error {
            service: service_name.into(),
            key: String::new(),
            reason: "no such service".into(),
        });
    };
    Border {
        project,
        service,
        name: service_name,
    }
    .container(number)
}

struct Border<'a> {
    project: &'a Project,
    service: &'a Service,
    name: &'a str,
}

impl Border<'_> {
    fn container(&self, number: u32) -> Result<wish::ContainerConfig> {
        let service = self.service;
        Ok(wish::ContainerConfig {
            name: Some(name(
                &self.project.name,
                self.name,
                number,
                service.container_name.as_deref(),
            )),
            image: wish::ImageSource {
                reference: service.image_name(&self.project.name, self.name),
                ..wish::ImageSource::default()
            },
            command: service.command.clone(),
            entrypoint: service.entrypoint.clone(),
            env: service
                .environment
                .iter()
                .map(|(name, value)| variable(name, value.as_deref()))
                .collect(),
            user: service.user.clone(),
            workdir: service.working_dir.clone(),
            hostname: service.hostname.clone(),
            domainname: service.domainname.clone(),
            labels: service.labels.clone().into_iter().collect(),
            annotations: service.annotations.clone().into_iter().collect(),
            mounts: self.mounts()?,
            volumes_from: self.volumes_from(),
            network: self.network_mode(),
            networks: self.networks()?,
            ports: self.ports()?,
            exposed: self.exposed()?,
            extra_hosts: service
                .extra_hosts
                .iter()
                .filter_map(|line| extra_host(line))
                .collect(),
            dns: self.dns()?,
            tty: service.tty,
            open_stdin: service.stdin_open,
            init: service.init.unwrap_or(false),
            restart: self.restart()?,
            healthcheck: self.healthcheck()?,
            stop_signal: service.stop_signal.clone(),
            stop_timeout: service.stop_grace_period.map(|period| period.0),
            log: self.log()?,
            resources: self.resources()?,
            devices: service.devices.iter().map(device).collect(),
            device_cgroup_rules: service.device_cgroup_rules.clone(),
            cap_add: service.cap_add.clone(),
            cap_drop: service.cap_drop.clone(),
            security_opt: service.security_opt.clone(),
            privileged: service.privileged,
            read_only: service.read_only,
            sysctls: service.sysctls.clone().into_iter().collect(),
            group_add: service.group_add.clone(),
            pid: self.namespace(service.pid.as_deref()),
            ipc: self.namespace(service.ipc.as_deref()),
            uts: self.namespace(service.uts.as_deref()),
            cgroupns: self.namespace(service.cgroup.as_deref()),
            cgroup_parent: service.cgroup_parent.clone(),
            platform: service.platform.clone(),
            ..wish::ContainerConfig::default()
        })
    }

    fn error(&self, key: &str, reason: impl Into<String>) -> Error {
        Error {
            service: self.name.to_owned(),
            key: key.to_owned(),
            reason: reason.into(),
        }
    }

    fn parse<T: FromStr>(&self, key: &str, text: &str, what: &str) -> Result<T> {
        text.parse()
            .map_err(|_| self.error(key, format!("{text:?} is not {what}")))
    }

    fn unsigned(&self, key: &str, value: Option<crate::model::Bytes>) -> Result<Option<u64>> {
        let wrong = || self.error(key, "a size cannot be negative");
        value
            .map(|bytes| u64::try_from(bytes.0).map_err(|_| wrong()))
            .transpose()
    }

    /// Volumes, then tmpfs, then configs and secrets: in this order a secret may lie in a mounted directory.
    fn mounts(&self) -> Result<Vec<wish::Mount>> {
        let mut mounts = Vec::new();
        for mount in &self.service.volumes {
            mounts.push(self.mount(mount)?);
        }
        for line in &self.service.tmpfs {
            mounts.push(self.tmpfs(line)?);
        }
        for (mount, default, contents) in [
            (&self.service.configs, "/", &self.project.configs),
            (
                &self.service.secrets,
                "/run/secrets/",
                &self.project.secrets,
            ),
        ] {
            for mount in mount {
                mounts.push(self.content(mount, default, contents)?);
            }
        }
        Ok(mounts)
    }

    fn mount(&self, mount: &Mount) -> Result<wish::Mount> {
        let source = match mount.r#type.as_str() {
            "bind" => {
                let bind = mount.bind.as_ref();
                let propagation = bind.and_then(|bind| bind.propagation.as_deref());
                wish::MountSource::Bind {
                    path: PathBuf::from(mount.source.clone().unwrap_or_default()),
                    create: bind.is_some_and(|bind| bind.create_host_path),
                    propagation: propagation.map(|word| self.propagation(word)).transpose()?,
                    non_recursive: bind.and_then(|bind| bind.recursive.as_deref())
                        == Some("disabled"),
                }
            }
            "tmpfs" => wish::MountSource::Tmpfs {
                size: self.unsigned(
                    "volumes.tmpfs.size",
                    mount.tmpfs.as_ref().and_then(|tmpfs| tmpfs.size),
                )?,
                mode: mount.tmpfs.as_ref().and_then(|tmpfs| tmpfs.mode),
                options: Vec::new(),
            },
            _ => {
                let volume = mount.volume.clone().unwrap_or_default();
                let named = mount
                    .source
                    .as_ref()
                    .and_then(|key| self.project.volumes.get(key));
                wish::MountSource::Volume {
                    name: named.map(|volume| volume.name.clone()),
                    no_copy: volume.nocopy,
                    subpath: volume.subpath,
                    labels: volume.labels.into_iter().collect(),
                }
            }
        };
        Ok(wish::Mount {
            source,
            target: mount.target.clone(),
            read_only: mount.read_only,
        })
    }

    fn propagation(&self, word: &str) -> Result<wish::Propagation> {
        let all = [
            wish::Propagation::Private,
            wish::Propagation::Rprivate,
            wish::Propagation::Shared,
            wish::Propagation::Rshared,
            wish::Propagation::Slave,
            wish::Propagation::Rslave,
        ];
        let found = all
            .into_iter()
            .find(|propagation| propagation.word() == word);
        found.ok_or_else(|| {
            self.error(
                "volumes.bind.propagation",
                format!("{word:?} is no mount propagation"),
            )
        })
    }

    /// `/run:size=64m,mode=1770,noexec`.
    fn tmpfs(&self, line: &str) -> Result<wish::Mount> {
        let (target, rest) = line.split_once(':').unwrap_or((line, ""));
        let (mut size, mut mode, mut options, mut read_only) = (None, None, Vec::new(), false);
        for option in rest.split(',').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("size", text)) => {
                    let bytes =
                        quantity::bytes(text).map_err(|reason| self.error("tmpfs", reason))?;
                    size = Some(
                        u64::try_from(bytes)
                            .map_err(|_| self.error("tmpfs", "a size cannot be negative"))?,
                    );
                }
                Some(("mode", text)) => {
                    let value = u32::from_str_radix(text, 8);
                    mode =
                        Some(value.map_err(|_| {
                            self.error("tmpfs", format!("{text:?} is no octal mode"))
                        })?);
                }
                None if option == "ro" => read_only = true,
                None if option == "rw" => read_only = false,
                _ => options.push(option.to_owned()),
            }
        }
        Ok(wish::Mount {
            source: wish::MountSource::Tmpfs {
                size,
                mode,
                options,
            },
            target: target.to_owned(),
            read_only,
        })
    }

    fn content(
        &self,
        mount: &ContentMount,
        default: &str,
        contents: &IndexMap<String, Content>,
    ) -> Result<wish::Mount> {
        let source = &mount.source;
        let key = if default == "/" { "configs" } else { "secrets" };
        let content = contents
            .get(source)
            .ok_or_else(|| self.error(key, format!("there is no {source:?}")))?;
        let target = match mount.target.as_deref() {
            None => format!("{default}{source}"),
            Some(target) if target.starts_with('/') => target.to_owned(),
            Some(target) => format!("{default}{target}"),
        };
        let source = match &content.file {
            Some(path) if path.is_dir() => wish::MountSource::Bind {
                path: path.clone(),
                create: false,
                propagation: None,
                non_recursive: false,
            },
            _ => wish::MountSource::Content {
                content: read(content, &self.project.environment)
                    .map_err(|reason| self.error(key, reason))?,
                uid: self.owner(key, mount.uid.as_deref())?,
                gid: self.owner(key, mount.gid.as_deref())?,
                mode: mount
                    .mode
                    .as_deref()
                    .and_then(|mode| u32::from_str_radix(mode, 8).ok())
                    .unwrap_or(0o444),
            },
        };
        Ok(wish::Mount {
            source,
            target,
            read_only: true,
        })
    }

    fn owner(&self, key: &str, text: Option<&str>) -> Result<u32> {
        text.map_or(Ok(0), |text| {
            self.parse(key, text, "the number of a user or group")
        })
    }

    fn volumes_from(&self) -> Vec<String> {
        let from = self.service.volumes_from.iter();
        from.map(|line| match line.strip_prefix("container:") {
            Some(container) => container.to_owned(),
            None => {
                let (service, mode) = line
                    .split_once(':')
                    .map_or((line.as_str(), ""), |(s, m)| (s, m));
                let container = self.first_container(service);
                if mode.is_empty() {
                    container
                } else {
                    format!("{container}:{mode}")
                }
            }
        })
        .collect()
    }

    fn first_container(&self, service: &str) -> String {
        let own = self
            .project
            .services
            .get(service)
            .and_then(|service| service.container_name.as_deref());
        name(&self.project.name, service, 1, own)
    }

    fn network_mode(&self) -> wish::NetworkMode {
        match self.service.network_mode.as_deref() {
            None | Some("bridge" | "default" | "") => wish::NetworkMode::Bridged,
            Some("none") => wish::NetworkMode::None,
            Some("host") => wish::NetworkMode::Host,
            Some(mode) => wish::NetworkMode::Container(self.other(mode)),
        }
    }

    /// `service:x` and `container:x` to a container.
    fn other(&self, mode: &str) -> String {
        match mode.split_once(':') {
            Some(("service", service)) => self.first_container(service),
            Some(("container", container)) => container.to_owned(),
            _ => mode.to_owned(),
        }
    }

    fn namespace(&self, mode: Option<&str>) -> wish::NamespaceMode {
        match mode {
            None | Some("private" | "") => wish::NamespaceMode::Private,
            Some("shareable") => wish::NamespaceMode::Shareable,
            Some("none") => wish::NamespaceMode::None,
            Some("host") => wish::NamespaceMode::Host,
            Some(mode) => wish::NamespaceMode::Container(self.other(mode)),
        }
    }

    /// The networks, the one with the highest priority first.
    fn networks(&self) -> Result<Vec<wish::NetworkAttachment>> {
        let mut keys: Vec<_> = self.service.networks.iter().collect();
        let priority = |network: &Option<crate::model::ServiceNetwork>| {
            network.as_ref().map_or(0.0, |n| n.priority)
        };
        keys.sort_by(|a, b| {
            priority(b.1)
                .total_cmp(&priority(a.1))
                .then_with(|| a.0.cmp(b.0))
        });
        let mut attachments = Vec::with_capacity(keys.len());
        for (key, own) in keys {
            let Some(network) = self.project.networks.get(key) else {
                continue;
            };
            let own = own.clone().unwrap_or_default();
            let place = format!("networks.{key}");
            let first = attachments.is_empty();
            attachments.push(wish::NetworkAttachment {
                network: network.name.clone(),
                aliases: self.aliases(&own.aliases),
                ipv4: own
                    .ipv4_address
                    .map(|ip| self.parse(&place, &ip, "an IPv4 address"))
                    .transpose()?,
                ipv6: own
                    .ipv6_address
                    .map(|ip| self.parse(&place, &ip, "an IPv6 address"))
                    .transpose()?,
                mac: own
                    .mac_address
                    .or_else(|| self.service.mac_address.clone().filter(|_| first)),
                interface: own.interface_name,
                gateway_priority: own.gw_priority as i32,
                links: self.links(),
            });
        }
        Ok(attachments)
    }

    /// The service's name and its own aliases.
    fn aliases(&self, own: &[String]) -> Vec<String> {
        let mut aliases = vec![self.name.to_owned()];
        for alias in own {
            if !aliases.contains(alias) {
                aliases.push(alias.clone());
            }
        }
        aliases
    }

    /// What it calls other services; those without an alias are found by their own names.
    fn links(&self) -> Vec<wish::Link> {
        let links = self.service.links.iter();
        let renamed = links.filter_map(|link| link.split_once(':'));
        renamed
            .map(|(target, alias)| wish::Link {
                target: target.to_owned(),
                alias: alias.to_owned(),
            })
            .collect()
    }

    fn ports(&self) -> Result<Vec<wish::PortBinding>> {
        self.service
            .ports
            .iter()
            .map(|port| {
                let (first, last) = match port.published.as_deref() {
                    None | Some("" | "0") => (None, None),
                    Some(text) => {
                        let (first, last) = text
                            .split_once('-')
                            .map_or((text, None), |(a, b)| (a, Some(b)));
                        let number = |text: &str| self.parse("ports", text, "a port");
                        (Some(number(first)?), last.map(number).transpose()?)
                    }
                };
                Ok(wish::PortBinding {
                    container_port: port.target,
                    protocol: self.protocol(&port.protocol)?,
                    host_ip: port
                        .host_ip
                        .as_deref()
                        .map(|ip| self.parse("ports", ip, "an address"))
                        .transpose()?,
                    host_port: first,
                    host_port_end: last,
                })
            })
            .collect()
    }

    fn protocol(&self, word: &str) -> Result<wish::Protocol> {
        match word.to_ascii_lowercase().as_str() {
            "" | "tcp" => Ok(wish::Protocol::Tcp),
            "udp" => Ok(wish::Protocol::Udp),
            "sctp" => Ok(wish::Protocol::Sctp),
            _ => Err(self.error(
                "ports",
                format!("{word:?} is no protocol; write tcp, udp or sctp"),
            )),
        }
    }

    /// `80`, `80/udp`, `8000-8010`.
    fn exposed(&self) -> Result<Vec<wish::ExposedPort>> {
        let mut exposed = Vec::new();
        for line in &self.service.expose {
            let (ports, protocol) = line.split_once('/').unwrap_or((line, "tcp"));
            let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
            let (first, last): (u16, u16) = (
                self.parse("expose", first, "a port")?,
                self.parse("expose", last, "a port")?,
            );
            let protocol = self.protocol(protocol)?;
            exposed.extend((first..=last).map(|port| wish::ExposedPort { port, protocol }));
        }
        Ok(exposed)
    }

    fn dns(&self) -> Result<wish::Dns> {
        let servers = self.service.dns.iter();
        Ok(wish::Dns {
            servers: servers
                .map(|ip| self.parse("dns", ip, "an address"))
                .collect::<Result<_>>()?,
            search: self.service.dns_search.clone(),
            options: self.service.dns_opt.clone(),
        })
    }

    fn restart(&self) -> Result<wish::RestartPolicy> {
        let times = |text: &str| self.parse("restart", text, "a number of restarts");
        let deploy = self
            .service
            .deploy
            .as_ref()
            .and_then(|deploy| deploy.restart_policy.as_ref());
        Ok(match (self.service.restart.as_deref(), deploy) {
            (Some("always"), _) => wish::RestartPolicy::Always,
            (Some("unless-stopped"), _) => wish::RestartPolicy::UnlessStopped,
            (Some("on-failure"), _) => wish::RestartPolicy::OnFailure { max_retries: None },
            (Some(text), _) if text.starts_with("on-failure:") => wish::RestartPolicy::OnFailure {
                max_retries: Some(times(&text["on-failure:".len()..])?),
            },
            (Some(_), _) | (None, None) => wish::RestartPolicy::No,
            (None, Some(policy)) => match policy.condition.as_deref() {
                Some("none") => wish::RestartPolicy::No,
                Some("on-failure") => wish::RestartPolicy::OnFailure {
                    max_retries: policy.max_attempts,
                },
                None | Some("any") => wish::RestartPolicy::Always,
                Some(other) => {
                    let reason = format!("{other:?} is none of none, on-failure and any");
                    return Err(self.error("deploy.restart_policy.condition", reason));
                }
            },
        })
    }

    fn healthcheck(&self) -> Result<Option<wish::Healthcheck>> {
        let Some(check) = &self.service.healthcheck else {
            return Ok(None);
        };
        let test = match check
            .test
            .split_first()
            .map(|(first, rest)| (first.as_str(), rest))
        {
            _ if check.disable => Some(wish::HealthTest::None),
            None => None,
            Some(("NONE", _)) => Some(wish::HealthTest::None),
            Some(("CMD", program)) => Some(wish::HealthTest::Command(program.to_vec())),
            Some((_, line)) => Some(wish::HealthTest::Shell(line.join(" "))),
        };
        Ok(Some(wish::Healthcheck {
            test,
            interval: check.interval.map(|duration| duration.0),
            timeout: check.timeout.map(|duration| duration.0),
            start_period: check.start_period.map(|duration| duration.0),
            start_interval: check.start_interval.map(|duration| duration.0),
            retries: check.retries,
        }))
    }

    fn log(&self) -> Result<wish::LogConfig> {
        let Some(logging) = &self.service.logging else {
            return Ok(wish::LogConfig::default());
        };
        let option = |name: &str| logging.options.get(name).and_then(|value| value.as_deref());
        let size = option("max-size").map(quantity::bytes).transpose();
        let size = size.map_err(|reason| self.error("logging.options.max-size", reason))?;
        let driver = match logging.driver.as_deref() {
            Some("none") => wish::LogDriver::None,
            _ => wish::LogDriver::JsonFile,
        };
        Ok(wish::LogConfig {
            driver,
            max_size: size.and_then(|bytes| u64::try_from(bytes).ok()),
            max_file: option("max-file")
                .map(|text| self.parse("logging.options.max-file", text, "a number"))
                .transpose()?,
            labels: words(option("labels")),
            env: words(option("env")),
        })
    }

    fn resources(&self) -> Result<wish::Resources> {
        let service = self.service;
        let deploy = service
            .deploy
            .as_ref()
            .and_then(|deploy| deploy.resources.clone())
            .unwrap_or_default();
        let (limits, reservations) = (
            deploy.limits.unwrap_or_default(),
            deploy.reservations.unwrap_or_default(),
        );
        let blkio = service.blkio_config.clone().unwrap_or_default();
        let rates = |list: &[crate::model::Throttle]| {
            list.iter()
                .map(|one| (one.path.clone(), u64::try_from(one.rate.0).unwrap_or(0)))
                .collect::<Vec<_>>()
        };
        let positive = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok());
        Ok(wish::Resources {
            memory: self.unsigned("mem_limit", service.mem_limit.or(limits.memory))?,
            memory_swap: service.memswap_limit.map(|bytes| bytes.0),
            memory_reservation: self.unsigned(
                "mem_reservation",
                service.mem_reservation.or(reservations.memory),
            )?,
            memory_swappiness: self.unsigned("mem_swappiness", service.mem_swappiness)?,
            oom_kill_disable: service.oom_kill_disable,
            nano_cpus: service
                .cpus
                .or(limits.cpus)
                .map(|cpus| (cpus * 1e9).round() as u64),
            cpu_shares: positive(service.cpu_shares),
            cpu_quota: service.cpu_quota,
            cpu_period: positive(service.cpu_period),
            cpuset_cpus: service.cpuset.clone(),
            cpuset_mems: None,
            pids: service.pids_limit.or(limits.pids),
            blkio_weight: blkio.weight,
            blkio_weight_device: blkio
                .weight_device
                .iter()
                .map(|one| (one.path.clone(), one.weight))
                .collect(),
            device_read_bps: rates(&blkio.device_read_bps),
            device_write_bps: rates(&blkio.device_write_bps),
            device_read_iops: rates(&blkio.device_read_iops),
            device_write_iops: rates(&blkio.device_write_iops),
            ulimits: service
                .ulimits
                .iter()
                .map(|(name, limit)| ulimit(name, limit))
                .collect(),
            shm_size: self.unsigned("shm_size", service.shm_size)?,
            oom_score_adj: service.oom_score_adj,
        })
    }
}

fn variable(name: &str, value: Option<&str>) -> String {
    value.map_or_else(|| name.to_owned(), |value| format!("{name}={value}"))
}

fn extra_host(line: &str) -> Option<wish::ExtraHost> {
    let (name, address) = line.split_once('=')?;
    Some(wish::ExtraHost {
        name: name.to_owned(),
        address: address.to_owned(),
    })
}

fn device(device: &crate::model::Device) -> wish::Device {
    wish::Device {
        host: device.source.clone(),
        container: device.target.clone(),
        permissions: device.permissions.clone(),
    }
}

fn ulimit(name: &str, limit: &Ulimit) -> wish::Ulimit {
    let (soft, hard) = match limit {
        Ulimit::Both(both) => (*both, *both),
        Ulimit::Each { soft, hard } => (*soft, *hard),
    };
    wish::Ulimit {
        name: name.to_owned(),
        soft,
        hard,
    }
}

/// The bytes of a secret or config.
fn read(
    content: &Content,
    environment: &crate::environment::Environment,
) -> std::result::Result<Vec<u8>, String> {
    match (&content.content, &content.environment, &content.file) {
        (Some(text), _, _) => Ok(text.clone().into_bytes()),
        (_, Some(variable), _) => match environment.get(variable) {
            Some(value) => Ok(value.as_bytes().to_vec()),
            None => Err(format!("the variable {variable} is not set")),
        },
        (_, _, Some(path)) => {
            std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
        }
        _ => Err("it has no content".into()),
    }
}

/// Ports from the short form, for `run -p`.
///
/// # Errors
/// What is wrong with the text.
pub fn port(text: &str) -> std::result::Result<Vec<wish::PortBinding>, String> {
    let ports = crate::short::port(&Node::text(text, crate::yaml::Span::nowhere()))?;
    let ports = ports
        .iter()
        .map(|node| serde_json::from_value(crate::render::json(node)).map_err(|e| e.to_string()));
    let service = Service {
        ports: ports.collect::<std::result::Result<_, _>>()?,
        ..Service::default()
    };
    alone(&service, |border| border.ports())
}

/// A mount from the short form, for `run -v`; relative paths start from `here`.
///
/// # Errors
/// What is wrong with the text.
pub fn volume(text: &str, here: &Path) -> std::result::Result<wish::Mount, String> {
    let node = crate::short::volume(&Node::text(text, crate::yaml::Span::nowhere()))?.remove(0);
    let mut mount: Mount =
        serde_json::from_value(crate::render::json(&node)).map_err(|error| error.to_string())?;
    let source = mount.source.take();
    if mount.r#type == "bind" {
        mount.source = source.map(|path| {
            crate::paths::absolute_path(&path, here, std::env::var("HOME").ok().as_deref())
        });
        return alone(&Service::default(), |border| border.mount(&mount));
    }
    let mut wish = alone(&Service::default(), |border| border.mount(&mount))?;
    if let wish::MountSource::Volume { name, .. } = &mut wish.source {
        *name = source;
    }
    Ok(wish)
}

/// Maps a part of a service that belongs to no project.
fn alone<T>(
    service: &Service,
    map: impl FnOnce(&Border<'_>) -> Result<T>,
) -> std::result::Result<T, String> {
    let project = Project::empty();
    map(&Border {
        project: &project,
        service,
        name: "run",
    })
    .map_err(|error| error.reason)
}

/// Keys of a service that say how to bring it up, not what it is: changing them recreates nothing.
const NOT_COMPARED: [&str; 9] = [
    "attach",
    "build",
    "depends_on",
    "develop",
    "post_start",
    "pre_stop",
    "profiles",
    "pull_policy",
    "scale",
];

/// The normalised configuration that a container of this service is compared by: the canonical service, the names of what
/// it is attached to, and a digest of each secret and config, so that a changed file shows.
#[must_use]
pub fn compared(project: &Project, service: &str) -> serde_json::Value {
    let Some(node) = project.node(&["services", service]) else {
        return serde_json::Value::Null;
    };
    let mut json = crate::render::json(node);
    let Some(map) = json.as_object_mut() else {
        return json;
    };
    for key in NOT_COMPARED {
        map.shift_remove(key);
    }
    map.retain(|key, _| !key.starts_with("x-"));
    if let Some(deploy) = map
        .get_mut("deploy")
        .and_then(serde_json::Value::as_object_mut)
    {
        deploy.shift_remove("replicas");
    }
    if map
        .get("deploy")
        .and_then(serde_json::Value::as_object)
        .is_some_and(serde_json::Map::is_empty)
    {
        map.shift_remove("deploy");
    }
    for (section, contents) in [("secrets", &project.secrets), ("configs", &project.configs)] {
        for mount in map
            .get_mut(section)
            .and_then(serde_json::Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            let source = mount
                .get("source")
                .and_then(serde_json::Value::as_str)
                .unwrap_or_default();
            let bytes = contents
                .get(source)
                .map(|content| read(content, &project.environment).unwrap_or_default());
            let digest =
                bytes.map(|bytes| serde_json::Value::String(format!("sha256:{}", hex(&bytes))));
            if let (Some(mount), Some(digest)) = (mount.as_object_mut(), digest) {
                mount.insert("content".into(), digest);
            }
        }
    }
    json
}

/// SHA-256 of a value's JSON, as docker's label has it.
#[must_use]
pub fn hash(value: &serde_json::Value) -> String {
    hex(value.to_string().as_bytes())
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The labels of a container of a service, its own ones included.
#[must_use]
pub fn labels(
    project: &Project,
    service: &str,
    number: u32,
    one_off: bool,
) -> BTreeMap<String, String> {
    let compared = compared(project, service);
    let own = project.services.get(service);
    let depends_on =
        own.into_iter()
            .flat_map(|service| &service.depends_on)
            .map(|(name, dependency)| {
                let condition = match dependency.condition {
                    crate::model::Condition::ServiceStarted => "service_started",
                    crate::model::Condition::ServiceHealthy => "service_healthy",
                    crate::model::Condition::ServiceCompletedSuccessfully => {
                        "service_completed_successfully"
                    }
                };
                format!("{name}:{condition}:{}", dependency.restart)
            });
    let files: Vec<_> = project
        .files
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let mut labels: BTreeMap<String, String> = own
        .map(|service| service.labels.clone().into_iter().collect())
        .unwrap_or_default();
    labels.extend([
        (label::PROJECT.into(), project.name.clone()),
        (label::SERVICE.into(), service.to_owned()),
        (label::NUMBER.into(), number.to_string()),
        (
            label::ONE_OFF.into(),
            if one_off { "True" } else { "False" }.into(),
        ),
        (label::CONFIG_HASH.into(), hash(&compared)),
        (label::CONFIG.into(), compared.to_string()),
        (
            label::DEPENDS_ON.into(),
            depends_on.collect::<Vec<_>>().join(","),
        ),
        (
            label::WORKING_DIR.into(),
            directory_text(&project.directory),
        ),
        (label::CONFIG_FILES.into(), files.join(",")),
        (label::VERSION.into(), env!("CARGO_PKG_VERSION").into()),
    ]);
    labels
}

fn directory_text(directory: &Path) -> String {
    directory.to_string_lossy().into_owned()
}

/// The node that a dotted path of a compared configuration leads to; the nearest one above it, if it is gone.
#[must_use]
pub fn node_at<'a>(service: &'a Node, path: &[String]) -> &'a Node {
    let mut node = service;
    for key in path {
        let next = node
            .get(key)
            .or_else(|| key.parse::<usize>().ok().and_then(|n| node.items().get(n)));
        match next {
            Some(next) => node = next,
            None => break,
        }
    }
    node
}

/// `a,b`.
fn words(text: Option<&str>) -> Vec<String> {
    let words = text.unwrap_or_default().split(',').map(str::trim);
    words
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}
