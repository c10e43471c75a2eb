//! The command line: the table of verbs, and the options that come before a verb.
//!
//! In come the raw arguments, out goes a [`Call`]: a verb of [`VERBS`], its
//! parsed arguments and the [`Global`] options. To add a verb, write
//! `commands/<verb>.rs` with a `clap::Args` struct named `Args` (its doc comment
//! is the help text) and `fn run(Args, &Global) -> anyhow::Result<ExitCode>`,
//! then add one line to [`VERBS`].
//!
//! Only the verb that is called is built as a clap command: describing all of
//! them takes longer than starting a container should.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command};
use engine::Engine;

use crate::commands;

/// Where kept state lives unless `--root` says otherwise.
pub const DEFAULT_ROOT: &str = "/var/lib/lighter";
/// Where state that a reboot may erase lives unless `--state` says otherwise.
pub const DEFAULT_STATE: &str = "/run/lighter";

/// One word of the command line and what it does.
pub struct Verb {
    /// The word itself.
    pub name: &'static str,
    /// Under which heading `lighter --help` lists it.
    pub section: Section,
    kind: Kind,
}

/// The headings of `lighter --help`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Section {
    /// What nearly everyone uses.
    Common,
    /// Nouns with verbs of their own: `network`, `compose`, ...
    Management,
    /// All other verbs.
    Other,
    /// Aliases and internals, not listed.
    Hidden,
}

enum Kind {
    Leaf {
        describe: fn(Command) -> Command,
        run: fn(&mut ArgMatches, &Global) -> anyhow::Result<ExitCode>,
    },
    Group {
        about: &'static str,
        verbs: &'static [Verb],
    },
}

/// `verb!(Common, ps)` is the verb `ps` of `commands/ps.rs`;
/// `verb!(Other, ps as "ls")` is the same under another name.
macro_rules! verb {
    ($section:ident, $module:ident) => {
        verb!($section, $module as stringify!($module))
    };
    ($section:ident, $module:ident as $name:expr) => {
        Verb {
            name: $name,
            section: Section::$section,
            kind: Kind::Leaf {
                describe: <commands::$module::Args as clap::Args>::augment_args,
                run: |matches, global| {
                    let args =
                        <commands::$module::Args as clap::FromArgMatches>::from_arg_matches_mut(
                            matches,
                        )?;
                    commands::$module::run(args, global)
                },
            },
        }
    };
}

/// `group!("container", "Manage containers", CONTAINER)` is a noun with verbs of its own.
macro_rules! group {
    ($name:expr, $about:expr, $verbs:expr) => {
        Verb {
            name: $name,
            section: Section::Management,
            kind: Kind::Group {
                about: $about,
                verbs: $verbs,
            },
        }
    };
}

/// Every verb of `lighter`.
pub const VERBS: &[Verb] = &[
    verb!(Common, run),
    verb!(Common, exec),
    verb!(Common, ps),
    verb!(Common, pull),
    verb!(Common, images),
    group!("container", "Manage containers", CONTAINER),
    group!("image", "Manage images", IMAGE),
    group!("system", "Manage the whole", SYSTEM),
    verb!(Management, bundle),
    verb!(Management, explain),
    verb!(Management, artifact),
    verb!(Management, manifest),
    verb!(Management, oci),
    verb!(Management, compose),
    verb!(Management, network),
    verb!(Management, volume),
    verb!(Other, attach),
    verb!(Other, completion),
    verb!(Other, cp),
    verb!(Other, create),
    verb!(Other, diff),
    verb!(Other, events),
    verb!(Other, history),
    verb!(Other, info),
    verb!(Other, import),
    verb!(Other, inspect),
    verb!(Other, kill),
    verb!(Other, load),
    verb!(Other, logs),
    verb!(Hidden, man),
    verb!(Other, pause),
    verb!(Other, port),
    verb!(Other, rename),
    verb!(Other, restart),
    verb!(Other, rm),
    verb!(Other, rmi),
    verb!(Other, save),
    verb!(Other, search),
    verb!(Other, start),
    verb!(Other, stats),
    verb!(Other, stop),
    verb!(Other, tag),
    verb!(Other, top),
    verb!(Other, unpause),
    verb!(Other, update),
    verb!(Other, version),
    verb!(Other, wait),
    verb!(Other, push),
    verb!(Other, login),
    verb!(Other, logout),
];

