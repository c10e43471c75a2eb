//! One run of the container: from its clone to its last byte.

use std::fs::File;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use network::{Attached, dns, firewall};
use runtime::{Child, Container, ExitStatus, Stdio};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::execs::Execs;
use super::log::Log;
use super::probe::{Probe, Verdict};
use super::streams::{self, Got, Streams};
use super::{Monitor, runtime_states};
use crate::health::{Check, Health};
use crate::list::JoinedNetwork;
use crate::prepare::Prepared;
use crate::record::{FORMAT, ProcessId, Record, State};
use crate::shared::Held;
use crate::{Error, Result, disk, etc, networking, process};

/// How a run went.
#[derive(Debug, Clone, Default)]
pub(super) struct Outcome {
    /// When the program was exec'd; none when it never was.
    pub(super) started: Option<Timestamp>,
    /// Its exit code, 128 + n for signal n.
    pub(super) exit_code: i32,
    /// The kernel killed one of its processes for memory.
    pub(super) oom_killed: bool,
    /// Why it could not be started.
    pub(super) failure: Option<crate::wire::Failure>,
    /// Its health in the end.
    pub(super) health: Option<Health>,
    /// The networks it was on.
    pub(super) networks: Vec<JoinedNetwork>,
}

/// A running container.
pub(super) struct Run {
    record: Record,
    container: Container,
    child: Child,
    init: ProcessId,
    streams: Streams,
    log: Log,
    network: Option<Attached>,
    names: Option<dns::Server>,
    firewall: Option<firewall::Watch>,
    started: Timestamp,
    since: Instant,
    health: Option<Watched>,
    execs: Execs,
    /// Nothing has happened since its memory was given back.
    small: bool,
    held: Held,
}

/// After so long without anything to do a monitor makes itself small: less than the pause between two health checks.
const QUIET: Duration = Duration::from_millis(100);

/// A health check at work.
struct Watched {
    check: Check,
    health: Health,
    due: Instant,
    probe: Option<Probe>,
}

/// What poll(2) found.
#[derive(Default)]
struct Ready {
    ended: bool,
    output: bool,
    error: bool,
    input: bool,
    clients: bool,
    newcomer: bool,
    signal: bool,
    names: bool,
    firewall: bool,
    probe: bool,
    execs: bool,
    nothing: bool,
}

impl Run {
    /// Prepares and clones the container; returns when its program was exec'd.
    pub(super) fn start(monitor: &mut Monitor) -> Result<Self> {
        let record = monitor.record()?;
        let held = monitor.engine.hold_shared(&record)?;
        let mut run = match Self::clone(monitor, &record) {
            Ok(run) => run,
            Err(error) => {
                // The failure is what matters; what cannot be undone now, the next repair undoes.
                let _ = monitor.networks.detach(&record.id);
                let _ = monitor.engine.release_shared(&record, held);
                return Err(error);
            }
        };
        run.held = held;
        run.save(monitor)?;
        monitor.remember_start(&run.record, run.started, run.joined())?;
        monitor.engine.note(&run.record, "start", &[])?;
        kernel::keeper::give_back_memory();
        Ok(run)
    }

