//! Tests against the real kernel as root, each on a throw-away host. One module per subject.
//!
//! Assertions are about what the kernel (`/proc`, `ip -j`, `nft -j`), a registry or a real client shows.

#![allow(unreachable_pub, reason = "a test program has no outside")]

use support::{Host, Need, skipped};

/// A host for one test, or nothing when the machine cannot run it (the test is then listed as skipped).
fn host() -> Option<Host> {
    can_run().then(|| Host::new(env!("CARGO_BIN_EXE_lighter")))
}

/// The same with mounts of its own.
fn host_with_own_mounts() -> Option<Host> {
    can_run().then(|| Host::with_own_mounts(env!("CARGO_BIN_EXE_lighter")))
}

fn can_run() -> bool {
    let needs = [
        Need::Root,
        Need::Program("ip"),
        Need::Program("nft"),
        Need::Program("curl"),
        Need::Fixtures,
    ];
    !skipped(&needs)
}

/// The image of most tests.
const BUSYBOX: &str = "localhost:5000/busybox";

/// Starts a container named `box` without a network in the background: `words` are more options, the image, its command.
#[track_caller]
fn detached(host: &Host, words: &[&str]) -> support::Output {
    let run = ["run", "-d", "--network", "none", "--name", "box"];
    host.lighter([&run, words].concat()).success()
}

/// [`host`] with [`BUSYBOX`] in its store.
fn busybox() -> Option<Host> {
    let host = host()?;
    host.fixtures();
    host.lighter(["pull", "-q", BUSYBOX]).success();
    Some(host)
}

mod binary;
mod cli;
mod compose;
mod compose_foreground;
mod compose_turns;
mod compose_verbs;
mod compose_words;
mod crash;
mod engine_attach;
mod engine_copy;
mod engine_events;
mod engine_exec;
mod engine_exit;
mod engine_health;
mod engine_listing;
mod engine_logs;
mod engine_monitor;
mod engine_options;
mod engine_restart;
mod engine_stop;
mod engine_terminal;
mod engine_volumes;
mod explain;
mod host;
mod network;
mod registry;
mod runtime;
mod spine;
mod store;
