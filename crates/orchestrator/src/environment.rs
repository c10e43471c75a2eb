//! Variables by name, and the `.env` format they are read from.
//!
//! [`Environment`] is what interpolation looks names up in: the process's own variables first, then the `.env` files.
//! [`parse`] reads one file with docker's rules: quotes, escapes, `export`, comments, variables of earlier lines.
//!
//! Compose specification, 05-services, env_file format.

use indexmap::IndexMap;

use crate::interpolate::{Problem, substitute};

/// Variables by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    values: IndexMap<String, String>,
}

impl Environment {
    /// The variables of this process.
    #[must_use]
    pub fn of_process() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    /// The value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Sets `name`.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.values.insert(name.into(), value.into());
    }

    /// Takes from `other` what is not set here.
    pub fn fill_from(&mut self, other: IndexMap<String, String>) {
        for (name, value) in other {
            self.values.entry(name).or_insert(value);
        }
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// All variables.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self {
            values: pairs.into_iter().collect(),
        }
    }
}

/// What is wrong with an environment file, and in which line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct ParseError {
    /// The line, from 1.
    pub line: usize,
    /// A phrase.
    pub what: String,
}

/// Reads an environment file. `lookup` gives the variables that win over earlier lines, and those that a bare name
/// inherits.
///
/// # Errors
/// The first line that cannot be read.
pub fn parse(
    text: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<IndexMap<String, String>, ParseError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader {
        text,
        at: 0,
        lookup,
        values: IndexMap::new(),
    };
    while reader.skip_to_statement() {
        reader.statement()?;
    }
    Ok(reader.values)
}

/// Reads a file of `format: raw`: every line is `KEY=value`, literally.
#[must_use]
pub fn parse_raw(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> IndexMap<String, String> {
    let mut values = IndexMap::new();
    for line in text
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
    {
        match line.split_once('=') {
            Some((name, value)) => drop(values.insert(name.to_owned(), value.to_owned())),
            None => drop(lookup(line).map(|value| values.insert(line.to_owned(), value))),
        }
    }
    values
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    lookup: &'a dyn Fn(&str) -> Option<String>,
    values: IndexMap<String, String>,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn error(&self, what: impl Into<String>) -> ParseError {
        ParseError {
            line: self.text[..self.at].matches('\n').count() + 1,
            what: what.into(),
        }
    }

    /// Past blank lines and comments; false at the end.
    fn skip_to_statement(&mut self) -> bool {
        loop {
            let rest = self.rest();
            self.at += rest.len() - rest.trim_start().len();
            if !self.rest().starts_with('#') {
                return !self.rest().is_empty();
            }
            self.at += self.rest().find('\n').unwrap_or(self.rest().len());
        }
    }

    fn statement(&mut self) -> Result<(), ParseError> {
        if let Some(after) = self
            .rest()
            .strip_prefix("export")
            .filter(|rest| rest.starts_with(is_blank))
        {
            self.at = self.text.len() - after.trim_start_matches(is_blank).len();
        }
        let rest = self.rest();
        let end = rest.find(['=', ':', '\n']).unwrap_or(rest.len());
        let name = rest[..end].trim_end();
        if let Some(odd) = name.chars().find(|c| !is_name_char(*c)) {
            return Err(self.error(format!("{odd:?} cannot stand in the name {name:?}")));
        }
        if rest[end..].starts_with(['=', ':']) {
            if name.is_empty() {
                return Err(self.error("the name of a variable is missing"));
            }
            self.at += end + 1;
            let value = self.value()?;
            self.values.insert(name.to_owned(), value);
        } else {
            self.at += end;
            if let Some(value) = (self.lookup)(name) {
                self.values.insert(name.to_owned(), value);
            }
        }
        Ok(())
    }

    fn value(&mut self) -> Result<String, ParseError> {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches(is_blank).len();
        match self.rest().chars().next() {
            Some(quote @ ('"' | '\'')) => self.quoted(quote),
            _ => {
                let line = self.rest().lines().next().unwrap_or_default();
                let value = line.split(" #").next().unwrap_or_default().trim_end();
                let expanded = self.expand(value)?;
                self.at += line.len();
                Ok(expanded)
            }
        }
    }

    fn quoted(&mut self, quote: char) -> Result<String, ParseError> {
        let inside = &self.rest()[1..];
        let mut value = String::new();
        let mut chars = inside.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                _ if c == quote => {
                    let expanded = if quote == '"' {
                        self.expand(&unescape(&value))?
                    } else {
                        value
                    };
                    self.at += at + 2;
                    return Ok(expanded);
                }
                '\\' => match chars.next() {
                    Some((_, next)) if next == quote => value.push(next),
                    Some((_, next)) => value.extend(['\\', next]),
                    None => break,
                },
                _ => value.push(c),
            }
        }
        let line = inside.lines().next().unwrap_or_default();
        Err(self.error(format!("the value {quote}{line} has no closing quote")))
    }

    fn expand(&self, value: &str) -> Result<String, ParseError> {
        let lookup = |name: &str| (self.lookup)(name).or_else(|| self.values.get(name).cloned());
        substitute(value, &lookup, &mut Vec::new()).map_err(|problem| match problem {
            Problem::Invalid(text) => self.error(format!("{text:?} is not a variable")),
            Problem::Required { name, reason } => {
                self.error(format!("the variable {name} must be set: {reason}"))
            }
            Problem::TooMuch => self.error("variables make this value too long"),
        })
    }
}

