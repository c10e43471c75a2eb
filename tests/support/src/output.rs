//! What a command printed and how it ended; a command that never ends becomes a failed test, not a hung one.
//!
//! In: a `Command`. Out: [`Output`]. Read `host.rs` next.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long a command may take before it counts as hung.
const PATIENCE: Duration = Duration::from_secs(180);

/// A command that ended.
#[derive(Debug, Clone)]
pub struct Output {
    /// The command line, for messages.
    pub command: String,
    /// The exit code; 128 + n after signal n, as a shell has it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// Runs `command` to its end, with an empty standard input unless the caller set one.
    ///
    /// # Panics
    /// When the program cannot be started, or when it or a process it left behind keeps its output open too long.
    #[track_caller]
    pub fn of(mut command: Command) -> Self {
        command.stdin(Stdio::null());
        Self::with_input_set(command)
    }

    /// As [`Output::of`], for a command whose standard input the caller has set.
    ///
    /// # Panics
    /// As [`Output::of`].
    #[track_caller]
    pub fn with_input_set(mut command: Command) -> Self {
        let line = format!("{command:?}").replace('"', "");
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {line}: {error}"));
        let stdout = child.stdout.take().map(drain).expect("stdout was piped");
        let stderr = child.stderr.take().map(drain).expect("stderr was piped");
        let end = Instant::now() + PATIENCE;
        let code = wait(&mut child, end);
        Self {
            stdout: collect(&stdout, end, &line, "stdout"),
            stderr: collect(&stderr, end, &line, "stderr"),
            code: code.unwrap_or_else(|| panic!("still runs after {PATIENCE:?}: {line}")),
            command: line,
        }
    }

    /// Hands the output on if the command succeeded.
    ///
    /// # Panics
    /// With everything it printed, if it did not.
    #[track_caller]
    pub fn success(self) -> Self {
        self.exits(0)
    }

    /// Hands the output on if the command ended with `code`.
    ///
    /// # Panics
    /// With everything it printed, if it did not.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(
            self.code, code,
            "{}\n--- stdout\n{}\n--- stderr\n{}",
            self.command, self.stdout, self.stderr
        );
        self
    }

    /// Standard output without the space around it.
    pub fn text(&self) -> &str {
        self.stdout.trim()
    }

    /// The lines of standard output.
    pub fn lines(&self) -> Vec<&str> {
        self.stdout.lines().collect()
    }

    /// Standard output as JSON.
    ///
    /// # Panics
    /// When it is not JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{}: {error}\n{}", self.command, self.stdout))
    }
}

/// The code a shell would show for `status`.
pub fn code(status: ExitStatus) -> i32 {
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// Reads `source` to its end on a thread of its own, so that neither pipe can fill up.
fn drain(mut source: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(count) = source.read(&mut bytes) {
            if count == 0 || sender.send(bytes[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Waits for the child until `end`; kills it and yields nothing when it is late.
fn wait(child: &mut Child, end: Instant) -> Option<i32> {
    while Instant::now() < end {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(code(status));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().ok();
    child.wait().ok();
    None
}

/// Everything that arrives before the pipe is closed.
#[track_caller]
fn collect(receiver: &Receiver<Vec<u8>>, end: Instant, line: &str, name: &str) -> String {
    let mut bytes = Vec::new();
    loop {
        let left = end.saturating_duration_since(Instant::now()) + Duration::from_millis(200);
        match receiver.recv_timeout(left) {
            Ok(more) => bytes.extend(more),
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!(
                "{line} ended, but something keeps its {name} open; so far:\n{}",
                String::from_utf8_lossy(&bytes)
            ),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