/// `lighter system ...`
const SYSTEM: &[Verb] = &[
    verb!(Other, system_check as "check"),
    verb!(Other, system_df as "df"),
    verb!(Other, events),
    verb!(Other, info),
    verb!(Other, system_prune as "prune"),
];

/// `lighter image ...`: docker's longer names.
const IMAGE: &[Verb] = &[
    verb!(Other, image_diff as "diff"),
    verb!(Other, history),
    verb!(Other, import),
    verb!(Other, image_inspect as "inspect"),
    verb!(Other, load),
    verb!(Other, images as "ls"),
    verb!(Hidden, images as "list"),
    verb!(Other, pull),
    verb!(Other, rmi as "rm"),
    verb!(Hidden, rmi as "remove"),
    verb!(Other, save),
    verb!(Other, tag),
    verb!(Other, push),
    verb!(Other, image_prune as "prune"),
    verb!(Other, image_tree as "tree"),
];

/// `lighter container ...`: docker's longer names.
const CONTAINER: &[Verb] = &[
    verb!(Other, attach),
    verb!(Other, cp),
    verb!(Other, create),
    verb!(Other, diff),
    verb!(Other, exec),
    verb!(Other, inspect),
    verb!(Other, kill),
    verb!(Other, logs),
    verb!(Other, ps as "ls"),
    verb!(Hidden, ps as "list"),
    verb!(Hidden, ps as "ps"),
    verb!(Other, pause),
    verb!(Other, port),
    verb!(Other, prune),
    verb!(Other, rename),
    verb!(Other, restart),
    verb!(Other, rm),
    verb!(Other, run),
    verb!(Other, start),
    verb!(Other, stats),
    verb!(Other, stop),
    verb!(Other, top),
    verb!(Other, unpause),
    verb!(Other, update),
    verb!(Other, wait),
];

/// The options that come before the verb.
#[derive(Clone, Debug)]
pub struct Global {
    /// Directory of everything that is kept: images, containers, volumes.
    pub root: PathBuf,
    /// Directory of what only lives as long as the machine is up.
    pub state: PathBuf,
    /// How much is said on stderr.
    pub level: Level,
}

/// How much is said on stderr.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// Errors only.
    Error,
    /// Errors and warnings.
    Warn,
    /// Errors, warnings and notes.
    Info,
    /// All of that, and the inner chain of every error.
    Debug,
}

impl Global {
    /// Tells the user about something odd that does not stop the command.
    pub fn warn(&self, text: impl std::fmt::Display) {
        if self.level >= Level::Warn {
            eprintln!("WARNING: {text}");
        }
    }
}

impl Global {
    /// Tells the user something worth knowing.
    pub fn note(&self, text: impl std::fmt::Display) {
        if self.level >= Level::Info {
            eprintln!("note: {text}");
        }
    }

    /// The containers under these directories; says what a crash had left there.
    pub fn engine(&self) -> anyhow::Result<Engine> {
        let engine = Engine::open(&self.root, &self.state)?;
        for repaired in engine.repaired() {
            self.note(format_args!("{}: {}", repaired.container, repaired.what));
        }
        Ok(engine)
    }
}

/// A verb, ready to run.
pub struct Call {
    /// How the verb was reached, such as `lighter container ls`.
    pub path: String,
    /// The options before the verb.
    pub global: Global,
    matches: ArgMatches,
    run: fn(&mut ArgMatches, &Global) -> anyhow::Result<ExitCode>,
}

impl Call {
    /// Does what the user asked for.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        (self.run)(&mut self.matches.clone(), &self.global)
    }
}

/// Why there is no [`Call`].
pub enum Refusal {
    /// Not an error: this text is what was asked for.
    Text(String),
    /// No verb has this name.
    UnknownVerb {
        /// The command it was looked for in, such as `lighter container`.
        path: String,
        /// The name, and the nearest one there is.
        name: String,
        /// A verb with a similar name.
        nearest: Option<&'static str>,
    },
    /// clap did not like an option or argument of the command `path`.
    Usage {
        /// The command, such as `lighter network create`.
        path: String,
        /// How it is called, whole: clap leaves out what the error is not about.
        usage: String,
        /// What clap said.
        error: Box<clap::Error>,
    },
}

