//! Checkpoint and restore, by driving the host's `criu`.
//!
//! In: a container and where its image of processes is kept. Out: that image, or a container made
//! from one. The arguments are pure functions of the configuration; running criu and telling why
//! it refused are at the end. criu(8).
//!
//! criu saves what is the container's alone. What comes from the host (bind mounts, covered paths,
//! namespaces joined by path) is named as external and given again at restore.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use kernel::namespace::Namespace;
use kernel::{Op, Script, Step};

use crate::container::Child;
use crate::state::{Identity, Phase};
use crate::{Attach, Bundle, Container, Error, State, Status, View, plan};

/// What `checkpoint` and `restore` have in common; the names are criu's.
#[derive(Clone, Debug, Default)]
pub struct Criu {
    /// Directory of the image.
    pub image: PathBuf,
    /// Directory of criu's logs; the image's when empty.
    pub work: PathBuf,
    /// Established connections too.
    pub tcp_established: bool,
    /// Connections that are being made are left out.
    pub tcp_skip_in_flight: bool,
    /// Unix sockets whose other end is outside.
    pub ext_unix_sk: bool,
    /// A session of somebody else's.
    pub shell_job: bool,
    /// File locks too.
    pub file_locks: bool,
    /// Unlinked files that are open get a name meanwhile.
    pub link_remap: bool,
    /// Pages that are in a parent image are taken out of it.
    pub auto_dedup: bool,
    /// Memory follows after the restore.
    pub lazy_pages: bool,
    /// The network namespace is saved, or made, without what is in it.
    pub empty_network: bool,
    /// `soft`, `full`, `strict` or `ignore`.
    pub manage_cgroups: Option<String>,
    /// More of criu's options, as `--lsm-profile=...`.
    pub more: Vec<OsString>,
}

/// What only `checkpoint` has.
#[derive(Clone, Debug, Default)]
pub struct Checkpoint {
    /// The container goes on.
    pub leave_running: bool,
    /// Only its memory, and it goes on: a further checkpoint has less to save.
    pub pre_dump: bool,
    /// The image of an earlier pre-dump, relative to this one.
    pub parent: Option<PathBuf>,
    /// Pages are sent to a server: address and port.
    pub page_server: Option<(String, String)>,
}

/// Where the standard streams led, kept beside the image: the restorer gives its own.
const DESCRIPTORS: &str = "descriptors.json";

impl Criu {
    fn arguments(&self, log: &str) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["--images-dir".into(), self.image.clone().into()];
        arguments.extend(["--work-dir".into(), self.log_directory().into()]);
        arguments.extend(["--log-file".into(), log.into(), "-v4".into()]);
        let switches = [
            ("--tcp-established", self.tcp_established),
            ("--skip-in-flight", self.tcp_skip_in_flight),
            ("--ext-unix-sk", self.ext_unix_sk),
            ("--shell-job", self.shell_job),
            ("--file-locks", self.file_locks),
            ("--link-remap", self.link_remap),
            ("--auto-dedup", self.auto_dedup),
            ("--lazy-pages", self.lazy_pages),
        ];
        let given = switches.iter().filter(|(_, given)| *given);
        arguments.extend(given.map(|(name, _)| OsString::from(name)));
        let mode = self.manage_cgroups.as_deref().unwrap_or("soft");
        arguments.push(format!("--manage-cgroups={mode}").into());
        if self.empty_network {
            arguments.extend(["--empty-ns".into(), "net".into()]);
        }
        arguments.extend(self.more.iter().cloned());
        arguments
    }

    fn log_directory(&self) -> &Path {
        match self.work.as_os_str().is_empty() {
            true => &self.image,
            false => &self.work,
        }
    }

    /// Run criu, and find its reason when it fails.
    fn run(&self, action: &'static str, log: &str, arguments: Vec<OsString>) -> Result<(), Error> {
        let failed = |reason: String| Error::Criu {
            action,
            reason,
            log: self.log_directory().join(log),
        };
        let output = Command::new("criu").arg(action).args(arguments).output();
        let output = match output {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(failed(
                    "criu is not installed (Debian: apt install criu)".into(),
                ));
            }
            Err(error) => return Err(failed(error.to_string())),
            Ok(output) => output,
        };
        if output.status.success() {
            return Ok(());
        }
        let said = fs::read_to_string(self.log_directory().join(log)).unwrap_or_default()
            + &String::from_utf8_lossy(&output.stderr);
        Err(failed(reason(&said)))
    }
}

