//! The process: who it is, what it may do, and its last steps before the program.
//!
//! In goes `process` of `config.json`, of a container or of an exec request; out
//! come steps. The order is the security: see [`confine`] and [`keep_capabilities`]. config.md, Process;
//! config-linux.md, Seccomp, Personality, Memory policy.

use std::collections::HashSet;

use kernel::namespace::Namespace;
use kernel::op::{Capabilities, Exec, Inside, Scheduler};
use kernel::{Op, Step};
use oci_spec::runtime::{
    Capability, IOPriorityClass, LinuxPersonalityDomain, LinuxSchedulerFlag, LinuxSchedulerPolicy,
    MemoryPolicyFlagType, MemoryPolicyModeType, Process,
};

use super::{hooks, seccomp};
use crate::{Error, View};

/// Host side: what only the host may set on the process.
pub fn from_outside(view: &View, process: &Process) -> Vec<Step> {
    let oom = process.oom_score_adj().map(|adjustment| {
        Step::host(
            Op::SetOomScore { adjustment },
            "How eagerly it is killed when memory runs out",
        )
    });
    // In a user namespace the process could not raise its own limits.
    let limits = if view.own(Namespace::User) {
        limits(process)
    } else {
        Vec::new()
    };
    let limits = limits.into_iter().map(|op| Step::host(op, LIMIT));
    oom.into_iter().chain(limits).collect()
}

const LIMIT: &str = "No more of this resource than the bundle says";

fn limits(process: &Process) -> Vec<Op> {
    let limit = |limit: &oci_spec::runtime::PosixRlimit| Op::SetRlimit {
        resource: limit.typ().to_string(),
        soft: limit.soft(),
        hard: limit.hard(),
    };
    process.rlimits().iter().flatten().map(limit).collect()
}

/// Container side: a session, a keyring and a terminal.
pub fn session(view: &View, process: &Process) -> Vec<Step> {
    let why = "No signal of the caller's terminal reaches it";
    let mut steps = vec![Step::container(Op::NewSession, why)];
    steps.extend(keyring(view));
    steps.extend(terminal(process, true));
    steps.extend(control_terminal(process));
    steps
}

/// Container side: a session keyring.
pub fn keyring(view: &View) -> Option<Step> {
    let name = format!("_ses.{}", view.id);
    let step = || Step::container(Op::NewKeyring { name }, "The host's keys stay out of reach");
    (!view.attach.no_new_keyring).then(step)
}

/// Container side: a terminal, shown at `/dev/console` to the first process.
pub fn terminal(process: &Process, console: bool) -> Option<Step> {
    if !process.terminal().unwrap_or(false) {
        return None;
    }
    let size = process
        .console_size()
        .map(|size| (size.height() as u16, size.width() as u16));
    let op = Op::OpenTerminal {
        size,
        uid: process.user().uid(),
        console,
    };
    Some(Step::container(op, "A terminal of the container's own"))
}

/// Container side, in the new session: the terminal that was opened is the session's.
pub fn control_terminal(process: &Process) -> Option<Step> {
    let why = "Its keys and its end reach the program";
    let wanted = process.terminal().unwrap_or(false);
    wanted.then(|| Step::container(Op::ControlTerminal, why))
}

/// Container side: scheduling and other traits that need the rights of root.
pub fn traits(view: &View, process: &Process) -> Result<Vec<Step>, Error> {
    let mut ops = Vec::new();
    if let Some(scheduler) = process.scheduler() {
        ops.push((
            Op::SetScheduler(scheduling(scheduler)?),
            "Scheduled as the bundle says",
        ));
    }
    if let Some(priority) = process.io_priority() {
        let class = match priority.class() {
            IOPriorityClass::IoprioClassRt => 1,
            IOPriorityClass::IoprioClassBe => 2,
            IOPriorityClass::IoprioClassIdle => 3,
        };
        let level = u8::try_from(priority.priority())
            .ok()
            .filter(|level| *level < 8);
        let level =
            level.ok_or_else(|| refuse("process.ioPriority.priority", "it is not 0 to 7"))?;
        ops.push((Op::SetIoPriority { class, level }, "Its turn at the disk"));
    }
    if let Some(policy) = view.memory_policy {
        ops.push((
            memory_policy(policy)?,
            "From which memory nodes its pages come",
        ));
    }
    if let Some(personality) = view.personality {
        if personality
            .flags()
            .as_ref()
            .is_some_and(|flags| !flags.is_empty())
        {
            return Err(refuse("linux.personality.flags", "no flag is defined"));
        }
        let persona = match personality.domain() {
            LinuxPersonalityDomain::PerLinux => 0,
            LinuxPersonalityDomain::PerLinux32 => 8,
        };
        ops.push((
            Op::SetPersonality { persona },
            "What uname says of the machine",
        ));
    }
    Ok(ops
        .into_iter()
        .map(|(op, why)| Step::container(op, why))
        .collect())
}

