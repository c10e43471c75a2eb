//! `lighter compose wait`: blocks until containers of services end.

use std::process::ExitCode;

use anyhow::{Result, bail};
use engine::wait::Until;
use orchestrator::lifecycle::{self, Down};
use orchestrator::observe::{self, Observed};

use super::play::play;
use super::project::Session;
use crate::commands::run::code_of;
use crate::output;

/// Block until containers of all (or specified) services stop
#[derive(clap::Args)]
pub struct Args {
    /// Drops project when the first container stops
    #[arg(long)]
    down_project: bool,
    #[arg(required = true, value_name = "SERVICE")]
    services: Vec<String>,
}

/// Waits for all, prints each code; exits with the first that is not 0. With `--down-project` the first to end decides.
pub fn run(args: Args, session: &Session) -> Result<ExitCode> {
    let containers = session.containers(&args.services)?;
    if containers.is_empty() {
        bail!("no container of {} to wait for", args.services.join(", "));
    }
    let (sender, receiver) = std::sync::mpsc::channel();
    for container in containers {
        let (sender, root, state) = (
            sender.clone(),
            session.global.root.clone(),
            session.global.state.clone(),
        );
        // Not scoped: with --down-project we leave while others still wait.
        std::thread::spawn(move || {
            let code = engine::Engine::open(&root, &state)
                .and_then(|engine| engine.wait(&container.id, Until::NotRunning));
            let _ = sender.send((container.name, code));
        });
    }
    drop(sender);
    let mut worst = 0;
    for (name, code) in receiver {
        let code = code?;
        output::line(format_args!("container {name:?} exited with {code}"))?;
        worst = if worst == 0 { code } else { worst };
        if args.down_project {
            down(session)?;
            break;
        }
    }
    Ok(code_of(worst))
}

fn down(session: &Session) -> Result<()> {
    let (name, project) = session.named(&[])?;
    let _turn = session.turn(&name)?;
    let observed = Observed {
        containers: observe::containers(&session.host, &name)?,
        ..observe::resources(&session.host)?
    };
    play(
        &lifecycle::down(&name, project.as_ref(), &observed, &Down::default()),
        session,
        None,
    )
}
