//! Works on cgroup directories: create, enter, write, freeze, kill, list, remove, read.
//!
//! In: a [`Group`] or one of its directories. The functions that are a step of a script return
//! the bare errno, as the player reports it; the others say in an [`Error`] what was attempted.
//!
//! A group can hold groups of its own (systemd or an engine inside the container makes them), so
//! that killing, listing and removing always take the whole tree below it.

use std::fs;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, chmod, mkdir, open};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use super::{Directory, Error, Group, Version};

const PATIENCE: Duration = Duration::from_secs(10);

/// Makes the directory `path` in a cgroup filesystem, and those above it that are missing.
///
/// On v1 a new `cpuset` group has no CPU and no memory node and no process can enter it: both are
/// copied from the group above (cpuset(7)).
///
/// # Errors
/// mkdir(2)'s. An existing directory is none.
pub fn create(path: &Path) -> io::Result<()> {
    let mode = Mode::from_raw_mode(0o755);
    let mut made = mkdir(path, mode);
    if made == Err(Errno::NOENT) {
        create(path.parent().ok_or(Errno::NOENT)?)?;
        made = mkdir(path, mode);
    }
    match made {
        Ok(()) => {
            // A container's user reads its limits, whatever umask its monitor has.
            chmod(path, mode)?;
            inherit_cpuset(path)
        }
        Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

fn inherit_cpuset(directory: &Path) -> io::Result<()> {
    // v2 has files of the same names, where empty means "as above": told apart by a file of v1.
    let Some(parent) = directory
        .parent()
        .filter(|_| directory.join("cpuset.memory_migrate").exists())
    else {
        return Ok(());
    };
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let inherited = fs::read_to_string(parent.join(file))?;
        fs::write(directory.join(file), inherited.trim())?;
    }
    Ok(())
}

/// Writes one value into one file of a cgroup, in a single write(2) as cgroupfs requires.
///
/// # Errors
/// open(2)'s (`ENOENT`: the kernel lacks the file's controller) and write(2)'s.
pub fn write(file: &Path, value: &str) -> io::Result<()> {
    fs::OpenOptions::new()
        .write(true)
        .open(file)?
        .write_all(value.as_bytes())
}

/// Writes the value of a limit into `file` of the group at `directory`.
///
/// Two files have another name or are missing on some kernels. BFQ's weights (`io.bfq.weight`, 1 to
/// 1000) give way to those of the iocost model (`io.weight`, 1 to 10000) or, on v1, to CFQ's. A file
/// that is missing cannot limit anything, so that "no limit" needs no writing.
///
/// # Errors
/// As [`write`].
pub fn limit(directory: &Path, file: &str, value: &str) -> io::Result<()> {
    match write(&directory.join(file), value) {
        Err(error) if gone(&error) => match (file, value) {
            (_, "max" | "-1") if directory.exists() => Ok(()),
            ("io.bfq.weight", _) => write(&directory.join("io.weight"), &scaled(value)),
            ("blkio.bfq.weight", _) => write(&directory.join("blkio.weight"), value),
            ("blkio.bfq.weight_device", _) => write(&directory.join("blkio.weight_device"), value),
            _ => Err(error),
        },
        other => other,
    }
}

/// A weight of 10 to 1000, alone or behind a device, as one of 1 to 10000.
fn scaled(value: &str) -> String {
    let (device, weight) = value.rsplit_once(' ').unwrap_or(("default", value));
    let weight = weight.parse::<u64>().unwrap_or(10).clamp(10, 1000);
    format!("{device} {}", 1 + (weight - 10) * 9999 / 990)
}

/// Gives the group at `directory` to a user: itself and the files that arrange groups below it
/// (`/sys/kernel/cgroup/delegate` lists them), not its limits.
///
/// # Errors
/// chown(2)'s.
pub fn delegate(directory: &Path, uid: u32, gid: u32) -> io::Result<()> {
    let list = fs::read_to_string("/sys/kernel/cgroup/delegate");
    let files =
        list.unwrap_or_else(|_| "cgroup.procs\ncgroup.subtree_control\ncgroup.threads".to_owned());
    std::os::unix::fs::chown(directory, Some(uid), Some(gid))?;
    for file in files.lines() {
        match std::os::unix::fs::chown(directory.join(file), Some(uid), Some(gid)) {
            Err(error) if gone(&error) => {}
            other => other?,
        }
    }
    Ok(())
}

/// Moves the calling process, which must have one thread, into the group at `directory`.
///
/// On v1 through `tasks`, not `cgroup.procs`: a thread that moves itself alone is spared the
/// kernel's lock against forks, whose writer waits for an RCU grace period (15 to 20 ms, Linux
/// 6.18). v2 has no such file; there the process is born in its group (`CLONE_INTO_CGROUP`), and
/// this is for a kernel before 5.7.
///
/// # Errors
/// open(2)'s and write(2)'s.
pub fn enter(directory: &Path) -> io::Result<()> {
    match write(&directory.join("tasks"), "0") {
        Err(error) if gone(&error) => write(&directory.join("cgroup.procs"), "0"),
        other => other,
    }
}

/// Moves the process `pid` with all its threads into the group at `directory`, v1 or v2.
///
/// # Errors
/// open(2)'s and write(2)'s; `ESRCH` when the process is gone.
pub fn adopt(directory: &Path, pid: i32) -> io::Result<()> {
    write(&directory.join("cgroup.procs"), &pid.to_string())
}

/// Opens a v2 directory for `CLONE_INTO_CGROUP` (clone(2), since Linux 5.7).
///
/// # Errors
/// open(2)'s.
pub fn open_directory(directory: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC;
    Ok(open(directory, flags, Mode::empty())?)
}

/// Kills every process in and below the one `directory`, and removes it with all below.
///
/// # Errors
/// As [`Group::kill`] and [`Group::remove`].
pub fn delete(directory: &Path) -> Result<(), Error> {
    let exists = |file: &str| directory.join(file).exists();
    let version = if exists("cgroup.type") {
        Version::Unified
    } else {
        Version::Legacy
    };
    let controllers = exists("freezer.state")
        .then(|| "freezer".to_owned())
        .into_iter()
        .collect();
    let (mount, path) = (PathBuf::new(), directory.to_owned());
    let group = Group {
        directories: vec![Directory {
            version,
            controllers,
            mount,
            path,
        }],
    };
    group.kill()?;
    group.remove()
}

impl Group {
    /// Reads a file of the directory whose hierarchy offers `controller`; `None` when the group
    /// takes no part in such a hierarchy or the kernel has no such file.
    #[must_use]
    pub fn read(&self, controller: &str, file: &str) -> Option<String> {
        fs::read_to_string(self.with(controller)?.path.join(file)).ok()
    }

    /// True while at least one of the directories exists.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.directories.iter().any(|d| d.path.exists())
    }

    /// The process ids in the group and all groups below it, sorted.
    ///
    /// # Errors
    /// A `cgroup.procs` cannot be read. A group that is gone has no processes.
    pub fn pids(&self) -> Result<Vec<i32>, Error> {
        match self.directories.first() {
            Some(directory) => pids_below(&directory.path),
            None => Ok(Vec::new()),
        }
    }

    /// Stops every process of the group from running, and waits until all have stopped.
    ///
    /// # Errors
    /// The file cannot be written, or some process did not stop in 10 s.
    pub fn freeze(&self) -> Result<(), Error> {
        self.set_frozen(true)
    }

    /// Lets the processes of a frozen group run again.
    ///
    /// # Errors
    /// The file cannot be written, or the kernel did not report it in 10 s.
    pub fn thaw(&self) -> Result<(), Error> {
        self.set_frozen(false)
    }

    /// True if [`Group::freeze`] was the last of the two.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        match self.freezer() {
            Some(Freezer::Unified(d)) => flag(&d.join("cgroup.freeze")).is_some_and(|f| f == "1"),
            Some(Freezer::Legacy(d)) => {
                flag(&d.join("freezer.state")).is_some_and(|s| s != "THAWED")
            }
            None => false,
        }
    }

    /// Kills every process of the group, frozen or not, new ones included, and waits until none
    /// is left. Their parents still have to reap them.
    ///
    /// # Errors
    /// A file cannot be read or written, or some process did not die in 10 s.
    pub fn kill(&self) -> Result<(), Error> {
        let deadline = Deadline::new();
        while self.signal_all()? {
            deadline.wait(|| self.timeout("dead"))?;
        }
        Ok(())
    }

    /// Removes the group and all groups below it from every hierarchy. Goes on after a failure
    /// and reports the first.
    ///
    /// # Errors
    /// rmdir(2)'s; `EBUSY` when processes are left in it after a second.
    pub fn remove(&self) -> Result<(), Error> {
        let results = self.directories.iter().map(|d| remove_tree(&d.path));
        // All of them, whatever becomes of the first.
        let failed: Vec<Error> = results.filter_map(Result::err).collect();
        failed.into_iter().next().map_or(Ok(()), Err)
    }

    /// Sends SIGKILL to all processes; false when there were none.
    fn signal_all(&self) -> Result<bool, Error> {
        if let Some(directory) = self
            .unified()
            .filter(|d| d.path.join("cgroup.kill").exists())
        {
            return kill_unified(&directory.path);
        }
        let Some(directory) = self.directories.first() else {
            return Ok(false);
        };
        let pids = pids_below(&directory.path)?;
        for pid in pids.iter().filter_map(|pid| Pid::from_raw(*pid)) {
            // One that died since it was listed is as dead as we want it.
            let _ = kill_process(pid, Signal::KILL);
        }
        if self.is_frozen() {
            // v1: a frozen process does not even die.
            self.thaw()?;
        }
        Ok(!pids.is_empty())
    }

    fn freezer(&self) -> Option<Freezer> {
        let unified = self
            .unified()
            .filter(|d| d.path.join("cgroup.freeze").exists());
        let legacy = || self.legacy().find(|d| d.offers("freezer"));
        unified
            .map(|d| Freezer::Unified(d.path.clone()))
            .or_else(|| legacy().map(|d| Freezer::Legacy(d.path.clone())))
    }

    fn set_frozen(&self, frozen: bool) -> Result<(), Error> {
        let freezer = self
            .freezer()
            .ok_or(Error::Unsupported("freeze processes"))?;
        let (file, value) = freezer.request(frozen);
        let deadline = Deadline::new();
        loop {
            // v1 may have to be asked again while processes are being forked
            // (Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst: "FREEZING").
            write(&file, value).map_err(Error::write(&file, value))?;
            if freezer.has_become(frozen) {
                return Ok(());
            }
            let late = || self.timeout(if frozen { "frozen" } else { "thawed" });
            if let Err(error) = deadline.wait(late) {
                if frozen {
                    // Half frozen is the worst of all: undo it before giving up.
                    let (file, value) = freezer.request(false);
                    let _ = write(&file, value);
                }
                return Err(error);
            }
        }
    }

    fn timeout(&self, wanted: &'static str) -> Error {
        let path = self
            .directories
            .first()
            .map(|d: &Directory| d.path.clone())
            .unwrap_or_default();
        Error::Timeout {
            path,
            wanted,
            seconds: PATIENCE.as_secs(),
        }
    }
}

