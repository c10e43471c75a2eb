//! The options that `run`, `create` and `explain run` share, and what they mean.
//!
//! In comes what clap parsed, out goes a [`ContainerConfig`]: the same wish that a
//! Compose service becomes. Conversion is pure but for two things docker's users
//! expect of a client: it reads the files that options name, and the environment
//! for `-e NAME`. One file for each group of options: `mounts`, `ports`,
//! `environment`, `network`, `limits`, `isolation`, `life`; `values` reads sizes
//! and durations.

mod creation;
mod environment;
mod isolation;
mod life;
mod limits;
mod mounts;
mod network;
mod ports;
mod registry;
pub mod time;
pub mod values;

#[cfg(test)]
mod tests;

use anyhow::{Context, Result, bail};
use engine::ContainerConfig;

pub use creation::{CreationOptions, Made};
pub use environment::{environment, pairs};
pub use life::{restart_policy, stop_timeout};
pub use limits::LimitOptions;
pub use network::link;
pub use registry::RegistryOptions;

/// Options for the container that is made.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct ContainerOptions {
    /// Assign a name to the container
    #[arg(long)]
    pub name: Option<String>,
    /// Attach to STDIN, STDOUT or STDERR
    #[arg(short, long, value_name = "STREAM")]
    pub attach: Vec<String>,
    /// Keep STDIN open even if not attached
    #[arg(short, long)]
    pub interactive: bool,
    /// Allocate a pseudo-TTY
    #[arg(short, long)]
    pub tty: bool,
    /// Run an init inside the container that forwards signals and reaps processes
    #[arg(long)]
    pub init: bool,
    /// Overwrite the default ENTRYPOINT of the image
    #[arg(long, value_name = "COMMAND")]
    pub entrypoint: Option<String>,
    /// Username or UID (format: <name|uid>[:<group|gid>])
    #[arg(short, long)]
    pub user: Option<String>,
    /// Working directory inside the container
    #[arg(short, long, value_name = "DIR")]
    pub workdir: Option<String>,
    /// Set platform if the image is multi-platform capable
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<String>,
    /// Add an annotation to the container (passed through to the OCI runtime)
    #[arg(long, value_name = "KEY=VALUE")]
    pub annotation: Vec<String>,
    /// umask of the container's process, in octal
    #[arg(long, value_name = "MODE")]
    pub umask: Option<String>,
    /// Only the runtime that is built in is known: 'lighter'
    #[arg(long, value_name = "NAME")]
    pub runtime: Option<String>,
    /// Refused: there is no driver for it here
    #[arg(long, hide = true, value_name = "GPUS")]
    pub gpus: Option<String>,
    #[command(flatten)]
    environment: environment::EnvironmentOptions,
    #[command(flatten)]
    mounts: mounts::MountOptions,
    #[command(flatten)]
    network: network::NetworkOptions,
    #[command(flatten)]
    ports: ports::PortOptions,
    #[command(flatten)]
    limits: LimitOptions,
    #[command(flatten)]
    devices: limits::DeviceOptions,
    #[command(flatten)]
    isolation: isolation::IsolationOptions,
    #[command(flatten)]
    life: life::LifeOptions,
    #[command(flatten)]
    ignored: Ignored,
}

/// Taken, with a warning, because scripts pass them and nothing depends on them.
#[derive(clap::Args, Clone, Debug, Default)]
struct Ignored {
    #[arg(long, hide = true)]
    disable_content_trust: bool,
    #[arg(long, hide = true)]
    kernel_memory: Option<String>,
    #[arg(long, hide = true)]
    cpu_rt_period: Option<String>,
    #[arg(long, hide = true)]
    cpu_rt_runtime: Option<String>,
    #[arg(long, hide = true)]
    isolation: Option<String>,
}

/// The wish, and what the user should know about it.
#[derive(Debug)]
pub struct Wish {
    /// What the container shall be.
    pub config: ContainerConfig,
    /// Sentences for stderr.
    pub warnings: Vec<String>,
}

