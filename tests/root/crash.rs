//! `kill -9` at random moments: the next command works, nothing is leaked or lost.
//!
//! The moments come from a seed that a failure prints; `LIGHTER_SEED` repeats a run (as far as time repeats).

use std::time::{Duration, Instant};

use support::{Background, Host, Output, Snapshot};

use crate::host;

const BUSYBOX: &str = "localhost:5000/busybox";
const APPLICATION: &str = "
services:
  one:
    image: localhost:5000/busybox
    command: [sleep, '1000']
    stop_signal: SIGKILL
    ports: ['18080:80']
    volumes: ['data:/data']
  two:
    image: localhost:5000/busybox
    command: [sleep, '1000']
    stop_signal: SIGKILL
    depends_on: [one]
volumes:
  data:
";

#[test]
fn a_killed_pull_loses_nothing() {
    let Some(host) = host() else { return };
    let mut moments = Moments::new();
    host.fixtures();
    // The layer it shares with others stays; its own come and go.
    host.lighter(["pull", "-q", "localhost:5000/debian"])
        .success();
    let image = "localhost:5000/redis";
    let whole = lasts(&host, &["pull", "-q", image]);
    for _ in 0..15 {
        host.lighter(["rmi", "-f", image]).success();
        kill_after(&host, &["pull", "-q", image], moments.below(whole));
        host.lighter(["images"]).success();
        host.lighter(["pull", "-q", image]).success();
        let version = host
            .lighter(["run", "--rm", image, "redis-server", "--version"])
            .success();
        assert!(version.stdout.contains("Redis server"), "{version:?}");
    }
}

#[test]
fn a_killed_run_leaves_nothing_that_rm_does_not_clear() {
    let Some(host) = host() else { return };
    let mut moments = Moments::new();
    host.fixtures();
    host.lighter(["pull", "-q", BUSYBOX]).success();
    let quick = ["run", "--rm", "-p", "18080:80", BUSYBOX, "true"];
    let whole = lasts(&host, &quick);
    let before = Snapshot::of(&host);
    for round in 0..20 {
        let detached = [
            "run", "-d", "-p", "18080:80", "--name", "one", BUSYBOX, "sleep", "1000",
        ];
        let arguments: &[&str] = if round % 2 == 0 { &quick } else { &detached };
        kill_after(&host, arguments, moments.below(whole));
        remove_all(&host);
        host.lighter(quick).success();
    }
    before.assert_nothing_added(&host);
}

#[test]
fn a_killed_up_or_down_is_finished_by_the_next_one() {
    let Some(host) = host() else { return };
    let mut moments = Moments::new();
    host.fixtures();
    host.lighter(["run", "--rm", BUSYBOX, "true"]).success();
    let file = host.write("app/compose.yaml", APPLICATION);
    let file = file.to_str().expect("the path is UTF-8");
    let up = ["compose", "-f", file, "up", "-d"];
    let down = ["compose", "-f", file, "down", "-v"];
    let rises = lasts(&host, &up);
    let falls = lasts(&host, &down);
    let before = Snapshot::of(&host);
    for _ in 0..10 {
        kill_after(&host, &up, moments.below(rises));
        host.lighter(up).success();
        assert_eq!(running(&host), 2);
        kill_after(&host, &down, moments.below(falls));
        host.lighter(down).success();
        assert_eq!(running(&host), 0);
    }
    before.assert_nothing_added(&host);
}

#[test]
fn a_killed_monitor_is_noticed_and_leaves_nothing() {
    let Some(host) = host() else { return };
    let mut moments = Moments::new();
    host.fixtures();
    host.lighter(["pull", "-q", BUSYBOX]).success();
    host.lighter(["run", "--rm", BUSYBOX, "true"]).success();
    let before = Snapshot::of(&host);
    for _ in 0..10 {
        let run = ["run", "-d", "--name", "one", BUSYBOX, "sleep", "1000"];
        host.lighter(run).success();
        std::thread::sleep(moments.below(Duration::from_millis(20)));
        for monitor in monitors(&host) {
            support::process::kill(monitor);
        }
        host.lighter(["ps", "-a"]).success();
        host.lighter(["exec", "one", "true"]);
        remove_all(&host);
        host.lighter(run).success();
        host.lighter(["rm", "-f", "one"]).success();
    }
    before.assert_nothing_added(&host);
}

/// How long a command takes that is left alone.
pub fn lasts(host: &Host, arguments: &[&str]) -> Duration {
    let start = Instant::now();
    host.lighter(arguments).success();
    start.elapsed()
}

/// Starts a command and kills it, and only it, after some time. `nsenter` execs, so the pid is lighter's own.
pub fn kill_after(host: &Host, arguments: &[&str], after: Duration) {
    let command = Background::start_silent(host.lighter_command(arguments));
    std::thread::sleep(after);
    drop(command);
}

#[track_caller]
fn remove_all(host: &Host) {
    let listed = host.lighter(["ps", "-aq"]).success();
    if !listed.text().is_empty() {
        let mut remove = host.lighter_command(["rm", "-f"]);
        remove.args(listed.text().split_whitespace());
        Output::of(remove).success();
    }
}

#[track_caller]
fn running(host: &Host) -> usize {
    host.lighter(["ps", "-q"]).success().lines().len()
}

/// The monitors of a host: processes that run our binary without being asked to by the test.
fn monitors(host: &Host) -> Vec<u32> {
    let program = std::fs::canonicalize(host.program()).ok();
    let network = host.network();
    support::process::of_host(host.name(), &network.path(), network.pid())
        .into_iter()
        .map(|process| process.pid)
        .filter(|pid| std::fs::read_link(format!("/proc/{pid}/exe")).ok() == program)
        .collect()
}

/// Random moments, the same for the same seed.
pub struct Moments(u64);

impl Moments {
    pub fn new() -> Self {
        let given = std::env::var("LIGHTER_SEED")
            .ok()
            .and_then(|text| text.parse().ok());
        let clock = std::time::SystemTime::UNIX_EPOCH.elapsed();
        let seed =
            given.unwrap_or_else(|| clock.map_or(1, |time| u64::from(time.subsec_nanos()) + 1));
        println!("LIGHTER_SEED={seed}");
        Self(seed)
    }

    /// A moment between now and `limit`.
    pub fn below(&mut self, limit: Duration) -> Duration {
        let limit = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX).max(1);
        Duration::from_micros(self.next() % limit)
    }

    /// A number below `limit`, which is not 0.
    pub fn number(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap_or(0)
    }

    /// The generator is xorshift64.
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
