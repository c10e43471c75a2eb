//! `lighter compose`: whole applications from Compose files.
//!
//! The options here come before the verb and say which project is meant; each verb is a file beside this one. A verb
//! loads the project or finds its containers by label, makes a plan or reads, and prints. Loading, planning and playing
//! are the crate `orchestrator`.

mod build;
mod config;
mod cp;
mod create;
mod down;
mod events;
mod exec;
mod images;
mod kill;
mod logs;
mod ls;
mod pause;
mod plan;
mod play;
mod port;
pub mod project;
mod ps;
mod pull;
mod push;
mod restart;
mod rm;
mod run;
mod scale;
mod start;
mod stats;
mod stop;
mod top;
mod unpause;
mod up;
mod version;
mod volumes;
mod wait;
mod watch;

use std::process::ExitCode;

use anyhow::Result;

use crate::args::Global;
use project::{Options, Session};

/// Define and run multi-container applications from Compose files
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    Build(build::Args),
    Config(config::Args),
    /// The same as `config`
    #[command(hide = true)]
    Convert(config::Args),
    Cp(cp::Args),
    Create(create::Args),
    Down(down::Args),
    Events(events::Args),
    Exec(exec::Args),
    Images(images::Args),
    Kill(kill::Args),
    Logs(logs::Args),
    Ls(ls::Args),
    Pause(pause::Args),
    Plan(plan::Args),
    Port(port::Args),
    Ps(ps::Args),
    Pull(pull::Args),
    Push(push::Args),
    Restart(restart::Args),
    Rm(rm::Args),
    Run(Box<run::Args>),
    Scale(scale::Args),
    Start(start::Args),
    Stats(stats::Args),
    Stop(stop::Args),
    Top(top::Args),
    Unpause(unpause::Args),
    Up(Box<up::Args>),
    Version(version::Args),
    Volumes(volumes::Args),
    Wait(wait::Args),
    Watch(watch::Args),
}

/// Calls the verb.
pub fn run(args: Args, global: &Global) -> Result<ExitCode> {
    let session = Session::new(args.options, global)?;
    match args.verb {
        Verb::Build(args) => build::run(args, &session),
        Verb::Config(args) | Verb::Convert(args) => config::run(args, &session),
        Verb::Cp(args) => cp::run(args, &session),
        Verb::Create(args) => create::run(args, &session),
        Verb::Down(args) => down::run(args, &session),
        Verb::Events(args) => events::run(args, &session),
        Verb::Exec(args) => exec::run(args, &session),
        Verb::Images(args) => images::run(args, &session),
        Verb::Kill(args) => kill::run(args, &session),
        Verb::Logs(args) => logs::run(args, &session),
        Verb::Ls(args) => ls::run(args, &session),
        Verb::Pause(args) => pause::run(args, &session),
        Verb::Plan(args) => plan::run(args, &session),
        Verb::Port(args) => port::run(args, &session),
        Verb::Ps(args) => ps::run(args, &session),
        Verb::Pull(args) => pull::run(args, &session),
        Verb::Push(args) => push::run(args, &session),
        Verb::Restart(args) => restart::run(args, &session),
        Verb::Rm(args) => rm::run(args, &session),
        Verb::Run(args) => run::run(*args, &session),
        Verb::Scale(args) => scale::run(args, &session),
        Verb::Start(args) => start::run(args, &session),
        Verb::Stats(args) => stats::run(args, &session),
        Verb::Stop(args) => stop::run(args, &session),
        Verb::Top(args) => top::run(args, &session),
        Verb::Unpause(args) => unpause::run(args, &session),
        Verb::Up(args) => up::run(*args, &session),
        Verb::Version(args) => version::run(args, &session),
        Verb::Volumes(args) => volumes::run(args, &session),
        Verb::Wait(args) => wait::run(args, &session),
        Verb::Watch(args) => watch::run(args, &session),
    }
}