/// The first errors of criu's log: later ones follow from them.
/// `(00.066557) Error (criu/vdso.c:381): vdso: Unexpected rt vDSO area bounds`.
fn reason(log: &str) -> String {
    let errors = log.lines().filter_map(|line| {
        let (_, error) = line.split_once("Error (")?;
        let (_, text) = error.split_once("): ")?;
        Some(text.trim().to_owned())
    });
    let first: Vec<_> = errors.take(2).collect();
    match first.is_empty() {
        true => "criu does not say why".into(),
        false => first.join("; "),
    }
}

/// What of the container's mounts belongs to the host: the path inside, and the path outside.
fn external_mounts(view: &View) -> Vec<(String, PathBuf)> {
    let is_bind = |mount: &&oci_spec::runtime::Mount| {
        let options = mount.options().as_deref().unwrap_or(&[]);
        let named = options
            .iter()
            .any(|option| option == "bind" || option == "rbind");
        named || mount.typ().as_deref() == Some("bind")
    };
    let outside = |mount: &oci_spec::runtime::Mount| {
        let source = mount.source().as_deref().unwrap_or(Path::new(""));
        (
            mount.destination().display().to_string(),
            view.bundle.join(source),
        )
    };
    view.mounts.iter().filter(is_bind).map(outside).collect()
}

/// Hidden files are covered by the host's null device.
fn covered_files(view: &View, root: &Path) -> Vec<String> {
    let is_file = |path: &&String| {
        let inside = Path::new(path.as_str());
        let below = root.join(inside.strip_prefix("/").unwrap_or(inside));
        fs::symlink_metadata(below).is_ok_and(|found| !found.is_dir())
    };
    view.masked.iter().filter(is_file).cloned().collect()
}

fn external(key: &str, value: &str) -> [OsString; 2] {
    ["--external".into(), format!("{key}:{value}").into()]
}

fn dump_arguments(
    view: &View,
    state: &State,
    criu: &Criu,
    how: &Checkpoint,
    log: &str,
) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["--tree".into(), state.pid.to_string().into()];
    arguments.extend(["--root".into(), state.rootfs.clone().into()]);
    arguments.extend(criu.arguments(log));
    for (inside, _) in external_mounts(view) {
        arguments.extend(external(&format!("mnt[{inside}]"), &inside));
    }
    let root = PathBuf::from(format!("/proc/{}/root", state.pid));
    for inside in covered_files(view, &root) {
        arguments.extend(external(&format!("mnt[{inside}]"), "/dev/null"));
    }
    for (kind, path) in &view.join {
        if let (true, Ok(status)) = (*kind == Namespace::Network, fs::metadata(path)) {
            let inode = std::os::unix::fs::MetadataExt::ino(&status);
            arguments.extend(external(&format!("net[{inode}]"), "extRootNetNS"));
        }
    }
    if how.leave_running {
        arguments.push("--leave-running".into());
    }
    if how.pre_dump || how.parent.is_some() {
        arguments.push("--track-mem".into());
    }
    if let Some(parent) = &how.parent {
        arguments.extend(["--prev-images-dir".into(), parent.clone().into()]);
    }
    if let Some((address, port)) = &how.page_server {
        let server = ["--page-server", "--address", address, "--port", port];
        arguments.extend(server.map(OsString::from));
    }
    arguments
}

