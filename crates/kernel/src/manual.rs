//! What each [`Op`] does, and where to read on: its manual pages.

use crate::Op;

impl Op {
    /// What it does, in a few words: `mount proc at /proc`.
    pub fn does(&self) -> String {
        crate::words::attempt(self)
    }

    /// Manual pages, the one that tells most first.
    pub fn manual(&self) -> &'static [&'static str] {
        match self {
            Op::Clone(_) => &["clone(2)", "namespaces(7)"],
            Op::HoldProcess { .. } => &["pidfd_open(2)"],
            Op::Join { .. } | Op::JoinHeld { .. } => &["setns(2)", "namespaces(7)"],
            Op::Unshare { .. } => &["unshare(2)", "namespaces(7)"],
            Op::MapIds { .. } | Op::BecomeRoot => &["user_namespaces(7)"],
            Op::EnterTimeNamespace { .. } => &["time_namespaces(7)"],
            Op::SetHostname { .. } => &["sethostname(2)", "uts_namespaces(7)"],
            Op::SetDomainname { .. } => &["setdomainname(2)", "uts_namespaces(7)"],
            Op::OpenTree(_) => &["open_tree(2)"],
            Op::SetPropagation { .. } | Op::IsolateMount { .. } => {
                &["mount_namespaces(7)", "mount_setattr(2)"]
            }
            Op::MountOverlay(_) => &["mount(8)", "fsopen(2)"],
            Op::BindRoot { .. } => &["mount(2)", "pivot_root(2)"],
            Op::Mount(_) => &["mount(2)", "move_mount(2)"],
            Op::MakeDevice(_) => &["mknod(2)"],
            Op::MakeInside { .. } | Op::MakeDirectory { .. } => &["mkdir(2)"],
            Op::Symlink { .. } => &["symlink(2)"],
            Op::Mask { .. } => &["mount(2)", "proc(5)"],
            Op::ReadOnly { .. } | Op::ReadOnlyRoot | Op::ChangeMount { .. } => {
                &["mount_setattr(2)", "mount(2)"]
            }
            Op::PivotRoot => &["pivot_root(2)"],
            Op::MoveRoot { .. } => &["mount(2)", "chroot(2)"],
            Op::EnterRoot { .. } => &["chroot(2)"],
            Op::UnmountRoot { .. } => &["umount2(2)", "rmdir(2)"],
            Op::Sysctl { .. } => &["proc_sys(5)", "sysctl(8)"],
            Op::NewSession => &["setsid(2)"],
            Op::NewKeyring { .. } => &["keyctl(2)", "session-keyring(7)"],
            Op::OpenTerminal { .. } => &["pty(7)", "pts(4)"],
            Op::ControlTerminal => &["ioctl_tty(2)", "setsid(2)"],
            Op::SetRlimit { .. } => &["setrlimit(2)"],
            Op::SetOomScore { .. } => &["proc_pid_oom_score_adj(5)"],
            Op::SetScheduler(_) => &["sched_setattr(2)", "sched(7)"],
            Op::SetIoPriority { .. } => &["ioprio_set(2)"],
            Op::SetAffinity { .. } => &["sched_setaffinity(2)"],
            Op::SetMemoryPolicy { .. } => &["set_mempolicy(2)"],
            Op::SetPersonality { .. } => &["personality(2)"],
            Op::SetUmask { .. } => &["umask(2)"],
            Op::SetUser { .. } => &["setresuid(2)", "setgroups(2)", "credentials(7)"],
            Op::ChangeDirectory { .. } => &["chdir(2)"],
            Op::LimitCapabilities { .. } | Op::KeepCapabilities { .. } | Op::SetCapabilities(_) => {
                &["capabilities(7)"]
            }
            Op::DieWithCreator => &["PR_SET_PDEATHSIG(2const)", "prctl(2)"],
            Op::BecomeInit => &["fork(2)", "pid_namespaces(7)"],
            Op::NoNewPrivileges => &["PR_SET_NO_NEW_PRIVS(2const)", "prctl(2)"],
            Op::SetAppArmor { .. } => &["apparmor(7)"],
            Op::SetSelinux { .. } => &["selinux(8)"],
            Op::Seccomp(_) => &["seccomp(2)"],
            Op::RunHook(_) => &["execve(2)"],
            Op::FindProgram { .. } | Op::Exec(_) => &["execve(2)"],
            Op::FindHome { .. } => &["passwd(5)", "environ(7)"],
            Op::CloseOnExec { .. } => &["close_range(2)"],
            Op::AwaitStart => &["unix(7)"],
            Op::CgroupCreate { .. }
            | Op::CgroupWrite { .. }
            | Op::CgroupJoin { .. }
            | Op::CgroupDelegate { .. }
            | Op::CgroupDelete { .. } => &["cgroups(7)"],
            Op::CgroupDevices { .. } => &["bpf(2)", "cgroups(7)"],
            Op::VethAdd(_) => &["veth(4)", "ip-link(8)"],
            Op::BridgeAdd(_) => &["bridge(8)", "ip-link(8)"],
            Op::LinkMove { .. } | Op::LinkUp { .. } | Op::LinkDelete { .. } => {
                &["ip-link(8)", "rtnetlink(7)"]
            }
            Op::AddressAdd(_) => &["ip-address(8)", "rtnetlink(7)"],
            Op::RouteAdd(_) => &["ip-route(8)", "rtnetlink(7)"],
            Op::FirewallAdd { .. }
            | Op::FirewallRemove { .. }
            | Op::FirewallDelete { .. }
            | Op::ForwardAllow { .. }
            | Op::ForwardForget { .. } => &["nft(8)"],
            Op::ConnectionsForget { .. } => &["conntrack(8)"],
            Op::WriteFile { .. } => &["open(2)", "write(2)"],
            Op::Remove { .. } => &["unlink(2)"],
        }
    }
}
