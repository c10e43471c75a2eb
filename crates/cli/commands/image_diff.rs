//! `lighter image diff`: what differs between two images, in files and in configuration.

use std::process::ExitCode;

use anyhow::Result;
use image::Store;
use image::diff::{Kind, diff};
use serde_json::{Map, Value, json};

use crate::args::Global;
use crate::output;

/// Show what changed from one image to another: files, then configuration
#[derive(clap::Args)]
pub struct Args {
    /// Format output: 'json' for one object a line, or a Go template over .Kind, .Path, .Before and .After
    #[arg(long)]
    format: Option<String>,
    #[arg(value_name = "IMAGE")]
    from: String,
    #[arg(value_name = "IMAGE")]
    to: String,
}

/// A letter and a path for each file as `lighter diff` has it; `config.FIELD` for the configuration.
pub fn run(args: Args, global: &Global) -> Result<ExitCode> {
    let store = Store::open(&global.root)?;
    let (from, to) = (store.find(&args.from)?, store.find(&args.to)?);
    let files = diff(&from, &to)?.into_iter().map(|change| {
        let letter = match change.kind {
            Kind::Added => "A",
            Kind::Changed => "C",
            Kind::Deleted => "D",
        };
        json!({"Kind": letter, "Path": change.path.to_string_lossy()})
    });
    let fields = configuration(
        &serde_json::to_value(&from.config.config)?,
        &serde_json::to_value(&to.config.config)?,
    );
    let rows: Vec<Value> = files.chain(fields).collect();
    match &args.format {
        Some(format) => output::objects(format, &rows)?,
        None => output::text(&rows.iter().map(line).collect::<String>())?,
    }
    Ok(ExitCode::SUCCESS)
}

fn line(row: &Value) -> String {
    let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let (kind, path) = (text("Kind"), text("Path"));
    match (row.get("Before"), row.get("After")) {
        (None, None) => format!("{kind} {path}\n"),
        (before, after) => {
            let shown = |value: Option<&Value>| value.map_or("-".to_owned(), Value::to_string);
            format!("{kind} {path} {} -> {}\n", shown(before), shown(after))
        }
    }
}

/// The fields of the two configurations that differ.
fn configuration(before: &Value, after: &Value) -> Vec<Value> {
    let nothing = Map::new();
    let fields = |value: &Value| value.as_object().unwrap_or(&nothing).clone();
    let (before, after) = (fields(before), fields(after));
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    let differing = names
        .into_iter()
        .filter(|name| before.get(*name) != after.get(*name));
    let row = |name: &String| {
        let (old, new) = (before.get(name), after.get(name));
        let kind = match (old, new) {
            (None, _) => "A",
            (_, None) => "D",
            _ => "C",
        };
        let mut row = json!({"Kind": kind, "Path": format!("config.{name}")});
        if let Some(old) = old {
            row["Before"] = old.clone();
        }
        if let Some(new) = new {
            row["After"] = new.clone();
        }
        row
    };
    differing.map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_fields_that_differ_are_listed() {
        let before = json!({"Cmd": ["a"], "Env": ["X=1"], "User": "u"});
        let after = json!({"Cmd": ["a"], "Env": ["X=2"], "WorkingDir": "/w"});
        let lines: String = configuration(&before, &after).iter().map(line).collect();
        assert_eq!(
            lines,
            "C config.Env [\"X=1\"] -> [\"X=2\"]\nD config.User \"u\" -> -\nA config.WorkingDir - -> \"/w\"\n"
        );
    }
}
