//! [`Op::run`]: one arm for each operation, each a line into the file of its area.
//!
//! In goes plain data and the [`Actor`], which holds the descriptors that one
//! step leaves for a later one; out comes nothing, or why the kernel refused.
//! Cloning, waiting for the start and passing the baton are `play.rs`' own.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::error::Failure;
use crate::file::{self, Root};
use crate::namespace::{self, Namespace};
use crate::op::{Device, Exec, IdMapping, Inside, MountSource, Op, Propagation, Tree};
use crate::play::Child;
use crate::{
    caps, cgroup, conntrack, home, hook, mount, netlink, nft, process, program, schedule, seccomp,
    tty,
};

type Result<T> = std::result::Result<T, Failure>;

/// What one side holds while it plays.
#[derive(Debug)]
pub(crate) struct Actor {
    /// The host's procfs, from its first use until the host's files are left behind.
    proc: Option<OwnedFd>,
    /// The container's root, once there is one.
    pub(crate) root: Option<Root>,
    /// Detached mounts by slot.
    pub(crate) trees: Vec<Option<OwnedFd>>,
    /// The empty directory that covers hidden ones.
    pub(crate) empty: Option<OwnedFd>,
    /// The container's process, on the host's side once it exists.
    pub(crate) child: Option<Child>,
    /// Its pid, where only that is known.
    pub(crate) pid: Option<i32>,
    /// A process whose namespaces are entered.
    pub(crate) held: Option<OwnedFd>,
    /// Where the other end of a terminal is sent.
    pub(crate) console: Option<OwnedFd>,
    /// The inner end of a terminal that was opened.
    pub(crate) terminal: Option<OwnedFd>,
    /// The program that was found.
    pub(crate) program: Option<PathBuf>,
    /// The user's home directory.
    pub(crate) home: Option<String>,
    /// A seccomp descriptor that the creating process has to take.
    pub(crate) listener: Option<OwnedFd>,
}

impl Actor {
    pub(crate) fn new(console: Option<OwnedFd>) -> Actor {
        Actor {
            proc: None,
            root: None,
            trees: Vec::new(),
            empty: None,
            child: None,
            pid: None,
            held: None,
            console,
            terminal: None,
            program: None,
            home: None,
            listener: None,
        }
    }

    /// Let go of what leads to the host and is needed no more.
    pub(crate) fn forget_host(&mut self) {
        self.proc = None;
        self.held = None;
    }

    /// A procfs that is one: the host's, while its files are within reach.
    fn proc(&mut self) -> Result<BorrowedFd<'_>> {
        let proc = match self.proc.take() {
            Some(proc) => proc,
            None => file::proc()?,
        };
        let proc: &OwnedFd = self.proc.insert(proc);
        Ok(proc.as_fd())
    }

    /// The container's root; before it is made, and in a process that joined a container, `/`.
    fn root(&mut self) -> Result<&Root> {
        if self.root.is_none() {
            self.root = Some(Root::open(Path::new("/"))?);
        }
        self.root.as_ref().ok_or_else(|| Errno::NOENT.into())
    }

    pub(crate) fn held(&self) -> Result<BorrowedFd<'_>> {
        self.held
            .as_ref()
            .map(AsFd::as_fd)
            .ok_or_else(|| Errno::SRCH.into())
    }

    /// The container's process as the host counts it; on its own side, itself.
    fn pid(&mut self) -> Result<i32> {
        match self.child.as_ref().map(|child| child.pid).or(self.pid) {
            Some(pid) => Ok(pid),
            None => file::own_pid(self.proc()?)?
                .parse()
                .map_err(|_| Errno::INVAL.into()),
        }
    }

    /// Write to a file of the container's process in procfs.
    fn write_proc(&mut self, file: &str, value: &str) -> Result<()> {
        let path = format!("{}/{file}", self.pid()?);
        Ok(file::write_proc(self.proc()?, &path, value.as_bytes())?)
    }
}

