//! Programs that clients run in the container with `exec`.
//!
//! The monitor clones them: it runs from a copy of this program that no container can write, it has one thread, and it is
//! there to reap them when their client is not. Their streams are the client's affair: pipes come from it, a terminal's other
//! end goes to it. A terminal is closed, and its program gets SIGHUP, when its client goes without having said `Keep`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use runtime::{Child, Container, ExecRequest, Stdio};
use rustix::process::{Signal, pidfd_send_signal};

use super::clients::{Asking, Clients};
use super::failure;
use crate::wire::{ExecWish, Failure};
use crate::{Error, Result};

/// One program.
struct Running {
    /// Whose it is.
    client: u64,
    child: Child,
    terminal: Option<OwnedFd>,
    /// Its client went and wanted it to go on.
    kept: bool,
}

/// All of them.
#[derive(Default)]
pub(super) struct Execs {
    list: Vec<Running>,
}

impl Execs {
    /// Does what clients ask.
    pub(super) fn serve(
        &mut self,
        asked: Vec<(u64, Asking)>,
        container: &Container,
        clients: &mut Clients,
    ) {
        for (client, asking) in asked {
            match asking {
                Asking::Exec { wish, streams } => {
                    match self.start(client, &wish, streams, container) {
                        Ok(terminal) => clients.exec_started(client, terminal),
                        Err(error) => clients.exec_failed(client, &failure(&error)),
                    }
                }
                Asking::Signal(number) => self.signal(client, number),
                Asking::Keep => self.keep(client),
            }
        }
        self.forget_terminals(clients);
    }

    fn start(
        &mut self,
        client: u64,
        wish: &[u8],
        streams: Vec<OwnedFd>,
        container: &Container,
    ) -> Result<Option<OwnedFd>> {
        let refuse =
            |why: &str| Error::NotFound(format!("the client's wish cannot be read: {why}"));
        let wish: ExecWish = serde_json::from_slice(wish).map_err(|e| refuse(&e.to_string()))?;
        let tty = wish.process.terminal().unwrap_or(false);
        let stdio = match <[OwnedFd; 3]>::try_from(streams) {
            Ok(streams) => Stdio::Fds(streams),
            Err(_) if tty => Stdio::Terminal,
            Err(_) => return Err(refuse("three streams must come with it")),
        };
        let request = ExecRequest {
            process: wish.process,
            preserve_fds: 0,
            cgroup: None,
            ignore_paused: false,
        };
        let mut child = container.exec(&request, stdio)?;
        let terminal = child.terminal.take();
        let theirs = terminal.as_ref().map(OwnedFd::try_clone).transpose();
        let kept = wish.detach;
        self.list.push(Running {
            client,
            child,
            terminal,
            kept,
        });
        theirs.map_err(Error::system("hand out the program's terminal"))
    }

    fn signal(&self, client: u64, number: u8) {
        let signal = Signal::from_named_raw(i32::from(number));
        for running in self.list.iter().filter(|running| running.client == client) {
            // It may have ended: then its end is on its way to the client.
            let _ = signal.map(|signal| pidfd_send_signal(&running.child.pidfd, signal));
        }
    }

    fn keep(&mut self, client: u64) {
        for running in self
            .list
            .iter_mut()
            .filter(|running| running.client == client)
        {
            running.kept = true;
            if let Some(terminal) = &running.terminal {
                // Nobody reads it now: it is emptied whenever it fills.
                let _ = rustix::io::ioctl_fionbio(terminal, true);
            }
        }
    }

    /// Clients that went without a word take their program's terminal along.
    fn forget_terminals(&mut self, clients: &Clients) {
        for running in self.list.iter_mut().filter(|running| !running.kept) {
            if running.terminal.is_some() && !clients.has(running.client) {
                running.terminal = None;
            }
        }
    }

    /// For poll(2): the end of each, and output that nobody reads.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let ends = self.list.iter().map(|running| running.child.pidfd.as_fd());
        let kept = self.list.iter().filter(|running| running.kept);
        ends.chain(
            kept.filter_map(|running| running.terminal.as_ref())
                .map(AsFd::as_fd),
        )
    }

    /// Their processes on the host.
    pub(super) fn pids(&self) -> impl Iterator<Item = i32> {
        self.list.iter().map(|running| running.child.pid)
    }

    /// Tells clients whose program has ended.
    pub(super) fn reap(&mut self, clients: &mut Clients) {
        let mut block = [0; 4096];
        for running in self.list.iter_mut().filter(|running| running.kept) {
            let Some(terminal) = &running.terminal else {
                continue;
            };
            match super::streams::read(terminal.as_fd(), &mut block) {
                super::streams::Got::End => running.terminal = None,
                super::streams::Got::Bytes(_) | super::streams::Got::Nothing => {}
            }
        }
        self.list.retain(|running| match running.child.try_wait() {
            Ok(None) => true,
            Ok(Some(status)) => {
                clients.exec_ended(running.client, i32::from(status.code()));
                false
            }
            // Reaped by nobody we know: it is gone.
            Err(_) => {
                clients.exec_ended(running.client, 255);
                false
            }
        });
    }

    /// The container has ended, and the kernel killed them with it.
    pub(super) fn end(mut self, clients: &mut Clients) {
        for running in self.list.drain(..) {
            // Those that share the host's process ids live on until they are told.
            let _ = pidfd_send_signal(&running.child.pidfd, Signal::KILL);
            let code = running
                .child
                .wait()
                .map_or(255, |status| i32::from(status.code()));
            clients.exec_ended(running.client, code);
        }
    }
}

/// What a client hears that asks while nothing runs.
pub(super) fn nothing_runs() -> Failure {
    Failure {
        cause: "the container is not running".to_owned(),
        code: 125,
    }
}
