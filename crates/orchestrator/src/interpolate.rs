//! `$VAR` and `${VAR...}` in values.
//!
//! Comes in: text and a lookup. Goes out: text with variables replaced, the names that were unset, or what is wrong.
//! Forms: `$$ $V ${V} ${V:-d} ${V-d} ${V:?e} ${V?e} ${V:+a} ${V+a}`, nested in the words after the operator, which are
//! only looked at when used. Keys are never interpolated.
//!
//! Compose specification, 12-interpolation.

use crate::diagnostic::{Diagnostic, Diagnostics, nearest};
use crate::environment::Environment;
use crate::yaml::{Kind, Node, Value};

/// Most bytes that interpolation of one file may produce.
const MAX_OUTPUT: usize = 16 << 20;
/// Deepest nesting of `${A:-${B:-...}}`.
const MAX_NESTING: usize = 64;

/// What can be wrong with a text that holds variables.
#[derive(Debug, PartialEq, Eq)]
pub enum Problem {
    /// `${`, `${}`, `${ A}`, `${A!}`.
    Invalid(String),
    /// `${A?words}` and A is not set.
    Required {
        /// The variable.
        name: String,
        /// The words of the user.
        reason: String,
    },
    /// More output or nesting than any file needs.
    TooMuch,
}

/// Replaces variables in `text`. Names that were not set and had no default go to `unset`.
///
/// # Errors
/// See [`Problem`].
pub fn substitute(
    text: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
    unset: &mut Vec<String>,
) -> Result<String, Problem> {
    Substitution { lookup, unset }.text(text, 0)
}

struct Substitution<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    unset: &'a mut Vec<String>,
}

impl Substitution<'_> {
    fn text(&mut self, text: &str, depth: usize) -> Result<String, Problem> {
        if depth > MAX_NESTING {
            return Err(Problem::TooMuch);
        }
        let mut output = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            output += &rest[..at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('$') {
                output.push('$');
                rest = after;
            } else if let Some(after) = rest.strip_prefix('{') {
                let end =
                    closing_brace(after).ok_or_else(|| Problem::Invalid(format!("${{{after}")))?;
                output += &self.braced(&after[..end], depth)?;
                rest = &after[end + 1..];
            } else {
                let end = name_length(rest);
                if end == 0 {
                    output.push('$');
                } else {
                    output += &self.plain(&rest[..end]);
                    rest = &rest[end..];
                }
            }
            if output.len() > MAX_OUTPUT {
                return Err(Problem::TooMuch);
            }
        }
        Ok(output + rest)
    }

    fn plain(&mut self, name: &str) -> String {
        (self.lookup)(name).unwrap_or_else(|| {
            self.unset.push(name.to_owned());
            String::new()
        })
    }

    fn braced(&mut self, inner: &str, depth: usize) -> Result<String, Problem> {
        let (name, rest) = inner.split_at(name_length(inner));
        let invalid = || Problem::Invalid(format!("${{{inner}}}"));
        if name.is_empty() {
            return Err(invalid());
        }
        if rest.is_empty() {
            return Ok(self.plain(name));
        }
        let (empty_is_unset, rest) = match rest.strip_prefix(':') {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let value = (self.lookup)(name);
        let present = value
            .clone()
            .filter(|value| !(empty_is_unset && value.is_empty()));
        let mut operator = rest.chars();
        match (operator.next(), operator.as_str()) {
            (Some('-'), words) => present.map_or_else(|| self.text(words, depth + 1), Ok),
            (Some('+'), words) if present.is_some() => self.text(words, depth + 1),
            (Some('+'), _) => Ok(String::new()),
            (Some('?'), words) => match present {
                Some(value) => Ok(value),
                None => Err(Problem::Required {
                    name: name.to_owned(),
                    reason: self.text(words, depth + 1)?,
                }),
            },
            _ => Err(invalid()),
        }
    }
}

/// Length of `[_A-Za-z][_A-Za-z0-9]*` at the start.
fn name_length(text: &str) -> usize {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return 0;
    }
    text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(text.len())
}

/// Where the brace that ends `${` stands; braces inside are counted, so that JSON can be a default.
fn closing_brace(text: &str) -> Option<usize> {
    let mut open = 1usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => open += 1,
            '}' if open == 1 => return Some(at),
            '}' => open -= 1,
            _ => {}
        }
    }
    None
}

/// Replaces the variables in every value of the tree.
pub fn interpolate(node: &mut Node, environment: &Environment, diagnostics: &mut Diagnostics) {
    let mut budget = MAX_OUTPUT;
    walk(node, environment, diagnostics, &mut budget);
}