fn refuse(field: &str, reason: &str) -> Error {
    Error::Config {
        field: field.into(),
        reason: reason.into(),
    }
}

fn scheduling(wanted: &oci_spec::runtime::Scheduler) -> Result<Scheduler, Error> {
    let policy = match wanted.policy() {
        LinuxSchedulerPolicy::SchedOther => 0,
        LinuxSchedulerPolicy::SchedFifo => 1,
        LinuxSchedulerPolicy::SchedRr => 2,
        LinuxSchedulerPolicy::SchedBatch => 3,
        LinuxSchedulerPolicy::SchedIso => 4,
        LinuxSchedulerPolicy::SchedIdle => 5,
        LinuxSchedulerPolicy::SchedDeadline => 6,
    };
    let flag = |flag: &LinuxSchedulerFlag| match flag {
        LinuxSchedulerFlag::SchedResetOnFork => 0x01,
        LinuxSchedulerFlag::SchedFlagReclaim => 0x02,
        LinuxSchedulerFlag::SchedFlagDLOverrun => 0x04,
        LinuxSchedulerFlag::SchedFlagKeepPolicy => 0x08,
        LinuxSchedulerFlag::SchedFlagKeepParams => 0x10,
        LinuxSchedulerFlag::SchedFlagUtilClampMin => 0x20,
        LinuxSchedulerFlag::SchedFlagUtilClampMax => 0x40,
    };
    let priority = wanted.priority().unwrap_or(0);
    let priority = u32::try_from(priority)
        .map_err(|_| refuse("process.scheduler.priority", "it is negative"))?;
    Ok(Scheduler {
        policy,
        flags: wanted
            .flags()
            .iter()
            .flatten()
            .map(flag)
            .fold(0, |all, one| all | one),
        nice: wanted.nice().unwrap_or(0),
        priority,
        runtime: wanted.runtime().unwrap_or(0),
        deadline: wanted.deadline().unwrap_or(0),
        period: wanted.period().unwrap_or(0),
    })
}

fn memory_policy(policy: &oci_spec::runtime::LinuxMemoryPolicy) -> Result<Op, Error> {
    let mode: u32 = match policy.mode() {
        MemoryPolicyModeType::MpolDefault => 0,
        MemoryPolicyModeType::MpolPreferred => 1,
        MemoryPolicyModeType::MpolBind => 2,
        MemoryPolicyModeType::MpolInterleave => 3,
        MemoryPolicyModeType::MpolLocal => 4,
        MemoryPolicyModeType::MpolPreferredMany => 5,
        MemoryPolicyModeType::MpolWeightedInterleave => 6,
    };
    let flag = |flag: &MemoryPolicyFlagType| match flag {
        MemoryPolicyFlagType::MpolFStaticNodes => 1 << 15,
        MemoryPolicyFlagType::MpolFRelativeNodes => 1 << 14,
        MemoryPolicyFlagType::MpolFNumaBalancing => 1 << 13,
    };
    let flags: u32 = policy
        .flags()
        .iter()
        .flatten()
        .map(flag)
        .fold(0, |all, one| all | one);
    let nodes = policy.nodes().clone().unwrap_or_default();
    if matches!(mode, 2 | 3 | 5 | 6) && nodes.is_empty() {
        return Err(refuse("linux.memoryPolicy.nodes", "this mode needs nodes"));
    }
    Ok(Op::SetMemoryPolicy {
        mode: mode | flags,
        nodes,
    })
}

/// Container side: from root to the user's program.
///
/// As much as possible is given up before anybody is told that the container is created. With
/// no_new_privs that is everything; without it the seccomp filter can only be loaded with
/// `CAP_SYS_ADMIN`, so the capabilities go right after it. Hooks and the program, which come from
/// the image, always run with no more than the bundle allows.
pub fn confine(view: &View, process: &Process) -> Result<Vec<Step>, Error> {
    let mut steps = become_user(process);
    steps.extend(last_steps(view, process, true)?);
    Ok(steps)
}

