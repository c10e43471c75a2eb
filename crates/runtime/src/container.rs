//! A container's life: create, start, kill, pause, resume, exec, delete.
//!
//! In goes a planned bundle, out comes a process and its state on disk. Each
//! verb is one method that calls its steps in order. runtime.md, Operations.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use kernel::process::Ended;
use kernel::{Audience, Playground, Script};
use oci_spec::runtime::Process;
use serde::{Deserialize, Serialize};

use crate::state::{Identity, Phase, now};
use crate::{Attach, Bundle, Error, State, Status, View, plan};

/// Where the standard streams of a container's program lead.
#[derive(Debug)]
pub enum Stdio {
    /// To the creator's own.
    Inherit,
    /// To these: stdin, stdout, stderr.
    Fds([OwnedFd; 3]),
    /// To a new terminal whose other end is given to the caller in [`Child::terminal`].
    Terminal,
    /// To a new terminal whose other end is sent to this connected socket (`--console-socket`).
    TerminalTo(OwnedFd),
}

/// A process of a container that this process started and can wait for.
#[derive(Debug)]
pub struct Child {
    /// Its pid on the host.
    pub pid: i32,
    /// Names the process even when its pid is used again; readable when it ended.
    pub pidfd: OwnedFd,
    /// The other end of its terminal.
    pub terminal: Option<OwnedFd>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// It exited with this code.
    Code(u8),
    /// This signal ended it.
    Signal(u8),
}

impl ExitStatus {
    /// The code a shell would give: the exit code, or 128 and the signal's number.
    pub fn code(self) -> u8 {
        match self {
            ExitStatus::Code(code) => code,
            ExitStatus::Signal(signal) => 128 + signal,
        }
    }
}

impl Child {
    /// Wait until it ended, and reap it.
    ///
    /// # Errors
    /// `ECHILD` when this process did not start it, or reaped it already.
    pub fn wait(&self) -> Result<ExitStatus, Error> {
        match self.look(true)? {
            Some(status) => Ok(status),
            None => Err(Error::wait(self.pid, rustix::io::Errno::CHILD)),
        }
    }

    /// Reap it if it ended; never blocks.
    ///
    /// # Errors
    /// As [`Child::wait`].
    pub fn try_wait(&self) -> Result<Option<ExitStatus>, Error> {
        self.look(false)
    }

    fn look(&self, block: bool) -> Result<Option<ExitStatus>, Error> {
        let ended = kernel::process::wait(self.pidfd.as_fd(), block);
        let ended = ended.map_err(|errno| Error::wait(self.pid, errno))?;
        Ok(ended.map(|ended| match ended {
            Ended::Exited(code) => ExitStatus::Code(code as u8),
            Ended::Killed(signal) => ExitStatus::Signal(signal as u8),
        }))
    }
}

/// A further process for a container.
#[derive(Clone, Debug)]
pub struct ExecRequest {
    /// The process, complete: arguments, environment, user, capabilities, working directory.
    pub process: Process,
    /// How many descriptors after the standard streams stay open.
    pub preserve_fds: u32,
    /// A cgroup below the container's into which the process is put.
    pub cgroup: Option<PathBuf>,
    /// Also in a paused container, where the process waits until it is resumed.
    pub ignore_paused: bool,
}

/// A container that exists on disk.
#[derive(Debug)]
pub struct Container {
    /// Its directory below the state root.
    pub dir: PathBuf,
    /// What is kept of it.
    pub state: State,
}

impl Container {
    /// Create a container: all of it but the program, which waits for [`Container::start`].
    ///
    /// `states` is the directory that holds one directory for each container. Must be called from
    /// a process with one thread. When it fails, nothing of the container is left.
    ///
    /// # Errors
    /// [`Error::Exists`], or what the bundle or the kernel refused.
    pub fn create(
        states: &Path,
        bundle: &Bundle,
        attach: &Attach,
        stdio: Stdio,
    ) -> Result<(Container, Child), Error> {
        let view = View::of(bundle, attach)?;
        let script = plan::plan(bundle, attach)?;
        let container = Container::found(states, bundle, &view)?;
        let start = container.start_socket()?;
        container.bring_up(
            &view,
            &script,
            stdio,
            Some(start),
            Phase::Created,
            &mut |_| Ok(()),
        )
    }

    /// Create a container and start its program at once.
    ///
    /// # Errors
    /// As [`Container::create`] and [`Container::start`].
    pub fn run(
        states: &Path,
        bundle: &Bundle,
        attach: &Attach,
        stdio: Stdio,
    ) -> Result<(Container, Child), Error> {
        Container::run_observed(states, bundle, attach, stdio, &mut |_| Ok(()))
    }

