//! Device rules of a cgroup: an eBPF program on v2, where no `devices` controller exists.
//!
//! In: [`DeviceRule`]s, of which the last that matches decides, and a cgroup2 directory. Out: a
//! program of type `BPF_PROG_TYPE_CGROUP_DEVICE`, attached there in place of the one before. The
//! kernel runs it at each open(2) and mknod(2) of a device by a process of the group.
//!
//! bpf(2); Documentation/admin-guide/cgroup-v2.rst, "Device controller"; since Linux 4.15. On v1
//! the same rules are lines for `devices.allow` and `devices.deny` (see [`legacy_line`]).

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;

use crate::op::DeviceRule;

/// `access` bits of `struct bpf_cgroup_dev_ctx` (linux/bpf.h).
const MKNOD: u32 = 1;
const READ: u32 = 2;
const WRITE: u32 = 4;
const EVERY_ACCESS: u32 = MKNOD | READ | WRITE;

/// Lets a cgroup use only the devices that `rules` allow, whatever was attached before.
///
/// The new program is attached before the old ones go: in between both must allow an access, so
/// that no moment is without rules.
///
/// # Errors
/// open(2)'s and bpf(2)'s: `EPERM` without `CAP_SYS_ADMIN` or `CAP_BPF`, `EINVAL` on a kernel
/// without `CONFIG_CGROUP_BPF`.
pub fn attach(directory: &Path, rules: &[DeviceRule]) -> io::Result<()> {
    let flags = rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
    let cgroup = rustix::fs::open(directory, flags, rustix::fs::Mode::empty())?;
    let previous = attached(&cgroup)?;
    let program = load(&compile(rules))?;
    attach_program(&cgroup, &program)?;
    previous.iter().try_for_each(|id| detach(&cgroup, *id))
}

/// The rule as v1's `devices.allow` and `devices.deny` take it, such as `c 1:3 rwm`.
#[must_use]
pub fn legacy_line(rule: &DeviceRule) -> String {
    let number = |n: Option<u32>| n.map_or_else(|| "*".to_owned(), |n| n.to_string());
    format!(
        "{} {}:{} {}",
        rule.kind,
        number(rule.major),
        number(rule.minor),
        rule.access
    )
}

// Registers: what the program keeps of its context for all rules.
const RESULT: u8 = 0;
const CONTEXT: u8 = 1;
const WANTED: u8 = 2;
const KIND: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
const SCRATCH: u8 = 6;

// Opcodes of the eBPF instruction set (Documentation/bpf/standardization/instruction-set.rst).
const LOAD_WORD: u8 = 0x61;
const MOVE_REGISTER: u8 = 0xbc;
const MOVE: u8 = 0xb4;
const AND: u8 = 0x54;
const SHIFT_RIGHT: u8 = 0x74;
const JUMP_IF_NOT: u8 = 0x56;
const JUMP_IF: u8 = 0x16;
const EXIT: u8 = 0x95;

/// Compiles the rules to a program that answers 1 (allow) or 0 (`EPERM`).
///
/// It walks the rules from last to first with the set of accesses still wanted. A rule for the
/// device that denies one of them ends it; one that allows some takes those out of the set.
fn compile(rules: &[DeviceRule]) -> Vec<u64> {
    let mut code = vec![
        instruction(LOAD_WORD, WANTED, CONTEXT, 0, 0),
        instruction(LOAD_WORD, MAJOR, CONTEXT, 4, 0),
        instruction(LOAD_WORD, MINOR, CONTEXT, 8, 0),
        // The first word is access << 16 | kind.
        instruction(MOVE_REGISTER, KIND, WANTED, 0, 0),
        instruction(AND, KIND, 0, 0, 0xffff),
        instruction(SHIFT_RIGHT, WANTED, 0, 0, 16),
    ];
    for rule in rules.iter().rev() {
        code.extend(compile_rule(rule));
        if matches_everything(rule) {
            // Nothing gets past it, and the verifier refuses code that cannot be reached.
            return code;
        }
    }
    code.extend(answer(false));
    code
}

fn compile_rule(rule: &DeviceRule) -> Vec<u64> {
    let verdict = if rule.allow {
        compile_allow(rule)
    } else {
        compile_deny(rule)
    };
    let mut conditions = Vec::new();
    conditions.extend(kind_number(rule.kind).map(|number| (KIND, number)));
    conditions.extend(rule.major.map(|number| (MAJOR, number)));
    conditions.extend(rule.minor.map(|number| (MINOR, number)));
    let mut code = Vec::new();
    for (index, (register, number)) in conditions.iter().enumerate() {
        let skip = conditions.len() - index - 1 + verdict.len();
        code.push(instruction(JUMP_IF_NOT, *register, 0, skip, *number));
    }
    code.extend(verdict);
    code
}

