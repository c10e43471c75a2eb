//! Plays a plan and shows how it goes: lines redrawn on a terminal, one line for each event elsewhere, JSON if asked.
//!
//! All of it goes to stderr. The first Ctrl-C lets the steps under way end and begins no other; the second ends at once.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use image::LayerState;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use kernel::interrupt;
use orchestrator::execute::{self, Event, Failure, Play, Watcher};
use orchestrator::plan::{Action, Plan};
use serde_json::json;

use super::project::{Progress, Session};

/// Exit code of a command that Ctrl-C ended.
pub const INTERRUPTED: u8 = 130;

/// Plays a plan to its end.
pub fn play(plan: &Plan, session: &Session, wait: Option<Duration>) -> Result<()> {
    play_with(plan, session, wait, false)
}

/// Plays a plan to its end, without a word if `quiet`.
pub fn play_with(
    plan: &Plan,
    session: &Session,
    wait: Option<Duration>,
    quiet: bool,
) -> Result<()> {
    for warning in &plan.warnings {
        session.global.warn(warning);
    }
    if session.dry_run() {
        return dry_run(plan, session);
    }
    interrupt::catch()?;
    let watcher = if quiet {
        Box::new(Nobody)
    } else {
        watcher(session)
    };
    let before = interrupt::count_caught();
    let interrupted = || match interrupt::count_caught() - before {
        0 => false,
        1 => true,
        _ => std::process::exit(i32::from(INTERRUPTED)),
    };
    let play = Play {
        parallel: session.parallel(),
        interrupted: &interrupted,
        wait,
        watcher: &*watcher,
    };
    let result = execute::execute(plan, &session.host, &play);
    drop(watcher);
    result.map_err(|failure| error(plan, failure))
}

/// The first error in words; the others were shown when they happened.
fn error(plan: &Plan, failure: Failure) -> anyhow::Error {
    let Some((step, error)) = failure.errors.into_iter().next() else {
        return anyhow!("interrupted");
    };
    if matches!(error, execute::Error::Interrupted) {
        return crate::report::failure(INTERRUPTED, anyhow!("interrupted"));
    }
    let Some(step) = plan.steps.get(step) else {
        return error.into();
    };
    let (kind, name) = step.action.subject();
    let what = match (&step.action, &step.cause) {
        (Action::Wait { .. }, orchestrator::plan::Cause::Needed(by)) => {
            format!("{by} cannot start: a dependency failed")
        }
        (action, _) => format!(
            "cannot {} the {} {name}",
            action.word().split('-').next().unwrap_or_default(),
            kind.to_lowercase()
        ),
    };
    anyhow::Error::new(error).context(what)
}

fn dry_run(plan: &Plan, session: &Session) -> Result<()> {
    let watcher = watcher(session);
    for (n, step) in plan.steps.iter().enumerate() {
        watcher.event(n, &step.action, Event::Began);
        watcher.event(n, &step.action, Event::Done);
    }
    drop(watcher);
    session.global.note("nothing was done (--dry-run)");
    Ok(())
}

fn watcher(session: &Session) -> Box<dyn Watcher> {
    let prefix = if session.dry_run() {
        " DRY-RUN MODE - "
    } else {
        ""
    };
    match session.progress() {
        Progress::Quiet => Box::new(Nobody),
        Progress::Json => Box::new(Json {
            dry_run: session.dry_run(),
        }),
        Progress::Tty => Box::new(Lines::default()),
        Progress::Plain | Progress::Auto => Box::new(Plain { prefix }),
    }
}

struct Nobody;

