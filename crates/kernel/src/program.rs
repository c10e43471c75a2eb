//! The user's program: finding it, starting it, and why it could not be started.
//!
//! execve(2) says `ENOENT` for a missing file, a missing interpreter and a
//! missing ELF loader alike; [`why`] looks which it was.

use std::ffi::{CString, OsStr};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD};
use rustix::io::Errno;

use crate::error::Failure;
use crate::op::Exec;

/// Find a program as execvp(3) does: by `path` unless the name holds a slash.
pub fn find(program: &str, path: &str) -> Result<PathBuf, Failure> {
    if program.contains('/') {
        let file = PathBuf::from(program);
        return check(&file).map(|()| file);
    }
    let mut refused = None;
    for directory in path.split(':') {
        let directory = if directory.is_empty() { "." } else { directory };
        let file = Path::new(directory).join(program);
        match check(&file) {
            Ok(()) => return Ok(file),
            Err(failure) if failure.errno == libc::ENOENT => {}
            Err(failure) => refused = refused.or(Some(failure)),
        }
    }
    Err(refused.unwrap_or_else(|| {
        let shown = if path.is_empty() {
            "PATH is empty"
        } else {
            path
        };
        note(Errno::NOENT, format!("no such program in {shown}"))
    }))
}

/// Can this file be executed? If not, why not.
fn check(file: &Path) -> Result<(), Failure> {
    let found = std::fs::metadata(file)?;
    if found.is_dir() {
        return Err(note(Errno::ACCESS, "it is a directory".into()));
    }
    // With the effective ids: the process has changed its user already.
    match rustix::fs::accessat(CWD, file, Access::EXEC_OK, AtFlags::EACCESS) {
        Ok(()) => Ok(()),
        Err(errno) => Err(match why(file, errno) {
            Some(reason) => note(errno, reason),
            None => errno.into(),
        }),
    }
}

/// Become the program. Returns only when that failed.
pub fn execute(file: &Path, exec: &Exec) -> Failure {
    match try_execute(file, exec) {
        Ok(never) => match never {},
        Err(errno) => match why(file, errno) {
            Some(reason) => note(errno, reason),
            None => errno.into(),
        },
    }
}

fn try_execute(file: &Path, exec: &Exec) -> Result<std::convert::Infallible, Errno> {
    let strings = |list: &[String]| -> Result<Vec<CString>, Errno> {
        list.iter()
            .map(|text| CString::new(text.as_str()).map_err(|_| Errno::INVAL))
            .collect()
    };
    let program = CString::new(file.as_os_str().as_bytes()).map_err(|_| Errno::INVAL)?;
    let (args, env) = (strings(&exec.args)?, strings(&exec.env)?);
    let (args, env) = (pointers(&args), pointers(&env));
    // SAFETY: both lists are null-terminated arrays of C strings that live until the call returns.
    unsafe { libc::execve(program.as_ptr(), args.as_ptr(), env.as_ptr()) };
    Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO))
}

/// A null-terminated array of pointers to strings.
pub(crate) fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings
        .iter()
        .map(|text| text.as_ptr())
        .chain([std::ptr::null()])
        .collect()
}

fn note(errno: Errno, note: String) -> Failure {
    Failure {
        errno: errno.raw_os_error(),
        note,
    }
}

/// What execve(2)'s errno means for this file, when it can be found out.
fn why(file: &Path, errno: Errno) -> Option<String> {
    match errno {
        Errno::NOENT => missing(file),
        Errno::ACCESS => refused(file),
        Errno::NOEXEC => unknown_format(file),
        Errno::TOOBIG => Some("its arguments and environment are too long".into()),
        Errno::TXTBSY => Some("somebody has it open for writing".into()),
        _ => None,
    }
}

fn missing(file: &Path) -> Option<String> {
    if std::fs::metadata(file).is_err() {
        return None;
    }
    let head = head(file)?;
    if let Some(interpreter) = interpreter(&head) {
        let shown = Path::new(OsStr::from_bytes(interpreter)).display();
        if let Some(clean) = interpreter.strip_suffix(b"\r") {
            let clean = Path::new(OsStr::from_bytes(clean)).display();
            return Some(format!(
                "its first line ends with a carriage return (Windows line ends), so the kernel looks for \"{clean}\\r\""
            ));
        }
        return Some(format!("its interpreter {shown} does not exist"));
    }
    let loader = loader(&head)?;
    Some(format!(
        "its loader {loader} does not exist (built for another libc or another distribution)"
    ))
}

fn refused(file: &Path) -> Option<String> {
    let found = std::fs::metadata(file).ok()?;
    if found.is_dir() {
        return Some("it is a directory".into());
    }
    if !found.is_file() {
        return Some("it is not a regular file".into());
    }
    if found.permissions().mode() & 0o111 == 0 {
        return Some("it has no execute permission (chmod +x)".into());
    }
    let flags = rustix::fs::statvfs(file).ok()?.f_flag;
    if flags.contains(rustix::fs::StatVfsMountFlags::NOEXEC) {
        return Some("its filesystem is mounted noexec".into());
    }
    Some("the container's user may not execute it, or may not enter a directory above it".into())
}

