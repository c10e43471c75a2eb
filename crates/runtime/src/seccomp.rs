//! Compiles the seccomp rules of a bundle to a classic BPF program.
//!
//! In: `linux.seccomp` of config.json. Out: a [`Seccomp`] for the kernel to load. Three stages, a
//! file each: [`table`] names the system calls of each architecture, [`decide`] gives every number
//! its clauses, [`emit`] writes the decisions down as a binary search. All of it is pure.
//!
//! config-linux.md, Seccomp; seccomp(2). Where the specification is silent, runc is followed:
//! unknown names are ignored, and a call newer than any the profile names is answered `ENOSYS`, so
//! that a C library can fall back.

mod decide;
mod emit;
mod table;

use kernel::op::Seccomp;
use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompFilterFlag as Flag,
};

use crate::Error;
use decide::Profile;
use table::Architecture;

/// Compiles `linux.seccomp` for this machine.
///
/// # Errors
/// [`Error::Config`] for what the kernel could not do or the specification forbids.
pub fn compile(rules: &LinuxSeccomp) -> Result<Seccomp, Error> {
    let profile = Profile::new(rules)?;
    let architectures = architectures(rules.architectures().as_deref().unwrap_or_default())?;
    let blocks = architectures
        .iter()
        .map(|a| (*a, decide::decisions(&profile, *a)));
    Ok(Seccomp {
        program: emit::program(&blocks.collect::<Vec<_>>())?,
        flags: flags(rules),
        listener: listener(rules)?,
    })
}

/// The listed architectures that this processor can run, the processor's own always among them.
fn architectures(listed: &[Arch]) -> Result<Vec<Architecture>, Error> {
    let mut found = vec![Architecture::NATIVE.ok_or_else(|| {
        config(
            "architectures",
            "lighter has no table of system calls for this processor",
        )
    })?];
    for architecture in listed.iter().filter_map(|arch| Architecture::of(*arch)) {
        if !found.contains(&architecture) {
            found.push(architecture);
        }
    }
    Ok(found)
}

fn flags(rules: &LinuxSeccomp) -> u64 {
    let flags = rules.flags().as_deref().unwrap_or_default();
    let bits = flags.iter().fold(0, |bits, flag| bits | flag_bits(*flag));
    // A listener can only be made together with TSYNC when a failure is not told as a thread id.
    let synchronised = bits & flag_bits(Flag::SeccompFilterFlagTsync) != 0;
    let tsync_esrch = 1 << 4;
    if synchronised && uses_notify(rules) {
        bits | tsync_esrch
    } else {
        bits
    }
}

/// `SECCOMP_FILTER_FLAG_*` of linux/seccomp.h.
fn flag_bits(flag: Flag) -> u64 {
    match flag {
        Flag::SeccompFilterFlagTsync => 1 << 0,
        Flag::SeccompFilterFlagLog => 1 << 1,
        Flag::SeccompFilterFlagSpecAllow => 1 << 2,
        Flag::SeccompFilterFlagWaitKillableRecv => 1 << 5,
    }
}

fn uses_notify(rules: &LinuxSeccomp) -> bool {
    let calls = rules.syscalls().as_deref().unwrap_or_default();
    calls
        .iter()
        .any(|call| call.action() == Action::ScmpActNotify)
}

fn listener(rules: &LinuxSeccomp) -> Result<Option<(std::path::PathBuf, String)>, Error> {
    if !uses_notify(rules) {
        return match rules.listener_path() {
            // The specification's rule for metadata; a path alone is harmless.
            None if rules.listener_metadata().is_some() => {
                Err(config("listenerMetadata", "needs listenerPath"))
            }
            _ => Ok(None),
        };
    }
    let path = rules.listener_path().clone();
    let path = path.ok_or_else(|| config("listenerPath", "SCMP_ACT_NOTIFY needs it"))?;
    Ok(Some((
        path,
        rules.listener_metadata().clone().unwrap_or_default(),
    )))
}

