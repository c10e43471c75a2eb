//! Errors for people: in comes what a verb returned, out go lines on stderr and
//! an exit code. Nothing else in the program prints an error.
//!
//! Exit codes are docker's. Options nobody knows are 125; a verb nobody knows or
//! too few or many arguments are 1; a verb that failed is 1 unless it says
//! otherwise with [`Failure`] (`run` has 125, 126, 127 and 128+signal).

use std::io;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::args::{Global, Level, Refusal};

/// An option or value that is wrong, or an engine that could not do it.
pub const CANNOT_RUN: u8 = 125;

/// An error that wants an exit code other than 1.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub code: u8,
    /// What went wrong.
    pub error: anyhow::Error,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, out: &mut std::fmt::Formatter) -> std::fmt::Result {
        self.error.fmt(out)
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

/// `result.exit_code(125)?` gives a failure an exit code of its own.
pub trait Context<T> {
    /// The same result; its error, if it has one, wants this exit code.
    fn exit_code(self, code: u8) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> Context<T> for Result<T, E> {
    fn exit_code(self, code: u8) -> anyhow::Result<T> {
        self.map_err(|error| failure(code, error))
    }
}

/// Gives an error an exit code of its own.
pub fn failure(code: u8, error: impl Into<anyhow::Error>) -> anyhow::Error {
    anyhow::Error::new(Failure {
        code,
        error: error.into(),
    })
}

/// Several objects were asked for and some failed; each error was a line already.
/// Prints one and remembers that the exit code is 1.
#[derive(Default)]
pub struct Each {
    failed: bool,
}

impl Each {
    /// Prints the error of one object, if it has one, and passes on the value.
    pub fn check<T>(&mut self, result: Result<T, impl Into<anyhow::Error>>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.failed = true;
                print(&error.into(), Level::Info);
                None
            }
        }
    }

    /// Success only if all were.
    pub fn code(self) -> ExitCode {
        if self.failed {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        }
    }
}

/// Does the same to every object, printing the names of those it worked on.
pub fn each<E: Into<anyhow::Error>>(
    names: &[String],
    act: impl Fn(&str) -> Result<(), E>,
) -> anyhow::Result<ExitCode> {
    let mut each = Each::default();
    for name in names {
        if each.check(act(name)).is_some() {
            crate::output::line(name)?;
        }
    }
    Ok(each.code())
}

/// docker's list of what a prune removed; nothing when that is nothing.
pub fn deleted(what: &str, names: &[String]) -> anyhow::Result<()> {
    if !names.is_empty() {
        crate::output::text(&format!("Deleted {what}:\n{}\n\n", names.join("\n")))?;
    }
    Ok(())
}

/// Asks before something is lost. No answer is no.
pub fn confirm(warning: &str) -> anyhow::Result<bool> {
    eprint!("WARNING! {warning}\nAre you sure you want to continue? [y/N] ");
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y"))
}

/// Prints a verb's error, if it has one, and yields the exit code.
pub fn finish(path: &str, result: anyhow::Result<ExitCode>, global: &Global) -> ExitCode {
    let error = match result {
        Ok(code) => return code,
        Err(error) => error,
    };
    // The reader of our output went away (`lighter ps | head -1`): nobody is left to tell.
    if is_broken_stdout(&error) {
        return ExitCode::SUCCESS;
    }
    print(&error, global.level);
    let code = error
        .chain()
        .find_map(|error| error.downcast_ref::<Failure>())
        .map(|f| f.code);
    if code == Some(CANNOT_RUN) {
        eprintln!("\nRun '{path} --help' for more information");
    }
    ExitCode::from(code.unwrap_or(1))
}

fn is_broken_stdout(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<crate::output::Closed>()
        .is_some_and(|closed| closed.0.kind() == io::ErrorKind::BrokenPipe)
}

/// `lighter: error: cause: cause`, then the hint.
fn print(error: &anyhow::Error, level: Level) {
    eprintln!(
        "lighter: {}",
        sentence(error.chain().map(ToString::to_string))
    );
    for hint in crate::hint::of(error) {
        eprintln!("hint: {hint}");
    }
    if level == Level::Debug {
        for (depth, cause) in error.chain().enumerate() {
            eprintln!("debug: {:indent$}{cause:?}", "", indent = depth * 2);
        }
    }
}

/// Joins an error and its causes. A cause that its error quotes already is left out.
fn sentence(chain: impl Iterator<Item = String>) -> String {
    chain.fold(String::new(), |sentence, cause| match sentence.as_str() {
        "" => cause,
        said if said.ends_with(&cause) => sentence,
        _ => format!("{sentence}: {cause}"),
    })
}

