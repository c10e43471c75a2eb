//! A pseudo-terminal with a program on it, for what only a terminal shows: sizes, keys, job control.
//!
//! In: a command of [`crate::Host`]. Out: what the program writes, as it comes; what is typed goes to the program.
//! `setsid --ctty` makes the terminal the program's own, as a login does.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// How long something expected may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A program on a terminal of its own, 24 by 80 at first.
#[derive(Debug)]
pub struct Terminal {
    master: File,
    child: Child,
    output: Receiver<Vec<u8>>,
    seen: String,
}

impl Terminal {
    /// Starts `command` on a new terminal.
    ///
    /// # Panics
    /// When there is no terminal to be had or the program cannot be started.
    #[track_caller]
    pub fn start(command: &Command) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).expect("there are pseudo-terminals");
        grantpt(&master).expect("the terminal is ours");
        unlockpt(&master).expect("the terminal is ours");
        let name = ptsname(&master, Vec::new()).expect("the terminal has a name");
        let name = name.to_str().expect("the name is ASCII");
        let master = File::from(master);
        let open = || {
            let slave = File::options().read(true).write(true).open(name);
            Stdio::from(slave.expect("the terminal's other side"))
        };
        let mut wrapped = Command::new("setsid");
        wrapped
            .args(["--ctty", "--wait"])
            .arg(command.get_program());
        wrapped.args(command.get_args()).envs(variables(command));
        if let Some(directory) = command.get_current_dir() {
            wrapped.current_dir(directory);
        }
        let child = wrapped.stdin(open()).stdout(open()).stderr(open()).spawn();
        let reader = master.try_clone().expect("a second descriptor");
        let terminal = Self {
            master,
            child: child.expect("setsid is part of util-linux"),
            output: drain(reader),
            seen: String::new(),
        };
        terminal.resize(24, 80);
        terminal
    }

    /// Types on it; `\r` is the return key, `\u{3}` is Ctrl-C.
    ///
    /// # Panics
    /// When the terminal is gone.
    #[track_caller]
    pub fn type_in(&mut self, keys: &str) {
        self.master
            .write_all(keys.as_bytes())
            .expect("the terminal takes what is typed");
    }

    /// Gives it another size; the kernel tells the program by SIGWINCH.
    ///
    /// # Panics
    /// When the terminal is gone.
    #[track_caller]
    pub fn resize(&self, rows: u16, columns: u16) {
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&self.master, size).expect("a terminal has a size");
    }

    /// Waits until `text` has been written after what was waited for before; yields what came up to it and with it.
    ///
    /// # Panics
    /// With all that was written, when it does not come.
    #[track_caller]
    pub fn until(&mut self, text: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.seen.find(text) {
                let rest = self.seen.split_off(at + text.len());
                return std::mem::replace(&mut self.seen, rest);
            }
            let left = end.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(_) => panic!("{text:?} does not come; there is {:?}", self.seen),
            }
        }
    }

    /// Waits for the program's end; yields its exit code and what it wrote since the last [`Terminal::until`].
    ///
    /// # Panics
    /// When it does not end.
    #[track_caller]
    pub fn end(mut self) -> (i32, String) {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("it does not end; there is {:?}", self.seen)
                }
            }
        }
        let status = self.child.wait().expect("the program is our child");
        (crate::output::code(status), std::mem::take(&mut self.seen))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn variables(command: &Command) -> impl Iterator<Item = (&OsStr, &OsStr)> {
    command
        .get_envs()
        .filter_map(|(name, value)| Some((name, value?)))
}

/// What the program writes. Reading fails with EIO once nobody has the other side open.
fn drain(mut master: File) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut block = [0; 4096];
        while let Ok(count) = master.read(&mut block) {
            if count == 0 || sender.send(block[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    receiver
}
