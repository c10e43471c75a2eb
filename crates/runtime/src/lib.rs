//! An OCI bundle becomes a process, and what happens to that process later.
//!
//! A [`Bundle`] and what surrounds it ([`Attach`]) are planned into a
//! [`kernel::Script`] by [`plan()`], a pure function; [`Container`] plays it and
//! keeps the container's state on disk.
//!
//! Read `plan/mod.rs` first: the order of a container's birth on one page. Then
//! `container.rs` for its life.

pub mod bundle;
pub mod container;
mod error;
pub mod plan;
pub mod resources;
pub mod seccomp;
pub mod spec;
pub mod state;
pub mod stats;
mod update;

pub use bundle::Bundle;
pub use container::{Child, Container, ExecRequest, ExitStatus, Stdio};
pub use error::Error;
pub use plan::{Attach, plan};
pub use spec::View;
pub use state::{State, Status};
pub use update::update;
