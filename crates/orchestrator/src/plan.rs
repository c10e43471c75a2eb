//! A plan: steps with a cause each, and what must be done before each.
//!
//! `reconcile.rs` writes plans, `execute.rs` plays them, the command line prints them. A step names the engine's objects
//! only, so that whoever plays it needs to know nothing of Compose.

use std::time::Duration;

use engine::config::ContainerConfig;
use engine::exec::Exec;
use engine::volume::VolumeConfig;
use serde_json::{Value as Json, json};

/// What is done.
#[derive(Clone, Debug)]
pub enum Action {
    /// An image is fetched.
    Pull {
        /// The image.
        image: String,
        /// For this platform.
        platform: Option<String>,
    },
    /// An image is sent to its registry.
    Push(String),
    /// A network is made.
    CreateNetwork(network::Definition),
    /// A network is removed.
    RemoveNetwork(String),
    /// A volume is made.
    CreateVolume(VolumeConfig),
    /// A volume is removed.
    RemoveVolume(String),
    /// A container is made.
    Create(Box<ContainerConfig>),
    /// A container is started.
    Start(String),
    /// A container is asked to end.
    Stop {
        /// The container.
        name: String,
        /// How long it may take; none is its own time.
        timeout: Option<Duration>,
    },
    /// A container is stopped, if it runs, and started.
    Restart {
        /// The container.
        name: String,
        /// How long it may take to stop; none is its own time.
        timeout: Option<Duration>,
    },
    /// A stopped container is removed.
    Remove {
        /// The container.
        name: String,
        /// With its anonymous volumes.
        volumes: bool,
    },
    /// A container gets another name.
    Rename {
        /// The old name.
        from: String,
        /// The new name.
        to: String,
    },
    /// A container must come to a state.
    Wait {
        /// The container.
        name: String,
        /// The state.
        until: Until,
        /// Whether it is an error if it does not.
        required: bool,
    },
    /// A program is run in a running container.
    Exec {
        /// The container.
        name: String,
        /// The program.
        exec: Exec,
    },
    /// An image is removed.
    RemoveImage(String),
}

/// A state to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Its health check passes.
    Healthy,
    /// It ended with 0.
    Completed,
    /// It runs, healthily if it has a check, or ended with 0.
    Settled,
}

/// Why a step is in the plan.
#[derive(Clone, Debug, PartialEq)]
pub enum Cause {
    /// What it makes is not there.
    Missing,
    /// The configuration changed.
    Changed(Vec<Change>),
    /// The image's name leads to another image now.
    ImageMoved {
        /// The old id.
        from: String,
        /// The new id.
        to: String,
    },
    /// The user said so.
    Asked(&'static str),
    /// Another container that it shares something with is made anew.
    Follows(String),
    /// It does not run.
    NotRunning(String),
    /// No service of the project wants it.
    NotWanted(&'static str),
    /// An earlier run was interrupted.
    Interrupted,
    /// A later step needs it.
    Needed(String),
}

/// One difference between what runs and what is wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Keys below the resource.
    pub path: Vec<String>,
    /// The old value.
    pub old: Option<Json>,
    /// The new value.
    pub new: Option<Json>,
    /// `file:line:column` of the new value.
    pub place: Option<String>,
}

/// One step.
#[derive(Clone, Debug)]
pub struct Step {
    /// What.
    pub action: Action,
    /// Why.
    pub cause: Cause,
    /// Steps, by index, that come before it.
    pub after: Vec<usize>,
}

/// What is done if a plan fails when one step was done and another was not.
#[derive(Clone, Debug)]
pub struct Undo {
    /// This step was done.
    pub done: usize,
    /// This step was not.
    pub unless: usize,
    /// Then this is done.
    pub action: Action,
}

/// What happens to one resource, for people.
#[derive(Clone, Debug, PartialEq)]
pub struct Fate {
    /// `container`, `network`, `volume` or `image`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// What happens.
    pub verdict: Verdict,
    /// Why; none if nothing happens.
    pub cause: Option<Cause>,
}

/// What can happen to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is made.
    Create,
    /// It is made anew.
    Recreate,
    /// It is started.
    Start,
    /// It is stopped and started.
    Restart,
    /// It stays.
    Keep,
    /// It is removed.
    Remove,
}

