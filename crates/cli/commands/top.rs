//! `lighter top`: the processes of a container.

use std::process::ExitCode;

use anyhow::Result;

use crate::args::Global;
use crate::output::{self, table};

/// The least width of a column, which docker gives to this table alone.
const COLUMN: usize = 20;

/// Display the running processes of a container
#[derive(clap::Args)]
#[command(override_usage = "lighter top CONTAINER [COLUMN...]")]
pub struct Args {
    container: String,
    /// Columns as ps(1) names them (pid, user, args); docker's '-o pid,args' works too
    #[arg(
        value_name = "COLUMN",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    columns: Vec<String>,
}

/// Prints them as a table.
pub fn run(args: Args, global: &Global) -> Result<ExitCode> {
    let processes = global
        .engine()?
        .top(&args.container, &columns(&args.columns))?;
    let lines: Vec<String> = std::iter::once(&processes.titles)
        .chain(&processes.rows)
        .map(|cells| cells.join("\t"))
        .collect();
    output::text(&table::align_to(&lines.join("\n"), COLUMN))?;
    Ok(ExitCode::SUCCESS)
}

/// `-o pid,args`, `-opid`, `-eo pid` and `pid args` are all the same two or one columns.
fn columns(words: &[String]) -> Vec<String> {
    words
        .iter()
        .flat_map(|word| match word.strip_prefix("-") {
            Some(options) => options
                .split_once('o')
                .map_or("", |(_, rest)| rest)
                .split(','),
            None => word.split(','),
        })
        .filter(|column| !column.is_empty())
        .map(str::to_owned)
        .collect()
}
