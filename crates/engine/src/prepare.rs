//! Everything that is looked up and written before a container can be started.
//!
//! In: a container's record. Out: a bundle, what surrounds it, and the network's leases: the runtime needs no more. The order
//! matters where one thing is another's input: user from the files, network before `/etc/hosts`.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use kernel::cgroup::Hierarchies;
use kernel::op::Overlay;
use network::{Attached, Networks};
use oci_spec::runtime::LinuxNamespaceType as Kind;
use runtime::{Attach, Bundle};
use rustix::process::{Resource, getrlimit};

use crate::config::{ContainerConfig, Device, Mount, MountSource, NamespaceMode, NetworkMode};
use crate::disk::{self, Keep};
use crate::list::Status;
use crate::paths::ContainerPaths;
use crate::record::{Last, Record};
use crate::rootfs::{Layers, Rootfs};
use crate::spec::{self, Host, HostDevice, HostMount, Surroundings, namespace_path};
use crate::user::{Accounts, User};
use crate::{Engine, Error, Result, etc, networking};

/// A container ready to be started.
pub(crate) struct Prepared {
    /// Its bundle, written down.
    pub(crate) bundle: Bundle,
    /// What surrounds it.
    pub(crate) attach: Attach,
    /// Its places in networks; dropping it gives published ports back.
    pub(crate) network: Option<Attached>,
    /// Whom its first process runs as.
    pub(crate) user: User,
}

impl Engine {
    /// Looks up, leases and writes all that a start needs.
    pub(crate) fn prepare(&self, record: &Record, networks: &Networks) -> Result<Prepared> {
        let paths = self.paths.container(&record.id);
        let config = &record.config;
        let layers = layers(record, &paths);
        let accounts = Accounts::read(&Rootfs::read_only(&layers)?)?;
        let user = accounts.resolve(
            config.user.as_deref().unwrap_or_default(),
            &config.group_add,
        )?;
        let last = disk::read_json::<Last>(&paths.last())?;
        let before = last.map(|last| last.networks).unwrap_or_default();
        let network = networking::attach(record, &before, networks)?;
        let hierarchies = hierarchies()?;
        let around = Surroundings {
            id: record.id.clone(),
            user: user.clone(),
            root: paths.rootfs(),
            mounts: self.host_mounts(config, &paths)?,
            shm: self.shared_shm(record)?,
            etc: self.etc_files(record, &paths, network.as_ref())?,
            joined: self.joined(config)?,
            devices: devices(config)?,
            device_numbers: device_numbers(config)?,
            host: host(&hierarchies),
        };
        let spec = spec::spec(config, &around)?;
        disk::make_dir(&paths.rootfs())?;
        let bundle = Bundle::write(&paths.live, spec)?;
        let attach = Attach {
            id: record.id.clone(),
            overlay: Some(overlay(&layers, &paths)),
            steps: networking::steps(config, network.as_ref()),
            cgroups: hierarchies,
            die_with_creator: true,
            init: config.init,
            ..Attach::default()
        };
        Ok(Prepared {
            bundle,
            attach,
            network,
            user,
        })
    }

    /// The process that `exec` and health checks start.
    pub(crate) fn exec_surroundings(&self, record: &Record, user: User) -> Result<Surroundings> {
        Ok(Surroundings {
            id: record.id.clone(),
            user,
            host: host(&hierarchies()?),
            ..Surroundings::default()
        })
    }

    /// Namespaces of other containers that it joins.
    fn joined(&self, config: &ContainerConfig) -> Result<Vec<(Kind, PathBuf)>> {
        let mut joined = Vec::new();
        if let NetworkMode::Container(other) = &config.network {
            joined.push((Kind::Network, self.namespace_of(other, Kind::Network)?));
        }
        let modes = [
            (Kind::Pid, &config.pid),
            (Kind::Ipc, &config.ipc),
            (Kind::Uts, &config.uts),
        ];
        for (kind, mode) in modes {
            if let NamespaceMode::Container(other) = mode {
                joined.push((kind, self.namespace_of(other, kind)?));
            }
        }
        Ok(joined)
    }

    fn namespace_of(&self, other: &str, kind: Kind) -> Result<PathBuf> {
        Ok(namespace_path(self.observe_as(other)?.pid()?, kind))
    }

    /// The mounts asked for, with their places on the host.
    fn host_mounts(
        &self,
        config: &ContainerConfig,
        paths: &ContainerPaths,
    ) -> Result<Vec<HostMount>> {
        config
            .mounts
            .iter()
            .enumerate()
            .map(|(n, mount)| self.host_mount(n, mount, paths))
            .collect()
    }