impl Watcher for Nobody {
    fn event(&self, _: usize, _: &Action, _: Event<'_>) {}
}

/// What an event is called.
fn word(action: &Action, event: &Event<'_>) -> Option<String> {
    let (doing, done) = action.words();
    Some(match event {
        Event::Began => doing.to_owned(),
        Event::Done => done.to_owned(),
        Event::Failed(error) => format!("Error: {error}"),
        Event::Tolerated(error) => format!("Skipped: {error}"),
        Event::Note(text) => format!("Note: {text}"),
        Event::Pull(_) => return None,
    })
}

/// ` Container shop-db-1  Started`.
struct Plain {
    prefix: &'static str,
}

impl Watcher for Plain {
    fn event(&self, _: usize, action: &Action, event: Event<'_>) {
        let (kind, name) = action.subject();
        if let Some(word) = word(action, &event) {
            say(&format!("{} {kind} {name}  {word}\n", self.prefix));
        }
    }
}

/// A whole line by one write(2): standard error keeps nothing back, and formatting it there writes every piece alone.
fn say(line: &str) {
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// docker's JSON lines.
struct Json {
    dry_run: bool,
}

impl Watcher for Json {
    fn event(&self, _: usize, action: &Action, event: Event<'_>) {
        let (kind, name) = action.subject();
        let Some(text) = word(action, &event) else {
            return;
        };
        let status = match event {
            Event::Began => "Working",
            Event::Failed(_) => "Error",
            Event::Tolerated(_) | Event::Note(_) => "Warning",
            _ => "Done",
        };
        let mut line = json!({ "id": format!("{kind} {name}"), "status": status, "text": text });
        if self.dry_run {
            line["dry-run"] = true.into();
        }
        say(&format!("{line}\n"));
    }
}

/// A line for each resource, redrawn in place.
#[derive(Default)]
struct Lines {
    all: MultiProgress,
    bars: Mutex<HashMap<String, Bar>>,
}

struct Bar {
    bar: ProgressBar,
    began: Instant,
    layers: HashMap<String, (u64, u64)>,
}

impl Watcher for Lines {
    fn event(&self, _: usize, action: &Action, event: Event<'_>) {
        let (kind, name) = action.subject();
        let mut bars = self.bars.lock().unwrap_or_else(PoisonError::into_inner);
        let line = bars
            .entry(format!("{kind} {name}"))
            .or_insert_with_key(|key| Bar {
                bar: self
                    .all
                    .add(ProgressBar::new_spinner().with_prefix(key.clone())),
                began: Instant::now(),
                layers: HashMap::new(),
            });
        if let Event::Pull(event) = &event {
            return line.pull(event);
        }
        let Some(word) = word(action, &event) else {
            return;
        };
        if let Event::Note(_) = event {
            let _ = self.all.println(format!("{kind} {name}  {word}"));
            return;
        }
        if let Event::Began = event {
            line.bar
                .set_style(style(" {spinner:.cyan} {prefix}  {msg}"));
            line.bar.enable_steady_tick(Duration::from_millis(100));
            line.bar.set_message(word);
            return;
        }
        let sign = match event {
            Event::Failed(_) => "{prefix} \x1b[31m",
            Event::Tolerated(_) => "{prefix} \x1b[33m",
            _ => "{prefix} \x1b[32m",
        };
        let mark = if matches!(event, Event::Done) {
            "✔"
        } else {
            "✘"
        };
        line.bar
            .set_style(style(&format!(" {mark} {sign} {{msg}}\x1b[0m")));
        line.bar
            .abandon_with_message(format!("{word} {:.1}s", line.began.elapsed().as_secs_f32()));
    }
}

impl Bar {
    /// All layers of an image as one number.
    fn pull(&mut self, event: &image::Event<'_>) {
        let image::Event::Layer { digest, state } = event else {
            return;
        };
        match state {
            LayerState::Downloading { done, total }
            | LayerState::Extracting { done, total }
            | LayerState::Pushing { done, total } => {
                self.layers.insert(digest.to_string(), (*done, *total));
            }
            _ => return,
        }
        let (done, total) = self
            .layers
            .values()
            .fold((0, 0), |(a, b), (done, total)| (a + done, b + total));
        let size = |bytes| crate::output::units::size(bytes, 3);
        self.bar
            .set_message(format!("Pulling {} of {}", size(done), size(total)));
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}