impl ContainerOptions {
    /// What these options ask for, with the words after the image as its command.
    pub fn wish(&self, command: &[String], auto_remove: bool, detached: bool) -> Result<Wish> {
        self.refuse_what_cannot_be()?;
        let streams = self.streams(detached)?;
        let mut config = ContainerConfig {
            name: self.name.clone(),
            command: (!command.is_empty()).then(|| command.to_vec()),
            entrypoint: self.entrypoint.as_ref().map(|program| entrypoint(program)),
            user: self.user.clone(),
            workdir: self.workdir.clone(),
            platform: self.platform.clone(),
            annotations: pairs("annotation", &self.annotation)?,
            umask: self.umask.as_deref().map(octal).transpose()?,
            tty: self.tty,
            open_stdin: self.interactive,
            stdin_once: self.interactive && streams.stdin,
            init: self.init,
            auto_remove,
            ..ContainerConfig::default()
        };
        self.environment.apply(&mut config)?;
        self.mounts.apply(&mut config)?;
        self.network.apply(&mut config)?;
        self.ports.apply(&mut config)?;
        config.resources = self.limits.resources()?;
        self.devices.apply(&mut config)?;
        self.isolation.apply(&mut config)?;
        self.life.apply(&mut config)?;
        let warnings = self.warnings();
        Ok(Wish { config, warnings })
    }

    /// Which streams the caller wants to be connected to.
    pub fn streams(&self, detached: bool) -> Result<Streams> {
        if detached {
            if !self.attach.is_empty() {
                bail!("conflicting options: cannot specify both --attach and --detach");
            }
            return Ok(Streams::default());
        }
        if self.attach.is_empty() {
            return Ok(Streams {
                stdin: self.interactive,
                stdout: true,
                stderr: true,
            });
        }
        let mut streams = Streams::default();
        for stream in &self.attach {
            match stream.to_lowercase().as_str() {
                "stdin" => streams.stdin = true,
                "stdout" => streams.stdout = true,
                "stderr" => streams.stderr = true,
                _ => bail!(
                    "invalid argument {stream:?} for \"-a, --attach\": valid streams are STDIN, STDOUT and STDERR"
                ),
            }
        }
        Ok(streams)
    }

    fn refuse_what_cannot_be(&self) -> Result<()> {
        if let Some(runtime) = self.runtime.as_deref().filter(|name| *name != "lighter") {
            bail!("unknown or invalid runtime name: {runtime} (only 'lighter', which is built in)");
        }
        if self.gpus.is_some() {
            bail!(
                "--gpus needs a driver's own hooks, which lighter does not run: hand the devices in with --device"
            );
        }
        Ok(())
    }

    fn warnings(&self) -> Vec<String> {
        let ignored = [
            (
                self.ignored.disable_content_trust,
                "--disable-content-trust",
                "there is no content trust to disable",
            ),
            (
                self.ignored.kernel_memory.is_some(),
                "--kernel-memory",
                "kernels since 5.11 have no such limit",
            ),
            (
                self.ignored.cpu_rt_period.is_some(),
                "--cpu-rt-period",
                "cgroup v2 has no real-time budget",
            ),
            (
                self.ignored.cpu_rt_runtime.is_some(),
                "--cpu-rt-runtime",
                "cgroup v2 has no real-time budget",
            ),
            (
                self.ignored.isolation.is_some(),
                "--isolation",
                "it is for Windows",
            ),
        ];
        ignored
            .into_iter()
            .filter(|(given, ..)| *given)
            .map(|(_, name, why)| format!("{name} is ignored: {why}"))
            .collect()
    }
}

/// The standard streams the caller is connected to.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Streams {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
}

/// `--entrypoint ""` takes even the image's away.
fn entrypoint(program: &str) -> Vec<String> {
    if program.is_empty() {
        Vec::new()
    } else {
        vec![program.to_owned()]
    }
}

fn octal(text: &str) -> Result<u32> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777)
        .with_context(|| format!("invalid argument {text:?} for \"--umask\": not an octal mode"))
}
