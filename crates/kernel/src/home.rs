//! The home directory of the container's user, from the container's own `/etc/passwd`.
//!
//! In go the root and a user id; out comes the value for `HOME`. The file belongs to the image: it
//! is opened inside the root, must be a regular file, and no more than its first MiB is read.
//! passwd(5).

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rustix::fs::{FileType, OFlags};

use crate::file::Root;

const PASSWD: &str = "/etc/passwd";
const LONGEST: u64 = 1 << 20;

/// The user's home directory, or `/` when the image does not know the user.
pub fn of(root: &Root, uid: u32) -> String {
    let known = read(root).and_then(|text| find(&text, uid));
    known.unwrap_or_else(|| "/".into())
}

fn read(root: &Root) -> Option<String> {
    // A FIFO must not make us wait for a writer, nor a terminal become ours.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let passwd = root.resolve(Path::new(PASSWD), flags).ok()?;
    let status = rustix::fs::fstat(&passwd).ok()?;
    if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
        return None;
    }
    let mut text = Vec::new();
    File::from(passwd)
        .take(LONGEST)
        .read_to_end(&mut text)
        .ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// `name:password:uid:gid:comment:home:shell`. A relative home is none.
fn find(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let fields: Vec<_> = line.split(':').collect();
        let home = fields.get(5).filter(|home| home.starts_with('/'))?;
        (fields[2].parse() == Ok(uid)).then(|| (*home).to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_of_the_user_counts() {
        let passwd =
            "root:x:0:0::/root:/bin/sh\nbroken:7\na:x:7:7::relative:\nb:x:7:7::/b:\nc:x:7:7::/c:\n";
        assert_eq!(find(passwd, 0).as_deref(), Some("/root"));
        assert_eq!(find(passwd, 7).as_deref(), Some("/b"));
        assert_eq!(find(passwd, 8), None);
    }
}
