//! Plays a plan: steps whose predecessors are done run in parallel, until all are done or one fails.
//!
//! Knows engine, networks and images, and nothing of Compose. After a failure or an interruption nothing new is begun,
//! what runs is finished, and what the plan says is taken back. Waiting costs no worker: one thread looks at all waits.
//!
//! Comes in: a [`Plan`], the [`Host`], how to play it. Goes out: nothing, or every step that failed.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use engine::list::{HealthStatus, Status, Summary};
use image::{PullOptions, Reference};

use crate::observe::Host;
use crate::plan::{Action, Plan, Until};

/// How a plan is played.
pub struct Play<'a> {
    /// Most steps at a time.
    pub parallel: usize,
    /// Whether somebody wants it to end early.
    pub interrupted: &'a (dyn Fn() -> bool + Sync),
    /// How long waits may take in all.
    pub wait: Option<Duration>,
    /// Told of everything, from whichever thread does it.
    pub watcher: &'a dyn Watcher,
}

/// Listens to a plan being played.
pub trait Watcher: Sync {
    /// Something happened to a step.
    fn event(&self, step: usize, action: &Action, event: Event<'_>);
}

/// What happened to a step.
#[derive(Debug)]
pub enum Event<'a> {
    /// It began.
    Began,
    /// An image is on its way.
    Pull(image::Event<'a>),
    /// Something worth knowing about it.
    Note(&'a str),
    /// It is done.
    Done,
    /// It failed, and nobody needs it to have worked.
    Tolerated(&'a Error),
    /// It failed.
    Failed(&'a Error),
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum Error {
    #[error(transparent)]
    Engine(#[from] engine::Error),
    #[error(transparent)]
    Network(#[from] network::Error),
    #[error(transparent)]
    Image(#[from] image::Error),
    #[error("{0:?} is not an image: {1}")]
    Reference(String, image::InvalidReference),
    #[error("{0:?} is not a platform")]
    Platform(String),
    #[error("{name} is unhealthy: {check}")]
    Unhealthy { name: String, check: Check },
    #[error("{name} has no health check to wait for")]
    NoHealthCheck { name: String },
    #[error("{name} exited with {code}{reason}")]
    Exited {
        name: String,
        code: i32,
        reason: String,
    },
    #[error("{name} is not {wanted} after {}", crate::quantity::duration_text(*.waited))]
    TooLate {
        name: String,
        wanted: &'static str,
        waited: Duration,
    },
    #[error("a hook of {name} exited with {code}: {output}")]
    Hook {
        name: String,
        code: i32,
        output: String,
    },
    #[error("interrupted")]
    Interrupted,
}

/// The last run of a health check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Check {
    /// What is run, if it could be told.
    pub command: Option<String>,
    /// Its exit code.
    pub code: Option<i64>,
    /// What it printed.
    pub output: String,
}

impl std::fmt::Display for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.command {
            Some(command) => write!(f, "its check `{command}`")?,
            None => f.write_str("its check")?,
        }
        match self.code {
            // As docker has it, for a check that was given no more time.
            Some(-1) => f.write_str(" took too long")?,
            Some(code) => write!(f, " exited with {code}")?,
            None => f.write_str(" failed")?,
        }
        match self.output.trim() {
            "" => f.write_str(" without a word"),
            output => write!(f, ": {output}"),
        }
    }
}

impl Check {
    /// The last run, from what `inspect` says.
    fn of(container: &serde_json::Value) -> Self {
        let words = container["Config"]["Healthcheck"]["Test"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let words: Vec<&str> = words
            .iter()
            .skip(1)
            .filter_map(serde_json::Value::as_str)
            .collect();
        let last = container["State"]["Health"]["Log"]
            .as_array()
            .and_then(|log| log.last());
        Self {
            command: Some(words.join(" ")).filter(|command| !command.is_empty()),
            code: last.and_then(|last| last["ExitCode"].as_i64()),
            output: last
                .and_then(|last| last["Output"].as_str())
                .unwrap_or_default()
                .to_owned(),
        }
    }
}

/// The steps that failed.
#[derive(Debug)]
pub struct Failure {
    /// Step and error.
    pub errors: Vec<(usize, Error)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Waiting,
    Running,
    Done,
    Failed,
}

struct Board {
    states: Vec<State>,
    errors: Vec<(usize, Error)>,
}

/// Plays the plan.
///
/// # Errors
/// Every step that failed, or the interruption.
pub fn execute(plan: &Plan, host: &Host, play: &Play<'_>) -> Result<(), Failure> {
    let board = Board {
        states: vec![State::Waiting; plan.steps.len()],
        errors: Vec::new(),
    };
    let game = Game {
        plan,
        host,
        play,
        board: Mutex::new(board),
        moved: Condvar::new(),
        began: Instant::now(),
    };
    let works = plan
        .steps
        .iter()
        .filter(|step| !matches!(step.action, Action::Wait { .. }))
        .count();
    std::thread::scope(|scope| {
        for _ in 0..works.min(play.parallel.max(1)) {
            scope.spawn(|| game.work());
        }
        game.watch();
    });
    let mut board = game
        .board
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    if board.errors.is_empty() && board.states.iter().all(|state| *state == State::Done) {
        return Ok(());
    }
    if board.errors.is_empty() {
        board.errors.push((0, Error::Interrupted));
    }
    for undo in &plan.undo {
        let state = |step: usize| board.states.get(step).copied();
        if state(undo.done) == Some(State::Done)
            && state(undo.unless) != Some(State::Done)
            && let Err(error) = run(&undo.action, 0, host, play)
        {
            board.errors.push((undo.done, error));
        }
    }
    Err(Failure {
        errors: board.errors,
    })
}

struct Game<'a> {
    plan: &'a Plan,
    host: &'a Host,
    play: &'a Play<'a>,
    board: Mutex<Board>,
    moved: Condvar,
    began: Instant,
}

impl Game<'_> {
    fn lock(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// No step may begin any more.
    fn over(&self, board: &Board) -> bool {
        let stopped = !board.errors.is_empty() || (self.play.interrupted)();
        stopped || !board.states.contains(&State::Waiting)
    }

    fn ready(&self, board: &Board, wait: bool) -> Option<usize> {
        (0..self.plan.steps.len()).find(|n| {
            let step = &self.plan.steps[*n];
            board.states[*n] == State::Waiting
                && matches!(step.action, Action::Wait { .. }) == wait
                && step
                    .after
                    .iter()
                    .all(|before| board.states[*before] == State::Done)
        })
    }

    /// One worker: takes what is ready until there is nothing more to take.
    fn work(&self) {
        let mut board = self.lock();
        while !self.over(&board) {
            let Some(step) = self.ready(&board, false) else {
                // An interruption does not notify, so look again now and then.
                let waited = self.moved.wait_timeout(board, Duration::from_millis(100));
                board = waited.unwrap_or_else(PoisonError::into_inner).0;
                continue;
            };
            board.states[step] = State::Running;
            drop(board);
            let action = &self.plan.steps[step].action;
            self.tell(step, Event::Began);
            let result = run(action, step, self.host, self.play);
            board = self.finish(step, result);
        }
    }

    fn tell(&self, step: usize, event: Event<'_>) {
        self.play
            .watcher
            .event(step, &self.plan.steps[step].action, event);
    }

    fn finish(&self, step: usize, result: Result<(), Error>) -> MutexGuard<'_, Board> {
        let tolerated = matches!(
            self.plan.steps[step].action,
            Action::Wait {
                required: false,
                ..
            }
        );
        let event = match &result {
            Ok(()) => Event::Done,
            Err(error) if tolerated => Event::Tolerated(error),
            Err(error) => Event::Failed(error),
        };
        self.tell(step, event);
        let mut board = self.lock();
        board.states[step] = if result.is_ok() || tolerated {
            State::Done
        } else {
            State::Failed
        };
        if let (Err(error), false) = (result, tolerated) {
            board.errors.push((step, error));
        }
        self.moved.notify_all();
        board
    }

    /// The one that waits: looks at every container that somebody waits for, often at first, then less.
    fn watch(&self) {
        let mut pause = Duration::from_millis(10);
        let mut waiting: Vec<usize> = Vec::new();
        loop {
            let mut board = self.lock();
            while let Some(step) = self.ready(&board, true).filter(|_| !self.over(&board)) {
                board.states[step] = State::Running;
                waiting.push(step);
                drop(board);
                self.tell(step, Event::Began);
                pause = Duration::from_millis(10);
                board = self.lock();
            }
            let stopped = !board.errors.is_empty() || (self.play.interrupted)();
            let finished = !board
                .states
                .iter()
                .any(|state| matches!(state, State::Waiting | State::Running));
            if finished || stopped {
                return self.moved.notify_all();
            }
            drop(board);
            let before = waiting.len();
            waiting.retain(|step| self.look(*step));
            if waiting.len() < before {
                continue;
            }
            let board = self.lock();
            drop(self.moved.wait_timeout(board, pause));
            pause = (pause * 2).min(Duration::from_millis(200));
        }
    }

    /// Looks at one wait; false when it is decided.
    fn look(&self, step: usize) -> bool {
        let Action::Wait { name, until, .. } = &self.plan.steps[step].action else {
            return false;
        };
        let result = self
            .host
            .engine
            .find(name)
            .map_err(Error::from)
            .and_then(|summary| decide(&summary, *until));
        let result = match result {
            Ok(false) => match self.play.wait.filter(|limit| self.began.elapsed() > *limit) {
                Some(waited) => Err(Error::TooLate {
                    name: name.clone(),
                    wanted: wanted(*until),
                    waited,
                }),
                None => return true,
            },
            Ok(true) => Ok(()),
            Err(Error::Unhealthy { name, check }) => {
                let told = self
                    .host
                    .engine
                    .inspect(&name)
                    .map(|container| Check::of(&container));
                Err(Error::Unhealthy {
                    check: told.unwrap_or(check),
                    name,
                })
            }
            Err(error) => Err(error),
        };
        drop(self.finish(step, result));
        false
    }
}

fn wanted(until: Until) -> &'static str {
    match until {
        Until::Healthy => "healthy",
        Until::Completed => "done",
        Until::Settled => "up",
    }
}

/// How long a container without a health check must run to count as up.
const SETTLED: Duration = Duration::from_millis(500);

fn age(container: &Summary) -> Duration {
    let started = container
        .started
        .map(|started| jiff::Timestamp::now().duration_since(started));
    started
        .and_then(|age| Duration::try_from(age).ok())
        .unwrap_or_default()
}

/// Whether a container is in the state that is waited for; an error if it will not be.
///
/// # Errors
/// It is unhealthy, ended, or has no health check.
pub fn decide(container: &Summary, until: Until) -> Result<bool, Error> {
    let name = container.name.clone();
    let ended = matches!(container.status, Status::Exited | Status::Dead);
    let code = container.exit_code.unwrap_or(0);
    match until {
        Until::Completed | Until::Settled if ended && code == 0 => return Ok(true),
        Until::Healthy | Until::Completed | Until::Settled if ended => {
            let reason = container
                .error
                .as_ref()
                .map(|error| format!(": {error}"))
                .unwrap_or_default();
            return Err(Error::Exited { name, code, reason });
        }
        Until::Completed => return Ok(false),
        _ => {}
    }
    match (container.health, until) {
        (Some(HealthStatus::Healthy), _) => Ok(true),
        (Some(HealthStatus::Unhealthy), _) => Err(Error::Unhealthy {
            name,
            check: Check {
                output: container.health_output.clone().unwrap_or_default(),
                ..Check::default()
            },
        }),
        (Some(HealthStatus::Starting), _) => Ok(false),
        (None, Until::Healthy) if container.status == Status::Running => {
            Err(Error::NoHealthCheck { name })
        }
        // A program that ends at once would pass for running if one looked at once.
        (None, _) => Ok(container.status == Status::Running && age(container) >= SETTLED),
    }
}

/// Does one step.
fn run(action: &Action, step: usize, host: &Host, play: &Play<'_>) -> Result<(), Error> {
    let engine = &host.engine;
    match action {
        Action::Pull { image, platform } => {
            pull(image, platform.as_deref(), step, action, host, play)?
        }
        Action::Push(image) => push(image, step, action, host, play)?,
        Action::CreateNetwork(definition) => match host.networks.create(definition.clone()) {
            // Made by somebody else since we looked: that is what we wanted.
            Ok(_) | Err(network::Error::Exists(_)) => {}
            Err(error) => return Err(error.into()),
        },
        Action::RemoveNetwork(name) => match host.networks.remove(name) {
            Ok(_) | Err(network::Error::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        },
        Action::CreateVolume(wish) => drop(engine.volume_create(wish)?),
        Action::RemoveVolume(name) => match engine.volume_remove(name, false) {
            Ok(()) | Err(engine::Error::NoSuchVolume(_)) => {}
            Err(error) => return Err(error.into()),
        },
        Action::Create(wish) => create(wish, host)?,
        Action::Start(name) => engine.start(name)?,
        Action::Stop { name, timeout } => match engine.stop(name, None, *timeout) {
            Ok(stopped) => {
                if let Some(hint) = stopped.hint {
                    play.watcher.event(step, action, Event::Note(&hint));
                }
            }
            Err(engine::Error::NotRunning { .. } | engine::Error::NoSuchContainer(_)) => {}
            Err(error) => return Err(error.into()),
        },
        Action::Restart { name, timeout } => {
            if let Some(hint) = engine.restart(name, None, *timeout)?.hint {
                play.watcher.event(step, action, Event::Note(&hint));
            }
        }
        Action::Remove { name, volumes } => {
            match engine.remove(
                name,
                engine::remove::Remove {
                    force: false,
                    volumes: *volumes,
                },
            ) {
                Ok(_) | Err(engine::Error::NoSuchContainer(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Action::Rename { from, to } => engine.rename(from, to)?,
        Action::Exec { name, exec } => hook(name, exec, host)?,
        Action::RemoveImage(name) => remove_image(name, host)?,
        Action::Wait { .. } => {}
    }
    Ok(())
}

/// Bytes of a hook's output that are kept for its error.
const HOOK_OUTPUT: usize = 4096;

fn hook(name: &str, exec: &engine::exec::Exec, host: &Host) -> Result<(), Error> {
    let (code, output) = host.engine.exec_captured(name, exec, HOOK_OUTPUT)?;
    if code == 0 {
        return Ok(());
    }
    let output = String::from_utf8_lossy(&output).trim().to_owned();
    Err(Error::Hook {
        name: name.to_owned(),
        code,
        output,
    })
}

fn create(wish: &engine::ContainerConfig, host: &Host) -> Result<(), Error> {
    let found = host.store.find(&wish.image.reference)?;
    let mut wish = wish.clone();
    wish.labels
        .insert(crate::container::label::IMAGE.into(), found.id.to_string());
    host.engine.create(&host.store, &found, wish)?;
    Ok(())
}

fn remove_image(name: &str, host: &Host) -> Result<(), Error> {
    let entries = host.store.matching(name)?;
    Ok(host.store.untag(&entries)?)
}

struct Forward<'a> {
    step: usize,
    action: &'a Action,
    watcher: &'a dyn Watcher,
}

impl image::Progress for Forward<'_> {
    fn event(&self, event: image::Event<'_>) {
        self.watcher
            .event(self.step, self.action, Event::Pull(event));
    }
}

fn pull(
    image: &str,
    platform: Option<&str>,
    step: usize,
    action: &Action,
    host: &Host,
    play: &Play<'_>,
) -> Result<(), Error> {
    let reference: Reference = image
        .parse()
        .map_err(|error| Error::Reference(image.to_owned(), error))?;
    let platform = platform
        .map(|text| text.parse().map_err(|_| Error::Platform(text.to_owned())))
        .transpose()?;
    let options = PullOptions {
        platform,
        ..PullOptions::default()
    };
    let progress = Forward {
        step,
        action,
        watcher: play.watcher,
    };
    image::pull(&host.store, &reference, &options, &progress)?;
    Ok(())
}

fn push(
    image: &str,
    step: usize,
    action: &Action,
    host: &Host,
    play: &Play<'_>,
) -> Result<(), Error> {
    let reference: Reference = image
        .parse()
        .map_err(|error| Error::Reference(image.to_owned(), error))?;
    let found = host.store.find(image)?;
    let progress = Forward {
        step,
        action,
        watcher: play.watcher,
    };
    image::push(
        &host.store,
        &found,
        &reference,
        &image::PushOptions::default(),
        &progress,
    )?;
    Ok(())
}
