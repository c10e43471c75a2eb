//! Pieces to a [`Program`]: the tree of text, actions and blocks.

use std::collections::HashMap;

use serde_json::{Number, Value};

use super::Error;
use super::functions;
use super::lex::{self, Kind, Piece, Token};

/// How deep blocks and parentheses may nest.
const DEEPEST: usize = 64;

/// A whole template: its main block and those it `define`s.
#[derive(Debug)]
pub struct Program {
    pub source: String,
    pub main: Vec<Node>,
    pub defines: HashMap<String, Vec<Node>>,
}

/// One part of a block.
#[derive(Debug)]
pub enum Node {
    Text(String),
    Action(Pipeline),
    If {
        branches: Vec<(Pipeline, Vec<Node>)>,
        otherwise: Vec<Node>,
    },
    With {
        branches: Vec<(Pipeline, Vec<Node>)>,
        otherwise: Vec<Node>,
    },
    Range {
        over: Pipeline,
        body: Vec<Node>,
        otherwise: Vec<Node>,
    },
    Template {
        at: usize,
        name: String,
        with: Option<Pipeline>,
    },
    Break,
    Continue,
}

/// `$a, $b := first | second`.
#[derive(Debug)]
pub struct Pipeline {
    pub variables: Vec<String>,
    /// `=` rather than `:=`.
    pub assigns: bool,
    pub commands: Vec<Command>,
}

/// A function or value with its arguments.
#[derive(Debug)]
pub struct Command {
    pub words: Vec<Operand>,
}

/// One word of a command.
#[derive(Debug)]
pub struct Operand {
    /// Bytes of the template it was read from.
    pub span: std::ops::Range<usize>,
    /// Where Go says it is: at the second link of a chain.
    pub place: usize,
    pub kind: OperandKind,
    /// The `.Name`s that follow.
    pub fields: Vec<String>,
}

#[derive(Debug)]
pub enum OperandKind {
    Dot,
    Nil,
    Literal(Value),
    Variable(String),
    Function(String),
    Pipeline(Pipeline),
}

/// Reads a template.
pub fn parse(text: &str) -> Result<Program, Error> {
    let pieces = lex::lex(text)?;
    let mut parser = Parser {
        text,
        pieces: pieces.into_iter().collect(),
        at: 0,
        depth: 0,
        loops: 0,
        variables: vec!["$".into()],
        defines: HashMap::new(),
    };
    let (main, end) = parser.block()?;
    match end {
        End::Finished => Ok(Program {
            source: text.into(),
            main,
            defines: parser.defines,
        }),
        End::Word(word, at, _) => Err(parser.error(at, format!("unexpected {{{{{word}}}}}"))),
    }
}

/// What closed a block.
enum End {
    Finished,
    /// `end` or `else`, with the tokens after it.
    Word(String, usize, Vec<Token>),
}

struct Parser<'a> {
    text: &'a str,
    pieces: Vec<Piece>,
    at: usize,
    depth: usize,
    loops: usize,
    variables: Vec<String>,
    defines: HashMap<String, Vec<Node>>,
}

