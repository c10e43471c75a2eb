//! `pause` and `resume`: all processes of a container stop, and go on.

use std::process::ExitCode;

use super::options::{End, Given};
use super::{Call, Verb};

pub(super) const PAUSE: Verb = Verb {
    name: "pause",
    usage: "ID",
    about: "Stop all processes of a container from running",
    flags: &[],
    end: End::Never,
    run: pause,
    failure: 1,
};

pub(super) const RESUME: Verb = Verb {
    name: "resume",
    usage: "ID",
    about: "Let the processes of a paused container go on",
    flags: &[],
    end: End::Never,
    run: resume,
    failure: 1,
};

fn pause(call: &Call, given: &Given) -> anyhow::Result<ExitCode> {
    call.container(given.id(0)?.0)?.pause()?;
    Ok(ExitCode::SUCCESS)
}

fn resume(call: &Call, given: &Given) -> anyhow::Result<ExitCode> {
    call.container(given.id(0)?.0)?.resume()?;
    Ok(ExitCode::SUCCESS)
}
