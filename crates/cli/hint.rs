//! What to type next when it is the machine that refuses: no right, no room, no /proc.
//!
//! In comes a verb's error, out go sentences for people; `report.rs` prints them below the error.

use std::error::Error;
use std::io;
use std::path::Path;

use rustix::io::Errno;

/// The hints of an error and its causes, the outermost first.
pub fn of(error: &anyhow::Error) -> Vec<String> {
    let mut hints: Vec<String> = error.chain().filter_map(step).collect();
    let host = Host {
        root: rustix::process::geteuid().is_root(),
        proc: Path::new("/proc/self/exe").exists(),
        dev: Path::new("/dev/null").exists(),
    };
    let errno = error.chain().find_map(errno);
    hints.extend(
        errno
            .and_then(|errno| machine(errno, host))
            .map(String::from),
    );
    hints
}

fn step(cause: &(dyn Error + 'static)) -> Option<String> {
    cause
        .downcast_ref::<kernel::Error>()?
        .hint()
        .map(String::from)
}

/// What is there of what lighter needs.
#[derive(Clone, Copy)]
struct Host {
    root: bool,
    proc: bool,
    dev: bool,
}

fn errno(cause: &(dyn Error + 'static)) -> Option<Errno> {
    let io = |error: &io::Error| error.raw_os_error().map(Errno::from_raw_os_error);
    cause
        .downcast_ref::<io::Error>()
        .and_then(io)
        .or_else(|| cause.downcast_ref::<Errno>().copied())
}

fn machine(errno: Errno, host: Host) -> Option<&'static str> {
    match errno {
        Errno::ACCESS | Errno::PERM if !host.root => Some(
            "lighter makes namespaces and mounts, which takes root: call it with sudo (what needs no kernel, such as pull, \
             works with --root and --state below a directory of yours)",
        ),
        Errno::NOSPC | Errno::DQUOT => Some(
            "`lighter system df` shows what takes the room; `lighter system prune` removes what nothing uses",
        ),
        Errno::NOENT if !host.proc => Some("there is no /proc: mount -t proc proc /proc"),
        Errno::NOENT if !host.dev => Some("there is no /dev/null: mount -t devtmpfs dev /dev"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: Host = Host {
        root: true,
        proc: true,
        dev: true,
    };

    #[test]
    fn a_machine_that_has_all_needs_no_hint() {
        assert_eq!(machine(Errno::NOENT, WHOLE), None);
        assert_eq!(machine(Errno::PERM, WHOLE), None);
    }

    #[test]
    fn each_lack_has_its_command() {
        let hint = |errno, host| machine(errno, host).unwrap();
        assert!(
            hint(
                Errno::ACCESS,
                Host {
                    root: false,
                    ..WHOLE
                }
            )
            .contains("sudo")
        );
        assert!(hint(Errno::NOSPC, WHOLE).contains("system prune"));
        assert!(
            hint(
                Errno::NOENT,
                Host {
                    proc: false,
                    ..WHOLE
                }
            )
            .contains("mount -t proc")
        );
        assert!(
            hint(
                Errno::NOENT,
                Host {
                    dev: false,
                    ..WHOLE
                }
            )
            .contains("devtmpfs")
        );
    }

    #[test]
    fn an_errno_is_found_below_other_errors() {
        let full = anyhow::Error::new(io::Error::from_raw_os_error(28)).context("cannot write x");
        assert_eq!(of(&full).len(), 1);
    }
}
