//! When and where a process runs: scheduling policy, input and output priority,
//! processors, memory nodes.
//!
//! Raw system calls, because neither libc nor rustix wraps them. sched(7),
//! ioprio_set(2), set_mempolicy(2).

use rustix::io::{Errno, Result};
use rustix::thread::CpuSet;

use crate::op::Scheduler;

/// `struct sched_attr` of sched_setattr(2).
#[repr(C)]
struct SchedAttr {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// Set the scheduling policy of this process.
pub fn set_scheduler(wanted: &Scheduler) -> std::io::Result<()> {
    let attr = SchedAttr {
        size: size_of::<SchedAttr>() as u32,
        policy: wanted.policy,
        flags: wanted.flags,
        nice: wanted.nice,
        priority: wanted.priority,
        runtime: wanted.runtime,
        deadline: wanted.deadline,
        period: wanted.period,
    };
    // SAFETY: `attr` is a live struct that says its own size.
    let result = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, std::ptr::from_ref(&attr), 0) };
    outcome(result)
}

/// Set the input and output priority of this process.
pub fn set_io_priority(class: u8, level: u8) -> std::io::Result<()> {
    const WHO_PROCESS: i32 = 1;
    let priority = i32::from(class) << 13 | i32::from(level);
    // SAFETY: three numbers.
    outcome(unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, priority) })
}

/// Allow only these processors to this process.
pub fn set_affinity(list: &str) -> Result<()> {
    let mut set = CpuSet::new();
    for cpu in numbers(list)? {
        if cpu >= CpuSet::MAX_CPU {
            return Err(Errno::INVAL);
        }
        set.set(cpu);
    }
    rustix::thread::sched_setaffinity(None, &set)
}

/// Allow every processor again: a cgroup's cpuset may have more than the creator was given.
pub fn reset_affinity() -> Result<()> {
    let mut set = CpuSet::new();
    (0..CpuSet::MAX_CPU).for_each(|cpu| set.set(cpu));
    rustix::thread::sched_setaffinity(None, &set)
}

/// Set from which memory nodes this process gets pages.
pub fn set_memory_policy(mode: u32, nodes: &str) -> std::io::Result<()> {
    const WORDS: usize = 16;
    let mut mask = [0u64; WORDS];
    for node in numbers(nodes)? {
        *mask.get_mut(node / 64).ok_or(Errno::INVAL)? |= 1 << (node % 64);
    }
    let empty = nodes.is_empty();
    let pointer = if empty {
        std::ptr::null()
    } else {
        mask.as_ptr()
    };
    // The kernel reads one bit less than it is told.
    let bits = if empty { 0 } else { WORDS * 64 + 1 };
    // SAFETY: `pointer` is null, or names `WORDS` live words.
    outcome(unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, pointer, bits) })
}

/// `0-3,7` as numbers.
fn numbers(list: &str) -> Result<Vec<usize>> {
    let number = |text: &str| text.trim().parse::<usize>().map_err(|_| Errno::INVAL);
    let mut all = Vec::new();
    for part in list.split(',').filter(|part| !part.trim().is_empty()) {
        match part.split_once('-') {
            None => all.push(number(part)?),
            Some((first, last)) if number(last)? < 1 << 16 => {
                all.extend(number(first)?..=number(last)?);
            }
            Some(_) => return Err(Errno::INVAL),
        }
    }
    Ok(all)
}

fn outcome(result: libc::c_long) -> std::io::Result<()> {
    match result {
        -1 => Err(std::io::Error::last_os_error()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_numbers() {
        assert_eq!(numbers("0-2,7").unwrap(), [0, 1, 2, 7]);
        assert!(numbers("").unwrap().is_empty());
        assert!(numbers("1-x").is_err());
        assert!(numbers("0-99999999").is_err());
    }
}
