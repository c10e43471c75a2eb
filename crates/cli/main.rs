//! `lighter`: the program. In come the arguments, out goes an exit code.
//!
//! What has no time for a command line is dispatched first: the monitor that
//! sits beside every container. All else is found in the table of verbs
//! ([`args`]), called ([`commands`]), and its error, if any, is printed once
//! ([`report`]).
//!
//! Reading order: `args.rs`, then the verb you are curious about under
//! `commands/`; `report.rs` for exit codes and the shape of error messages;
//! `output/` for tables, JSON and `--format` templates.

// A program has no outside: `pub` here means "for the other files".
#![allow(unreachable_pub)]
#![warn(clippy::print_stdout)]

use std::ffi::OsString;
use std::process::ExitCode;

mod args;
mod commands;
mod hint;
mod obtain;
mod options;
mod output;
mod progress;
mod report;
mod waterfall;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if let Some(words) = commands::monitor::asked(&arguments) {
        return commands::monitor::main(words);
    }
    if let Some(words) = commands::oci::asked(&arguments) {
        return commands::oci::main(words);
    }
    match args::parse(arguments) {
        Ok(call) => report::finish(&call.path, call.run(), &call.global),
        Err(refusal) => report::refuse(refusal),
    }
}
