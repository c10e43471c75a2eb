//! `lighter oci`: the command line of an OCI runtime, as runc has it, for engines to call.
//!
//! In: a verb with runc's options, or a link to the program named `lighter-oci`. Out: what runc
//! prints, and its exit codes; errors also go to `--log`. One file for each verb (`create.rs` has
//! `run` too); [`options`] parses, [`log`] reports, [`foreground`] waits beside a container.
//!
//! `main` comes here before it builds any other command line.

mod activation;
mod checkpoint;
mod create;
mod delete;
mod events;
mod exec;
mod features;
mod foreground;
mod kill;
mod list;
mod log;
mod options;
mod pause;
mod ps;
mod spec;
mod start;
mod state;
mod update;

use std::ffi::{OsStr, OsString};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use runtime::Container;

use log::Log;
use options::{End, Flag, Given, switch, value};

/// Where the runtime keeps its containers unless `--root` says otherwise.
const DEFAULT_STATES: &str = "/run/lighter/oci";

/// One verb of the runtime.
struct Verb {
    name: &'static str,
    usage: &'static str,
    about: &'static str,
    flags: &'static [Flag],
    end: End,
    run: fn(&Call, &Given) -> anyhow::Result<ExitCode>,
    /// The exit code of an error.
    failure: u8,
}

const VERBS: &[Verb] = &[
    checkpoint::CHECKPOINT,
    create::CREATE,
    delete::VERB,
    events::VERB,
    exec::VERB,
    features::VERB,
    kill::VERB,
    list::VERB,
    pause::PAUSE,
    ps::VERB,
    checkpoint::RESTORE,
    pause::RESUME,
    create::RUN,
    spec::VERB,
    start::VERB,
    state::VERB,
    update::VERB,
];

const GLOBAL: &[Flag] = &[
    value(
        "root",
        "DIR",
        "Directory of the containers' state (default /run/lighter/oci)",
    ),
    value("log", "FILE", "File that errors are also written to"),
    value("log-format", "FORMAT", "Format of the log: text or json"),
    value("log-level", "LEVEL", "debug is the same as --debug"),
    switch("debug", "Log what is done"),
    switch(
        "systemd-cgroup",
        "Take linux.cgroupsPath as slice:prefix:name",
    ),
    value(
        "cgroup-manager",
        "NAME",
        "cgroupfs or systemd, as crun has it",
    ),
    value(
        "rootless",
        "BOOL",
        "Only false and auto: this runtime needs root",
    ),
    switch("version", "Print the version").or("v"),
    switch("help", "Print this help").or("h"),
];

/// What stands before the verb.
struct Call {
    /// Directory with one directory for each container.
    states: PathBuf,
    log: Log,
    systemd_cgroup: bool,
}

impl Call {
    /// Reports what the specification wants to be no more than a warning.
    fn warn(&self, errors: Vec<runtime::Error>) {
        for error in errors {
            self.log.warn(&sentence(&error.into()));
        }
    }

    fn container(&self, id: &str) -> anyhow::Result<Container> {
        Ok(Container::load(&self.states, id)?)
    }
}

/// Run another program's OCI runtime command line, as runc has it
#[derive(clap::Args)]
#[command(override_usage = "lighter oci [OPTIONS] COMMAND")]
pub struct Args {
    /// The verb and its options; `lighter oci --help` lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<OsString>,
}

/// Runs a verb when the options before `oci` kept `main` from coming here at once.
///
/// # Errors
/// None: they are reported here.
pub fn run(args: Args, global: &crate::args::Global) -> anyhow::Result<ExitCode> {
    Ok(dispatch(&args.words, &global.state.join("oci")))
}

/// The words behind `oci`, if the program was called as a runtime.
#[must_use]
pub fn asked(arguments: &[OsString]) -> Option<&[OsString]> {
    let program = arguments.first().map(Path::new).and_then(Path::file_name)?;
    if program == OsStr::new("lighter-oci") {
        return arguments.get(1..);
    }
    match arguments.get(1) {
        Some(verb) if verb == "oci" => arguments.get(2..),
        _ => None,
    }
}

/// Does what the words behind `oci` say.
#[must_use]
pub fn main(words: &[OsString]) -> ExitCode {
    dispatch(words, Path::new(DEFAULT_STATES))
}

fn dispatch(words: &[OsString], states: &Path) -> ExitCode {
    match prepare(words, states) {
        Ok(Wish::Verb { verb, call, given }) => match (verb.run)(&call, &given) {
            Ok(code) => code,
            Err(error) => {
                call.log.error(&sentence(&error));
                ExitCode::from(verb.failure)
            }
        },
        Ok(Wish::Text(text)) => match crate::output::text(&text) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(error) => {
            eprintln!("lighter: error: {}", sentence(&error));
            ExitCode::FAILURE
        }
    }
}

/// What is wanted.
enum Wish {
    Verb {
        verb: &'static Verb,
        call: Call,
        given: Given,
    },
    Text(String),
}

