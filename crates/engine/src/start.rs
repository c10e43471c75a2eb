//! `start`: a monitor is exec'd, clones the container and says how it went.
//!
//! The monitor gets two descriptors: as standard input the socket on which it answers, as standard output the lock that says
//! that somebody answers for the container. It holds both until the container has ended.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use crate::attach::{Attach, Ended, Session};
use crate::create::Created;
use crate::list::Status;
use crate::record::Record;
use crate::wire::{Connection, Frame, Wants};
use crate::{Engine, Error, Result};

/// The hidden first argument of a monitor's command line: `monitor ROOT STATE ID`.
pub const MONITOR: &str = "monitor";

impl Engine {
    /// Starts a container and returns when its program was exec'd. Starting a running container is no error.
    ///
    /// # Errors
    /// [`Error::Start`] with docker's code when the program cannot be run.
    pub fn start(&self, who: &str) -> Result<()> {
        let id = self.resolve(who)?;
        let Some((alive, _lock)) = self.ready_to_start(&id)? else {
            return Ok(());
        };
        self.launch(&self.record(&id)?, alive, Wants::default())?;
        Ok(())
    }

    /// Starts a container with this process's streams attached from its first byte on, until it ends or is detached from.
    /// One that runs already is attached to.
    pub fn start_attached(&self, who: &str, how: &Attach) -> Result<Ended> {
        let id = self.resolve(who)?;
        let Some((alive, lock)) = self.ready_to_start(&id)? else {
            return self.attach(&id, how);
        };
        let record = self.record(&id)?;
        let connection = self.launch(&record, alive, how.wants(true))?;
        drop(lock);
        Session::new(self, &record, connection, how)?.run()
    }

    /// Starts what [`Engine::create`] just made, so that there is no moment in which nobody answers for it. With `how` this
    /// process's streams are attached until the container ends. A container made with `--rm` is gone when it did not start.
    pub fn run(&self, created: Created, how: Option<&Attach>) -> Result<Option<Ended>> {
        let record = self.record(&created.id)?;
        let Some(alive) = created.alive.keep() else {
            return Ok(None);
        };
        let wants = how.map(|how| how.wants(true)).unwrap_or_default();
        let connection = self.launch(&record, alive, wants)?;
        match how {
            Some(how) => Session::new(self, &record, connection, how)?
                .run()
                .map(Some),
            None => Ok(None),
        }
    }

    /// The lock to start a container under; none when it runs already.
    fn ready_to_start(&self, id: &str) -> Result<Option<(File, crate::find::Locked)>> {
        let lock = self.lock(id)?;
        let seen = self.observe_settled(id)?;
        match seen.status {
            Status::Running | Status::Restarting => return Ok(None),
            Status::Paused => {
                return Err(Error::Paused {
                    name: seen.record.name,
                });
            }
            _ => {}
        }
        let alive = self.answer_for(id)?.keep();
        Ok(alive.map(|alive| (alive, lock)))
    }

    /// Execs a monitor and waits until it says that the program runs.
    fn launch(&self, record: &Record, alive: File, wants: Wants) -> Result<Connection> {
        let id = record.id.as_str();
        let (ours, theirs) = UnixStream::pair().map_err(Error::system("make a socket pair"))?;
        let mut connection = Connection::new(ours).map_err(Error::system("set up a socket"))?;
        connection.send(&Frame::Hello(wants));
        let mut child = self.monitor(id, theirs, alive)?;
        let answer = wait_for_answer(&mut connection);
        if !matches!(answer, Ok(Answer::Ready)) {
            // It ends by itself; reaped here, it leaves no zombie in a long-lived caller.
            let _ = child.wait();
        }
        let failed = |cause: String, code| Error::Start {
            name: record.name.clone(),
            cause,
            code,
        };
        match answer? {
            Answer::Ready => Ok(connection),
            Answer::Failed(failure) => Err(failed(failure.cause, failure.code)),
            Answer::Gone => {
                self.repair_one(id)?;
                let cause = "its monitor ended without a word (was it killed?)";
                Err(failed(cause.to_owned(), 125))
            }
        }
    }

    /// A monitor, from a copy of this program that no container can write. It is part of no session, and the descriptors it
    /// gets are its alone.
    fn monitor(&self, id: &str, socket: UnixStream, alive: File) -> Result<Child> {
        let program = kernel::protect::open()
            .map_err(|e| Error::system("make a protected copy of this program")(e.into()))?;
        // Opened anew by the child: the descriptor itself is closed when it execs.
        let path = format!("/proc/self/fd/{}", program.as_raw_fd());
        Command::new(path)
            .arg0("lighter")
            .arg(MONITOR)
            .args([self.paths.root(), self.paths.state()])
            .arg(id)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(socket)))
            .stdout(Stdio::from(alive))
            .stderr(Stdio::null())
            .spawn()
            .map_err(Error::system("start a monitor"))
    }
}

enum Answer {
    Ready,
    Failed(crate::wire::Failure),
    Gone,
}

fn wait_for_answer(connection: &mut Connection) -> Result<Answer> {
    loop {
        crate::attach::wait_readable(connection.socket())?;
        connection.fill();
        // Only the first frame is taken: what follows belongs to the session.
        if let Some(answer) = connection.first(|frame| match frame {
            Frame::Failed(json) => Some(Answer::Failed(
                serde_json::from_slice(json).unwrap_or_else(|_| crate::wire::Failure {
                    cause: String::from_utf8_lossy(json).into_owned(),
                    code: 125,
                }),
            )),
            Frame::Ready => Some(Answer::Ready),
            _ => None,
        }) {
            return Ok(answer);
        }
        if connection.closed {
            return Ok(Answer::Gone);
        }
    }
}