/// Finds the verb and parses its arguments.
pub fn parse(arguments: Vec<OsString>) -> Result<Call, Refusal> {
    let mut matches = top_level()
        .try_get_matches_from(&arguments)
        .map_err(|error| Refusal::Usage {
            path: "lighter".into(),
            usage: "lighter [OPTIONS] COMMAND".into(),
            error: Box::new(error),
        })?;
    if matches.get_flag("version") {
        return Err(Refusal::Text(format!(
            "lighter version {}\n",
            env!("CARGO_PKG_VERSION")
        )));
    }
    let called = matches
        .remove_subcommand()
        .filter(|_| !matches.get_flag("help"));
    let Some((name, mut rest)) = called else {
        return Err(Refusal::Text(overview()));
    };
    let words: Vec<OsString> = rest
        .remove_many::<OsString>("")
        .map(Iterator::collect)
        .unwrap_or_default();
    let global = global(&matches);
    find(VERBS, "lighter", OsStr::new(&name), &words, global)
}

/// Walks down groups (`container`, `image`) to the verb and parses what is left.
fn find(
    verbs: &'static [Verb],
    parent: &str,
    name: &OsStr,
    words: &[OsString],
    global: Global,
) -> Result<Call, Refusal> {
    let Some(verb) = verbs.iter().find(|verb| name == verb.name) else {
        let name = name.to_string_lossy().into_owned();
        let nearest = nearest(verbs, &name);
        return Err(Refusal::UnknownVerb {
            path: parent.into(),
            name,
            nearest,
        });
    };
    let path = format!("{parent} {}", verb.name);
    match &verb.kind {
        Kind::Leaf { run, .. } => {
            let matches = verb.parse(&path, words)?;
            Ok(Call {
                path: called(path, &matches),
                global,
                matches,
                run: *run,
            })
        }
        Kind::Group { about, verbs } => match words.split_first() {
            Some((first, rest)) if first != "--help" => find(verbs, &path, first, rest, global),
            _ => Err(Refusal::Text(group_overview(&path, about, verbs))),
        },
    }
}

impl Verb {
    /// The clap command of this verb, whole: for parsing, help, completion and manual pages.
    pub fn command(&self, path: &str) -> Command {
        let command = Command::new(self.name);
        let command = match &self.kind {
            Kind::Leaf { describe, .. } => describe(command),
            Kind::Group { about, verbs } => command.about(*about).subcommands(
                verbs
                    .iter()
                    .map(|verb| verb.command(&format!("{path} {}", verb.name))),
            ),
        };
        go_style(command)
            .bin_name(path)
            .hide(self.section == Section::Hidden)
    }

    fn parse(&self, path: &str, words: &[OsString]) -> Result<ArgMatches, Refusal> {
        let all = || std::iter::once(OsString::from(path)).chain(words.iter().cloned());
        let mut command = switches(self.command(path));
        let error = match command.try_get_matches_from_mut(all()) {
            Ok(matches) => return Ok(matches),
            // The help text shows `--detach`, not the `--detach[=BOOL]` that is parsed.
            Err(error) if error.kind() == ErrorKind::DisplayHelp => self
                .command(path)
                .try_get_matches_from(all())
                .err()
                .unwrap_or(error),
            Err(error) => error,
        };
        Err(Refusal::Usage {
            path: deepest(&command, path, words),
            usage: usage(self.command(path), words),
            error: Box::new(error),
        })
    }
}

/// The path of the subcommand that was called.
fn called(mut path: String, matches: &ArgMatches) -> String {
    let mut current = matches;
    while let Some((name, inner)) = current.subcommand() {
        path = format!("{path} {name}");
        current = inner;
    }
    path
}

/// How the subcommand that the words lead to is called.
fn usage(mut command: Command, words: &[OsString]) -> String {
    command.build();
    let mut current = command;
    for word in words.iter().filter_map(|word| word.to_str()) {
        if let Some(inner) = current.find_subcommand(word) {
            current = inner.clone();
        }
    }
    let text = current.render_usage().to_string();
    go_usage(text.trim_start_matches("Usage:").trim_start())
}