impl Op {
    /// Do it.
    pub(crate) fn run(&self, actor: &mut Actor) -> Result<()> {
        match self {
            Op::Join { namespace, path } => join(*namespace, path),
            Op::HoldProcess { pid, start_time } => {
                actor.held = Some(process::open(*pid, *start_time)?);
                Ok(())
            }
            Op::JoinHeld { namespaces } => Ok(namespace::enter_of(actor.held()?, namespaces)?),
            Op::Unshare { namespaces } => Ok(namespace::leave(namespaces)?),
            Op::MapIds { uids, gids } => map_ids(actor, uids, gids),
            Op::BecomeRoot => Ok(process::become_root()?),
            Op::EnterTimeNamespace { offsets } => enter_time_namespace(actor, offsets),
            Op::SetHostname { name } => Ok(rustix::system::sethostname(name.as_bytes())?),
            Op::SetDomainname { name } => Ok(rustix::system::setdomainname(name.as_bytes())?),

            Op::OpenTree(tree) => open_tree(actor, tree),
            Op::SetPropagation {
                propagation,
                recursive,
            } => set_propagation(*propagation, *recursive),
            Op::IsolateMount { path } => mount::isolate(path),
            Op::MountOverlay(overlay) => {
                actor.root = Some(mount::mount_overlay(overlay)?);
                Ok(())
            }
            Op::BindRoot {
                path,
                target,
                slot,
                detach,
            } => {
                let tree = match slot {
                    Some(slot) => take_tree(actor, *slot)?,
                    None => mount::tree(path, true, false)?,
                };
                actor.root = Some(mount::bind_root(tree, target, *detach)?);
                Ok(())
            }
            Op::Mount(description) => mount_inside(actor, description),
            Op::ChangeMount {
                path,
                attributes,
                recursive,
            } => mount::change_inside(actor.root()?, path, *attributes, *recursive),
            Op::MakeDevice(device) => make_device(actor.root()?, device),
            Op::MakeInside { path, mode } => {
                actor.root()?.make_directories(path.as_path(), *mode)?;
                Ok(())
            }
            Op::Symlink { target, link } => symlink(actor.root()?, target, link),
            Op::Mask { path } => {
                let mut empty = actor.empty.take();
                let result = mount::mask(actor.root()?, path, &mut empty);
                actor.empty = empty;
                result
            }
            Op::ReadOnly { path } => mount::read_only(actor.root()?, path),
            Op::ReadOnlyRoot => read_only_root(actor.root()?),
            Op::PivotRoot => {
                actor.forget_host();
                mount::pivot(actor.root()?)
            }
            Op::MoveRoot { path } => {
                actor.forget_host();
                mount::cover_root(actor.root()?, path)
            }
            Op::EnterRoot { path } => {
                actor.forget_host();
                actor.root = Some(mount::enter_root(path)?);
                Ok(())
            }
            Op::UnmountRoot { path } => mount::unmount_root(path),
            Op::Sysctl { name, value } => sysctl(actor, name, value),

            // The player does these itself; a script that has them elsewhere is wrong.
            Op::Clone(_) | Op::AwaitStart => Err(Errno::INVAL.into()),
            other => run_on_process(other, actor),
        }
    }
}

