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
    let watcher = Teller {
        plan,
        printer: if quiet { None } else { printer(session) },
    };
    watcher.tell_what_runs();
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
        watcher: &watcher,
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
    // Some errors of the engine say what was attempted themselves.
    let said = error.to_string();
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
    if said.starts_with(&what) {
        return error.into();
    }
    anyhow::Error::new(error).context(what)
}

fn dry_run(plan: &Plan, session: &Session) -> Result<()> {
    let printer = printer(session);
    let teller = Teller { plan, printer };
    teller.tell_what_runs();
    for (n, step) in plan.steps.iter().enumerate() {
        teller.event(n, &step.action, Event::Began);
        teller.event(n, &step.action, Event::Done);
    }
    drop(teller);
    session.global.note("nothing was done (--dry-run)");
    Ok(())
}

fn printer(session: &Session) -> Option<Box<dyn Printer>> {
    let prefix = if session.dry_run() {
        " DRY-RUN MODE - "
    } else {
        ""
    };
    match session.progress() {
        Progress::Quiet => None,
        Progress::Json => Some(Box::new(Json {
            dry_run: session.dry_run(),
        })),
        Progress::Tty => Some(Box::new(Lines::default())),
        Progress::Plain | Progress::Auto => Some(Box::new(Plain { prefix })),
    }
}

/// Something to show about one resource.
struct Line<'a> {
    kind: &'a str,
    name: &'a str,
    state: State,
    text: &'a str,
}

/// How far a resource is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Working,
    Done,
    Failed,
    Skipped,
    Noted,
}

/// Shows lines in a form of its own.
trait Printer: Sync {
    fn line(&self, line: &Line<'_>);

    /// An image is on its way: a form that redraws its lines shows how far.
    fn pull(&self, _kind: &str, _name: &str, _event: &image::Event<'_>) {}
}

/// Turns the steps of a plan into lines: a container made anew is one thing for people, and several steps.
struct Teller<'a> {
    plan: &'a Plan,
    printer: Option<Box<dyn Printer>>,
}

impl Teller<'_> {
    fn line(&self, kind: &str, name: &str, state: State, text: &str) {
        if let Some(printer) = &self.printer {
            printer.line(&Line {
                kind,
                name,
                state,
                text,
            });
        }
    }

    fn tell_what_runs(&self) {
        for name in &self.plan.running {
            self.line("Container", name, State::Done, "Running");
        }
    }

    /// What a step is called to begin with and at its end, and on what; nothing where a recreation is under way.
    fn words<'a>(
        &'a self,
        step: usize,
        action: &'a Action,
    ) -> (&'a str, Option<&'a str>, Option<&'a str>) {
        let mut recreations = self.plan.recreations.iter();
        match recreations.find(|(_, steps)| steps.contains(&step)) {
            Some((name, steps)) => (
                name,
                (step == steps.start).then_some("Recreate"),
                (step + 1 == steps.end).then_some("Recreated"),
            ),
            None => {
                let (doing, done) = action.words();
                (action.object(), Some(doing), Some(done))
            }
        }
    }
}

impl Watcher for Teller<'_> {
    fn event(&self, step: usize, action: &Action, event: Event<'_>) {
        let kind = action.subject().0;
        let (name, doing, done) = self.words(step, action);
        let (state, text) = match event {
            Event::Began => (State::Working, doing.map(str::to_owned)),
            Event::Done => (State::Done, done.map(str::to_owned)),
            Event::Failed(error) => (State::Failed, Some(format!("Error: {error}"))),
            Event::Tolerated(error) => (State::Skipped, Some(format!("Skipped: {error}"))),
            Event::Note(text) => (State::Noted, Some(format!("Note: {text}"))),
            Event::Pull(event) => {
                if let Some(printer) = &self.printer {
                    printer.pull(kind, name, &event);
                }
                return;
            }
        };
        if let Some(text) = text {
            self.line(kind, name, state, &text);
        }
    }
}

/// ` Container shop-db-1  Started`.
struct Plain {
    prefix: &'static str,
}

impl Printer for Plain {
    fn line(&self, line: &Line<'_>) {
        let Line {
            kind, name, text, ..
        } = line;
        say(&format!("{} {kind} {name}  {text}\n", self.prefix));
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

impl Printer for Json {
    fn line(&self, line: &Line<'_>) {
        let status = match line.state {
            State::Working => "Working",
            State::Done => "Done",
            State::Failed => "Error",
            State::Skipped | State::Noted => "Warning",
        };
        let id = format!("{} {}", line.kind, line.name);
        let mut object = json!({ "id": id, "status": status, "text": line.text });
        if self.dry_run {
            object["dry-run"] = true.into();
        }
        say(&format!("{object}\n"));
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

impl Lines {
    /// Does something with the line of a resource.
    fn with(&self, kind: &str, name: &str, act: impl FnOnce(&mut Bar)) {
        let mut bars = self.bars.lock().unwrap_or_else(PoisonError::into_inner);
        act(bars
            .entry(format!("{kind} {name}"))
            .or_insert_with_key(|key| Bar {
                bar: self
                    .all
                    .add(ProgressBar::new_spinner().with_prefix(key.clone())),
                began: Instant::now(),
                layers: HashMap::new(),
            }));
    }
}

impl Printer for Lines {
    fn line(&self, line: &Line<'_>) {
        if line.state == State::Noted {
            let text = format!("{} {}  {}", line.kind, line.name, line.text);
            let _ = self.all.println(text);
            return;
        }
        self.with(line.kind, line.name, |bar| bar.show(line));
    }

    fn pull(&self, kind: &str, name: &str, event: &image::Event<'_>) {
        self.with(kind, name, |bar| bar.pull(event));
    }
}

impl Bar {
    fn show(&self, line: &Line<'_>) {
        if line.state == State::Working {
            self.bar
                .set_style(style(" {spinner:.cyan} {prefix}  {msg}"));
            self.bar.enable_steady_tick(Duration::from_millis(100));
            self.bar.set_message(line.text.to_owned());
            return;
        }
        let (mark, sign) = match line.state {
            State::Failed => ("✘", "{prefix} \x1b[31m"),
            State::Skipped => ("✘", "{prefix} \x1b[33m"),
            _ => ("✔", "{prefix} \x1b[32m"),
        };
        self.bar
            .set_style(style(&format!(" {mark} {sign} {{msg}}\x1b[0m")));
        let seconds = self.began.elapsed().as_secs_f32();
        self.bar
            .abandon_with_message(format!("{} {seconds:.1}s", line.text));
    }

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