fn compile_allow(rule: &DeviceRule) -> Vec<u64> {
    let access = access_bits(rule);
    if access == EVERY_ACCESS {
        return answer(true).to_vec();
    }
    let [allow, exit] = answer(true);
    vec![
        instruction(AND, WANTED, 0, 0, !access),
        instruction(JUMP_IF_NOT, WANTED, 0, 2, 0),
        allow,
        exit,
    ]
}

fn compile_deny(rule: &DeviceRule) -> Vec<u64> {
    let access = access_bits(rule);
    if access == EVERY_ACCESS {
        return answer(false).to_vec();
    }
    let [deny, exit] = answer(false);
    vec![
        instruction(MOVE_REGISTER, SCRATCH, WANTED, 0, 0),
        instruction(AND, SCRATCH, 0, 0, access),
        instruction(JUMP_IF, SCRATCH, 0, 2, 0),
        deny,
        exit,
    ]
}

fn answer(allow: bool) -> [u64; 2] {
    [
        instruction(MOVE, RESULT, 0, 0, u32::from(allow)),
        instruction(EXIT, 0, 0, 0, 0),
    ]
}

fn matches_everything(rule: &DeviceRule) -> bool {
    kind_number(rule.kind).is_none()
        && rule.major.is_none()
        && rule.minor.is_none()
        && access_bits(rule) == EVERY_ACCESS
}

/// `BPF_DEVCG_DEV_*`; `None` is every kind.
fn kind_number(kind: char) -> Option<u32> {
    match kind {
        'b' => Some(1),
        'c' | 'u' => Some(2),
        _ => None,
    }
}

fn access_bits(rule: &DeviceRule) -> u32 {
    let bit = |letter| match letter {
        'm' => MKNOD,
        'r' => READ,
        'w' => WRITE,
        _ => 0,
    };
    rule.access.chars().map(bit).fold(0, |bits, bit| bits | bit)
}

/// `struct bpf_insn`: opcode, destination and source register, jump or memory offset, operand.
fn instruction(opcode: u8, destination: u8, source: u8, offset: usize, operand: u32) -> u64 {
    // A rule is at most eight instructions long, so that an offset is always small.
    let [offset_low, offset_high] = (offset as u16).to_ne_bytes();
    let [a, b, c, d] = operand.to_ne_bytes();
    let registers = if cfg!(target_endian = "little") {
        source << 4 | destination
    } else {
        destination << 4 | source
    };
    u64::from_ne_bytes([opcode, registers, offset_low, offset_high, a, b, c, d])
}

// Commands and constants of bpf(2), from linux/bpf.h.
const BPF_PROG_LOAD: i32 = 5;
const BPF_PROG_ATTACH: i32 = 8;
const BPF_PROG_DETACH: i32 = 9;
const BPF_PROG_GET_FD_BY_ID: i32 = 13;
const BPF_PROG_QUERY: i32 = 16;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
/// Rules above and below all have to allow, so that a group can only narrow what it was given.
const BPF_F_ALLOW_MULTI: u32 = 2;
/// The kernel's own limit of programs on one group (`BPF_CGROUP_MAX_PROGS`).
const MOST_PROGRAMS: usize = 64;

#[repr(C)]
#[derive(Default)]
struct LoadAttributes {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buffer: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
}

#[repr(C)]
#[derive(Default)]
struct AttachAttributes {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
    replaced: u32,
}

#[repr(C)]
#[derive(Default)]
struct QueryAttributes {
    target: u32,
    kind: u32,
    query_flags: u32,
    attach_flags: u32,
    program_ids: u64,
    program_count: u32,
    padding: u32,
}

#[repr(C)]
#[derive(Default)]
struct ByIdAttributes {
    id: u32,
    next_id: u32,
    open_flags: u32,
}

fn load(code: &[u64]) -> io::Result<OwnedFd> {
    let mut name = [0; 16];
    name[..15].copy_from_slice(b"lighter_devices");
    let mut attributes = LoadAttributes {
        program_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        instruction_count: code.len() as u32,
        instructions: code.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        name,
        ..LoadAttributes::default()
    };
    owned(bpf(BPF_PROG_LOAD, &mut attributes)?)
}

fn attach_program(cgroup: &OwnedFd, program: &OwnedFd) -> io::Result<()> {
    let mut attributes = AttachAttributes {
        target: raw(cgroup),
        program: raw(program),
        kind: BPF_CGROUP_DEVICE,
        flags: BPF_F_ALLOW_MULTI,
        replaced: 0,
    };
    bpf(BPF_PROG_ATTACH, &mut attributes).map(drop)
}

fn detach(cgroup: &OwnedFd, id: u32) -> io::Result<()> {
    let mut by_id = ByIdAttributes {
        id,
        ..ByIdAttributes::default()
    };
    let program = owned(bpf(BPF_PROG_GET_FD_BY_ID, &mut by_id)?)?;
    let mut attributes = AttachAttributes {
        target: raw(cgroup),
        program: raw(&program),
        kind: BPF_CGROUP_DEVICE,
        ..AttachAttributes::default()
    };
    bpf(BPF_PROG_DETACH, &mut attributes).map(drop)
}

