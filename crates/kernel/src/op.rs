//! [`Op`]: every change that lighter asks of the kernel, as plain data.
//!
//! Nothing here does anything. Each variant says what changes, why a container
//! needs it, where it is documented, and since which kernel it exists. `run.rs`
//! has one arm per variant; `shell.rs` has the command a person would type.
//!
//! Two kinds of path never mix: a [`PathBuf`] is a path of the host, an
//! [`Inside`] is a path inside the container's root and is only ever resolved
//! below it (openat2(2), `RESOLVE_IN_ROOT`).

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::namespace::Namespace;
use crate::netlink::{Address, Bridge, Route, Veth};
use crate::nft::{Element, Table};

/// A path inside the container's root, absolute there.
///
/// It may come from an image and may name symbolic links to anywhere: it is
/// resolved under the root's file descriptor and never joined to a host path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Inside(pub PathBuf);

impl Inside {
    /// The path as the container sees it.
    pub fn new(path: impl Into<PathBuf>) -> Inside {
        Inside(path.into())
    }

    /// The path, to print it.
    pub fn as_path(&self) -> &Path {
        &self.0
    }
}

impl fmt::Display for Inside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

/// One change asked of the kernel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Op {
    // ---- processes and namespaces -------------------------------------
    /// Create the container's first process together with all its new namespaces.
    ///
    /// Host side; the Container side of the script begins here. clone3(2), since
    /// Linux 5.3 (`CLONE_INTO_CGROUP` 5.7).
    Clone(Clone3),
    /// Enter a namespace that exists. setns(2).
    Join {
        /// Which kind of namespace.
        namespace: Namespace,
        /// The namespace's file, as `/proc/PID/ns/net`.
        path: PathBuf,
    },
    /// Hold a process, so that none that gets its pid later is taken for it. pidfd_open(2).
    ///
    /// Host side, before the clone: inside, the process has another pid.
    HoldProcess {
        /// The process.
        pid: i32,
        /// When it started, in clock ticks since boot: with the pid it names the process.
        start_time: u64,
    },
    /// Enter namespaces of the held process, all at once. setns(2) with a pidfd, Linux 5.8.
    JoinHeld {
        /// Which of its namespaces.
        namespaces: Vec<Namespace>,
    },
    /// Leave a namespace for a new one. unshare(2).
    Unshare {
        /// Which kinds.
        namespaces: Vec<Namespace>,
    },
    /// Say which ids outside the new user namespace's ids stand for. user_namespaces(7).
    ///
    /// Host side: only a process of the parent namespace may map more than itself.
    MapIds {
        /// Lines of `/proc/PID/uid_map`.
        uids: Vec<IdMapping>,
        /// Lines of `/proc/PID/gid_map`.
        gids: Vec<IdMapping>,
    },
    /// Become root of the new user namespace. setresuid(2).
    BecomeRoot,
    /// Set the clock offsets of the new time namespace, then enter it. time_namespaces(7), Linux 5.6.
    EnterTimeNamespace {
        /// Clock name (`monotonic`, `boottime`), seconds, nanoseconds.
        offsets: Vec<(String, i64, u32)>,
    },
    /// Set the host name. sethostname(2).
    SetHostname {
        /// The name.
        name: String,
    },
    /// Set the NIS domain name. setdomainname(2).
    SetDomainname {
        /// The name.
        name: String,
    },

    // ---- root filesystem and mounts -----------------------------------
    /// Take a detached copy of what is mounted at a path of the host, before the clone.
    ///
    /// Host side: needed where the process inside could not do it, because its user namespace
    /// hides the path from it or because only the host may map ids of a mount.
    /// open_tree(2), mount_setattr(2) `MOUNT_ATTR_IDMAP`, Linux 5.12.
    OpenTree(Tree),
    /// Decide whether mounts below `/` travel between this mount namespace and others.
    ///
    /// Done first, so that nothing made here reaches the host, and again for the
    /// container's own root. mount_namespaces(7), mount_setattr(2).
    SetPropagation {
        /// The propagation to set.
        propagation: Propagation,
        /// Also for every mount below.
        recursive: bool,
    },
    /// Join an image's layers to one root with a writable directory on top.
    ///
    /// Made inside the new mount namespace: when the container dies, the kernel
    /// unmounts it. overlayfs (Documentation/filesystems/overlayfs.rst).
    MountOverlay(Overlay),
    /// Make a directory a mount of its own, as pivot_root(2) asks of a new root.
    BindRoot {
        /// The directory of the host that holds the root filesystem.
        path: PathBuf,
        /// Where it is mounted: over itself, but for a container in the host's mount namespace.
        target: PathBuf,
        /// The tree that [`Op::OpenTree`] took, when it did.
        slot: Option<usize>,
        /// Cut the copy's ties to the original, so that mounts do not travel.
        detach: bool,
    },
    /// Make the mount that holds a path private, so that what is mounted below does not travel.
    ///
    /// Needed where `/` has to stay shared with the host (`linux.rootfsPropagation`).
    IsolateMount {
        /// A path of the host.
        path: PathBuf,
    },
    /// Mount a filesystem, or show a directory or file of the host, inside the root.
    ///
    /// fsopen(2), open_tree(2), mount_setattr(2), move_mount(2); Linux 5.12.
    Mount(Mount),
    /// Change the rules of a mount that exists inside. mount_setattr(2).
    ChangeMount {
        /// Where it is mounted.
        path: Inside,
        /// What changes.
        attributes: Attributes,
        /// For every mount below too.
        recursive: bool,
    },
    /// Create a device node, or bind the host's when nodes may not be made. mknod(2).
    MakeDevice(Device),
    /// Create a directory inside the root, and those above it. mkdirat(2).
    MakeInside {
        /// The directory.
        path: Inside,
        /// Permission bits of new ones.
        mode: u32,
    },
    /// Create a symbolic link, unless something is there. symlink(2).
    Symlink {
        /// What the link says.
        target: PathBuf,
        /// Where the link is.
        link: Inside,
    },
    /// Hide a path: `/dev/null` over a file, an empty read-only tmpfs over a directory.
    ///
    /// A path that does not exist is skipped.
    Mask {
        /// What to hide.
        path: Inside,
    },
    /// Make a path read-only by binding it over itself. A missing path is skipped.
    ReadOnly {
        /// What to protect.
        path: Inside,
    },
    /// Make the container's root mount read-only. mount_setattr(2).
    ReadOnlyRoot,
    /// Make the new root `/` and let go of the host's. pivot_root(2).
    PivotRoot,
    /// As [`Op::PivotRoot`] where pivot_root(2) is impossible (an initramfs): move and chroot(2).
    MoveRoot {
        /// Where the root is mounted.
        path: PathBuf,
    },
    /// Make a mounted root the `/` of this process alone, in the host's mount namespace. chroot(2).
    ///
    /// No wall for a process with `CAP_SYS_CHROOT`; a mount namespace is one.
    EnterRoot {
        /// Where the root is mounted on the host.
        path: PathBuf,
    },
    /// Unmount a root in the host's mount namespace with everything below, and remove its mount
    /// point. What is not there is no error. umount2(2) `MNT_DETACH`.
    UnmountRoot {
        /// Where the root is mounted on the host.
        path: PathBuf,
    },
    /// Set a kernel parameter of the container's namespaces. proc_sys(5).
    ///
    /// Written through the host's procfs, never through what the image has at `/proc`.
    Sysctl {
        /// Dotted name.
        name: String,
        /// Value as written.
        value: String,
    },

    // ---- the process --------------------------------------------------
    /// Start a session of its own. setsid(2).
    NewSession,
    /// Start an empty session keyring, so that the host's keys stay out of reach. keyctl(2).
    NewKeyring {
        /// The keyring's name.
        name: String,
    },
    /// Open a new terminal inside, and hand its other end out. pty(7).
    OpenTerminal {
        /// Rows and columns, when asked.
        size: Option<(u16, u16)>,
        /// Who owns it.
        uid: u32,
        /// Show it at `/dev/console`.
        console: bool,
    },
    /// Make the terminal that was opened the controlling one of the session, and the standard
    /// streams. ioctl_tty(2) `TIOCSCTTY`.
    ControlTerminal,
    /// Limit a resource of the process. setrlimit(2).
    SetRlimit {
        /// Name as `RLIMIT_NOFILE`.
        resource: String,
        /// The limit that is enforced.
        soft: u64,
        /// The limit up to which the process may raise it.
        hard: u64,
    },
    /// How eagerly the out-of-memory killer takes this process. proc_pid_oom_score_adj(5).
    SetOomScore {
        /// -1000 to 1000.
        adjustment: i32,
    },
    /// Set the scheduling policy. sched_setattr(2).
    SetScheduler(Scheduler),
    /// Set the priority of input and output. ioprio_set(2).
    SetIoPriority {
        /// 1 real time, 2 best effort, 3 idle.
        class: u8,
        /// 0 (highest) to 7.
        level: u8,
    },
    /// Allow only these processors. sched_setaffinity(2).
    SetAffinity {
        /// A list as `0-3,7`.
        cpus: String,
    },
    /// Set from which memory nodes pages come. set_mempolicy(2).
    SetMemoryPolicy {
        /// `MPOL_*` mode and `MPOL_F_*` flags, or-ed.
        mode: u32,
        /// A list of nodes as `0,1`.
        nodes: String,
    },
    /// Set the execution domain. personality(2).
    SetPersonality {
        /// The persona's number.
        persona: u64,
    },
    /// Set the umask. umask(2).
    SetUmask {
        /// Permission bits that new files do not get.
        mask: u32,
    },
    /// Become the container's user. setgroups(2), setresgid(2), setresuid(2).
    ///
    /// Permitted capabilities stay, until [`Op::SetCapabilities`] takes them.
    SetUser {
        /// User id.
        uid: u32,
        /// Group id.
        gid: u32,
        /// Supplementary group ids; `None` leaves them (a user namespace may deny setgroups).
        groups: Option<Vec<u32>>,
    },
    /// Enter the working directory, and check that it lies inside the root. chdir(2).
    ChangeDirectory {
        /// The directory.
        path: Inside,
    },
    /// Take capabilities out of the bounding set. Before the user changes. capabilities(7).
    LimitCapabilities {
        /// Names that stay, as `CAP_CHOWN`.
        bounding: Vec<String>,
    },
    /// Keep only these of the capabilities that the process has. capset(2).
    ///
    /// Before other processes of the container can see it: who may trace it gains nothing.
    KeepCapabilities {
        /// Names that stay.
        names: Vec<String>,
    },
    /// Set the other capability sets. After the user changed. capset(2).
    SetCapabilities(Capabilities),
    /// Be killed when the creator is: a container does not outlive whoever keeps it. prctl(2) `PR_SET_PDEATHSIG`.
    ///
    /// After the user changed, which takes it back.
    DieWithCreator,
    /// Stay as a tiny init, with a child that goes on and becomes the program. fork(2), pid_namespaces(7).
    BecomeInit,
    /// No program started from here gains privileges. prctl(2) `PR_SET_NO_NEW_PRIVS`.
    NoNewPrivileges,
    /// Confine the next program by AppArmor. apparmor(7).
    SetAppArmor {
        /// The loaded profile.
        profile: String,
    },
    /// Label the next program for SELinux. selinux(8).
    SetSelinux {
        /// The label.
        label: String,
    },
    /// Allow only the listed system calls. seccomp(2).
    Seccomp(Seccomp),
    /// Run a hook of the bundle with the container's state on stdin. config.md, POSIX-platform hooks.
    RunHook(Hook),
    /// Find the program and learn why it could not start, before anyone waits for it.
    FindProgram {
        /// `argv[0]`.
        program: String,
        /// The value of `PATH`.
        path: String,
    },
    /// Look the home directory of the user up in the image's `/etc/passwd`: `HOME` for a program
    /// whose environment has none. passwd(5).
    FindHome {
        /// User id.
        uid: u32,
    },
    /// Have every descriptor but the standard streams and some more closed when the program starts.
    ///
    /// Before the seccomp filter, which may not know close_range(2). Linux 5.11.
    CloseOnExec {
        /// How many descriptors after the standard streams stay open.
        keep: u32,
    },
    /// The container is created; go on when somebody says start. runtime.md, Lifecycle.
    AwaitStart,
    /// Become the user's program. execve(2).
    Exec(Exec),

    // ---- cgroups -------------------------------------------------------
    /// Create a cgroup's directory, and those above it. cgroups(7).
    CgroupCreate {
        /// Directory in a cgroup filesystem.
        path: PathBuf,
    },
    /// Set one value of a cgroup. cgroups(7).
    CgroupWrite {
        /// Directory in a cgroup filesystem.
        path: PathBuf,
        /// File, as `memory.max`.
        file: String,
        /// What is written.
        value: String,
    },
    /// Allow and deny devices in a cgroup (v2, an eBPF program). bpf(2).
    CgroupDevices {
        /// Directory in the cgroup2 filesystem.
        path: PathBuf,
        /// First to last; a later rule overrides.
        rules: Vec<DeviceRule>,
    },
    /// Put the container's process in a cgroup (v1, and v2 when clone3 could not). cgroups(7).
    CgroupJoin {
        /// Directory in a cgroup filesystem.
        path: PathBuf,
    },
    /// Make a user the owner of a cgroup, who may then arrange groups below it. cgroups(7),
    /// Delegation.
    CgroupDelegate {
        /// Directory in the cgroup2 filesystem.
        path: PathBuf,
        /// User id on the host.
        uid: u32,
        /// Group id on the host.
        gid: u32,
    },
    /// Kill everything in a cgroup and remove it with all below. cgroups(7).
    CgroupDelete {
        /// Directory in a cgroup filesystem.
        path: PathBuf,
    },

    // ---- network -------------------------------------------------------
    /// Create a virtual cable: one end on a bridge, the other in the container, both on. veth(4).
    ///
    /// Host side, after [`Op::Clone`]: the far end is born in the network namespace of the
    /// container's process.
    VethAdd(Veth),
    /// Create a bridge and switch it on, unless it exists. bridge(8).
    BridgeAdd(Bridge),
    /// Move an interface of the host into the container. config-linux.md, Network devices.
    LinkMove {
        /// Name on the host.
        name: String,
        /// Name inside.
        rename: String,
    },
    /// Switch an interface on. netdevice(7).
    LinkUp {
        /// Its name.
        name: String,
    },
    /// Delete an interface, and with a veth its other end. A missing one is no error.
    LinkDelete {
        /// Its name.
        name: String,
    },
    /// Give an interface an address; one that it has is no error. rtnetlink(7).
    AddressAdd(Address),
    /// Add a route; one that is there is no error. rtnetlink(7).
    RouteAdd(Route),
    /// Have elements in the sets and maps of a table, making the table when it is missing.
    ///
    /// One transaction of nf_tables; packets see all of it or nothing. nft(8), Linux 5.7.
    FirewallAdd {
        /// The table they belong in.
        table: Table,
        /// What is added.
        elements: Vec<Element>,
    },
    /// Take elements out of a table again; what is missing is no error. nft(8).
    FirewallRemove {
        /// The table's name.
        table: String,
        /// What is taken out.
        elements: Vec<Element>,
    },
    /// Delete a table with everything in it; a missing one is no error. nft(8).
    FirewallDelete {
        /// The table's name.
        table: String,
    },
    /// Forget the connections to a port of this host, so that their next packet meets the firewall as it is now.
    ///
    /// An established flow keeps the translation of its first packet. conntrack(8).
    ConnectionsForget {
        /// The protocol's number: 17 for UDP.
        protocol: u8,
        /// The port that was asked for, before any translation.
        port: u16,
    },
    /// Let a bridge's packets pass the chains of others that drop forwarded packets by policy.
    ///
    /// Docker and ufw set such a policy for `iptables`' FORWARD chain; an accept in a table of
    /// ours does not overrule a drop in theirs, so the rule has to stand in their chain. What may
    /// be forwarded is still decided by our own table. iptables(8), nft(8).
    ForwardAllow {
        /// The bridge.
        bridge: String,
    },
    /// Take the rules of [`Op::ForwardAllow`] out again; missing ones are no error.
    ForwardForget {
        /// The bridge.
        bridge: String,
    },

    // ---- files ----------------------------------------------------------
    /// Create a directory of the host, and those above it. mkdir(2).
    MakeDirectory {
        /// The directory.
        path: PathBuf,
        /// Permission bits.
        mode: u32,
    },
    /// Write a file of the host. open(2).
    WriteFile {
        /// The file.
        path: PathBuf,
        /// What it holds.
        content: String,
        /// Permission bits.
        mode: u32,
    },
    /// Remove a file or a tree of the host; a missing one is no error. unlink(2).
    Remove {
        /// The file or directory.
        path: PathBuf,
    },
}

