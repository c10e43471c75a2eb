//! `lighter image tree`: the layers of images, and which images stand on which.

use std::process::ExitCode;

use anyhow::Result;
use image::{Digest, Image, Store};

use crate::args::Global;
use crate::output::{self, units};

/// Show the layers of images as a tree: images that begin with the same layers share a trunk
#[derive(clap::Args)]
pub struct Args {
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Only these images (default: all)
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
}

/// A layer with those that stand on it.
struct Node {
    diff_id: Digest,
    size: u64,
    /// What made it, as the history says.
    by: String,
    /// The images it is the topmost layer of.
    images: Vec<String>,
    above: Vec<Node>,
}

/// Prints a line for each layer.
pub fn run(args: Args, global: &Global) -> Result<ExitCode> {
    let store = Store::open(&global.root)?;
    let entries = store.entries()?;
    let chosen: Vec<Image> = match args.images.as_slice() {
        [] => entries
            .iter()
            .map(|entry| store.image(entry))
            .collect::<Result<_, _>>()?,
        names => names
            .iter()
            .map(|name| store.find(name))
            .collect::<Result<_, _>>()?,
    };
    let mut roots = Vec::new();
    for image in &chosen {
        add(&mut roots, image);
    }
    let mut text = String::new();
    for root in &roots {
        print(root, "", "", args.no_trunc, &mut text);
    }
    output::text(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn add(roots: &mut Vec<Node>, image: &Image) {
    let made_by = image.config.history.iter().filter(|step| !step.empty_layer);
    let mut made_by = made_by.map(|step| step.created_by.clone().unwrap_or_default());
    let mut level = roots;
    let last = image.layers.len().saturating_sub(1);
    for (at, layer) in image.layers.iter().enumerate() {
        let by = made_by.next().unwrap_or_default();
        let known = level.iter().position(|node| node.diff_id == layer.diff_id);
        let place = known.unwrap_or_else(|| {
            level.push(Node {
                diff_id: layer.diff_id.clone(),
                size: layer.size,
                by,
                images: Vec::new(),
                above: Vec::new(),
            });
            level.len() - 1
        });
        if at == last {
            level[place].images.push(name_of(image));
        }
        level = &mut level[place].above;
    }
}

fn name_of(image: &Image) -> String {
    match &image.reference {
        Some(reference) => reference.familiar(),
        None => units::short_id(&image.id.to_string()).to_owned(),
    }
}

/// `lead` comes before the node's own line, `trunk` before those above it.
fn print(node: &Node, lead: &str, trunk: &str, whole: bool, text: &mut String) {
    let id = node.diff_id.to_string();
    let (id, by) = if whole {
        (id.as_str(), node.by.clone())
    } else {
        (units::short_id(&id), units::ellipsis(&node.by, 45))
    };
    let size = units::size(node.size, 3);
    let mut line = format!("{lead}{id} {size}");
    if !node.images.is_empty() {
        line += &format!(" [{}]", node.images.join(", "));
    }
    if !by.is_empty() {
        line += &format!(" {by}");
    }
    text.push_str(&line);
    text.push('\n');
    for (at, above) in node.above.iter().enumerate() {
        let (branch, next) = if at + 1 == node.above.len() {
            ("└── ", "    ")
        } else {
            ("├── ", "│   ")
        };
        let (lead, trunk) = (format!("{trunk}{branch}"), format!("{trunk}{next}"));
        print(above, &lead, &trunk, whole, text);
    }
}