    fn host_mount(
        &self,
        number: usize,
        mount: &Mount,
        paths: &ContainerPaths,
    ) -> Result<HostMount> {
        let bind = |source: PathBuf, options: Vec<String>| HostMount {
            source,
            kind: None,
            target: mount.target.clone(),
            options,
        };
        match &mount.source {
            MountSource::Bind {
                path,
                create,
                propagation,
                non_recursive,
            } => {
                if *create && !path.exists() {
                    fs::create_dir_all(path).map_err(Error::path("make", path))?;
                }
                Ok(bind(
                    path.clone(),
                    spec::bind_options(*propagation, mount.read_only, !non_recursive),
                ))
            }
            MountSource::Volume { name, subpath, .. } => {
                let name = name.as_deref().unwrap_or_default();
                self.volume_mount(name, subpath.as_deref(), mount)
            }
            MountSource::Tmpfs {
                size,
                mode,
                options,
            } => Ok(tmpfs(mount, *size, *mode, options)),
            MountSource::Content {
                content,
                uid,
                gid,
                mode,
            } => {
                let path = paths.live.join(format!("content-{number}"));
                disk::replace(&path, content, Keep::Boot)?;
                chown(&path, Some(*uid), Some(*gid)).map_err(Error::path("give away", &path))?;
                fs::set_permissions(&path, fs::Permissions::from_mode(*mode))
                    .map_err(Error::path("set the mode of", &path))?;
                Ok(bind(path, spec::bind_options(None, mount.read_only, false)))
            }
        }
    }

    fn volume_mount(&self, name: &str, subpath: Option<&str>, mount: &Mount) -> Result<HostMount> {
        let volume = self.volume(name)?;
        let source = volume.directory();
        let source = match subpath {
            Some(subpath) => inside_volume(&source, subpath)?,
            None => source,
        };
        let read_only = mount.read_only || volume.has_word("ro");
        let options = spec::bind_options(None, read_only, true);
        Ok(HostMount {
            source,
            kind: None,
            target: mount.target.clone(),
            options,
        })
    }

    /// `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf`; those of the other container when its network is shared.
    fn etc_files(
        &self,
        record: &Record,
        paths: &ContainerPaths,
        network: Option<&Attached>,
    ) -> Result<Vec<(PathBuf, &'static str)>> {
        if let NetworkMode::Container(other) = &record.config.network {
            let other = self.observe_as(other)?;
            if !other.status.is_up() || other.status == Status::Paused {
                return Err(Error::NotRunning {
                    name: other.record.name,
                });
            }
            let theirs = self.paths.container(&other.record.id);
            return Ok(vec![
                (theirs.hosts(), "/etc/hosts"),
                (theirs.hostname(), "/etc/hostname"),
                (theirs.resolv_conf(), "/etc/resolv.conf"),
            ]);
        }
        etc::write(record, paths, network)
    }
}

/// The layers of a container on disk.
pub(crate) fn layers(record: &Record, paths: &ContainerPaths) -> Layers {
    Layers {
        lower: record.lower.clone(),
        upper: paths.kept.join("upper"),
        work: paths.kept.join("work"),
    }
}

/// The cgroups of this host.
pub(crate) fn hierarchies() -> Result<Hierarchies> {
    Ok(Hierarchies::discover()?)
}

fn overlay(layers: &Layers, paths: &ContainerPaths) -> Overlay {
    Overlay {
        lower: layers.lower.clone(),
        upper: Some(layers.upper.clone()),
        work: Some(layers.work.clone()),
        target: paths.rootfs(),
        options: Vec::new(),
    }
}

fn tmpfs(mount: &Mount, size: Option<u64>, mode: Option<u32>, more: &[String]) -> HostMount {
    let mut options: Vec<String> = ["nosuid", "nodev", "noexec"].map(String::from).to_vec();
    // A later word takes an earlier one back (`exec` after `noexec`).
    options.extend(more.iter().cloned());
    options.extend(size.map(|size| format!("size={size}")));
    options.extend(mode.map(|mode| format!("mode={mode:o}")));
    options.extend(mount.read_only.then(|| "ro".to_owned()));
    HostMount {
        source: "tmpfs".into(),
        kind: Some("tmpfs".to_owned()),
        target: mount.target.clone(),
        options,
    }
}

