//! A program that runs beside the test and is killed, by its pid, when it goes out of scope.

use std::process::{Child, Command, Stdio};

/// A running program that the test owns.
#[derive(Debug)]
pub struct Background {
    child: Child,
}

impl Background {
    /// Starts `command` with the standard streams the caller set.
    ///
    /// # Panics
    /// When the program cannot be started.
    #[track_caller]
    pub fn start(mut command: Command) -> Self {
        let line = format!("{command:?}");
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {line}: {error}"));
        Self { child }
    }

    /// As [`Background::start`], silent.
    ///
    /// # Panics
    /// As [`Background::start`].
    #[track_caller]
    pub fn start_silent(mut command: Command) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self::start(command)
    }

    /// The process, to write to it, read from it, or wait for it.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Its pid. `nsenter` execs, so this is the program's own.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
