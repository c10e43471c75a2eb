//! `start`: a monitor is exec'd, clones the container and says how it went.
//!
//! The monitor gets two descriptors: as standard input the socket on which it answers, as standard output the lock that says
//! that somebody answers for the container. It holds both until the container has ended.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use crate::attach::{Attach, Ended, Session};
use crate::create::Created;
use crate::list::Status;
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
        self.launch(&id, alive, Wants::default())?;
        Ok(())
    }

    /// Starts a container with this process's streams attached from its first byte on, until it ends or is detached from.
    /// One that runs already is attached to.
    pub fn start_attached(&self, who: &str, how: &Attach) -> Result<Ended> {
        let id = self.resolve(who)?;
        let Some((alive, lock)) = self.ready_to_start(&id)? else {
            return self.attach(&id, how);
        };
        let connection = self.launch(&id, alive, how.wants(true))?;
        drop(lock);
        Session::new(self, &self.record(&id)?, connection, how)?.run()
    }

    /// Starts what [`Engine::create`] just made, so that there is no moment in which nobody answers for it. With `how` this
    /// process's streams are attached until the container ends. A container made with `--rm` is gone when it did not start.
    pub fn run(&self, created: Created, how: Option<&Attach>) -> Result<Option<Ended>> {
        let id = created.id.clone();
        let Some(alive) = created.alive.keep() else {
            return Ok(None);
        };
        let wants = how.map(|how| how.wants(true)).unwrap_or_default();
        let connection = match self.launch(&id, alive, wants) {
            Ok(connection) => connection,
            Err(error) => {
                let record = self.record(&id)?;
                if record.config.auto_remove {
                    self.remove(
                        &id,
                        crate::remove::Remove {
                            force: true,
                            volumes: true,
                        },
                    )?;
                }
                return Err(error);
            }
        };
        match how {
            Some(how) => Session::new(self, &self.record(&id)?, connection, how)?
                .run()
                .map(Some),
            None => Ok(None),
        }
    }

    /// The lock to start a container under; none when it runs already.
    fn ready_to_start(&self, id: &str) -> Result<Option<(File, crate::find::Locked)>> {
        let lock = self.lock(id)?;
        let seen = self.observe(id)?;
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
    fn launch(&self, id: &str, alive: File, wants: Wants) -> Result<Connection> {
        let (ours, theirs) = UnixStream::pair().map_err(Error::system("make a socket pair"))?;
        let mut connection = Connection::new(ours).map_err(Error::system("set up a socket"))?;
        connection.send(&Frame::Hello(wants));
        let program = crate::program::of_ours()?;
        let mut monitor = Command::new(program.path());
        monitor
            .arg0("lighter")
            .args([
                MONITOR.as_ref(),
                self.paths.root().as_os_str(),
                self.paths.state().as_os_str(),
                id.as_ref(),
            ])
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::from(alive))
            .stderr(Stdio::null());
        let mut child = monitor.spawn().map_err(Error::system("start a monitor"))?;
        // Its copies are the monitor's alone now: what it closes is closed.
        drop(monitor);
        let answer = wait_for_answer(&mut connection);
        if !matches!(answer, Ok(Answer::Ready)) {
            // It ends by itself; reaped here, it leaves no zombie in a long-lived caller.
            let _ = child.wait();
        }
        let name = || {
            self.record(id)
                .map_or_else(|_| id.to_owned(), |record| record.name)
        };
        match answer? {
            Answer::Ready => Ok(connection),
            Answer::Failed(failure) => Err(Error::Start {
                name: name(),
                cause: failure.cause,
                code: failure.code,
            }),
            Answer::Gone => Err(Error::Start {
                name: name(),
                cause: "its monitor ended without a word (was it killed?)".to_owned(),
                code: 125,
            }),
        }
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