/// The operations on a process: what it is, may do and becomes.
fn run_on_process(op: &Op, actor: &mut Actor) -> Result<()> {
    match op {
        Op::NewSession => Ok(rustix::process::setsid().map(drop)?),
        Op::NewKeyring { name } => Ok(process::new_keyring(name)?),
        Op::OpenTerminal { size, uid, console } => open_terminal(actor, *size, *uid, *console),
        Op::ControlTerminal => {
            let terminal = actor.terminal.take().ok_or(Errno::NOTTY)?;
            Ok(tty::control(terminal.as_fd())?)
        }
        Op::SetRlimit {
            resource,
            soft,
            hard,
        } => {
            let other = actor.child.as_ref().map(|child| child.pid);
            process::set_limit(other, resource, *soft, *hard)
        }
        Op::SetOomScore { adjustment } => {
            actor.write_proc("oom_score_adj", &adjustment.to_string())
        }
        Op::SetScheduler(scheduler) => Ok(schedule::set_scheduler(scheduler)?),
        Op::SetIoPriority { class, level } => Ok(schedule::set_io_priority(*class, *level)?),
        Op::SetAffinity { cpus } => Ok(schedule::set_affinity(cpus)?),
        Op::SetMemoryPolicy { mode, nodes } => Ok(schedule::set_memory_policy(*mode, nodes)?),
        Op::SetPersonality { persona } => Ok(process::set_personality(*persona)?),
        Op::SetUmask { mask } => {
            rustix::process::umask(Mode::from_raw_mode(*mask));
            Ok(())
        }
        Op::ChangeDirectory { path } => process::change_directory(actor.root()?, path),
        Op::LimitCapabilities { bounding } => Ok(caps::limit(caps::bits(bounding)?)?),
        Op::SetUser { uid, gid, groups } => {
            process::own_streams(*uid);
            Ok(process::set_user(*uid, *gid, groups.as_deref())?)
        }
        Op::KeepCapabilities { names } => Ok(caps::keep(caps::bits(names)?)?),
        Op::SetCapabilities(sets) => caps::set(sets),
        Op::DieWithCreator => {
            let kill = Some(rustix::process::Signal::KILL);
            Ok(rustix::process::set_parent_process_death_signal(kill)?)
        }
        Op::BecomeInit => Ok(crate::init::become_init()?),
        Op::NoNewPrivileges => Ok(rustix::thread::set_no_new_privs(true)?),
        Op::SetAppArmor { profile } => set_apparmor(actor, profile),
        Op::SetSelinux { label } => actor.write_proc("attr/exec", label),
        Op::Seccomp(filter) => {
            actor.listener = seccomp::load(filter)?;
            Ok(())
        }
        Op::RunHook(hook) => hook::run(hook, actor.pid()?),
        Op::FindProgram { program, path } => {
            actor.program = Some(program::find(program, path)?);
            Ok(())
        }
        Op::FindHome { uid } => {
            actor.home = Some(home::of(actor.root()?, *uid));
            Ok(())
        }
        Op::CloseOnExec { keep } => Ok(process::close_from(3 + keep)?),
        Op::Exec(exec) => Err(execute(actor, exec)),
        other => run_on_host(other, actor),
    }
}

/// The operations on cgroups and on files of the host.
fn run_on_host(op: &Op, actor: &mut Actor) -> Result<()> {
    match op {
        Op::CgroupCreate { path } => Ok(cgroup::tree::create(path)?),
        Op::CgroupWrite { path, file, value } => Ok(cgroup::tree::limit(path, file, value)?),
        Op::CgroupDelegate { path, uid, gid } => Ok(cgroup::tree::delegate(path, *uid, *gid)?),
        Op::CgroupDevices { path, rules } => Ok(crate::device_program::attach(path, rules)?),
        Op::CgroupJoin { path } => match &actor.child {
            Some(child) => Ok(cgroup::tree::adopt(path, child.pid)?),
            None => Ok(cgroup::tree::enter(path)?),
        },
        Op::CgroupDelete { path } => cgroup::tree::delete(path)
            .map_err(|error| std::io::Error::other(error.to_string()).into()),

        Op::MakeDirectory { path, mode } => Ok(file::make_host_directories(path, *mode)?),
        Op::WriteFile {
            path,
            content,
            mode,
        } => Ok(file::write_host_file(path, content.as_bytes(), *mode)?),
        Op::Remove { path } => Ok(file::remove_host(path)?),
        network => run_network(network, actor),
    }
}

