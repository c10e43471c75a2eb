//! One file for each verb: its options (`Args`), and `run`, which parses, calls
//! the crate that does the work, and prints. The table of all verbs is in
//! `args.rs`.

pub mod version;
