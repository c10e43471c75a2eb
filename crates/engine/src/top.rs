//! `top`: the processes of a container, read from the host's own /proc (never the container's `ps`).

use std::path::Path;

use rustix::param::clock_ticks_per_second;

use crate::{Engine, Error, Result};

/// A table.
#[derive(Debug, Clone, Default)]
pub struct Processes {
    /// Column heads.
    pub titles: Vec<String>,
    /// One row per process.
    pub rows: Vec<Vec<String>>,
}

/// One process, as proc(5) shows it.
struct Process {
    pid: i32,
    parent: i32,
    uid: String,
    state: String,
    name: String,
    terminal: i64,
    ticks: u64,
    start: u64,
    threads: String,
    memory: u64,
    virtual_memory: u64,
    command: String,
}

/// docker's columns, those of `ps -ef`.
const DEFAULT: [&str; 8] = ["uid", "pid", "ppid", "c", "stime", "tty", "time", "cmd"];

impl Engine {
    /// Its processes. `columns` are ps(1) format names (`pid`, `user`, `args`); none are docker's `-ef` columns.
    pub fn top(&self, who: &str, columns: &[String]) -> Result<Processes> {
        let seen = self.observe_as(who)?;
        seen.pid()?;
        let columns = wanted(columns)?;
        let mut pids = self.container(&seen.record.id)?.state.cgroup.pids()?;
        pids.sort_unstable();
        let uptime = uptime();
        let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        // A process that ended while we read is not there.
        let processes = pids.into_iter().filter_map(read);
        let rows = processes.map(|process| {
            columns
                .iter()
                .map(|column| process.column(column, uptime, &users))
                .collect()
        });
        Ok(Processes {
            titles: columns.iter().map(|column| title(column)).collect(),
            rows: rows.collect(),
        })
    }
}

/// The columns of `-ef`, `aux`, `-o pid,args` and the like.
fn wanted(words: &[String]) -> Result<Vec<String>> {
    let mut columns = Vec::new();
    for word in words {
        let bare = word.trim_start_matches('-');
        match bare {
            "ef" | "e" | "f" => columns.extend(DEFAULT.map(String::from)),
            "aux" | "a" | "u" | "x" => columns.extend(
                [
                    "user", "pid", "%cpu", "vsz", "rss", "tty", "stat", "stime", "time", "cmd",
                ]
                .map(String::from),
            ),
            "o" | "eo" => {}
            list => columns.extend(
                list.trim_start_matches("eo")
                    .split(',')
                    .map(str::to_lowercase),
            ),
        }
    }
    if columns.is_empty() {
        columns = DEFAULT.map(String::from).to_vec();
    }
    match columns.iter().find(|column| title(column).is_empty()) {
        Some(column) => Err(Error::invalid(
            "column",
            column.as_str(),
            "give uid, user, pid, ppid, c, %cpu, stime, tty, time, etime, cmd, args, comm, stat, nlwp, rss or vsz",
        )),
        None => Ok(columns),
    }
}

fn title(column: &str) -> String {
    match column {
        "uid" | "user" | "pid" | "ppid" | "c" | "%cpu" | "stime" | "tty" | "time" | "cmd"
        | "stat" | "nlwp" | "rss" | "vsz" => column.to_uppercase(),
        "args" | "comm" => "COMMAND".to_owned(),
        "etime" => "ELAPSED".to_owned(),
        _ => String::new(),
    }
}

impl Process {
    fn column(&self, column: &str, uptime: u64, users: &str) -> String {
        let ticks = clock_ticks_per_second();
        let age = uptime.saturating_sub(self.start / ticks);
        let share = 100 * (self.ticks / ticks) / age.max(1);
        match column {
            "uid" | "user" => user_name(&self.uid, users),
            "pid" => self.pid.to_string(),
            "ppid" => self.parent.to_string(),
            "c" | "%cpu" => share.to_string(),
            "stime" => clock(age),
            "tty" => terminal(self.terminal),
            "time" => hms(self.ticks / ticks),
            "etime" => hms(age),
            "stat" => self.state.clone(),
            "nlwp" => self.threads.clone(),
            "rss" => self.memory.to_string(),
            "vsz" => self.virtual_memory.to_string(),
            "comm" => self.name.clone(),
            _ => self.command.clone(),
        }
    }
}

fn read(pid: i32) -> Option<Process> {
    let directory = Path::new("/proc").join(pid.to_string());
    let stat = std::fs::read_to_string(directory.join("stat")).ok()?;
    let status = std::fs::read_to_string(directory.join("status")).ok()?;
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .map(str::trim)
    };
    let kib = |name: &str| {
        field(name)
            .and_then(|v| v.split(' ').next()?.parse().ok())
            .unwrap_or(0)
    };
    // Counted from the last parenthesis: the name before it may hold anything.
    let fields: Vec<&str> = stat.get(stat.rfind(')')? + 2..)?.split(' ').collect();
    let number = |at: usize| {
        fields
            .get(at)
            .and_then(|field| field.parse::<u64>().ok())
            .unwrap_or(0)
    };
    let name = field("Name:")?.to_owned();
    let line = std::fs::read(directory.join("cmdline")).ok()?;
    let words = String::from_utf8_lossy(&line)
        .trim_end_matches('\0')
        .replace('\0', " ");
    Some(Process {
        pid,
        parent: fields.get(1)?.parse().ok()?,
        uid: field("Uid:")?.split_whitespace().nth(1)?.to_owned(),
        state: fields.first()?.to_string(),
        terminal: fields.get(4)?.parse().ok()?,
        ticks: number(11) + number(12),
        start: number(19),
        threads: field("Threads:")?.to_owned(),
        memory: kib("VmRSS:"),
        virtual_memory: kib("VmSize:"),
        // Control characters would play with the reader's terminal.
        command: if words.is_empty() {
            format!("[{name}]")
        } else {
            words.replace(char::is_control, "?")
        },
        name,
    })
}

fn uptime() -> u64 {
    let text = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    text.split(['.', ' '])
        .next()
        .and_then(|seconds| seconds.parse().ok())
        .unwrap_or(0)
}

fn user_name(uid: &str, users: &str) -> String {
    let named = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| uid.to_owned())
}

fn terminal(number: i64) -> String {
    match (number >> 8 & 0xfff, number & 0xff | number >> 12 & 0xfff00) {
        (0, 0) => "?".to_owned(),
        (136..=143, minor) => format!("pts/{minor}"),
        (major, minor) => format!("{major}:{minor}"),
    }
}

fn hms(seconds: u64) -> String {
    format!(
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// When something began that is so old: the time of day, or the day.
fn clock(age: u64) -> String {
    let then =
        jiff::Timestamp::now().checked_sub(jiff::SignedDuration::from_secs(age.cast_signed()));
    let form = if age < 86400 { "%H:%M" } else { "%b%d" };
    then.map(|then| then.strftime(form).to_string())
        .unwrap_or_default()
}
