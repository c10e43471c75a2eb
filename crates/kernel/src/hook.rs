//! Hooks: programs of the bundle that run at fixed moments, with the container's
//! state on stdin. config.md, POSIX-platform hooks.
//!
//! What a failing hook printed is part of the error. Input and output are
//! memory files, so that neither side can block the other.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};

use rustix::fs::MemfdFlags;

use crate::error::Failure;
use crate::op::{Hook, PID};
use crate::process;

/// Run a hook and wait for it. `pid` is the container's process on the host.
pub fn run(hook: &Hook, pid: i32) -> Result<(), Failure> {
    let state = hook.state.replace(&format!("\"{PID}\""), &pid.to_string());
    let mut output = memory("hook-output")?;
    let mut command = Command::new(&hook.path);
    if let Some((name, rest)) = hook.args.split_first() {
        command.arg0(name).args(rest);
    }
    if let Some(env) = &hook.env {
        let variables = env.iter().filter_map(|variable| variable.split_once('='));
        command.env_clear().envs(variables);
    }
    command.stdin(Stdio::from(filled("hook-state", state.as_bytes())?));
    command
        .stdout(Stdio::from(output.try_clone()?))
        .stderr(Stdio::from(output.try_clone()?));
    // A group of its own, so that a timeout ends what the hook started as well.
    let mut child = command.process_group(0).spawn()?;
    if let Some(seconds) = hook.timeout {
        let pidfd = process::pidfd(child.id() as i32)?;
        if !process::readable_within(pidfd.as_fd(), seconds.saturating_mul(1000))? {
            kill_group(child.id());
            child.wait()?;
            let note = format!("it did not end within {seconds} s and was killed");
            return Err(Failure {
                errno: libc::ETIMEDOUT,
                note,
            });
        }
    }
    let status = child.wait()?;
    if status.success() {
        return Ok(());
    }
    Err(Failure {
        errno: libc::ECANCELED,
        note: describe(status, &printed(&mut output)),
    })
}

fn memory(name: &str) -> std::io::Result<File> {
    Ok(File::from(rustix::fs::memfd_create(
        name,
        MemfdFlags::CLOEXEC,
    )?))
}

fn filled(name: &str, content: &[u8]) -> std::io::Result<File> {
    let mut file = memory(name)?;
    file.write_all(content)?;
    file.rewind()?;
    Ok(file)
}

fn kill_group(leader: u32) {
    if let Some(group) = rustix::process::Pid::from_raw(leader as i32) {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
}

/// The last words of a hook.
fn printed(output: &mut File) -> String {
    const ENOUGH: u64 = 300;
    let length = output.metadata().map_or(0, |metadata| metadata.len());
    let mut text = Vec::new();
    let start = std::io::SeekFrom::Start(length.saturating_sub(ENOUGH));
    let _ = output
        .seek(start)
        .and_then(|_| output.read_to_end(&mut text));
    String::from_utf8_lossy(&text).trim().to_string()
}

fn describe(status: ExitStatus, printed: &str) -> String {
    let how = match (status.code(), status.signal()) {
        (Some(code), _) => format!("it exited with code {code}"),
        (None, signal) => format!("signal {} ended it", signal.unwrap_or(0)),
    };
    if printed.is_empty() {
        how
    } else {
        format!("{how}: {printed}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(script: &str, timeout: Option<u64>) -> Hook {
        Hook {
            kind: "createRuntime".into(),
            path: "/bin/sh".into(),
            args: vec!["sh".into(), "-c".into(), script.into()],
            env: Some(vec!["COLOUR=red".into()]),
            timeout,
            state: r#"{"pid":"@PID@"}"#.into(),
        }
    }

    #[test]
    fn a_hook_reads_the_state_and_has_only_its_own_environment() {
        run(
            &hook(
                r#"test "$(/bin/cat)" = '{"pid":7}' && test $COLOUR = red && test -z "$HOME""#,
                None,
            ),
            7,
        )
        .unwrap();
    }

    #[test]
    fn what_a_failing_hook_printed_is_told() {
        let failure = run(&hook("echo no such device >&2; exit 3", None), 1).unwrap_err();
        assert_eq!(failure.note, "it exited with code 3: no such device");
    }

    #[test]
    fn a_slow_hook_is_killed_with_what_it_started() {
        let failure = run(&hook("/bin/sleep 60 & /bin/sleep 60", Some(1)), 1).unwrap_err();
        assert_eq!(failure.errno, libc::ETIMEDOUT);
    }
}
