//! Users and groups by the container's own `/etc/passwd` and `/etc/group`, with docker's rules.
//!
//! In: `user[:group]` as written, the two files as bytes. Out: numbers. Digits are always a number and never a name; numbers
//! end at 2^31 - 1; a name that the files do not have is an error. No NSS: the host's users play no part.

use std::path::Path;

use crate::rootfs::Rootfs;
use crate::{Error, Result};

/// More than this is not read: no real file comes near.
const LIMIT: u64 = 1 << 20;
const HIGHEST: u32 = i32::MAX as u32;

/// A user, resolved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups, the group id first.
    pub groups: Vec<u32>,
    /// Home directory; `/` when the files name none.
    pub home: String,
}

/// The two files.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    passwd: String,
    group: String,
}

impl Accounts {
    /// Reads them from a container's root.
    pub(crate) fn read(root: &Rootfs) -> Result<Self> {
        let text = |path: &str| -> Result<String> {
            let bytes = root.read_small(Path::new(path), LIMIT)?.unwrap_or_default();
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        Ok(Self {
            passwd: text("etc/passwd")?,
            group: text("etc/group")?,
        })
    }

    /// Resolves `[user][:group]` (no user is root) with further groups.
    pub(crate) fn resolve(&self, wish: &str, more: &[String]) -> Result<User> {
        let (user, group) = match wish.split_once(':') {
            Some((user, group)) if !group.is_empty() => (user, Some(group)),
            Some(_) => return Err(invalid(wish, "a group must follow the colon")),
            None => (wish, None),
        };
        let entry = self.user(user, wish)?;
        let (gid, listed) = match group {
            Some(group) => (self.group(group)?, Vec::new()),
            None => (
                entry.gid,
                entry
                    .name
                    .map(|name| self.member_of(name))
                    .unwrap_or_default(),
            ),
        };
        let mut groups = vec![gid];
        for further in listed
            .into_iter()
            .map(Ok)
            .chain(more.iter().map(|g| self.group(g)))
        {
            let further = further?;
            if !groups.contains(&further) {
                groups.push(further);
            }
        }
        Ok(User {
            uid: entry.uid,
            gid,
            groups,
            home: entry.home.unwrap_or("/").to_owned(),
        })
    }

    fn user(&self, user: &str, wish: &str) -> Result<Entry<'_>> {
        let number = match user {
            "" => Some(0),
            name => number(name).map_err(|why| invalid(wish, why))?,
        };
        let found = self.users().find(|entry| match number {
            Some(uid) => entry.uid == uid,
            None => entry.name == Some(user),
        });
        match (found, number) {
            (Some(entry), _) => Ok(entry),
            (None, Some(uid)) => Ok(Entry {
                name: None,
                uid,
                gid: 0,
                home: None,
            }),
            (None, None) => Err(invalid(wish, "the image's /etc/passwd has no such user")),
        }
    }

    fn users(&self) -> impl Iterator<Item = Entry<'_>> {
        self.passwd.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next().filter(|name| !name.is_empty())?;
            let uid = number(fields.nth(1)?).ok()??;
            let gid = number(fields.next()?).ok()??;
            let home = fields.nth(1).filter(|home| home.starts_with('/'));
            Some(Entry {
                name: Some(name),
                uid,
                gid,
                home,
            })
        })
    }

    fn groups(&self) -> impl Iterator<Item = (&str, u32, &str)> {
        self.group.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next().filter(|name| !name.is_empty())?;
            let gid = number(fields.nth(1)?).ok()??;
            Some((name, gid, fields.next().unwrap_or_default()))
        })
    }

    fn group(&self, group: &str) -> Result<u32> {
        match number(group).map_err(|why| Error::invalid("group", group, why))? {
            Some(gid) => Ok(gid),
            None => self
                .groups()
                .find(|(name, ..)| *name == group)
                .map(|(_, gid, _)| gid)
                .ok_or_else(|| {
                    Error::invalid("group", group, "the image's /etc/group has no such group")
                }),
        }
    }

    fn member_of(&self, user: &str) -> Vec<u32> {
        self.groups()
            .filter(|(.., members)| members.split(',').any(|member| member.trim() == user))
            .map(|(_, gid, _)| gid)
            .collect()
    }
}

