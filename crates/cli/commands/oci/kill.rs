//! `kill`: a signal for a container's program, or for all of its processes.

use std::process::ExitCode;

use anyhow::{Context, bail};

use super::options::{End, Given, switch};
use super::{Call, Verb};

pub(super) const VERB: Verb = Verb {
    name: "kill",
    usage: "ID [SIGNAL]",
    about: "Send a signal (default SIGTERM) to a container's program",
    flags: &[switch("all", "Send it to all processes of the container").or("a")],
    end: End::Never,
    run,
    failure: 1,
};

fn run(call: &Call, given: &Given) -> anyhow::Result<ExitCode> {
    let (id, rest) = given.id(1)?;
    let signal = match rest.first() {
        None => libc::SIGTERM,
        Some(word) => number(word.to_str().context("the signal is not UTF-8")?)?,
    };
    call.container(id)?.kill(signal, given.switch("all")?)?;
    Ok(ExitCode::SUCCESS)
}

/// The standard signals of signal(7), which every architecture we run on numbers alike.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// A signal by number or by name, with or without `SIG`, in any case.
fn number(text: &str) -> anyhow::Result<i32> {
    if let Ok(number) = text.parse::<i32>() {
        if (1..=64).contains(&number) {
            return Ok(number);
        }
        bail!("unknown signal {text:?}");
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let standard = NAMES
        .iter()
        .position(|known| *known == name)
        .map(|at| at as i32 + 1);
    let found = standard.or_else(|| alias(name)).or_else(|| real_time(name));
    found.with_context(|| format!("unknown signal {text:?}"))
}

fn alias(name: &str) -> Option<i32> {
    match name {
        "IOT" => Some(libc::SIGABRT),
        "CLD" => Some(libc::SIGCHLD),
        "POLL" => Some(libc::SIGIO),
        _ => None,
    }
}

/// `RTMIN+n` and `RTMAX-n`; the first two real-time signals are the C library's own.
fn real_time(name: &str) -> Option<i32> {
    let offset = |rest: &str, sign: char| match rest {
        "" => Some(0),
        rest => rest
            .strip_prefix(sign)?
            .parse::<i32>()
            .ok()
            .filter(|n| (0..=30).contains(n)),
    };
    if let Some(rest) = name.strip_prefix("RTMIN") {
        return Some(34 + offset(rest, '+')?);
    }
    Some(64 - offset(name.strip_prefix("RTMAX")?, '-')?)
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn signals_have_numbers_and_names() {
        let cases = [
            ("9", 9),
            ("KILL", 9),
            ("SIGKILL", 9),
            ("sigterm", 15),
            ("SIGSYS", 31),
            ("iot", 6),
            ("RTMIN", 34),
            ("SIGRTMIN+3", 37),
            ("RTMAX-1", 63),
            ("64", 64),
        ];
        for (text, expected) in cases {
            assert_eq!(number(text).unwrap(), expected, "{text}");
        }
        for wrong in ["0", "65", "-1", "SIGFOO", "", "RTMIN+99", "SIG"] {
            assert!(number(wrong).is_err(), "{wrong}");
        }
    }
}
