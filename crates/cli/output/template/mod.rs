//! Go's text/template over JSON values, for `--format '{{.Names}}'`.
//!
//! In come a template and a JSON value, out goes text. Whoever scripts against
//! docker knows these templates, so the whole language is here: pipelines,
//! variables, `if`, `range`, `with`, `define`, comparisons, `printf`, and docker's
//! own functions (`json`, `join`, `truncate`, ...).
//!
//! Reading order: `lex` (text to tokens), `parse` (tokens to [`parse::Node`]s),
//! `evaluate` (nodes and data to text), `functions`, `print` (Go's `%v`).
//!
//! One thing JSON cannot tell is a struct from a map. Go calls a missing field of
//! a struct an error and a missing key of a map nothing; here a missing name is an
//! error if it starts with an upper-case letter, as every field of docker's does.

mod evaluate;
mod functions;
mod lex;
mod parse;
mod print;

use serde_json::Value;

/// A template that has been parsed.
#[derive(Debug)]
pub struct Template {
    pub(self) program: parse::Program,
}

/// What is wrong with a template, or with a value it was applied to.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text is not a template.
    #[error("template parsing error: template: :{line}: {what}")]
    Parse {
        /// Line, counted from one.
        line: usize,
        /// What was not understood.
        what: String,
    },
    /// A step of it could not be done on this value.
    #[error("template: :{line}:{column}: executing \"\" at <{at}>: {what}")]
    Execute {
        /// Line, counted from one.
        line: usize,
        /// Byte within the line, counted from zero.
        column: usize,
        /// The step.
        at: String,
        /// Why not.
        what: String,
    },
}

impl Template {
    /// Reads a template.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Ok(Self {
            program: parse::parse(text)?,
        })
    }

    /// Applies the template to a value.
    pub fn render(&self, data: &Value) -> Result<String, Error> {
        evaluate::render(&self.program, data, functions::Set::Values)
    }

    /// Applies the template to column headings: functions leave them as they are.
    pub fn render_headings(&self, headings: &Value) -> Result<String, Error> {
        evaluate::render(&self.program, headings, functions::Set::Headings)
    }
}

#[cfg(test)]
mod tests;