#[derive(Debug, Clone, Copy)]
struct Entry<'a> {
    name: Option<&'a str>,
    uid: u32,
    gid: u32,
    home: Option<&'a str>,
}

/// `Some` for digits, none for a name.
fn number(text: &str) -> std::result::Result<Option<u32>, &'static str> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return match text.parse::<u32>() {
            Ok(number) if number <= HIGHEST => Ok(Some(number)),
            _ => Err("numbers end at 2147483647"),
        };
    }
    let good = |b: u8| b.is_ascii_alphanumeric() || b"_.-@$\\".contains(&b) || b >= 0x80;
    let starts_well = text
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_' || b == b'.' || b >= 0x80);
    // `0x0` and `7up` begin with a digit: neither a number nor a name that useradd(8) would take.
    if starts_well && text.bytes().all(good) {
        Ok(None)
    } else {
        Err("give a name, or a number of decimal digits")
    }
}

fn invalid(wish: &str, why: &str) -> Error {
    Error::invalid("user", wish, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts() -> Accounts {
        Accounts {
            passwd: "root:x:0:0:root:/root:/bin/sh\n\
                     app:x:1000:1001::/home/app:/bin/sh\n\
                     1000:x:0:0::/evil:/bin/sh\n\
                     broken:x:4294967296:0::/:\n\
                     short:x\n"
                .into(),
            group: "root:x:0:root\nwheel:x:10:root,app\napp:x:1001:\naudio:x:29:app\n".into(),
        }
    }

    fn ids(wish: &str) -> std::result::Result<(u32, u32, Vec<u32>, String), String> {
        let user = accounts().resolve(wish, &[]).map_err(|e| e.to_string())?;
        Ok((user.uid, user.gid, user.groups, user.home))
    }

    #[test]
    fn twelve_forms() {
        let root = (0, 0, vec![0, 10], "/root".to_owned());
        let app = (1000, 1001, vec![1001, 10, 29], "/home/app".to_owned());
        assert_eq!(ids(""), Ok(root.clone()));
        assert_eq!(ids("0"), Ok(root.clone()));
        assert_eq!(ids("root"), Ok(root));
        assert_eq!(ids("app"), Ok(app.clone()));
        assert_eq!(
            ids("1000"),
            Ok(app),
            "digits are a number, not the name 1000"
        );
        assert_eq!(
            ids("app:audio"),
            Ok((1000, 29, vec![29], "/home/app".into()))
        );
        assert_eq!(ids("app:5"), Ok((1000, 5, vec![5], "/home/app".into())));
        assert_eq!(ids("7777"), Ok((7777, 0, vec![0], "/".into())));
        assert_eq!(ids("7777:8888"), Ok((7777, 8888, vec![8888], "/".into())));
        assert_eq!(ids("0:0"), Ok((0, 0, vec![0], "/root".into())));
        assert_eq!(ids(":5"), Ok((0, 5, vec![5], "/root".into())));
        assert_eq!(ids("2147483647").map(|u| u.0), Ok(2_147_483_647));
        assert_eq!(
            accounts()
                .resolve("7777", &["audio".into(), "44".into()])
                .unwrap()
                .groups,
            [0, 29, 44]
        );
    }

    #[test]
    fn what_is_neither_a_name_nor_a_number_is_an_error() {
        for wish in [
            ":",
            "1:",
            "1 ",
            " 1",
            "+1",
            "-1",
            "0x0",
            "4294967296",
            "4294967295",
            "2147483648",
            "nobody",
            "broken",
            "app:nogroup",
            "app:-1",
            "a\nb",
            "7up",
        ] {
            assert!(ids(wish).is_err(), "{wish:?} gave {:?}", ids(wish));
        }
    }
}
