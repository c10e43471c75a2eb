//! What a test needs of the machine. A test that cannot run is listed as skipped with its reason, never as passed.
//!
//! `scripts/test` names a file in `LIGHTER_SKIPPED`; each skipped test adds one line to it, and the script prints the
//! list at the end and takes its length off the number of passed tests.

use std::io::Write;
use std::path::PathBuf;

/// One thing a test cannot do without.
#[derive(Debug, Clone)]
pub enum Need {
    /// User 0 with CAP_SYS_ADMIN.
    Root,
    /// A program in PATH.
    Program(&'static str),
    /// The images that `scripts/fixtures` makes, and the registry it unpacks to serve them.
    Fixtures,
    /// The cgroup v2 controller of this name, usable at /sys/fs/cgroup.
    Controller(&'static str),
}

impl Need {
    /// Why the machine does not fulfil this, or nothing when it does.
    pub fn missing(&self) -> Option<String> {
        match self {
            Self::Root => (!rustix::process::geteuid().is_root()).then(|| "needs root".to_owned()),
            Self::Program(name) => program(name)
                .is_none()
                .then(|| format!("needs the program {name}")),
            Self::Fixtures => missing_fixtures(),
            Self::Controller(name) => (!has_controller(name))
                .then(|| format!("needs the cgroup v2 controller {name} on this machine")),
        }
    }
}

/// Whether the running test cannot run here; if so it is listed, and must return at once.
///
/// ```no_run
/// # use support::{Need, skipped};
/// if skipped(&[Need::Root, Need::Program("nft")]) {
///     return;
/// }
/// ```
pub fn skipped(needs: &[Need]) -> bool {
    let Some(why) = needs.iter().find_map(Need::missing) else {
        return false;
    };
    list(&why);
    true
}

/// Lists the running test as skipped, for a reason of its own.
pub fn list(why: &str) {
    let thread = std::thread::current();
    let line = format!("SKIPPED: {}: {why}\n", thread.name().unwrap_or("?"));
    eprint!("{line}");
    if let Some(path) = std::env::var_os("LIGHTER_SKIPPED") {
        std::fs::File::options()
            .append(true)
            .create(true)
            .open(path)
            .and_then(|mut file| file.write_all(line.as_bytes()))
            .expect("the file of skipped tests can be written");
    }
}

/// Where `scripts/fixtures` keeps what it made: `$LIGHTER_FIXTURES`, else `target/fixtures` of this repository.
pub fn fixtures() -> PathBuf {
    std::env::var_os("LIGHTER_FIXTURES").map_or_else(
        || {
            PathBuf::from(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../../target/fixtures"
            ))
        },
        PathBuf::from,
    )
}

/// The repository this crate was built from.
pub fn repository() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The full path of a program in PATH.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
}

fn missing_fixtures() -> Option<String> {
    let made = fixtures().join("layout/index.json").is_file();
    (!made).then(|| {
        format!(
            "needs the images that scripts/fixtures makes in {}",
            fixtures().display()
        )
    })
}

fn has_controller(name: &str) -> bool {
    std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers")
        .is_ok_and(|all| all.split_whitespace().any(|one| one == name))
}
