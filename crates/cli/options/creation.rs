//! What `run`, `create` and `explain run` do before they part ways: options, image, command.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use engine::Engine;
use image::Store;

use super::ContainerOptions;
use crate::args::Global;
use crate::obtain::{self, PullPolicy, Wanted};

/// Everything that is needed to make a container.
#[derive(clap::Args, Clone, Debug)]
pub struct CreationOptions {
    /// Automatically remove the container and its anonymous volumes when it exits
    #[arg(long)]
    pub rm: bool,
    /// Write the container ID to the file
    #[arg(long, value_name = "FILE")]
    cidfile: Option<PathBuf>,
    /// Pull image before running (always, missing, never)
    #[arg(
        long,
        value_name = "POLICY",
        default_value = "missing",
        hide_possible_values = true
    )]
    pub pull: PullPolicy,
    /// Suppress the pull output
    #[arg(short, long)]
    pub quiet: bool,
    /// Remove a container of the same name first
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    pub container: ContainerOptions,
    /// The image, then the command and its arguments
    // One list, so that whatever follows the image is the container's, dashes and all.
    #[arg(value_name = "IMAGE", required = true, trailing_var_arg = true, num_args = 1.., hide = true)]
    pub words: Vec<String>,
}

/// A container that was made.
pub struct Made {
    /// Its home.
    pub engine: Engine,
    /// Itself; this process answers for it until it is started or dropped.
    pub created: engine::create::Created,
}

impl CreationOptions {
    /// The image as named.
    pub fn image_name(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// What follows the image.
    pub fn command(&self) -> &[String] {
        self.words.get(1..).unwrap_or_default()
    }

    /// The image, pulled if need be.
    pub fn image(&self, store: &Store, global: &Global) -> Result<image::Image> {
        let wanted = Wanted {
            name: self.image_name(),
            policy: self.pull,
            platform: self.container.platform.as_deref(),
            quiet: self.quiet,
        };
        obtain::image(store, &wanted, global)
    }

    /// Makes the container.
    pub fn create(&self, detached: bool, global: &Global) -> Result<Made> {
        let wish = self.container.wish(self.command(), self.rm, detached)?;
        let cidfile = self.cidfile.as_deref().map(CidFile::reserve).transpose()?;
        let engine = global.engine()?;
        let store = Store::open(&global.root)?;
        let image = self.image(&store, global)?;
        self.make_room(&engine)?;
        let config = engine::ContainerConfig {
            image: engine::config::ImageSource {
                // As it was typed, which is how it is shown.
                reference: self.image_name().to_owned(),
                id: image.id.to_string(),
            },
            ..wish.config
        };
        let created = engine.create(&store, &image, config)?;
        for warning in wish.warnings.iter().chain(&created.warnings) {
            global.warn(warning);
        }
        if let Some(file) = cidfile {
            file.write(&created.id)?;
        }
        Ok(Made { engine, created })
    }

    /// `--replace`: whoever has the name now goes.
    fn make_room(&self, engine: &Engine) -> Result<()> {
        let Some(name) = self.container.name.as_deref().filter(|_| self.replace) else {
            return Ok(());
        };
        let how = engine::remove::Remove {
            force: true,
            volumes: false,
        };
        match engine.remove(name, how) {
            Ok(_) | Err(engine::Error::NoSuchContainer(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// A file for the id: refused when it exists, taken away again when there is no id to write.
struct CidFile {
    path: PathBuf,
    written: bool,
}

impl CidFile {
    fn reserve(path: &Path) -> Result<Self> {
        match std::fs::File::create_new(path) {
            Ok(_) => Ok(Self {
                path: path.into(),
                written: false,
            }),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => bail!(
                "container ID file found, make sure the other container isn't running or delete {}",
                path.display()
            ),
            Err(error) => Err(error).with_context(|| {
                format!("failed to create the container ID file {}", path.display())
            }),
        }
    }

    fn write(mut self, id: &str) -> Result<()> {
        std::fs::write(&self.path, id).with_context(|| {
            format!(
                "failed to write the container ID to the file {}",
                self.path.display()
            )
        })?;
        self.written = true;
        Ok(())
    }
}

impl Drop for CidFile {
    fn drop(&mut self) {
        if !self.written {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
