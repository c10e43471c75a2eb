//! `-v`, `--mount`, `--tmpfs`, `--volumes-from`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use engine::ContainerConfig;
use engine::config::{Mount, MountSource, Propagation};

use super::values;
use crate::args::go_bool;

/// Options for what is mounted.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Mounts")]
pub struct MountOptions {
    /// Bind mount a directory or mount a volume
    #[arg(short, long, value_name = "[SOURCE:]TARGET[:OPTIONS]")]
    volume: Vec<String>,
    /// Attach a filesystem mount to the container
    #[arg(long, value_name = "KEY=VALUE,...")]
    mount: Vec<String>,
    /// Mount a tmpfs directory
    #[arg(long, value_name = "TARGET[:OPTIONS]")]
    tmpfs: Vec<String>,
    /// Mount volumes from the specified container(s)
    #[arg(long, value_name = "CONTAINER[:ro]")]
    volumes_from: Vec<String>,
    /// Only the driver that is built in is known: 'local'
    #[arg(long, value_name = "NAME")]
    volume_driver: Option<String>,
}

impl MountOptions {
    pub fn apply(&self, config: &mut ContainerConfig) -> Result<()> {
        check_driver(self.volume_driver.as_deref())?;
        let here = std::env::current_dir().context("the current directory is gone")?;
        for text in &self.volume {
            config.mounts.push(volume(text, &here)?);
        }
        for text in &self.mount {
            let mount = mount(text, &here);
            config
                .mounts
                .push(mount.with_context(|| format!("invalid argument {text:?} for \"--mount\""))?);
        }
        for text in &self.tmpfs {
            config.mounts.push(tmpfs(text)?);
        }
        config.volumes_from = self.volumes_from.clone();
        no_duplicates(&config.mounts)
    }
}

fn check_driver(driver: Option<&str>) -> Result<()> {
    match driver {
        None | Some("" | "local") => Ok(()),
        Some(other) => bail!("no volume driver {other:?}: only 'local', which is built in"),
    }
}

fn no_duplicates(mounts: &[Mount]) -> Result<()> {
    for (i, mount) in mounts.iter().enumerate() {
        if mounts[..i]
            .iter()
            .any(|earlier| earlier.target == mount.target)
        {
            bail!("Duplicate mount point: {}", mount.target);
        }
    }
    Ok(())
}

/// What the words after the second colon of `-v` say.
#[derive(Default)]
struct VolumeWords {
    read_only: bool,
    propagation: Option<Propagation>,
    no_copy: bool,
}

/// `[SOURCE:]TARGET[:OPTIONS]`.
fn volume(text: &str, here: &Path) -> Result<Mount> {
    let invalid = || anyhow!("invalid volume specification: '{text}'");
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, words) = match parts[..] {
        [target] => (None, target, ""),
        // `/data:ro` is a volume at /data only when what follows cannot be a path.
        [target, words] if !words.starts_with('/') && volume_words(words).is_ok() => {
            (None, target, words)
        }
        [source, target] => (Some(source), target, ""),
        [source, target, words] => (Some(source), target, words),
        _ => return Err(invalid()),
    };
    if source == Some("") {
        return Err(invalid());
    }
    let words = volume_words(words)
        .map_err(|word| anyhow!("invalid volume specification: '{text}': invalid mode: {word}"))?;
    let source = match source {
        Some(path) if path.starts_with(['/', '.', '~']) => bind_source(path, here, &words)?,
        name => volume_source(name, &words)?,
    };
    Ok(Mount {
        source,
        target: target_path(target)?,
        read_only: words.read_only,
    })
}

fn bind_source(path: &str, here: &Path, words: &VolumeWords) -> Result<MountSource> {
    if words.no_copy {
        bail!("invalid mode: nocopy is for volumes, {path} is a directory of the host");
    }
    let path = absolute(path, here)?;
    Ok(MountSource::Bind {
        path,
        create: true,
        propagation: words.propagation,
        non_recursive: false,
    })
}

fn volume_source(name: Option<&str>, words: &VolumeWords) -> Result<MountSource> {
    if let Some(propagation) = words.propagation {
        bail!(
            "invalid mode: {} is for directories of the host, not for volumes",
            propagation.word()
        );
    }
    if let Some(name) = name {
        check_volume_name(name)?;
    }
    Ok(MountSource::Volume {
        name: name.map(str::to_owned),
        no_copy: words.no_copy,
        subpath: None,
        labels: BTreeMap::new(),
    })
}

