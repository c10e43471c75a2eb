//! `lighter history`: how an image came to be.

use std::process::ExitCode;

use anyhow::Result;
use image::{Image, Store};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::args::{Global, go_bool};
use crate::output::{self, Table, units};

/// Show the history of an image
#[derive(clap::Args)]
pub struct Args {
    /// Format output: 'table', 'table TEMPLATE', 'json', 'jsonarray' or a Go template
    #[arg(long)]
    format: Option<String>,
    /// Print sizes and dates in human readable format
    #[arg(
        short = 'H',
        long,
        value_name = "BOOL",
        action = clap::ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_value = "true",
        default_missing_value = "true",
        value_parser = go_bool
    )]
    human: bool,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Only show image IDs
    #[arg(short, long)]
    quiet: bool,
    #[arg(value_name = "IMAGE")]
    image: String,
}

const TABLE: Table = Table {
    headings: &[
        ("ID", "IMAGE"),
        ("CreatedSince", "CREATED"),
        ("CreatedAt", "CREATED AT"),
        ("CreatedBy", "CREATED BY"),
        ("Size", "SIZE"),
        ("Comment", "COMMENT"),
    ],
    shown: &["ID", "CreatedSince", "CreatedBy", "Size", "Comment"],
};
const EXACT: Table = Table {
    shown: &["ID", "CreatedAt", "CreatedBy", "Size", "Comment"],
    ..TABLE
};

/// Lists the steps, newest first.
pub fn run(args: Args, global: &Global) -> Result<ExitCode> {
    let image = Store::open(&global.root)?.find(&args.image)?;
    let rows = rows(&image, &args);
    if args.quiet && args.format.is_none() {
        for row in &rows {
            output::line(row["ID"].as_str().unwrap_or_default())?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let table = if args.human { &TABLE } else { &EXACT };
    output::list(table, args.format.as_deref(), &rows)?;
    Ok(ExitCode::SUCCESS)
}

/// Only the newest step has an id; steps without a layer have no size.
fn rows(image: &Image, args: &Args) -> Vec<Value> {
    let mut layers = image.layers.iter();
    let mut rows: Vec<Value> = Vec::new();
    for step in &image.config.history {
        let size = if step.empty_layer {
            0
        } else {
            layers.next().map_or(0, |layer| layer.size)
        };
        let created = step
            .created
            .as_deref()
            .and_then(|text| text.parse::<Timestamp>().ok());
        let by = step.created_by.clone().unwrap_or_default();
        let created_at = created.map(|time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        rows.push(json!({
            "ID": "<missing>",
            "CreatedSince": created.map_or_else(|| "N/A".to_owned(), units::ago),
            "CreatedAt": created_at.unwrap_or_default(),
            "CreatedBy": if args.no_trunc { by } else { units::ellipsis(&by.replace('\t', " "), 45) },
            "Size": if args.human { units::size(size, 3) } else { size.to_string() },
            "Comment": step.comment.clone().unwrap_or_default(),
        }));
    }
    if let Some(newest) = rows.last_mut() {
        let id = image.id.to_string();
        newest["ID"] = if args.no_trunc {
            id
        } else {
            units::short_id(&id).to_owned()
        }
        .into();
    }
    rows.reverse();
    rows
}