/// A directory inside a volume, reached without leaving it, named by what it really is.
fn inside_volume(volume: &Path, subpath: &str) -> Result<PathBuf> {
    let inside = Path::new(subpath);
    let refuse = |why: &str| Error::invalid("volume subpath", subpath, why);
    let within = inside
        .components()
        .all(|part| matches!(part, std::path::Component::Normal(_)));
    if !within || subpath.is_empty() {
        return Err(refuse("it must be relative, without `..`"));
    }
    // A container may write to the volume and swap a directory for a link: the mount's source must be free of links.
    let mut path = volume.to_owned();
    for part in inside.components() {
        path.push(part);
        let meta = fs::symlink_metadata(&path).map_err(|e| refuse(&e.to_string()))?;
        if meta.is_symlink() {
            return Err(refuse("a part of it is a symbolic link"));
        }
    }
    Ok(path)
}

/// Device nodes that are handed in: those asked for; all of the host's when privileged.
fn devices(config: &ContainerConfig) -> Result<Vec<HostDevice>> {
    let mut found = Vec::new();
    if config.privileged {
        let all = Device {
            host: "/dev".into(),
            container: "/dev".into(),
            permissions: "rwm".into(),
        };
        collect_devices(&all.host, &all, &mut found)?;
        // The container's own are made anyway.
        let own = ["/dev/pts/", "/dev/shm/", "/dev/mqueue/"];
        let standard = [
            "null", "zero", "full", "random", "urandom", "tty", "console", "ptmx",
        ];
        found.retain(|device: &HostDevice| {
            let name = device.path.trim_start_matches("/dev/");
            !own.iter().any(|own| device.path.starts_with(own)) && !standard.contains(&name)
        });
    }
    for device in &config.devices {
        if device.permissions.is_empty() || !device.permissions.chars().all(|c| "rwm".contains(c)) {
            return Err(Error::invalid(
                "device permissions",
                device.permissions.as_str(),
                "give some of r, w and m",
            ));
        }
        let before = found.len();
        collect_devices(&device.host, device, &mut found)?;
        if found.len() == before {
            let shown = device.host.display().to_string();
            return Err(Error::invalid(
                "device",
                shown,
                "it is no device of this host",
            ));
        }
    }
    Ok(found)
}

fn collect_devices(path: &Path, wish: &Device, found: &mut Vec<HostDevice>) -> Result<()> {
    // `/dev/x` may be a link on the host (`/dev/disk/by-id/...`): what it leads to is meant.
    let meta = fs::metadata(path).map_err(Error::path("look at the device", path))?;
    let kind = meta.file_type();
    if kind.is_dir() {
        for entry in fs::read_dir(path)
            .map_err(Error::path("list", path))?
            .flatten()
        {
            let link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
            if !link {
                collect_devices(&entry.path(), wish, found)?;
            }
        }
        return Ok(());
    }
    if !kind.is_char_device() && !kind.is_block_device() {
        return Ok(());
    }
    let below = path.strip_prefix(&wish.host).unwrap_or(Path::new(""));
    let inside = if below.as_os_str().is_empty() {
        PathBuf::from(&wish.container)
    } else {
        Path::new(&wish.container).join(below)
    };
    found.push(HostDevice {
        path: inside.display().to_string(),
        kind: if kind.is_block_device() { 'b' } else { 'c' },
        major: rustix::fs::major(meta.rdev()),
        minor: rustix::fs::minor(meta.rdev()),
        mode: meta.mode() & 0o777,
        uid: meta.uid(),
        gid: meta.gid(),
        permissions: wish.permissions.clone(),
    });
    Ok(())
}

fn device_numbers(config: &ContainerConfig) -> Result<HashMap<PathBuf, (u32, u32)>> {
    let mut numbers = HashMap::new();
    for (path, ()) in crate::validate::limited_devices(config) {
        let meta = fs::metadata(&path).map_err(Error::path("look at the device", &path))?;
        if meta.file_type().is_block_device() {
            let number = (
                rustix::fs::major(meta.rdev()),
                rustix::fs::minor(meta.rdev()),
            );
            numbers.insert(path, number);
        }
    }
    Ok(numbers)
}

fn host(hierarchies: &Hierarchies) -> Host {
    Host {
        nofile: highest_nofile(),
        pids: hierarchies.with("pids").is_some(),
        processors: possible_processors(),
    }
}

/// The hard limit, unless it may be raised (CAP_SYS_RESOURCE).
fn highest_nofile() -> u64 {
    use rustix::thread::CapabilitySet;
    let may_raise = rustix::thread::capabilities(None)
        .is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_RESOURCE));
    if may_raise {
        u64::MAX
    } else {
        getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX)
    }
}

/// From `0-7` in /sys: 8.
fn possible_processors() -> u32 {
    let text = fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
    let last = text
        .trim()
        .rsplit(['-', ','])
        .next()
        .and_then(|last| last.parse::<u32>().ok());
    last.map_or(1, |last| last + 1)
}