fn unknown_format(file: &Path) -> Option<String> {
    let head = head(file)?;
    if head.is_empty() {
        return Some("the file is empty".into());
    }
    match machine(&head) {
        Some(machine) if machine != OWN_MACHINE => {
            let (its, ours) = (machine_name(machine), machine_name(OWN_MACHINE));
            Some(format!("it is built for {its}, and this machine is {ours}"))
        }
        Some(_) => Some("it is damaged, or of a kind of ELF that this kernel does not run".into()),
        None => Some("it is neither an ELF program nor a script with #! in its first line".into()),
    }
}

fn head(file: &Path) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    std::fs::File::open(file)
        .ok()?
        .take(4096)
        .read_to_end(&mut head)
        .ok()?;
    Some(head)
}

/// What a script names after `#!`.
fn interpreter(head: &[u8]) -> Option<&[u8]> {
    let line = head
        .strip_prefix(b"#!")?
        .split(|byte| *byte == b'\n')
        .next()?;
    line.trim_ascii_start()
        .split(|byte| matches!(byte, b' ' | b'\t'))
        .next()
}

#[cfg(target_arch = "x86_64")]
const OWN_MACHINE: u16 = 62;
#[cfg(target_arch = "aarch64")]
const OWN_MACHINE: u16 = 183;

/// `e_machine` of an ELF header. elf(5).
fn machine(head: &[u8]) -> Option<u16> {
    let _magic = head.strip_prefix(b"\x7fELF")?;
    let bytes = [*head.get(18)?, *head.get(19)?];
    let big_endian = head.get(5) == Some(&2);
    Some(if big_endian {
        u16::from_be_bytes(bytes)
    } else {
        u16::from_le_bytes(bytes)
    })
}

fn machine_name(machine: u16) -> String {
    match machine {
        3 => "x86 (32 bit)".into(),
        40 => "arm (32 bit)".into(),
        62 => "x86-64".into(),
        183 => "arm64".into(),
        21 => "ppc64".into(),
        22 => "s390x".into(),
        243 => "riscv".into(),
        other => format!("machine {other}"),
    }
}

/// The path in the `PT_INTERP` segment of a 64-bit little-endian ELF file, if it lies in its head.
fn loader(head: &[u8]) -> Option<String> {
    const PT_INTERP: u32 = 3;
    let _magic = head.strip_prefix(b"\x7fELF\x02\x01")?;
    let word = |at: usize, length: usize| -> Option<u64> {
        let mut bytes = [0; 8];
        bytes[..length].copy_from_slice(head.get(at..at.checked_add(length)?)?);
        Some(u64::from_le_bytes(bytes))
    };
    let (table, size, count) = (
        word(32, 8)? as usize,
        word(54, 2)? as usize,
        word(56, 2)? as usize,
    );
    (0..count).find_map(|index| {
        let entry = table.checked_add(index * size)?;
        if word(entry, 4)? as u32 != PT_INTERP {
            return None;
        }
        let start = word(entry + 8, 8)? as usize;
        let text = head.get(start..start.checked_add(word(entry + 32, 8)? as usize)?)?;
        Some(
            String::from_utf8_lossy(text)
                .trim_end_matches('\0')
                .to_string(),
        )
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn program(content: &[u8], mode: u32) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("program");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (dir, path)
    }

    #[test]
    fn a_missing_interpreter_is_named() {
        let (_dir, path) = program(b"#! /no/such/sh -e\n", 0o755);
        assert_eq!(
            why(&path, Errno::NOENT).unwrap(),
            "its interpreter /no/such/sh does not exist"
        );
    }

    #[test]
    fn windows_line_ends_are_named() {
        let (_dir, path) = program(b"#!/bin/sh\r\necho\r\n", 0o755);
        assert!(
            why(&path, Errno::NOENT)
                .unwrap()
                .contains("Windows line ends")
        );
    }

    #[test]
    fn the_wrong_machine_is_named() {
        let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
        elf.resize(64, 0);
        elf[18] = 243;
        let (_dir, path) = program(&elf, 0o755);
        assert!(
            why(&path, Errno::NOEXEC)
                .unwrap()
                .starts_with("it is built for riscv")
        );
    }

    #[test]
    fn a_missing_execute_bit_is_named() {
        let (_dir, path) = program(b"#!/bin/sh\n", 0o644);
        assert_eq!(
            find(path.to_str().unwrap(), "").unwrap_err().errno,
            libc::EACCES
        );
        assert!(why(&path, Errno::ACCESS).unwrap().contains("chmod +x"));
    }

    #[test]
    fn a_name_is_looked_for_in_path() {
        assert_eq!(
            find("sh", "/nowhere:/bin").unwrap(),
            PathBuf::from("/bin/sh")
        );
        assert_eq!(
            find("no-such-program", "/bin").unwrap_err().errno,
            libc::ENOENT
        );
    }
}
