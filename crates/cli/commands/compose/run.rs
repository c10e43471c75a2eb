//! `lighter compose run`: a container of a service for one command, beside those of `up`.
//!
//! It has no published ports and no alias of the service unless asked for, and never restarts.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};
use engine::attach::Attach;
use engine::config::{ContainerConfig, RestartPolicy};
use orchestrator::container::{self, label};
use orchestrator::observe;
use orchestrator::plan::{Action, Cause};
use orchestrator::reconcile::{self, Pull};

use super::play::play;
use super::project::Session;
use crate::commands::run::ended;
use crate::options::environment;
use crate::output;
use crate::report;

/// Run a one-off command on a service
#[derive(clap::Args)]
#[command(override_usage = "lighter compose run [OPTIONS] SERVICE [COMMAND] [ARG...]")]
#[allow(clippy::struct_excessive_bools)]
pub struct Args {
    /// Build image before starting container
    #[arg(long)]
    build: bool,
    /// Add Linux capabilities
    #[arg(long, value_name = "CAP")]
    cap_add: Vec<String>,
    /// Drop Linux capabilities
    #[arg(long, value_name = "CAP")]
    cap_drop: Vec<String>,
    /// Run container in background and print container ID
    #[arg(short, long)]
    detach: bool,
    /// Override the entrypoint of the image
    #[arg(long)]
    entrypoint: Option<String>,
    /// Set environment variables
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Keep STDIN open even if not attached
    #[arg(short, long, value_parser = crate::args::go_bool, num_args = 0..=1, require_equals = true,
        default_missing_value = "true", default_value = "true", action = clap::ArgAction::Set)]
    interactive: bool,
    /// Add or override a label
    #[arg(short, long, value_name = "KEY=VALUE")]
    label: Vec<String>,
    /// Assign a name to the container
    #[arg(long)]
    name: Option<String>,
    /// Disable pseudo-TTY allocation
    #[arg(short = 'T', long = "no-tty", visible_alias = "no-TTY")]
    no_tty: bool,
    /// Don't start linked services
    #[arg(long)]
    no_deps: bool,
    /// Publish a container's port to the host
    #[arg(short, long, value_name = "[IP:][PUBLISHED:]PORT")]
    publish: Vec<String>,
    /// Pull image before running: 'always', 'missing', 'never' or 'policy'
    #[arg(long, value_name = "WHEN", default_value = "policy", value_parser = ["always", "missing", "never", "policy"], hide_possible_values = true)]
    pull: String,
    /// Remove containers for services not defined in the Compose file
    #[arg(long)]
    remove_orphans: bool,
    /// Automatically remove the container when it exits
    #[arg(long)]
    rm: bool,
    /// Run command with all service's ports enabled and mapped to the host
    #[arg(short = 'P', long)]
    service_ports: bool,
    /// Use the service's network aliases
    #[arg(long)]
    use_aliases: bool,
    /// Run as specified username or uid
    #[arg(short, long)]
    user: Option<String>,
    /// Bind mount a volume
    #[arg(short, long, value_name = "SOURCE:TARGET[:OPTIONS]")]
    volume: Vec<String>,
    /// Working directory inside the container
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// The service, then the command and its arguments
    #[arg(
        value_name = "SERVICE COMMAND",
        required = true,
        trailing_var_arg = true
    )]
    words: Vec<String>,
}

