//! Processes named so that a number used again is never mistaken (pid and start time, then a pidfd).

use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::record::ProcessId;
use crate::{Error, Result};

/// Names a process of now.
pub(crate) fn identify(pid: i32) -> Option<ProcessId> {
    Some(ProcessId {
        pid,
        start: start_time(pid)?,
    })
}

/// Is it still that process? A zombie is dead.
pub(crate) fn is_alive(id: ProcessId) -> bool {
    stat(id.pid).is_some_and(|(state, start)| start == id.start && state != 'Z' && state != 'X')
}

/// A descriptor of the process; none when it ended.
pub(crate) fn open(id: ProcessId) -> Option<OwnedFd> {
    let pidfd = pidfd_open(Pid::from_raw(id.pid)?, PidfdFlags::empty()).ok()?;
    // Only now: the descriptor pins the process, so the number cannot be used again behind this check.
    is_alive(id).then_some(pidfd)
}

/// Sends a signal. False when the process ended before.
pub(crate) fn signal(id: ProcessId, signal: Signal) -> Result<bool> {
    let Some(pidfd) = open(id) else {
        return Ok(false);
    };
    match pidfd_send_signal(&pidfd, signal) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::SRCH) => Ok(false),
        Err(e) => Err(Error::system("signal the container")(e.into())),
    }
}

fn start_time(pid: i32) -> Option<u64> {
    stat(pid).map(|(_, start)| start)
}

/// State and start time of proc_pid_stat(5).
fn stat(pid: i32) -> Option<(char, u64)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, field 2, may hold spaces and parentheses: fields are counted from its last parenthesis.
    let mut fields = text.get(text.rfind(')')? + 2..)?.split(' ');
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_from_a_later_one_with_its_number() {
        let me = identify(std::process::id().cast_signed()).unwrap();
        assert!(is_alive(me));
        assert!(!is_alive(ProcessId {
            start: me.start + 1,
            ..me
        }));
        let child = std::process::Command::new("/bin/true").spawn().unwrap();
        let zombie = identify(child.id().cast_signed()).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(100));
        assert!(!is_alive(zombie), "a zombie is dead");
        let mut child = child;
        child.wait().unwrap();
    }
}
