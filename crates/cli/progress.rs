//! How a transfer of an image looks: in come [`image::Event`]s, from any thread; out
//! goes stderr.
//!
//! A terminal gets a line for each layer that moves, everything else one line for
//! each change of state, in docker's words. `-q` gets nothing.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::Mutex;

use image::{Digest, Event, LayerState, Progress};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::output::units;

/// The right listener for this stderr.
pub fn transfer(quiet: bool) -> Box<dyn Progress> {
    let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
    match (quiet, std::io::stderr().is_terminal() && !dumb) {
        (true, _) => Box::new(image::Silent),
        (_, true) => Box::new(Bars::default()),
        (_, false) => Box::new(Lines::default()),
    }
}

fn short(digest: &Digest) -> String {
    units::short_id(&digest.to_string()).to_owned()
}

fn heading(tag: &str, repository: &str) -> String {
    format!("{tag}: Pulling from {repository}")
}

/// The word of a state, the same for every number of bytes.
fn word(state: LayerState) -> String {
    match state {
        LayerState::Waiting => "Pulling fs layer".into(),
        LayerState::Locked => "Waiting for another pull of it".into(),
        LayerState::Downloading { .. } => "Downloading".into(),
        LayerState::Retrying { wait } => format!("Retrying in {} seconds", wait.as_secs().max(1)),
        LayerState::Downloaded => "Download complete".into(),
        LayerState::Extracting { .. } => "Extracting".into(),
        LayerState::Complete => "Pull complete".into(),
        LayerState::Exists => "Already exists".into(),
        LayerState::Preparing => "Preparing".into(),
        LayerState::Present => "Layer already exists".into(),
        LayerState::Pushing { .. } => "Pushing".into(),
        LayerState::Pushed => "Pushed".into(),
        LayerState::Mounted => "Mounted from another repository".into(),
    }
}

/// One line for each change.
#[derive(Default)]
struct Lines {
    last: Mutex<HashMap<String, String>>,
}

impl Progress for Lines {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Resolving { tag, repository } => eprintln!("{}", heading(tag, repository)),
            Event::Note { text } => eprintln!("{text}"),
            Event::Span { .. } => {}
            Event::Layer { digest, state } => {
                let (layer, word) = (short(digest), word(state));
                let mut last = self
                    .last
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
                if last.get(&layer) != Some(&word) {
                    eprintln!("{layer}: {word}");
                    last.insert(layer, word);
                }
            }
        }
    }
}

/// A line for each layer, redrawn in place.
#[derive(Default)]
struct Bars {
    all: MultiProgress,
    layers: Mutex<HashMap<String, ProgressBar>>,
}

impl Bars {
    fn bar(&self, layer: &str) -> ProgressBar {
        let mut layers = self
            .layers
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        layers
            .entry(layer.to_owned())
            .or_insert_with(|| {
                self.all
                    .add(ProgressBar::new(0).with_prefix(layer.to_owned()))
            })
            .clone()
    }
}

impl Progress for Bars {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Resolving { tag, repository } => {
                let _ = self.all.println(heading(tag, repository));
            }
            Event::Note { text } => {
                let _ = self.all.println(text);
            }
            Event::Span { .. } => {}
            Event::Layer { digest, state } => {
                let bar = self.bar(&short(digest));
                bar.set_message(word(state));
                match state {
                    LayerState::Downloading { done, total }
                    | LayerState::Extracting { done, total }
                    | LayerState::Pushing { done, total } => {
                        bar.set_style(style("{prefix}: {msg} [{bar:40}] {bytes}/{total_bytes}"));
                        bar.set_length(total);
                        bar.set_position(done);
                    }
                    LayerState::Complete
                    | LayerState::Exists
                    | LayerState::Present
                    | LayerState::Pushed
                    | LayerState::Mounted => {
                        bar.set_style(style("{prefix}: {msg}"));
                        bar.abandon();
                    }
                    _ => {
                        bar.set_style(style("{prefix}: {msg}"));
                        bar.tick();
                    }
                }
            }
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}