    /// As [`Container::run`], and tell the pid of the container's process as soon as it exists:
    /// its namespaces are new, and its program is not started before `born` returns.
    ///
    /// # Errors
    /// As [`Container::run`]; and an error of `born`, which ends the process.
    pub fn run_observed(
        states: &Path,
        bundle: &Bundle,
        attach: &Attach,
        stdio: Stdio,
        born: &mut dyn FnMut(i32) -> io::Result<()>,
    ) -> Result<(Container, Child), Error> {
        let view = View::of(bundle, attach)?;
        let script = plan::plan(bundle, attach)?;
        let container = Container::found(states, bundle, &view)?;
        let (container, child) =
            container.bring_up(&view, &script, stdio, None, Phase::Started, born)?;
        container.after_start()?;
        Ok((container, child))
    }

    /// Open a container that exists.
    ///
    /// # Errors
    /// [`Error::Missing`].
    pub fn load(states: &Path, id: &str) -> Result<Container, Error> {
        check_id(id)?;
        let dir = states.join(id);
        let state = State::read(&dir)?;
        Ok(Container { dir, state })
    }

    /// Every container below a state root, in the order of their ids.
    ///
    /// # Errors
    /// When the directory cannot be read; a missing one has no containers.
    pub fn list(states: &Path) -> Result<Vec<Container>, Error> {
        let entries = match std::fs::read_dir(states) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(Error::file("read", states, source)),
        };
        let names = entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<_> = names.filter(|name| check_id(name).is_ok()).collect();
        names.sort();
        let loaded = names.iter().map(|id| Container::load(states, id));
        // One that is removed meanwhile is not there.
        Ok(loaded.filter_map(Result::ok).collect())
    }

    /// Where it is in its life, as the kernel shows it now.
    ///
    /// # Errors
    /// When its state cannot be read any more.
    pub fn status(&self) -> Result<Status, Error> {
        Ok(State::read(&self.dir)?.status())
    }

    /// Start the program of a created container.
    ///
    /// # Errors
    /// [`Error::Status`] unless it is created; what kept the program from starting.
    pub fn start(&self) -> Result<(), Error> {
        self.require("start", &[Status::Created])?;
        let child = self.process()?;
        let connected = kernel::play::connect_start(&self.start_path());
        let socket =
            connected.map_err(|errno| Error::file("connect to", &self.dir, errno.into()))?;
        let mut audience = Attendant {
            container: self.clone(),
            agent: self.state.agent.clone(),
            born: &mut |_| Ok(()),
        };
        kernel::play::start(socket, &child, &mut audience)?;
        let _ = std::fs::remove_file(self.dir.join(START));
        let started = Container {
            dir: self.dir.clone(),
            state: State {
                phase: Phase::Started,
                ..self.state.clone()
            },
        };
        started.state.write(&self.dir)?;
        started.after_start()
    }

    /// Send a signal to the program, or with `all` to every process of the container.
    ///
    /// # Errors
    /// [`Error::Status`] when it is stopped.
    pub fn kill(&self, signal: i32, all: bool) -> Result<(), Error> {
        if all {
            return self.kill_all(signal);
        }
        self.require(
            "kill",
            &[
                Status::Created,
                Status::Running,
                Status::Paused,
                Status::Creating,
            ],
        )?;
        let process = self.process()?;
        kernel::process::signal(process.pidfd.as_fd(), signal)
            .map_err(|errno| Error::signal(signal, &self.state.id, errno))
    }

    fn kill_all(&self, signal: i32) -> Result<(), Error> {
        if signal == libc::SIGKILL {
            return Ok(self.state.cgroup.kill()?);
        }
        for pid in self.state.cgroup.pids()? {
            // One that ended meanwhile needs no signal.
            if let Ok(process) = kernel::process::pidfd(pid) {
                let _ = kernel::process::signal(process.as_fd(), signal);
            }
        }
        Ok(())
    }

    /// Freeze every process of the container. Returns when they are.
    ///
    /// # Errors
    /// [`Error::Status`] unless it runs.
    pub fn pause(&self) -> Result<(), Error> {
        self.require("pause", &[Status::Created, Status::Running])?;
        Ok(self.state.cgroup.freeze()?)
    }

    /// Let a frozen container go on.
    ///
    /// # Errors
    /// [`Error::Status`] unless it is paused.
    pub fn resume(&self) -> Result<(), Error> {
        self.require("resume", &[Status::Paused])?;
        Ok(self.state.cgroup.thaw()?)
    }

    /// Start a further process in the container.
    ///
    /// Must be called from a process with one thread.
    ///
    /// # Errors
    /// [`Error::Status`] unless it runs; what kept the process from starting.
    pub fn exec(&self, request: &ExecRequest, stdio: Stdio) -> Result<Child, Error> {
        let mut allowed = vec![Status::Created, Status::Running];
        allowed.extend(request.ignore_paused.then_some(Status::Paused));
        self.require("exec in", &allowed)?;
        let bundle = self.bundle()?;
        let attach = Attach {
            id: self.state.id.clone(),
            preserve_fds: request.preserve_fds,
            root_mount: self.state.root_mount.clone(),
            ..Attach::default()
        };
        let view = View::of(&bundle, &attach)?;
        let script = plan::exec::plan(&view, &self.state, request)?;
        let mut audience = Attendant {
            container: self.clone(),
            agent: Agent::of(&view),
            born: &mut |_| Ok(()),
        };
        let (playground, terminal) = playground(stdio, None)?;
        let child = kernel::play(&script, playground, &mut audience)?;
        finish(child, terminal)
    }

    /// Remove a stopped container and everything of it; with `force` kill it first. Gives back why
    /// `poststop` hooks failed, which is worth a warning and no more.
    ///
    /// # Errors
    /// [`Error::Status`] when it runs; what could not be removed, after everything else was.
    pub fn delete(self, force: bool) -> Result<Vec<Error>, Error> {
        if !force {
            self.require("delete", &[Status::Stopped])?;
        }
        if let Ok(process) = self.process() {
            kernel::process::kill(process.pidfd.as_fd());
            wait_for_end(&process, &self.state.id)?;
        }
        self.remove()
    }

    /// Undo everything, in the reverse order of its making. Goes on when a part fails.
    fn remove(&self) -> Result<Vec<Error>, Error> {
        let mut failed: Vec<Error> = Vec::new();
        let group = &self.state.cgroup;
        failed.extend(
            group
                .kill()
                .and_then(|()| group.remove())
                .err()
                .map(Error::from),
        );
        failed.extend(
            kernel::play::play_after(&self.state.undo, 0)
                .into_iter()
                .map(Error::from),
        );
        // runtime.md, Lifecycle, step 14: a failing poststop hook is a warning.
        let hooks = kernel::play::play_after(&self.state.poststop, 0);
        let removed = kernel::file::remove_host(&self.dir);
        failed.extend(
            removed
                .err()
                .map(|source| Error::file("remove", &self.dir, source)),
        );
        match failed.into_iter().next() {
            Some(error) => Err(error),
            None => Ok(hooks.into_iter().map(Error::from).collect()),
        }
    }

    /// Make the container's directory, complete with its state or not at all.
    pub(crate) fn found(states: &Path, bundle: &Bundle, view: &View) -> Result<Container, Error> {
        check_id(view.id)?;
        let dir = states.join(view.id);
        if dir.join("state.json").exists() {
            return Err(Error::Exists { id: view.id.into() });
        }
        let state = State {
            oci_version: view.oci_version.into(),
            id: view.id.into(),
            phase: Phase::Creating,
            creator: Identity::of(std::process::id() as i32).unwrap_or_default(),
            bundle: view.bundle.into(),
            rootfs: view.rootfs.clone(),
            pid: 0,
            start_time: 0,
            created: now(),
            cgroup: plan::cgroup::group(view)?,
            annotations: view
                .annotations
                .iter()
                .map(|(k, v)| ((*k).into(), (*v).into()))
                .collect(),
            undo: undo(view),
            root_mount: view.attach.root_mount.clone(),
            poststart: plan::hooks::poststart(view),
            poststop: plan::hooks::poststop(view),
            agent: Agent::of(view),
        };
        let draft = states.join(format!(".{}.{}", view.id, std::process::id()));
        let made = kernel::file::make_host_directories(&draft, 0o700);
        made.map_err(|source| Error::file("create", &draft, source))?;
        bundle.keep(&draft)?;
        state.write(&draft)?;
        match std::fs::rename(&draft, &dir) {
            Ok(()) => Ok(Container { dir, state }),
            Err(error) => {
                let _ = kernel::file::remove_host(&draft);
                match error.raw_os_error() {
                    Some(libc::ENOTEMPTY | libc::EEXIST) => {
                        Err(Error::Exists { id: view.id.into() })
                    }
                    _ => Err(Error::file("create", &dir, error)),
                }
            }
        }
    }

    /// Play the script; when that fails, leave nothing.
    fn bring_up(
        mut self,
        view: &View,
        script: &Script,
        stdio: Stdio,
        start: Option<OwnedFd>,
        reached: Phase,
        born: &mut dyn FnMut(i32) -> io::Result<()>,
    ) -> Result<(Container, Child), Error> {
        let played = playground(stdio, start).and_then(|(playground, terminal)| {
            let mut audience = Attendant {
                container: self.clone(),
                agent: Agent::of(view),
                born,
            };
            let child = kernel::play(script, playground, &mut audience)?;
            self.state = audience.container.state;
            finish(child, terminal)
        });
        let child = match played {
            Ok(child) => child,
            Err(error) => {
                let _ = self.remove();
                return Err(error);
            }
        };
        self.state.phase = reached;
        self.state.write(&self.dir)?;
        Ok((self, child))
    }

    /// The hooks after the start. When one fails those behind it are not run, and the container is
    /// stopped and destroyed. runtime.md, Lifecycle, step 9.
    fn after_start(&self) -> Result<(), Error> {
        let played = kernel::play::play_after_until(&self.state.poststart, self.state.pid);
        played.map_err(|error| {
            if let Ok(process) = self.process() {
                kernel::process::kill(process.pidfd.as_fd());
            }
            let _ = self.remove();
            error.into()
        })
    }

    fn clone(&self) -> Container {
        Container {
            dir: self.dir.clone(),
            state: self.state.clone(),
        }
    }

    fn require(&self, action: &'static str, allowed: &[Status]) -> Result<(), Error> {
        let status = self.status()?;
        if allowed.contains(&status) {
            return Ok(());
        }
        Err(Error::Status {
            action,
            id: self.state.id.clone(),
            status,
        })
    }

    /// The container's process, if it lives.
    fn process(&self) -> Result<kernel::play::Child, Error> {
        let state = State::read(&self.dir)?;
        let pidfd = kernel::process::open(state.pid, state.start_time);
        let pidfd = pidfd.map_err(|_| Error::Status {
            action: "find the process of",
            id: state.id.clone(),
            status: Status::Stopped,
        })?;
        Ok(kernel::play::Child {
            pid: state.pid,
            pidfd,
        })
    }

    fn start_path(&self) -> PathBuf {
        self.dir.join(START)
    }

    fn start_socket(&self) -> Result<OwnedFd, Error> {
        let socket = kernel::play::start_socket(&self.start_path());
        socket.map_err(|errno| Error::file("listen at", &self.start_path(), errno.into()))
    }

    /// The bundle with the configuration that the container was created from, whatever became of
    /// the file in it since.
    ///
    /// # Errors
    /// When it cannot be read any more.
    pub fn bundle(&self) -> Result<Bundle, Error> {
        let spec = Bundle::load(&self.dir)?.spec;
        Ok(Bundle {
            dir: self.state.bundle.clone(),
            spec,
        })
    }
}

