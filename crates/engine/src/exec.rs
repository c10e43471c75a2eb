//! `exec`: one more program inside a running container.
//!
//! The container's monitor clones it, this process holds its streams: the monitor is asked over its socket, pipes travel with
//! the question, a terminal's other end with the answer. Nothing is between this process and the program, and yet somebody is
//! there to reap it when this process is gone. The program never gets this process's own terminal, into which it could type
//! (TIOCSTI). When this process is killed, a program with a terminal gets SIGHUP, one with pipes finds them closed.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Signal;

use crate::attach::{
    DetachKeys, RawTerminal, wait_readable, wait_writable, window_size, write_all,
};
use crate::config::ContainerConfig;
use crate::list::Status;
use crate::merge::lay_environment;
use crate::record::Record;
use crate::rootfs::Rootfs;
use crate::user::Accounts;
use crate::wire::{Connection, ExecWish, Failure, Frame};
use crate::{Engine, Error, Result, spec};

/// What to run.
#[derive(Debug, Clone, Default)]
pub struct Exec {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Further environment, `NAME=value`.
    pub env: Vec<String>,
    /// As which user; none is the container's.
    pub user: Option<String>,
    /// Where; none is the container's working directory.
    pub workdir: Option<String>,
    /// With a terminal of its own.
    pub tty: bool,
    /// With this process's standard input.
    pub stdin: bool,
    /// Return at once and let it run.
    pub detach: bool,
    /// With all capabilities.
    pub privileged: bool,
    /// Keys that detach; none is ctrl-p ctrl-q.
    pub detach_keys: Option<Vec<u8>>,
}

impl Engine {
    /// Runs a program in a running container, with this process's streams, and returns its exit code (0 when detached).
    ///
    /// # Errors
    /// [`Error::NotRunning`], [`Error::Paused`]; [`Error::Exec`] with docker's code when it cannot be run.
    pub fn exec(&self, who: &str, what: &Exec) -> Result<i32> {
        let (record, wish) = self.exec_wish(who, what)?;
        if what.detach {
            let null = [null()?, null()?, null()?];
            let streams = if what.tty { &[][..] } else { &null[..] };
            self.ask(&record, &wish, streams)?;
            return Ok(0);
        }
        if what.tty {
            let (connection, terminal) = self.ask(&record, &wish, &[])?;
            return Relay::terminal(connection, terminal, what)?.run();
        }
        let (ours, theirs) = Ends::pipes(what.stdin)?;
        let (connection, _) = self.ask(&record, &wish, &theirs)?;
        drop(theirs);
        Relay::new(connection, ours, what.stdin)?.run()
    }

    /// Runs a program without input and returns its exit code and what it printed (both streams, first `limit` bytes).
    pub fn exec_captured(&self, who: &str, what: &Exec, limit: usize) -> Result<(i32, Vec<u8>)> {
        let quiet = Exec {
            tty: false,
            stdin: false,
            detach: false,
            ..what.clone()
        };
        let (record, wish) = self.exec_wish(who, &quiet)?;
        let fail = |e: rustix::io::Errno| Error::system("make a pipe")(e.into());
        let (output, theirs) = pipe_with(PipeFlags::CLOEXEC).map_err(fail)?;
        let also = theirs.try_clone().map_err(Error::system("make a pipe"))?;
        let streams = [null()?, theirs, also];
        let (mut connection, _) = self.ask(&record, &wish, &streams)?;
        drop(streams);
        let mut text = Vec::new();
        let mut block = [0; 4096];
        loop {
            match rustix::io::read(&output, &mut block) {
                Ok(0) => break,
                Ok(read) => text.extend_from_slice(&block[..read.min(limit - text.len())]),
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(fail(e)),
            }
        }
        loop {
            if let Some(code) = ended(&mut connection)? {
                return Ok((code, text));
            }
            wait_readable(connection.socket())?;
            connection.fill();
        }
    }

    fn exec_wish(&self, who: &str, what: &Exec) -> Result<(Record, ExecWish)> {
        let seen = self.observe_as(who)?;
        if seen.status == Status::Paused {
            return Err(Error::Paused {
                name: seen.record.name,
            });
        }
        let pid = seen.pid()?;
        let config = &seen.record.config;
        let asked = ContainerConfig {
            env: lay_environment(&config.env, &what.env),
            user: what.user.clone().or_else(|| config.user.clone()),
            workdir: what.workdir.clone().or_else(|| config.workdir.clone()),
            tty: what.tty,
            privileged: what.privileged || config.privileged,
            ..config.clone()
        };
        let process = self.process_in(&seen.record, &asked, pid, &what.command)?;
        Ok((
            seen.record,
            ExecWish {
                process,
                detach: what.detach,
            },
        ))
    }

    /// The process of a health check: the container's own user, directory and environment.
    pub(crate) fn exec_process(
        &self,
        record: &Record,
        command: &[String],
    ) -> Result<oci_spec::runtime::Process> {
        let pid = self.container(&record.id)?.state.pid;
        let config = ContainerConfig {
            tty: false,
            ..record.config.clone()
        };
        self.process_in(record, &config, pid, command)
    }

