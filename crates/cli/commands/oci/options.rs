//! Options as runc takes them: parsed by hand, because engines start us for every container.
//!
//! In: a table of [`Flag`]s and the words of the command line. Out: [`Given`]. Go's habits hold:
//! one dash or two, `--name=value` or `--name value`, `--switch=false`. Options may also stand
//! behind the container's id, as engines put them.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, bail};

/// One option of a verb.
#[derive(Debug)]
pub struct Flag {
    /// As in `--pid-file`.
    pub long: &'static str,
    /// As in `-d`.
    pub short: Option<&'static str>,
    /// What its value is; `None` for a switch.
    pub value: Option<&'static str>,
    /// What it does.
    pub help: &'static str,
}

/// An option with a value.
pub const fn value(long: &'static str, value: &'static str, help: &'static str) -> Flag {
    Flag {
        long,
        short: None,
        value: Some(value),
        help,
    }
}

/// An option that is there or not.
pub const fn switch(long: &'static str, help: &'static str) -> Flag {
    Flag {
        long,
        short: None,
        value: None,
        help,
    }
}

impl Flag {
    /// Gives the option a short name too.
    pub const fn or(self, short: &'static str) -> Flag {
        Flag {
            short: Some(short),
            ..self
        }
    }

    fn is_named(&self, name: &str) -> bool {
        self.long == name || self.short == Some(name)
    }
}

/// Where the options of a verb end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// At the verb: the global options.
    FirstWord,
    /// At the program's name, which stands behind the container's id.
    SecondWord,
    /// Nowhere.
    Never,
}

/// What the command line says.
#[derive(Debug, Default)]
pub struct Given {
    options: Vec<(&'static str, OsString)>,
    /// What is no option, in order.
    pub words: Vec<OsString>,
}

impl Given {
    /// Sorts `arguments` into options of `flags` and words.
    ///
    /// # Errors
    /// An unknown option, or one without its value.
    pub fn parse(flags: &[Flag], arguments: &[OsString], end: End) -> anyhow::Result<Given> {
        let mut given = Given::default();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let is_over = match end {
                End::FirstWord => !given.words.is_empty(),
                End::SecondWord => given.words.len() > 1,
                End::Never => false,
            };
            match argument.to_str().and_then(option) {
                Some("") if !is_over => {
                    given.words.extend(rest.by_ref().cloned());
                }
                Some(text) if !is_over => {
                    let (flag, value) = find(flags, text)?;
                    let value = match (value, flag.value) {
                        (Some(value), _) => value.into(),
                        (None, None) => "true".into(),
                        (None, Some(_)) => {
                            let next = rest.next().cloned();
                            next.with_context(|| {
                                format!("flag needs an argument: --{}", flag.long)
                            })?
                        }
                    };
                    given.options.push((flag.long, value));
                }
                _ => given.words.push(argument.clone()),
            }
        }
        Ok(given)
    }

    /// True if the switch was given, and not as `--name=false`.
    ///
    /// # Errors
    /// A value that is neither true nor false.
    pub fn switch(&self, name: &str) -> anyhow::Result<bool> {
        match self.text(name)?.as_deref() {
            None => Ok(false),
            Some(text) => crate::args::go_bool(text)
                .map_err(|error| anyhow::anyhow!("invalid boolean value for --{name}: {error}")),
        }
    }