/// docker's `[SERVICE...]` and `CONTAINER [CONTAINER...]` for clap's `[SERVICE]...` and `<CONTAINER>...`.
pub fn go_usage(usage: &str) -> String {
    let bare = |word: &str| word.trim_matches(['<', '>']).to_owned();
    let word = |word: &str| match word.strip_suffix("...") {
        Some(one) if one.starts_with('<') => format!("{0} [{0}...]", bare(one)),
        Some(one) if one.ends_with(']') => format!("{}...]", one.trim_end_matches(']')),
        _ if word.starts_with('<') => bare(word),
        _ => word.to_owned(),
    };
    usage.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// The path of the subcommand that the words lead to, for `Run '... --help'`.
fn deepest(command: &Command, path: &str, words: &[OsString]) -> String {
    let mut path = path.to_owned();
    let mut current = command;
    for word in words {
        if let Some(inner) = word.to_str().and_then(|word| current.find_subcommand(word)) {
            path = format!("{path} {}", inner.get_name());
            current = inner;
        }
    }
    path
}

/// Makes a command behave as programs using Go's pflag do: the last of a repeated
/// option wins, `-h` is free for `--hostname`, usage comes before the description.
fn go_style(command: Command) -> Command {
    if command.get_arguments().any(|arg| arg.get_id() == "help") {
        return command;
    }
    let help = Arg::new("help")
        .long("help")
        .action(ArgAction::Help)
        .help_heading(None::<&str>)
        .help("Print usage");
    let inner: Vec<String> = command
        .get_subcommands()
        .map(|c| c.get_name().to_owned())
        .collect();
    let command = command
        .disable_help_flag(true)
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .args_override_self(true)
        .subcommand_required(!inner.is_empty())
        .arg_required_else_help(!inner.is_empty())
        .help_template("Usage:  {usage}\n\n{about-with-newline}\n{all-args}{after-help}")
        .arg(help);
    inner.into_iter().fold(command, |command, name| {
        command.mut_subcommand(name, go_style)
    })
}

/// Lets every flag take an optional value, as pflag does: `--detach=false`.
/// The value must come with `=`, so `-it` still is two flags.
/// And what an option wants is the next word, whatever it looks like: `--memory-swap -1`.
fn switches(command: Command) -> Command {
    let inner: Vec<String> = command
        .get_subcommands()
        .map(|c| c.get_name().to_owned())
        .collect();
    let command = command.mut_args(|arg| match arg.get_action() {
        ArgAction::SetTrue => arg
            .action(ArgAction::Set)
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .default_value("false")
            .value_parser(go_bool),
        ArgAction::Set | ArgAction::Append if !arg.is_positional() => arg.allow_hyphen_values(true),
        _ => arg,
    });
    inner.into_iter().fold(command, |command, name| {
        command.mut_subcommand(name, switches)
    })
}

/// Parses words as those of a verb, which need not be in the table.
#[cfg(test)]
pub fn parse_like_a_verb(command: Command, words: &[&str]) -> Result<ArgMatches, clap::Error> {
    switches(go_style(command)).try_get_matches_from(std::iter::once(&"verb").chain(words))
}

fn top_level() -> Command {
    let level = PossibleValuesParser::new(["debug", "info", "warn", "error"]);
    Command::new("lighter")
        .override_usage("lighter [OPTIONS] COMMAND")
        .allow_external_subcommands(true)
        .external_subcommand_value_parser(clap::value_parser!(OsString))
        .disable_help_flag(true)
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .args_override_self(true)
        .arg(directory(
            "root",
            "LIGHTER_ROOT",
            DEFAULT_ROOT,
            "Directory of everything that is kept",
        ))
        .arg(directory(
            "state",
            "LIGHTER_STATE",
            DEFAULT_STATE,
            "Directory of what a reboot may erase",
        ))
        .arg(
            flag("debug")
                .short('D')
                .help("Say more about errors (same as --log-level debug)"),
        )
        .arg(
            Arg::new("log-level")
                .long("log-level")
                .short('l')
                .value_name("LEVEL")
                .value_parser(level)
                .default_value("info")
                .help("How much is said on stderr: debug, info, warn, error"),
        )
        .arg(
            flag("version")
                .short('v')
                .help("Print version information and quit"),
        )
        .arg(flag("help").short('h').help("Print usage"))
}

fn flag(name: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue)
}

fn directory(
    name: &'static str,
    variable: &'static str,
    default: &'static str,
    help: &'static str,
) -> Arg {
    Arg::new(name)
        .long(name)
        .env(variable)
        .value_name("DIR")
        .value_parser(clap::value_parser!(PathBuf))
        .default_value(default)
        .help(help)
}

