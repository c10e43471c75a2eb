//! What a container uses, read from its cgroup.
//!
//! In: a [`Group`]. Out: [`Stats`], which serialises to the `data` of `runc events --stats`, the
//! form that engines read. v2 and v1 say the same in other files; what a host does not count is 0
//! or left out. Times are nanoseconds, sizes bytes.

use std::collections::BTreeMap;

use kernel::cgroup::tree::field;
use kernel::cgroup::{Group, Version};
use serde::Serialize;

/// A reading of a cgroup's counters.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Stats {
    /// Processor time.
    pub cpu: Cpu,
    /// Where the processes may run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpuset: Option<Cpuset>,
    /// Memory.
    pub memory: Memory,
    /// Processes and threads.
    pub pids: Pids,
    /// Reading and writing of disks.
    pub blkio: BlockIo,
    /// Huge pages, by size as `2MB`.
    pub hugetlb: BTreeMap<String, HugePages>,
}

/// Processor time.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Cpu {
    /// What was used.
    pub usage: CpuUsage,
    /// How often a quota held the processes back.
    pub throttling: Throttling,
    /// For how long processes waited, when the kernel counts it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

/// Nanoseconds of processor time.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct CpuUsage {
    /// All of it.
    pub total: u64,
    /// By processor; v1 only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu: Vec<u64>,
    /// In the kernel.
    pub kernel: u64,
    /// In the program.
    pub user: u64,
}

/// The effect of a quota.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Throttling {
    /// Periods in which the group ran.
    pub periods: u64,
    /// Periods in which it used its quota up.
    #[serde(rename = "throttledPeriods")]
    pub throttled_periods: u64,
    /// Nanoseconds for which it was held back.
    #[serde(rename = "throttledTime")]
    pub throttled_time: u64,
}

/// Where the processes may run.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Cpuset {
    /// Processors.
    pub cpus: Vec<u16>,
    /// Memory nodes.
    pub mems: Vec<u16>,
}

/// Memory.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Memory {
    /// Of `usage`, what is a cache of files.
    pub cache: u64,
    /// Memory.
    pub usage: MemoryUsage,
    /// Memory and swap together.
    pub swap: MemoryUsage,
    /// The kernel's own memory on behalf of the group; v1 only.
    pub kernel: MemoryUsage,
    /// Every line of `memory.stat`.
    pub raw: BTreeMap<String, u64>,
    /// For how long processes waited, when the kernel counts it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

/// Bytes in use and their limit.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct MemoryUsage {
    /// What is allowed; the largest number when nothing limits it.
    pub limit: u64,
    /// What is in use.
    pub usage: u64,
    /// The most that was in use.
    pub max: u64,
    /// How often the limit was met.
    pub failcnt: u64,
}

/// Processes and threads.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Pids {
    /// How many there are.
    pub current: u64,
    /// How many are allowed; 0 when nothing limits them.
    pub limit: u64,
}

/// Reading and writing of disks.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockIo {
    /// Bytes by device and direction.
    pub io_service_bytes_recursive: Vec<BlockIoEntry>,
    /// Requests by device and direction.
    pub io_serviced_recursive: Vec<BlockIoEntry>,
    /// For how long processes waited, when the kernel counts it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

/// One counter of one device.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct BlockIoEntry {
    /// The device.
    pub major: u64,
    /// The device.
    pub minor: u64,
    /// `Read`, `Write` and others.
    pub op: String,
    /// The count.
    pub value: u64,
}

/// Huge pages of one size.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct HugePages {
    /// Bytes in use.
    pub usage: u64,
    /// The most that was in use; v1 only.
    pub max: u64,
    /// How often the limit was met.
    pub failcnt: u64,
}

/// Documentation/accounting/psi.rst.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Pressure {
    /// Some process waited.
    pub some: PressureLine,
    /// All waited.
    pub full: PressureLine,
}