/// What is undone on the host when the container is removed.
fn undo(view: &View) -> Script {
    let mut undo = view.attach.undo.clone();
    undo.extend(plan::rootfs::leave_root(view));
    Script::new(undo)
}

/// The socket on which a created container waits for its start.
const START: &str = "start.sock";

/// Names that are safe as a file's name, as runc has them.
fn check_id(id: &str) -> Result<(), Error> {
    let refuse = |reason| {
        Err(Error::Id {
            id: id.into(),
            reason,
        })
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '-' | '.');
    match id {
        "" => refuse("it is empty"),
        _ if id.starts_with('.') => refuse("it starts with a dot"),
        _ if id.len() > 255 => refuse("it has more than 255 characters"),
        _ if !id.chars().all(allowed) => refuse("only letters, digits and _ + - . are allowed"),
        _ => Ok(()),
    }
}

/// Records the birth, and takes a seccomp agent's descriptor.
struct Attendant<'b> {
    container: Container,
    agent: Option<Agent>,
    born: &'b mut dyn FnMut(i32) -> io::Result<()>,
}

impl Audience for Attendant<'_> {
    fn born(&mut self, child: &kernel::play::Child) -> io::Result<()> {
        let container = &mut self.container;
        if container.state.phase != Phase::Creating {
            // A further process of a container is not its first.
            return Ok(());
        }
        let identity = Identity::of(child.pid).ok_or(rustix::io::Errno::SRCH)?;
        container.state.pid = identity.pid;
        container.state.start_time = identity.start_time;
        container
            .state
            .write(&container.dir)
            .map_err(io::Error::other)?;
        (self.born)(child.pid)
    }

    fn listening(&mut self, child: &kernel::play::Child, number: i32) -> io::Result<()> {
        let Some(agent) = &self.agent else {
            return Ok(());
        };
        let listener = kernel::seccomp::take_listener(child.pidfd.as_fd(), number)?;
        let state = agent.process_state(&self.container.state, child.pid);
        kernel::seccomp::send_listener(&agent.path, &state, &listener)
    }
}