/// Container side: what root has to do for the program, up to the change of the user.
pub fn become_user(process: &Process) -> Vec<Step> {
    let mask = process.user().umask().unwrap_or(0o022);
    let bounding = Wanted::of(process).bounding;
    let path = Inside::new(process.cwd().as_path());
    let mut ops = vec![
        (
            Op::SetUmask { mask },
            "What others may not do with its new files",
        ),
        (
            Op::LimitCapabilities { bounding },
            "No program can ever get what is not in the bounding set",
        ),
        (Op::ChangeDirectory { path }, "Where the program starts"),
    ];
    ops.extend(find_home(process).map(|op| (op, "Its environment names no HOME")));
    ops.push((set_user(process), "The program's user"));
    let step = |(op, why)| Step::container(op, why);
    ops.into_iter().map(step).collect()
}

/// Container side: what a further process keeps when it becomes visible to the container's other
/// processes. Nothing that the program does not get, but for two steps that are still to come.
pub fn keep_capabilities(view: &View, process: &Process) -> Step {
    let Wanted { sets, .. } = Wanted::of(process);
    let mut names = [sets.effective, sets.permitted, sets.inheritable].concat();
    if filters_late(view, process) {
        names.push("CAP_SYS_ADMIN".into());
    }
    if process
        .rlimits()
        .as_ref()
        .is_some_and(|limits| !limits.is_empty())
    {
        names.push("CAP_SYS_RESOURCE".into());
    }
    let why = "Who can trace it in the container gains nothing";
    Step::container(Op::KeepCapabilities { names }, why)
}

/// Without no_new_privs a filter needs `CAP_SYS_ADMIN`, and so comes before the capabilities go.
fn filters_late(view: &View, process: &Process) -> bool {
    view.seccomp.is_some() && !process.no_new_privileges().unwrap_or(false)
}

/// Container side, as the program's user: the rest, up to the program.
pub fn last_steps(view: &View, process: &Process, started: bool) -> Result<Vec<Step>, Error> {
    let filter = seccomp::steps(view)?;
    let inside = Step::container;
    let sockets = view.attach.activation.sockets;
    let keep = view.attach.preserve_fds.saturating_add(sockets);
    let mut steps = vec![
        inside(find_program(process), "Say now if it cannot be started"),
        inside(Op::CloseOnExec { keep }, "Nothing of the host is left open"),
    ];
    if view.attach.die_with_creator {
        let why = "It does not outlive whoever keeps it";
        steps.push(inside(Op::DieWithCreator, why));
    }
    if !view.own(Namespace::User) {
        steps.extend(limits(process).into_iter().map(|op| inside(op, LIMIT)));
    }
    let give_up = inside(
        Op::SetCapabilities(Wanted::of(process).sets),
        "No more than the program needs",
    );
    let never_again = process
        .no_new_privileges()
        .unwrap_or(false)
        .then(|| inside(Op::NoNewPrivileges, "Set-user-id programs give nothing"));
    let waiting = started.then(|| inside(Op::AwaitStart, "Created; the program starts when told"));
    if filters_late(view, process) {
        steps.extend(waiting);
        steps.extend(filter);
        steps.push(give_up);
    } else {
        steps.push(give_up);
        steps.extend(never_again);
        steps.extend(waiting);
        steps.extend(filter);
    }
    if started {
        steps.extend(hooks::start_container(view));
    }
    if view.attach.init {
        let why = "Somebody passes signals on and reaps orphans";
        steps.push(inside(Op::BecomeInit, why));
    }
    steps.push(inside(execute(view, process), "The user's program"));
    Ok(steps)
}

/// Container side, without `process`: created like any other, and the start is an error.
/// config.md, Process: it is required when start is called, and not before.
pub fn nothing_to_run() -> Vec<Step> {
    let find = Op::FindProgram {
        program: String::new(),
        path: String::new(),
    };
    let bounding = Vec::new();
    let ops = [
        (
            Op::NewSession,
            "No signal of the caller's terminal reaches it",
        ),
        (Op::LimitCapabilities { bounding }, "It does nothing"),
        (
            Op::CloseOnExec { keep: 0 },
            "Nothing of the host is left open",
        ),
        (
            Op::SetCapabilities(Capabilities::default()),
            "It does nothing",
        ),
        (Op::NoNewPrivileges, "It does nothing"),
        (Op::AwaitStart, "Created; there is nothing to start"),
        (find, "config.json names no program"),
    ];
    ops.into_iter()
        .map(|(op, why)| Step::container(op, why))
        .collect()
}