/// The operations on network interfaces and on the firewall.
fn run_network(op: &Op, actor: &mut Actor) -> Result<()> {
    match op {
        Op::VethAdd(veth) => netlink::have_veth(veth, target(actor)?)?,
        Op::BridgeAdd(bridge) => netlink::have_bridge(bridge)?,
        Op::LinkMove { name, rename } => netlink::move_link(name, rename, target(actor)?)?,
        Op::LinkUp { name } => netlink::link_up(name)?,
        Op::LinkDelete { name } => netlink::drop_link(name)?,
        Op::AddressAdd(address) => netlink::have_address(address)?,
        Op::RouteAdd(route) => netlink::have_route(route)?,
        Op::FirewallAdd { table, elements } => nft::have(table, elements)?,
        Op::FirewallRemove { table, elements } => nft::drop_elements(table, elements)?,
        Op::FirewallDelete { table } => nft::drop_table(table)?,
        Op::ConnectionsForget { protocol, port } => conntrack::forget(*protocol, *port)?,
        Op::ForwardAllow { bridge } => nft::allow_forward(bridge)?,
        Op::ForwardForget { bridge } => nft::forget_forward(bridge)?,
        _ => return Err(Errno::INVAL.into()),
    }
    Ok(())
}

/// The network namespace of the container's process.
fn target(actor: &mut Actor) -> Result<netlink::Target> {
    let pid = actor.pid()?.try_into().map_err(|_| Errno::SRCH)?;
    Ok(netlink::Target::Process(pid))
}

fn join(namespace: Namespace, path: &Path) -> Result<()> {
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    Ok(namespace::enter(file.as_fd(), namespace)?)
}

fn map_ids(actor: &mut Actor, uids: &[IdMapping], gids: &[IdMapping]) -> Result<()> {
    actor.write_proc("uid_map", &namespace::id_map(uids))?;
    actor.write_proc("gid_map", &namespace::id_map(gids))
}

