//! `lighter bundle`: a whole application in one file, to be run where there is no network.
//!
//! `create` resolves the Compose files, pins every image to the manifest that is here and takes the
//! files that are mounted along; `run` checks the file, brings its images into the store and calls
//! `compose up`; `diff` tells what changed from one bundle to another.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use image::archive::bundle::{self, Application, Lock};
use image::{Image, Reference, Store};
use orchestrator::model::Project;
use orchestrator::{config, render};
use serde_json::Value;

use super::compose::project::Files;
use crate::args::{self, Global};
use crate::obtain::{self, PullPolicy, Wanted};
use crate::{output, progress};

/// Carry whole applications in one file
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Put an application, its images and its files into one file
    Create(Create),
    /// Show what changed from one bundle to another
    Diff(Diff),
    /// Run the application of a bundle, without a network
    Run(Run),
}

#[derive(clap::Args)]
struct Create {
    #[command(flatten)]
    files: Files,
    /// Write to this file
    #[arg(short, long, value_name = "BUNDLE")]
    output: PathBuf,
    /// When to ask the registries
    #[arg(long, value_name = "POLICY", default_value = "missing")]
    pull: PullPolicy,
}

#[derive(clap::Args)]
struct Diff {
    #[arg(value_name = "BUNDLE")]
    from: PathBuf,
    #[arg(value_name = "BUNDLE")]
    to: PathBuf,
}

#[derive(clap::Args)]
struct Run {
    /// Run containers in background
    #[arg(short, long)]
    detach: bool,
    /// Project name (default: the one the bundle was made with)
    #[arg(short, long, value_name = "NAME")]
    project_name: Option<String>,
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
    /// More options and services for `compose up`
    #[arg(value_name = "UP_ARGUMENT", last = true)]
    up: Vec<OsString>,
}

/// Calls the verb.
pub fn run(args: Args, global: &Global) -> Result<ExitCode> {
    match args.verb {
        Verb::Create(args) => create(&args, global),
        Verb::Diff(args) => diff(&args, global),
        Verb::Run(args) => start(args, global),
    }
}

fn create(args: &Create, global: &Global) -> Result<ExitCode> {
    let project = args.files.project()?;
    let store = Store::open(&global.root)?;
    let mut compose = config::json(&config::tree(&project, true, true));
    let images = pin(&mut compose, &project, &store, args.pull, global)?;
    let mut files = BTreeSet::new();
    relocate(&mut compose, &project.directory, &mut files, global);
    let application = Application {
        project: project.name.clone(),
        compose: render::yaml(&compose),
        images,
        directory: &project.directory,
        files,
    };
    let failed = || format!("cannot write {}", args.output.display());
    let part = args.output.with_extension("part");
    let mut out = BufWriter::with_capacity(1 << 20, File::create(&part).with_context(failed)?);
    let written = bundle::create(&store, &application, &mut out)
        .map_err(anyhow::Error::from)
        .and_then(|()| out.flush().with_context(failed))
        .and_then(|()| fs::rename(&part, &args.output).with_context(failed));
    if written.is_err() {
        let _ = fs::remove_file(&part);
    }
    written?;
    Ok(ExitCode::SUCCESS)
}

/// Gives every service the very image that is here; what builds it is not needed any more.
fn pin(
    compose: &mut Value,
    project: &Project,
    store: &Store,
    policy: PullPolicy,
    global: &Global,
) -> Result<BTreeMap<Reference, Image>> {
    let mut images = BTreeMap::new();
    for (name, service) in &project.services {
        let wanted = service.image_name(&project.name, name);
        let reference: Reference = wanted.parse()?;
        let image = match images.remove(&reference) {
            Some(image) => image,
            None => obtain::image(
                store,
                &Wanted {
                    name: &wanted,
                    policy,
                    platform: None,
                    quiet: false,
                },
                global,
            )?,
        };
        let manifest = bundle::locked(store, &image)?.manifest;
        let service = &mut compose["services"][name];
        service["image"] = format!("{reference}@{manifest}").into();
        service["pull_policy"] = "never".into();
        if let Some(service) = service.as_object_mut() {
            service.shift_remove("build");
        }
        images.insert(reference, image);
    }
    Ok(images)
}

/// Makes paths below the project's directory relative, and remembers what is there.
fn relocate(compose: &mut Value, root: &Path, files: &mut BTreeSet<PathBuf>, global: &Global) {
    let mut paths: Vec<&mut Value> = Vec::new();
    for (kind, parts) in compose.as_object_mut().into_iter().flatten() {
        let parts = parts
            .as_object_mut()
            .into_iter()
            .flatten()
            .map(|(_, part)| part);
        match kind.as_str() {
            "services" => paths.extend(parts.flat_map(bind_sources)),
            "configs" | "secrets" => paths.extend(parts.filter_map(|part| part.get_mut("file"))),
            _ => {}
        }
    }
    for path in paths {
        let whole = PathBuf::from(path.as_str().unwrap_or_default());
        match whole.strip_prefix(root) {
            Ok(inside) => {
                if whole.symlink_metadata().is_ok() {
                    files.insert(inside.to_owned());
                }
                *path = Path::new(".").join(inside).to_string_lossy().into();
            }
            Err(_) => global.note(format_args!(
                "{} is outside of {}: it must be on the machine that runs the bundle",
                whole.display(),
                root.display()
            )),
        }
    }
}

