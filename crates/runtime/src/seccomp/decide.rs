//! Decides what happens to each system call: from named rules to clauses by number.
//!
//! In: the [`Profile`], the rules checked and with verdicts as the kernel's numbers. Out: for one
//! architecture a list of [`Span`]s that covers all numbers, each with its clauses. Next: `emit.rs`.
//!
//! The clauses of one call are tried in the order of the profile, the first that holds decides.

use std::collections::HashMap;

use oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArg, LinuxSeccompOperator as Operator,
    LinuxSyscall,
};

use super::config;
use super::table::{Architecture, IPC_CALLS, SOCKETCALLS, X32_BIT};
use crate::Error;

/// The largest errno the kernel hands to a program (`MAX_ERRNO`, linux/err.h).
const MAX_ERRNO: u32 = 4095;
/// `SECCOMP_RET_ERRNO | ENOSYS`
pub(super) const NO_SUCH_CALL: u32 = 0x0005_0000 | libc::ENOSYS as u32;

/// One comparison of an argument, true or false.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Condition {
    /// Which argument, 0 to 5.
    pub(super) index: u32,
    pub(super) operator: Operator,
    pub(super) value: u64,
    /// For [`Operator::ScmpCmpMaskedEq`]: what the bits of `value` in the argument must equal.
    pub(super) second: u64,
}

/// If all conditions hold, the verdict (`SECCOMP_RET_*` with its data) is the answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Clause {
    pub(super) conditions: Vec<Condition>,
    pub(super) verdict: u32,
}

/// System calls from `first` up to the next span's, which all are answered alike.
#[derive(Debug, PartialEq)]
pub(super) struct Span {
    pub(super) first: u32,
    /// The last one has no conditions.
    pub(super) clauses: Vec<Clause>,
}

/// The rules of a bundle, checked.
pub(super) struct Profile<'a> {
    clauses: HashMap<&'a str, Vec<Clause>>,
    otherwise: u32,
    /// Whether a call that is newer than the profile is answered `ENOSYS`.
    newer_is_unknown: bool,
}

impl<'a> Profile<'a> {
    pub(super) fn new(rules: &'a LinuxSeccomp) -> Result<Self, Error> {
        let action = rules.default_action();
        if action == Action::ScmpActNotify {
            return Err(config(
                "defaultAction",
                "SCMP_ACT_NOTIFY would stop the runtime itself",
            ));
        }
        let otherwise = verdict(action, rules.default_errno_ret(), "defaultErrnoRet")?;
        let calls = rules.syscalls().as_deref().unwrap_or_default();
        let mut clauses: HashMap<&str, Vec<Clause>> = HashMap::with_capacity(512);
        for (index, call) in calls.iter().enumerate() {
            let of_rule = clauses_of(call, &format!("syscalls[{index}]"))?;
            for name in call.names() {
                clauses
                    .entry(name)
                    .or_default()
                    .extend(of_rule.iter().cloned());
            }
        }
        Ok(Self {
            clauses,
            otherwise,
            newer_is_unknown: is_refusal(action),
        })
    }

    fn clauses_for(&self, name: &str) -> &[Clause] {
        self.clauses.get(name).map_or(&[], Vec::as_slice)
    }

    /// The newest call that the profile knows, when calls beyond it are to be answered `ENOSYS`.
    fn newest(&self, calls: &[(u32, &str)]) -> Option<u32> {
        let is_named =
            |(number, name): &&(u32, &str)| !is_private(*number) && self.clauses.contains_key(name);
        let newest = calls.iter().rev().find(is_named).map(|(number, _)| *number);
        newest.filter(|_| self.newer_is_unknown)
    }
}

fn is_refusal(action: Action) -> bool {
    use Action::{ScmpActErrno, ScmpActKill, ScmpActKillProcess, ScmpActKillThread, ScmpActTrap};
    matches!(
        action,
        ScmpActErrno | ScmpActKill | ScmpActKillProcess | ScmpActKillThread | ScmpActTrap
    )
}

fn clauses_of(call: &LinuxSyscall, field: &str) -> Result<Vec<Clause>, Error> {
    // The creating process learns of the descriptor through a write(2) of the confined one.
    if call.action() == Action::ScmpActNotify && call.names().iter().any(|name| name == "write") {
        return Err(config(
            field,
            "SCMP_ACT_NOTIFY for write would stop the runtime itself",
        ));
    }
    let verdict = verdict(
        call.action(),
        call.errno_ret(),
        &format!("{field}.errnoRet"),
    )?;
    let args = call.args().as_deref().unwrap_or_default();
    let conditions = args.iter().map(|arg| condition(arg, field));
    let conditions = conditions.collect::<Result<Vec<_>, _>>()?;
    if has_repeated_index(&conditions) {
        // As libseccomp cannot compare one argument twice, runc made "or" of it, and so it stayed.
        let alone = |condition| Clause {
            conditions: vec![condition],
            verdict,
        };
        return Ok(conditions.into_iter().map(alone).collect());
    }
    Ok(vec![Clause {
        conditions,
        verdict,
    }])
}

