//! `lighter search`: repositories of a registry by a word.

use std::process::ExitCode;

use anyhow::{Result, bail};
use image::registry::{Match, search};
use serde_json::{Value, json};

use super::login::registry_of;
use super::ps::filters;
use crate::args::{Global, go_bool};
use crate::options::RegistryOptions;
use crate::output::{self, Table, units};

/// Search a registry for images
#[derive(clap::Args)]
pub struct Args {
    /// Filter output based on conditions provided: is-official=BOOL, stars=N
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Format output: 'table', 'table TEMPLATE', 'json' or a Go template
    #[arg(long)]
    format: Option<String>,
    /// Max number of search results
    #[arg(long, value_name = "N", default_value_t = 25, value_parser = clap::value_parser!(u16).range(1..=100))]
    limit: u16,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    #[command(flatten)]
    registry: RegistryOptions,
    #[arg(value_name = "[REGISTRY/]TERM")]
    term: String,
}

const TABLE: Table = Table {
    headings: &[
        ("Name", "NAME"),
        ("Description", "DESCRIPTION"),
        ("StarCount", "STARS"),
        ("IsOfficial", "OFFICIAL"),
    ],
    shown: &["Name", "Description", "StarCount", "IsOfficial"],
};

/// Lists what the registry finds.
pub fn run(args: Args, _: &Global) -> Result<ExitCode> {
    let (registry, term) = parts(&args.term);
    let options = args.registry.options()?;
    let mut found = search(&registry, term, args.limit.into(), &options)?;
    for (key, value) in filters(&args.filter)? {
        filter(&mut found, &key, &value)?;
    }
    let rows: Vec<Value> = found.iter().map(|found| row(found, &args)).collect();
    output::list(&TABLE, args.format.as_deref(), &rows)?;
    Ok(ExitCode::SUCCESS)
}

/// The first part is a registry when it looks like a host, as in references.
fn parts(term: &str) -> (String, &str) {
    match term.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => {
            (registry_of(Some(host)), rest)
        }
        _ => (registry_of(None), term),
    }
}

fn filter(found: &mut Vec<Match>, key: &str, value: &str) -> Result<()> {
    match key {
        "is-official" => {
            let wanted = go_bool(value).map_err(anyhow::Error::msg)?;
            found.retain(|found| found.official == wanted);
        }
        "stars" => {
            let Ok(least) = value.parse::<u64>() else {
                bail!("invalid filter 'stars={value}'");
            };
            found.retain(|found| found.stars >= least);
        }
        _ => bail!("invalid filter '{key}'"),
    }
    Ok(())
}

fn row(found: &Match, args: &Args) -> Value {
    let description = found.description.replace(['\n', '\r', '\t'], " ");
    let description: String = description.chars().filter(|c| !c.is_control()).collect();
    let name: String = found.name.chars().filter(|c| !c.is_control()).collect();
    json!({
        "Name": name,
        "Description": if args.no_trunc { description } else { units::ellipsis(&description, 45) },
        "StarCount": found.stars.to_string(),
        "IsOfficial": if found.official { "[OK]" } else { "" },
    })
}

#[cfg(test)]
mod tests {
    use super::parts;

    #[test]
    fn a_host_says_where_to_search() {
        assert_eq!(parts("nginx"), ("docker.io".into(), "nginx"));
        assert_eq!(parts("team/app"), ("docker.io".into(), "team/app"));
        assert_eq!(
            parts("localhost:5000/app"),
            ("localhost:5000".into(), "app")
        );
    }
}