    fn process_in(
        &self,
        record: &Record,
        config: &ContainerConfig,
        pid: i32,
        command: &[String],
    ) -> Result<oci_spec::runtime::Process> {
        let accounts = Accounts::read(&Rootfs::of_process(pid)?)?;
        let user = accounts.resolve(
            config.user.as_deref().unwrap_or_default(),
            &config.group_add,
        )?;
        let around = self.exec_surroundings(record, user)?;
        spec::exec_process(config, &around, command.to_vec())
    }

    /// Asks the container's monitor to run a program; returns the connection on which it tells how that ends, and the
    /// program's terminal.
    fn ask(
        &self,
        record: &Record,
        wish: &ExecWish,
        streams: &[OwnedFd],
    ) -> Result<(Connection, Option<OwnedFd>)> {
        let failed = |cause: String, code| Error::Exec {
            program: wish
                .process
                .args()
                .iter()
                .flatten()
                .next()
                .cloned()
                .unwrap_or_default(),
            name: record.name.clone(),
            cause,
            code,
        };
        let json = serde_json::to_vec(wish).map_err(|e| failed(e.to_string(), 125))?;
        let mut connection = self.connect(&record.id)?;
        let descriptors: Vec<BorrowedFd<'_>> = streams.iter().map(AsFd::as_fd).collect();
        if descriptors.is_empty() {
            connection.send(&Frame::Exec(&json));
        } else {
            connection.send_with(&Frame::Exec(&json), &descriptors);
        }
        loop {
            while connection.pending() > 0 && !connection.closed {
                wait_writable(connection.socket())?;
                connection.flush();
            }
            wait_readable(connection.socket())?;
            connection.fill();
            let answer = connection.first(|frame| match frame {
                Frame::Started => Some(Ok(())),
                Frame::Failed(json) => Some(Err(serde_json::from_slice::<Failure>(json).ok())),
                _ => None,
            });
            match answer {
                Some(Ok(())) => {
                    let terminal = connection.descriptors.pop();
                    return Ok((connection, terminal));
                }
                Some(Err(Some(failure))) => return Err(failed(failure.cause, failure.code)),
                _ if connection.closed => {
                    return Err(Error::NotRunning {
                        name: record.name.clone(),
                    });
                }
                _ => {}
            }
        }
    }
}

/// The program's exit code, when it has come.
fn ended(connection: &mut Connection) -> Result<Option<i32>> {
    let mut code = None;
    connection.frames(|frame| {
        if let Frame::Ended(ended) = frame {
            code = Some(ended);
        }
    });
    if code.is_none() && connection.closed {
        return Err(Error::NotFound(
            "the container's monitor was killed, and the container with it".to_owned(),
        ));
    }
    Ok(code)
}

fn null() -> Result<OwnedFd> {
    let null = File::options().read(true).write(true).open("/dev/null");
    Ok(null
        .map_err(Error::path("open", "/dev/null".as_ref()))?
        .into())
}

/// This process's ends of the program's streams.
struct Ends {
    input: Option<OwnedFd>,
    output: Option<OwnedFd>,
    error: Option<OwnedFd>,
}

impl Ends {
    fn pipes(stdin: bool) -> Result<(Self, [OwnedFd; 3])> {
        let make = || -> io::Result<(Self, [OwnedFd; 3])> {
            let (output, their_output) = pipe_with(PipeFlags::CLOEXEC)?;
            let (error, their_error) = pipe_with(PipeFlags::CLOEXEC)?;
            let (their_input, input) = if stdin {
                let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
                (read, Some(write))
            } else {
                (File::open("/dev/null")?.into(), None)
            };
            let ours = Self {
                input,
                output: Some(output),
                error: Some(error),
            };
            Ok((ours, [their_input, their_output, their_error]))
        };
        make().map_err(Error::system("make the program's streams"))
    }
}

/// Moves bytes between this process's streams and the program's until it ends.
struct Relay {
    connection: Connection,
    ends: Ends,
    stdin: bool,
    keys: DetachKeys,
    signals: OwnedFd,
    tty: bool,
    _raw: Option<RawTerminal>,
}

/// Signals that are meant for the program.
const PASSED: [Signal; 4] = [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM];

/// What poll(2) found.
#[derive(Default)]
struct Ready {
    socket: bool,
    signal: bool,
    output: bool,
    error: bool,
    input: bool,
}

impl Relay {
    fn new(connection: Connection, ends: Ends, stdin: bool) -> Result<Self> {
        let watched: Vec<i32> = PASSED
            .iter()
            .chain([&Signal::WINCH])
            .map(|signal| signal.as_raw())
            .collect();
        let signals =
            kernel::signal::descriptor(&watched).map_err(Error::system("watch for signals"))?;
        let keys = DetachKeys::new(Some(Vec::new()));
        Ok(Self {
            connection,
            ends,
            stdin,
            keys,
            signals,
            tty: false,
            _raw: None,
        })
    }