fn walk(
    node: &mut Node,
    environment: &Environment,
    diagnostics: &mut Diagnostics,
    budget: &mut usize,
) {
    match &mut node.value {
        Value::Sequence(items) => items
            .iter_mut()
            .for_each(|item| walk(item, environment, diagnostics, budget)),
        Value::Mapping(mapping) => {
            mapping
                .values_mut()
                .for_each(|entry| walk(&mut entry.value, environment, diagnostics, budget));
        }
        Value::Scalar(scalar) if scalar.kind == Kind::Text && scalar.text.contains('$') => {
            let mut unset = Vec::new();
            let result = substitute(
                &scalar.text,
                &|name| environment.get(name).map(str::to_owned),
                &mut unset,
            )
            .and_then(|text| match budget.checked_sub(text.len()) {
                Some(left) => {
                    *budget = left;
                    Ok(text)
                }
                None => Err(Problem::TooMuch),
            });
            for name in unset {
                diagnostics.push(unset_warning(&name, node.span, environment));
            }
            match result {
                Ok(text) => scalar.text = text,
                Err(problem) => diagnostics.push(explain(&problem, node.span)),
            }
        }
        _ => {}
    }
}

fn unset_warning(name: &str, span: crate::yaml::Span, environment: &Environment) -> Diagnostic {
    let title = format!("the variable {name} is not set and becomes empty text");
    let help = match nearest(name, environment.names()) {
        Some(close) if close != name => format!("{close} is set; or write $$ for a dollar sign that is meant as such"),
        _ => "set it in the environment or in .env, or write $$ for a dollar sign that is meant as such".into(),
    };
    Diagnostic::warning(title, span).help(help)
}

fn explain(problem: &Problem, span: crate::yaml::Span) -> Diagnostic {
    match problem {
        Problem::Invalid(text) => Diagnostic::error(format!("{text:?} is not a variable"), span)
            .help("write ${NAME}, ${NAME:-default}, ${NAME:?message} or ${NAME:+other}; $$ is a dollar sign"),
        Problem::Required { name, reason } if reason.is_empty() => {
            Diagnostic::error(format!("the variable {name} must be set"), span)
        }
        Problem::Required { name, reason } => {
            Diagnostic::error(format!("the variable {name} must be set: {reason}"), span)
        }
        Problem::TooMuch => {
            Diagnostic::error(format!("variables grow this file beyond {} MiB", MAX_OUTPUT >> 20), span)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str) -> (Result<String, Problem>, usize) {
        let lookup = |name: &str| match name {
            "FOO" | "A" => Some("first".to_owned()),
            "BAR" => Some(String::new()),
            "JSON" => Some("{\"json\":2}".to_owned()),
            _ => None,
        };
        let mut unset = Vec::new();
        (substitute(text, &lookup, &mut unset), unset.len())
    }

    #[test]
    fn every_form() {
        for (text, want) in [
            ("$${foo}", "${foo}"),
            ("a $ string", "a $ string"),
            ("^REGEX$", "^REGEX$"),
            ("$}", "$}"),
            ("$", "$"),
            ("$FOO-bar", "first-bar"),
            ("ok ${missing:-def}", "ok def"),
            ("ok ${missing-def}", "ok def"),
            ("ok ${BAR:-def}", "ok def"),
            ("ok ${BAR-def}", "ok "),
            ("${UNSET:+p}${UNSET+p}", ""),
            ("${FOO:+p}${FOO+p}", "pp"),
            ("${BAR+p}", "p"),
            ("${BAR:+p}", ""),
            ("${BAR:-/non:-alphanumeric}", "/non:-alphanumeric"),
            ("${UNSET-${FOO} ${FOO}}", "first first"),
            ("${BAR+$FOO ${FOO:+second}}", "first second"),
            ("${UNSET-myerror?msg}", "myerror?msg"),
            ("${BAR?err}", ""),
            ("${missing:-{\"json\":1}}", "{\"json\":1}"),
            ("${JSON:-{\"json\":1}}", "{\"json\":2}"),
            ("-ok ${BAR:-d}", "-ok d"),
            (":?ok ${BAR:-d}", ":?ok d"),
            ("+ok ${UNSET:-${BAR-d}}", "+ok "),
        ] {
            assert_eq!(run(text).0.as_deref(), Ok(want), "{text}");
        }
    }

    #[test]
    fn mistakes() {
        for text in [
            "${", "${}", "${ }", "${ foo}", "${foo }", "${foo!}", "${foo:}",
        ] {
            assert!(matches!(run(text).0, Err(Problem::Invalid(_))), "{text}");
        }
        let required = |name: &str, reason: &str| {
            Err(Problem::Required {
                name: name.into(),
                reason: reason.into(),
            })
        };
        assert_eq!(run("${BAR:?err}").0, required("BAR", "err"));
        assert_eq!(
            run("${UNSET:?msg ${FOO}}").0,
            required("UNSET", "msg first")
        );
        assert_eq!(run("${UNSET?bar-baz}").0, required("UNSET", "bar-baz"));
    }

    #[test]
    fn unset_names_are_counted_only_where_used() {
        assert_eq!(run("This ${missing} var"), (Ok("This  var".into()), 1));
        assert_eq!(run("${U:-${B}}").1, 1);
        assert_eq!(run("${U:+${U},}B"), (Ok("B".into()), 0));
        assert_eq!(run("${A?${B}}").1, 0);
    }

    proptest::proptest! {
        #[test]
        fn never_panics_and_plain_text_is_untouched(text in "[a-z$ {}:?+-]{0,40}") {
            let result = run(&text).0;
            if !text.contains('$') {
                proptest::prop_assert_eq!(result, Ok(text));
            }
        }
    }
}