impl Verdict {
    /// The sign in front of a line.
    #[must_use]
    pub fn sign(self) -> char {
        match self {
            Self::Create => '+',
            Self::Recreate | Self::Restart => '~',
            Self::Start => '>',
            Self::Keep => '=',
            Self::Remove => '-',
        }
    }

    /// The word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Recreate => "recreate",
            Self::Start => "start",
            Self::Restart => "restart",
            Self::Keep => "keep",
            Self::Remove => "remove",
        }
    }

    /// What users of the resource notice: `none`, `restart` (it stops and comes back), `replace` (a new one takes its
    /// place) or `gone`.
    #[must_use]
    pub fn downtime(self) -> &'static str {
        match self {
            Self::Create | Self::Start | Self::Keep => "none",
            Self::Restart => "restart",
            Self::Recreate => "replace",
            Self::Remove => "gone",
        }
    }
}

/// Steps, and what they mean.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The steps; `after` never closes a circle.
    pub steps: Vec<Step>,
    /// What to take back if the plan fails half-way.
    pub undo: Vec<Undo>,
    /// What happens to each resource.
    pub fates: Vec<Fate>,
    /// Steps that are parts of making a container anew, for those who show them: the container, and its steps.
    pub recreations: Vec<(String, std::ops::Range<usize>)>,
    /// Containers that run and stay as they are.
    pub running: Vec<String>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

impl Plan {
    /// Adds a step and gives its index.
    pub fn add(
        &mut self,
        action: Action,
        cause: Cause,
        after: impl IntoIterator<Item = usize>,
    ) -> usize {
        let mut after: Vec<usize> = after.into_iter().collect();
        after.sort_unstable();
        after.dedup();
        self.steps.push(Step {
            action,
            cause,
            after,
        });
        self.steps.len() - 1
    }

    /// Adds a line for people.
    pub fn fate(
        &mut self,
        kind: &'static str,
        name: impl Into<String>,
        verdict: Verdict,
        cause: Option<Cause>,
    ) {
        self.fates.push(Fate {
            kind,
            name: name.into(),
            verdict,
            cause,
        });
    }

    /// Whether anything would be done.
    #[must_use]
    pub fn changes(&self) -> bool {
        self.fates.iter().any(|fate| fate.verdict != Verdict::Keep)
    }

    /// The plan as text: a line per resource, the differences below it.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for fate in &self.fates {
            text += &format!("{} {} {}", fate.verdict.sign(), fate.kind, fate.name);
            if let Some(cause) = &fate.cause {
                text += &format!("  ({})", cause.text());
            }
            text.push('\n');
            if let Some(Cause::Changed(changes)) = &fate.cause {
                for change in changes {
                    text += &format!("    {}\n", change.text());
                }
            }
        }
        text
    }

    /// The plan as JSON.
    #[must_use]
    pub fn json(&self) -> Json {
        let fates: Vec<Json> = self.fates.iter().map(Fate::json).collect();
        let steps: Vec<Json> = self
            .steps
            .iter()
            .map(|step| {
                json!({
                    "action": step.action.word(),
                    "name": step.action.object(),
                    "cause": step.cause.text(),
                    "after": step.after,
                })
            })
            .collect();
        json!({ "changes": self.changes(), "resources": fates, "steps": steps, "warnings": self.warnings })
    }
}

impl Fate {
    fn json(&self) -> Json {
        let changes: Vec<Json> = match &self.cause {
            Some(Cause::Changed(changes)) => changes.iter().map(Change::json).collect(),
            _ => Vec::new(),
        };
        json!({
            "kind": self.kind,
            "name": self.name,
            "verdict": self.verdict.word(),
            "downtime": self.verdict.downtime(),
            "cause": self.cause.as_ref().map(Cause::text),
            "changes": changes,
        })
    }
}