/// `\n`, `\t`, `\"`, `\\`, `\0ddd` and the like; `\$` becomes the `$$` that interpolation turns into a dollar sign.
fn unescape(text: &str) -> String {
    let mut output = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        output += &rest[..at];
        rest = &rest[at + 1..];
        let Some(c) = rest.chars().next() else {
            output.push('\\');
            break;
        };
        let plain = match c {
            'a' => "\u{7}",
            'b' => "\u{8}",
            'f' => "\u{c}",
            'n' => "\n",
            'r' => "\r",
            't' => "\t",
            'v' => "\u{b}",
            '$' => "$$",
            '"' => "\"",
            '\\' => "\\",
            '0' => {
                let digits = rest[1..]
                    .chars()
                    .take(3)
                    .take_while(|c| c.is_digit(8))
                    .count();
                if let Some(c) = u32::from_str_radix(&rest[1..=digits], 8)
                    .ok()
                    .and_then(char::from_u32)
                {
                    output.push(c);
                    rest = &rest[1 + digits..];
                    continue;
                }
                "\\0"
            }
            _ => {
                output.push('\\');
                continue;
            }
        };
        output += plain;
        rest = &rest[c.len_utf8()..];
    }
    output + rest
}

fn is_blank(c: char) -> bool {
    c.is_whitespace() && c != '\n'
}

fn is_name_char(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '[' | ']')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, String)> {
        let lookup = |name: &str| (name == "HOME").then(|| "/root".to_owned());
        parse(text, &lookup).unwrap().into_iter().collect()
    }

    fn one(text: &str) -> String {
        read(text).pop().unwrap().1
    }

    #[test]
    fn values_in_every_quoting() {
        assert_eq!(one("A=b # c"), "b");
        assert_eq!(one("A=b#c"), "b#c");
        assert_eq!(one("A=\"b # c\""), "b # c");
        assert_eq!(one("A='$HOME \\' x'"), "$HOME ' x");
        assert_eq!(one("A=\"\\tx\\$HOME $HOME \\0101\""), "\tx$HOME /root A");
        assert_eq!(one("A=\"two\nlines\""), "two\nlines");
        assert_eq!(one("export  A: yaml"), "yaml");
        assert_eq!(one("A="), "");
        assert_eq!(one("A=1\nB=${A}2\n"), "12");
        assert_eq!(one("HOME=x\nB=${HOME}"), "/root");
    }

    #[test]
    fn bare_names_are_inherited_or_left_out() {
        assert_eq!(
            read("HOME\nNOWHERE\nA=1"),
            [("HOME".into(), "/root".into()), ("A".into(), "1".into())]
        );
    }

    #[test]
    fn mistakes_name_the_line() {
        let error = |text: &str| parse(text, &|_| None).unwrap_err().to_string();
        assert_eq!(
            error("A=1\nB C=2"),
            "line 2: ' ' cannot stand in the name \"B C\""
        );
        assert_eq!(
            error("\n\nA='x"),
            "line 3: the value 'x has no closing quote"
        );
    }
}