fn prepare(words: &[OsString], states: &Path) -> anyhow::Result<Wish> {
    let global = Given::parse(GLOBAL, words, End::FirstWord)?;
    if global.switch("version")? {
        return Ok(Wish::Text(version()));
    }
    let Some((name, rest)) = global.words.split_first() else {
        return Ok(Wish::Text(overview()));
    };
    let Some(verb) = VERBS.iter().find(|verb| name == verb.name) else {
        if name == "help" {
            return Ok(Wish::Text(overview()));
        }
        bail!(
            "no such command: {}; see lighter oci --help",
            name.display()
        );
    };
    if global.switch("help")? || rest.iter().any(|word| word == "--help" || word == "-h") {
        return Ok(Wish::Text(help(verb)));
    }
    let call = call(&global, states)?;
    let given = Given::parse(verb.flags, rest, verb.end);
    let given = given.inspect_err(|error| call.log.error(&sentence(error)))?;
    call.log.debug(&format!("{} {:?}", verb.name, rest));
    Ok(Wish::Verb { verb, call, given })
}

fn call(global: &Given, states: &Path) -> anyhow::Result<Call> {
    let debug = global.switch("debug")? || global.text("log-level")?.as_deref() == Some("debug");
    let log = Log::open(
        global.path("log").as_deref(),
        global.text("log-format")?.as_deref(),
        debug,
    )?;
    if let Some(rootless) = global.text("rootless")?
        && !matches!(rootless.as_str(), "auto" | "false")
    {
        bail!("--rootless={rootless}: this runtime needs root");
    }
    let by_manager = match global.text("cgroup-manager")?.as_deref() {
        None | Some("cgroupfs") => false,
        Some("systemd") => true,
        Some("disabled") => bail!("--cgroup-manager=disabled: a container has a cgroup here"),
        Some(other) => bail!("unknown cgroup manager {other:?}"),
    };
    Ok(Call {
        states: global.path("root").unwrap_or_else(|| states.to_owned()),
        log,
        systemd_cgroup: global.switch("systemd-cgroup")? || by_manager,
    })
}

/// An error and its causes on one line. Engines look for Go's words for an errno ("permission
/// denied", "no such file or directory") to choose between 126 and 127.
fn sentence(error: &anyhow::Error) -> String {
    error
        .chain()
        .map(in_gos_words)
        .fold(String::new(), |sentence, cause| match sentence.as_str() {
            "" => cause,
            said if said.ends_with(&cause) => sentence,
            _ => format!("{sentence}: {cause}"),
        })
}

fn in_gos_words(error: &(dyn std::error::Error + 'static)) -> String {
    let text = error.to_string();
    let errno = error
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::raw_os_error);
    match errno.and_then(|errno| text.strip_suffix(&format!(" (os error {errno})"))) {
        Some(words) => words.to_lowercase(),
        None => text,
    }
}

/// runc's two lines; engines show the first and look for `spec:`.
fn version() -> String {
    format!(
        "lighter-oci version {}\nspec: {}\n",
        env!("CARGO_PKG_VERSION"),
        features::OCI_VERSION
    )
}

fn overview() -> String {
    let mut text = "Usage:  lighter oci [OPTIONS] COMMAND\n\n".to_owned();
    text += "The command line of an OCI runtime, as runc has it\n\nCommands:\n";
    for verb in VERBS {
        let _ = writeln!(text, "  {:<12}{}", verb.name, verb.about);
    }
    text + "\nOptions:\n" + &list(GLOBAL)
}

fn help(verb: &Verb) -> String {
    let usage = format!("Usage:  lighter oci {} [OPTIONS] {}", verb.name, verb.usage);
    let options = if verb.flags.is_empty() {
        String::new()
    } else {
        "\nOptions:\n".to_owned()
    };
    format!(
        "{}\n\n{}\n{options}{}",
        usage.trim_end(),
        verb.about,
        list(verb.flags)
    )
}

fn list(flags: &[Flag]) -> String {
    let line = |flag: &Flag| {
        let short = flag
            .short
            .map_or_else(|| "    ".to_owned(), |short| format!("-{short}, "));
        let name = format!("{short}--{} {}", flag.long, flag.value.unwrap_or_default());
        format!("  {name:<32} {}\n", flag.help)
    };
    flags.iter().map(line).collect()
}

/// Prints data on stdout.
fn print(text: &str) -> anyhow::Result<ExitCode> {
    crate::output::text(text).context("write to stdout")?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn the_runtime_is_asked_by_verb_or_by_link() {
        assert_eq!(
            asked(&words("/usr/bin/lighter oci state x")),
            Some(&words("state x")[..])
        );
        assert_eq!(
            asked(&words("/usr/bin/lighter-oci state x")),
            Some(&words("state x")[..])
        );
        assert_eq!(asked(&words("lighter ps")), None);
        assert_eq!(asked(&[]), None);
    }

    #[test]
    fn the_global_options_are_understood_before_the_verb() {
        let line = "--root=/r --log-format json --systemd-cgroup kill --all box 9";
        let Wish::Verb { verb, call, given } = prepare(&words(line), Path::new("/d")).unwrap()
        else {
            panic!("not a verb");
        };
        assert_eq!(
            (verb.name, call.states, call.systemd_cgroup),
            ("kill", "/r".into(), true)
        );
        assert!(given.switch("all").unwrap());
        assert_eq!(given.words, words("box 9"));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let error = |line: &str| {
            prepare(&words(line), Path::new("/d"))
                .err()
                .map(|e| e.to_string())
        };
        assert_eq!(
            error("frob"),
            Some("no such command: frob; see lighter oci --help".to_owned())
        );
        assert_eq!(
            error("--frob state x"),
            Some("flag provided but not defined: -frob".to_owned())
        );
        assert!(error("--rootless=true state x").is_some());
        assert!(error("--cgroup-manager=none state x").is_some());
    }
}
