//! The files of a log: `log.json` is written to, `log.json.1` is the one before, and so on.
//!
//! A reader holds the file it is in open. The writer renames it away when it is full; the reader then finds its place again
//! by inode number and goes on with the next younger file, so that no line is lost or seen twice.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::ControlFlow;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;

use crate::{Error, Result};

const BLOCK: usize = 64 << 10;

/// The path of the `age`-th older file; 0 is the one that is written to.
pub(crate) fn rotated(log: &Path, age: u32) -> PathBuf {
    if age == 0 {
        return log.to_owned();
    }
    let mut name = log.as_os_str().to_owned();
    name.push(format!(".{age}"));
    PathBuf::from(name)
}

/// A reader at some place in a log.
pub(super) struct Tail {
    log: PathBuf,
    /// The file being read; none when there is none yet.
    file: Option<File>,
    /// Read but not given out: the beginning of a line.
    rest: Vec<u8>,
    changes: Option<OwnedFd>,
}

impl Tail {
    /// At the beginning of the oldest file, or before the last `lines` lines.
    pub(super) fn open(log: &Path, lines: Option<usize>) -> Result<Self> {
        let mut files = kept(log).map_err(Error::path("read", log))?;
        let file = match lines {
            Some(lines) => last_lines(files, lines).map_err(Error::path("read", log))?,
            None => files.pop(),
        };
        Ok(Self {
            log: log.to_owned(),
            file,
            rest: Vec::new(),
            changes: None,
        })
    }

    /// Gives every complete line from here to the end to `sink`, without its newline.
    pub(super) fn read(
        &mut self,
        sink: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let mut block = vec![0; BLOCK];
        loop {
            let Some(file) = &mut self.file else {
                self.file = File::open(&self.log).ok();
                if self.file.is_none() {
                    return Ok(ControlFlow::Continue(()));
                }
                continue;
            };
            let read = file
                .read(&mut block)
                .map_err(Error::path("read", &self.log))?;
            if read == 0 && !self.step_on()? {
                return Ok(ControlFlow::Continue(()));
            }
            self.rest.extend_from_slice(&block[..read]);
            let mut from = 0;
            while let Some(length) = self.rest[from..].iter().position(|b| *b == b'\n') {
                if sink(&self.rest[from..from + length]).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                from += length + 1;
            }
            self.rest.drain(..from);
        }
    }

    /// At the end of a file: is there a younger one? Goes there.
    fn step_on(&mut self) -> Result<bool> {
        let Some(file) = &mut self.file else {
            return Ok(false);
        };
        let fail = |e: io::Error| Error::path("read", &self.log)(e);
        loop {
            let here = file.metadata().map_err(fail)?;
            if here.nlink() == 0 {
                // Deleted by further rotations: the oldest that is left comes next.
                self.file = kept(&self.log).map_err(fail)?.pop();
                return Ok(self.file.is_some());
            }
            // In the middle of a rotation it may be found nowhere: then it is looked for again.
            let Some(age) = age_of(&self.log, &here) else {
                continue;
            };
            // Whoever renamed our file wrote to it before: look once more before leaving it.
            let at = file.stream_position().map_err(fail)?;
            let length = file.metadata().map_err(fail)?.len();
            if age == 0 || length > at {
                return Ok(length > at);
            }
            let Ok(next) = File::open(rotated(&self.log, age - 1)) else {
                continue;
            };
            // Ours is still the one before it: it is the next one, and not one that took its place meanwhile.
            if age_of(&self.log, &here) == Some(age) {
                self.file = Some(next);
                return Ok(true);
            }
        }
    }

    /// Sleeps until something changes in the log's directory, at most a second.
    pub(super) fn wait(&mut self) -> Result<()> {
        let fail = |e: rustix::io::Errno| Error::system("watch the log")(e.into());
        if self.changes.is_none() {
            let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
            let watch = inotify::init(flags).map_err(fail)?;
            let kinds = inotify::WatchFlags::MODIFY
                | inotify::WatchFlags::MOVED_TO
                | inotify::WatchFlags::DELETE_SELF;
            if let Some(directory) = self.log.parent() {
                // Gone already: the caller notices that the container is.
                let _ = inotify::add_watch(&watch, directory, kinds);
            }
            self.changes = Some(watch);
            // What came between the last read and the watch is read first.
            return Ok(());
        }
        let Some(changes) = &self.changes else {
            return Ok(());
        };
        let mut fds = [PollFd::from_borrowed_fd(changes.as_fd(), PollFlags::IN)];
        let second = Timespec {
            tv_sec: 1,
            tv_nsec: 0,
        };
        match poll(&mut fds, Some(&second)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(fail(e)),
        }
        let mut events = [0; 4096];
        while rustix::io::read(changes, &mut events).is_ok_and(|n| n > 0) {}
        Ok(())
    }
}