/// How the container's first process comes to be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Clone3 {
    /// New namespaces, made by clone3 itself.
    pub new: Vec<Namespace>,
    /// Done by an intermediate process, which then clones and ends: entering cgroups and
    /// namespaces that exist. What is made new has to belong to a user namespace that was entered
    /// before; and a process that enters a container must not be seen by the container's processes
    /// before it has left everything of the host.
    pub first: Vec<Op>,
    /// A directory of the cgroup2 filesystem into which the child is born.
    pub cgroup: Option<PathBuf>,
}

/// One line of an id map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMapping {
    /// First id inside.
    pub inside: u32,
    /// First id outside.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// Whether mounts travel to other mount namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Propagation {
    /// Neither in nor out.
    Private,
    /// Both ways.
    Shared,
    /// In, not out.
    Slave,
    /// As private, and cannot be bound elsewhere.
    Unbindable,
}

/// An overlay mount.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Overlay {
    /// Read-only directories, the topmost first.
    pub lower: Vec<PathBuf>,
    /// The writable directory; with `None` the overlay is read-only.
    pub upper: Option<PathBuf>,
    /// The kernel's scratch directory, on the same filesystem as `upper`.
    pub work: Option<PathBuf>,
    /// Where it is mounted on the host side of the new mount namespace.
    pub target: PathBuf,
    /// More options, as `metacopy=off`.
    pub options: Vec<String>,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MountSource {
    /// A new filesystem.
    Filesystem {
        /// Type, as `tmpfs`.
        kind: String,
        /// Name shown in mountinfo.
        source: String,
        /// Options of the filesystem, as `("size", Some("64m"))`.
        options: Vec<(String, Option<String>)>,
    },
    /// A directory or file of the host.
    Bind {
        /// Its path on the host.
        path: PathBuf,
        /// With every mount below.
        recursive: bool,
    },
    /// A directory inside the container's own root.
    BindInside {
        /// Its path inside.
        path: Inside,
        /// With every mount below.
        recursive: bool,
    },
    /// What [`Op::OpenTree`] took.
    Prepared {
        /// Its slot.
        slot: usize,
    },
}