    fn terminal(connection: Connection, terminal: Option<OwnedFd>, what: &Exec) -> Result<Self> {
        let terminal = terminal.ok_or_else(|| {
            Error::NotFound("the program has no terminal: the monitor sent none".to_owned())
        })?;
        let input = terminal
            .try_clone()
            .map_err(Error::system("set up the terminal"))?;
        let ends = Ends {
            input: Some(input),
            output: Some(terminal),
            error: None,
        };
        let mut relay = Self::new(connection, ends, what.stdin)?;
        relay.tty = true;
        relay.resize();
        if what.stdin {
            relay.keys = DetachKeys::new(what.detach_keys.clone());
            relay._raw = RawTerminal::of(io::stdin().as_fd());
        }
        Ok(relay)
    }

    fn run(mut self) -> Result<i32> {
        loop {
            let ready = self.wait()?;
            if ready.output {
                self.pass_output(false)?;
            }
            if ready.error {
                self.pass_output(true)?;
            }
            if ready.input && self.pass_input() {
                self.connection.send(&Frame::Keep);
                return Ok(0);
            }
            if ready.signal {
                self.pass_signals();
            }
            if !ready.socket {
                continue;
            }
            self.connection.fill();
            if let Some(code) = ended(&mut self.connection)? {
                // What it left running in the background may hold the pipes: what is there now is taken, no more.
                while self.readable(false) && self.pass_output(false)? {}
                while self.readable(true) && self.pass_output(true)? {}
                return Ok(code);
            }
        }
    }

    fn wait(&self) -> Result<Ready> {
        let stdin = io::stdin();
        let mut fds = vec![
            PollFd::new(self.connection.socket(), PollFlags::IN),
            PollFd::new(&self.signals, PollFlags::IN),
        ];
        let mut marks: Vec<fn(&mut Ready)> = vec![|r| r.socket = true, |r| r.signal = true];
        if let Some(output) = &self.ends.output {
            fds.push(PollFd::new(output, PollFlags::IN));
            marks.push(|r| r.output = true);
        }
        if let Some(error) = &self.ends.error {
            fds.push(PollFd::new(error, PollFlags::IN));
            marks.push(|r| r.error = true);
        }
        if self.stdin && self.ends.input.is_some() {
            fds.push(PollFd::new(&stdin, PollFlags::IN));
            marks.push(|r| r.input = true);
        }
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(Error::system("wait for the program")(e.into())),
        }
        let mut ready = Ready::default();
        for (fd, mark) in fds.iter().zip(marks) {
            if !fd.revents().is_empty() {
                mark(&mut ready);
            }
        }
        Ok(ready)
    }

    fn readable(&self, stderr: bool) -> bool {
        let end = if stderr {
            &self.ends.error
        } else {
            &self.ends.output
        };
        let Some(fd) = end else { return false };
        let now = rustix::event::Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let mut fds = [PollFd::new(fd, PollFlags::IN)];
        poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0)
            && fds[0].revents().contains(PollFlags::IN)
    }

    /// One block of output; false when the stream has ended.
    fn pass_output(&mut self, stderr: bool) -> Result<bool> {
        let end = if stderr {
            &mut self.ends.error
        } else {
            &mut self.ends.output
        };
        let Some(fd) = end else { return Ok(false) };
        let mut block = [0; 32 << 10];
        match rustix::io::read(&*fd, &mut block) {
            Ok(read) if read > 0 => {
                let to: BorrowedFd<'_> = if stderr {
                    rustix::stdio::stderr()
                } else {
                    rustix::stdio::stdout()
                };
                write_all(to, &block[..read])
                    .map_err(Error::system("write the program's output"))?;
                Ok(true)
            }
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => Ok(true),
            // The end; a terminal whose last user is gone says EIO.
            _ => {
                *end = None;
                Ok(false)
            }
        }
    }

    /// One block of input; true when it was the detach keys.
    fn pass_input(&mut self) -> bool {
        let mut block = [0; 32 << 10];
        let read = rustix::io::read(io::stdin(), &mut block).unwrap_or(0);
        if read == 0 {
            self.stdin = false;
            // End of file on a terminal is a key; a pipe is closed.
            if let (true, Some(input)) = (self.tty, &self.ends.input) {
                let _ = write_all(input.as_fd(), &[4]);
            } else {
                self.ends.input = None;
            }
            return false;
        }
        let (bytes, detach) = self.keys.pass(&block[..read]);
        let taken = self
            .ends
            .input
            .as_ref()
            .is_some_and(|input| write_all(input.as_fd(), &bytes).is_ok());
        if !taken {
            // It reads no more.
            self.ends.input = None;
        }
        detach
    }

    fn pass_signals(&mut self) {
        while let Some(number) = kernel::signal::next(&self.signals) {
            if number == Signal::WINCH.as_raw() {
                self.resize();
            } else if let Ok(number) = u8::try_from(number) {
                self.connection.send(&Frame::Signal(number));
            }
        }
    }

    fn resize(&self) {
        if let (true, Some(terminal), Some((rows, columns))) =
            (self.tty, &self.ends.output, window_size())
        {
            let _ = kernel::tty::resize(terminal.as_fd(), rows, columns);
        }
    }
}