/// The directory that freezes a group, by generation.
enum Freezer {
    Unified(PathBuf),
    Legacy(PathBuf),
}

impl Freezer {
    fn request(&self, frozen: bool) -> (PathBuf, &'static str) {
        match (self, frozen) {
            (Freezer::Unified(d), true) => (d.join("cgroup.freeze"), "1"),
            (Freezer::Unified(d), false) => (d.join("cgroup.freeze"), "0"),
            (Freezer::Legacy(d), true) => (d.join("freezer.state"), "FROZEN"),
            (Freezer::Legacy(d), false) => (d.join("freezer.state"), "THAWED"),
        }
    }

    fn has_become(&self, frozen: bool) -> bool {
        match self {
            Freezer::Unified(d) => {
                let events = fs::read_to_string(d.join("cgroup.events")).unwrap_or_default();
                field(&events, "frozen").is_none_or(|value| (value == 1) == frozen)
            }
            Freezer::Legacy(d) => {
                let wanted = if frozen { "FROZEN" } else { "THAWED" };
                flag(&d.join("freezer.state")).is_none_or(|state| state == wanted)
            }
        }
    }
}

/// Sleeps in short, growing steps until the patience of this file is used up.
struct Deadline {
    start: Instant,
}

impl Deadline {
    fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    fn wait(&self, late: impl FnOnce() -> Error) -> Result<(), Error> {
        let elapsed = self.start.elapsed();
        if elapsed > PATIENCE {
            return Err(late());
        }
        sleep((elapsed / 8).clamp(Duration::from_micros(100), Duration::from_millis(50)));
        Ok(())
    }
}

