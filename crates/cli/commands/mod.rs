//! One file for each verb: its options (`Args`), and `run`, which parses, calls
//! the crate that does the work, and prints. The table of all verbs is in
//! `args.rs`.

pub mod attach;
pub mod completion;
pub mod compose;
pub mod cp;
pub mod create;
pub mod events;
pub mod exec;
pub mod explain;
pub mod history;
pub mod image_inspect;
pub mod images;
pub mod import;
pub mod info;
pub mod inspect;
pub mod kill;
pub mod load;
pub mod login;
pub mod logout;
pub mod logs;
pub mod man;
pub mod monitor;
pub mod oci;
pub mod pause;
pub mod port;
pub mod prune;
pub mod ps;
pub mod pull;
pub mod push;
pub mod rename;
pub mod restart;
pub mod rm;
pub mod rmi;
pub mod run;
pub mod save;
pub mod start;
pub mod stats;
pub mod stop;
pub mod tag;
pub mod top;
pub mod unpause;
pub mod update;
pub mod version;
pub mod volume;
pub mod wait;
