//! Tests that need no root: plans, scripts, error texts, the command line. One module per subject.

mod cli;
mod compose;
