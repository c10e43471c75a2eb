//! `lighter compose plan`: what `up` would do and why, key by key, and nothing else.

use std::process::ExitCode;

use anyhow::Result;
use orchestrator::observe;
use orchestrator::plan::Verdict;
use orchestrator::reconcile;

use super::project::Session;
use super::up::Making;
use crate::output;

/// Show what up would do, and why
#[derive(clap::Args)]
pub struct Args {
    /// Print the plan as JSON
    #[arg(long)]
    json: bool,
    /// Exit with 0 if there is nothing to do, 2 if there is, 1 on errors
    #[arg(long)]
    exit_code: bool,
    /// Say nothing of what stays as it is
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    making: Making,
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

/// Prints the plan.
pub fn run(args: Args, session: &Session) -> Result<ExitCode> {
    let project = session.project_to_look_at(&args.services)?;
    session.check_support(&project, &args.services)?;
    let observed = observe::observe(&session.host, &project)?;
    let mut plan =
        reconcile::reconcile(&project, &observed, &args.making.options(&args.services)?)?;
    let changes = plan.changes();
    if args.json {
        output::line(format_args!("{:#}", plan.json()))?;
    } else {
        for warning in &plan.warnings {
            session.global.warn(warning);
        }
        if args.quiet {
            plan.fates.retain(|fate| fate.verdict != Verdict::Keep);
        }
        output::text(&plan.text())?;
        eprintln!("{}", summary(&plan.fates));
    }
    Ok(if args.exit_code && changes {
        ExitCode::from(2)
    } else {
        ExitCode::SUCCESS
    })
}

/// `2 to create, 1 to recreate, 3 to keep`.
fn summary(fates: &[orchestrator::plan::Fate]) -> String {
    let all = [
        Verdict::Create,
        Verdict::Recreate,
        Verdict::Restart,
        Verdict::Start,
        Verdict::Remove,
        Verdict::Keep,
    ];
    let counts = all.iter().map(|verdict| {
        (
            verdict,
            fates.iter().filter(|fate| fate.verdict == *verdict).count(),
        )
    });
    let parts: Vec<String> = counts
        .filter(|(_, n)| *n > 0)
        .map(|(verdict, n)| format!("{n} to {}", verdict.word()))
        .collect();
    if parts.is_empty() {
        "nothing to do".into()
    } else {
        parts.join(", ")
    }
}
