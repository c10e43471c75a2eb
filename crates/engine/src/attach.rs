//! A client's side of a running container's streams: bytes both ways, window size, signals, detach keys.
//!
//! One loop over three descriptors: this process's input, its signals, the monitor's socket. Output is written as it comes;
//! when this process cannot write, it does not read, and in the end the container waits: nothing is lost.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::termios::{self, OptionalActions, Termios};

use crate::record::Record;
use crate::wire::{Connection, Frame, Wants};
use crate::{Engine, Error, Result};

/// How to attach.
#[derive(Debug, Clone)]
pub struct Attach {
    /// Send this process's standard input.
    pub stdin: bool,
    /// Receive standard output.
    pub stdout: bool,
    /// Receive standard error.
    pub stderr: bool,
    /// Pass signals that this process gets on to the container.
    pub signal_proxy: bool,
    /// Keys that detach, as bytes; none is ctrl-p ctrl-q, an empty list turns them off.
    pub detach_keys: Option<Vec<u8>>,
}

impl Default for Attach {
    fn default() -> Self {
        Self {
            stdin: false,
            stdout: true,
            stderr: true,
            signal_proxy: true,
            detach_keys: None,
        }
    }
}

impl Attach {
    pub(crate) fn wants(&self, ending: bool) -> Wants {
        Wants {
            stdin: self.stdin,
            stdout: self.stdout,
            stderr: self.stderr,
            ending,
        }
    }
}

/// How an attachment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The container ended with this code (128 + n for signal n).
    Exited(i32),
    /// The detach keys were typed; the container goes on.
    Detached,
}

impl Engine {
    /// Connects this process's standard streams to a running container until it ends or the detach keys are typed.
    pub fn attach(&self, who: &str, how: &Attach) -> Result<Ended> {
        let seen = self.observe_as(who)?;
        if seen.status == crate::list::Status::Paused {
            return Err(Error::Paused {
                name: seen.record.name,
            });
        }
        seen.pid()?;
        let mut connection = self.connect(&seen.record.id)?;
        connection.send(&Frame::Hello(how.wants(true)));
        Session::new(self, &seen.record, connection, how)?.run()
    }

    /// A connection to a container's monitor.
    pub(crate) fn connect(&self, id: &str) -> Result<Connection> {
        let paths = self.paths.container(id);
        let path = paths.attach();
        let connect = || -> io::Result<Connection> {
            let short = crate::socket::Short::of(&path)?;
            Connection::new(UnixStream::connect(short.path())?)
        };
        connect().map_err(Error::path("connect to", &path))
    }
}

/// An attachment under way.
pub(crate) struct Session<'a> {
    engine: &'a Engine,
    id: String,
    name: String,
    connection: Connection,
    stdin: bool,
    tty: bool,
    signals: OwnedFd,
    proxy: bool,
    keys: DetachKeys,
    _raw: Option<RawTerminal>,
}

/// Signals that are passed on. CHLD, URG and WINCH are this process's own; KILL and STOP cannot be caught.
const PROXIED: [i32; 9] = [
    libc_signal::HUP,
    libc_signal::INT,
    libc_signal::QUIT,
    libc_signal::USR1,
    libc_signal::USR2,
    libc_signal::TERM,
    libc_signal::CONT,
    libc_signal::ALRM,
    libc_signal::IO,
];

mod libc_signal {
    use rustix::process::Signal;
    pub(super) const HUP: i32 = Signal::HUP.as_raw();
    pub(super) const INT: i32 = Signal::INT.as_raw();
    pub(super) const QUIT: i32 = Signal::QUIT.as_raw();
    pub(super) const USR1: i32 = Signal::USR1.as_raw();
    pub(super) const USR2: i32 = Signal::USR2.as_raw();
    pub(super) const TERM: i32 = Signal::TERM.as_raw();
    pub(super) const CONT: i32 = Signal::CONT.as_raw();
    pub(super) const ALRM: i32 = Signal::ALARM.as_raw();
    pub(super) const IO: i32 = Signal::IO.as_raw();
    pub(super) const WINCH: i32 = Signal::WINCH.as_raw();
}

impl<'a> Session<'a> {
    pub(crate) fn new(
        engine: &'a Engine,
        record: &Record,
        mut connection: Connection,
        how: &Attach,
    ) -> Result<Self> {
        let tty = record.config.tty;
        let mut watched = vec![libc_signal::WINCH];
        if how.signal_proxy {
            watched.extend(PROXIED);
        }
        let signals =
            kernel::signal::descriptor(&watched).map_err(Error::system("watch for signals"))?;
        let raw = if tty && how.stdin {
            RawTerminal::of(io::stdin().as_fd())
        } else {
            None
        };
        if tty {
            send_size(&mut connection);
        }
        let keys = if tty && how.stdin {
            how.detach_keys.clone()
        } else {
            Some(Vec::new())
        };
        Ok(Self {
            engine,
            id: record.id.clone(),
            name: record.name.clone(),
            connection,
            stdin: how.stdin,
            tty,
            signals,
            proxy: how.signal_proxy,
            keys: DetachKeys::new(keys),
            _raw: raw,
        })
    }

