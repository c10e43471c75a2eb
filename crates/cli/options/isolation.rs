//! Namespaces, capabilities, `--security-opt`, `--sysctl`: how far apart from the host.

use std::path::Path;

use anyhow::{Context, Result, bail};
use engine::ContainerConfig;
use engine::config::{NamespaceMode, UserNamespace};

use super::environment::pairs;

/// Options for isolation.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Isolation")]
pub struct IsolationOptions {
    /// Give extended privileges to this container
    #[arg(long)]
    privileged: bool,
    /// Add Linux capabilities
    #[arg(long, value_name = "CAPABILITY")]
    cap_add: Vec<String>,
    /// Drop Linux capabilities
    #[arg(long, value_name = "CAPABILITY")]
    cap_drop: Vec<String>,
    /// Security options: no-new-privileges, seccomp=, apparmor=, label=, systempaths=unconfined
    #[arg(long, value_name = "OPTION")]
    security_opt: Vec<String>,
    /// Mount the container's root filesystem as read only
    #[arg(long)]
    read_only: bool,
    /// Sysctl options
    #[arg(long, value_name = "NAME=VALUE")]
    sysctl: Vec<String>,
    /// Add additional groups to join
    #[arg(long, value_name = "GROUP")]
    group_add: Vec<String>,
    /// PID namespace to use: host or container:NAME
    #[arg(long, value_name = "MODE")]
    pid: Option<String>,
    /// IPC mode to use: private, shareable, none, host or container:NAME
    #[arg(long, value_name = "MODE")]
    ipc: Option<String>,
    /// UTS namespace to use: host
    #[arg(long, value_name = "MODE")]
    uts: Option<String>,
    /// User namespace to use: host, or INSIDE:OUTSIDE:SIZE for one of its own
    #[arg(long, value_name = "MODE")]
    userns: Option<String>,
    /// Cgroup namespace to use: host or private
    #[arg(long, value_name = "MODE")]
    cgroupns: Option<String>,
    /// Optional parent cgroup for the container
    #[arg(long, value_name = "PATH")]
    cgroup_parent: Option<String>,
}

impl IsolationOptions {
    pub fn apply(&self, config: &mut ContainerConfig) -> Result<()> {
        config.privileged = self.privileged;
        config.cap_add = self.cap_add.clone();
        config.cap_drop = self.cap_drop.clone();
        config.security_opt = self
            .security_opt
            .iter()
            .map(|text| security(text))
            .collect::<Result<_>>()?;
        config.read_only = self.read_only;
        config.sysctls = pairs("sysctl", &self.sysctl)?;
        config.group_add = self.group_add.clone();
        config.pid = namespace(
            "--pid",
            self.pid.as_deref(),
            &["private", "host", "container"],
        )?;
        config.ipc = namespace(
            "--ipc",
            self.ipc.as_deref(),
            &["private", "shareable", "none", "host", "container"],
        )?;
        config.uts = namespace("--uts", self.uts.as_deref(), &["private", "host"])?;
        config.cgroupns = namespace("--cgroupns", self.cgroupns.as_deref(), &["private", "host"])?;
        config.userns = user_namespace(self.userns.as_deref())?;
        config.cgroup_parent = self.cgroup_parent.clone();
        if config.uts == NamespaceMode::Host && config.hostname.is_some() {
            bail!("conflicting options: hostname and the UTS mode");
        }
        Ok(())
    }
}

fn namespace(option: &str, given: Option<&str>, known: &[&str]) -> Result<NamespaceMode> {
    let text = given.unwrap_or("");
    let (mode, other) = text.split_once(':').unwrap_or((text, ""));
    let wrong = || {
        format!(
            "invalid argument {text:?} for {option:?}: it must be one of {}",
            known.join(", ")
        )
    };
    if !mode.is_empty() && !known.contains(&mode) {
        bail!(wrong());
    }
    match (mode, other) {
        ("" | "private", "") => Ok(NamespaceMode::Private),
        ("shareable", "") => Ok(NamespaceMode::Shareable),
        ("none", "") => Ok(NamespaceMode::None),
        ("host", "") => Ok(NamespaceMode::Host),
        ("container", other) if !other.is_empty() => Ok(NamespaceMode::Container(other.to_owned())),
        _ => bail!(wrong()),
    }
}

/// `host`, or the same mapping for user and group ids.
fn user_namespace(given: Option<&str>) -> Result<UserNamespace> {
    match given {
        None | Some("" | "host") => Ok(UserNamespace::Host),
        Some(text) => {
            let numbers: Vec<u32> = text
                .split(':')
                .map_while(|part| part.parse().ok())
                .collect();
            let [inside, outside, size] = numbers[..] else {
                bail!(
                    "invalid argument {text:?} for \"--userns\": it must be host, or INSIDE:OUTSIDE:SIZE as 0:100000:65536"
                );
            };
            let mapping = vec![(inside, outside, size)];
            Ok(UserNamespace::Mapped {
                uids: mapping.clone(),
                gids: mapping,
            })
        }
    }
}

/// The engine takes absolute paths only: who reads a profile may stand elsewhere.
fn security(text: &str) -> Result<String> {
    let (key, value) = text
        .split_once('=')
        .or_else(|| text.split_once(':'))
        .unwrap_or((text, ""));
    match (key, value) {
        ("seccomp", "unconfined" | "builtin" | "default") => Ok(format!("seccomp={value}")),
        ("seccomp", path) => {
            let path = Path::new(path);
            let whole = path
                .canonicalize()
                .with_context(|| format!("opening seccomp profile ({}) failed", path.display()))?;
            Ok(format!("seccomp={}", whole.display()))
        }
        ("no-new-privileges" | "apparmor" | "label" | "systempaths", _) => Ok(text.to_owned()),
        _ => bail!(
            "invalid --security-opt {text:?}: it must be no-new-privileges, seccomp=, apparmor=, label= or systempaths="
        ),
    }
}
