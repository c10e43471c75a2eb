//! `events`: what a container uses, once (`--stats`) or again and again, and when memory ran out.
//!
//! Out: one JSON object a line, `{"type": "stats" or "oom", "id": ..., "data": ...}`, as engines
//! read it from runc.

use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use kernel::cgroup::Version;
use kernel::cgroup::tree::field;
use runtime::{Container, Status, stats};

use super::options::{End, Given, switch, value};
use super::{Call, Verb, print};

pub(super) const VERB: Verb = Verb {
    name: "events",
    usage: "ID",
    about: "Print what a container uses, and when its memory runs out",
    flags: &[
        value(
            "interval",
            "DURATION",
            "Time between two readings (default 5s)",
        ),
        switch("stats", "Print one reading"),
    ],
    end: End::Never,
    run,
    failure: 1,
};

/// How often the container is looked at between two readings.
const GLANCE: Duration = Duration::from_millis(100);

fn run(call: &Call, given: &Given) -> anyhow::Result<ExitCode> {
    let (id, _) = given.id(0)?;
    let interval = given
        .text("interval")?
        .map_or(Ok(Duration::from_secs(5)), |text| duration(&text))?;
    if interval.is_zero() {
        bail!("duration interval must be greater than 0");
    }
    let container = call.container(id)?;
    if container.status()? == Status::Stopped {
        bail!("container {id:?} is not running");
    }
    if given.switch("stats")? {
        return reading(&container);
    }
    follow(&container, interval)
}

fn follow(container: &Container, interval: Duration) -> anyhow::Result<ExitCode> {
    let mut next = Instant::now() + interval;
    let mut ooms = out_of_memory(container);
    while container.status()? != Status::Stopped {
        sleep(GLANCE.min(interval));
        let now = out_of_memory(container);
        for _ in ooms..now {
            line(container, "oom", &serde_json::Value::Null)?;
        }
        ooms = now;
        if Instant::now() >= next {
            next += interval;
            reading(container)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn reading(container: &Container) -> anyhow::Result<ExitCode> {
    let data = serde_json::to_value(stats::read(&container.state.cgroup))?;
    line(container, "stats", &data)
}

fn line(container: &Container, kind: &str, data: &serde_json::Value) -> anyhow::Result<ExitCode> {
    let mut event = serde_json::json!({"type": kind, "id": container.state.id});
    if !data.is_null() {
        event["data"] = data.clone();
    }
    print(&format!("{event}\n"))
}

/// How often a process of the container was killed for want of memory.
fn out_of_memory(container: &Container) -> u64 {
    let group = &container.state.cgroup;
    let file = match group.with("memory").map(|directory| directory.version) {
        Some(Version::Unified) => "memory.events",
        _ => "memory.oom_control",
    };
    group
        .read("memory", file)
        .and_then(|text| field(&text, "oom_kill"))
        .unwrap_or(0)
}

/// A duration as Go writes it: `5s`, `1m30s`, `500ms`.
fn duration(text: &str) -> anyhow::Result<Duration> {
    let refused = || format!("invalid duration {text:?}");
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .with_context(refused)?;
        let (number, unit) = rest.split_at(digits);
        let end = unit
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(unit.len());
        let seconds = match &unit[..end] {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => bail!("{}", refused()),
        };
        let number: f64 = number.parse().ok().with_context(refused)?;
        total += Duration::try_from_secs_f64(number * seconds)
            .ok()
            .with_context(refused)?;
        rest = &unit[end..];
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        assert_eq!(duration("5s").unwrap(), Duration::from_secs(5));
        assert_eq!(duration("1m30s").unwrap(), Duration::from_secs(90));
        assert_eq!(duration("1.5ms").unwrap(), Duration::from_micros(1500));
        for wrong in ["5", "s", "5x", "-1s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
