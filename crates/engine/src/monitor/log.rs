//! Writes the log: whole lines in docker's json-file format, rotated by size.
//!
//! A line is written when its newline comes, when it is 16 KiB long, or when the stream ends. A full disk loses lines and
//! never the container.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::config::{LogConfig, LogDriver};
use crate::logs::line::{PART, encode};
use crate::logs::rotated;

const MAX_SIZE: u64 = 10 << 20;
const MAX_FILE: u32 = 3;

/// The writer of one log.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    file: Option<File>,
    size: u64,
    max_size: u64,
    max_file: u32,
    /// The beginning of a line of standard output, and of standard error.
    parts: [Vec<u8>; 2],
}

impl Log {
    /// Goes on with the log at `path`. Without a driver nothing is written.
    pub(super) fn open(path: &Path, config: &LogConfig) -> io::Result<Self> {
        let (file, size) = match config.driver {
            LogDriver::None => (None, 0),
            LogDriver::JsonFile => {
                let file = append_to(path)?;
                let size = file.metadata()?.len();
                (Some(file), size)
            }
        };
        Ok(Self {
            path: path.to_owned(),
            file,
            size,
            max_size: config.max_size.unwrap_or(MAX_SIZE),
            max_file: config.max_file.unwrap_or(MAX_FILE).max(1),
            parts: [Vec::new(), Vec::new()],
        })
    }

    /// Takes what the container wrote.
    pub(super) fn take(&mut self, mut bytes: &[u8], stderr: bool) {
        if self.file.is_none() {
            return;
        }
        let time = Timestamp::now();
        let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 2 + 128);
        let part = &mut self.parts[usize::from(stderr)];
        while !bytes.is_empty() {
            let room = PART - part.len();
            let until = bytes
                .iter()
                .take(room)
                .position(|b| *b == b'\n')
                .map(|at| at + 1);
            let (now, later) = bytes.split_at(until.unwrap_or(room.min(bytes.len())));
            bytes = later;
            if part.is_empty() && until.is_some() {
                encode(&mut out, now, stderr, time);
                continue;
            }
            part.extend_from_slice(now);
            if until.is_some() || part.len() == PART {
                encode(&mut out, part, stderr, time);
                part.clear();
                part.shrink_to(0);
            }
        }
        self.write(&out);
    }

    /// The stream has ended: what has no newline is a line all the same.
    pub(super) fn end(&mut self, stderr: bool) {
        let part = std::mem::take(&mut self.parts[usize::from(stderr)]);
        if !part.is_empty() {
            let mut out = Vec::new();
            encode(&mut out, &part, stderr, Timestamp::now());
            self.write(&out);
        }
    }

    fn write(&mut self, mut lines: &[u8]) {
        while !lines.is_empty() {
            if self.size > 0 && self.size + lines.len() as u64 > self.max_size {
                self.rotate();
            }
            let fitting = fitting(lines, self.max_size.saturating_sub(self.size));
            let (now, later) = lines.split_at(fitting);
            lines = later;
            if let Some(file) = &mut self.file
                && file.write_all(now).is_ok()
            {
                self.size += now.len() as u64;
            }
        }
    }

    fn rotate(&mut self) {
        for age in (0..self.max_file - 1).rev() {
            // The first time there is no file of this age.
            let _ = std::fs::rename(rotated(&self.path, age), rotated(&self.path, age + 1));
        }
        if self.max_file == 1 {
            let _ = std::fs::remove_file(&self.path);
        }
        self.size = 0;
        if let Ok(file) = append_to(&self.path) {
            self.file = Some(file);
        }
    }
}

/// How much of `lines` goes into a file with `room` bytes left: whole lines, at least one.
fn fitting(lines: &[u8], room: u64) -> usize {
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    if lines.len() <= room {
        return lines.len();
    }
    let whole = lines[..room].iter().rposition(|b| *b == b'\n');
    let first = || {
        lines
            .iter()
            .position(|b| *b == b'\n')
            .unwrap_or(lines.len() - 1)
    };
    whole.unwrap_or_else(first) + 1
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(config: &LogConfig, pieces: &[&[u8]]) -> (tempfile::TempDir, Vec<String>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.json");
        let mut log = Log::open(&path, config).unwrap();
        for piece in pieces {
            log.take(piece, false);
        }
        log.end(false);
        let text = std::fs::read_to_string(&path).unwrap();
        let lines = text
            .lines()
            .map(|l| {
                let entry = crate::logs::line::decode(l.as_bytes()).unwrap();
                String::from_utf8(entry.text().into_owned()).unwrap()
            })
            .collect();
        (dir, lines)
    }

    #[test]
    fn pieces_become_lines_and_the_last_one_needs_no_newline() {
        let (_dir, lines) = written(&LogConfig::default(), &[b"a\nb", b"c\n", b"d"]);
        assert_eq!(lines, ["a\n", "bc\n", "d"]);
    }

    #[test]
    fn a_long_line_is_kept_in_parts() {
        let (_dir, lines) = written(&LogConfig::default(), &[&[b'x'; PART + 5], b"\n"]);
        assert_eq!(lines.iter().map(String::len).collect::<Vec<_>>(), [PART, 6]);
    }

    #[test]
    fn a_flood_leaves_as_much_as_was_allowed_and_the_end_of_it() {
        let config = LogConfig {
            max_size: Some(2000),
            max_file: Some(2),
            ..LogConfig::default()
        };
        let flood: Vec<u8> = (0..1000)
            .flat_map(|n| format!("line {n}\n").into_bytes())
            .collect();
        let (dir, lines) = written(&config, &[&flood]);
        assert_eq!(lines.last().unwrap(), "line 999\n");
        let sizes: Vec<u64> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().metadata().unwrap().len())
            .collect();
        assert_eq!(sizes.len(), 2);
        assert!(sizes.iter().all(|size| *size <= 2000), "{sizes:?}");
    }
}
