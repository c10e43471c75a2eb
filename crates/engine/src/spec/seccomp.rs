//! The default seccomp profile, docker 29's in facts, and profiles in docker's or the runtime spec's JSON form.
//!
//! In: the wish (capabilities open further calls; `seccomp=` replaces the whole). Out: rules for `runtime::seccomp`, which
//! answers ENOSYS to calls that are newer than all named here, so that a C library falls back.

use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArg, LinuxSeccompArgBuilder,
    LinuxSeccompBuilder, LinuxSeccompOperator as Operator, LinuxSyscall, LinuxSyscallBuilder,
};

use super::sandbox;
use crate::Result;
use crate::config::ContainerConfig;

mod custom;

/// Allowed without condition. `socketcall` is not: it would go around the rule for `socket` on 32-bit x86.
const ALLOWED: &str = "
_llseek _newselect accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown
chown32 clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64
clock_nanosleep clock_nanosleep_time64 close close_range connect copy_file_range creat dup dup2 dup3
epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd
eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark
fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock
fork fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futex
futex_requeue futex_time64 futex_wait futex_waitv futex_wake futimesat get_robust_list get_thread_area getcpu
getcwd getdents getdents64 getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getitimer
getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid getresgid32 getresuid getresuid32
getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday getuid getuid32 getxattr getxattrat
inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents
io_pgetevents_time64 io_setup io_submit ioctl ioprio_get ioprio_set ipc kill landlock_add_rule
landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr link linkat listen listmount listxattr
listxattrat llistxattr lremovexattr lseek lsetxattr lstat lstat64 madvise map_shadow_stack membarrier
memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mmap2 mprotect
mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64
mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep
newfstatat open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect
poll ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64 process_mrelease pselect6 pselect6_time64
pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv recv recvfrom recvmmsg recvmmsg_time64
recvmsg remap_file_pages removexattr removexattrat rename renameat renameat2 restart_syscall riscv_hwprobe rmdir
rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity
sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64
sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop
semtimedop semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto set_robust_list set_thread_area
set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid
setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid
setsockopt setuid setuid32 setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4
sigprocmask sigreturn socketpair splice stat stat64 statfs statfs64 statmount statx symlink symlinkat sync
sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete timer_getoverrun timer_gettime
timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime
timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask uname unlink unlinkat uretprobe utime
utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write writev";

#[cfg(target_arch = "x86_64")]
const ALLOWED_HERE: &str = "arch_prctl modify_ldt";
#[cfg(target_arch = "aarch64")]
const ALLOWED_HERE: &str =
    "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls";

#[cfg(target_arch = "x86_64")]
const ARCHITECTURES: [Arch; 2] = [Arch::ScmpArchX86_64, Arch::ScmpArchX86];
#[cfg(target_arch = "aarch64")]
const ARCHITECTURES: [Arch; 2] = [Arch::ScmpArchAarch64, Arch::ScmpArchArm];

/// Calls that a capability opens.
const BY_CAPABILITY: [(&str, &str); 14] = [
    ("DAC_READ_SEARCH", "open_by_handle_at"),
    (
        "SYS_ADMIN",
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr \
         lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl \
         quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare",
    ),
    ("BPF", "bpf"),
    ("PERFMON", "perf_event_open"),
    ("SYSLOG", "syslog"),
    ("SYS_BOOT", "reboot"),
    ("SYS_CHROOT", "chroot"),
    ("SYS_MODULE", "delete_module init_module finit_module"),
    ("SYS_PACCT", "acct"),
    (
        "SYS_PTRACE",
        "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
    ),
    ("SYS_RAWIO", "iopl ioperm"),
    (
        "SYS_TIME",
        "settimeofday stime clock_settime clock_settime64",
    ),
    ("SYS_TTY_CONFIG", "vhangup"),
    (
        "SYS_NICE",
        "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    ),
];

/// New namespaces: CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET.
const CLONE_NAMESPACES: u64 = 0x7E02_0000;

/// The profile of a container; none when it is unconfined.
pub(super) fn profile(config: &ContainerConfig) -> Result<Option<LinuxSeccomp>> {
    let asked = sandbox::security_options(config)
        .filter(|(key, _)| *key == "seccomp")
        .last();
    let held = sandbox::bounding_names(config)?;
    match asked {
        Some((_, "unconfined")) => Ok(None),
        Some((_, text)) if text != "builtin" => custom::profile(text, &held).map(Some),
        None if config.privileged => Ok(None),
        _ => default(&held).map(Some),
    }
}

fn default(held: &[String]) -> Result<LinuxSeccomp> {
    let holds = |name: &str| held.iter().any(|capability| capability == name);
    // ptrace is safe since Linux 4.8 (seccomp is checked after the tracer's change), and lighter needs a later one anyway.
    let mut rules = vec![
        allow(ALLOWED)?,
        allow(ALLOWED_HERE)?,
        allow("ptrace process_vm_readv process_vm_writev")?,
        // Not AF_ALG (38) and not AF_VSOCK (40).
        allow_if("socket", arg(0, Operator::ScmpCmpLt, 38, None)?)?,
        allow_if("socket", arg(0, Operator::ScmpCmpEq, 39, None)?)?,
        allow_if("socket", arg(0, Operator::ScmpCmpGt, 40, None)?)?,
    ];
    for persona in [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff] {
        rules.push(allow_if(
            "personality",
            arg(0, Operator::ScmpCmpEq, persona, None)?,
        )?);
    }
    for (_, calls) in BY_CAPABILITY
        .iter()
        .filter(|(capability, _)| holds(capability))
    {
        rules.push(allow(calls)?);
    }
    if !holds("SYS_ADMIN") {
        let plain = arg(0, Operator::ScmpCmpMaskedEq, CLONE_NAMESPACES, Some(0))?;
        rules.push(allow_if("clone", plain)?);
        // Its flags lie in memory, out of a filter's sight: glibc then falls back to clone.
        rules.push(
            LinuxSyscallBuilder::default()
                .names(vec!["clone3".to_owned()])
                .action(Action::ScmpActErrno)
                .errno_ret(38u32)
                .build()?,
        );
    }
    Ok(LinuxSeccompBuilder::default()
        .default_action(Action::ScmpActErrno)
        .default_errno_ret(1u32)
        .architectures(ARCHITECTURES.to_vec())
        .syscalls(rules)
        .build()?)
}

fn allow(calls: &str) -> Result<LinuxSyscall> {
    let names: Vec<String> = calls.split_ascii_whitespace().map(String::from).collect();
    Ok(LinuxSyscallBuilder::default()
        .names(names)
        .action(Action::ScmpActAllow)
        .build()?)
}

fn allow_if(call: &str, condition: LinuxSeccompArg) -> Result<LinuxSyscall> {
    Ok(LinuxSyscallBuilder::default()
        .names(vec![call.to_owned()])
        .action(Action::ScmpActAllow)
        .args(vec![condition])
        .build()?)
}

fn arg(index: usize, op: Operator, value: u64, second: Option<u64>) -> Result<LinuxSeccompArg> {
    let builder = LinuxSeccompArgBuilder::default()
        .index(index)
        .op(op)
        .value(value);
    let builder = match second {
        Some(second) => builder.value_two(second),
        None => builder,
    };
    Ok(builder.build()?)
}
