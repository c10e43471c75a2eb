#![doc = include_str!("../README.md")]

pub mod bundle;
pub mod checkpoint;
pub mod container;
mod error;
pub mod json;
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
