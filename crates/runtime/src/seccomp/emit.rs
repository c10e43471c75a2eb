//! Writes decisions down as a classic BPF program that searches them by halves.
//!
//! In: the spans of each architecture from `decide.rs`. Out: instructions over the kernel's
//! `struct seccomp_data { nr, arch, instruction_pointer, args[6] }` (seccomp(2)). For docker's
//! profile that is some 300 instructions, of which a call runs about ten.
//!
//! Jumps only go forward and by at most 255 when conditional: code is put together from its parts'
//! lengths, and a longer way takes an unconditional jump, which has 32 bits.

use kernel::op::Instruction;
use oci_spec::runtime::LinuxSeccompOperator as Operator;

use super::config;
use super::decide::{Clause, Condition, NO_SUCH_CALL, Span};
use super::table::{Architecture, X32_BIT};
use crate::Error;

/// The longest program the kernel takes (`BPF_MAXINSNS`).
const MOST_INSTRUCTIONS: usize = 4096;
const KILL_PROCESS: u32 = 0x8000_0000;

// Offsets into `struct seccomp_data`; the low half of an argument comes first (little endian).
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

// Opcodes of linux/bpf_common.h.
const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER: u16 = 0x25;
const JUMP_GREATER_EQUAL: u16 = 0x35;
const RETURN: u16 = 0x06;

type Code = Vec<Instruction>;

/// The whole program: one block for each value of the processor's `arch`, death for all others.
pub(super) fn program(blocks: &[(Architecture, Vec<Span>)]) -> Result<Code, Error> {
    let mut code = vec![step(LOAD, ARCHITECTURE)];
    for (architecture, spans) in blocks.iter().filter(|(a, _)| *a != Architecture::X32) {
        let mut block = vec![step(LOAD, NUMBER)];
        if *architecture == Architecture::X86_64 {
            let x32 = blocks.iter().find(|(a, _)| *a == Architecture::X32);
            let x32 = x32.map_or_else(|| answer(NO_SUCH_CALL), |(a, spans)| search(spans, *a));
            // x32 has the same `arch` and tells itself apart by a bit of the number.
            block.extend(unless(
                JUMP_GREATER_EQUAL,
                X32_BIT,
                search(spans, *architecture),
                x32,
            ));
        } else {
            block.extend(search(spans, *architecture));
        }
        // A block always answers, so that what follows it is for the other architectures.
        code.push(jump(JUMP_EQUAL, architecture.audit(), 1, 0));
        code.push(step(JUMP, block.len() as u32));
        code.extend(block);
    }
    code.extend(answer(KILL_PROCESS));
    if code.len() > MOST_INSTRUCTIONS {
        let reason = format!(
            "the filter needs {} instructions, 4096 are possible",
            code.len()
        );
        return Err(config("syscalls", reason));
    }
    Ok(code)
}

/// Finds the span of the number in the accumulator by halving, then answers.
fn search(spans: &[Span], architecture: Architecture) -> Code {
    match spans {
        [] => answer(NO_SUCH_CALL),
        [span] => span
            .clauses
            .iter()
            .flat_map(|c| clause(c, architecture))
            .collect(),
        _ => {
            let (lower, upper) = spans.split_at(spans.len() / 2);
            let first = upper[0].first;
            unless(
                JUMP_GREATER_EQUAL,
                first,
                search(lower, architecture),
                search(upper, architecture),
            )
        }
    }
}

/// `usual`, which always answers, unless the comparison holds: then `other`.
fn unless(comparison: u16, operand: u32, usual: Code, other: Code) -> Code {
    let mut code = match u8::try_from(usual.len()) {
        Ok(length) => vec![jump(comparison, operand, length, 0)],
        Err(_) => vec![
            jump(comparison, operand, 0, 1),
            step(JUMP, usual.len() as u32),
        ],
    };
    code.extend(usual);
    code.extend(other);
    code
}

/// Answers if all conditions hold, else goes on behind itself.
fn clause(clause: &Clause, architecture: Architecture) -> Code {
    let mut code = answer(clause.verdict);
    for condition in clause.conditions.iter().rev() {
        // At most six conditions of six instructions each: every way out is short.
        let mut with = compare(condition, code.len() as u8, architecture);
        with.extend(code);
        code = with;
    }
    code
}

/// Falls through if the condition holds, else jumps over the `rest` instructions behind itself.
fn compare(condition: &Condition, rest: u8, architecture: Architecture) -> Code {
    let low = condition.value as u32;
    let high = (condition.value >> 32) as u32;
    let load_low = step(LOAD, ARGUMENTS + 8 * condition.index);
    let load_high = step(LOAD, ARGUMENTS + 8 * condition.index + 4);
    let wide = architecture.is_wide();
    match condition.operator {
        Operator::ScmpCmpMaskedEq => masked(condition, rest, wide),
        Operator::ScmpCmpEq if wide => vec![
            load_high,
            jump(JUMP_EQUAL, high, 0, rest + 2),
            load_low,
            jump(JUMP_EQUAL, low, 0, rest),
        ],
        Operator::ScmpCmpNe if wide => vec![
            load_high,
            jump(JUMP_EQUAL, high, 0, 2),
            load_low,
            jump(JUMP_EQUAL, low, rest, 0),
        ],
        Operator::ScmpCmpEq => vec![load_low, jump(JUMP_EQUAL, low, 0, rest)],
        Operator::ScmpCmpNe => vec![load_low, jump(JUMP_EQUAL, low, rest, 0)],
        ordering => {
            // x < y is "not x >= y", x <= y is "not x > y".
            let (comparison, negated) = match ordering {
                Operator::ScmpCmpGt => (JUMP_GREATER, false),
                Operator::ScmpCmpLe => (JUMP_GREATER, true),
                Operator::ScmpCmpLt => (JUMP_GREATER_EQUAL, true),
                _ => (JUMP_GREATER_EQUAL, false),
            };
            let (holds, fails) = if negated { (rest, 0) } else { (0, rest) };
            let last = [load_low, jump(comparison, low, holds, fails)];
            if !wide {
                return last.to_vec();
            }
            // The high halves decide unless they are equal.
            let greater = if negated { rest + 3 } else { 3 };
            let less = if negated { 2 } else { rest + 2 };
            let first = [
                load_high,
                jump(JUMP_GREATER, high, greater, 0),
                jump(JUMP_EQUAL, high, 0, less),
            ];
            [first.as_slice(), &last].concat()
        }
    }
}

fn masked(condition: &Condition, rest: u8, wide: bool) -> Code {
    let (mask, wanted) = (condition.value, condition.second & condition.value);
    let offset = ARGUMENTS + 8 * condition.index;
    let low = [
        step(LOAD, offset),
        step(AND, mask as u32),
        jump(JUMP_EQUAL, wanted as u32, 0, rest),
    ];
    let (high_mask, high_wanted) = ((mask >> 32) as u32, (wanted >> 32) as u32);
    if !wide || high_mask == 0 {
        return low.to_vec();
    }
    let high = [
        step(LOAD, offset + 4),
        step(AND, high_mask),
        jump(JUMP_EQUAL, high_wanted, 0, rest + 3),
    ];
    [high, low].concat()
}

fn answer(verdict: u32) -> Code {
    vec![step(RETURN, verdict)]
}

fn step(code: u16, k: u32) -> Instruction {
    Instruction {
        code,
        jt: 0,
        jf: 0,
        k,
    }
}

fn jump(code: u16, k: u32, jt: u8, jf: u8) -> Instruction {
    Instruction { code, jt, jf, k }
}
