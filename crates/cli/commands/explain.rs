//! `lighter explain run`: what running a container asks of the kernel, step by step.
//!
//! Prints the script that `run` would play, for people, as JSON, or as a shell script that makes
//! the same container with the tools a person would type.

use std::process::ExitCode;

use anyhow::Result;
use engine::explain::Explained;
use image::Store;
use kernel::{Side, Step, shell};
use serde_json::{Value, json};

use crate::args::Global;
use crate::options::CreationOptions;
use crate::output;
use crate::report::{CANNOT_RUN, Context as _};

/// Show what lighter asks of the kernel to do something
#[derive(clap::Args)]
pub struct Args {
    /// Print the steps as one JSON object
    #[arg(long, global = true, conflicts_with = "shell")]
    json: bool,
    /// Print a bash script that makes the same container with util-linux, iproute2 and nft
    #[arg(long, global = true)]
    shell: bool,
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Explain how a container comes to life, without running it
    #[command(override_usage = "lighter explain run [OPTIONS] IMAGE [COMMAND] [ARG...]")]
    Run(Box<Run>),
}

#[derive(clap::Args)]
struct Run {
    /// As in 'lighter run': the script is the same
    #[arg(short, long, hide = true)]
    detach: bool,
    #[command(flatten)]
    creation: CreationOptions,
}

/// Plans the container and prints the plan.
pub fn run(args: Args, global: &Global) -> Result<ExitCode> {
    let What::Run(run) = args.what;
    let explained = explain(&run, global).exit_code(CANNOT_RUN)?;
    if args.json {
        output::line(json(&explained))?;
    } else if args.shell {
        output::text(&shell::script(
            &title(&run),
            &explained.script,
            &explained.undo,
        ))?;
    } else {
        // The whole id fills half of every line.
        let list = page(&explained.script.steps);
        output::text(&list.replace(&explained.id, output::units::short_id(&explained.id)))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn explain(run: &Run, global: &Global) -> Result<Explained> {
    let creation = &run.creation;
    let wish = creation
        .container
        .wish(creation.command(), creation.rm, run.detach)?;
    for warning in &wish.warnings {
        global.warn(warning);
    }
    let engine = global.engine()?;
    let store = Store::open(&global.root)?;
    let image = creation.image(&store, global)?;
    Ok(engine.explain(&store, &image, wish.config)?)
}

fn title(run: &Run) -> String {
    let words: Vec<String> = run
        .creation
        .words
        .iter()
        .map(|word| shell::quote(word))
        .collect();
    format!("lighter run {}", words.join(" ").replace('\n', " "))
}

/// Every step with its number, its manual pages and the line a person would type.
fn json(explained: &Explained) -> Value {
    let step = |(index, step): (usize, &Step)| {
        json!({
            "number": index + 1,
            "side": step.side,
            "does": step.op.does(),
            "why": step.why,
            "manual": step.op.manual(),
            "shell": shell::lines(&step.op, step.side),
            "op": step.op,
        })
    };
    json!({
        "id": explained.id,
        "steps": explained.script.steps.iter().enumerate().map(step).collect::<Vec<_>>(),
        "undo": explained.undo.iter().enumerate().map(step).collect::<Vec<_>>(),
    })
}

/// A numbered list: who does what, why, where to read on, and how by hand.
fn page(steps: &[Step]) -> String {
    steps
        .iter()
        .enumerate()
        .map(|(index, step)| entry(index + 1, step))
        .collect()
}

fn entry(number: usize, step: &Step) -> String {
    let side = match step.side {
        Side::Host => "host",
        Side::Container => "container",
    };
    let mut text = format!("{number:>3}  {side:<9}  {}\n", step.op.does());
    text.push_str(&format!(
        "{:16}{}: {}\n",
        "",
        step.why,
        step.op.manual().join(", ")
    ));
    for line in shell::lines(&step.op, step.side)
        .iter()
        .flat_map(|lines| lines.lines())
        .take(LINES)
    {
        text.push_str(&format!(
            "{:16}$ {}\n",
            "",
            output::units::ellipsis(line, WIDTH)
        ));
    }
    text
}

/// Of a step's shell lines only the first are listed, and of long ones the beginning.
const LINES: usize = 4;
const WIDTH: usize = 140;