    /// Until the run ends, or the detach keys are typed.
    pub(crate) fn run(mut self) -> Result<Ended> {
        loop {
            if let Some(ended) = self.take_frames()? {
                return Ok(ended);
            }
            let (input, signal, socket) = self.wait()?;
            if signal {
                self.take_signals()?;
            }
            if input && self.take_input()? {
                return Ok(Ended::Detached);
            }
            if socket {
                self.connection.flush();
                self.connection.fill();
            }
        }
    }

    fn wait(&self) -> Result<(bool, bool, bool)> {
        let stdin = io::stdin();
        let mut wanted = PollFlags::IN;
        if self.connection.pending() > 0 {
            wanted |= PollFlags::OUT;
        }
        let mut fds = vec![
            PollFd::new(&self.signals, PollFlags::IN),
            PollFd::new(self.connection.socket(), wanted),
        ];
        // While the monitor takes no more, no more is read.
        if self.stdin && self.connection.pending() == 0 {
            fds.push(PollFd::new(&stdin, PollFlags::IN));
        }
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(Error::system("wait for the container")(e.into())),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        Ok((ready.get(2).copied().unwrap_or(false), ready[0], ready[1]))
    }

    /// Prints what came; the ending when it is among it.
    fn take_frames(&mut self) -> Result<Option<Ended>> {
        let mut ended = None;
        let mut failed = None;
        self.connection.frames(|frame| {
            let written = match frame {
                Frame::Output(bytes) => write_all(io::stdout().as_fd(), bytes),
                Frame::Error(bytes) => write_all(io::stderr().as_fd(), bytes),
                Frame::Ended(code) => {
                    ended = Some(Ended::Exited(code));
                    Ok(())
                }
                _ => Ok(()),
            };
            failed = failed.take().or(written.err());
        });
        if let Some(error) = failed {
            // Nobody reads any more: as `cat` would, end by the pipe's rule; the container goes on.
            return Err(Error::system("write the container's output")(error));
        }
        if ended.is_none() && self.connection.closed {
            return self.without_a_word().map(Some);
        }
        Ok(ended)
    }

    /// The monitor is gone without having said how the run ended.
    fn without_a_word(&self) -> Result<Ended> {
        self.engine.repair_one(&self.id)?;
        let last = self
            .engine
            .observe(&self.id)
            .ok()
            .and_then(|seen| seen.last);
        let cause = last
            .and_then(|last| last.error)
            .unwrap_or_else(|| "its monitor was killed".to_owned());
        Err(Error::Lost {
            name: self.name.clone(),
            cause,
        })
    }

