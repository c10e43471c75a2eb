//! A container's life: create, start, kill, pause, resume, exec, delete.
//!
//! In goes a planned bundle, out comes a process and its state on disk. Each
//! verb is one method that calls its steps in order. runtime.md, Operations.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use oci_spec::runtime::Process;

use crate::{Attach, Bundle, Error, State, Status};

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
    pub fn wait(&self) -> Result<ExitStatus, Error> {
        Err(Error::Missing {
            id: self.pid.to_string(),
        })
    }

    /// Reap it if it ended; never blocks.
    pub fn try_wait(&self) -> Result<Option<ExitStatus>, Error> {
        Err(Error::Missing {
            id: self.pid.to_string(),
        })
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
    /// `states` is the directory that holds one directory for each container.
    pub fn create(
        states: &Path,
        bundle: &Bundle,
        attach: &Attach,
        stdio: Stdio,
    ) -> Result<(Container, Child), Error> {
        let _ = (states, bundle, stdio);
        Err(Error::Missing {
            id: attach.id.clone(),
        })
    }

    /// Create a container and start its program at once.
    pub fn run(
        states: &Path,
        bundle: &Bundle,
        attach: &Attach,
        stdio: Stdio,
    ) -> Result<(Container, Child), Error> {
        let _ = (states, bundle, stdio);
        Err(Error::Missing {
            id: attach.id.clone(),
        })
    }

    /// Open a container that exists.
    pub fn load(states: &Path, id: &str) -> Result<Container, Error> {
        let _ = states;
        Err(Error::Missing { id: id.into() })
    }

    /// Where it is in its life, as the kernel shows it now.
    pub fn status(&self) -> Result<Status, Error> {
        Err(Error::Missing {
            id: self.state.id.clone(),
        })
    }

    /// Start the program of a created container.
    pub fn start(&self) -> Result<(), Error> {
        Err(Error::Missing {
            id: self.state.id.clone(),
        })
    }

    /// Send a signal to the program, or with `all` to every process of the container.
    pub fn kill(&self, signal: i32, all: bool) -> Result<(), Error> {
        let _ = (signal, all);
        Err(Error::Missing {
            id: self.state.id.clone(),
        })
    }

    /// Freeze every process of the container. Returns when they are.
    pub fn pause(&self) -> Result<(), Error> {
        Err(Error::Missing {
            id: self.state.id.clone(),
        })
    }

    /// Let a frozen container go on.
    pub fn resume(&self) -> Result<(), Error> {
        Err(Error::Missing {
            id: self.state.id.clone(),
        })
    }

    /// Start a further process in the container.
    pub fn exec(&self, request: &ExecRequest, stdio: Stdio) -> Result<Child, Error> {
        let _ = (request, stdio);
        Err(Error::Missing {
            id: self.state.id.clone(),
        })
    }

    /// Remove a stopped container and everything of it; with `force` kill it first.
    pub fn delete(self, force: bool) -> Result<(), Error> {
        let _ = force;
        Err(Error::Missing { id: self.state.id })
    }
}
