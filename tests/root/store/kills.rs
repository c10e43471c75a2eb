//! `kill -9` at random moments of everything that changes the store, with room and without: it is sound
//! after the next command. And one blob is fetched once, however many want it.

use support::{Background, Host, Output};

use super::{BUSYBOX, is_sound, text};
use crate::crash::{Moments, kill_after, lasts};
use crate::{host, host_with_own_mounts};

/// Kills each verb that changes the store, `rounds` times.
fn kill_all_verbs(host: &Host, rounds: usize) {
    let mut moments = Moments::new();
    let archive = host.directory().join("busybox.tar");
    let pull = ["pull", "-q", BUSYBOX];
    let load = ["load", "-q", "-i", text(&archive)];
    let remove = ["rmi", "-f", BUSYBOX];
    let prune = ["image", "prune", "-af"];
    let pulls = lasts(host, &pull);
    host.lighter(["save", "-o", text(&archive), BUSYBOX])
        .success();
    let removes = lasts(host, &remove);
    let loads = lasts(host, &load);
    for _ in 0..rounds {
        kill_after(host, &prune, moments.below(removes));
        is_sound(host);
        kill_after(host, &load, moments.below(loads));
        is_sound(host);
        host.lighter(load).success();
        kill_after(host, &remove, moments.below(removes));
        is_sound(host);
        host.lighter(prune).success();
        kill_after(host, &pull, moments.below(pulls));
        is_sound(host);
    }
    host.lighter(pull).success();
    let ran = host.lighter(["run", "--rm", "--network", "none", BUSYBOX, "echo", "sound"]);
    assert_eq!(ran.success().text(), "sound");
}

#[test]
fn a_store_is_sound_whenever_its_users_are_killed() {
    let Some(host) = host() else { return };
    host.fixtures();
    kill_all_verbs(&host, 35);
}

#[test]
fn a_store_is_sound_in_memory_too() {
    let Some(host) = host_with_own_mounts() else {
        return;
    };
    host.fixtures();
    host.shell(&format!(
        "mkdir {0} && mount -t tmpfs -o size=32m none {0}",
        host.root().display()
    ))
    .success();
    kill_all_verbs(&host, 10);
}

#[test]
fn a_full_disk_is_told_left_sound_and_freed() {
    let Some(host) = host_with_own_mounts() else {
        return;
    };
    host.fixtures();
    let mut moments = Moments::new();
    let root = host.root();
    let root = text(&root);
    host.shell(&format!(
        "mkdir {root} && mount -t tmpfs -o size=32m none {root}"
    ))
    .success();
    let pull = ["pull", "-q", "localhost:5000/debian"];
    let full = host.lighter(pull).exits(1);
    assert!(full.stderr.contains("No space left on device"), "{full:?}");
    let left = host.shell(&format!("du -sk {root}")).success();
    let left: u64 = left
        .text()
        .split_whitespace()
        .next()
        .and_then(|k| k.parse().ok())
        .expect("du prints kB");
    assert!(left < 1024, "{left} kB are left of a pull that failed");
    let whole = lasts_failing(&host, &pull);
    for _ in 0..20 {
        kill_after(&host, &pull, moments.below(whole));
        is_sound(&host);
    }
    // An image can be removed from a disk that is full to the last byte.
    host.lighter(["pull", "-q", BUSYBOX]).success();
    host.shell(&format!("head -c 64M /dev/zero >{root}/filler || true"))
        .success();
    host.lighter(["rmi", BUSYBOX]).success();
    is_sound(&host);
    host.shell(&format!(
        "rm {root}/filler; mount -o remount,size=1g {root}"
    ))
    .success();
    host.lighter(pull).success();
    is_sound(&host);
}

fn lasts_failing(host: &Host, arguments: &[&str]) -> std::time::Duration {
    let start = std::time::Instant::now();
    host.lighter(arguments).exits(1);
    start.elapsed()
}

#[test]
fn two_who_want_the_same_layers_fetch_them_once() {
    let Some(host) = host() else { return };
    let storage = support::need::fixtures().join("registry");
    let configuration = host.write(
        "logging.yml",
        format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: '{}'}}}}\nhttp: {{addr: ':5007'}}\n",
            storage.display()
        ),
    );
    let log = host.directory().join("log");
    let mut registry = host.command(support::need::fixtures().join("bin/docker-registry"));
    let output = std::fs::File::create(&log).expect("the host's directory can be written");
    registry
        .arg("serve")
        .arg(configuration)
        .stdout(output)
        .stderr(std::process::Stdio::null());
    let _registry = Background::start(registry);
    host.get("http://localhost:5007/v2/");
    let image = "localhost:5007/redis";
    let pulls: Vec<_> = (0..3)
        .map(|_| {
            let command = host.lighter_command(["pull", "-q", image]);
            std::thread::spawn(move || Output::of(command))
        })
        .collect();
    for pull in pulls {
        pull.join().expect("the pull was watched").success();
    }
    let log = std::fs::read_to_string(log).expect("the registry writes its log");
    let fetched: Vec<&str> = log
        .lines()
        .filter_map(|line| line.split_once("\"GET ")?.1.split(' ').next())
        .filter(|path| path.contains("/blobs/"))
        .collect();
    let layers = host.lighter([
        "image",
        "inspect",
        "--format",
        "{{len .RootFS.Layers}}",
        image,
    ]);
    let layers: usize = layers.success().text().parse().expect("a number of layers");
    let mut blobs = fetched.clone();
    blobs.sort_unstable();
    blobs.dedup();
    // Configs are small and not waited for; every layer is fetched exactly once.
    let again = fetched.len() - blobs.len();
    assert!(blobs.len() > layers && again <= 2, "{fetched:#?}");
}
