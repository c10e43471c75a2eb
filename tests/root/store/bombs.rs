//! Layers made to exhaust: each is refused with words, or unpacked, in little memory and without a trace.

use std::io::{Cursor, Write};
use std::path::PathBuf;

use image::layer::tar::{Entry, Kind, Writer};
use support::{Host, Need, Output, skipped};

use super::text;
use crate::{host, host_with_own_mounts};

/// What a lighter may take while it unpacks, whatever it is given.
const MEMORY: u64 = 150 << 20;

/// Imports what the program `zstd` makes of the plain archive that `write` writes; what lighter said, and
/// the most memory it had.
fn import(host: &Host, write: impl FnOnce(&mut dyn Write)) -> (Output, u64) {
    let path = pack(host, write);
    let mut import = host.lighter_command(["import", text(&path), "bomb"]);
    import
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let mut child = import.spawn().expect("lighter can be started");
    let mut most = 0;
    // Its high-water mark is gone with it: read while it lives.
    while child.try_wait().expect("it is our child").is_none() {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let mark = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let mark = mark.and_then(|text| text.trim().trim_end_matches(" kB").parse::<u64>().ok());
        most = most.max(mark.unwrap_or(0) << 10);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let done = child.wait_with_output().expect("it has ended");
    let said = Output {
        command: "import of a bomb".to_owned(),
        code: done.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&done.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&done.stderr).into_owned(),
    };
    (said, most)
}

fn pack(host: &Host, write: impl FnOnce(&mut dyn Write)) -> PathBuf {
    let path = host.directory().join("bomb.zst");
    let mut packer = host.command("zstd");
    packer
        .args(["-q", "-1", "-o", text(&path)])
        .stdin(std::process::Stdio::piped());
    let mut packer = packer.spawn().expect("zstd can be started");
    write(packer.stdin.as_mut().expect("it was piped"));
    drop(packer.stdin.take());
    assert!(packer.wait().expect("it was started").success());
    path
}

fn entry(out: &mut dyn Write, entry: &Entry) {
    Writer::new(out)
        .entry(entry, &mut Cursor::new(b""))
        .expect("zstd reads");
}

fn zeros(out: &mut dyn Write, mebibytes: usize) {
    let piece = vec![0; 1 << 20];
    for _ in 0..mebibytes {
        // It may stop reading when it knows enough.
        if out.write_all(&piece).is_err() {
            return;
        }
    }
}

#[track_caller]
fn nothing_is_left(host: &Host) {
    assert_eq!(host.lighter(["images", "-aq"]).success().stdout, "");
    let left = host.shell(&format!(
        "find {0}/layers {0}/images/partial {0}/images/blobs -mindepth 2",
        text(&host.root())
    ));
    assert_eq!(left.success().stdout, "");
}

#[test]
fn gigabytes_of_nothing_are_refused() {
    let Some(host) = host().filter(|_| !skipped(&[Need::Program("zstd")])) else {
        return;
    };
    let (said, memory) = import(&host, |out| {
        entry(out, &Entry::plain(b"file".to_vec(), Kind::File, 0o644, 0));
        zeros(out, 1600);
    });
    assert!(said.exits(1).stderr.contains("unpacks to more than"));
    assert!(memory > 0 && memory < MEMORY, "{memory} bytes");
    nothing_is_left(&host);
}

#[test]
fn more_than_the_disk_holds_is_refused() {
    let Some(host) = host_with_own_mounts().filter(|_| !skipped(&[Need::Program("zstd")])) else {
        return;
    };
    let root = host.root();
    host.shell(&format!(
        "mkdir {0} && mount -t tmpfs -o size=16m none {0}",
        text(&root)
    ))
    .success();
    let (said, memory) = import(&host, |out| {
        let header = Entry::plain(b"file".to_vec(), Kind::Directory, 0o644, 0);
        entry(out, &header);
        let mut file = Writer::new(out);
        let size = 100 << 20;
        let big = Entry::plain(b"big".to_vec(), Kind::File, 0o644, size);
        file.entry(&big, &mut std::io::Read::take(std::io::repeat(7), size))
            .expect("zstd reads");
    });
    assert!(said.exits(1).stderr.contains("No space left on device"));
    assert!(memory > 0 && memory < MEMORY, "{memory} bytes");
    nothing_is_left(&host);
}

#[test]
fn a_million_empty_entries_take_little_memory() {
    let Some(host) = host().filter(|_| !skipped(&[Need::Program("zstd")])) else {
        return;
    };
    let (said, memory) = import(&host, |out| {
        // The same deletion again and again: an entry each, and nothing to remove afterwards.
        let mut one = Vec::new();
        entry(
            &mut one,
            &Entry::plain(b".wh.nothing".to_vec(), Kind::File, 0, 0),
        );
        let many = one.repeat(1000);
        for _ in 0..1000 {
            out.write_all(&many).expect("zstd reads");
        }
        zeros(out, 1);
    });
    said.success();
    assert!(memory > 0 && memory < MEMORY, "{memory} bytes");
}

#[test]
fn names_beyond_count_are_refused_before_they_fill_the_memory() {
    let Some(host) = host().filter(|_| !skipped(&[Need::Program("zstd")])) else {
        return;
    };
    let (said, memory) = import(&host, |out| {
        let long = "n".repeat(200);
        for number in 0..120_000 {
            let name = format!("{long}{number}/.wh.{long}").into_bytes();
            entry(out, &Entry::plain(name, Kind::File, 0, 0));
        }
        zeros(out, 1);
    });
    let said = said.exits(1);
    assert!(
        said.stderr
            .contains("names of its directories, links and whiteouts"),
        "{said:?}"
    );
    assert!(memory > 0 && memory < MEMORY, "{memory} bytes");
    nothing_is_left(&host);
}