/// A process that clone3 puts into a new time namespace can no longer set its clocks, so it makes
/// one for its children, sets that, and then enters it as if it were a child.
fn enter_time_namespace(actor: &mut Actor, offsets: &[(String, i64, u32)]) -> Result<()> {
    namespace::leave(&[Namespace::Time])?;
    let lines: String = offsets
        .iter()
        .map(|(clock, seconds, nanoseconds)| format!("{clock} {seconds} {nanoseconds}\n"))
        .collect();
    if !lines.is_empty() {
        process::show()?;
        let written = actor.write_proc("timens_offsets", &lines);
        process::hide()?;
        written?;
    }
    let path = format!("{}/ns/time_for_children", actor.pid()?);
    let file = rustix::fs::openat(
        actor.proc()?,
        path,
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    Ok(namespace::enter(file.as_fd(), Namespace::Time)?)
}

fn open_tree(actor: &mut Actor, tree: &Tree) -> Result<()> {
    let mount = mount::tree(&tree.path, tree.recursive, tree.no_follow)?;
    if let Some(map) = &tree.id_map {
        let namespace = namespace::with_mappings(actor.proc()?, &map.uids, &map.gids)?;
        mount::map_ids(mount.as_fd(), namespace.as_fd(), map.recursive)?;
    }
    if actor.trees.len() <= tree.slot {
        actor.trees.resize_with(tree.slot + 1, || None);
    }
    actor.trees[tree.slot] = Some(mount);
    Ok(())
}

fn take_tree(actor: &mut Actor, slot: usize) -> Result<OwnedFd> {
    let tree = actor.trees.get_mut(slot).and_then(Option::take);
    tree.ok_or_else(|| Errno::BADF.into())
}

fn set_propagation(propagation: Propagation, recursive: bool) -> Result<()> {
    mount::propagate(
        file::point_at(Path::new("/"))?.as_fd(),
        propagation,
        recursive,
    )
}

fn mount_inside(actor: &mut Actor, description: &crate::op::Mount) -> Result<()> {
    let prepared = match description.source {
        MountSource::Prepared { slot } => Some(take_tree(actor, slot)?),
        _ => None,
    };
    mount::mount(actor.root()?, description, prepared)
}

fn make_device(root: &Root, device: &Device) -> Result<()> {
    let (parent, name) = root.parent(&device.path)?;
    let kind = match device.kind {
        'b' => FileType::BlockDevice,
        'p' => FileType::Fifo,
        _ => FileType::CharacterDevice,
    };
    let mode = Mode::from_raw_mode(device.mode);
    let number = rustix::fs::makedev(device.major, device.minor);
    match rustix::fs::mknodat(&parent, name, kind, mode, number) {
        Ok(()) => {}
        Err(Errno::EXIST) => return check_device(root, device),
        // In a user namespace, or where the device cgroup forbids it.
        Err(Errno::PERM) if kind != FileType::Fifo => {
            return mount::bind_device(root, &device.path, device.major, device.minor);
        }
        Err(other) => return Err(other.into()),
    }
    let (uid, gid) = (
        rustix::fs::Uid::from_raw(device.uid),
        rustix::fs::Gid::from_raw(device.gid),
    );
    rustix::fs::chownat(
        &parent,
        name,
        Some(uid),
        Some(gid),
        AtFlags::SYMLINK_NOFOLLOW,
    )?;
    // mknod(2) took the umask away. The parent is held, and nothing of the image runs yet.
    Ok(rustix::fs::chmodat(&parent, name, mode, AtFlags::empty())?)
}

/// A node that is there already must be the one that is wanted.
fn check_device(root: &Root, device: &Device) -> Result<()> {
    let found = file::status(root.find_no_follow(&device.path)?)?;
    let same = (found.stx_rdev_major, found.stx_rdev_minor) == (device.major, device.minor);
    let kind = FileType::from_raw_mode(found.stx_mode.into());
    let expected = match device.kind {
        'b' => kind == FileType::BlockDevice && same,
        'p' => kind == FileType::Fifo,
        _ => kind == FileType::CharacterDevice && same,
    };
    if expected {
        return Ok(());
    }
    Err(Failure {
        errno: libc::EEXIST,
        note: "something else is at this path".into(),
    })
}

fn symlink(root: &Root, target: &Path, link: &Inside) -> Result<()> {
    let (parent, name) = root.parent(link)?;
    match rustix::fs::symlinkat(target, &parent, name) {
        Err(Errno::EXIST) => Ok(()),
        other => Ok(other?),
    }
}

fn read_only_root(root: &Root) -> Result<()> {
    let read_only = crate::op::Attributes {
        set: mount::READ_ONLY,
        clear: 0,
    };
    mount::change(root.fd(), read_only, false)
}

fn sysctl(actor: &mut Actor, name: &str, value: &str) -> Result<()> {
    // `net/ipv4/conf/eth0.1/forwarding` keeps its dots; `net.ipv4.ip_forward` has none to keep.
    let path = if name.contains('/') {
        name.to_string()
    } else {
        name.replace('.', "/")
    };
    Ok(file::write_proc(
        actor.proc()?,
        &format!("sys/{path}"),
        value.as_bytes(),
    )?)
}

fn set_apparmor(actor: &mut Actor, profile: &str) -> Result<()> {
    let value = format!("exec {profile}");
    match actor.write_proc("attr/apparmor/exec", &value) {
        // Before Linux 5.8 all modules share one file.
        Err(failure) if failure.errno == libc::ENOENT => actor.write_proc("attr/exec", &value),
        other => other,
    }
}

fn open_terminal(
    actor: &mut Actor,
    size: Option<(u16, u16)>,
    uid: u32,
    console: bool,
) -> Result<()> {
    let root = actor.root()?;
    let terminal = tty::open(root, size)?;
    tty::own(terminal.inner.as_fd(), uid)?;
    if console {
        mount::bind_open(root, terminal.inner.as_fd(), &Inside::new("/dev/console"))?;
    }
    let Some(socket) = actor.console.take() else {
        return Err(Failure {
            errno: libc::ENOTCONN,
            note: "nobody takes the terminal".into(),
        });
    };
    tty::send(socket.as_fd(), terminal.outer.as_fd(), b"/dev/ptmx")?;
    actor.terminal = Some(terminal.inner);
    Ok(())
}

fn execute(actor: &mut Actor, exec: &Exec) -> Failure {
    let Some(program) = actor.program.take() else {
        return Errno::NOENT.into();
    };
    process::reset_signals();
    match actor.home.take() {
        None => program::execute(&program, exec),
        Some(home) => {
            let mut exec = exec.clone();
            exec.env.push(format!("HOME={home}"));
            program::execute(&program, &exec)
        }
    }
}