/// A volume's name, in docker's words when it is not one.
pub fn check_volume_name(name: &str) -> Result<()> {
    let letter = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let good = name.len() > 1
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(letter);
    if good {
        return Ok(());
    }
    bail!(
        "\"{name}\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. \
         If you intended to pass a host directory, use absolute path"
    )
}

/// `ro,z,rshared`; the error is the word that is none.
fn volume_words(text: &str) -> Result<VolumeWords, String> {
    let mut words = VolumeWords::default();
    for word in text.split(',').filter(|word| !word.is_empty()) {
        match word {
            "ro" | "readonly" => words.read_only = true,
            "rw" => words.read_only = false,
            "nocopy" => words.no_copy = true,
            // How a virtual machine's file sharing behaves: there is none in between here.
            "cached" | "delegated" | "consistent" => {}
            // SELinux labels: without SELinux there is nothing to relabel.
            "z" | "Z" if !Path::new("/sys/fs/selinux/enforce").exists() => {}
            word => words.propagation = Some(propagation(word).ok_or(word)?),
        }
    }
    Ok(words)
}

fn propagation(word: &str) -> Option<Propagation> {
    use Propagation::{Private, Rprivate, Rshared, Rslave, Shared, Slave};
    [Private, Rprivate, Shared, Rshared, Slave, Rslave]
        .into_iter()
        .find(|known| known.word() == word)
}

fn absolute(path: &str, here: &Path) -> Result<PathBuf> {
    let path = match path.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => {
            let home = std::env::var("HOME").context("'~' in a path needs HOME to be set")?;
            PathBuf::from(home).join(rest.trim_start_matches('/'))
        }
        _ => here.join(path),
    };
    Ok(path
        .components()
        .filter(|part| *part != std::path::Component::CurDir)
        .collect())
}

fn target_path(target: &str) -> Result<String> {
    if !target.starts_with('/') {
        bail!("invalid mount path: '{target}' mount path must be absolute");
    }
    let normal = kernel_view(target);
    if normal == "/" {
        bail!("invalid specification: destination can't be '/'");
    }
    Ok(normal)
}

/// The path without doubled and trailing slashes and without `.` and `..`.
fn kernel_view(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// The keys of one `--mount`.
#[derive(Default)]
struct Keys {
    kind: Option<String>,
    source: Option<String>,
    target: Option<String>,
    read_only: bool,
    propagation: Option<Propagation>,
    non_recursive: bool,
    create_source: bool,
    no_copy: bool,
    subpath: Option<String>,
    labels: BTreeMap<String, String>,
    tmpfs_size: Option<u64>,
    tmpfs_mode: Option<u32>,
    /// Every key that was given, to find those of another type.
    given: Vec<String>,
}

/// `type=bind,source=/a,target=/b,readonly`.
fn mount(text: &str, here: &Path) -> Result<Mount> {
    let mut keys = Keys::default();
    for field in values::fields(text)? {
        match field.split_once('=') {
            Some((key, value)) => keys.set(&key.to_lowercase(), value)?,
            None => keys.set_flag(&field.to_lowercase(), true)?,
        }
    }
    let target = target_path(keys.target.as_deref().context("target is required")?)?;
    let read_only = keys.read_only;
    let source = match keys.kind.as_deref().unwrap_or("volume") {
        "bind" => keys.bind(here)?,
        "volume" => keys.volume()?,
        "tmpfs" => keys.tmpfs()?,
        other => bail!("invalid mount type {other:?}: it must be bind, volume or tmpfs"),
    };
    Ok(Mount {
        source,
        target,
        read_only,
    })
}

impl Keys {
    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        self.given.push(key.to_owned());
        match key {
            "type" => self.kind = Some(value.to_lowercase()),
            "source" | "src" => self.source = Some(value.to_owned()),
            "target" | "dst" | "destination" => self.target = Some(value.to_owned()),
            "bind-propagation" => {
                let known = propagation(value)
                    .with_context(|| format!("invalid propagation value: {value}"))?;
                self.propagation = Some(known);
            }
            "bind-recursive" => match value {
                "enabled" => self.non_recursive = false,
                "disabled" => self.non_recursive = true,
                _ => bail!(
                    "bind-recursive={value} is not known here: it must be enabled or disabled"
                ),
            },
            // How a virtual machine's file sharing behaves: there is none in between here.
            "consistency" => {}
            "volume-subpath" => self.subpath = Some(value.to_owned()),
            "volume-label" => {
                let (key, value) = value.split_once('=').unwrap_or((value, ""));
                self.labels.insert(key.to_owned(), value.to_owned());
            }
            "volume-driver" => check_driver(Some(value))?,
            "volume-opt" => bail!(
                "volume-opt: make the volume first, with `lighter volume create --opt {value} NAME`"
            ),
            "tmpfs-size" => self.tmpfs_size = Some(values::bytes("tmpfs-size", value)?),
            "tmpfs-mode" => {
                let mode = u32::from_str_radix(value, 8);
                self.tmpfs_mode = Some(
                    mode.ok()
                        .with_context(|| format!("invalid value for tmpfs-mode: {value}"))?,
                );
            }
            flag => {
                let on =
                    go_bool(value).map_err(|_| anyhow!("invalid value for {flag}: {value}"))?;
                self.given.pop();
                self.set_flag(flag, on)?;
            }
        }
        Ok(())
    }

    fn set_flag(&mut self, key: &str, on: bool) -> Result<()> {
        self.given.push(key.to_owned());
        match key {
            "readonly" | "ro" => self.read_only = on,
            "bind-nonrecursive" => self.non_recursive = on,
            "bind-create-src" => self.create_source = on,
            "volume-nocopy" => self.no_copy = on,
            _ => bail!("unexpected key '{key}' in the mount"),
        }
        Ok(())
    }

    /// A key that belongs to another type of mount would be silently lost.
    fn only_of(&self, kind: &str) -> Result<()> {
        for key in &self.given {
            if let Some((owner, _)) = key.split_once('-').filter(|(owner, _)| *owner != kind) {
                bail!("cannot mix '{owner}-*' options with mount type '{kind}'");
            }
        }
        Ok(())
    }

    fn bind(self, here: &Path) -> Result<MountSource> {
        self.only_of("bind")?;
        let source = self.source.context("source is required for a bind mount")?;
        if source.is_empty() {
            bail!("source is required for a bind mount");
        }
        Ok(MountSource::Bind {
            path: absolute(&source, here)?,
            create: self.create_source,
            propagation: self.propagation,
            non_recursive: self.non_recursive,
        })
    }

    fn volume(self) -> Result<MountSource> {
        self.only_of("volume")?;
        let name = self.source.filter(|name| !name.is_empty());
        if let Some(name) = &name {
            check_volume_name(name)?;
        }
        Ok(MountSource::Volume {
            name,
            no_copy: self.no_copy,
            subpath: self.subpath,
            labels: self.labels,
        })
    }

    fn tmpfs(self) -> Result<MountSource> {
        self.only_of("tmpfs")?;
        if self.source.is_some() {
            bail!("a tmpfs mount has no source");
        }
        Ok(MountSource::Tmpfs {
            size: self.tmpfs_size,
            mode: self.tmpfs_mode,
            options: Vec::new(),
        })
    }
}