/// A detached copy of a mount of the host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tree {
    /// The number by which later steps refer to it.
    pub slot: usize,
    /// What is copied.
    pub path: PathBuf,
    /// With every mount below.
    pub recursive: bool,
    /// Do not follow a symbolic link in the last component.
    pub no_follow: bool,
    /// Show other owners than the disk holds.
    pub id_map: Option<IdMap>,
}

/// A mount inside the container's root.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mount {
    /// What.
    pub source: MountSource,
    /// Where; made when missing, a directory or a file as the source is.
    pub target: Inside,
    /// Attributes of this mount.
    pub attributes: Attributes,
    /// Attributes of this mount and every one below.
    pub recursive: Attributes,
    /// Propagation, with `true` for every mount below too.
    pub propagation: Vec<(Propagation, bool)>,
    /// Copy what the root has at the target into the new tmpfs first.
    pub copy_up: bool,
    /// Give the new root directory the mode that the target has, when that was there before.
    pub take_mode: bool,
    /// Do not follow a symbolic link in the last component of the target.
    pub no_follow: bool,
}

impl Mount {
    /// A mount of a filesystem without further attributes.
    pub fn filesystem(
        kind: &str,
        source: &str,
        options: Vec<(String, Option<String>)>,
        target: Inside,
    ) -> Mount {
        let source = MountSource::Filesystem {
            kind: kind.into(),
            source: source.into(),
            options,
        };
        Mount::of(source, target)
    }