/// Ids of the device programs on this very group.
fn attached(cgroup: &OwnedFd) -> io::Result<Vec<u32>> {
    let mut ids = vec![0_u32; MOST_PROGRAMS];
    let mut attributes = QueryAttributes {
        target: raw(cgroup),
        kind: BPF_CGROUP_DEVICE,
        program_ids: ids.as_mut_ptr() as u64,
        program_count: MOST_PROGRAMS as u32,
        ..QueryAttributes::default()
    };
    bpf(BPF_PROG_QUERY, &mut attributes)?;
    // The kernel has filled the front of the list; an id is never 0.
    ids.retain(|id| *id != 0);
    Ok(ids)
}

fn raw(fd: &OwnedFd) -> u32 {
    fd.as_raw_fd() as u32
}

fn owned(fd: i64) -> io::Result<OwnedFd> {
    // SAFETY: bpf(2) has just returned this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

fn bpf<T>(command: i32, attributes: &mut T) -> io::Result<i64> {
    // SAFETY: `attributes` is a `repr(C)` prefix of `union bpf_attr` with its true size, and the
    // buffers it points to outlive the call and are as long as it says.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attributes),
            size_of::<T>(),
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(
        allow: bool,
        kind: char,
        major: Option<u32>,
        minor: Option<u32>,
        access: &str,
    ) -> DeviceRule {
        DeviceRule {
            allow,
            kind,
            major,
            minor,
            access: access.to_owned(),
        }
    }

    /// Runs a program as the kernel would, for the instructions used here.
    fn run(code: &[u64], kind: u32, major: u32, minor: u32, access: u32) -> bool {
        let context = [access << 16 | kind, major, minor];
        let mut registers = [0_u32; 11];
        let mut at = 0;
        loop {
            let [opcode, both, low, high, operand @ ..] = code[at].to_le_bytes();
            let (destination, source) = (usize::from(both & 15), usize::from(both >> 4));
            let offset = usize::from(u16::from_le_bytes([low, high]));
            let operand = u32::from_le_bytes(operand);
            at += 1;
            match opcode {
                LOAD_WORD => registers[destination] = context[offset / 4],
                MOVE_REGISTER => registers[destination] = registers[source],
                MOVE => registers[destination] = operand,
                AND => registers[destination] &= operand,
                SHIFT_RIGHT => registers[destination] >>= operand,
                JUMP_IF_NOT if registers[destination] != operand => at += offset,
                JUMP_IF if registers[destination] == operand => at += offset,
                JUMP_IF | JUMP_IF_NOT => {}
                EXIT => return registers[0] == 1,
                other => panic!("opcode {other:#x}"),
            }
        }
    }

    /// What the rules mean, said in another way: each access by the last rule that speaks of it.
    fn allowed(rules: &[DeviceRule], kind: u32, major: u32, minor: u32, access: u32) -> bool {
        [MKNOD, READ, WRITE]
            .iter()
            .filter(|bit| access & **bit != 0)
            .all(|bit| {
                let speaks = |r: &&DeviceRule| {
                    kind_number(r.kind).is_none_or(|k| k == kind)
                        && r.major.is_none_or(|n| n == major)
                        && r.minor.is_none_or(|n| n == minor)
                        && access_bits(r) & bit != 0
                };
                rules.iter().rev().find(speaks).is_some_and(|r| r.allow)
            })
    }

    #[test]
    fn a_program_decides_as_the_last_matching_rule_does() {
        let rules = [
            rule(false, 'a', None, None, "rwm"),
            rule(true, 'c', None, None, "m"),
            rule(true, 'c', Some(1), Some(3), "rwm"),
            rule(true, 'b', Some(8), None, "rw"),
            rule(false, 'b', Some(8), Some(1), "w"),
        ];
        let code = compile(&rules);
        for kind in [1, 2] {
            for major in [1, 5, 8] {
                for minor in 0..4 {
                    for access in 1..8 {
                        assert_eq!(
                            run(&code, kind, major, minor, access),
                            allowed(&rules, kind, major, minor, access),
                            "kind {kind} {major}:{minor} access {access}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn without_rules_nothing_is_allowed() {
        assert!(!run(&compile(&[]), 2, 1, 3, READ));
    }

    #[test]
    fn rules_before_one_that_matches_everything_are_left_out() {
        let last = rule(false, 'a', None, None, "rwm");
        let both = [rule(true, 'c', Some(1), Some(3), "rwm"), last.clone()];
        assert_eq!(compile(&both), compile(&[last]));
    }

    #[test]
    fn legacy_lines_are_those_of_the_devices_controller() {
        assert_eq!(
            legacy_line(&rule(true, 'c', Some(136), None, "rw")),
            "c 136:* rw"
        );
    }
}