/// Percent of the last 10, 60, 300 seconds, and microseconds in all.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct PressureLine {
    /// Percent of the last 10 seconds.
    pub avg10: f64,
    /// Percent of the last 60 seconds.
    pub avg60: f64,
    /// Percent of the last 300 seconds.
    pub avg300: f64,
    /// Microseconds in all.
    pub total: u64,
}

/// Reads the counters of a group; of one that is gone they are all 0.
#[must_use]
pub fn read(group: &Group) -> Stats {
    let reader = Reader { group };
    Stats {
        cpu: reader.cpu(),
        cpuset: reader.cpuset(),
        memory: reader.memory(),
        pids: reader.pids(),
        blkio: reader.block_io(),
        hugetlb: reader.hugetlb(),
    }
}

struct Reader<'a> {
    group: &'a Group,
}

impl Reader<'_> {
    fn is_unified(&self, controller: &str) -> bool {
        self.group
            .with(controller)
            .is_some_and(|d| d.version == Version::Unified)
    }

    fn text(&self, controller: &str, file: &str) -> String {
        self.group.read(controller, file).unwrap_or_default()
    }

    /// A single number; `max` is the largest.
    fn number(&self, controller: &str, file: &str) -> u64 {
        match self.text(controller, file).trim() {
            "max" => u64::MAX,
            text => text.parse().unwrap_or(0),
        }
    }

    fn cpu(&self) -> Cpu {
        if self.group.with("cpuacct").is_some() {
            return self.legacy_cpu();
        }
        // `cpu.stat` is there without the controller too, so that any v2 group counts time.
        let file = |name| {
            let directory = self.group.unified()?;
            std::fs::read_to_string(directory.path.join(name)).ok()
        };
        let stat = file("cpu.stat").unwrap_or_default();
        let nanoseconds = |name| field(&stat, name).unwrap_or(0) * 1000;
        Cpu {
            usage: CpuUsage {
                total: nanoseconds("usage_usec"),
                percpu: Vec::new(),
                kernel: nanoseconds("system_usec"),
                user: nanoseconds("user_usec"),
            },
            throttling: Throttling {
                periods: field(&stat, "nr_periods").unwrap_or(0),
                throttled_periods: field(&stat, "nr_throttled").unwrap_or(0),
                throttled_time: nanoseconds("throttled_usec"),
            },
            psi: file("cpu.pressure").as_deref().and_then(pressure),
        }
    }

    fn legacy_cpu(&self) -> Cpu {
        let numbers = |file: &str| -> Vec<u64> {
            let text = self.text("cpuacct", file);
            text.split_whitespace()
                .filter_map(|word| word.parse().ok())
                .collect()
        };
        let stat = self.text("cpu", "cpu.stat");
        let count = |name| field(&stat, name).unwrap_or(0);
        Cpu {
            usage: CpuUsage {
                total: self.number("cpuacct", "cpuacct.usage"),
                percpu: numbers("cpuacct.usage_percpu"),
                kernel: self.number("cpuacct", "cpuacct.usage_sys"),
                user: self.number("cpuacct", "cpuacct.usage_user"),
            },
            throttling: Throttling {
                periods: count("nr_periods"),
                throttled_periods: count("nr_throttled"),
                throttled_time: count("throttled_time"),
            },
            psi: None,
        }
    }

    fn cpuset(&self) -> Option<Cpuset> {
        self.group.with("cpuset")?;
        let effective = |unified, legacy| {
            let file = if self.is_unified("cpuset") {
                unified
            } else {
                legacy
            };
            list(self.text("cpuset", file).trim())
        };
        Some(Cpuset {
            cpus: effective("cpuset.cpus.effective", "cpuset.effective_cpus"),
            mems: effective("cpuset.mems.effective", "cpuset.effective_mems"),
        })
    }

    fn memory(&self) -> Memory {
        let raw = flat(&self.text("memory", "memory.stat"));
        if !self.is_unified("memory") {
            return self.legacy_memory(raw);
        }
        let events = self.text("memory", "memory.events");
        let usage = MemoryUsage {
            limit: self.number("memory", "memory.max"),
            usage: self.number("memory", "memory.current"),
            max: self.number("memory", "memory.peak"),
            failcnt: field(&events, "max").unwrap_or(0),
        };
        // Engines expect both together, as v1 has it.
        let swap = MemoryUsage {
            limit: usage
                .limit
                .saturating_add(self.number("memory", "memory.swap.max")),
            usage: usage.usage + self.number("memory", "memory.swap.current"),
            ..MemoryUsage::default()
        };
        let psi = self.group.read("memory", "memory.pressure");
        Memory {
            cache: raw.get("file").copied().unwrap_or(0),
            usage,
            swap,
            kernel: MemoryUsage::default(),
            raw,
            psi: psi.as_deref().and_then(pressure),
        }
    }

    fn legacy_memory(&self, raw: BTreeMap<String, u64>) -> Memory {
        let usage = |prefix: &str| {
            let number = |file: &str| self.number("memory", &format!("memory.{prefix}{file}"));
            MemoryUsage {
                limit: number("limit_in_bytes"),
                usage: number("usage_in_bytes"),
                max: number("max_usage_in_bytes"),
                failcnt: number("failcnt"),
            }
        };
        Memory {
            cache: raw.get("cache").copied().unwrap_or(0),
            usage: usage(""),
            swap: usage("memsw."),
            kernel: usage("kmem."),
            raw,
            psi: None,
        }
    }

    fn pids(&self) -> Pids {
        let limit = self.number("pids", "pids.max");
        Pids {
            current: self.number("pids", "pids.current"),
            limit: if limit == u64::MAX { 0 } else { limit },
        }
    }

    fn block_io(&self) -> BlockIo {
        if self.is_unified("io") {
            let (bytes, requests) = io_stat(&self.text("io", "io.stat"));
            let psi = self.group.read("io", "io.pressure");
            return BlockIo {
                io_service_bytes_recursive: bytes,
                io_serviced_recursive: requests,
                psi: psi.as_deref().and_then(pressure),
            };
        }
        // BFQ counts what it schedules; without it the throttling layer counts all.
        let entries = |bfq: &str, throttle: &str| {
            let found = legacy_io(&self.text("blkio", bfq));
            if found.is_empty() {
                legacy_io(&self.text("blkio", throttle))
            } else {
                found
            }
        };
        BlockIo {
            io_service_bytes_recursive: entries(
                "blkio.bfq.io_service_bytes_recursive",
                "blkio.throttle.io_service_bytes_recursive",
            ),
            io_serviced_recursive: entries(
                "blkio.bfq.io_serviced_recursive",
                "blkio.throttle.io_serviced_recursive",
            ),
            psi: None,
        }
    }

    fn hugetlb(&self) -> BTreeMap<String, HugePages> {
        let Some(directory) = self.group.with("hugetlb") else {
            return BTreeMap::new();
        };
        let unified = directory.version == Version::Unified;
        let suffix = if unified {
            ".current"
        } else {
            ".usage_in_bytes"
        };
        let size = |name: &str| {
            let size = name.strip_prefix("hugetlb.")?.strip_suffix(suffix)?;
            (!size.ends_with(".rsvd")).then(|| size.to_owned())
        };
        let entries = std::fs::read_dir(&directory.path)
            .into_iter()
            .flatten()
            .flatten();
        let sizes = entries.filter_map(|entry| size(entry.file_name().to_str()?));
        sizes
            .map(|size| (size.clone(), self.huge_pages(&size, unified)))
            .collect()
    }

    fn huge_pages(&self, size: &str, unified: bool) -> HugePages {
        let number = |file: &str| self.number("hugetlb", &format!("hugetlb.{size}.{file}"));
        if unified {
            let events = self.text("hugetlb", &format!("hugetlb.{size}.events"));
            let failcnt = field(&events, "max").unwrap_or(0);
            return HugePages {
                usage: number("current"),
                max: 0,
                failcnt,
            };
        }
        HugePages {
            usage: number("usage_in_bytes"),
            max: number("max_usage_in_bytes"),
            failcnt: number("failcnt"),
        }
    }
}