fn config(field: &str, reason: impl Into<String>) -> Error {
    Error::Config {
        field: format!("linux.seccomp.{field}"),
        reason: reason.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::op::Instruction;
    use oci_spec::runtime::LinuxSeccompOperator as Operator;
    use proptest::prelude::*;

    const ALLOW: u32 = 0x7fff_0000;
    const EPERM: u32 = 0x0005_0001;
    const ENOSYS: u32 = 0x0005_0026;
    const KILL: u32 = 0x8000_0000;
    const X86_64: u32 = 0xc000_003e;
    const X86: u32 = 0x4000_0003;

    /// Runs the program as the kernel would.
    fn run(program: &[Instruction], arch: u32, number: u32, args: [u64; 6]) -> u32 {
        let mut data = vec![number, arch, 0, 0];
        data.extend(args.iter().flat_map(|a| [*a as u32, (*a >> 32) as u32]));
        let (mut accumulator, mut at) = (0_u32, 0_usize);
        loop {
            let Instruction { code, jt, jf, k } = program[at];
            at += 1;
            let mut jump = |holds: bool| at += usize::from(if holds { jt } else { jf });
            match code {
                0x20 => accumulator = data[k as usize / 4],
                0x54 => accumulator &= k,
                0x05 => at += k as usize,
                0x15 => jump(accumulator == k),
                0x25 => jump(accumulator > k),
                0x35 => jump(accumulator >= k),
                0x06 => return k,
                other => panic!("opcode {other:#x}"),
            }
        }
    }

    fn rules(json: serde_json::Value) -> LinuxSeccomp {
        serde_json::from_value(json).unwrap()
    }

    fn compiled(json: serde_json::Value) -> Vec<Instruction> {
        compile(&rules(json)).unwrap().program
    }

    fn refusal(json: serde_json::Value) -> String {
        compile(&rules(json)).unwrap_err().to_string()
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn named_calls_are_allowed_and_newer_ones_unknown() {
        let program = compiled(serde_json::json!({
            "defaultAction": "SCMP_ACT_ERRNO",
            "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
            "syscalls": [
                {"names": ["read", "openat2", "no_such_call"], "action": "SCMP_ACT_ALLOW"},
                {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
            ],
        }));
        let answer = |arch, number| run(&program, arch, number, [0; 6]);
        assert_eq!(answer(X86_64, 0), ALLOW, "read");
        assert_eq!(answer(X86_64, 1), EPERM, "write");
        assert_eq!(answer(X86_64, 435), ENOSYS, "clone3, as the profile says");
        assert_eq!(answer(X86_64, 437), ALLOW, "openat2");
        assert_eq!(
            answer(X86_64, 438),
            ENOSYS,
            "newer than any the profile names"
        );
        assert_eq!(answer(X86_64, 0xffff_ffff), ENOSYS);
        assert_eq!(answer(X86_64, 0x4000_0000), ENOSYS, "x32 is not listed");
        assert_eq!(answer(X86, 3), ALLOW, "read of x86");
        assert_eq!(answer(X86, 0), EPERM);
        assert_eq!(
            answer(0x1234, 0),
            KILL,
            "an architecture that is not listed"
        );
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn a_permissive_profile_leaves_newer_calls_alone() {
        let program = compiled(serde_json::json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["getcwd"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13}],
        }));
        assert_eq!(run(&program, X86_64, 79, [0; 6]), 0x0005_000d);
        assert_eq!(run(&program, X86_64, 80, [0; 6]), ALLOW);
        assert_eq!(run(&program, X86_64, 1000, [0; 6]), ALLOW);
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn x32_calls_follow_their_own_numbers() {
        let program = compiled(serde_json::json!({
            "defaultAction": "SCMP_ACT_ERRNO",
            "architectures": ["SCMP_ARCH_X32"],
            "syscalls": [{"names": ["read", "ioctl"], "action": "SCMP_ACT_ALLOW"}],
        }));
        assert_eq!(run(&program, X86_64, 0x4000_0000, [0; 6]), ALLOW, "read");
        assert_eq!(
            run(&program, X86_64, 0x4000_0000 | 514, [0; 6]),
            ALLOW,
            "ioctl"
        );
        assert_eq!(
            run(&program, X86_64, 0x4000_0000 | 16, [0; 6]),
            EPERM,
            "x86_64's ioctl"
        );
        assert_eq!(run(&program, X86_64, 16, [0; 6]), ALLOW, "ioctl of x86_64");
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn a_rule_about_sockets_holds_for_socketcall_too() {
        let program = compiled(serde_json::json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "architectures": ["SCMP_ARCH_X86"],
            "syscalls": [{"names": ["socket", "shmget"], "action": "SCMP_ACT_ERRNO"}],
        }));
        let x86 = |number, first| run(&program, X86, number, [first, 0, 0, 0, 0, 0]);
        assert_eq!(x86(359, 0), EPERM, "socket");
        assert_eq!(x86(102, 1), EPERM, "socketcall(SYS_SOCKET)");
        assert_eq!(x86(102, 2), ALLOW, "socketcall(SYS_BIND)");
        assert_eq!(x86(117, 0x1_0017), EPERM, "ipc(SHMGET), version 1");
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn conditions_of_one_rule_must_all_hold_and_repeated_arguments_are_alternatives() {
        let equal = |index: u32, value: u64| serde_json::json!({"index": index, "value": value, "op": "SCMP_CMP_EQ"});
        let program = compiled(serde_json::json!({
            "defaultAction": "SCMP_ACT_ERRNO",
            "syscalls": [
                {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [equal(0, 2), equal(1, 1)]},
                {"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [equal(0, 0), equal(0, 8)]},
            ],
        }));
        let answer = |number, a, b| run(&program, X86_64, number, [a, b, 0, 0, 0, 0]);
        assert_eq!(answer(41, 2, 1), ALLOW);
        assert_eq!(answer(41, 2, 2), EPERM);
        assert_eq!(answer(41, 3, 1), EPERM);
        assert_eq!(answer(135, 0, 0), ALLOW);
        assert_eq!(answer(135, 8, 0), ALLOW);
        assert_eq!(answer(135, 4, 0), EPERM);
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_field() {
        let one = |rule: serde_json::Value| {
            refusal(serde_json::json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule]}))
        };
        let refusals = [
            refusal(serde_json::json!({"defaultAction": "SCMP_ACT_NOTIFY"})),
            refusal(serde_json::json!({"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1})),
            one(serde_json::json!({"names": ["read"], "action": "SCMP_ACT_KILL", "errnoRet": 5})),
            one(
                serde_json::json!({"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5000}),
            ),
            one(serde_json::json!({"names": ["read"], "action": "SCMP_ACT_NOTIFY"})),
            one(serde_json::json!({"names": ["write"], "action": "SCMP_ACT_NOTIFY"})),
            one(
                serde_json::json!({"names": ["read"], "action": "SCMP_ACT_ALLOW",
                "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}),
            ),
        ];
        insta::assert_snapshot!(refusals.join("\n"), @r"
        config.json: linux.seccomp.defaultAction: SCMP_ACT_NOTIFY would stop the runtime itself
        config.json: linux.seccomp.defaultErrnoRet: SCMP_ACT_ALLOW returns no errno
        config.json: linux.seccomp.syscalls[0].errnoRet: SCMP_ACT_KILL returns no errno
        config.json: linux.seccomp.syscalls[0].errnoRet: 5000 is no errno, the largest is 4095
        config.json: linux.seccomp.listenerPath: SCMP_ACT_NOTIFY needs it
        config.json: linux.seccomp.syscalls[0]: SCMP_ACT_NOTIFY for write would stop the runtime itself
        config.json: linux.seccomp.syscalls[0]: a system call has no argument 6
        ");
    }

    #[test]
    fn the_flags_are_the_kernels() {
        let flags = |names: &[&str], action: &str| {
            let rules = rules(serde_json::json!({
                "defaultAction": "SCMP_ACT_ALLOW", "flags": names, "listenerPath": "/run/agent",
                "syscalls": [{"names": ["getcwd"], "action": action}],
            }));
            compile(&rules).unwrap().flags
        };
        assert_eq!(
            flags(
                &["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"],
                "SCMP_ACT_LOG"
            ),
            6
        );
        assert_eq!(
            flags(&["SECCOMP_FILTER_FLAG_TSYNC"], "SCMP_ACT_NOTIFY"),
            1 | 1 << 4
        );
    }

    fn holds(operator: Operator, argument: u64, value: u64, second: u64) -> bool {
        match operator {
            Operator::ScmpCmpNe => argument != value,
            Operator::ScmpCmpLt => argument < value,
            Operator::ScmpCmpLe => argument <= value,
            Operator::ScmpCmpEq => argument == value,
            Operator::ScmpCmpGe => argument >= value,
            Operator::ScmpCmpGt => argument > value,
            Operator::ScmpCmpMaskedEq => argument & value == second & value,
        }
    }

    /// Numbers that differ in one half, in both or in nothing: where 64-bit comparisons go wrong.
    fn number() -> impl Strategy<Value = u64> {
        let half = prop_oneof![
            Just(0_u64),
            Just(1),
            Just(0x7fff_ffff),
            Just(0xffff_ffff),
            0_u64..8
        ];
        (half.clone(), half).prop_map(|(high, low)| high << 32 | low)
    }

    proptest! {
        #[cfg(target_arch = "x86_64")]
        #[test]
        fn every_comparison_is_the_processors_own(
            name in prop::sample::select(vec!["SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE",
                "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ"]),
            index in 0_usize..6, argument in number(), value in number(), second in number(),
        ) {
            let operator: Operator = serde_json::from_value(name.into()).unwrap();
            let arg = serde_json::json!({"index": index, "value": value, "valueTwo": second, "op": name});
            let program = compiled(serde_json::json!({
                "defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86"],
                "syscalls": [{"names": ["getpid"], "action": "SCMP_ACT_ALLOW", "args": [arg]}],
            }));
            let mut args = [0; 6];
            args[index] = argument;
            let wide = holds(operator, argument, value, second);
            prop_assert_eq!(run(&program, X86_64, 39, args) == ALLOW, wide);
            let low = |n: u64| n & 0xffff_ffff;
            args[index] = low(argument);
            let narrow = holds(operator, low(argument), low(value), low(second));
            prop_assert_eq!(run(&program, X86, 20, args) == ALLOW, narrow);
        }
    }
}