    fn clone(monitor: &Monitor, record: &Record) -> Result<Self> {
        let Prepared {
            bundle,
            attach,
            network,
            user,
        } = monitor.engine.prepare(record, &monitor.networks)?;
        let config = &record.config;
        let fail = Error::system("make the container's streams");
        let (ours, stdio) = if config.tty {
            (None, Stdio::Terminal)
        } else {
            let (ours, theirs) =
                streams::pipes(config.open_stdin, user.uid, user.gid).map_err(fail)?;
            (Some(ours), Stdio::Fds(theirs))
        };
        let states = runtime_states(&monitor.engine);
        let mut names = None;
        let (container, mut child) =
            Container::run_observed(&states, &bundle, &attach, stdio, &mut |pid| {
                // Before the program runs: its first question may be its first instruction.
                if network.is_some() {
                    names = Some(name_server(monitor, record, pid).map_err(std::io::Error::other)?);
                }
                Ok(())
            })?;
        let streams = match (ours, child.terminal.take()) {
            (Some(ours), _) => ours,
            (None, Some(terminal)) => Streams::terminal(terminal, config.open_stdin)
                .map_err(Error::system("set up the terminal"))?,
            (None, None) => Streams::default(),
        };
        let init = process::identify(child.pid).ok_or_else(|| {
            Error::NotFound(format!(
                "the container's process {} is not in /proc",
                child.pid
            ))
        })?;
        let paths = monitor.engine.paths.container(&record.id);
        let log =
            Log::open(&paths.log(), &config.log).map_err(Error::path("open", &paths.log()))?;
        let firewall = if network.is_some() {
            Some(firewall::Watch::open()?)
        } else {
            None
        };
        Ok(Self {
            health: Watched::new(record),
            execs: Execs::default(),
            small: false,
            record: record.clone(),
            container,
            child,
            init,
            streams,
            log,
            network,
            names,
            firewall,
            started: Timestamp::now(),
            since: Instant::now(),
            held: Held::default(),
        })
    }

    /// Everything that happens while it runs, and how it ended.
    pub(super) fn watch(mut self, monitor: &mut Monitor) -> Outcome {
        loop {
            let ready = self.wait(monitor);
            self.rest(&ready);
            if ready.output {
                self.drain(monitor, false, 4);
            }
            if ready.error {
                self.drain(monitor, true, 4);
            }
            if ready.newcomer {
                monitor.clients.accept();
            }
            if ready.clients || ready.newcomer {
                self.serve_clients(monitor);
            }
            if ready.input {
                self.streams.push();
            }
            if ready.names
                && let Some(names) = &mut self.names
            {
                names.handle();
            }
            if ready.firewall {
                self.mend_firewall(monitor);
            }
            if ready.signal {
                while kernel::signal::next(&monitor.signals).is_some() {}
                self.reap_orphans();
            }
            if ready.execs {
                self.execs.reap(&mut monitor.clients);
            }
            self.check_health(monitor, ready.probe);
            if ready.ended
                && let Ok(Some(status)) = self.child.try_wait()
            {
                return self.end(monitor, status);
            }
        }
    }

