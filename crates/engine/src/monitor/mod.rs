//! The monitor: the one process that belongs to a container and is not in it.
//!
//! `lighter monitor ROOT STATE ID`, exec'd by `start`. It clones the container, holds its streams and its log, tells attached
//! clients, checks its health, answers its DNS, reaps it, writes down how it ended and starts it again when the policy says
//! so. One thread, one poll(2) loop, and no file of the container is ever opened by it.
//!
//! This page is its life. `run.rs` is one run of the container, `streams.rs` its pipes or terminal, `clients.rs` who is
//! attached, `execs.rs` what they run, `log.rs` the log, `probe.rs` a health check, `ending.rs` what is written down and undone.

mod clients;
mod ending;
mod execs;
mod log;
mod probe;
mod run;
mod streams;

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use network::Networks;

use crate::paths::Paths;
use crate::record::{ProcessId, Record};
use crate::restart::{self, Ending, Restarts};
use crate::wire::Failure;
use crate::{Engine, Error, Repaired, Result, process};
use clients::Clients;
use run::Run;

/// Everything that outlives one run.
pub(crate) struct Monitor {
    engine: Engine,
    networks: Networks,
    id: String,
    me: ProcessId,
    clients: Clients,
    signals: OwnedFd,
    restarts: Restarts,
    /// Places in networks that earlier runs had, to be taken down.
    leaving: Vec<network::Leaving>,
    /// Held until this process ends: somebody answers for the container.
    _alive: OwnedFd,
}

/// The hidden verb: keeps one container until it has ended for good.
pub fn main(arguments: &[OsString]) -> ExitCode {
    let [root, state, id] = arguments else {
        return ExitCode::from(2);
    };
    let engine = Engine {
        paths: Paths::new(root.as_ref(), state.as_ref()),
        repaired: Vec::<Repaired>::new(),
    };
    match Monitor::new(engine, id.to_string_lossy().into_owned()) {
        Ok(monitor) => monitor.live(),
        // Nobody can be told: the starter sees the socket close.
        Err(_) => ExitCode::FAILURE,
    }
}

impl Monitor {
    fn new(engine: Engine, id: String) -> Result<Self> {
        let (socket, alive) = take_descriptors()?;
        let signals = separate()?;
        let me = process::identify(std::process::id().cast_signed()).ok_or_else(|| {
            Error::NotFound("this process is not in /proc: is it mounted?".to_owned())
        })?;
        let paths = engine.paths.container(&id);
        let clients = Clients::listen(&paths.attach(), socket)?;
        let networks = Networks::open(engine.paths.root(), engine.paths.state());
        Ok(Self {
            engine,
            networks,
            id,
            me,
            clients,
            signals,
            restarts: Restarts::default(),
            leaving: Vec::new(),
            _alive: alive,
        })
    }

    /// Run after run, until the policy says that it is enough.
    fn live(mut self) -> ExitCode {
        loop {
            let started = Instant::now();
            let first = self.restarts.count == 0;
            let outcome = match Run::start(&mut self) {
                Ok(run) => {
                    self.clients.ready();
                    // Of the run before: this one has its networks by now.
                    self.leave_networks();
                    run.watch(&mut self)
                }
                Err(error) => self.could_not_start(&error),
            };
            let told = first && outcome.started.is_none();
            let ending = Ending {
                code: outcome.exit_code,
                up: started.elapsed(),
                stopped: self.stopping(),
            };
            let policy = self
                .engine
                .record(&self.id)
                .map(|record| record.config.restart)
                .unwrap_or_default();
            let next = if told {
                None
            } else {
                restart::next(policy, ending, self.restarts)
            };
            if let Some(next) = next {
                self.between_runs(&outcome, next);
                if self.pause(next.pause) {
                    self.restarts = next;
                    continue;
                }
            }
            self.finish(&outcome, told);
            return ExitCode::SUCCESS;
        }
    }

    /// Somebody asked the container to end.
    fn stopping(&self) -> bool {
        self.engine.paths.container(&self.id).stopping().exists()
    }

    fn record(&self) -> Result<Record> {
        self.engine.record(&self.id)
    }
}

/// The socket comes as standard input and the lock as standard output; both go elsewhere, so that neither is ever taken for
/// a stream of the container.
fn take_descriptors() -> Result<(UnixStream, OwnedFd)> {
    // A pipe that a shell left open would not end for its reader before the container does.
    kernel::keeper::close_inherited(3);
    let take = || -> std::io::Result<(UnixStream, OwnedFd)> {
        let socket = rustix::io::fcntl_dupfd_cloexec(std::io::stdin(), 3)?;
        let alive = rustix::io::fcntl_dupfd_cloexec(std::io::stdout(), 3)?;
        let null = File::options().read(true).write(true).open("/dev/null")?;
        rustix::stdio::dup2_stdin(&null)?;
        rustix::stdio::dup2_stdout(&null)?;
        rustix::stdio::dup2_stderr(&null)?;
        Ok((UnixStream::from(socket), alive))
    };
    take().map_err(Error::system("take over the starter's descriptors"))
}

/// Lets go of everything of the starter: terminal, process group, signals, umask, working directory. Orphans of the
/// container that end up on the host come to this process.
fn separate() -> Result<OwnedFd> {
    use rustix::process::{Signal, chdir, getpid, set_child_subreaper, setsid, umask};
    let apart = || -> std::io::Result<OwnedFd> {
        // EPERM: it leads its session already.
        let _ = setsid();
        // Places that are made for mounts and for the working directory are in the container: its users pass through
        // them. What is the monitor's own is made with a mode of its own.
        umask(rustix::fs::Mode::from_raw_mode(0o022));
        chdir("/")?;
        set_child_subreaper(Some(getpid()))?;
        // What could end it from outside is read and dropped; CHLD wakes it to reap.
        let calm = [
            Signal::HUP,
            Signal::INT,
            Signal::QUIT,
            Signal::TERM,
            Signal::USR1,
            Signal::USR2,
            Signal::PIPE,
            Signal::CHILD,
        ];
        kernel::signal::descriptor(&calm.map(Signal::as_raw))
    };
    apart().map_err(Error::system("part from the starter"))
}

/// Why a start failed, with docker's code for it.
pub(crate) fn failure(error: &Error) -> Failure {
    let mut cause = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        let text = inner.to_string();
        // A transparent error says the same twice.
        if !cause.ends_with(&text) {
            cause = format!("{cause}: {text}");
        }
        source = inner.source();
    }
    if let Error::Runtime(runtime::Error::Kernel(inner)) = error
        && let Some(hint) = inner.hint()
    {
        cause = format!("{cause} ({hint})");
    }
    Failure {
        cause,
        code: exec_code(error),
    }
}

/// 127 when the program is not there, 126 when it cannot be executed, 125 for everything else.
fn exec_code(error: &Error) -> u8 {
    let Error::Runtime(runtime::Error::Kernel(kernel::Error::Step {
        source,
        program: true,
        ..
    })) = error
    else {
        return 125;
    };
    match source.kind() {
        std::io::ErrorKind::NotFound => 127,
        _ => 126,
    }
}

/// Where one run of the container's files lie.
pub(crate) fn runtime_states(engine: &Engine) -> PathBuf {
    engine.paths.runtime()
}