/// Explains why the command line was not understood.
pub fn refuse(refusal: Refusal) -> ExitCode {
    match refusal {
        Refusal::Text(text) => {
            let _ = crate::output::text(&text);
            ExitCode::SUCCESS
        }
        Refusal::UnknownVerb {
            path,
            name,
            nearest,
        } => {
            eprintln!("lighter: unknown command: {path} {name}\n");
            if let Some(nearest) = nearest {
                eprintln!("Did you mean '{path} {nearest}'?\n");
            }
            eprintln!("Run '{path} --help' for more information");
            ExitCode::FAILURE
        }
        Refusal::Usage { error, .. } if is_help(&error) => {
            let text = error.render().to_string();
            let (usage, rest) = text.split_once('\n').unwrap_or((&text, ""));
            let text = format!("{}\n{rest}", crate::args::go_usage(usage));
            let _ = crate::output::text(&text);
            ExitCode::SUCCESS
        }
        Refusal::Usage { path, usage, error } => {
            let (code, text) = usage_words(&path, &error);
            eprintln!("lighter: {text}\n");
            if error.get(ContextKind::Usage).is_some() {
                eprintln!("Usage:  {usage}\n");
            }
            eprintln!("Run '{path} --help' for more information");
            ExitCode::from(code)
        }
    }
}

/// Help that was asked for, or that says which verbs a noun has.
fn is_help(error: &clap::Error) -> bool {
    !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
}

/// clap's complaint in docker's words, with docker's exit code.
fn usage_words(path: &str, error: &clap::Error) -> (u8, String) {
    let argument = option_name(&context(error, ContextKind::InvalidArg).unwrap_or_default());
    let value = context(error, ContextKind::InvalidValue).unwrap_or_default();
    match error.kind() {
        ErrorKind::UnknownArgument if argument.starts_with("--") => {
            (CANNOT_RUN, unknown_flag(&argument, error))
        }
        ErrorKind::UnknownArgument if argument.starts_with('-') => {
            let letter = argument.chars().nth(1).unwrap_or('-');
            (
                CANNOT_RUN,
                format!("unknown shorthand flag: '{letter}' in {argument}"),
            )
        }
        ErrorKind::UnknownArgument => (
            1,
            format!("'{path}' does not take the argument {argument:?}"),
        ),
        ErrorKind::MissingRequiredArgument if !argument.starts_with('-') => {
            (1, format!("'{path}' requires at least 1 argument"))
        }
        ErrorKind::MissingRequiredArgument => (CANNOT_RUN, format!("flag needed: {argument}")),
        ErrorKind::TooFewValues | ErrorKind::WrongNumberOfValues if !argument.starts_with('-') => {
            (1, format!("'{path}' requires more arguments: {argument}"))
        }
        ErrorKind::InvalidSubcommand => {
            let name = context(error, ContextKind::InvalidSubcommand).unwrap_or_default();
            let nearest = context(error, ContextKind::SuggestedSubcommand);
            let nearest = nearest.as_deref().and_then(|all| all.split(", ").next());
            let meant = nearest.map(|nearest| format!("\n\nDid you mean '{path} {nearest}'?"));
            let meant = meant.unwrap_or_default();
            (1, format!("unknown command: {path} {name}{meant}"))
        }
        ErrorKind::ArgumentConflict => {
            let others = match error.get(ContextKind::PriorArg) {
                Some(ContextValue::Strings(all)) => all.clone(),
                Some(ContextValue::String(one)) => vec![one.clone()],
                _ => Vec::new(),
            };
            let others: Vec<String> = others.iter().map(|other| option_name(other)).collect();
            let others = others.join(", ");
            (
                CANNOT_RUN,
                format!("{argument} cannot be used with {others}"),
            )
        }
        ErrorKind::InvalidValue if value.is_empty() => {
            (CANNOT_RUN, format!("flag needs an argument: {argument}"))
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            (CANNOT_RUN, invalid_value(&argument, &value, error))
        }
        _ => (CANNOT_RUN, first_line(error)),
    }
}

/// `--memory` of clap's `--memory <BYTES>`, `--rm` of `--rm[=<BOOL>]`; an argument stays whole.
fn option_name(argument: &str) -> String {
    match argument.find([' ', '[']) {
        Some(end) if argument.starts_with('-') => argument[..end].to_owned(),
        _ => argument.to_owned(),
    }
}

fn unknown_flag(argument: &str, error: &clap::Error) -> String {
    match context(error, ContextKind::SuggestedArg) {
        Some(nearest) => format!("unknown flag: {argument} (did you mean {nearest}?)"),
        None => format!("unknown flag: {argument}"),
    }
}

fn invalid_value(argument: &str, value: &str, error: &clap::Error) -> String {
    let known =
        context(error, ContextKind::ValidValue).map(|all| format!(": must be one of {all}"));
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    let why = cause.or(known).unwrap_or_default();
    format!("invalid argument {value:?} for {argument:?}{why}")
}

fn first_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

fn context(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) => Some(texts.join(", ")),
        ContextValue::StyledStr(text) => Some(text.to_string()),
        _ => None,
    }
}
