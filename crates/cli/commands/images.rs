//! `lighter images`: lists what the store has.

use std::process::ExitCode;

use anyhow::{Result, bail};
use image::store::Entry;
use image::{Reference, Store};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::ps::filters;
use crate::args::Global;
use crate::output::{self, Table, units};

/// List images
#[derive(clap::Args)]
pub struct Args {
    /// Show all images (there are no intermediate ones here)
    #[arg(short, long)]
    all: bool,
    /// Show digests
    #[arg(long)]
    digests: bool,
    /// Filter output based on conditions provided
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Format output: 'table', 'table TEMPLATE', 'json', 'jsonarray' or a Go template
    #[arg(long)]
    format: Option<String>,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Only show image IDs
    #[arg(short, long)]
    quiet: bool,
    #[arg(value_name = "REPOSITORY[:TAG]")]
    repository: Option<String>,
}

const HEADINGS: &[(&str, &str)] = &[
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("Digest", "DIGEST"),
    ("ID", "IMAGE ID"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("Size", "SIZE"),
    ("Containers", "CONTAINERS"),
    ("SharedSize", "SHARED SIZE"),
    ("UniqueSize", "UNIQUE SIZE"),
    ("VirtualSize", "VIRTUAL SIZE"),
];
const TABLE: Table = Table {
    headings: HEADINGS,
    shown: &["Repository", "Tag", "ID", "CreatedSince", "Size"],
};
const DIGESTS: Table = Table {
    headings: HEADINGS,
    shown: &["Repository", "Tag", "Digest", "ID", "CreatedSince", "Size"],
};

/// Lists the images, newest first.
pub fn run(args: Args, global: &Global) -> Result<ExitCode> {
    let _ = args.all;
    let store = Store::open(&global.root)?;
    let mut entries = store.entries()?;
    if let Some(wanted) = &args.repository {
        entries.retain(|entry| is_named(entry, wanted));
    }
    for (key, value) in filters(&args.filter)? {
        entries = filter(&store, entries, &key, &value)?;
    }
    entries.sort_by_key(|entry| std::cmp::Reverse(created(entry)));
    if args.quiet && args.format.is_none() {
        let mut seen = std::collections::HashSet::new();
        for entry in entries.iter().filter(|entry| seen.insert(entry.id.clone())) {
            output::line(id(entry, args.no_trunc))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Value> = entries
        .iter()
        .map(|entry| row(entry, args.no_trunc))
        .collect();
    let table = if args.digests { &DIGESTS } else { &TABLE };
    output::list(table, args.format.as_deref(), &rows)?;
    Ok(ExitCode::SUCCESS)
}

/// `nginx` means every tag, `nginx:1` one of them.
fn is_named(entry: &Entry, wanted: &str) -> bool {
    let Some(reference) = &entry.reference else {
        return false;
    };
    let Ok(parsed) = wanted.parse::<Reference>() else {
        return matches(wanted, &reference.familiar());
    };
    let tagged = wanted
        .rsplit('/')
        .next()
        .is_some_and(|last| last.contains([':', '@']));
    parsed.name() == reference.name() && (!tagged || parsed.wanted() == reference.wanted())
}

/// The images that a filter keeps, with docker's names of filters.
pub fn filter(store: &Store, entries: Vec<Entry>, key: &str, value: &str) -> Result<Vec<Entry>> {
    let moment = |name: &str| -> Result<Timestamp> { Ok(created_of(&store.find(name)?)) };
    let keep: Box<dyn Fn(&Entry) -> bool> = match key {
        "dangling" => {
            let wanted = crate::args::go_bool(value).map_err(anyhow::Error::msg)?;
            Box::new(move |entry| entry.reference.is_none() == wanted)
        }
        "before" => {
            let limit = moment(value)?;
            Box::new(move |entry| created(entry) < limit)
        }
        "since" => {
            let limit = moment(value)?;
            Box::new(move |entry| created(entry) > limit)
        }
        "until" => {
            let limit = crate::options::time::moment("until", value, Timestamp::now())?;
            Box::new(move |entry| created(entry) < limit)
        }
        "reference" => Box::new(move |entry| {
            let reference = entry.reference.as_ref();
            reference.is_some_and(|r| {
                matches(value, &r.familiar()) || matches(value, &r.familiar_repository())
            })
        }),
        "label" => {
            let (name, wanted) = value
                .split_once('=')
                .map_or((value, None), |(n, v)| (n, Some(v)));
            Box::new(move |entry| {
                let labels = store.config(entry).map(|config| config.config.labels);
                labels.is_ok_and(|labels| {
                    labels
                        .get(name)
                        .is_some_and(|found| wanted.is_none_or(|wanted| wanted == found))
                })
            })
        }
        _ => bail!("invalid filter '{key}'"),
    };
    Ok(entries.into_iter().filter(|entry| keep(entry)).collect())
}

/// Go's `path.Match`, as far as docker's `reference` filter uses it: `*` and `?` stop at `/`.
fn matches(pattern: &str, text: &str) -> bool {
    fn step(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) if step(rest, text) => true,
            (Some((b'*', _)), Some((next, tail))) => *next != b'/' && step(pattern, tail),
            (Some((b'?', rest)), Some((next, tail))) => *next != b'/' && step(rest, tail),
            (Some((wanted, rest)), Some((next, tail))) => wanted == next && step(rest, tail),
            _ => false,
        }
    }
    step(pattern.as_bytes(), text.as_bytes())
}

fn created(entry: &Entry) -> Timestamp {
    let created = entry.created.as_deref().and_then(|text| text.parse().ok());
    created.unwrap_or(Timestamp::UNIX_EPOCH)
}

/// When an image was made; 1970 when it does not say.
pub fn created_of(image: &image::Image) -> Timestamp {
    let created = image
        .config
        .created
        .as_deref()
        .and_then(|text| text.parse().ok());
    created.unwrap_or(Timestamp::UNIX_EPOCH)
}

fn id(entry: &Entry, whole: bool) -> String {
    let id = entry.id.to_string();
    if whole {
        id
    } else {
        units::short_id(&id).to_owned()
    }
}

/// An entry as a row of a listing; what only `system df` knows is not available here.
pub fn row(entry: &Entry, whole: bool) -> Value {
    let none = || "<none>".to_owned();
    let reference = entry.reference.as_ref();
    let repo_digest = entry.repo_digest.as_ref();
    let repository = reference
        .or(repo_digest)
        .map_or_else(none, Reference::familiar_repository);
    let created_at = created(entry);
    json!({
        "Containers": "N/A",
        "CreatedAt": units::moment(created_at),
        "CreatedSince": units::ago(created_at),
        "Digest": repo_digest.and_then(|r| r.digest()).map_or_else(none, ToString::to_string),
        "ID": id(entry, whole),
        "Repository": repository,
        "SharedSize": "N/A",
        "Size": units::size(entry.size, 3),
        "Tag": reference.and_then(|r| r.tag()).map_or_else(none, str::to_owned),
        "UniqueSize": "N/A",
        "VirtualSize": units::size(entry.size, 4),
    })
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_stop_at_slashes() {
        assert!(matches("ngin?", "nginx") && matches("*:latest", "nginx:latest"));
        assert!(matches("a/*", "a/b") && !matches("a/*", "a/b/c") && !matches("*", "a/b"));
        assert!(!matches("nginx", "nginx2"));
    }
}