fn global(matches: &ArgMatches) -> Global {
    let directory = |name: &str, default: &str| {
        matches
            .get_one::<PathBuf>(name)
            .cloned()
            .unwrap_or_else(|| default.into())
    };
    let level = match matches.get_one::<String>("log-level").map(String::as_str) {
        _ if matches.get_flag("debug") => Level::Debug,
        Some("debug") => Level::Debug,
        Some("warn") => Level::Warn,
        Some("error") => Level::Error,
        _ => Level::Info,
    };
    Global {
        root: directory("root", DEFAULT_ROOT),
        state: directory("state", DEFAULT_STATE),
        level,
    }
}

/// The whole command line as one clap command: for completion and manual pages.
pub fn whole() -> Command {
    VERBS.iter().fold(go_style_top(), |command, verb| {
        command.subcommand(verb.command(&format!("lighter {}", verb.name)))
    })
}

fn go_style_top() -> Command {
    top_level()
        .allow_external_subcommands(false)
        .about(env!("CARGO_PKG_DESCRIPTION"))
}

fn nearest(verbs: &'static [Verb], name: &str) -> Option<&'static str> {
    verbs
        .iter()
        .map(|verb| {
            (
                orchestrator::diagnostic::distance(verb.name, name),
                verb.name,
            )
        })
        // `export` is another word than `import`, not a slip of the finger.
        .filter(|(distance, known)| *distance <= if known.len() < 8 { 1 } else { 2 })
        .min()
        .map(|(_, name)| name)
}

/// What `lighter` and `lighter --help` print.
fn overview() -> String {
    let options = top_level().help_template("{options}").render_help();
    format!(
        "Usage:  lighter [OPTIONS] COMMAND\n\n{}\n\n{}{}{}Global options:\n{options}\n\n{}\n",
        env!("CARGO_PKG_DESCRIPTION"),
        list("Common commands", VERBS, Section::Common),
        list("Management commands", VERBS, Section::Management),
        list("Commands", VERBS, Section::Other),
        "Run 'lighter COMMAND --help' for more information on a command.",
    )
}

fn group_overview(path: &str, about: &str, verbs: &[Verb]) -> String {
    format!(
        "Usage:  {path} COMMAND\n\n{about}\n\n{}Run '{path} COMMAND --help' for more information on a command.\n",
        list("Commands", verbs, Section::Other),
    )
}

fn list(heading: &str, verbs: &[Verb], section: Section) -> String {
    let lines: Vec<String> = verbs
        .iter()
        .filter(|verb| verb.section == section)
        .map(|verb| format!("  {:<12}{}\n", verb.name, verb.about()))
        .collect();
    if lines.is_empty() {
        String::new()
    } else {
        format!("{heading}:\n{}\n", lines.concat())
    }
}

impl Verb {
    fn about(&self) -> String {
        let command = self.command(self.name);
        command
            .get_about()
            .map(ToString::to_string)
            .unwrap_or_default()
    }
}

/// The spellings that Go's `strconv.ParseBool` takes.
pub fn go_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("parsing {text:?}: invalid syntax")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_is_described_without_contradiction() {
        whole().debug_assert();
        switches(whole()).debug_assert();
    }

    #[test]
    fn every_listed_verb_says_what_it_does() {
        for verb in VERBS
            .iter()
            .chain(CONTAINER)
            .filter(|verb| verb.section != Section::Hidden)
        {
            assert!(!verb.about().is_empty(), "{}", verb.name);
        }
    }

    #[test]
    fn usage_is_written_as_docker_writes_it() {
        for (clap, go) in [
            (
                "lighter compose up [OPTIONS] [SERVICE]...",
                "lighter compose up [OPTIONS] [SERVICE...]",
            ),
            (
                "lighter stop [OPTIONS] <CONTAINER>...",
                "lighter stop [OPTIONS] CONTAINER [CONTAINER...]",
            ),
            (
                "lighter tag [OPTIONS] <SOURCE> <TARGET>",
                "lighter tag [OPTIONS] SOURCE TARGET",
            ),
            (
                "lighter run [OPTIONS] IMAGE [COMMAND] [ARG...]",
                "lighter run [OPTIONS] IMAGE [COMMAND] [ARG...]",
            ),
        ] {
            assert_eq!(go_usage(clap), go);
        }
    }

    #[test]
    fn a_near_miss_is_suggested() {
        assert_eq!(nearest(VERBS, "stpo"), Some("stop"));
        assert_eq!(nearest(VERBS, "rn"), Some("rm"));
        assert_eq!(nearest(VERBS, "inspct"), Some("inspect"));
        assert_eq!(nearest(VERBS, "frobnicate"), None);
    }
}
