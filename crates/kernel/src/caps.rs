//! Capabilities: names to bits, and the five sets of a process. capabilities(7).
//!
//! The order matters and is the planner's: the bounding set while the process
//! is still root, then the change of user, then the other four.

use rustix::io::{Errno, Result};
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::error::Failure;
use crate::op::Capabilities;

/// Names by number, capability.h.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// Every capability's name with its prefix, by number.
pub fn names() -> impl Iterator<Item = String> {
    NAMES.iter().map(|name| format!("CAP_{name}"))
}

/// The bits of these names, with or without `CAP_`.
pub fn bits<S: AsRef<str>>(names: &[S]) -> std::result::Result<u64, Failure> {
    let bit = |name: &S| {
        let short = name.as_ref().strip_prefix("CAP_").unwrap_or(name.as_ref());
        match NAMES.iter().position(|known| *known == short) {
            Some(number) => Ok(1 << number),
            None => {
                let note = format!("there is no capability {}", name.as_ref());
                Err(Failure {
                    errno: libc::EINVAL,
                    note,
                })
            }
        }
    };
    names.iter().try_fold(0, |bits, name| Ok(bits | bit(name)?))
}

/// Take every capability but `keep` out of the bounding set.
///
/// # Errors
/// `EPERM` without `CAP_SETPCAP`.
pub fn limit(keep: u64) -> Result<()> {
    for number in 0..64 {
        if keep & (1 << number) != 0 {
            continue;
        }
        match rustix::thread::remove_capability_from_bounding_set(one(number)) {
            // The kernel knows fewer.
            Err(Errno::INVAL) => return Ok(()),
            other => other?,
        }
    }
    Ok(())
}

/// Set the effective, permitted, inheritable and ambient sets.
///
/// What is ambient has to be permitted and inheritable as well (capabilities(7)): bundles name more,
/// and the kernel's rule is what they get. What this process has not cannot be granted, and is left
/// out: config.md, Linux Process, wants a warning and no failure; see [`missing`].
pub fn set(sets: &Capabilities) -> std::result::Result<(), Failure> {
    let own = rustix::thread::capabilities(None)?.permitted;
    let known = CapabilitySets {
        effective: set_of(bits(&sets.effective)?) & own,
        permitted: set_of(bits(&sets.permitted)?) & own,
        inheritable: set_of(bits(&sets.inheritable)?) & own,
    };
    let possible = (known.permitted & known.inheritable).bits();
    let ambient = bits(&sets.ambient)? & possible;
    rustix::thread::set_capabilities(None, known)?;
    rustix::thread::clear_ambient_capability_set()?;
    for number in (0..64).filter(|number| ambient & (1 << number) != 0) {
        rustix::thread::configure_capability_in_ambient_set(one(number), true)?;
    }
    Ok(())
}

/// Give up every permitted capability that is not among these.
pub fn keep(wanted: u64) -> Result<()> {
    let mut sets = rustix::thread::capabilities(None)?;
    sets.permitted &= set_of(wanted);
    sets.effective = sets.permitted;
    sets.inheritable = CapabilitySet::empty();
    rustix::thread::set_capabilities(None, sets)
}

/// Make effective what is permitted, after a change of user emptied the effective set.
pub fn restore_effective() -> Result<()> {
    let mut sets = rustix::thread::capabilities(None)?;
    sets.effective = sets.permitted;
    rustix::thread::set_capabilities(None, sets)
}

/// The bits this process may hand on: its bounding set.
pub fn available() -> u64 {
    (0..64)
        .filter(|number| {
            rustix::thread::capability_is_in_bounding_set(one(*number)).unwrap_or(false)
        })
        .fold(0, |bits, number| bits | 1 << number)
}

/// Of these names, those that this process has not and so cannot grant.
pub fn missing<'n>(names: impl IntoIterator<Item = &'n str>) -> Vec<&'n str> {
    let own = available();
    let lacks = |name: &&str| bits(&[(*name).to_owned()]).is_ok_and(|bit| bit & own == 0);
    names.into_iter().filter(lacks).collect()
}

fn one(number: u32) -> CapabilitySet {
    set_of(1 << number)
}

fn set_of(bits: u64) -> CapabilitySet {
    CapabilitySet::from_bits_retain(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bits() {
        assert_eq!(bits(&["CAP_CHOWN", "KILL"]).unwrap(), 1 | 1 << 5);
        assert_eq!(bits(&["CAP_CHECKPOINT_RESTORE"]).unwrap(), 1 << 40);
        assert!(bits(&["CAP_WHATEVER"]).is_err());
    }
}
