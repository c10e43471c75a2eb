//! Template text to pieces: plain text, and the tokens of each `{{action}}`.
//!
//! Trim markers are applied here (`{{- ` eats the space before, ` -}}` after), so
//! nobody later has to know of them.

use super::Error;

/// Plain text or one action.
#[derive(Debug, PartialEq)]
pub enum Piece {
    Text(String),
    Action(Vec<Token>),
}

/// One token of an action.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    pub kind: Kind,
    /// Byte offset in the template.
    pub at: usize,
    /// Whether space stood before it: `.A.B` is one operand, `.A .B` are two.
    pub spaced: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// A name: keyword or function.
    Word(String),
    /// `.Name`.
    Field(String),
    /// `.` alone.
    Dot,
    /// `$` or `$name`, with the dollar.
    Variable(String),
    String(String),
    Integer(i64),
    Float(f64),
    Pipe,
    Open,
    Close,
    Comma,
    /// `:=`
    Declare,
    /// `=`
    Assign,
}

/// Splits a template into pieces.
pub fn lex(text: &str) -> Result<Vec<Piece>, Error> {
    let mut pieces = Vec::new();
    let mut at = 0;
    let mut trim_next = false;
    while let Some(open) = text[at..].find("{{").map(|found| at + found) {
        let trims_left = text[open + 2..].starts_with('-') && starts_with_space(&text[open + 3..]);
        push_text(&mut pieces, &text[at..open], trim_next, trims_left);
        let start = open + if trims_left { 3 } else { 2 };
        let mut reader = Reader { text, at: start };
        let end = if text[start..].trim_start().starts_with("/*") {
            reader.comment()?
        } else {
            let (tokens, end) = reader.action()?;
            pieces.push(Piece::Action(tokens));
            end
        };
        trim_next = end.trims;
        at = end.at;
    }
    push_text(&mut pieces, &text[at..], trim_next, false);
    Ok(pieces)
}

fn starts_with_space(text: &str) -> bool {
    text.starts_with([' ', '\t', '\r', '\n'])
}

fn push_text(pieces: &mut Vec<Piece>, text: &str, trim_start: bool, trim_end: bool) {
    let space = [' ', '\t', '\r', '\n'];
    let text = if trim_start {
        text.trim_start_matches(space)
    } else {
        text
    };
    let text = if trim_end {
        text.trim_end_matches(space)
    } else {
        text
    };
    if !text.is_empty() {
        pieces.push(Piece::Text(text.to_owned()));
    }
}

/// Where an action ended.
struct End {
    /// The byte after `}}`.
    at: usize,
    /// Whether it was ` -}}`.
    trims: bool,
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn error(&self, what: impl Into<String>) -> Error {
        Error::Parse {
            line: line_of(self.text, self.at),
            what: what.into(),
        }
    }

    fn skip_space(&mut self) -> bool {
        let trimmed = self
            .rest()
            .trim_start_matches([' ', '\t', '\r', '\n'])
            .len();
        let before = self.rest().len();
        self.at = self.text.len() - trimmed;
        trimmed != before
    }

    fn comment(&mut self) -> Result<End, Error> {
        let Some(close) = self.rest().find("*/") else {
            return Err(self.error("unclosed comment"));
        };
        self.at += close + 2;
        let spaced = self.skip_space();
        self.end(spaced)
            .ok_or_else(|| self.error("comment ends before closing delimiter"))
    }

    /// The end of an action, if it is here.
    fn end(&self, spaced: bool) -> Option<End> {
        if self.rest().starts_with("}}") {
            return Some(End {
                at: self.at + 2,
                trims: false,
            });
        }
        let trims = spaced && self.rest().starts_with("-}}");
        trims.then_some(End {
            at: self.at + 3,
            trims: true,
        })
    }

    fn action(&mut self) -> Result<(Vec<Token>, End), Error> {
        let mut tokens = Vec::new();
        loop {
            let spaced = self.skip_space();
            if let Some(end) = self.end(spaced) {
                return Ok((tokens, end));
            }
            let at = self.at;
            let kind = self.token()?;
            tokens.push(Token { kind, at, spaced });
        }
    }

    fn token(&mut self) -> Result<Kind, Error> {
        let Some(first) = self.rest().chars().next() else {
            return Err(self.error("unclosed action"));
        };
        match first {
            '"' => self.quoted(),
            '`' => self.raw(),
            '\'' => self.character(),
            '0'..='9' => self.number(),
            '+' | '-' if self.rest()[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                self.number()
            }
            '.' => Ok(self.field()),
            '$' => {
                self.at += 1;
                let name = self.word();
                Ok(Kind::Variable(format!("${name}")))
            }
            c if c.is_alphanumeric() || c == '_' => Ok(Kind::Word(self.word())),
            _ => self.symbol(first),
        }
    }