    /// A bind mount without further attributes.
    pub fn bind(path: impl Into<PathBuf>, recursive: bool, target: Inside) -> Mount {
        Mount::of(
            MountSource::Bind {
                path: path.into(),
                recursive,
            },
            target,
        )
    }

    fn of(source: MountSource, target: Inside) -> Mount {
        Mount {
            source,
            target,
            attributes: Attributes::default(),
            recursive: Attributes::default(),
            propagation: Vec::new(),
            copy_up: false,
            take_mode: false,
            no_follow: false,
        }
    }
}

/// Attributes of a mount to set and to clear, as `MOUNT_ATTR_*` bits of mount_setattr(2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// Bits to set.
    pub set: u64,
    /// Bits to clear.
    pub clear: u64,
}

/// The id map of a mount.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IdMap {
    /// User ids.
    pub uids: Vec<IdMapping>,
    /// Group ids.
    pub gids: Vec<IdMapping>,
    /// For every mount below too.
    pub recursive: bool,
}

/// A device node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Device {
    /// Where.
    pub path: Inside,
    /// `c`, `b` or `p`.
    pub kind: char,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// A rule of the device cgroup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRule {
    /// Allowed or denied.
    pub allow: bool,
    /// `a`, `b` or `c`.
    pub kind: char,
    /// Major number; `None` is every.
    pub major: Option<u32>,
    /// Minor number; `None` is every.
    pub minor: Option<u32>,
    /// Of `r`, `w`, `m`.
    pub access: String,
}