    fn take_signals(&mut self) -> Result<()> {
        while let Some(signal) = kernel::signal::next(&self.signals) {
            if signal == libc_signal::WINCH {
                if self.tty {
                    send_size(&mut self.connection);
                }
            } else if self.proxy {
                match self.engine.kill(&self.id, &signal.to_string()) {
                    // It ended meanwhile: the next frame says so.
                    Ok(()) | Err(Error::NotRunning { .. } | Error::NoSuchContainer(_)) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Sends what was typed; true when it was the detach keys.
    fn take_input(&mut self) -> Result<bool> {
        let mut block = [0; 16 << 10];
        match rustix::io::read(io::stdin(), &mut block) {
            Ok(0) => {
                self.stdin = false;
                self.connection.send(&Frame::InputEnd);
            }
            Ok(read) => {
                let (bytes, detach) = self.keys.pass(&block[..read]);
                self.connection.send(&Frame::Input(&bytes));
                return Ok(detach);
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            // The terminal is gone (EIO).
            Err(_) => {
                self.stdin = false;
                self.connection.send(&Frame::InputEnd);
            }
        }
        Ok(false)
    }
}

/// Recognises the detach keys in a stream of typed bytes.
#[derive(Debug)]
pub(crate) struct DetachKeys {
    keys: Vec<u8>,
    seen: usize,
}

impl DetachKeys {
    /// None is ctrl-p ctrl-q, an empty list detaches never.
    pub(crate) fn new(keys: Option<Vec<u8>>) -> Self {
        Self {
            keys: keys.unwrap_or_else(|| vec![0x10, 0x11]),
            seen: 0,
        }
    }

    /// What is to be sent on, and whether the keys are complete. A beginning of the keys is held back until it is known.
    pub(crate) fn pass(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        if self.keys.is_empty() {
            return (typed.to_vec(), false);
        }
        let mut out = Vec::with_capacity(typed.len());
        for byte in typed {
            if *byte == self.keys[self.seen] {
                self.seen += 1;
                if self.seen == self.keys.len() {
                    return (out, true);
                }
                continue;
            }
            out.extend_from_slice(&self.keys[..self.seen]);
            self.seen = usize::from(*byte == self.keys[0]);
            if self.seen == 0 {
                out.push(*byte);
            } else if self.keys.len() == 1 {
                return (out, true);
            }
        }
        (out, false)
    }
}

/// Parses docker's form of detach keys: `ctrl-p,ctrl-q`, `ctrl-@`, `a`.
///
/// # Errors
/// [`Error::Invalid`] for what is no key.
pub fn detach_keys(text: &str) -> Result<Vec<u8>> {
    let key = |word: &str| match (
        word.strip_prefix("ctrl-").map(str::as_bytes),
        word.as_bytes(),
    ) {
        (Some([c @ b'a'..=b'z']), _) => Some(c - b'a' + 1),
        (Some([c @ (b'@' | b'[' | b'\\' | b']' | b'^' | b'_')]), _) => Some(c - b'@'),
        (None, [c]) if c.is_ascii() => Some(*c),
        _ => None,
    };
    text.split(',')
        .filter(|word| !word.is_empty())
        .map(|word| {
            key(word)
                .ok_or_else(|| Error::invalid("detach keys", text, "write them as `ctrl-p,ctrl-q`"))
        })
        .collect()
}

/// This process's terminal without line editing, echo and signals; put back when dropped.
#[derive(Debug)]
pub(crate) struct RawTerminal {
    terminal: OwnedFd,
    before: Termios,
}

impl RawTerminal {
    /// None when it is no terminal.
    pub(crate) fn of(terminal: BorrowedFd<'_>) -> Option<Self> {
        let before = termios::tcgetattr(terminal).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        termios::tcsetattr(terminal, OptionalActions::Drain, &raw).ok()?;
        Some(Self {
            terminal: terminal.try_clone_to_owned().ok()?,
            before,
        })
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        let _ = termios::tcsetattr(&self.terminal, OptionalActions::Drain, &self.before);
    }
}

/// Rows and columns of this process's terminal.
pub(crate) fn window_size() -> Option<(u16, u16)> {
    [io::stdout().as_fd(), io::stdin().as_fd()]
        .iter()
        .find_map(|fd| {
            let size = termios::tcgetwinsize(fd).ok()?;
            (size.ws_row > 0).then_some((size.ws_row, size.ws_col))
        })
}

fn send_size(connection: &mut Connection) {
    if let Some((rows, columns)) = window_size() {
        connection.send(&Frame::Resize(rows, columns));
    }
}

/// Writes all of it, waiting where the descriptor cannot take more (a shell may have made it non-blocking).
pub(crate) fn write_all(to: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(to, bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => {
                poll(&mut [PollFd::from_borrowed_fd(to, PollFlags::OUT)], None)?;
            }
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

/// Sleeps until something can be read.
pub(crate) fn wait_readable(fd: &impl AsFd) -> Result<()> {
    wait_for(fd, PollFlags::IN)
}

/// Sleeps until something can be written.
pub(crate) fn wait_writable(fd: &impl AsFd) -> Result<()> {
    wait_for(fd, PollFlags::OUT)
}

fn wait_for(fd: &impl AsFd, what: PollFlags) -> Result<()> {
    loop {
        match poll(&mut [PollFd::new(fd, what)], None) {
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(Error::system("wait for the monitor")(e.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(parts: &[&[u8]]) -> (Vec<u8>, bool) {
        let mut keys = DetachKeys::new(None);
        let (mut all, mut end) = (Vec::new(), false);
        for part in parts {
            let (bytes, detach) = keys.pass(part);
            all.extend(bytes);
            end |= detach;
        }
        (all, end)
    }

    #[test]
    fn the_keys_detach_and_a_beginning_of_them_is_sent_on() {
        assert_eq!(typed(&[b"ls\r"]), (b"ls\r".to_vec(), false));
        assert_eq!(typed(&[b"a\x10\x11b"]), (b"a".to_vec(), true));
        assert_eq!(typed(&[b"\x10", b"\x11"]), (b"".to_vec(), true));
        assert_eq!(typed(&[b"\x10", b"x"]), (b"\x10x".to_vec(), false));
        assert_eq!(typed(&[b"\x10\x10\x11"]), (b"\x10".to_vec(), true));
    }

    #[test]
    fn keys_are_written_as_docker_writes_them() {
        assert_eq!(detach_keys("ctrl-p,ctrl-q").unwrap(), [0x10, 0x11]);
        assert_eq!(detach_keys("ctrl-@,a,ctrl-]").unwrap(), [0, b'a', 0x1d]);
        assert!(detach_keys("").unwrap().is_empty());
        assert!(detach_keys("ctrl-").is_err());
        assert!(detach_keys("ab").is_err());
    }
}