/// The number behind `name` in a flat keyed file such as `memory.events`.
#[must_use]
pub fn field(text: &str, name: &str) -> Option<u64> {
    let value = |line: &str| {
        line.strip_prefix(name)?
            .strip_prefix(' ')?
            .trim()
            .parse()
            .ok()
    };
    text.lines().find_map(value)
}

fn flag(file: &Path) -> Option<String> {
    fs::read_to_string(file)
        .ok()
        .map(|text| text.trim().to_owned())
}

/// `cgroup.kill` takes the whole tree at once, forks in flight included (since Linux 5.14).
fn kill_unified(directory: &Path) -> Result<bool, Error> {
    let events = directory.join("cgroup.events");
    let populated = match fs::read_to_string(&events) {
        Ok(text) => field(&text, "populated") == Some(1),
        Err(error) if gone(&error) => false,
        Err(source) => {
            return Err(Error::Read {
                path: events,
                source,
            });
        }
    };
    if !populated {
        return Ok(false);
    }
    let file = directory.join("cgroup.kill");
    match write(&file, "1") {
        // Its last process ended, and somebody else removed the group, since we looked.
        Err(error) if gone(&error) => Ok(false),
        written => written.map(|()| true).map_err(Error::write(&file, "1")),
    }
}

fn pids_below(directory: &Path) -> Result<Vec<i32>, Error> {
    let mut pids = Vec::new();
    for directory in tree(directory)? {
        let file = directory.join("cgroup.procs");
        match fs::read_to_string(&file) {
            Ok(text) => pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok())),
            // A threaded v2 group lists its processes in the group above it only.
            Err(error) if gone(&error) || unsupported(&error) => {}
            Err(source) => return Err(Error::Read { path: file, source }),
        }
    }
    pids.sort_unstable();
    pids.dedup();
    Ok(pids)
}