/// Scheduling of a process, the fields of sched_setattr(2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduler {
    /// `SCHED_*` number.
    pub policy: u32,
    /// `SCHED_FLAG_*` bits.
    pub flags: u64,
    /// -20 to 19, for the ordinary policies.
    pub nice: i32,
    /// 1 to 99, for FIFO and round robin.
    pub priority: u32,
    /// Nanoseconds, for the deadline policy.
    pub runtime: u64,
    /// Nanoseconds, for the deadline policy.
    pub deadline: u64,
    /// Nanoseconds, for the deadline policy.
    pub period: u64,
}

/// Capability sets by name. The bounding set is [`Op::LimitCapabilities`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// What is checked.
    pub effective: Vec<String>,
    /// What may become effective.
    pub permitted: Vec<String>,
    /// What survives into a program that has them in its file's set.
    pub inheritable: Vec<String>,
    /// What survives into any program.
    pub ambient: Vec<String>,
}

/// A seccomp filter, compiled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seccomp {
    /// Instructions of the classic BPF program.
    pub program: Vec<Instruction>,
    /// `SECCOMP_FILTER_FLAG_*` bits.
    pub flags: u64,
    /// Socket that gets the notify descriptor, and the metadata sent with it.
    pub listener: Option<(PathBuf, String)>,
}

/// One classic BPF instruction, `struct sock_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instruction {
    /// Opcode.
    pub code: u16,
    /// Instructions to skip when true.
    pub jt: u8,
    /// Instructions to skip when false.
    pub jf: u8,
    /// Operand.
    pub k: u32,
}

/// Stands in a hook's state for the pid, as a JSON string that becomes a number.
pub const PID: &str = "@PID@";

/// A hook, and the state it reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// Which list it comes from, as `createRuntime`.
    pub kind: String,
    /// Absolute path of the program.
    pub path: PathBuf,
    /// `argv`, when given.
    pub args: Vec<String>,
    /// The whole environment; without one it is that of whoever runs the hook.
    pub env: Option<Vec<String>>,
    /// Seconds, then it is killed and the step fails.
    pub timeout: Option<u64>,
    /// The container's state as JSON, with [`PID`] for the pid, which is not known before the clone.
    pub state: String,
}

/// The user's program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    /// `argv`.
    pub args: Vec<String>,
    /// The whole environment.
    pub env: Vec<String>,
}
