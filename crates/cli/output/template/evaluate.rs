//! A [`Program`] and a value to text.

use serde_json::Value;

use super::Error;
use super::functions::{self, Fault, Set};
use super::lex;
use super::parse::{Command, Node, Operand, OperandKind, Pipeline, Program};
use super::print;
use crate::output::typed;

/// How deep templates may call each other.
const DEEPEST: usize = 100;

/// Applies a program to a value.
pub fn render(program: &Program, data: &Value, set: Set) -> Result<String, Error> {
    let mut state = State {
        program,
        set,
        out: String::new(),
        variables: vec![("$".into(), data.clone())],
        depth: 0,
    };
    state.block(&program.main, data)?;
    Ok(state.out)
}

struct State<'p> {
    program: &'p Program,
    set: Set,
    out: String,
    variables: Vec<(String, Value)>,
    depth: usize,
}

/// How a block ended.
#[derive(PartialEq)]
enum Flow {
    On,
    Break,
    Continue,
}

impl<'p> State<'p> {
    fn error(&self, span: &std::ops::Range<usize>, what: impl Into<String>) -> Error {
        self.error_at(span.start, span, what)
    }

    /// An error about a span, found at a place in it.
    fn error_at(&self, at: usize, span: &std::ops::Range<usize>, what: impl Into<String>) -> Error {
        let source = &self.program.source;
        Error::Execute {
            line: lex::line_of(source, at),
            column: lex::column_of(source, at),
            at: source.get(span.clone()).unwrap_or_default().to_owned(),
            what: what.into(),
        }
    }

    fn fault(&self, name: &str, span: &std::ops::Range<usize>, fault: Fault) -> Error {
        let what = match fault {
            Fault::Count { want, got } => {
                format!("wrong number of args for {name}: want {want} got {got}")
            }
            Fault::Argument(what) => format!("error calling {name}: {what}"),
        };
        self.error(span, what)
    }

    /// A block and the variables that live no longer than it.
    fn block(&mut self, nodes: &'p [Node], dot: &Value) -> Result<Flow, Error> {
        let scope = self.variables.len();
        let mut flow = Flow::On;
        for node in nodes {
            flow = self.node(node, dot)?;
            if flow != Flow::On {
                break;
            }
        }
        self.variables.truncate(scope);
        Ok(flow)
    }

