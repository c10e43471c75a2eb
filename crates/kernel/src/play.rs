//! The one player of scripts.
//!
//! The creating process plays the Host steps, the process it clones plays the
//! Container steps, and a baton over a socket pair passes at each change of
//! side. Each waits for the other, so the script's order is what happens. The
//! child reports only which step failed and how; the parent finds the words.
//!
//! Read `script.rs` for what is played and `run.rs` for how one step is done.

use std::convert::Infallible;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::baton::{Baton, Message};
use crate::error::{Error, Failure, word};
use crate::namespace::Namespace;
use crate::op::{Clone3, Op};
use crate::process::{self, Cloned, Ended};
use crate::run::Actor;
use crate::script::{Script, Side};
use crate::trace::Trace;

/// Everything of the host that a script is played with but that is no part of it.
#[derive(Debug, Default)]
pub struct Playground {
    /// The standard streams of the container's program; `None` keeps the creator's.
    pub stdio: Option<[OwnedFd; 3]>,
    /// A connected socket on which the terminal's other end is sent (`SCM_RIGHTS`).
    pub console: Option<OwnedFd>,
    /// A listening socket on which [`Op::AwaitStart`] waits for a connection; without one it does not wait.
    pub start: Option<OwnedFd>,
    /// Where trace events go.
    pub trace: Option<OwnedFd>,
    /// Kill this process and the child right before that step (fault tests).
    pub stop_at: Option<usize>,
}

/// The process that a script created.
#[derive(Debug)]
pub struct Child {
    /// Its pid on the host.
    pub pid: i32,
    /// Names the process even after its pid is used again.
    pub pidfd: OwnedFd,
}

/// What the player tells the caller while it plays.
pub trait Audience {
    /// The container's process exists and has done nothing yet.
    ///
    /// # Errors
    /// Ends the play; the process is killed.
    fn born(&mut self, child: &Child) -> io::Result<()>;

    /// The filter of a seccomp agent is loaded; `number` is its descriptor in the child.
    ///
    /// # Errors
    /// Ends the play; the process is killed.
    fn listening(&mut self, child: &Child, number: i32) -> io::Result<()>;
}

/// Play a script up to its end, or, given a `start` socket, up to [`Op::AwaitStart`].
///
/// Must be called from a process with one thread: the container's process goes on from a copy of
/// its memory. When a step fails, the container's process is killed and reaped; what Host steps
/// did is the caller's to undo.
///
/// # Errors
/// [`Error::Step`] names the step that failed.
pub fn play(
    script: &Script,
    playground: Playground,
    audience: &mut dyn Audience,
) -> Result<Option<Child>, Error> {
    let mut player = Player::new(script, playground)?;
    let played = player.play_host(audience);
    let Player { actor, baton, .. } = player;
    // Close the baton first: a child that waits for it then ends by itself.
    drop(baton);
    match (played, actor.child) {
        (Ok(()), child) => Ok(child),
        (Err(error), Some(child)) => {
            process::kill(child.pidfd.as_fd());
            Err(error)
        }
        (Err(error), None) => Err(error),
    }
}

/// Play the Host steps of a script for a process that exists, or, with pid 0, no more does: hooks
/// after the start, and undoing. Goes on when a step fails, and gives back what failed.
#[must_use]
pub fn play_after(script: &Script, pid: i32) -> Vec<Error> {
    after(script, pid).filter_map(Result::err).collect()
}

/// As [`play_after`], up to the first step that fails.
///
/// # Errors
/// [`Error::Step`] names that step.
pub fn play_after_until(script: &Script, pid: i32) -> Result<(), Error> {
    after(script, pid).collect()
}

fn after(script: &Script, pid: i32) -> impl Iterator<Item = Result<(), Error>> {
    let mut actor = Actor::new(None);
    actor.pid = Some(pid);
    let steps = script.steps.iter().enumerate();
    let host = steps.filter(|(_, step)| step.side == Side::Host);
    host.map(move |(index, step)| {
        let done = step.op.run(&mut actor);
        done.map_err(|failure| word(script, index, failure))
    })
}

/// Play steps for a container that runs already: those of its side with the calling thread in its
/// network namespace.
///
/// Must be called from a process with one thread.
///
/// # Errors
/// [`Error::Step`] names the step that failed; what was done before it is the caller's to undo.
pub fn play_network(script: &Script, child: Child) -> Result<(), Error> {
    let fail = |index, failure: Failure| word(script, index, failure);
    let (mut inside, mut outside) = (Actor::new(None), Actor::new(None));
    let namespace = Namespace::Network.of(child.pid);
    let namespace = namespace.map_err(|errno| fail(0, errno.into()))?;
    outside.child = Some(child);
    for (index, step) in script.steps.iter().enumerate() {
        let result = match step.side {
            Side::Host => step.op.run(&mut outside),
            Side::Container => {
                crate::netlink::inside(namespace.as_fd(), || step.op.run(&mut inside))
                    .unwrap_or_else(|error| Err(error.into()))
            }
        };
        result.map_err(|failure| fail(index, failure))?;
    }
    Ok(())
}