    /// Sleeps until there is something to do.
    fn wait(&self, monitor: &Monitor) -> Ready {
        let clients = &monitor.clients;
        let mut fds = Vec::with_capacity(16);
        let mut what: Vec<fn(&mut Ready)> = Vec::with_capacity(16);
        fds.push(PollFd::new(&self.child.pidfd, PollFlags::IN));
        what.push(|ready| ready.ended = true);
        if !clients.congested() {
            if let Some(output) = &self.streams.output {
                fds.push(PollFd::new(output, PollFlags::IN));
                what.push(|ready| ready.output = true);
            }
            if let Some(error) = &self.streams.error {
                fds.push(PollFd::new(error, PollFlags::IN));
                what.push(|ready| ready.error = true);
            }
        }
        if let (Some(input), true) = (&self.streams.input, self.streams.has_waiting()) {
            fds.push(PollFd::new(input, PollFlags::OUT));
            what.push(|ready| ready.input = true);
        }
        for (socket, pending) in clients.sockets() {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, self.streams.has_room());
            flags.set(PollFlags::OUT, pending);
            fds.push(PollFd::new(socket, flags));
            what.push(|ready| ready.clients = true);
        }
        fds.push(PollFd::new(clients.listener(), PollFlags::IN));
        what.push(|ready| ready.newcomer = true);
        fds.push(PollFd::new(&monitor.signals, PollFlags::IN));
        what.push(|ready| ready.signal = true);
        if let Some(names) = &self.names {
            fds.push(PollFd::from_borrowed_fd(names.as_fd(), PollFlags::IN));
            what.push(|ready| ready.names = true);
        }
        if let Some(firewall) = &self.firewall {
            fds.push(PollFd::from_borrowed_fd(firewall.as_fd(), PollFlags::IN));
            what.push(|ready| ready.firewall = true);
        }
        for fd in self
            .health
            .iter()
            .filter_map(|watched| watched.probe.as_ref())
            .flat_map(Probe::descriptors)
        {
            fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
            what.push(|ready| ready.probe = true);
        }
        for fd in self.execs.descriptors() {
            fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
            what.push(|ready| ready.execs = true);
        }
        let probe = self.health.as_ref().map(Watched::wake);
        let quiet = (!self.small).then_some(QUIET);
        let timeout = probe.into_iter().chain(quiet).min().map(timespec);
        let mut ready = Ready::default();
        // EINTR: no signal has a handler here; a spurious return is a round with nothing to do.
        if let Ok(count) = poll(&mut fds, timeout.as_ref()) {
            ready.nothing = count == 0;
            for (fd, mark) in fds.iter().zip(what) {
                if !fd.revents().is_empty() {
                    mark(&mut ready);
                }
            }
        }
        ready
    }

    /// Gives memory back when there was nothing to do for a while.
    fn rest(&mut self, ready: &Ready) {
        if ready.nothing && !self.small {
            kernel::keeper::give_back_memory();
            kernel::keeper::give_back_program();
        }
        self.small = ready.nothing;
    }

    /// Moves output to the log and to clients, at most `rounds` blocks of it.
    fn drain(&mut self, monitor: &mut Monitor, stderr: bool, rounds: usize) {
        let mut block = [0; 16 << 10];
        for _ in 0..rounds {
            let end = if stderr {
                &self.streams.error
            } else {
                &self.streams.output
            };
            let Some(fd) = end else { return };
            match streams::read(fd.as_fd(), &mut block) {
                Got::Bytes(read) => {
                    self.log.take(&block[..read], stderr);
                    monitor.clients.output(&block[..read], stderr);
                }
                Got::Nothing => return,
                Got::End => {
                    self.log.end(stderr);
                    if stderr {
                        self.streams.error = None;
                    } else {
                        self.streams.output = None;
                    }
                    return;
                }
            }
        }
    }

    fn serve_clients(&mut self, monitor: &mut Monitor) {
        let asked = monitor.clients.exchange();
        if let Some((rows, columns)) = asked.size {
            self.streams.resize(rows, columns);
        }
        if !asked.input.is_empty() {
            self.streams.feed(&asked.input);
        }
        let busy = !asked.execs.is_empty();
        self.execs
            .serve(asked.execs, &self.container, &mut monitor.clients);
        if busy {
            kernel::keeper::give_back_memory();
        }
        if asked.input_end && (self.record.config.stdin_once || !self.record.config.tty) {
            self.streams.end_input();
        }
    }

    /// Somebody flushed the firewall: our part of it is put back.
    fn mend_firewall(&mut self, monitor: &Monitor) {
        let gone = self.firewall.as_mut().is_some_and(firewall::Watch::take);
        if gone {
            // Tried again with the next change; the container runs on meanwhile.
            let _ = monitor.networks.reapply(&self.record.id);
        }
    }

    /// Processes of the container that lost their parent on the host (exec, a shared pid namespace) end here.
    fn reap_orphans(&self) {
        let probe = self
            .health
            .as_ref()
            .and_then(|watched| watched.probe.as_ref());
        let mut kept = vec![self.child.pid];
        kept.extend(probe.map(Probe::pid));
        kept.extend(self.execs.pids());
        kernel::keeper::reap_others(&kept);
    }

    fn check_health(&mut self, monitor: &Monitor, readable: bool) {
        let Some(watched) = &mut self.health else {
            return;
        };
        let now = Instant::now();
        let changed = match &mut watched.probe {
            Some(probe) => {
                if readable {
                    probe.read();
                }
                match probe.verdict(now) {
                    Verdict::Running => return,
                    Verdict::Done(result) => watched.take(result, self.since),
                }
            }
            None if now < watched.due => return,
            // A frozen container cannot answer, and that is no illness.
            None if monitor
                .engine
                .paths
                .container(&self.record.id)
                .paused()
                .exists() =>
            {
                watched.due = now + watched.check.interval;
                return;
            }
            None => {
                match Probe::start(
                    &monitor.engine,
                    &self.record,
                    &self.container,
                    &watched.check,
                ) {
                    Ok(probe) => {
                        watched.probe = Some(probe);
                        return;
                    }
                    Err(error) => watched.take(super::probe::could_not_run(&error), self.since),
                }
            }
        };
        let status = watched.health.status.word();
        // A full disk: the verdict stands in memory and is written with the next one.
        let _ = self.save(monitor);
        if changed {
            let _ = monitor
                .engine
                .note(&self.record, &format!("health_status: {status}"), &[]);
        }
        kernel::keeper::give_back_memory();
    }

    /// The first process has ended: its last words, then the walls come down.
    fn end(mut self, monitor: &mut Monitor, status: ExitStatus) -> Outcome {
        self.drain(monitor, false, usize::MAX);
        self.drain(monitor, true, usize::MAX);
        self.log.end(false);
        self.log.end(true);
        let oom_killed = kernel::cgroup::tree::oom_killed(&self.container.state.cgroup);
        if let Some(probe) = self
            .health
            .as_mut()
            .and_then(|watched| watched.probe.take())
        {
            probe.abandon();
        }
        std::mem::take(&mut self.execs).end(&mut monitor.clients);
        // Ports and names are free from here on; what makes the kernel wait comes after everybody was told. A failure leaves
        // something that the next repair finds by the container's id.
        let networks = self.joined();
        if let Some(network) = self.network.take() {
            let left = monitor.networks.leave(&self.record.id, network);
            monitor.leaving.extend(left.ok());
        }
        let _ = self.container.delete(true);
        let _ = monitor.engine.release_shared(&self.record, self.held);
        Outcome {
            started: Some(self.started),
            exit_code: i32::from(status.code()),
            oom_killed,
            failure: None,
            health: self.health.map(|watched| watched.health),
            networks,
        }
    }

    /// The networks it is on.
    fn joined(&self) -> Vec<JoinedNetwork> {
        let endpoints = self.network.as_ref().map(|network| &network.endpoints);
        networking::joined(endpoints.map_or(&[], Vec::as_slice))
    }

    /// Writes down what runs.
    fn save(&self, monitor: &Monitor) -> Result<()> {
        let state = State {
            format: FORMAT,
            monitor: monitor.me,
            init: Some(self.init),
            started: self.started,
            restart_count: monitor.restarts.count,
            before: None,
            health: self.health.as_ref().map(|watched| watched.health.clone()),
        };
        let path = monitor.engine.paths.container(&self.record.id).state();
        disk::replace_json(&path, &state, disk::Keep::Boot)
    }
}

