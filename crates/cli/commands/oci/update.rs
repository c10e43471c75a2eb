//! `update`: other limits for a container that runs.
//!
//! In: `linux.resources` as JSON (`--resources`, `-` is stdin) or single options. Out: the limits in
//! force. What is not named stays as it is.

use std::fs;
use std::io::{self, Read};
use std::process::ExitCode;

use anyhow::{Context, bail};
use oci_spec::runtime::LinuxResources;
use runtime::Status;
use serde_json::{Map, Value, json};

use super::options::{End, Given, value};
use super::{Call, Verb};

pub(super) const VERB: Verb = Verb {
    name: "update",
    usage: "ID",
    about: "Change the limits of a container",
    flags: &[
        value("resources", "FILE", "The limits as JSON; - is stdin").or("r"),
        value("blkio-weight", "N", "Share of disk time, 10 to 1000"),
        value(
            "cpu-period",
            "MICROSECONDS",
            "Period of the processor quota",
        ),
        value("cpu-quota", "MICROSECONDS", "Processor time in each period"),
        value(
            "cpu-burst",
            "MICROSECONDS",
            "Unused quota that may be saved up",
        ),
        value("cpu-share", "N", "Share of processor time, 2 to 262144"),
        value(
            "cpu-rt-period",
            "MICROSECONDS",
            "Period of the real-time limit",
        ),
        value(
            "cpu-rt-runtime",
            "MICROSECONDS",
            "Real-time processor time in each period",
        ),
        value(
            "cpu-idle",
            "N",
            "1 runs it only when nothing else wants to run",
        ),
        value("cpuset-cpus", "LIST", "Processors"),
        value("cpuset-mems", "LIST", "Memory nodes"),
        value("memory", "BYTES", "Limit of memory"),
        value("memory-reservation", "BYTES", "Memory that is kept for it"),
        value(
            "memory-swap",
            "BYTES",
            "Limit of memory and swap together, -1 is none",
        ),
        value("kernel-memory", "BYTES", "Limit of kernel memory (v1)"),
        value("kernel-memory-tcp", "BYTES", "Limit of TCP buffers (v1)"),
        value("pids-limit", "N", "Limit of processes, -1 is none"),
        value("l3-cache-schema", "SCHEMA", "Cache allocation of Intel RDT"),
        value("mem-bw-schema", "SCHEMA", "Memory bandwidth of Intel RDT"),
    ],
    end: End::Never,
    run,
    failure: 1,
};

/// The options for one limit, and where it is in the JSON.
const NUMBERS: [(&str, &str, &str); 13] = [
    ("blkio-weight", "blockIO", "weight"),
    ("cpu-period", "cpu", "period"),
    ("cpu-quota", "cpu", "quota"),
    ("cpu-burst", "cpu", "burst"),
    ("cpu-share", "cpu", "shares"),
    ("cpu-rt-period", "cpu", "realtimePeriod"),
    ("cpu-rt-runtime", "cpu", "realtimeRuntime"),
    ("cpu-idle", "cpu", "idle"),
    ("pids-limit", "pids", "limit"),
    ("memory", "memory", "limit"),
    ("memory-reservation", "memory", "reservation"),
    ("memory-swap", "memory", "swap"),
    ("kernel-memory", "memory", "kernel"),
];

fn run(call: &Call, given: &Given) -> anyhow::Result<ExitCode> {
    let (id, _) = given.id(0)?;
    let resources = resources(given)?;
    let mut container = call.container(id)?;
    if container.status()? == Status::Stopped {
        bail!("cannot update container {id:?}: it is stopped");
    }
    let host = kernel::cgroup::Hierarchies::discover()?;
    let group = runtime::update(&container.state.cgroup, &resources, &host)?;
    if group != container.state.cgroup {
        container.state.cgroup = group;
        container.state.write(&container.dir)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn resources(given: &Given) -> anyhow::Result<LinuxResources> {
    for schema in ["l3-cache-schema", "mem-bw-schema"] {
        if given.value(schema).is_some() {
            bail!("--{schema}: intelRdt cannot be changed after the container was created");
        }
    }
    let json = match given.path("resources") {
        Some(file) => {
            serde_json::from_str(&read(&file)?).context("--resources is not valid JSON")?
        }
        None => from_options(given)?,
    };
    serde_json::from_value(json).context("the limits are not linux.resources of config.json")
}

fn read(file: &std::path::Path) -> anyhow::Result<String> {
    if file.as_os_str() == "-" {
        let mut text = String::new();
        io::stdin()
            .read_to_string(&mut text)
            .context("read the limits from stdin")?;
        return Ok(text);
    }
    fs::read_to_string(file).with_context(|| format!("read {}", file.display()))
}

fn from_options(given: &Given) -> anyhow::Result<Value> {
    let mut json = Map::new();
    let mut set = |part: &str, field: &str, value: Value| {
        json.entry(part).or_insert_with(|| json!({}))[field] = value;
    };
    for (option, part, field) in NUMBERS {
        if let Some(text) = given.text(option)?.filter(|text| !text.is_empty()) {
            let number =
                number(&text).with_context(|| format!("invalid value for {option}: {text:?}"))?;
            set(part, field, number.into());
        }
    }
    if let Some(text) = given.text("kernel-memory-tcp")? {
        let number = number(&text)
            .with_context(|| format!("invalid value for kernel-memory-tcp: {text:?}"))?;
        set("memory", "kernelTCP", number.into());
    }
    for (option, field) in [("cpuset-cpus", "cpus"), ("cpuset-mems", "mems")] {
        if let Some(text) = given.text(option)? {
            set("cpu", field, text.into());
        }
    }
    Ok(json.into())
}

/// A number, or bytes with one of the units b, k, m, g, t of 1024 each.
fn number(text: &str) -> Option<i64> {
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches("ib").trim_end_matches('b');
    let (digits, factor) = match digits.as_bytes().last()? {
        b'k' => (&digits[..digits.len() - 1], 1 << 10),
        b'm' => (&digits[..digits.len() - 1], 1 << 20),
        b'g' => (&digits[..digits.len() - 1], 1 << 30),
        b't' => (&digits[..digits.len() - 1], 1 << 40),
        _ => (digits, 1),
    };
    digits.parse::<i64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;

    #[test]
    fn options_become_resources() {
        let words = [
            "--memory=32M",
            "--memory-swap",
            "-1",
            "--cpu-share",
            "512",
            "--cpuset-cpus=0",
            "box",
        ];
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        let given = Given::parse(VERB.flags, &words, End::Never).unwrap();
        let json = json!({
            "cpu": {"shares": 512, "cpus": "0"}, "memory": {"limit": 33_554_432, "swap": -1},
        });
        assert_eq!(from_options(&given).unwrap(), json);
        assert!(resources(&given).is_ok());
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(
            ["5", "-1", "2k", "3MiB", "1gb"].map(number),
            [Some(5), Some(-1), Some(2048), Some(3 << 20), Some(1 << 30)]
        );
        assert_eq!(["", "k", "5x", "99999999999t"].map(number), [None; 4]);
    }
}