struct Player<'s> {
    script: &'s Script,
    actor: Actor,
    baton: Option<Baton>,
    stdio: Option<[OwnedFd; 3]>,
    start: Option<OwnedFd>,
    trace: Trace,
    stop_at: Option<usize>,
    /// The one to tell is who said start.
    waited: bool,
}

impl<'s> Player<'s> {
    fn new(script: &'s Script, playground: Playground) -> Result<Player<'s>, Error> {
        let Playground {
            stdio,
            console,
            start,
            trace,
            stop_at,
        } = playground;
        // Whoever is inside the container already must not look into the process that enters it.
        process::hide().map_err(|errno| word(script, 0, errno.into()))?;
        let actor = Actor::new(console);
        Ok(Player {
            script,
            actor,
            baton: None,
            stdio,
            start,
            trace: Trace::to(trace),
            stop_at,
            waited: false,
        })
    }

    /// The creating process: do each Host step, have each run of Container steps done.
    fn play_host(&mut self, audience: &mut dyn Audience) -> Result<(), Error> {
        let script = self.script;
        let mut index = 0;
        while let Some(step) = script.steps.get(index) {
            match (step.side, &step.op) {
                (Side::Host, Op::Clone(how)) => {
                    self.stop_if_asked(index);
                    let child = self.give_birth(index, how)?;
                    let child = self.actor.child.insert(child);
                    audience
                        .born(child)
                        .map_err(|error| word(script, index, error.into()))?;
                    index += 1;
                }
                (Side::Host, _) => {
                    self.act(index)
                        .map_err(|failure| word(script, index, failure))?;
                    index += 1;
                }
                (Side::Container, _) => match self.hand_over(index, audience)? {
                    Some(next) => index = next,
                    None => return Ok(()),
                },
            }
        }
        Ok(())
    }

    /// Do one step and write it down.
    fn act(&mut self, index: usize) -> Result<(), Failure> {
        self.stop_if_asked(index);
        let step = &self.script.steps[index];
        let outcome = step.op.run(&mut self.actor);
        self.trace.event(
            step,
            outcome.as_ref().err().map_or(0, |failure| failure.errno),
        );
        outcome
    }

    fn stop_if_asked(&self, index: usize) {
        if self.stop_at == Some(index) {
            kill_self();
        }
    }

    /// Pass the baton and wait for it. Gives the next step that is the host's, or nothing when the
    /// child needs the host no more.
    fn hand_over(
        &mut self,
        from: usize,
        audience: &mut dyn Audience,
    ) -> Result<Option<usize>, Error> {
        let Some((baton, child)) = self.baton.as_ref().zip(self.actor.child.as_ref()) else {
            return Err(word(self.script, from, rustix::io::Errno::CHILD.into()));
        };
        baton
            .send(&Message::Go)
            .map_err(|errno| word(self.script, from, errno.into()))?;
        let mut executing = false;
        loop {
            match baton
                .receive()
                .map_err(|errno| word(self.script, from, errno.into()))?
            {
                Some(Message::Done(index)) => return Ok(Some(index + 1)),
                Some(Message::Ready) => return Ok(None),
                Some(Message::Executing) => executing = true,
                Some(Message::Listening(number)) => audience
                    .listening(child, number)
                    .and_then(|()| Ok(baton.send(&Message::Go)?))
                    .map_err(|error| word(self.script, from, error.into()))?,
                Some(Message::Failed { index, failure }) => {
                    return Err(word(self.script, index, failure));
                }
                Some(Message::Go | Message::Refused { .. }) => {}
                // The socket closes by itself when execve succeeds.
                None if executing => return Ok(None),
                None => {
                    let ended = process::wait(child.pidfd.as_fd(), true).ok().flatten();
                    if self.stop_at.is_some() {
                        kill_self();
                    }
                    return Err(Error::Vanished {
                        how: how_it_ended(ended),
                    });
                }
            }
        }
    }

    /// Create the container's process. Returns in the creating process only.
    fn give_birth(&mut self, index: usize, how: &Clone3) -> Result<Child, Error> {
        let (ours, theirs) =
            Baton::pair().map_err(|errno| word(self.script, index, errno.into()))?;
        let script = self.script;
        let born = if how.first.is_empty() {
            self.clone_directly(how, theirs, index)
        } else {
            self.clone_after_joining(how, &ours, theirs, index)
        };
        let outcome = born.as_ref().err().map_or(0, |failure| failure.errno);
        self.trace.event(&script.steps[index], outcome);
        let child = born.map_err(|failure| word(script, index, failure))?;
        self.baton = Some(ours);
        Ok(child)
    }

    fn clone_directly(
        &mut self,
        how: &Clone3,
        theirs: Baton,
        index: usize,
    ) -> Result<Child, Failure> {
        let cgroup = open_cgroup(how)?;
        match process::clone(flags(&how.new), cgroup.as_ref().map(AsFd::as_fd), false)? {
            Cloned::Parent { pid, pidfd } => Ok(Child { pid, pidfd }),
            Cloned::Child => self.play_container(theirs, index),
        }
    }

    /// An intermediate process joins, clones a sibling, and ends.
    fn clone_after_joining(
        &mut self,
        how: &Clone3,
        ours: &Baton,
        theirs: Baton,
        index: usize,
    ) -> Result<Child, Failure> {
        // The group is entered here: the rights for it may be gone at the second clone.
        let cgroup = open_cgroup(how)?;
        match process::clone(0, cgroup.as_ref().map(AsFd::as_fd), false)? {
            Cloned::Child => match self.join_and_clone(how, &theirs, index) {
                Ok(()) => process::exit_now(0),
                Err(failure) => {
                    let _ = theirs.send(&Message::Failed { index, failure });
                    process::exit_now(1)
                }
            },
            Cloned::Parent { pidfd, .. } => {
                drop(theirs);
                let born = ours.receive_child();
                process::wait(pidfd.as_fd(), true)?;
                born
            }
        }
    }

    fn join_and_clone(
        &mut self,
        how: &Clone3,
        theirs: &Baton,
        index: usize,
    ) -> Result<(), Failure> {
        self.take_streams()?;
        for op in &how.first {
            op.run(&mut self.actor)
                .map_err(|failure| part(op, failure))?;
        }
        // Whoever is inside already may trace the new process: it must not hold what leads outside.
        self.actor.forget_host();
        match process::clone(flags(&how.new), None, true)? {
            Cloned::Parent { pid, pidfd } => Ok(theirs.send_child(pid, pidfd.as_fd())?),
            Cloned::Child => {
                let theirs = theirs.try_clone()?;
                self.play_container(theirs, index)
            }
        }
    }

    /// The container's process: everything from here to the user's program.
    fn play_container(&mut self, baton: Baton, birth: usize) -> ! {
        std::panic::set_hook(Box::new(|_| {}));
        let mut at = birth;
        let mut baton = baton;
        let played = catch_unwind(AssertUnwindSafe(|| self.play_steps(&mut baton, &mut at)));
        let failure = match played {
            Ok(Ok(never)) => match never {},
            Ok(Err(failure)) => failure,
            Err(_) => Failure {
                errno: libc::EIO,
                note: "lighter has a fault here (panic)".into(),
            },
        };
        // With nobody left to tell, the exit code says it.
        let _ = baton.send(&self.last_words(at, failure));
        process::exit_now(128)
    }

    /// Who says start has not the script, so the words for it are found here.
    fn last_words(&self, index: usize, failure: Failure) -> Message {
        if !self.waited {
            return Message::Failed { index, failure };
        }
        let op = self.script.steps.get(index).map(|step| &step.op);
        let program = matches!(op, Some(Op::FindProgram { .. } | Op::Exec(_)));
        let errno = failure.errno;
        let note = word(self.script, index, failure).to_string();
        Message::Refused {
            program,
            failure: Failure { errno, note },
        }
    }

    fn play_steps(&mut self, baton: &mut Baton, at: &mut usize) -> Result<Infallible, Failure> {
        // The host's side of things is the other process's.
        self.actor.child = None;
        self.baton = None;
        self.take_streams()?;
        let script = self.script;
        let mut mine = false;
        for (index, step) in script.steps.iter().enumerate().skip(*at + 1) {
            if step.side == Side::Host {
                mine = false;
                continue;
            }
            *at = index;
            if !mine {
                baton.wait_for_go()?;
                mine = true;
            }
            match &step.op {
                Op::AwaitStart => {
                    self.stop_if_asked(index);
                    self.await_start(baton)?;
                }
                Op::Exec(_) => {
                    baton.send(&Message::Executing)?;
                    self.trace.event(step, 0);
                    self.act(index)?;
                }
                _ => self.act(index)?,
            }
            if let Some(listener) = self.actor.listener.take() {
                tell_listener(baton, &listener)?;
            }
            if script
                .steps
                .get(index + 1)
                .is_none_or(|next| next.side == Side::Host)
            {
                baton.send(&Message::Done(index))?;
            }
        }
        Err(Failure {
            errno: libc::EINVAL,
            note: "the script does not end in a program".into(),
        })
    }

    fn take_streams(&mut self) -> Result<(), Failure> {
        if let Some([input, output, error]) = self.stdio.take() {
            crate::tty::streams(input.as_fd(), output.as_fd(), error.as_fd())?;
        }
        Ok(())
    }

    /// Tell the host that everything is ready, then talk to whoever says start.
    fn await_start(&mut self, baton: &mut Baton) -> Result<(), Failure> {
        let Some(listener) = self.start.take() else {
            return Ok(());
        };
        baton.send(&Message::Ready)?;
        *baton = Baton::accept(listener.as_fd())?;
        self.waited = true;
        Ok(())
    }
}

/// The descriptor is taken by its number; keep it until that happened.
fn tell_listener(baton: &Baton, listener: &OwnedFd) -> Result<(), Failure> {
    use std::os::fd::AsRawFd;
    baton.send(&Message::Listening(listener.as_raw_fd()))?;
    Ok(baton.wait_for_go()?)
}

/// The failure of a part of a step, with the words for the part.
fn part(op: &Op, failure: Failure) -> Failure {
    let what = crate::words::what(op);
    let note = match failure.note.as_str() {
        "" => what,
        note => format!("{what}: {note}"),
    };
    Failure { note, ..failure }
}

fn flags(namespaces: &[Namespace]) -> u64 {
    namespaces
        .iter()
        .fold(0, |flags, namespace| flags | namespace.flag())
}

fn open_cgroup(how: &Clone3) -> Result<Option<OwnedFd>, Failure> {
    let directory = how
        .cgroup
        .as_deref()
        .map(crate::cgroup::tree::open_directory);
    Ok(directory.transpose()?)
}

fn how_it_ended(ended: Option<Ended>) -> String {
    match ended {
        Some(Ended::Exited(code)) => format!("it exited with code {code}"),
        Some(Ended::Killed(libc::SIGKILL)) => {
            "it was killed (by somebody, or for want of memory)".into()
        }
        Some(Ended::Killed(signal)) => format!("signal {signal} ended it"),
        None => "it is gone".into(),
    }
}

fn kill_self() -> ! {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    process::exit_now(137)
}

/// Say start to a container whose process waits in [`Op::AwaitStart`], and wait until its program runs.
///
/// `socket` is connected to the listening socket that was in its [`Playground`].
///
/// # Errors
/// [`Error::Start`] when a last step failed, in the words of the process that failed.
pub fn start(socket: OwnedFd, child: &Child, audience: &mut dyn Audience) -> Result<(), Error> {
    let baton = Baton::from(socket);
    let mut executing = false;
    let fail = |error: io::Error| Error::start(Failure::from(error), false);
    loop {
        match baton.receive().map_err(|errno| fail(errno.into()))? {
            Some(Message::Executing) => executing = true,
            Some(Message::Listening(number)) => {
                audience.listening(child, number).map_err(fail)?;
                baton
                    .send(&Message::Go)
                    .map_err(|errno| fail(errno.into()))?;
            }
            Some(Message::Refused { program, failure }) => {
                return Err(Error::start(failure, program));
            }
            Some(_) => {}
            None if executing => return Ok(()),
            None => {
                return Err(Error::Vanished {
                    how: "it ended while it was started".into(),
                });
            }
        }
    }
}

/// A socket on which [`Op::AwaitStart`] waits, bound to `path`.
///
/// # Errors
/// bind(2)'s.
pub fn start_socket(path: &std::path::Path) -> rustix::io::Result<OwnedFd> {
    let (_held, address) = short_address(path)?;
    let socket = unix_socket()?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, 1)?;
    Ok(socket)
}

/// Connect to a socket made by [`start_socket`].
///
/// # Errors
/// `ENOENT` or `ECONNREFUSED` when nobody waits there (any more).
pub fn connect_start(path: &std::path::Path) -> rustix::io::Result<OwnedFd> {
    let socket = unix_socket()?;
    let (_held, address) = short_address(path)?;
    rustix::net::connect(&socket, &address)?;
    Ok(socket)
}

/// The address of a socket by a descriptor of its directory: an address has room for 107 bytes
/// only (unix(7)), and engines keep their containers at longer paths.
fn short_address(
    path: &std::path::Path,
) -> rustix::io::Result<(OwnedFd, rustix::net::SocketAddrUnix)> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(rustix::io::Errno::INVAL);
    };
    let held = crate::file::point_at(directory)?;
    let number = std::os::fd::AsRawFd::as_raw_fd(&held);
    let short = std::path::Path::new("/proc/self/fd")
        .join(number.to_string())
        .join(name);
    Ok((held, rustix::net::SocketAddrUnix::new(short)?))
}

fn unix_socket() -> rustix::io::Result<OwnedFd> {
    rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
}