/// Lines of `name number`.
fn flat(text: &str) -> BTreeMap<String, u64> {
    let pair = |line: &str| {
        let (name, value) = line.split_once(' ')?;
        Some((name.to_owned(), value.trim().parse().ok()?))
    };
    text.lines().filter_map(pair).collect()
}

/// A list as `0-2,7`.
fn list(text: &str) -> Vec<u16> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse::<u16>().ok()?..=last.parse().ok()?)
    };
    text.split(',').filter_map(range).flatten().collect()
}

/// Lines of `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6`: bytes and requests.
fn io_stat(text: &str) -> (Vec<BlockIoEntry>, Vec<BlockIoEntry>) {
    let (mut bytes, mut requests) = (Vec::new(), Vec::new());
    for (major, minor, rest) in text.lines().filter_map(device) {
        for (key, value) in rest
            .split_whitespace()
            .filter_map(|word| word.split_once('='))
        {
            let (list, op) = match key {
                "rbytes" => (&mut bytes, "Read"),
                "wbytes" => (&mut bytes, "Write"),
                "dbytes" => (&mut bytes, "Discard"),
                "rios" => (&mut requests, "Read"),
                "wios" => (&mut requests, "Write"),
                "dios" => (&mut requests, "Discard"),
                _ => continue,
            };
            let value = value.parse().unwrap_or(0);
            list.push(BlockIoEntry {
                major,
                minor,
                op: op.to_owned(),
                value,
            });
        }
    }
    (bytes, requests)
}

