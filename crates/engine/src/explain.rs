//! `explain`: the script that starting a container would play, without playing it.
//!
//! The container is made and prepared exactly as `run` does it, planned by the same function, and removed again. What lay on
//! disk only for it (its layer's directories, `/etc/hosts` and the like) is put in front of the script as steps of its own, so
//! that the script stands for itself.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use image::{Image, Store};
use kernel::op::MountSource;
use kernel::{Op, Script, Step};
use network::Networks;

use crate::remove::Remove;
use crate::{ContainerConfig, Engine, Result};

/// What a start would ask of the kernel.
#[derive(Debug, Clone)]
pub struct Explained {
    /// 64 hexadecimal digits: the id it was planned with.
    pub id: String,
    /// Every step from nothing to the program.
    pub script: Script,
    /// What takes it away again when the program has ended.
    pub undo: Vec<Step>,
}

impl Engine {
    /// Plans a start. Nothing of it is left when this returns.
    ///
    /// # Errors
    /// As [`Engine::create`] and [`Engine::start`], as far as they come before the first step.
    pub fn explain(
        &self,
        store: &Store,
        image: &Image,
        wish: ContainerConfig,
    ) -> Result<Explained> {
        let created = self.create(store, image, wish)?;
        let id = created.id.clone();
        let explained = self.planned(&id);
        // From here on nobody answers for it any more, so that it can be removed.
        drop(created);
        let removed = self.remove(
            &id,
            Remove {
                force: true,
                volumes: true,
            },
        );
        let explained = explained?;
        removed?;
        Ok(explained)
    }

    fn planned(&self, id: &str) -> Result<Explained> {
        let record = self.record(id)?;
        let networks = Networks::open(self.paths.root(), self.paths.state());
        let prepared = self.prepare(&record, &networks)?;
        let mut script = runtime::plan(&prepared.bundle, &prepared.attach)?;
        let files = self.own_files(&script)?;
        let mut undo = Vec::new();
        if let Some(network) = &prepared.network {
            let table = networks.table_name();
            undo.extend(
                network
                    .endpoints
                    .iter()
                    .flat_map(|endpoint| endpoint.undo(&table)),
            );
        }
        undo.extend(without_groups(&script, id));
        undo.extend(self.without_files(id));
        script.steps.splice(0..0, files);
        Ok(Explained {
            id: id.to_owned(),
            script,
            undo,
        })
    }

    /// Steps that make again what was made on disk for this script alone.
    fn own_files(&self, script: &Script) -> Result<Vec<Step>> {
        let mut steps = Vec::new();
        let ours = |path: &&PathBuf| {
            path.starts_with(self.paths.root()) || path.starts_with(self.paths.state())
        };
        let named: BTreeSet<PathBuf> = script
            .steps
            .iter()
            .flat_map(|step| host_paths(&step.op))
            .collect();
        for path in named.iter().filter(ours) {
            // Files lie side by side: their directory is made once.
            for step in made_again(path)? {
                if !steps.contains(&step) {
                    steps.push(step);
                }
            }
        }
        Ok(steps)
    }

    fn without_files(&self, id: &str) -> Vec<Step> {
        let paths = self.paths.container(id);
        [paths.live, paths.kept]
            .into_iter()
            .map(|path| {
                Step::host(
                    Op::Remove { path },
                    "what lay on disk for this container alone",
                )
            })
            .collect()
    }
}

/// Paths of the host that a step needs to exist, but for the image's own layers.
fn host_paths(op: &Op) -> Vec<PathBuf> {
    match op {
        Op::MountOverlay(overlay) => {
            let own = [
                overlay.upper.clone(),
                overlay.work.clone(),
                Some(overlay.target.clone()),
            ];
            own.into_iter().flatten().collect()
        }
        Op::BindRoot { path, .. } => vec![path.clone()],
        Op::OpenTree(tree) => vec![tree.path.clone()],
        Op::Mount(mount) => match &mount.source {
            MountSource::Bind { path, .. } => vec![path.clone()],
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

fn made_again(path: &Path) -> Result<Vec<Step>> {
    let meta = fs::metadata(path).map_err(crate::Error::path("look at", path))?;
    let mode = meta.permissions().mode() & 0o7777;
    if meta.is_dir() {
        let op = Op::MakeDirectory {
            path: path.to_owned(),
            mode,
        };
        return Ok(vec![Step::host(op, "a directory of this container alone")]);
    }
    let content = fs::read_to_string(path).map_err(crate::Error::path("read", path))?;
    let directory = path.parent().unwrap_or(Path::new("/")).to_owned();
    Ok(vec![
        Step::host(
            Op::MakeDirectory {
                path: directory,
                mode: 0o700,
            },
            "a directory of this container alone",
        ),
        Step::host(
            Op::WriteFile {
                path: path.to_owned(),
                content,
                mode,
            },
            "a file that is shown to this container alone",
        ),
    ])
}

/// Its own cgroups, the last made first. Those above hold other containers too.
fn without_groups(script: &Script, id: &str) -> Vec<Step> {
    let made = script.steps.iter().rev().filter_map(|step| match &step.op {
        Op::CgroupCreate { path } if path.ends_with(id) => Some(path.clone()),
        _ => None,
    });
    made.map(|path| Step::host(Op::CgroupDelete { path }, "its group"))
        .collect()
}