fn restore_arguments(
    view: &View,
    root: &Path,
    criu: &Criu,
    streams: &[String],
    pid_file: &Path,
) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["--root".into(), root.into()];
    arguments.extend(["--restore-detached".into(), "--restore-sibling".into()]);
    arguments.extend(["--pidfile".into(), pid_file.into()]);
    arguments.extend(criu.arguments("restore.log"));
    for (inside, outside) in external_mounts(view) {
        arguments.extend(external(
            &format!("mnt[{inside}]"),
            &outside.display().to_string(),
        ));
    }
    arguments.extend(external("mnt[/dev/null]", "/dev/null"));
    for (number, stream) in streams.iter().enumerate() {
        if stream.starts_with("pipe:") {
            arguments.extend([
                "--inherit-fd".into(),
                format!("fd[{number}]:{stream}").into(),
            ]);
        }
    }
    arguments
}

impl Container {
    /// Save the container's processes to a directory; unless told otherwise it ends then.
    ///
    /// # Errors
    /// [`Error::Criu`] with criu's reason.
    pub fn checkpoint(&self, criu: &Criu, how: &Checkpoint) -> Result<(), Error> {
        let status = self.status()?;
        if !matches!(status, Status::Running | Status::Paused) {
            return Err(Error::Status {
                action: "checkpoint",
                id: self.state.id.clone(),
                status,
            });
        }
        let (bundle, attach) = (self.bundle()?, Attach::default());
        let view = View::of(&bundle, &attach)?;
        refuse_terminal(&view)?;
        for directory in [&criu.image, criu.log_directory()] {
            fs::create_dir_all(directory)
                .map_err(|error| Error::file("create", directory, error))?;
        }
        self.keep_streams(criu)?;
        let (action, log) = match how.pre_dump {
            true => ("pre-dump", "pre-dump.log"),
            false => ("dump", "dump.log"),
        };
        criu.run(
            action,
            log,
            dump_arguments(&view, &self.state, criu, how, log),
        )
    }

    fn keep_streams(&self, criu: &Criu) -> Result<(), Error> {
        let stream = |number: i32| {
            let link = fs::read_link(format!("/proc/{}/fd/{number}", self.state.pid));
            link.map_or_else(|_| String::new(), |to| to.display().to_string())
        };
        let path = criu.image.join(DESCRIPTORS);
        let text = serde_json::json!([0, 1, 2].map(stream)).to_string();
        fs::write(&path, text).map_err(|error| Error::file("write", &path, error))
    }

    /// Make a container from saved processes, with the bundle they were started from.
    ///
    /// The processes get this one's standard streams where theirs were pipes. When it fails,
    /// nothing of the container is left.
    ///
    /// # Errors
    /// As [`Container::create`]; [`Error::Criu`] with criu's reason.
    pub fn restore(
        states: &Path,
        bundle: &Bundle,
        attach: &Attach,
        criu: &Criu,
    ) -> Result<(Container, Child), Error> {
        let view = View::of(bundle, attach)?;
        refuse_terminal(&view)?;
        let root = attach.root_mount.as_deref().ok_or_else(|| Error::Config {
            field: "root".into(),
            reason: "there is no place to mount it for criu".into(),
        })?;
        let container = Container::found(states, bundle, &view)?;
        match container.bring_back(&view, root, criu) {
            Ok(restored) => Ok(restored),
            Err(error) => {
                let _ = Container::load(states, &attach.id).and_then(|left| left.delete(true));
                Err(error)
            }
        }
    }