/// The directory and all below it, each before its children.
fn tree(top: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = vec![top.to_owned()];
    let mut next = 0;
    while let Some(directory) = found.get(next).cloned() {
        next += 1;
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if gone(&error) => continue,
            Err(source) => {
                return Err(Error::Read {
                    path: directory,
                    source,
                });
            }
        };
        let is_directory = |e: &fs::DirEntry| e.file_type().is_ok_and(|t| t.is_dir());
        found.extend(entries.flatten().filter(is_directory).map(|e| e.path()));
    }
    Ok(found)
}

fn remove_tree(top: &Path) -> Result<(), Error> {
    // Nearly always there is nothing below, and listing the directory is the dearer call.
    match fs::remove_dir(top) {
        Ok(()) => return Ok(()),
        Err(error) if gone(&error) => return Ok(()),
        Err(_) => {}
    }
    tree(top)?
        .iter()
        .rev()
        .try_for_each(|directory| remove_one(directory))
}

fn remove_one(directory: &Path) -> Result<(), Error> {
    let start = Instant::now();
    loop {
        match fs::remove_dir(directory) {
            Ok(()) => return Ok(()),
            Err(error) if gone(&error) => return Ok(()),
            // A killed process counts until it has left its groups, a moment after its death.
            Err(error) if busy(&error) && start.elapsed() < Duration::from_secs(1) => {
                sleep(Duration::from_millis(1));
            }
            Err(source) => {
                return Err(Error::Remove {
                    path: directory.to_owned(),
                    source,
                });
            }
        }
    }
}

fn gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV))
}

fn busy(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EBUSY)
}

fn unsupported(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EOPNOTSUPP)
}

/// True if the kernel killed a process of this group, or of one below it, for want of memory.
///
/// To be read before the group is removed: the counter goes with it.
#[must_use]
pub fn oom_killed(group: &Group) -> bool {
    let file = match group.with("memory").map(|d| d.version) {
        Some(Version::Unified) => "memory.events",
        Some(Version::Legacy) => "memory.oom_control",
        None => return false,
    };
    let count = group
        .read("memory", file)
        .and_then(|text| field(&text, "oom_kill"));
    count.is_some_and(|count| count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let events = "low 0\nhigh 7\nmax 3\noom 1\noom_kill 2\noom_group_kill 0\n";
        assert_eq!(field(events, "oom"), Some(1));
        assert_eq!(field(events, "oom_kill"), Some(2));
        assert_eq!(field(events, "swap"), None);
    }

    #[test]
    fn a_weight_of_bfq_spans_the_whole_range_of_iocost() {
        assert_eq!(
            ["10", "1000", "8:0 505"].map(scaled),
            ["default 1", "default 10000", "8:0 5000"]
        );
    }
}
