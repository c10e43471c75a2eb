//! A further process in a container that runs.
//!
//! In go the container's state and the process that is asked for; out comes the
//! same kind of script as for a birth: born into the container's group, enter
//! its namespaces at once, confine, execute. Nothing of the container runs in
//! between, and it cannot look into the process that enters it.

use kernel::namespace::Namespace;
use kernel::op::{Clone3, PidNamespace};
use kernel::{Op, Script, Step};

use super::{cgroup, process};
use crate::{Error, ExecRequest, State, View};

/// Everything that will be asked of the kernel for this process, in order.
pub fn plan(view: &View, state: &State, request: &ExecRequest) -> Result<Script, Error> {
    let process = &request.process;
    let mut script = Script::default();
    script.extend(birth(view, state, request));
    script.extend(process::from_outside(view, process));
    script.extend(cgroup::join(&group_of(state, request)));
    script.extend(enter(view));
    script.extend(process::session(view, process, false));
    script.extend(affinity(process));
    script.extend(process::traits(view, process)?);
    script.extend(process::confine(view, process, false)?);
    Ok(script)
}

/// The container's group, or one below it that was asked for.
fn group_of(state: &State, request: &ExecRequest) -> kernel::cgroup::Group {
    let mut group = state.cgroup.clone();
    if let Some(below) = &request.cgroup {
        for directory in &mut group.directories {
            directory.path = directory
                .path
                .join(below.strip_prefix("/").unwrap_or(below));
        }
    }
    group
}

fn birth(view: &View, state: &State, request: &ExecRequest) -> [Step; 2] {
    let hold = Op::HoldProcess {
        pid: state.pid,
        start_time: state.start_time,
    };
    let group = group_of(state, request);
    let clone = Clone3 {
        pid_namespace: view.own(Namespace::Pid).then_some(PidNamespace::OfHeld),
        cgroup: group.unified().map(|directory| directory.path.clone()),
        ..Clone3::default()
    };
    [
        Step::host(
            hold,
            "The container's first process leads to its namespaces",
        ),
        Step::host(
            Op::Clone(clone),
            "A process in the container's group and pid namespace",
        ),
    ]
}

/// The container's other namespaces. The user namespace last: what it does not own can only be
/// entered with the host's rights.
fn enter(view: &View) -> Vec<Step> {
    let all = view
        .new
        .iter()
        .chain(view.join.iter().map(|(kind, _)| kind))
        .copied();
    let (user, others): (Vec<_>, Vec<_>) = all
        .filter(|kind| *kind != Namespace::Pid)
        .partition(|kind| *kind == Namespace::User);
    let join = |namespaces| Op::JoinHeld { namespaces };
    let mut steps = vec![Step::container(join(others), "See what the container sees")];
    if !user.is_empty() {
        steps.push(Step::container(
            join(user),
            "Have no more rights than the container",
        ));
        steps.push(Step::container(
            Op::BecomeRoot,
            "Root of the user namespace does the rest",
        ));
    }
    steps
}

fn affinity(process: &oci_spec::runtime::Process) -> Option<Step> {
    let affinity = process.exec_cpu_affinity().as_ref()?;
    let cpus = affinity
        .cpu_affinity_final()
        .clone()
        .or_else(|| affinity.initial().clone())?;
    Some(Step::container(
        Op::SetAffinity { cpus },
        "Only these processors",
    ))
}
