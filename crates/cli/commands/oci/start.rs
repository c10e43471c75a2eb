//! `start`: the program of a created container begins.

use std::process::ExitCode;

use super::options::{End, Given};
use super::{Call, Verb};

pub(super) const VERB: Verb = Verb {
    name: "start",
    usage: "ID",
    about: "Start the program of a created container",
    flags: &[],
    end: End::Never,
    run,
    failure: 1,
};

fn run(call: &Call, given: &Given) -> anyhow::Result<ExitCode> {
    call.container(given.id(0)?.0)?.start()?;
    Ok(ExitCode::SUCCESS)
}
