//! Stays beside a process of a container until it ends.
//!
//! In: a [`Child`], perhaps with the other end of its terminal. Out: its exit code. On the way,
//! signals are passed on to it, and its terminal is joined with ours.

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};

use anyhow::Context;
use kernel::signals::Signals;
use runtime::Child;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::termios::{
    OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize,
};

/// Catches signals from now on, so that none gets lost while the container is made.
pub(super) fn prepare() -> anyhow::Result<Signals> {
    Signals::catch().context("catch signals")
}

/// Waits until `child` ended; its exit code, or 128 and the number of the signal that ended it.
pub(super) fn wait(child: Child, signals: &Signals) -> anyhow::Result<u8> {
    let mut terminal = match child.terminal {
        Some(fd) => Some(Relay::new(fd)?),
        None => None,
    };
    let child = Child {
        terminal: None,
        ..child
    };
    loop {
        if let Some(status) = child.try_wait()? {
            if let Some(relay) = &mut terminal {
                relay.drain();
            }
            return Ok(status.code());
        }
        let woken = sleep(&child, signals, terminal.as_ref())?;
        if woken.signal {
            forward(&child, signals, terminal.as_ref())?;
        }
        if let Some(relay) = &mut terminal {
            relay.pass_on(&woken);
        }
    }
}

/// What happened.
#[derive(Debug, Default)]
struct Woken {
    signal: bool,
    /// We have input for the program.
    input: bool,
    /// The program has output for us, or takes input again.
    terminal: bool,
}

fn sleep(child: &Child, signals: &Signals, relay: Option<&Relay>) -> anyhow::Result<Woken> {
    let stdin = io::stdin();
    let mut fds = vec![
        PollFd::new(&child.pidfd, PollFlags::IN),
        PollFd::new(signals, PollFlags::IN),
    ];
    let place = |fds: &mut Vec<_>, fd| {
        fds.push(fd);
        fds.len() - 1
    };
    let terminal = relay.filter(|relay| relay.open).map(|relay| {
        let room = if relay.pending.is_empty() {
            PollFlags::empty()
        } else {
            PollFlags::OUT
        };
        place(&mut fds, PollFd::new(&relay.terminal, PollFlags::IN | room))
    });
    let input = relay
        .filter(|relay| relay.open && relay.listens && relay.pending.is_empty())
        .map(|_| place(&mut fds, PollFd::new(&stdin, PollFlags::IN)));
    match poll(&mut fds, None) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(errno) => return Err(errno).context("wait for the container"),
    }
    let happened = |index: usize| !fds[index].revents().is_empty();
    Ok(Woken {
        signal: happened(1),
        terminal: terminal.is_some_and(happened),
        input: input.is_some_and(happened),
    })
}

/// Passes signals on, but those that are about us alone.
fn forward(child: &Child, signals: &Signals, relay: Option<&Relay>) -> anyhow::Result<()> {
    while let Some(signal) = signals.next().context("read signals")? {
        match signal {
            libc::SIGWINCH => relay.into_iter().for_each(Relay::resize),
            libc::SIGCHLD | libc::SIGPIPE | libc::SIGURG | libc::SIGTTIN | libc::SIGTTOU => {}
            // It may have ended at this moment.
            signal => drop(kernel::process::signal(child.pidfd.as_fd(), signal)),
        }
    }
    Ok(())
}

/// Our terminal joined with the container's.
struct Relay {
    terminal: OwnedFd,
    /// The program's side has not been closed.
    open: bool,
    /// Our input has not ended.
    listens: bool,
    /// Input that the program has not taken yet. It must not block us: the program may itself be
    /// waiting for us to take its output.
    pending: Vec<u8>,
    /// How our terminal was set before.
    before: Option<Termios>,
}

impl Relay {
    fn new(terminal: OwnedFd) -> anyhow::Result<Relay> {
        rustix::io::ioctl_fionbio(&terminal, true).context("set the container's terminal up")?;
        let stdin = io::stdin();
        let mut before = None;
        if isatty(&stdin) {
            let settings = tcgetattr(&stdin).context("read the terminal's settings")?;
            let mut raw = settings.clone();
            raw.make_raw();
            tcsetattr(&stdin, OptionalActions::Drain, &raw)
                .context("set the terminal to raw mode")?;
            before = Some(settings);
        }
        let relay = Relay {
            terminal,
            open: true,
            listens: true,
            pending: Vec::new(),
            before,
        };
        relay.resize();
        Ok(relay)
    }

    /// Gives the container's terminal the size of ours.
    fn resize(&self) {
        if let Ok(size) = tcgetwinsize(io::stdin()) {
            let _ = tcsetwinsize(&self.terminal, size);
        }
    }

    fn pass_on(&mut self, woken: &Woken) {
        if woken.terminal {
            self.output();
        }
        if woken.input {
            match read(io::stdin()) {
                Some(bytes) => self.pending = bytes,
                None => self.listens = false,
            }
        }
        if !self.pending.is_empty() {
            let written = rustix::io::write(&self.terminal, &self.pending).unwrap_or(0);
            self.pending.drain(..written);
        }
    }

    /// A terminal tells by EIO that nobody has its inner side open any more.
    fn output(&mut self) {
        let bytes = read(&self.terminal);
        self.open = bytes.is_some();
        // A reader of ours that went away is no reason to stop the program from writing.
        let _ = io::stdout()
            .write_all(&bytes.unwrap_or_default())
            .and_then(|()| io::stdout().flush());
    }

    /// What the program wrote before it ended.
    fn drain(&mut self) {
        let now = rustix::event::Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        while self.open {
            let mut fds = [PollFd::new(&self.terminal, PollFlags::IN)];
            if !matches!(poll(&mut fds, Some(&now)), Ok(1..)) {
                return;
            }
            self.output();
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(settings) = &self.before {
            let _ = tcsetattr(io::stdin(), OptionalActions::Drain, settings);
        }
    }
}

/// Reads what is there; `None` at the end.
fn read(from: impl AsFd) -> Option<Vec<u8>> {
    let mut buffer = vec![0; 8192];
    match rustix::io::read(from, &mut buffer) {
        Ok(0) => None,
        Ok(count) => {
            buffer.truncate(count);
            Some(buffer)
        }
        Err(Errno::INTR | Errno::AGAIN) => Some(Vec::new()),
        Err(_) => None,
    }
}