/// Who decides about system calls with the action notify. config-linux.md, The Container Process State.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Agent {
    /// The socket on which it listens.
    pub path: PathBuf,
    /// What the bundle has to say to it.
    pub metadata: Option<String>,
}

impl Agent {
    fn of(view: &View) -> Option<Agent> {
        let seccomp = view.seccomp?;
        let path = seccomp.listener_path().clone()?;
        Some(Agent {
            path,
            metadata: seccomp.listener_metadata().clone(),
        })
    }

    fn process_state(&self, state: &State, pid: i32) -> String {
        let mut process = serde_json::json!({
            "ociVersion": state.oci_version,
            "fds": ["seccompFd"],
            "pid": pid,
            "state": {
                "ociVersion": state.oci_version,
                "id": state.id,
                "status": if state.phase == Phase::Creating { Status::Creating } else { Status::Running },
                "pid": state.pid,
                "bundle": state.bundle,
                "annotations": state.annotations,
            },
        });
        if let Some(metadata) = &self.metadata {
            process["metadata"] = serde_json::json!(metadata);
        }
        process.to_string()
    }
}

/// What the script is played with, and the socket on which a terminal's other end arrives.
fn playground(
    stdio: Stdio,
    start: Option<OwnedFd>,
) -> Result<(Playground, Option<OwnedFd>), Error> {
    let mut playground = Playground {
        start,
        ..switches()
    };
    let mut terminal = None;
    match stdio {
        Stdio::Inherit => {}
        Stdio::Fds(streams) => playground.stdio = Some(streams),
        Stdio::TerminalTo(socket) => playground.console = Some(socket),
        Stdio::Terminal => {
            let pair = kernel::tty::socket_pair();
            let (ours, theirs) = pair
                .map_err(|errno| Error::file("make", Path::new("a socket pair"), errno.into()))?;
            playground.console = Some(theirs);
            terminal = Some(ours);
        }
    }
    Ok((playground, terminal))
}