    fn node(&mut self, node: &'p Node, dot: &Value) -> Result<Flow, Error> {
        match node {
            Node::Text(text) => self.out.push_str(text),
            Node::Action(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                if pipeline.variables.is_empty() {
                    let nil = last_name(pipeline).filter(|_| value.is_null());
                    match nil.and_then(typed::nil) {
                        Some(nil) => self.out.push_str(nil),
                        None => self.out.push_str(&print::shown(&value)),
                    }
                }
            }
            Node::If {
                branches,
                otherwise,
            } => return self.branch(branches, otherwise, dot, false),
            Node::With {
                branches,
                otherwise,
            } => return self.branch(branches, otherwise, dot, true),
            Node::Range {
                over,
                body,
                otherwise,
            } => return self.range(over, body, otherwise, dot),
            Node::Template { at, name, with } => self.template(*at, name, with.as_ref(), dot)?,
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    /// `if` and `with`; the latter makes the condition the new dot.
    fn branch(
        &mut self,
        branches: &'p [(Pipeline, Vec<Node>)],
        otherwise: &'p [Node],
        dot: &Value,
        moves_dot: bool,
    ) -> Result<Flow, Error> {
        let scope = self.variables.len();
        for (condition, body) in branches {
            let value = self.pipeline(condition, dot)?;
            if functions::is_true(&value) {
                let flow = self.block(body, if moves_dot { &value } else { dot });
                self.variables.truncate(scope);
                return flow;
            }
        }
        let flow = self.block(otherwise, dot);
        self.variables.truncate(scope);
        flow
    }

    fn range(
        &mut self,
        over: &'p Pipeline,
        body: &'p [Node],
        otherwise: &'p [Node],
        dot: &Value,
    ) -> Result<Flow, Error> {
        let value = self.commands(over, dot)?;
        let Some(items) = items(&value) else {
            let span = over.commands[0].words[0].span.clone();
            return Err(self.error(
                &span,
                format!("range can't iterate over {}", print::shown(&value)),
            ));
        };
        if items.is_empty() {
            return self.block(otherwise, dot);
        }
        for (key, item) in items {
            let scope = self.variables.len();
            self.set_loop_variables(over, key, &item);
            let flow = self.block(body, &item)?;
            self.variables.truncate(scope);
            if flow == Flow::Break {
                break;
            }
        }
        Ok(Flow::On)
    }

    /// One variable is the item, two are key and item.
    fn set_loop_variables(&mut self, over: &Pipeline, key: Value, item: &Value) {
        let values = match over.variables.len() {
            2 => vec![key, item.clone()],
            _ => vec![item.clone()],
        };
        for (name, value) in over.variables.iter().zip(values) {
            self.set_variable(name, value, over.assigns);
        }
    }

    fn set_variable(&mut self, name: &str, value: Value, assigns: bool) {
        let known = self
            .variables
            .iter_mut()
            .rev()
            .find(|(known, _)| known == name);
        match known.filter(|_| assigns) {
            Some((_, place)) => *place = value,
            None => self.variables.push((name.to_owned(), value)),
        }
    }

    fn template(
        &mut self,
        at: usize,
        name: &str,
        with: Option<&'p Pipeline>,
        dot: &Value,
    ) -> Result<(), Error> {
        let span = at..at + self.program.source[at..].find("}}").map_or(8, |end| end);
        let Some(body) = self.program.defines.get(name) else {
            return Err(self.error(&span, format!("template {name:?} not defined")));
        };
        if self.depth == DEEPEST {
            return Err(self.error(&span, "exceeded maximum template depth"));
        }
        let dot = match with {
            Some(pipeline) => self.pipeline(pipeline, dot)?,
            None => Value::Null,
        };
        self.depth += 1;
        let outer = std::mem::replace(&mut self.variables, vec![("$".into(), dot.clone())]);
        self.block(body, &dot)?;
        self.variables = outer;
        self.depth -= 1;
        Ok(())
    }

    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, Error> {
        let value = self.commands(pipeline, dot)?;
        if let [name] = pipeline.variables.as_slice() {
            self.set_variable(name, value.clone(), pipeline.assigns);
        }
        Ok(value)
    }

    /// Each command gets the result of the one before as its last argument.
    fn commands(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, Error> {
        let mut result = None;
        for command in &pipeline.commands {
            result = Some(self.command(command, dot, result)?);
        }
        Ok(result.unwrap_or(Value::Null))
    }

    fn command(
        &mut self,
        command: &Command,
        dot: &Value,
        piped: Option<Value>,
    ) -> Result<Value, Error> {
        let (first, rest) = (&command.words[0], &command.words[1..]);
        match &first.kind {
            OperandKind::Function(name) => self.call(name, first, rest, dot, piped),
            OperandKind::Nil => Err(self.error(&first.span, "nil is not a command")),
            _ if rest.is_empty() && piped.is_none() => self.operand(first, dot),
            _ if first.fields.last().is_some_and(|field| field == "Label") => {
                let arguments = self.arguments(rest, dot, piped)?;
                self.label(first, &arguments, dot)
            }
            _ => {
                let name = match first.fields.last() {
                    Some(field) => field,
                    None => &self.program.source[first.span.clone()],
                };
                let what = format!("{name} has arguments but cannot be invoked as function");
                Err(self.error(&first.span, what))
            }
        }
    }

    fn arguments(
        &mut self,
        words: &[Operand],
        dot: &Value,
        piped: Option<Value>,
    ) -> Result<Vec<Value>, Error> {
        let mut values = Vec::new();
        for word in words {
            values.push(self.operand(word, dot)?);
        }
        values.extend(piped);
        Ok(values)
    }

    fn call(
        &mut self,
        name: &str,
        operand: &Operand,
        words: &[Operand],
        dot: &Value,
        piped: Option<Value>,
    ) -> Result<Value, Error> {
        let value = if name == "and" || name == "or" {
            self.short_circuit(name == "and", operand, words, dot, piped)?
        } else {
            let arguments = self.arguments(words, dot, piped)?;
            {
                let span = operand.span.start..words.last().unwrap_or(operand).span.end;
                functions::call(name, &arguments, self.set)
                    .map_err(|fault| self.fault(name, &span, fault))?
            }
        };
        self.fields(operand, value)
    }

    /// `and` stops at the first false argument, `or` at the first true one.
    fn short_circuit(
        &mut self,
        stop_at_false: bool,
        operand: &Operand,
        words: &[Operand],
        dot: &Value,
        piped: Option<Value>,
    ) -> Result<Value, Error> {
        let mut last = None;
        for word in words {
            let value = self.operand(word, dot)?;
            if functions::is_true(&value) != stop_at_false {
                return Ok(value);
            }
            last = Some(value);
        }
        piped.or(last).ok_or_else(|| {
            self.error(
                &operand.span,
                format!(
                    "wrong number of args for {}: want at least 1 got 0",
                    if stop_at_false { "and" } else { "or" }
                ),
            )
        })
    }

    fn operand(&mut self, operand: &Operand, dot: &Value) -> Result<Value, Error> {
        let value = match &operand.kind {
            OperandKind::Dot => dot.clone(),
            OperandKind::Nil => Value::Null,
            OperandKind::Literal(value) => value.clone(),
            OperandKind::Variable(name) => self.variable(name),
            OperandKind::Pipeline(pipeline) => self.pipeline(pipeline, dot)?,
            OperandKind::Function(name) => return self.call(name, operand, &[], dot, None),
        };
        self.fields(operand, value)
    }

    fn variable(&self, name: &str) -> Value {
        let found = self.variables.iter().rev().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    }

    fn fields(&self, operand: &Operand, value: Value) -> Result<Value, Error> {
        operand.fields.iter().try_fold(value, |value, name| {
            field(value, name).map_err(|what| self.error_at(operand.place, &operand.span, what))
        })
    }

    /// docker's rows have one method with an argument: `{{.Label "name"}}`.
    fn label(
        &mut self,
        operand: &Operand,
        arguments: &[Value],
        dot: &Value,
    ) -> Result<Value, Error> {
        let [Value::String(wanted)] = arguments else {
            return Err(self.error(&operand.span, "wrong number of args for Label: want 1"));
        };
        let labels =
            field(dot.clone(), "Labels").map_err(|what| self.error(&operand.span, what))?;
        let found = match &labels {
            Value::String(joined) => joined
                .split(',')
                .filter_map(|label| label.split_once('='))
                .find(|(name, _)| name == wanted)
                .map(|(_, value)| value.into()),
            Value::Object(labels) => labels.get(wanted).cloned(),
            _ => None,
        };
        Ok(found.unwrap_or_else(|| "".into()))
    }
}

/// `value.name`; see the head of `template` for what a missing name means.
fn field(mut value: Value, name: &str) -> Result<Value, String> {
    match &mut value {
        Value::Object(map) => match map.get_mut(name) {
            Some(found) => Ok(found.take()),
            None if name.starts_with(char::is_uppercase) => {
                Err(format!("map has no entry for key {name:?}"))
            }
            None => Ok(Value::Null),
        },
        Value::Null => Err(format!("nil pointer evaluating interface {{}}.{name}")),
        other => Err(format!(
            "can't evaluate field {name} in type {}",
            print::type_of(other)
        )),
    }
}

/// What `range` goes over, with keys; maps in the order of their keys.
/// The last name of a pipeline that is nothing but `.A.B`.
fn last_name(pipeline: &Pipeline) -> Option<&str> {
    let [command] = pipeline.commands.as_slice() else {
        return None;
    };
    let [word] = command.words.as_slice() else {
        return None;
    };
    word.fields.last().map(String::as_str)
}

fn items(value: &Value) -> Option<Vec<(Value, Value)>> {
    match value {
        Value::Null => Some(Vec::new()),
        Value::Array(items) => Some(
            items
                .iter()
                .enumerate()
                .map(|(i, item)| (i.into(), item.clone()))
                .collect(),
        ),
        Value::Object(map) => Some(
            print::sorted(map)
                .into_iter()
                .map(|(key, item)| (key.as_str().into(), item.clone()))
                .collect(),
        ),
        Value::Number(count) => Some((0..count.as_i64()?).map(|i| (i.into(), i.into())).collect()),
        _ => None,
    }
}