/// The files of a log, the youngest first. A rotation under way leaves one gap, which moves down as names move up.
fn kept(log: &Path) -> io::Result<Vec<File>> {
    let mut files = Vec::new();
    let mut seen = Vec::new();
    let mut missing = 0;
    for age in 0.. {
        match File::open(rotated(log, age)) {
            Ok(file) => {
                missing = 0;
                let inode = file.metadata()?.ino();
                // Seen under its name before.
                if !seen.contains(&inode) {
                    seen.push(inode);
                    files.push(file);
                }
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound && missing == 1 => break,
            Err(e) if e.kind() == io::ErrorKind::NotFound => missing += 1,
            Err(e) => return Err(e),
        }
    }
    Ok(files)
}

/// Under which age a file lies now.
fn age_of(log: &Path, file: &Metadata) -> Option<u32> {
    let mut missing = 0;
    for age in 0.. {
        match std::fs::metadata(rotated(log, age)) {
            Ok(meta) if (meta.dev(), meta.ino()) == (file.dev(), file.ino()) => return Some(age),
            Ok(_) => missing = 0,
            Err(_) if missing == 1 => break,
            Err(_) => missing += 1,
        }
    }
    None
}

/// Places the right one of `files` (youngest first) before the last `lines` lines of all.
fn last_lines(files: Vec<File>, lines: usize) -> io::Result<Option<File>> {
    let mut left = lines;
    let mut chosen = None;
    for mut file in files {
        let end = file.metadata()?.len();
        let (start, missing) = nth_line_from_end(&file, end, left)?;
        file.seek(SeekFrom::Start(start))?;
        chosen = Some(file);
        left = missing;
        if left == 0 {
            break;
        }
    }
    Ok(chosen)
}

/// Where the last `lines` lines of a file begin, and how many of them it does not have.
fn nth_line_from_end(file: &File, end: u64, lines: usize) -> io::Result<(u64, usize)> {
    let mut block = vec![0; BLOCK];
    let mut at = end;
    // The newline at the very end closes the last line: one more is to be passed.
    let mut left = lines + 1;
    while at > 0 {
        let length = (BLOCK as u64).min(at);
        at -= length;
        let block = &mut block[..length as usize];
        file.read_exact_at(block, at)?;
        for (index, _) in block.iter().enumerate().rev().filter(|(_, b)| **b == b'\n') {
            left -= 1;
            if left == 0 {
                return Ok((at + index as u64 + 1, 0));
            }
        }
    }
    Ok((0, if end == 0 { lines } else { left - 1 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(tail: &mut Tail) -> Vec<String> {
        let mut out = Vec::new();
        let _ = tail
            .read(&mut |line| {
                out.push(String::from_utf8_lossy(line).into_owned());
                ControlFlow::Continue(())
            })
            .unwrap();
        out
    }

    #[test]
    fn the_last_lines_are_found_across_files() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log.json");
        std::fs::write(rotated(&log, 1), "a\nb\nc\n").unwrap();
        std::fs::write(&log, "d\ne\n").unwrap();
        for (n, expected) in [
            (0, vec![]),
            (1, vec!["e"]),
            (2, vec!["d", "e"]),
            (3, vec!["c", "d", "e"]),
            (5, vec!["a", "b", "c", "d", "e"]),
            (9, vec!["a", "b", "c", "d", "e"]),
        ] {
            assert_eq!(
                lines(&mut Tail::open(&log, Some(n)).unwrap()),
                expected,
                "tail {n}"
            );
        }
        assert_eq!(
            lines(&mut Tail::open(&log, None).unwrap()),
            ["a", "b", "c", "d", "e"]
        );
    }

    #[test]
    fn a_reader_goes_on_where_it_was_when_files_are_rotated_under_it() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log.json");
        std::fs::write(&log, "a\nb").unwrap();
        let mut tail = Tail::open(&log, None).unwrap();
        assert_eq!(lines(&mut tail), ["a"]);
        let mut old = std::fs::OpenOptions::new().append(true).open(&log).unwrap();
        io::Write::write_all(&mut old, b"b\nc\n").unwrap();
        std::fs::rename(&log, rotated(&log, 1)).unwrap();
        std::fs::write(&log, "d\n").unwrap();
        assert_eq!(lines(&mut tail), ["bb", "c", "d"]);
        assert_eq!(lines(&mut tail), Vec::<String>::new());
    }
}