fn has_repeated_index(conditions: &[Condition]) -> bool {
    let mut seen = [false; 6];
    conditions
        .iter()
        .any(|c| std::mem::replace(&mut seen[c.index as usize], true))
}

fn condition(arg: &LinuxSeccompArg, field: &str) -> Result<Condition, Error> {
    if arg.index() > 5 {
        return Err(config(
            field,
            format!("a system call has no argument {}", arg.index()),
        ));
    }
    Ok(Condition {
        index: arg.index() as u32,
        operator: arg.op(),
        value: arg.value(),
        second: arg.value_two().unwrap_or_default(),
    })
}

fn verdict(action: Action, errno: Option<u32>, field: &str) -> Result<u32, Error> {
    let has_errno = matches!(action, Action::ScmpActErrno | Action::ScmpActTrace);
    match errno {
        Some(_) if !has_errno => Err(config(field, format!("{action} returns no errno"))),
        Some(errno) if errno > MAX_ERRNO => Err(config(
            field,
            format!("{errno} is no errno, the largest is {MAX_ERRNO}"),
        )),
        errno => Ok(action.as_u32(errno)),
    }
}

/// What `profile` says about every number of `architecture`, as spans in ascending order.
pub(super) fn decisions(profile: &Profile, architecture: Architecture) -> Vec<Span> {
    let calls = architecture.calls();
    let newest = profile.newest(&calls);
    let default = vec![Clause {
        conditions: Vec::new(),
        verdict: profile.otherwise,
    }];
    let unknown = vec![Clause {
        conditions: Vec::new(),
        verdict: NO_SUCH_CALL,
    }];
    let gap = |number| {
        if newest.is_some_and(|n| number > n) {
            &unknown
        } else {
            &default
        }
    };
    let mut spans = Spans::starting(if architecture == Architecture::X32 {
        X32_BIT
    } else {
        0
    });
    for (number, name) in calls {
        spans.fill_up_to(number, gap(spans.next));
        let mut clauses = multiplexed(profile, architecture, name);
        clauses.extend(profile.clauses_for(name).iter().cloned());
        clauses.extend(
            gap(if is_private(number) { 0 } else { number })
                .iter()
                .cloned(),
        );
        spans.push(number, until_certain(clauses));
    }
    spans.push(spans.next, gap(spans.next).clone());
    spans.list
}

/// The private calls of arm lie far above the others and say nothing about a profile's age.
fn is_private(number: u32) -> bool {
    number & !X32_BIT >= 0xf_0000
}

/// Drops what stands behind the first clause that always holds, and conditions that change nothing.
fn until_certain(mut clauses: Vec<Clause>) -> Vec<Clause> {
    if let Some(certain) = clauses.iter().position(|c| c.conditions.is_empty()) {
        clauses.truncate(certain + 1);
    }
    while let [.., before, last] = clauses.as_slice() {
        if before.verdict != last.verdict {
            break;
        }
        clauses.remove(clauses.len() - 2);
    }
    clauses
}

/// On x86 a rule for `socket` also has to hold for `socketcall(SYS_SOCKET, ...)`, else it could be
/// passed by. Arguments behind a pointer are out of a filter's sight, so that only rules without
/// conditions carry over. A profile that names `socketcall` itself has decided.
fn multiplexed(profile: &Profile, architecture: Architecture, name: &str) -> Vec<Clause> {
    if architecture != Architecture::X86 || !profile.clauses_for(name).is_empty() {
        return Vec::new();
    }
    let parts: Vec<(&str, u64)> = match name {
        "socketcall" => SOCKETCALLS.into_iter().zip(1..).collect(),
        "ipc" => IPC_CALLS.to_vec(),
        _ => return Vec::new(),
    };
    let clause = |(part, number): (&str, u64)| {
        let certain = profile
            .clauses_for(part)
            .iter()
            .find(|c| c.conditions.is_empty())?;
        // ipc(2) carries a version in the upper half of its number.
        let operator = Operator::ScmpCmpMaskedEq;
        let condition = Condition {
            index: 0,
            operator,
            value: 0xffff,
            second: number,
        };
        Some(Clause {
            conditions: vec![condition],
            verdict: certain.verdict,
        })
    };
    parts.into_iter().filter_map(clause).collect()
}

/// Collects spans, joining neighbours that are answered alike.
struct Spans {
    list: Vec<Span>,
    next: u32,
}

impl Spans {
    fn starting(next: u32) -> Self {
        Self {
            list: Vec::new(),
            next,
        }
    }

    /// Numbers that no call has.
    fn fill_up_to(&mut self, number: u32, clauses: &[Clause]) {
        if number > self.next {
            self.push(self.next, clauses.to_vec());
        }
    }

    fn push(&mut self, number: u32, clauses: Vec<Clause>) {
        self.next = number + 1;
        if self.list.last().is_none_or(|last| last.clauses != clauses) {
            self.list.push(Span {
                first: number,
                clauses,
            });
        }
    }
}