impl Watched {
    fn new(record: &Record) -> Option<Self> {
        let check = Check::from(record.config.healthcheck.as_ref()?, &record.shell)?;
        let health = Health::default();
        let due = Instant::now() + check.pause(health.status, Duration::ZERO);
        Some(Self {
            check,
            health,
            due,
            probe: None,
        })
    }

    fn take(&mut self, result: crate::health::Probe, since: Instant) -> bool {
        let up = since.elapsed();
        self.probe = None;
        let changed = self.health.take(&self.check, result, up);
        self.due = Instant::now() + self.check.pause(self.health.status, up);
        changed
    }

    /// How long nothing is to be done.
    fn wake(&self) -> Duration {
        let next = self.probe.as_ref().map_or(self.due, Probe::deadline);
        next.saturating_duration_since(Instant::now())
    }
}

/// Rounded up: a wake-up before the time would be one too many.
pub(super) fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: duration.as_secs().cast_signed(),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

/// The server that answers 127.0.0.11 inside the container.
fn name_server(monitor: &Monitor, record: &Record, pid: i32) -> Result<dns::Server> {
    let path = std::path::PathBuf::from(format!("/proc/{pid}/ns/net"));
    let namespace = File::open(&path).map_err(Error::path("open", &path))?;
    let host = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let config = dns::Config {
        container: record.id.clone(),
        upstreams: network::hosts::upstreams(&host, &etc::resolution(&record.config)),
    };
    Ok(dns::Server::open(
        &monitor.networks,
        namespace.as_fd(),
        config,
    )?)
}
