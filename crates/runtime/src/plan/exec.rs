//! A further process in a container that runs.
//!
//! In go the container's state and the process that is asked for; out comes the
//! same kind of script as for a birth. An intermediate process enters the
//! container's groups and namespaces, becomes the user and gives its rights up;
//! only then it clones. So the new process is seen inside when it has nothing of
//! the host any more, neither files nor capabilities (CVE-2016-9962).

use std::path::Path;

use kernel::namespace::Namespace;
use kernel::op::Clone3;
use kernel::{Op, Script, Step};

use super::{cgroup, process};
use crate::{Error, ExecRequest, State, View};

/// Everything that will be asked of the kernel for this process, in order.
///
/// # Errors
/// [`Error::Config`] for a process that cannot be.
pub fn plan(view: &View, state: &State, request: &ExecRequest) -> Result<Script, Error> {
    let process = &request.process;
    let group = group_of(state, request);

    // Out of sight of the container's other processes.
    let mut first = process::labels(process);
    first.extend(cgroup::join(&group));
    first.extend(enter(view));
    first.extend(super::rootfs::enter_root(view));
    if view.own(Namespace::User) {
        let why = "Root of the user namespace does the rest";
        first.push(Step::container(Op::BecomeRoot, why));
    }
    first.extend(process::keyring(view));
    first.extend(process::terminal(process, false));
    first.extend(affinity(process));
    first.extend(process::traits(view, process)?);
    first.extend(process::become_user(process));
    first.push(process::keep_capabilities(view, process));

    // Among them.
    let mut script = Script::default();
    script.extend(birth(state, &group, first));
    script.extend(process::from_outside(view, process));
    let why = "No signal of the caller's terminal reaches it";
    script.push(Step::container(Op::NewSession, why));
    script.extend(process::control_terminal(process));
    script.extend(process::last_steps(view, process, false)?);
    Ok(script)
}

/// The container's group, or one below it that was asked for.
fn group_of(state: &State, request: &ExecRequest) -> kernel::cgroup::Group {
    let mut group = state.cgroup.clone();
    if let Some(below) = &request.cgroup {
        // Beside v1 the group may exist in some hierarchies only: in the others the container's own
        // stays, unless it exists in none, which entering it then says.
        let wanted = |path: &Path| path.join(below.strip_prefix("/").unwrap_or(below));
        let exists = |path: &Path| wanted(path).is_dir();
        let somewhere = group
            .directories
            .iter()
            .any(|directory| exists(&directory.path));
        for directory in &mut group.directories {
            if !somewhere || exists(&directory.path) {
                directory.path = wanted(&directory.path);
            }
        }
    }
    group
}

fn birth(state: &State, group: &kernel::cgroup::Group, first: Vec<Step>) -> [Step; 2] {
    let hold = Op::HoldProcess {
        pid: state.pid,
        start_time: state.start_time,
    };
    let clone = Clone3 {
        new: Vec::new(),
        first: first.into_iter().map(|step| step.op).collect(),
        cgroup: group.unified().map(|directory| directory.path.clone()),
    };
    [
        Step::host(
            hold,
            "The container's first process leads to its namespaces",
        ),
        Step::host(
            Op::Clone(clone),
            "A process that is in the container from its first moment",
        ),
    ]
}

/// The container's namespaces. The user namespace last: what it does not own can only be entered
/// with the host's rights.
fn enter(view: &View) -> Vec<Step> {
    let joined = view.join.iter().map(|(kind, _)| kind);
    let all = view.new.iter().chain(joined).copied();
    let (user, others): (Vec<_>, Vec<_>) = all.partition(|kind| *kind == Namespace::User);
    let lists = [others, user].into_iter().filter(|list| !list.is_empty());
    lists
        .map(|namespaces| Step::container(Op::JoinHeld { namespaces }, "Into the container"))
        .collect()
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
