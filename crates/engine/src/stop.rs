//! `stop`, `kill`, `restart`, `pause`, `unpause`: asking and forcing.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use runtime::Container;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::Signal;

use crate::config::NamespaceMode;
use crate::disk;
use crate::find::Observed;
use crate::list::Status;
use crate::record::{ProcessId, Record};
use crate::{Engine, Error, Result, process};

const GRACE: Duration = Duration::from_secs(10);
/// After SIGKILL: the kernel tears the container down, its monitor writes that down.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a `stop` went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stopped {
    /// It did not end by itself and was killed.
    pub killed: bool,
    /// Why it took so long and what to do about it, when that is known for certain.
    pub hint: Option<String>,
}

impl Engine {
    /// Asks a container to end (its stop signal), waits, then kills it. `timeout` none takes the container's, then 10 s.
    /// Stopping one that does not run is no error.
    pub fn stop(
        &self,
        who: &str,
        signal: Option<&str>,
        timeout: Option<Duration>,
    ) -> Result<Stopped> {
        let seen = self.observe_settled(&self.resolve(who)?)?;
        let record = &seen.record;
        let Some(state) = &seen.state else {
            return Ok(Stopped::default());
        };
        let wish = signal
            .or(record.config.stop_signal.as_deref())
            .unwrap_or("TERM");
        let signal = signal_number(wish)?;
        let grace = timeout.or(record.config.stop_timeout).unwrap_or(GRACE);
        if !self.want_end(&record.id)? {
            return self.await_end(record, None).map(|()| Stopped::default());
        }
        // A monitor that waits to restart it looks up when somebody comes.
        let _ = self.connect(&record.id);
        let Some(init) = state.init else {
            return self.await_end(record, None).map(|()| Stopped::default());
        };
        let Some(pidfd) = process::open(init) else {
            return self.await_end(record, None).map(|()| Stopped::default());
        };
        let deadline = Instant::now() + grace;
        process::signal(init, signal)?;
        let deaf = deaf_to(record, init, signal);
        self.thaw_if_paused(&seen)?;
        if (deaf.is_some() && signal_once_heard(record, init, signal, &pidfd, deadline)?)
            || ended_by(&pidfd, deadline)?
        {
            self.await_end(record, Some(init))?;
            return Ok(Stopped::default());
        }
        // Asked again: it may have come to set a handler while we waited, and then it merely took too long.
        let deaf = deaf_to(record, init, signal);
        self.kill_all_of(&record.id)?;
        self.await_end(record, Some(init))?;
        let killed = signal != Signal::KILL;
        Ok(Stopped {
            killed,
            hint: deaf.filter(|_| killed),
        })
    }