/// Container side, while procfs is within reach: how the host's security module confines the program.
pub fn labels(process: &Process) -> Vec<Step> {
    let mut steps = Vec::new();
    if let Some(profile) = process
        .apparmor_profile()
        .as_ref()
        .filter(|profile| !profile.is_empty())
    {
        let op = Op::SetAppArmor {
            profile: profile.clone(),
        };
        steps.push(Step::container(
            op,
            "The host's AppArmor confines the program",
        ));
    }
    if let Some(label) = process
        .selinux_label()
        .as_ref()
        .filter(|label| !label.is_empty())
    {
        let op = Op::SetSelinux {
            label: label.clone(),
        };
        steps.push(Step::container(
            op,
            "The host's SELinux confines the program",
        ));
    }
    steps
}

fn set_user(process: &Process) -> Op {
    let user = process.user();
    let groups = user.additional_gids().clone().unwrap_or_default();
    Op::SetUser {
        uid: user.uid(),
        gid: user.gid(),
        groups: Some(groups),
    }
}

/// Engines leave `HOME` to the runtime, as runc sets it.
fn find_home(process: &Process) -> Option<Op> {
    let uid = process.user().uid();
    let given = |variable: &String| {
        variable
            .strip_prefix("HOME=")
            .is_some_and(|home| !home.is_empty())
    };
    let missing = !process.env().iter().flatten().any(given);
    missing.then_some(Op::FindHome { uid })
}

fn find_program(process: &Process) -> Op {
    let program = process
        .args()
        .iter()
        .flatten()
        .next()
        .cloned()
        .unwrap_or_default();
    let env = process.env().iter().flatten();
    let path = env
        .filter_map(|variable| variable.strip_prefix("PATH="))
        .next_back();
    Op::FindProgram {
        program,
        path: path.unwrap_or_default().into(),
    }
}

fn execute(view: &View, process: &Process) -> Op {
    let mut env = environment(process);
    env.extend(activation(view));
    Op::Exec(Exec {
        args: process.args().clone().unwrap_or_default(),
        env,
    })
}

/// The variables of sd_listen_fds(3) and sd_notify(3). In its pid namespace the program is 1.
fn activation(view: &View) -> Vec<String> {
    let given = &view.attach.activation;
    let mut env = Vec::new();
    if given.sockets > 0 {
        env.extend([
            format!("LISTEN_FDS={}", given.sockets),
            "LISTEN_PID=1".into(),
        ]);
        env.extend(
            given
                .names
                .iter()
                .map(|names| format!("LISTEN_FDNAMES={names}")),
        );
    }
    if given.notify.is_some() {
        env.push(format!("NOTIFY_SOCKET={}", super::mounts::NOTIFY_SOCKET));
    }
    env
}

/// The variables of the program. Of two with one name the last one counts, as the shell would
/// have it and getenv(3), which finds the first, would not.
pub fn environment(process: &Process) -> Vec<String> {
    let name = |variable: &str| variable.split('=').next().unwrap_or_default().to_owned();
    let all = process.env().as_deref().unwrap_or_default();
    let mut seen = HashSet::new();
    let last = all
        .iter()
        .rev()
        .filter(|variable| seen.insert(name(variable)));
    let mut kept: Vec<_> = last.filter(|text| *text != "HOME=").cloned().collect();
    kept.reverse();
    kept
}

struct Wanted {
    bounding: Vec<String>,
    sets: Capabilities,
}

impl Wanted {
    /// Without `process.capabilities` there are none.
    fn of(process: &Process) -> Wanted {
        let Some(wanted) = process.capabilities() else {
            return Wanted {
                bounding: Vec::new(),
                sets: Capabilities::default(),
            };
        };
        Wanted {
            bounding: names(wanted.bounding().as_ref()),
            sets: Capabilities {
                effective: names(wanted.effective().as_ref()),
                permitted: names(wanted.permitted().as_ref()),
                inheritable: names(wanted.inheritable().as_ref()),
                ambient: names(wanted.ambient().as_ref()),
            },
        }
    }
}

fn names(set: Option<&HashSet<Capability>>) -> Vec<String> {
    let mut names: Vec<_> = set
        .into_iter()
        .flatten()
        .map(|capability| format!("CAP_{capability}"))
        .collect();
    names.sort();
    names
}