impl Parser<'_> {
    fn error(&self, at: usize, what: impl Into<String>) -> Error {
        Error::Parse {
            line: lex::line_of(self.text, at),
            what: what.into(),
        }
    }

    /// Reads nodes up to `end`, `else` or the end of the template.
    fn block(&mut self) -> Result<(Vec<Node>, End), Error> {
        let mut nodes = Vec::new();
        while self.at < self.pieces.len() {
            let piece = std::mem::replace(&mut self.pieces[self.at], Piece::Text(String::new()));
            self.at += 1;
            let tokens = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(text));
                    continue;
                }
                Piece::Action(tokens) => tokens,
            };
            let Some(first) = tokens.first() else {
                return Err(self.error(0, "missing value for command"));
            };
            match &first.kind {
                Kind::Word(word) if word == "end" || word == "else" => {
                    return Ok((
                        nodes,
                        End::Word(word.clone(), first.at, tokens[1..].to_vec()),
                    ));
                }
                Kind::Word(word) => nodes.extend(self.statement(&word.clone(), &tokens)?),
                _ => nodes.push(Node::Action(self.pipeline(&tokens)?)),
            }
        }
        Ok((nodes, End::Finished))
    }

    fn statement(&mut self, word: &str, tokens: &[Token]) -> Result<Option<Node>, Error> {
        let (at, rest) = (tokens[0].at, &tokens[1..]);
        let node = match word {
            "if" => self
                .branches(at, rest, "if")
                .map(|(branches, otherwise)| Node::If {
                    branches,
                    otherwise,
                })?,
            "with" => self
                .branches(at, rest, "with")
                .map(|(branches, otherwise)| Node::With {
                    branches,
                    otherwise,
                })?,
            "range" => self.range(at, rest)?,
            "template" => self.template(at, rest)?,
            "block" => self.inline_block(at, rest)?,
            "define" => {
                self.define(at, rest)?;
                return Ok(None);
            }
            "break" | "continue" if self.loops == 0 => {
                return Err(self.error(at, format!("{{{{{word}}}}} outside {{{{range}}}}")));
            }
            "break" => Node::Break,
            "continue" => Node::Continue,
            _ => Node::Action(self.pipeline(tokens)?),
        };
        Ok(Some(node))
    }

    /// `{{if}} ... {{else if}} ... {{else}} ... {{end}}`, and the same for `with`.
    #[allow(clippy::type_complexity)]
    fn branches(
        &mut self,
        at: usize,
        condition: &[Token],
        keyword: &str,
    ) -> Result<(Vec<(Pipeline, Vec<Node>)>, Vec<Node>), Error> {
        let scope = self.variables.len();
        let mut condition = self.pipeline_at(at, condition)?;
        let mut branches = Vec::new();
        loop {
            let (body, end) = self.nested(at)?;
            branches.push((condition, body));
            let (word, tokens) = self.closing(at, end)?;
            match (word.as_str(), tokens.split_first()) {
                ("end", _) => {
                    self.variables.truncate(scope);
                    return Ok((branches, Vec::new()));
                }
                (_, Some((next, rest))) if next.kind == Kind::Word(keyword.into()) => {
                    condition = self.pipeline_at(at, rest)?;
                }
                (_, None) => {
                    let otherwise = self.last_block(at)?;
                    self.variables.truncate(scope);
                    return Ok((branches, otherwise));
                }
                _ => return Err(self.error(at, "unexpected token in {{else}}")),
            }
        }
    }

    fn range(&mut self, at: usize, tokens: &[Token]) -> Result<Node, Error> {
        let scope = self.variables.len();
        let over = self.pipeline_at(at, tokens)?;
        self.loops += 1;
        let (body, end) = self.nested(at)?;
        self.loops -= 1;
        let (word, _) = self.closing(at, end)?;
        let otherwise = if word == "else" {
            self.last_block(at)?
        } else {
            Vec::new()
        };
        self.variables.truncate(scope);
        Ok(Node::Range {
            over,
            body,
            otherwise,
        })
    }

    fn nested(&mut self, at: usize) -> Result<(Vec<Node>, End), Error> {
        self.deeper(at)?;
        let scope = self.variables.len();
        let block = self.block()?;
        self.variables.truncate(scope);
        self.depth -= 1;
        Ok(block)
    }

    fn deeper(&mut self, at: usize) -> Result<(), Error> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.error(at, format!("blocks are nested deeper than {DEEPEST}")));
        }
        Ok(())
    }

    /// A block that only `end` may close.
    fn last_block(&mut self, at: usize) -> Result<Vec<Node>, Error> {
        let (nodes, end) = self.nested(at)?;
        match self.closing(at, end)? {
            (word, _) if word == "end" => Ok(nodes),
            _ => Err(self.error(at, "expected end; found {{else}}")),
        }
    }

    fn closing(&self, at: usize, end: End) -> Result<(String, Vec<Token>), Error> {
        match end {
            End::Word(word, _, tokens) => Ok((word, tokens)),
            End::Finished => Err(self.error(at, "unexpected EOF")),
        }
    }

    fn template(&mut self, at: usize, tokens: &[Token]) -> Result<Node, Error> {
        let (name, rest) = self.block_name(at, tokens, "template")?;
        let with = if rest.is_empty() {
            None
        } else {
            Some(self.pipeline(rest)?)
        };
        Ok(Node::Template { at, name, with })
    }

    /// `{{block "name" pipeline}} ... {{end}}` defines and uses at once.
    fn inline_block(&mut self, at: usize, tokens: &[Token]) -> Result<Node, Error> {
        let (name, rest) = self.block_name(at, tokens, "block")?;
        let with = Some(self.pipeline_at(at, rest)?);
        let body = self.separate_block(at)?;
        self.defines.entry(name.clone()).or_insert(body);
        Ok(Node::Template { at, name, with })
    }

    fn define(&mut self, at: usize, tokens: &[Token]) -> Result<(), Error> {
        let (name, _) = self.block_name(at, tokens, "define")?;
        let body = self.separate_block(at)?;
        self.defines.insert(name, body);
        Ok(())
    }

    /// A block with variables and loops of its own.
    fn separate_block(&mut self, at: usize) -> Result<Vec<Node>, Error> {
        let variables = std::mem::replace(&mut self.variables, vec!["$".into()]);
        let loops = std::mem::take(&mut self.loops);
        let body = self.last_block(at)?;
        self.variables = variables;
        self.loops = loops;
        Ok(body)
    }

    fn block_name<'t>(
        &self,
        at: usize,
        tokens: &'t [Token],
        what: &str,
    ) -> Result<(String, &'t [Token]), Error> {
        match tokens.split_first() {
            Some((
                Token {
                    kind: Kind::String(name),
                    ..
                },
                rest,
            )) => Ok((name.clone(), rest)),
            _ => Err(self.error(at, format!("missing name in {what} clause"))),
        }
    }

    fn pipeline_at(&mut self, at: usize, tokens: &[Token]) -> Result<Pipeline, Error> {
        if tokens.is_empty() {
            return Err(self.error(at, "missing value"));
        }
        self.pipeline(tokens)
    }

    fn pipeline(&mut self, tokens: &[Token]) -> Result<Pipeline, Error> {
        let (variables, assigns, rest) = self.left_side(tokens)?;
        let mut rest = rest;
        let commands = self.commands(&mut rest)?;
        if let Some(token) = rest.first() {
            return Err(self.error(token.at, "unexpected right paren"));
        }
        if assigns {
            for name in &variables {
                self.check_variable(name, tokens[0].at)?;
            }
        } else {
            self.variables.extend(variables.iter().cloned());
        }
        Ok(Pipeline {
            variables,
            assigns,
            commands,
        })
    }

    /// `$a :=`, `$a, $b :=`, `$a =`, or nothing.
    fn left_side<'t>(
        &self,
        tokens: &'t [Token],
    ) -> Result<(Vec<String>, bool, &'t [Token]), Error> {
        let Some(sign) = tokens
            .iter()
            .position(|t| matches!(t.kind, Kind::Declare | Kind::Assign))
        else {
            return Ok((Vec::new(), false, tokens));
        };
        let mut variables = Vec::new();
        for token in &tokens[..sign] {
            match &token.kind {
                Kind::Variable(name) => variables.push(name.clone()),
                Kind::Comma => {}
                _ => return Err(self.error(token.at, "unexpected token left of the assignment")),
            }
        }
        if variables.is_empty() || variables.len() > 2 {
            return Err(self.error(tokens[sign].at, "too many declarations in command"));
        }
        Ok((
            variables,
            tokens[sign].kind == Kind::Assign,
            &tokens[sign + 1..],
        ))
    }

    /// Commands up to the end or a closing parenthesis, which is left in place.
    fn commands(&mut self, rest: &mut &[Token]) -> Result<Vec<Command>, Error> {
        let mut commands = Vec::new();
        let mut words = Vec::new();
        loop {
            let token = rest.first().cloned();
            match token.as_ref().map(|token| &token.kind) {
                None | Some(Kind::Close | Kind::Pipe) if words.is_empty() => {
                    let at = token.map_or(0, |token| token.at);
                    return Err(self.error(at, "missing value for command"));
                }
                None | Some(Kind::Close) => {
                    commands.push(Command { words });
                    return Ok(commands);
                }
                Some(Kind::Pipe) => {
                    *rest = &rest[1..];
                    commands.push(Command {
                        words: std::mem::take(&mut words),
                    });
                }
                Some(_) => words.push(self.operand(rest)?),
            }
        }
    }

    fn operand(&mut self, rest: &mut &[Token]) -> Result<Operand, Error> {
        let token = rest[0].clone();
        *rest = &rest[1..];
        let mut fields = Vec::new();
        let kind = match token.kind {
            Kind::Dot => OperandKind::Dot,
            Kind::Field(name) => {
                fields.push(name);
                OperandKind::Dot
            }
            Kind::Variable(name) => {
                self.check_variable(&name, token.at)?;
                OperandKind::Variable(name)
            }
            Kind::String(text) => OperandKind::Literal(text.into()),
            Kind::Integer(number) => OperandKind::Literal(number.into()),
            Kind::Float(number) => {
                OperandKind::Literal(Number::from_f64(number).map_or(Value::Null, Value::Number))
            }
            Kind::Word(word) => self.word(word, token.at)?,
            Kind::Open => self.parenthesis(token.at, rest)?,
            _ => return Err(self.error(token.at, "unexpected token in operand")),
        };
        let mut place = None;
        while let Some(Token {
            kind: Kind::Field(name),
            spaced: false,
            at,
        }) = rest.first()
        {
            place.get_or_insert(*at);
            fields.push(name.clone());
            *rest = &rest[1..];
        }
        let end = self.operand_end(token.at, rest);
        Ok(Operand {
            span: token.at..end,
            place: place.unwrap_or(token.at),
            kind,
            fields,
        })
    }

    /// An operand reaches to the next token, or to the end of its action.
    fn operand_end(&self, start: usize, rest: &[Token]) -> usize {
        let limit = rest.first().map(|next| next.at);
        let close = self.text[start..]
            .find("}}")
            .map_or(self.text.len(), |found| start + found);
        let end = limit.unwrap_or(close);
        start
            + self.text[start..end]
                .trim_end_matches([' ', '\t', '\n', '-'])
                .len()
    }

    fn word(&self, word: String, at: usize) -> Result<OperandKind, Error> {
        match word.as_str() {
            "true" => Ok(OperandKind::Literal(true.into())),
            "false" => Ok(OperandKind::Literal(false.into())),
            "nil" => Ok(OperandKind::Nil),
            name if functions::is_known(name) => Ok(OperandKind::Function(word)),
            name => Err(self.error(at, format!("function {name:?} not defined"))),
        }
    }

    fn parenthesis(&mut self, at: usize, rest: &mut &[Token]) -> Result<OperandKind, Error> {
        self.deeper(at)?;
        let commands = self.commands(rest)?;
        self.depth -= 1;
        match rest.split_first() {
            Some((
                Token {
                    kind: Kind::Close, ..
                },
                after,
            )) => {
                *rest = after;
                Ok(OperandKind::Pipeline(Pipeline {
                    variables: Vec::new(),
                    assigns: false,
                    commands,
                }))
            }
            _ => Err(self.error(at, "unclosed left paren")),
        }
    }

    fn check_variable(&self, name: &str, at: usize) -> Result<(), Error> {
        if self.variables.iter().any(|known| known == name) {
            return Ok(());
        }
        Err(self.error(at, format!("undefined variable {name:?}")))
    }
}
