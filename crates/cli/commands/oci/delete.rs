//! `delete`: a container's state, cgroup and mounts go; with `--force` its processes too.

use std::process::ExitCode;

use super::options::{End, Given, switch};
use super::{Call, Verb};

pub(super) const VERB: Verb = Verb {
    name: "delete",
    usage: "ID",
    about: "Remove a stopped container",
    flags: &[switch(
        "force",
        "Kill it first; one that does not exist is no error",
    )
    .or("f")],
    end: End::Never,
    run,
    failure: 1,
};

fn run(call: &Call, given: &Given) -> anyhow::Result<ExitCode> {
    let (id, _) = given.id(0)?;
    let force = given.switch("force")?;
    match runtime::Container::load(&call.states, id) {
        // An engine that cleans up after a crash does not know how far the clean-up before it came.
        Err(runtime::Error::Missing { .. }) if force => {}
        container => {
            let warnings = container?.delete(force)?;
            call.warn(warnings);
        }
    }
    Ok(ExitCode::SUCCESS)
}
