//! A [`Script`]: what will be asked of the kernel, in which order, by whom and why.
//!
//! In goes what a planner decided; out comes plain data that can be played
//! (`play.rs`), printed as a shell script (`shell.rs`), compared in a test or
//! explained to a person. Read `op.rs` next.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::Op;

/// Which process does a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The process that creates the container; it stays in the host's namespaces.
    Host,
    /// The process that becomes the container's program.
    Container,
}

/// One operation, the side that does it, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Who does it.
    pub side: Side,
    /// What is asked of the kernel.
    pub op: Op,
    /// Why a container needs it, in a few words without a full stop.
    pub why: Cow<'static, str>,
}

impl Step {
    /// A step of the creating process.
    pub fn host(op: Op, why: impl Into<Cow<'static, str>>) -> Step {
        Step {
            side: Side::Host,
            op,
            why: why.into(),
        }
    }

    /// A step of the process inside.
    pub fn container(op: Op, why: impl Into<Cow<'static, str>>) -> Step {
        Step {
            side: Side::Container,
            op,
            why: why.into(),
        }
    }
}

/// An ordered list of steps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Script {
    /// The steps, first to last.
    pub steps: Vec<Step>,
}

impl Script {
    /// A script of these steps.
    pub fn new(steps: Vec<Step>) -> Script {
        Script { steps }
    }
}

impl Script {
    /// Add a step at the end.
    pub fn push(&mut self, step: Step) {
        self.steps.push(step);
    }
}

impl Extend<Step> for Script {
    fn extend<I: IntoIterator<Item = Step>>(&mut self, steps: I) {
        self.steps.extend(steps);
    }
}