/// Lines of `8:0 Read 512`; the last line, a total, has no device.
fn legacy_io(text: &str) -> Vec<BlockIoEntry> {
    let entry = |(major, minor, rest): (u64, u64, &str)| {
        let (op, value) = rest.split_once(' ')?;
        Some(BlockIoEntry {
            major,
            minor,
            op: op.to_owned(),
            value: value.trim().parse().ok()?,
        })
    };
    text.lines().filter_map(device).filter_map(entry).collect()
}

fn device(line: &str) -> Option<(u64, u64, &str)> {
    let (numbers, rest) = line.split_once(' ')?;
    let (major, minor) = numbers.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?, rest))
}

fn pressure(text: &str) -> Option<Pressure> {
    let line = |kind: &str| {
        let rest = text
            .lines()
            .find_map(|line| line.strip_prefix(kind))
            .unwrap_or_default();
        let value = |name: &str| {
            rest.split_whitespace()
                .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
        };
        let percent = |name| {
            value(name)
                .and_then(|text| text.parse().ok())
                .unwrap_or(0.0)
        };
        PressureLine {
            avg10: percent("avg10"),
            avg60: percent("avg60"),
            avg300: percent("avg300"),
            total: value("total")
                .and_then(|text| text.parse().ok())
                .unwrap_or(0),
        }
    };
    text.starts_with("some").then(|| Pressure {
        some: line("some"),
        full: line("full"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::cgroup::Directory;
    use std::fs;
    use std::path::Path;

    fn group(version: Version, controllers: &[&str], path: &Path, files: &[(&str, &str)]) -> Group {
        for (name, text) in files {
            fs::write(path.join(name), text).unwrap();
        }
        let controllers = controllers.iter().map(|c| (*c).to_owned()).collect();
        let (mount, path) = (path.to_owned(), path.to_owned());
        Group {
            directories: vec![Directory {
                version,
                controllers,
                mount,
                path,
            }],
        }
    }

    #[test]
    fn a_v2_group_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let group = group(
            Version::Unified,
            &["cpu", "io", "memory", "pids", "cpuset"],
            dir.path(),
            &[
                (
                    "cpu.stat",
                    "usage_usec 5\nuser_usec 3\nsystem_usec 2\nnr_periods 9\nnr_throttled 1\nthrottled_usec 4\n",
                ),
                (
                    "cpu.pressure",
                    "some avg10=1.50 avg60=0.00 avg300=0.00 total=77\n",
                ),
                ("memory.current", "4096\n"),
                ("memory.max", "8192\n"),
                ("memory.peak", "5000\n"),
                ("memory.swap.current", "1\n"),
                ("memory.swap.max", "max\n"),
                ("memory.events", "low 0\nmax 3\noom 0\n"),
                ("memory.stat", "anon 1\nfile 2\n"),
                ("pids.current", "4\n"),
                ("pids.max", "max\n"),
                (
                    "io.stat",
                    "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n",
                ),
                ("cpuset.cpus.effective", "0-1,4\n"),
                ("cpuset.mems.effective", "0\n"),
            ],
        );
        let read = serde_json::to_string(&read(&group)).unwrap();
        insta::assert_snapshot!(read.replace("},\"", "},\n\""), @r#"
        {"cpu":{"usage":{"total":5000,"kernel":2000,"user":3000},
        "throttling":{"periods":9,"throttledPeriods":1,"throttledTime":4000},
        "psi":{"some":{"avg10":1.5,"avg60":0.0,"avg300":0.0,"total":77},
        "full":{"avg10":0.0,"avg60":0.0,"avg300":0.0,"total":0}}},
        "cpuset":{"cpus":[0,1,4],"mems":[0]},
        "memory":{"cache":2,"usage":{"limit":8192,"usage":4096,"max":5000,"failcnt":3},
        "swap":{"limit":18446744073709551615,"usage":4097,"max":0,"failcnt":0},
        "kernel":{"limit":0,"usage":0,"max":0,"failcnt":0},
        "raw":{"anon":1,"file":2}},
        "pids":{"current":4,"limit":0},
        "blkio":{"ioServiceBytesRecursive":[{"major":8,"minor":0,"op":"Read","value":1},{"major":8,"minor":0,"op":"Write","value":2},{"major":8,"minor":0,"op":"Discard","value":5}],"ioServicedRecursive":[{"major":8,"minor":0,"op":"Read","value":3},{"major":8,"minor":0,"op":"Write","value":4},{"major":8,"minor":0,"op":"Discard","value":6}]},
        "hugetlb":{}}
        "#);
    }

    #[test]
    fn a_v1_group_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let controllers = ["cpu", "cpuacct", "blkio", "memory", "pids"];
        let group = group(
            Version::Legacy,
            &controllers,
            dir.path(),
            &[
                ("cpuacct.usage", "50\n"),
                ("cpuacct.usage_percpu", "30 20\n"),
                ("cpuacct.usage_sys", "10\n"),
                ("cpuacct.usage_user", "40\n"),
                (
                    "cpu.stat",
                    "nr_periods 1\nnr_throttled 2\nthrottled_time 3\n",
                ),
                ("memory.usage_in_bytes", "4096\n"),
                ("memory.limit_in_bytes", "8192\n"),
                ("memory.max_usage_in_bytes", "5000\n"),
                ("memory.failcnt", "1\n"),
                ("memory.stat", "cache 7\n"),
                ("pids.current", "4\n"),
                ("pids.max", "10\n"),
                (
                    "blkio.throttle.io_service_bytes_recursive",
                    "8:0 Read 512\n8:0 Write 0\nTotal 512\n",
                ),
            ],
        );
        let stats = read(&group);
        assert_eq!(stats.cpu.usage.percpu, [30, 20]);
        assert_eq!((stats.memory.usage.limit, stats.memory.cache), (8192, 7));
        assert_eq!((stats.pids.current, stats.pids.limit), (4, 10));
        assert_eq!(stats.blkio.io_service_bytes_recursive.len(), 2);
    }

    #[test]
    fn a_group_that_is_gone_uses_nothing() {
        assert_eq!(read(&Group::default()), Stats::default());
    }
}