/// `TARGET[:size=64m,mode=1777,noexec]`.
fn tmpfs(text: &str) -> Result<Mount> {
    let (target, words) = text.split_once(':').unwrap_or((text, ""));
    let (mut size, mut mode, mut read_only, mut options) = (None, None, false, Vec::new());
    for word in words.split(',').filter(|word| !word.is_empty()) {
        match word.split_once('=') {
            Some(("size", value)) if !value.ends_with('%') => {
                size = Some(values::bytes("--tmpfs", value)?)
            }
            Some(("mode", value)) => {
                let parsed = u32::from_str_radix(value, 8).ok();
                mode = Some(parsed.with_context(|| format!("invalid tmpfs option [\"{word}\"]"))?);
            }
            _ if word == "ro" => read_only = true,
            _ if word == "rw" => read_only = false,
            _ => options.push(tmpfs_word(word)?.to_owned()),
        }
    }
    Ok(Mount {
        source: MountSource::Tmpfs {
            size,
            mode,
            options,
        },
        target: target_path(target)?,
        read_only,
    })
}

/// Mount options a tmpfs takes (tmpfs(5), mount(8)).
fn tmpfs_word(word: &str) -> Result<&str> {
    const FLAGS: &[&str] = &[
        "defaults",
        "suid",
        "nosuid",
        "dev",
        "nodev",
        "exec",
        "noexec",
        "sync",
        "async",
        "dirsync",
        "atime",
        "noatime",
        "diratime",
        "nodiratime",
        "relatime",
        "norelatime",
        "strictatime",
        "nostrictatime",
    ];
    const KEYS: &[&str] = &[
        "size",
        "uid",
        "gid",
        "nr_inodes",
        "nr_blocks",
        "mpol",
        "huge",
    ];
    let key = word.split_once('=').map(|(key, _)| key);
    match key {
        None if FLAGS.contains(&word) => Ok(word),
        Some(key) if KEYS.contains(&key) => Ok(word),
        _ => bail!("invalid tmpfs option [\"{word}\"]"),
    }
}