/// Switches for tests and for tracing, from the environment: `LIGHTER_STOP_AT=N` kills this process
/// and the container's right before step N of a script; `LIGHTER_TRACE=FILE` appends a line of JSON
/// for each step.
fn switches() -> Playground {
    let stop_at = std::env::var("LIGHTER_STOP_AT")
        .ok()
        .and_then(|number| number.parse().ok());
    let trace = std::env::var_os("LIGHTER_TRACE").and_then(|path| {
        std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .ok()
    });
    Playground {
        stop_at,
        trace: trace.map(OwnedFd::from),
        ..Playground::default()
    }
}

/// The process that was played, and its terminal.
fn finish(child: Option<kernel::play::Child>, terminal: Option<OwnedFd>) -> Result<Child, Error> {
    let child = child.ok_or_else(|| Error::Config {
        field: "process".into(),
        reason: "the script made no process".into(),
    })?;
    let terminal = match terminal {
        None => None,
        Some(socket) => kernel::tty::receive(socket.as_fd())
            .map_err(|errno| Error::file("receive", Path::new("the terminal"), errno.into()))?,
    };
    Ok(Child {
        pid: child.pid,
        pidfd: child.pidfd,
        terminal,
    })
}

/// A killed process may take its time to end, in the middle of input or output.
fn wait_for_end(process: &kernel::play::Child, id: &str) -> Result<(), Error> {
    const PATIENCE: u64 = 10_000;
    match kernel::process::readable_within(process.pidfd.as_fd(), PATIENCE) {
        Ok(true) => Ok(()),
        _ => Err(Error::Status {
            action: "end",
            id: id.into(),
            status: Status::Running,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_names_of_files() {
        for id in ["a", "web-1", "0_x+y.z"] {
            check_id(id).unwrap();
        }
        for id in ["", ".", "..", "../x", "a/b", "a b", ".hidden", "ü"] {
            check_id(id).unwrap_err();
        }
    }
}
