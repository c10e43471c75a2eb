//! The system calls of each architecture that a filter can meet: number and name.
//!
//! One processor answers several: x86_64 also takes the calls of x86 and of x32, aarch64 those of
//! arm. The tables are the `syscalls` crate's, taken from the kernel's sources; x32, which it
//! lacks, is x86_64 with a bit set and 36 calls of its own (arch/x86/entry/syscalls/syscall_64.tbl).

use oci_spec::runtime::Arch;

/// Set in the number of every x32 call (`__X32_SYSCALL_BIT`, asm/unistd.h).
pub(super) const X32_BIT: u32 = 0x4000_0000;

/// A set of system calls that a processor can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Architecture {
    X86_64,
    X86,
    X32,
    Aarch64,
    Arm,
}

impl Architecture {
    /// The processor's own.
    pub(super) const NATIVE: Option<Self> = if cfg!(target_arch = "x86_64") {
        Some(Self::X86_64)
    } else if cfg!(target_arch = "aarch64") {
        Some(Self::Aarch64)
    } else {
        None
    };

    /// `None` for one that this processor never answers, so that no rule about it can matter.
    pub(super) fn of(arch: Arch) -> Option<Self> {
        let architecture = match arch {
            Arch::ScmpArchNative => return Self::NATIVE,
            Arch::ScmpArchX86_64 => Self::X86_64,
            Arch::ScmpArchX86 => Self::X86,
            Arch::ScmpArchX32 => Self::X32,
            Arch::ScmpArchAarch64 => Self::Aarch64,
            Arch::ScmpArchArm => Self::Arm,
            _ => return None,
        };
        let intel = matches!(architecture, Self::X86_64 | Self::X86 | Self::X32);
        (intel == cfg!(target_arch = "x86_64")).then_some(architecture)
    }

    /// `AUDIT_ARCH_*` of linux/audit.h, as the kernel tells the filter.
    pub(super) fn audit(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::X86 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
        }
    }

    /// True where an argument is 64 bits wide.
    pub(super) fn is_wide(self) -> bool {
        matches!(self, Self::X86_64 | Self::Aarch64 | Self::X32)
    }

    /// Its calls, by number.
    pub(super) fn calls(self) -> Vec<(u32, &'static str)> {
        match self {
            Self::X86_64 => numbered(0..512, |n| Some(syscalls::x86_64::Sysno::new(n)?.name())),
            Self::X86 => numbered(0..512, |n| Some(syscalls::x86::Sysno::new(n)?.name())),
            Self::X32 => x32(),
            Self::Aarch64 => numbered(0..512, |n| Some(syscalls::aarch64::Sysno::new(n)?.name())),
            // The private calls of arm have numbers of their own (asm/unistd.h, __ARM_NR_BASE).
            Self::Arm => numbered((0..512).chain(0xf_0000..0xf_0010), |n| {
                Some(syscalls::arm::Sysno::new(n)?.name())
            }),
        }
    }
}

fn numbered(
    numbers: impl Iterator<Item = usize>,
    name: impl Fn(usize) -> Option<&'static str>,
) -> Vec<(u32, &'static str)> {
    numbers.filter_map(|n| Some((n as u32, name(n)?))).collect()
}

fn x32() -> Vec<(u32, &'static str)> {
    let shared = Architecture::X86_64
        .calls()
        .into_iter()
        .filter(|(_, name)| !X32_OWN.contains(name));
    let own = X32_OWN
        .iter()
        .zip(512..)
        .map(|(name, number)| (number, *name));
    shared
        .chain(own)
        .map(|(number, name)| (number | X32_BIT, name))
        .collect()
}

/// x32's own calls, from number 512 on; the numbers of x86_64 of the same names are not x32's.
const X32_OWN: [&str; 36] = [
    "rt_sigaction",
    "rt_sigreturn",
    "ioctl",
    "readv",
    "writev",
    "recvfrom",
    "sendmsg",
    "recvmsg",
    "execve",
    "ptrace",
    "rt_sigpending",
    "rt_sigtimedwait",
    "rt_sigqueueinfo",
    "sigaltstack",
    "timer_create",
    "mq_notify",
    "kexec_load",
    "waitid",
    "set_robust_list",
    "get_robust_list",
    "vmsplice",
    "move_pages",
    "preadv",
    "pwritev",
    "rt_tgsigqueueinfo",
    "recvmmsg",
    "sendmmsg",
    "process_vm_readv",
    "process_vm_writev",
    "setsockopt",
    "getsockopt",
    "io_setup",
    "io_submit",
    "execveat",
    "preadv2",
    "pwritev2",
];

/// The calls that x86 also takes through one `socketcall(number, ...)`, from number 1 on
/// (linux/net.h).
pub(super) const SOCKETCALLS: [&str; 20] = [
    "socket",
    "bind",
    "connect",
    "listen",
    "accept",
    "getsockname",
    "getpeername",
    "socketpair",
    "send",
    "recv",
    "sendto",
    "recvfrom",
    "shutdown",
    "setsockopt",
    "getsockopt",
    "sendmsg",
    "recvmsg",
    "accept4",
    "recvmmsg",
    "sendmmsg",
];

/// The calls that x86 also takes through one `ipc(number, ...)` (linux/ipc.h).
pub(super) const IPC_CALLS: [(&str, u64); 12] = [
    ("semop", 1),
    ("semget", 2),
    ("semctl", 3),
    ("semtimedop", 4),
    ("msgsnd", 11),
    ("msgrcv", 12),
    ("msgget", 13),
    ("msgctl", 14),
    ("shmat", 21),
    ("shmdt", 22),
    ("shmget", 23),
    ("shmctl", 24),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn number(architecture: Architecture, name: &str) -> Option<u32> {
        architecture
            .calls()
            .iter()
            .find(|(_, n)| *n == name)
            .map(|(number, _)| *number)
    }

    #[test]
    fn well_known_numbers() {
        assert_eq!(number(Architecture::X86_64, "clone3"), Some(435));
        assert_eq!(number(Architecture::X86, "socketcall"), Some(102));
        assert_eq!(number(Architecture::Aarch64, "openat"), Some(56));
        assert_eq!(number(Architecture::Arm, "open"), Some(5));
        assert_eq!(number(Architecture::X86_64, "nosuchcall"), None);
    }

    #[test]
    fn x32_shares_most_numbers_and_has_its_own() {
        assert_eq!(number(Architecture::X32, "read"), Some(X32_BIT));
        assert_eq!(number(Architecture::X32, "ioctl"), Some(X32_BIT | 514));
        assert_eq!(number(Architecture::X32, "pwritev2"), Some(X32_BIT | 547));
    }
}