/// Starts what the service depends on, then runs the command.
pub fn run(args: Args, session: &Session) -> Result<ExitCode> {
    if args.build {
        bail!("lighter cannot build images yet; leave --build out");
    }
    let Some((service, command)) = args.words.split_first() else {
        return Ok(ExitCode::FAILURE);
    };
    let named = [service.clone()];
    let project = session.project(&named)?;
    if !project.services.contains_key(service) {
        bail!("no such service: {service}");
    }
    session.check_support(&project, &named)?;
    let turn = session.turn(&project.name)?;
    let observed = observe::observe(&session.host, &project)?;
    let mut wish = container::container(&project, service, 1)?;
    wish.labels = container::labels(&project, service, 1, true);
    let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    shape(&mut wish, &args, command, &project.name, service, terminal)?;
    let options = reconcile::Options {
        services: named.to_vec(),
        no_deps: args.no_deps,
        remove_orphans: args.remove_orphans,
        pull: pull(&args.pull),
        ..reconcile::Options::default()
    };
    let name = wish.name.clone().unwrap_or_default();
    let mut plan = reconcile::dependencies(&project, &observed, &options, service)?;
    let needs: Vec<usize> = (0..plan.steps.len()).collect();
    plan.add(Action::Create(Box::new(wish)), Cause::Asked("run"), needs);
    play(&plan, session, None)?;
    if session.dry_run() {
        return Ok(ExitCode::SUCCESS);
    }
    drop(turn);
    start(&args, session, &name)
}

fn pull(policy: &str) -> Option<Pull> {
    match policy {
        "always" => Some(Pull::Always),
        "missing" => Some(Pull::Missing),
        "never" => Some(Pull::Never),
        _ => None,
    }
}

/// Lays the options over the service's own container.
fn shape(
    wish: &mut ContainerConfig,
    args: &Args,
    command: &[String],
    project: &str,
    service: &str,
    terminal: bool,
) -> Result<()> {
    wish.name = Some(
        args.name
            .clone()
            .unwrap_or_else(|| format!("{project}-{service}-run-{}", slug())),
    );
    if !command.is_empty() {
        wish.command = Some(command.to_vec());
    }
    if let Some(entrypoint) = &args.entrypoint {
        wish.entrypoint =
            Some(orchestrator::quantity::words(entrypoint).map_err(anyhow::Error::msg)?);
        wish.command = Some(command.to_vec());
    }
    wish.env.extend(environment(&args.env, &[])?);
    wish.user = args.user.clone().or(wish.user.take());
    wish.workdir = args.workdir.clone().or(wish.workdir.take());
    wish.cap_add.extend(args.cap_add.iter().cloned());
    wish.cap_drop.extend(args.cap_drop.iter().cloned());
    for line in &args.label {
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        wish.labels.insert(key.to_owned(), value.to_owned());
    }
    wish.labels.insert(label::ONE_OFF.into(), "True".into());
    if !args.service_ports {
        wish.ports.clear();
    }
    for line in &args.publish {
        wish.ports
            .extend(container::port(line).map_err(anyhow::Error::msg)?);
    }
    for line in &args.volume {
        let here = std::env::current_dir()?;
        wish.mounts
            .push(container::volume(line, &here).map_err(anyhow::Error::msg)?);
    }
    if !args.use_aliases {
        wish.networks
            .iter_mut()
            .for_each(|network| network.aliases.clear());
    }
    wish.restart = RestartPolicy::No;
    wish.auto_remove = args.rm && args.detach;
    wish.tty = !args.no_tty && terminal && !args.detach;
    wish.open_stdin = args.interactive && !args.detach;
    wish.stdin_once = wish.open_stdin;
    Ok(())
}

/// Twelve digits that the next `run` will not have.
fn slug() -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos());
    let mixed =
        (now as u64 ^ (u64::from(std::process::id()) << 40)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("{:012x}", mixed >> 16)
}

fn start(args: &Args, session: &Session, name: &str) -> Result<ExitCode> {
    let engine = &session.host.engine;
    if args.detach {
        engine.start(name)?;
        output::line(name)?;
        return Ok(ExitCode::SUCCESS);
    }
    let attach = Attach {
        stdin: args.interactive,
        ..Attach::default()
    };
    let result = engine.start_attached(name, &attach);
    if args.rm && !matches!(result, Ok(engine::attach::Ended::Detached)) {
        engine.remove(
            name,
            engine::remove::Remove {
                force: true,
                volumes: true,
            },
        )?;
    }
    match result {
        Ok(end) => Ok(ended(end)),
        Err(error) => {
            let code = error.exit_code();
            let code = if code == 1 { report::CANNOT_RUN } else { code };
            Err(report::failure(code, error))
        }
    }
}