    /// The last value given.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&OsStr> {
        self.options
            .iter()
            .rev()
            .find(|(long, _)| *long == name)
            .map(|(_, value)| value.as_os_str())
    }

    /// The last value given, as a path.
    #[must_use]
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.value(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    }

    /// The last value given, as text.
    ///
    /// # Errors
    /// It is not UTF-8.
    pub fn text(&self, name: &str) -> anyhow::Result<Option<String>> {
        let text = |value: &OsStr| {
            let text = value.to_str().map(str::to_owned);
            text.with_context(|| format!("the value of --{name} is not UTF-8"))
        };
        self.value(name).map(text).transpose()
    }

    /// All values given, in order.
    ///
    /// # Errors
    /// One is not UTF-8.
    pub fn texts(&self, name: &str) -> anyhow::Result<Vec<String>> {
        let mine = self.options.iter().filter(|(long, _)| *long == name);
        let text = |(_, value): &(&str, OsString)| {
            let text = value.to_str().map(str::to_owned);
            text.with_context(|| format!("the value of --{name} is not UTF-8"))
        };
        mine.map(text).collect()
    }

    /// The last value given, as a number or anything else that is written as text.
    ///
    /// # Errors
    /// It is none.
    pub fn parsed<T: FromStr>(&self, name: &str) -> anyhow::Result<Option<T>> {
        let parse = |text: String| {
            let parsed = text.parse().ok();
            parsed.with_context(|| format!("invalid value {text:?} for flag --{name}"))
        };
        self.text(name)?.map(parse).transpose()
    }

    /// The container's id, the first word, and the words behind it.
    ///
    /// # Errors
    /// There is none, or more words than `most` follow it.
    pub fn id(&self, most: usize) -> anyhow::Result<(&str, &[OsString])> {
        let Some((id, rest)) = self.words.split_first() else {
            bail!("the container's id is missing")
        };
        if let Some(word) = rest.get(most) {
            bail!("too many arguments: {word:?}");
        }
        Ok((
            id.to_str().context("the container's id is not UTF-8")?,
            rest,
        ))
    }
}

/// The flag that `name` or `name=value` means, and the value.
fn find<'a>(flags: &'a [Flag], text: &'a str) -> anyhow::Result<(&'a Flag, Option<&'a str>)> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (text, None),
    };
    let flag = flags.iter().find(|flag| flag.is_named(name));
    Ok((
        flag.with_context(|| format!("flag provided but not defined: -{name}"))?,
        value,
    ))
}

/// The text behind the dashes, if the word is an option: `""` for `--`, `None` for `-`.
fn option(word: &str) -> Option<&str> {
    match word.strip_prefix("--") {
        Some(text) => Some(text),
        None => word.strip_prefix('-').filter(|text| !text.is_empty()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: &[Flag] = &[
        value("pid-file", "FILE", "").or("p"),
        switch("detach", "").or("d"),
        value("env", "NAME=VALUE", "").or("e"),
    ];

    fn parse(words: &[&str], end: End) -> anyhow::Result<Given> {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        Given::parse(FLAGS, &words, end)
    }

    #[test]
    fn options_stand_before_and_behind_the_id() {
        let given = parse(&["-d", "box", "--pid-file", "/p"], End::Never).unwrap();
        assert!(given.switch("detach").unwrap());
        assert_eq!(given.path("pid-file"), Some("/p".into()));
        assert_eq!(given.id(0).unwrap().0, "box");
    }

    #[test]
    fn what_follows_the_program_belongs_to_it() {
        let given = parse(
            &["-e", "A=1", "box", "--env=B=2", "ls", "-d", "--", "x"],
            End::SecondWord,
        );
        let given = given.unwrap();
        assert_eq!(given.texts("env").unwrap(), ["A=1", "B=2"]);
        assert_eq!(given.id(9).unwrap().1, ["ls", "-d", "--", "x"]);
        assert!(!given.switch("detach").unwrap());
    }

    #[test]
    fn two_dashes_end_the_options() {
        let given = parse(&["box", "--", "-d"], End::SecondWord).unwrap();
        assert_eq!(given.words, ["box", "-d"]);
    }

    #[test]
    fn switches_can_be_switched_off() {
        assert!(
            !parse(&["--detach=false"], End::Never)
                .unwrap()
                .switch("detach")
                .unwrap()
        );
        assert!(
            parse(&["--detach=maybe"], End::Never)
                .unwrap()
                .switch("detach")
                .is_err()
        );
    }

    #[test]
    fn what_is_wrong_is_said_in_gos_words() {
        let error = |words: &[&str]| parse(words, End::Never).unwrap_err().to_string();
        assert_eq!(error(&["--nope"]), "flag provided but not defined: -nope");
        assert_eq!(error(&["--pid-file"]), "flag needs an argument: --pid-file");
        assert!(parse(&["a", "b"], End::Never).unwrap().id(0).is_err());
        assert!(parse(&[], End::Never).unwrap().id(0).is_err());
    }
}
