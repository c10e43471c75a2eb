//! Errors and warnings that point at the place in the file.
//!
//! Comes in: what is wrong, the [`Span`], perhaps a second place and a hint. Goes out: text in the form of a compiler,
//! `file:line:column` with the line and a caret. All problems of a load are collected in [`Diagnostics`] before any
//! is reported, so that a file is mended in one go.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use crate::yaml::{Position, Source, Sources, Span};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Nothing is done.
    Error,
    /// Said, and then we go on.
    Warning,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad.
    pub severity: Severity,
    /// One sentence, without final stop.
    pub title: String,
    /// Where; a finding about a whole file (it cannot be read) has none.
    pub span: Option<Span>,
    /// What to write beside the caret.
    pub label: Option<String>,
    /// Another place that matters.
    pub also: Option<(Span, String)>,
    /// What to do about it.
    pub help: Option<String>,
    /// One line is enough, and whoever only looks does not need it.
    pub brief: bool,
}

impl Diagnostic {
    /// An error at a place.
    #[must_use]
    pub fn error(title: impl Into<String>, span: Span) -> Self {
        Self {
            span: Some(span),
            ..Self::error_without_place(title)
        }
    }

    /// An error about something outside any Compose file.
    #[must_use]
    pub fn error_without_place(title: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            title: title.into(),
            span: None,
            label: None,
            also: None,
            help: None,
            brief: false,
        }
    }

    /// A warning at a place.
    #[must_use]
    pub fn warning(title: impl Into<String>, span: Span) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(title, span)
        }
    }

    /// Words beside the caret.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// A second place.
    #[must_use]
    pub fn also(mut self, span: Span, label: impl Into<String>) -> Self {
        self.also = Some((span, label.into()));
        self
    }

    /// What to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// In one line, without the text of the file; not told by verbs that only look.
    #[must_use]
    pub fn brief(mut self) -> Self {
        self.brief = true;
        self
    }

    /// On the heap, for `Result`s that should stay small.
    #[must_use]
    pub fn boxed(self) -> Box<Self> {
        Box::new(self)
    }

    /// The finding as text, with its line and a caret; `styled` for terminals.
    #[must_use]
    pub fn render(&self, sources: &Sources, styled: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        if let (true, Some(span)) = (self.brief, self.span) {
            let title = format!("{}: {}", sources.place(span), self.title);
            return Self {
                span: None,
                help: None,
                brief: false,
                title,
                ..self.clone()
            }
            .render(sources, styled);
        }
        let mut group = level
            .primary_title(self.title.as_str())
            .elements(self.snippets(sources));
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        let renderer = if styled {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        renderer.render(&[group])
    }

    fn snippets<'a>(
        &'a self,
        sources: &'a Sources,
    ) -> Vec<Snippet<'a, annotate_snippets::Annotation<'a>>> {
        let Some(span) = self.span else {
            return Vec::new();
        };
        let Some(source) = sources.get(span.file) else {
            return Vec::new();
        };
        let primary = AnnotationKind::Primary
            .span(bytes(source, span))
            .label(self.label.as_deref());
        let mut snippets = vec![snippet(sources, source).annotation(primary)];
        if let Some((span, label)) = &self.also
            && let Some(other) = sources.get(span.file)
        {
            let context = AnnotationKind::Context
                .span(bytes(other, *span))
                .label(label.as_str());
            if other.path == source.path {
                snippets = snippets
                    .into_iter()
                    .map(|snippet| snippet.annotation(context.clone()))
                    .collect();
            } else {
                snippets.push(snippet(sources, other).annotation(context));
            }
        }
        snippets
    }
}

fn snippet<'a>(
    sources: &Sources,
    source: &'a Source,
) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    Snippet::source(&*source.text).path(sources.shown(&source.path))
}

/// The bytes that `span` covers, cut at the end of its first line: a caret under forty lines helps nobody.
fn bytes(source: &Source, span: Span) -> Range<usize> {
    let start = offset(&source.text, span.start);
    let end = offset(&source.text, span.end).max(start);
    let line_end = source.text[start..]
        .find('\n')
        .map_or(source.text.len(), |n| start + n);
    let text = source.text[start..end.min(line_end)].trim_end();
    start..(start + text.len()).max((start + 1).min(line_end))
}

fn offset(text: &str, position: Position) -> usize {
    let mut line_start = 0;
    for _ in 1..position.line {
        match text[line_start..].find('\n') {
            Some(n) => line_start += n + 1,
            None => return text.len(),
        }
    }
    let column = position.column.saturating_sub(1) as usize;
    text[line_start..]
        .char_indices()
        .nth(column)
        .map_or(text.len(), |(n, _)| line_start + n)
}

/// All findings of one load.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Adds a finding; a second one at the very same place is a consequence of the first and is left out.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        let known = self.list.iter().any(|d| {
            d.severity == diagnostic.severity
                && d.span == diagnostic.span
                && (d.span.is_some() || d.title == diagnostic.title)
        });
        if !known {
            self.list.push(diagnostic);
        }
    }

    /// The same without the brief ones.
    #[must_use]
    pub fn without_brief(&self) -> Self {
        let list = self.list.iter().filter(|diagnostic| !diagnostic.brief);
        Self {
            list: list.cloned().collect(),
        }
    }

    /// Whether any of them is an error.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.list
            .iter()
            .any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// The findings in the order of files and lines.
    #[must_use]
    pub fn sorted(&self) -> Vec<&Diagnostic> {
        let mut list: Vec<_> = self.list.iter().collect();
        list.sort_by_key(|diagnostic| diagnostic.span);
        list
    }

    /// Everything as text: warnings and errors by place, then how many errors there are if several.
    #[must_use]
    pub fn render(&self, sources: &Sources, styled: bool) -> String {
        let mut text = String::new();
        for diagnostic in self.sorted() {
            text += &diagnostic.render(sources, styled);
            text += "\n";
        }
        text
    }

    /// Number of errors.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.list
            .iter()
            .filter(|diagnostic| diagnostic.severity == Severity::Error)
            .count()
    }
}

/// The candidate that `word` most likely means: within a third of its length in Damerau steps, or a prefix of it.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = word.to_lowercase().replace('-', "_");
    let allowed = (word.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (distance(&folded, &candidate.to_lowercase()), candidate))
        .filter(|(steps, candidate)| *steps <= allowed || is_stem(&folded, candidate))
        .min_by_key(|(steps, _)| *steps)
        .map(|(_, candidate)| candidate)
}

/// `port` for `ports`, `env` for `environment`, `volumes_` for `volumes`.
fn is_stem(word: &str, candidate: &str) -> bool {
    word.len() >= 3 && candidate.starts_with(word)
        || candidate.len() >= 3 && word.starts_with(candidate)
}

/// Damerau's distance (optimal string alignment): insert, delete, replace, swap neighbours.
#[must_use]
pub fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let cost = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1)
                .min(row[j - 1] + 1)
                .min(rows[i - 1][j - 1] + cost);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found() {
        let keys = [
            "environment",
            "ports",
            "privileged",
            "service_healthy",
            "volumes",
            "volumes_from",
        ];
        assert_eq!(nearest("enviroment", keys), Some("environment"));
        assert_eq!(nearest("port", keys), Some("ports"));
        assert_eq!(nearest("service_helthy", keys), Some("service_healthy"));
        assert_eq!(nearest("volmues", keys), Some("volumes"));
        assert_eq!(nearest("wrongField", keys), None);
    }
}
