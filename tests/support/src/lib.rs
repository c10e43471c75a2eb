//! Throw-away hosts for the tests: each has its own network namespace, root and state directory.
//!
//! In: the path of the built `lighter`. Out: [`Host`], on which a test runs `lighter`, `ip`, `nft` or any program,
//! and [`Output`], what such a run printed. A test that cannot run here says so with [`skipped`].
//! Read [`host`] next; a test's life is: make a host, give it a registry, run commands, look at what the kernel shows.

pub mod background;
pub mod certificate;
pub mod host;
pub mod http;
pub mod namespace;
pub mod need;
pub mod output;
pub mod process;
pub mod registry;
pub mod snapshot;
pub mod terminal;
pub mod token_server;
pub mod vm;

pub use background::Background;
pub use host::Host;
pub use namespace::Namespace;
pub use need::{Need, skipped};
pub use output::Output;
pub use snapshot::Snapshot;
pub use terminal::Terminal;

/// Asks `probe` every 20 ms until it yields something, at most `seconds` long.
///
/// # Panics
/// When the time is over; the message names `what` was awaited.
#[track_caller]
pub fn eventually<T>(what: &str, seconds: u64, mut probe: impl FnMut() -> Option<T>) -> T {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(seconds);
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(
            std::time::Instant::now() < end,
            "not within {seconds} s: {what}"
        );
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
