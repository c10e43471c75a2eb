#![doc = include_str!("../README.md")]

mod baton;
pub mod caps;
pub mod cgroup;
mod copy;
pub mod device_program;
pub mod error;
pub mod file;
pub mod home;
pub mod hook;
pub mod init;
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