    fn symbol(&mut self, first: char) -> Result<Kind, Error> {
        let kind = match first {
            '|' => Kind::Pipe,
            '(' => Kind::Open,
            ')' => Kind::Close,
            ',' => Kind::Comma,
            '=' => Kind::Assign,
            ':' if self.rest().starts_with(":=") => {
                self.at += 1;
                Kind::Declare
            }
            _ => {
                let code = u32::from(first);
                return Err(self.error(format!(
                    "unrecognized character in action: U+{code:04X} {first:?}"
                )));
            }
        };
        self.at += 1;
        Ok(kind)
    }

    fn word(&mut self) -> String {
        let length = self
            .rest()
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(self.rest().len());
        let word = self.rest()[..length].to_owned();
        self.at += length;
        word
    }

    fn field(&mut self) -> Kind {
        self.at += 1;
        let name = self.word();
        if name.is_empty() {
            Kind::Dot
        } else {
            Kind::Field(name)
        }
    }

    fn raw(&mut self) -> Result<Kind, Error> {
        let Some(close) = self.rest()[1..].find('`') else {
            return Err(self.error("unterminated raw quoted string"));
        };
        let text = self.rest()[1..1 + close].to_owned();
        self.at += close + 2;
        Ok(Kind::String(text))
    }

    fn quoted(&mut self) -> Result<Kind, Error> {
        self.at += 1;
        let mut text = String::new();
        loop {
            match self.next_in_quotes('"')? {
                Some(c) => text.push(c),
                None => return Ok(Kind::String(text)),
            }
        }
    }

    fn character(&mut self) -> Result<Kind, Error> {
        self.at += 1;
        let Some(c) = self.next_in_quotes('\'')? else {
            return Err(self.error("malformed character constant: ''"));
        };
        match self.next_in_quotes('\'')? {
            None => Ok(Kind::Integer(i64::from(u32::from(c)))),
            Some(_) => Err(self.error("malformed character constant")),
        }
    }

    /// The next character of a quoted constant, `None` at its closing quote.
    fn next_in_quotes(&mut self, quote: char) -> Result<Option<char>, Error> {
        let first = self.rest().chars().next().filter(|c| *c != '\n');
        let Some(first) = first else {
            return Err(self.error("unterminated quoted string"));
        };
        self.at += first.len_utf8();
        match first {
            '\\' => self.escape().map(Some),
            c if c == quote => Ok(None),
            c => Ok(Some(c)),
        }
    }

    fn escape(&mut self) -> Result<char, Error> {
        let kind = self
            .rest()
            .chars()
            .next()
            .ok_or_else(|| self.error("unterminated quoted string"))?;
        self.at += kind.len_utf8();
        match kind {
            'a' => Ok('\x07'),
            'b' => Ok('\x08'),
            'f' => Ok('\x0c'),
            'n' => Ok('\n'),
            'r' => Ok('\r'),
            't' => Ok('\t'),
            'v' => Ok('\x0b'),
            '\\' | '"' | '\'' => Ok(kind),
            'x' => self.code_point(2),
            'u' => self.code_point(4),
            'U' => self.code_point(8),
            _ => Err(self.error(format!("invalid escape \\{kind} in string"))),
        }
    }

    fn code_point(&mut self, digits: usize) -> Result<char, Error> {
        let code = self
            .rest()
            .get(..digits)
            .and_then(|hex| u32::from_str_radix(hex, 16).ok());
        let Some(c) = code.and_then(char::from_u32) else {
            return Err(self.error("invalid escape in string"));
        };
        self.at += digits;
        Ok(c)
    }

    fn number(&mut self) -> Result<Kind, Error> {
        let length = self
            .rest()
            .find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '_' | '+' | '-'))
            .unwrap_or(self.rest().len());
        let text = self.rest()[..length].to_owned();
        let kind =
            number(&text).ok_or_else(|| self.error(format!("bad number syntax: {text:?}")))?;
        self.at += length;
        Ok(kind)
    }
}

/// Go's number constants: decimal, `0x`, `0o`, `0b`, underscores, floats.
fn number(text: &str) -> Option<Kind> {
    let plain = text.replace('_', "");
    let (sign, digits) = match plain.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let lower = digits.to_ascii_lowercase();
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(rest) = lower.strip_prefix(prefix) {
            return i64::from_str_radix(rest, radix)
                .ok()
                .map(|n| Kind::Integer(sign * n));
        }
    }
    match digits.parse::<i64>() {
        Ok(number) => Some(Kind::Integer(sign * number)),
        Err(_) => plain.parse().ok().map(Kind::Float),
    }
}

/// The line of a byte offset, counted from one.
pub fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// The offset within its line, counted from zero.
pub fn column_of(text: &str, at: usize) -> usize {
    at - text[..at].rfind('\n').map_or(0, |newline| newline + 1)
}
