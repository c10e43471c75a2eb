//! What is written down and undone between two runs and after the last one.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, poll};

use super::Monitor;
use super::run::{Outcome, timespec};
use crate::disk::{self, Keep};
use crate::list::JoinedNetwork;
use crate::record::{FORMAT, Last, Record, State};
use crate::restart::Restarts;
use crate::{Error, Result};

/// How long the places of a container in its networks outlive it. Nobody waits for that: a container that is started
/// meanwhile finds the bridge and the firewall there, instead of waiting until the kernel has made them go. And most of the
/// work is done by then, because the kernel takes a cable down with the network namespace that has its other end.
const LINGER: Duration = Duration::from_millis(250);

impl Monitor {
    /// A start that failed, as an outcome.
    pub(super) fn could_not_start(&self, error: &Error) -> Outcome {
        let failure = super::failure(error);
        Outcome {
            exit_code: i32::from(failure.code),
            failure: Some(failure),
            ..Outcome::default()
        }
    }

    /// Leaves a mark that outlives a reboot: this container was up.
    pub(super) fn remember_start(
        &self,
        record: &Record,
        started: Timestamp,
        networks: Vec<JoinedNetwork>,
    ) -> Result<()> {
        if record.config.auto_remove {
            return Ok(());
        }
        let last = Last {
            format: FORMAT,
            started: Some(started),
            finished: None,
            exit_code: 0,
            oom_killed: false,
            stopped: false,
            restart_count: self.restarts.count,
            error: None,
            health: None,
            networks,
        };
        disk::replace_json(
            &self.engine.paths.container(&self.id).last(),
            &last,
            Keep::Boot,
        )
    }

    /// A run ended and another one follows: clients of this one go, the state says `restarting`.
    pub(super) fn between_runs(&mut self, outcome: &Outcome, next: Restarts) {
        let state = State {
            format: FORMAT,
            monitor: self.me,
            init: None,
            started: outcome.started.unwrap_or_else(Timestamp::now),
            restart_count: next.count,
            before: Some(self.last(outcome)),
            health: None,
        };
        // When it cannot be written, it is still true, and the next run writes the file anew.
        let _ = disk::replace_json(
            &self.engine.paths.container(&self.id).state(),
            &state,
            Keep::Boot,
        );
        self.note_end(self.record().as_ref().ok(), outcome);
        self.clients.ended(outcome.exit_code);
    }

    /// The slow end of runs. What cannot be taken down now, the next repair takes down.
    pub(super) fn leave_networks(&mut self) {
        for leaving in std::mem::take(&mut self.leaving) {
            let _ = self.networks.finish(leaving);
        }
    }

    /// Waits out the pause before a restart; false when somebody asked the container to stay down. Whoever does pokes the
    /// socket.
    pub(super) fn pause(&mut self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        loop {
            if self.stopping() {
                return false;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            self.sleep(Some(left));
        }
    }

    /// Serves clients while no container runs.
    fn sleep(&mut self, longest: Option<Duration>) {
        let mut fds = vec![
            PollFd::new(&self.signals, PollFlags::IN),
            PollFd::new(self.clients.listener(), PollFlags::IN),
        ];
        for (socket, pending) in self.clients.sockets() {
            let flags = if pending {
                PollFlags::IN | PollFlags::OUT
            } else {
                PollFlags::IN
            };
            fds.push(PollFd::new(socket, flags));
        }
        let timeout = longest.map(timespec);
        // Woken early is no harm: the caller looks at the clock.
        let _ = poll(&mut fds, timeout.as_ref());
        while kernel::signal::next(&self.signals).is_some() {}
        kernel::keeper::reap_others(&[]);
        self.clients.accept();
        for (client, _) in self.clients.exchange().execs {
            self.clients
                .exec_failed(client, &super::execs::nothing_runs());
        }
    }

    /// The container has ended for good: all is written down and undone, then everybody is told.
    pub(super) fn finish(mut self, outcome: &Outcome, failed_start: bool) {
        let record = self.record();
        if !failed_start {
            self.note_end(record.as_ref().ok(), outcome);
        }
        let paths = self.engine.paths.container(&self.id);
        match &record {
            // What is left after a failure is swept up by the next command.
            Ok(record) if record.config.auto_remove => {
                let _ = self.engine.erase_record(record, true);
            }
            _ => {
                let _ = disk::replace_json(&paths.last(), &self.last(outcome), Keep::Durable);
            }
        }
        let _ = disk::remove_live(&paths.live);
        match &outcome.failure {
            Some(failure) if failed_start => self.clients.failed(failure),
            _ => {}
        }
        self.clients.ended(outcome.exit_code);
        // A client that reads slowly gets the rest; one that is gone frees its place.
        while self.clients.pending() && !self.clients.is_empty() {
            self.sleep(None);
        }
        if !self.leaving.is_empty() {
            std::thread::sleep(LINGER);
        }
        self.leave_networks();
    }

    fn note_end(&self, record: Option<&Record>, outcome: &Outcome) {
        let Some(record) = record else { return };
        if outcome.oom_killed {
            let _ = self.engine.note(record, "oom", &[]);
        }
        let code = ("exitCode", outcome.exit_code.to_string());
        let _ = self.engine.note(record, "die", &[code]);
    }

    fn last(&self, outcome: &Outcome) -> Last {
        Last {
            format: FORMAT,
            started: outcome.started,
            finished: Some(Timestamp::now()),
            exit_code: outcome.exit_code,
            oom_killed: outcome.oom_killed,
            stopped: self.stopping(),
            restart_count: self.restarts.count,
            error: outcome
                .failure
                .as_ref()
                .map(|failure| failure.cause.clone()),
            health: outcome.health.clone(),
            networks: outcome.networks.clone(),
        }
    }
}
