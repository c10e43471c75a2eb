//! One health check under way: a process in the container, its output, and its time.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use runtime::{Child, Container, ExecRequest, Stdio};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Signal, pidfd_send_signal};

use crate::health::{Check, OUTPUT_LIMIT, Probe as Finding};
use crate::record::Record;
use crate::{Engine, Error, Result};

/// A check that runs.
pub(super) struct Probe {
    child: Child,
    output: Option<OwnedFd>,
    text: Vec<u8>,
    start: Timestamp,
    deadline: Instant,
    timeout: Duration,
    exit_code: Option<i32>,
}

/// Is it done?
pub(super) enum Verdict {
    /// Not yet.
    Running,
    /// With this result.
    Done(Finding),
}

impl Probe {
    /// Runs the check's program in the container, as `exec` would.
    pub(super) fn start(
        engine: &Engine,
        record: &Record,
        container: &Container,
        check: &Check,
    ) -> Result<Self> {
        let fail = |e: rustix::io::Errno| Error::system("make the health check's pipe")(e.into());
        let (output, theirs) = pipe_with(PipeFlags::CLOEXEC).map_err(fail)?;
        let also = theirs
            .try_clone()
            .map_err(Error::system("make the health check's pipe"))?;
        let null =
            std::fs::File::open("/dev/null").map_err(Error::path("open", "/dev/null".as_ref()))?;
        let request = ExecRequest {
            process: engine.exec_process(record, &check.command)?,
            preserve_fds: 0,
            cgroup: None,
            ignore_paused: false,
        };
        let child = container.exec(&request, Stdio::Fds([null.into(), theirs, also]))?;
        rustix::io::ioctl_fionbio(&output, true).map_err(fail)?;
        Ok(Self {
            child,
            output: Some(output),
            text: Vec::new(),
            start: Timestamp::now(),
            deadline: Instant::now() + check.timeout,
            timeout: check.timeout,
            exit_code: None,
        })
    }

    /// What to wait for.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let child = self.exit_code.is_none().then(|| self.child.pidfd.as_fd());
        child
            .into_iter()
            .chain(self.output.as_ref().map(AsFd::as_fd))
    }

    /// When it has taken too long.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Its process on the host.
    pub(super) fn pid(&self) -> i32 {
        self.child.pid
    }

    /// Takes in what it printed, and that it ended.
    pub(super) fn read(&mut self) {
        let mut block = [0; 4096];
        while let Some(output) = &self.output {
            match rustix::io::read(output, &mut block) {
                Ok(0) => self.output = None,
                // Read on beyond what is kept: it must not block on a full pipe.
                Ok(read) => {
                    let room = OUTPUT_LIMIT - self.text.len();
                    self.text.extend_from_slice(&block[..read.min(room)]);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => break,
                Err(_) => self.output = None,
            }
        }
        if self.exit_code.is_none()
            && let Ok(Some(status)) = self.child.try_wait()
        {
            self.exit_code = Some(i32::from(status.code()));
        }
    }

    /// The result, when it ended or has taken too long. What it left running in the background may hold the pipe: the end of
    /// the program itself counts.
    pub(super) fn verdict(&mut self, now: Instant) -> Verdict {
        match self.exit_code {
            Some(code) => Verdict::Done(self.result(code, None)),
            None if now >= self.deadline => {
                self.kill();
                let late = format!("Health check exceeded timeout ({:?})", self.timeout);
                Verdict::Done(self.result(-1, Some(late)))
            }
            None => Verdict::Running,
        }
    }

    /// The container ended: the kernel killed it too.
    pub(super) fn abandon(self) {
        self.kill();
    }

    fn kill(&self) {
        // It may have ended: then there is nothing to kill, only to reap.
        let _ = pidfd_send_signal(&self.child.pidfd, Signal::KILL);
        let _ = self.child.wait();
    }

    fn result(&self, exit_code: i32, instead: Option<String>) -> Finding {
        let output = instead.unwrap_or_else(|| String::from_utf8_lossy(&self.text).into_owned());
        Finding {
            start: self.start,
            end: Timestamp::now(),
            exit_code,
            output,
        }
    }
}

/// A check whose program could not be started is a failed check.
pub(super) fn could_not_run(error: &Error) -> Finding {
    let now = Timestamp::now();
    let cause = super::failure(error).cause;
    let output = cause.chars().take(OUTPUT_LIMIT / 4).collect();
    Finding {
        start: now,
        end: now,
        exit_code: -1,
        output,
    }
}