/// The directories and files of the host that a service mounts.
fn bind_sources(service: &mut Value) -> impl Iterator<Item = &mut Value> {
    let mounts = service.get_mut("volumes").and_then(Value::as_array_mut);
    mounts
        .into_iter()
        .flatten()
        .filter(|mount| mount["type"] == "bind")
        .filter_map(|mount| mount.get_mut("source"))
}

fn start(args: Run, global: &Global) -> Result<ExitCode> {
    let store = Store::open(&global.root)?;
    let bundle = bundle::load(&store, &args.bundle, &*progress::transfer(false))?;
    let directory = global.root.join("bundles").join(&bundle.digest.hex()[..32]);
    put(&bundle, &directory)?;
    let project = args.project_name.unwrap_or(bundle.lock.project);
    global.note(format_args!(
        "the application's files are in {}",
        directory.display()
    ));
    let mut words: Vec<OsString> = vec!["lighter".into()];
    words.extend(["--root".into(), global.root.clone().into_os_string()]);
    words.extend(["--state".into(), global.state.clone().into_os_string()]);
    words.extend(["compose", "-p", &project, "-f"].map(OsString::from));
    words.push(directory.join("compose.yaml").into_os_string());
    words.push("up".into());
    if args.detach {
        words.push("-d".into());
    }
    words.extend(args.up);
    match args::parse(words) {
        Ok(call) => call.run(),
        Err(refusal) => Ok(crate::report::refuse(refusal)),
    }
}

/// Puts the application's files where they stay: containers mount them.
fn put(bundle: &bundle::Bundle, directory: &Path) -> Result<()> {
    if directory.exists() {
        return Ok(());
    }
    let failed = || format!("cannot make {}", directory.display());
    let parent = directory.parent().ok_or_else(|| anyhow!(failed()))?;
    fs::create_dir_all(parent).with_context(failed)?;
    let new = parent.join(format!(".new-{}", std::process::id()));
    let _ = fs::remove_dir_all(&new);
    fs::create_dir(&new).with_context(failed)?;
    bundle.unpack(&new)?;
    match fs::rename(&new, directory) {
        // Another process was first, with the same bundle.
        Err(_) if directory.exists() => fs::remove_dir_all(&new).with_context(failed),
        renamed => renamed.with_context(failed),
    }
}

fn diff(args: &Diff, global: &Global) -> Result<ExitCode> {
    let store = Store::open(&global.root)?;
    let from = bundle::read(&store, &args.from)?;
    let to = bundle::read(&store, &args.to)?;
    let mut text = images_diff(&from.lock, &to.lock);
    text += &lines_diff(&from.compose, &to.compose);
    for (path, change) in from.files_changed(&to)? {
        text += &format!("{change} {}\n", path.display());
    }
    output::text(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn images_diff(from: &Lock, to: &Lock) -> String {
    let names: BTreeSet<&Reference> = from.images.keys().chain(to.images.keys()).collect();
    let line = |name: &Reference| match (from.images.get(name), to.images.get(name)) {
        (Some(old), Some(new)) if old == new => String::new(),
        (Some(old), Some(new)) => format!(
            "C {} {} -> {}\n",
            name.familiar(),
            old.manifest,
            new.manifest
        ),
        (Some(old), None) => format!("D {} {}\n", name.familiar(), old.manifest),
        (None, Some(new)) => format!("A {} {}\n", name.familiar(), new.manifest),
        (None, None) => String::new(),
    };
    names.into_iter().map(line).collect()
}

/// The lines of the Compose file that differ, `-` before old ones and `+` before new ones.
fn lines_diff(from: &str, to: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (from.lines().collect(), to.lines().collect());
    // common[i][j]: how many lines old[i..] and new[j..] have in common, in order.
    let mut common = vec![vec![0u32; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] = if old[i] == new[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut text) = (0, 0, String::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || (i < old.len() && common[i + 1][j] >= common[i][j + 1]) {
            text += &format!("-{}\n", old[i]);
            i += 1;
        } else {
            text += &format!("+{}\n", new[j]);
            j += 1;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_that_differ_are_shown() {
        let old = "a\nb\nc\nd";
        assert_eq!(lines_diff(old, old), "");
        assert_eq!(lines_diff(old, "a\nc\nd\ne"), "-b\n+e\n");
        assert_eq!(lines_diff("", "x"), "+x\n");
    }

    #[test]
    fn what_is_mounted_goes_along_and_what_is_elsewhere_stays() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("here"), "").unwrap();
        let source = |path: &Path| path.to_string_lossy().into_owned();
        let mut compose = serde_json::json!({
            "services": {"one": {"volumes": [
                {"type": "bind", "source": source(&root.path().join("here"))},
                {"type": "bind", "source": "/etc/localtime"},
                {"type": "volume", "source": "data"},
            ]}},
            "configs": {"c": {"file": source(&root.path().join("missing"))}},
        });
        let global = Global {
            root: PathBuf::new(),
            state: PathBuf::new(),
            level: args::Level::Error,
        };
        let mut files = BTreeSet::new();
        relocate(&mut compose, root.path(), &mut files, &global);
        let mounts = &compose["services"]["one"]["volumes"];
        assert_eq!(mounts[0]["source"], "./here");
        assert_eq!(mounts[1]["source"], "/etc/localtime");
        assert_eq!(compose["configs"]["c"]["file"], "./missing");
        assert_eq!(
            files.into_iter().collect::<Vec<_>>(),
            [PathBuf::from("here")]
        );
    }
}
