//! The container's streams as the monitor holds them: three pipes, or the other end of its terminal.
//!
//! Reading never blocks. Input that the container does not take yet is kept, up to a limit at which clients are no longer
//! read: a slow reader slows the writer and nobody loses a byte.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Gid, Uid};

/// Input kept for the container before clients have to wait.
pub(super) const INPUT_LIMIT: usize = 64 << 10;

/// The monitor's ends.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// Standard output, or the terminal.
    pub(super) output: Option<OwnedFd>,
    /// Standard error.
    pub(super) error: Option<OwnedFd>,
    /// Standard input, or the terminal again.
    pub(super) input: Option<OwnedFd>,
    /// Read from clients, not taken by the container yet.
    waiting: Vec<u8>,
    /// Close input when `waiting` is empty.
    closing: bool,
    terminal: bool,
}

/// Pipes for a container without a terminal: our ends, and its three descriptors.
///
/// They belong to the container's user: a program opens `/dev/stdout` anew as its own user.
pub(super) fn pipes(open_stdin: bool, uid: u32, gid: u32) -> io::Result<(Streams, [OwnedFd; 3])> {
    let (output, their_output) = pipe_with(PipeFlags::CLOEXEC)?;
    let (error, their_error) = pipe_with(PipeFlags::CLOEXEC)?;
    let (their_input, input) = if open_stdin {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        (read, Some(write))
    } else {
        (std::fs::File::open("/dev/null")?.into(), None)
    };
    let given = [&their_output, &their_error]
        .into_iter()
        .chain(open_stdin.then_some(&their_input));
    for pipe in given {
        rustix::fs::fchown(pipe, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    }
    for ours in [Some(&output), Some(&error), input.as_ref()]
        .into_iter()
        .flatten()
    {
        non_blocking(ours)?;
    }
    let streams = Streams {
        output: Some(output),
        error: Some(error),
        input,
        ..Streams::default()
    };
    Ok((streams, [their_input, their_output, their_error]))
}

impl Streams {
    /// A terminal's other end.
    pub(super) fn terminal(terminal: OwnedFd, open_stdin: bool) -> io::Result<Self> {
        non_blocking(&terminal)?;
        let input = if open_stdin {
            Some(terminal.try_clone()?)
        } else {
            None
        };
        Ok(Self {
            output: Some(terminal),
            input,
            terminal: true,
            ..Self::default()
        })
    }

    /// Sets the terminal's size.
    pub(super) fn resize(&self, rows: u16, columns: u16) {
        if let (true, Some(terminal)) = (self.terminal, &self.output) {
            // The container may have closed its side: then there is nothing to set.
            let _ = kernel::tty::resize(terminal.as_fd(), rows, columns);
        }
    }

    /// Takes bytes for the container's input.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        if self.input.is_some() {
            self.waiting.extend_from_slice(bytes);
            self.push();
        }
    }

    /// No more input comes.
    pub(super) fn end_input(&mut self) {
        if self.terminal {
            // End of file on a terminal is a key.
            self.feed(&[4]);
        } else {
            self.closing = true;
            self.push();
        }
    }

    /// Is there input that the container has not taken?
    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// May clients send more?
    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < INPUT_LIMIT
    }

    /// Gives the container what it takes.
    pub(super) fn push(&mut self) {
        while let (Some(input), false) = (&self.input, self.waiting.is_empty()) {
            match rustix::io::write(input, &self.waiting) {
                Ok(taken) => drop(self.waiting.drain(..taken)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                // It reads no more.
                Err(_) => {
                    self.input = None;
                    self.waiting = Vec::new();
                }
            }
        }
        self.waiting.shrink_to(0);
        if self.closing && self.waiting.is_empty() {
            self.input = None;
        }
    }
}

/// What one read gave.
pub(super) enum Got {
    /// So many bytes.
    Bytes(usize),
    /// Nothing now.
    Nothing,
    /// Nothing any more.
    End,
}

/// Reads once.
pub(super) fn read(from: BorrowedFd<'_>, block: &mut [u8]) -> Got {
    loop {
        return match rustix::io::read(from, &mut *block) {
            Ok(0) => Got::End,
            Ok(read) => Got::Bytes(read),
            Err(Errno::INTR) => continue,
            Err(Errno::AGAIN) => Got::Nothing,
            // A terminal whose last user is gone says EIO.
            Err(_) => Got::End,
        };
    }
}

fn non_blocking(fd: impl AsFd) -> io::Result<()> {
    let flags = fcntl_getfl(&fd)?;
    Ok(fcntl_setfl(&fd, flags | OFlags::NONBLOCK)?)
}
