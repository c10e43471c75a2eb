//! The only crate that talks to Linux; every `unsafe` block of lighter is here.
//!
//! A [`Script`] is an ordered list of [`Op`]s, each with the [`Side`] that does
//! it and a reason. Planning one needs no kernel; [`play()`] does it for real.
//!
//! Read `op.rs` for what can be asked of the kernel, then `play.rs` for how a
//! list of it becomes a container, then the file of the area that interests you.

mod baton;
pub mod caps;
pub mod cgroup;
mod copy;
pub mod device_program;
pub mod error;
pub mod file;
pub mod hook;
pub mod interrupt;
pub mod keeper;
mod manual;
pub mod mount;
pub mod namespace;
pub mod netlink;
pub mod nft;
pub mod op;
pub mod play;
pub mod process;
pub mod program;
pub mod protect;
mod run;
pub mod schedule;
pub mod script;
pub mod seccomp;
pub mod shell;
pub mod signal;
pub mod signals;
pub mod trace;
pub mod tty;
mod words;

pub use error::Error;
pub use op::{Inside, Op};
pub use play::{Audience, Playground, play};
pub use script::{Script, Side, Step};