impl Cause {
    /// A phrase.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Missing => "does not exist".into(),
            Self::Changed(changes) if changes.len() == 1 => "1 change".into(),
            Self::Changed(changes) => format!("{} changes", changes.len()),
            Self::ImageMoved { from, to } => {
                format!("image moved from {} to {}", short(from), short(to))
            }
            Self::Asked(what) => (*what).into(),
            Self::Follows(other) => format!("follows {other}"),
            Self::NotRunning(state) => state.clone(),
            Self::NotWanted(why) => (*why).into(),
            Self::Interrupted => "an earlier change was interrupted".into(),
            Self::Needed(by) => format!("needed by {by}"),
        }
    }
}

fn short(id: &str) -> &str {
    let hex = id.strip_prefix("sha256:").unwrap_or(id);
    hex.get(..12).unwrap_or(hex)
}

impl Change {
    /// `environment.A "1" -> "2"  compose.yaml:14:7`.
    #[must_use]
    pub fn text(&self) -> String {
        let value = |value: &Option<Json>| {
            value
                .as_ref()
                .map_or_else(|| "(none)".into(), Json::to_string)
        };
        let place = self
            .place
            .as_ref()
            .map(|place| format!("  {place}"))
            .unwrap_or_default();
        format!(
            "{} {} -> {}{place}",
            self.path.join("."),
            value(&self.old),
            value(&self.new)
        )
    }

    fn json(&self) -> Json {
        json!({ "path": self.path.join("."), "old": self.old, "new": self.new, "place": self.place })
    }
}

impl Action {
    /// What it is about: the kind and the name of its object.
    #[must_use]
    pub fn subject(&self) -> (&'static str, &str) {
        match self {
            Self::Pull { image, .. } | Self::Push(image) | Self::RemoveImage(image) => {
                ("Image", image)
            }
            Self::CreateNetwork(definition) => ("Network", &definition.name),
            Self::RemoveNetwork(name) => ("Network", name),
            Self::CreateVolume(volume) => ("Volume", volume.name.as_deref().unwrap_or_default()),
            Self::RemoveVolume(name) => ("Volume", name),
            Self::Create(config) => ("Container", config.name.as_deref().unwrap_or_default()),
            Self::Start(name)
            | Self::Stop { name, .. }
            | Self::Restart { name, .. }
            | Self::Remove { name, .. }
            | Self::Wait { name, .. }
            | Self::Exec { name, .. }
            | Self::Rename { to: name, .. } => ("Container", name),
        }
    }

    /// The name of its object.
    #[must_use]
    pub fn object(&self) -> &str {
        self.subject().1
    }

    /// One word for machines.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Pull { .. } => "pull",
            Self::Push(_) => "push",
            Self::CreateNetwork(_) => "create-network",
            Self::RemoveNetwork(_) => "remove-network",
            Self::CreateVolume(_) => "create-volume",
            Self::RemoveVolume(_) => "remove-volume",
            Self::Create(_) => "create",
            Self::Start(_) => "start",
            Self::Stop { .. } => "stop",
            Self::Restart { .. } => "restart",
            Self::Remove { .. } => "remove",
            Self::Rename { .. } => "rename",
            Self::Wait { .. } => "wait",
            Self::Exec { .. } => "exec",
            Self::RemoveImage(_) => "remove-image",
        }
    }

    /// docker's words while it is done and when it is done.
    #[must_use]
    pub fn words(&self) -> (&'static str, &'static str) {
        match self {
            Self::Pull { .. } => ("Pulling", "Pulled"),
            Self::Push(_) => ("Pushing", "Pushed"),
            Self::CreateNetwork(_) | Self::CreateVolume(_) | Self::Create(_) => {
                ("Creating", "Created")
            }
            Self::RemoveNetwork(_)
            | Self::RemoveVolume(_)
            | Self::Remove { .. }
            | Self::RemoveImage(_) => ("Removing", "Removed"),
            Self::Start(_) => ("Starting", "Started"),
            Self::Stop { .. } => ("Stopping", "Stopped"),
            Self::Restart { .. } => ("Restarting", "Started"),
            Self::Rename { .. } => ("Recreate", "Recreated"),
            Self::Wait {
                until: Until::Completed,
                ..
            } => ("Waiting", "Exited"),
            Self::Wait { .. } => ("Waiting", "Healthy"),
            Self::Exec { .. } => ("Running a hook", "Ran a hook"),
        }
    }
}
