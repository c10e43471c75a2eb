//! The store of images: what comes in and goes out as files, what is on disk, and that it is sound
//! at every moment.

mod archives;
mod bombs;
mod bundle;
mod kills;
mod odd_layers;
mod usage;

use std::path::Path;

use support::Host;

/// The image most tests use: one layer of 2 MB.
const BUSYBOX: &str = "localhost:5000/busybox:latest";

/// Nothing of an unfinished transfer is in the store, and all that is there is right.
#[track_caller]
fn is_sound(host: &Host) {
    let checked = host.lighter(["system", "check"]).success();
    assert!(checked.stdout.starts_with("sound: "), "{checked:?}");
    let listing = host.shell(&format!(
        "ls -A {root}/layers {root}/images",
        root = host.root().display()
    ));
    for name in listing.success().lines() {
        let left = [".new-", ".old-", "spool-"]
            .iter()
            .any(|prefix| name.starts_with(prefix));
        assert!(!left, "{name} is left");
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the path is UTF-8")
}