    fn bring_back(
        mut self,
        view: &View,
        root: &Path,
        criu: &Criu,
    ) -> Result<(Container, Child), Error> {
        let group = plan::cgroup::create(view, &self.state.cgroup)?;
        kernel::play::play_after_until(&Script::new(group), 0)?;
        // criu wants the root to be a mount. It is taken away again: the container has its own.
        let [mount, unmount] = [true, false].map(|on| root_steps(view, root, on));
        let played = kernel::play::play_after_until(&mount, 0);
        let pid_file = self.dir.join("criu.pid");
        let restored = played.map_err(Error::from).and_then(|()| {
            let arguments = restore_arguments(view, root, criu, &streams(criu), &pid_file);
            criu.run("restore", "restore.log", arguments)
        });
        let unmounted = kernel::play::play_after_until(&unmount, 0);
        restored?;
        unmounted?;
        let text = fs::read_to_string(&pid_file);
        let text = text.map_err(|error| Error::file("read", &pid_file, error))?;
        let pid = text.trim().parse().unwrap_or(0);
        let gone = |_| Error::wait(pid, rustix::io::Errno::SRCH);
        let pidfd = kernel::process::pidfd(pid).map_err(gone)?;
        let identity = Identity::of(pid).ok_or_else(|| gone(rustix::io::Errno::SRCH))?;
        (self.state.pid, self.state.start_time) = (identity.pid, identity.start_time);
        self.state.phase = Phase::Started;
        self.state.write(&self.dir)?;
        let child = Child {
            pid,
            pidfd,
            terminal: None,
        };
        Ok((self, child))
    }
}

fn refuse_terminal(view: &View) -> Result<(), Error> {
    let terminal = view.process.and_then(oci_spec::runtime::Process::terminal);
    match terminal {
        Some(true) => Err(Error::Config {
            field: "process.terminal".into(),
            reason: "criu cannot save a terminal whose other end is outside".into(),
        }),
        _ => Ok(()),
    }
}

/// Steps of the host that mount the root where criu finds it, and that take it away.
fn root_steps(view: &View, root: &Path, mount: bool) -> Script {
    let why = "criu wants the root to be a mount";
    let ops = match mount {
        false => vec![Op::UnmountRoot { path: root.into() }],
        true => vec![
            Op::MakeDirectory {
                path: root.into(),
                mode: 0o700,
            },
            Op::BindRoot {
                path: view.rootfs.clone(),
                target: root.into(),
                slot: None,
                detach: true,
            },
        ],
    };
    Script::new(ops.into_iter().map(|op| Step::host(op, why)).collect())
}

fn streams(criu: &Criu) -> Vec<String> {
    let text = fs::read(criu.image.join(DESCRIPTORS)).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_errors_of_the_log_are_the_reason() {
        let log = "(00.01) kerndat\n(00.06) Error (criu/vdso.c:381): vdso: Unexpected rt vDSO area bounds\n\
                   (00.07) Error (criu/kerndat.c:1615): no kerndat\n(00.08) Error (criu/x.c:1): third\n";
        assert_eq!(
            reason(log),
            "vdso: Unexpected rt vDSO area bounds; no kerndat"
        );
        assert_eq!(reason(""), "criu does not say why");
    }

    #[test]
    fn what_is_the_hosts_is_external() {
        let spec = serde_json::json!({
            "ociVersion": "1.2.0", "root": {"path": "rootfs"},
            "process": {"args": ["true"], "cwd": "/", "user": {"uid": 0, "gid": 0}},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/data", "source": "srv", "options": ["rbind"]},
            ],
            "linux": {"namespaces": [{"type": "mount"}]},
        });
        let bundle = Bundle {
            dir: "/bundle".into(),
            spec: serde_json::from_value(spec).unwrap(),
        };
        let attach = Attach::default();
        let view = View::of(&bundle, &attach).unwrap();
        let criu = Criu {
            image: "/image".into(),
            ..Criu::default()
        };
        let streams = ["/dev/null".into(), "pipe:[7]".into()];
        let arguments = restore_arguments(
            &view,
            Path::new("/root"),
            &criu,
            &streams,
            Path::new("/pid"),
        );
        let line = arguments
            .join(std::ffi::OsStr::new(" "))
            .into_string()
            .unwrap();
        assert!(line.contains("--external mnt[/data]:/bundle/srv"), "{line}");
        assert!(!line.contains("mnt[/proc]"), "{line}");
        assert!(line.contains("--inherit-fd fd[1]:pipe:[7]"), "{line}");
        assert!(!line.contains("fd[0]"), "{line}");
    }
}