    /// Says that its end is wanted. False when it ended since we looked, and took the place to say so with it.
    fn want_end(&self, id: &str) -> Result<bool> {
        match disk::mark(&self.paths.container(id).stopping()) {
            Err(Error::Path { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(false),
            other => other.map(|()| true),
        }
    }

    /// Sends a signal (`KILL`, `SIGTERM`, `9`) to its first process.
    pub fn kill(&self, who: &str, signal: &str) -> Result<()> {
        let number = signal_number(signal)?;
        let seen = self.observe_as(who)?;
        let record = &seen.record;
        seen.pid()?;
        let stop_signal = record
            .config
            .stop_signal
            .as_deref()
            .map(signal_number)
            .transpose()?;
        let deadly = number == Signal::KILL || number == stop_signal.unwrap_or(Signal::TERM);
        if deadly && !self.want_end(&record.id)? {
            return Err(Error::NotRunning {
                name: record.name.clone(),
            });
        }
        // Before the signal: what the signal does is told later than the signal.
        self.note(record, "kill", &[("signal", number.as_raw().to_string())])?;
        let init = seen.state.as_ref().and_then(|state| state.init);
        if !init
            .map(|init| process::signal(init, number))
            .transpose()?
            .unwrap_or(false)
        {
            return Err(Error::NotRunning {
                name: record.name.clone(),
            });
        }
        if number == Signal::KILL {
            self.thaw_if_paused(&seen)?;
        }
        Ok(())
    }

    /// `stop`, then `start`.
    pub fn restart(
        &self,
        who: &str,
        signal: Option<&str>,
        timeout: Option<Duration>,
    ) -> Result<Stopped> {
        let id = self.resolve(who)?;
        let stopped = self.stop(&id, signal, timeout)?;
        self.start(&id)?;
        self.note(&self.record(&id)?, "restart", &[])?;
        Ok(stopped)
    }

    /// Freezes every process of a container.
    pub fn pause(&self, who: &str) -> Result<()> {
        let seen = self.observe_as(who)?;
        seen.pid()?;
        if seen.status == Status::Paused {
            return Err(Error::Paused {
                name: seen.record.name,
            });
        }
        let id = &seen.record.id;
        let _lock = self.lock(id)?;
        self.container(id)?.pause()?;
        disk::mark(&self.paths.container(id).paused())?;
        self.note(&seen.record, "pause", &[])
    }

    /// Thaws them.
    pub fn unpause(&self, who: &str) -> Result<()> {
        let seen = self.observe_as(who)?;
        seen.pid()?;
        if seen.status != Status::Paused {
            return Err(Error::NotPaused {
                name: seen.record.name,
            });
        }
        let _lock = self.lock(&seen.record.id)?;
        self.thaw_if_paused(&seen)?;
        self.note(&seen.record, "unpause", &[])
    }

    fn thaw_if_paused(&self, seen: &Observed) -> Result<()> {
        if seen.status == Status::Paused {
            self.container(&seen.record.id)?.resume()?;
            disk::remove_file(&self.paths.container(&seen.record.id).paused())?;
        }
        Ok(())
    }

    /// What the runtime knows of a running container.
    pub(crate) fn container(&self, id: &str) -> Result<Container> {
        Ok(Container::load(&self.paths.runtime(), id)?)
    }

    /// Kills every process of a container. When its monitor has cleared it away meanwhile, there is none.
    fn kill_all_of(&self, id: &str) -> Result<()> {
        match Container::load(&self.paths.runtime(), id) {
            Ok(container) => Ok(container.kill(Signal::KILL.as_raw(), true)?),
            Err(runtime::Error::Missing { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until nobody answers for the container: all is written down and undone.
    fn await_end(&self, record: &Record, init: Option<ProcessId>) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut nap = Duration::from_micros(200);
        while self.is_active(&record.id) {
            if Instant::now() > deadline {
                let pid = init.map_or(0, |init| init.pid);
                let stack =
                    std::fs::read_to_string(format!("/proc/{pid}/wchan")).unwrap_or_default();
                return Err(Error::Unkillable {
                    name: record.name.clone(),
                    pid,
                    stack,
                });
            }
            std::thread::sleep(nap);
            nap = (nap * 2).min(Duration::from_millis(10));
        }
        // A monitor that was killed at this very moment wrote nothing down.
        self.repair_one(&record.id).map(|_| ())
    }
}

/// Why a first process cannot be reached by a signal, in words; none when it can.
///
/// The kernel drops signals that the first process of a pid namespace has no handler for (pid_namespaces(7)).
fn deaf_to(record: &Record, init: ProcessId, signal: Signal) -> Option<String> {
    if !matches!(
        record.config.pid,
        NamespaceMode::Private | NamespaceMode::Shareable
    ) {
        return None;
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", init.pid)).ok()?;
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .map(str::trim)
    };
    let caught = u64::from_str_radix(field("SigCgt:")?, 16).ok()?;
    let number = signal.as_raw();
    let bit = 1u64.checked_shl(u32::try_from(number - 1).ok()?)?;
    let (program, name) = (field("Name:")?, signal_name(number));
    (caught & bit == 0 && signal != Signal::KILL).then(|| {
        format!(
            "its first process ({program}) has no handler for {name}, so the kernel drops it: run it with --init, `exec` the \
             program in its shell script, or give another --stop-signal"
        )
    })
}

/// Signals a process again when it has a handler at last: one stopped right after its start has not come to set it.
/// True when it ended meanwhile.
fn signal_once_heard(
    record: &Record,
    init: ProcessId,
    signal: Signal,
    pidfd: &OwnedFd,
    deadline: Instant,
) -> Result<bool> {
    let mut nap = Duration::from_millis(5);
    while Instant::now() < deadline {
        if ended_by(pidfd, deadline.min(Instant::now() + nap))? {
            return Ok(true);
        }
        if deaf_to(record, init, signal).is_none() {
            process::signal(init, signal)?;
            return Ok(false);
        }
        nap = (nap * 2).min(Duration::from_millis(100));
    }
    Ok(false)
}

fn ended_by(pidfd: &OwnedFd, deadline: Instant) -> Result<bool> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = rustix::event::Timespec {
            tv_sec: left.as_secs().cast_signed(),
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        match poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&timeout)) {
            Ok(0) | Err(rustix::io::Errno::INTR) if left.is_zero() => return Ok(false),
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return Ok(true),
            Err(e) => return Err(Error::system("wait for the container's end")(e.into())),
        }
    }
}

const SIGNALS: [(&str, i32); 31] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("PWR", 30),
    ("SYS", 31),
];

/// `SIGTERM` for 15.
pub fn signal_name(number: i32) -> String {
    let known = SIGNALS.iter().find(|(_, n)| *n == number);
    known.map_or_else(
        || format!("signal {number}"),
        |(name, _)| format!("SIG{name}"),
    )
}

/// The signal that `TERM`, `SIGTERM`, `15`, `RTMIN+3` or `SIGRTMAX-1` names.
pub(crate) fn signal_number(text: &str) -> Result<Signal> {
    let upper = text.to_ascii_uppercase();
    let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
    let aliases = [("POLL", 29), ("IOT", 6), ("CLD", 17)];
    let named = SIGNALS
        .iter()
        .chain(&aliases)
        .find(|(name, _)| *name == bare)
        .map(|(_, number)| *number);
    let number = named
        .or_else(|| bare.parse().ok())
        .or_else(|| real_time(bare))
        .filter(|n| (1..=64).contains(n));
    let refuse = || Error::invalid("signal", text, "no such signal (`kill -l` lists them)");
    let number = number.ok_or_else(refuse)?;
    Signal::from_named_raw(number)
        .or_else(|| kernel::signal::real_time(number))
        .ok_or_else(refuse)
}

fn real_time(bare: &str) -> Option<i32> {
    let (base, offset) = match (bare.strip_prefix("RTMIN"), bare.strip_prefix("RTMAX")) {
        (Some(offset), _) => (34, offset),
        (_, Some(offset)) => (64, offset),
        _ => return None,
    };
    let offset = if offset.is_empty() {
        0
    } else {
        offset.parse::<i32>().ok()?
    };
    Some(base + offset).filter(|number| (34..=64).contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_by_every_name() {
        for (text, number) in [
            ("TERM", 15),
            ("sigterm", 15),
            ("9", 9),
            ("SIGRTMIN+3", 37),
            ("RTMAX-1", 63),
            ("34", 34),
            ("WINCH", 28),
        ] {
            assert_eq!(signal_number(text).unwrap().as_raw(), number, "{text}");
        }
        for text in ["", "0", "65", "-1", "TERMINATE", "RTMIN+31", "1 "] {
            assert!(signal_number(text).is_err(), "{text:?}");
        }
    }
}
