//! The runtime under test, and bundles for it.
//!
//! In: `LIGHTER_OCI_RUNTIME`, a path; without it the built `lighter oci`. Out: [`Runtime`], which
//! runs verbs below a state directory of its own, and [`Bundle`], a directory with busybox as root
//! filesystem and a config.json that a test changes where its subject is. Dropping the runtime
//! deletes its containers.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use support::need::{list, program};
use support::{Need, Output, skipped};

/// Which program is tested. Old ones do not have everything that the specification has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Lighter,
    Runc,
    Crun,
    Other,
}

/// The runtime under test.
pub struct Runtime {
    words: Vec<OsString>,
    pub kind: Kind,
    dir: PathBuf,
    number: AtomicU32,
}

/// Applets of busybox that bundles have in /bin.
const APPLETS: [&str; 24] = [
    "cat", "chmod", "dd", "echo", "env", "grep", "head", "hostname", "id", "kill", "ln", "ls",
    "mkdir", "mkfifo", "mknod", "mount", "ps", "readlink", "rm", "sh", "sleep", "stat", "touch",
    "true",
];

impl Runtime {
    /// The runtime, or nothing when this machine cannot run it (the test is then listed as skipped).
    pub fn new() -> Option<Runtime> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if skipped(&[Need::Root, Need::Program("busybox")]) {
            return None;
        }
        let (words, kind) = match std::env::var_os("LIGHTER_OCI_RUNTIME") {
            Some(path) => (vec![path.clone()], kind_of(Path::new(&path))),
            None => (
                vec![env!("CARGO_BIN_EXE_lighter").into(), "oci".into()],
                Kind::Lighter,
            ),
        };
        let name = format!(
            "lighter-oci-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let dir = base().join(name);
        fs::create_dir_all(dir.join("states")).expect("the temporary directory can be written");
        Some(Runtime {
            words,
            kind,
            dir,
            number: AtomicU32::new(0),
        })
    }

    /// As [`Runtime::new`], but not for the named kinds: `why` says what they lack.
    pub fn unless(kinds: &[Kind], why: &str) -> Option<Runtime> {
        let runtime = Runtime::new()?;
        if kinds.contains(&runtime.kind) {
            list(&format!("{:?} {why}", runtime.kind));
            return None;
        }
        Some(runtime)
    }

    /// A directory for the test's own files.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A container id that no other test uses.
    pub fn id(&self) -> String {
        let name = self
            .dir
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        format!("{name}-{}", self.number.fetch_add(1, Ordering::Relaxed))
    }

    /// A command of the runtime.
    pub fn command<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(&self.words[0]);
        command
            .args(&self.words[1..])
            .arg("--root")
            .arg(self.dir.join("states"));
        command.args(words).current_dir(&self.dir);
        command
    }

    /// Runs a verb to its end.
    #[track_caller]
    pub fn call<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Output {
        Output::of(self.command(words))
    }

    /// A bundle whose program is `sh -c script`, changed by `edit`.
    pub fn bundle(&self, script: &str, edit: impl FnOnce(&mut Value)) -> Bundle {
        let dir = self.dir.join(format!(
            "bundle-{}",
            self.number.fetch_add(1, Ordering::Relaxed)
        ));
        let rootfs = dir.join("rootfs");
        for name in ["bin", "dev", "etc", "proc", "sys", "tmp", "work"] {
            fs::create_dir_all(rootfs.join(name)).expect("the test's directory can be written");
        }
        // By another process: a file that this one has open for writing may, for a moment, be open
        // in a process that another test is starting, and cannot be executed then.
        let copied = Command::new("cp")
            .arg(program("busybox").expect("needed"))
            .arg(rootfs.join("bin/busybox"))
            .status();
        assert!(
            copied.is_ok_and(|status| status.success()),
            "busybox can be copied"
        );
        for applet in APPLETS {
            symlink("busybox", rootfs.join("bin").join(applet))
                .expect("the test's directory can be written");
        }
        let bundle = Bundle { dir };
        let mut config = config(script);
        edit(&mut config);
        bundle.write(&config);
        bundle
    }

    /// Runs `sh -c script` in a container to its end.
    #[track_caller]
    pub fn run(&self, script: &str, edit: impl FnOnce(&mut Value)) -> Output {
        let bundle = self.bundle(script, edit);
        self.call(["run", "--bundle", bundle.path(), &self.id()])
    }

    /// Creates a container that sleeps, and starts it.
    #[track_caller]
    pub fn sleeper(&self, edit: impl FnOnce(&mut Value)) -> String {
        // The shell stays the parent: that shows whether more than the first process is reached.
        let bundle = self.bundle("sleep 1000 & wait", edit);
        let id = self.id();
        // A detached container keeps its streams, so that they must not be our pipes.
        self.quietly(["run", "--detach", "--bundle", bundle.path(), &id]);
        let pid = self.pid(&id);
        // Both processes are there, so that what is counted does not depend on when it is looked at.
        support::eventually("the shell has started its sleep", 10, || {
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
            (!children.trim().is_empty()).then_some(())
        });
        id
    }

    /// Runs a verb that leaves a process behind, with its output in a file.
    #[track_caller]
    pub fn quietly<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) {
        let code = self.silent(words);
        let said = fs::read_to_string(self.dir.join("output")).unwrap_or_default();
        assert_eq!(code, 0, "{said}");
    }

    /// As [`Runtime::quietly`], whatever its exit code is.
    pub fn silent<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> i32 {
        let output =
            fs::File::create(self.dir.join("output")).expect("the test's directory can be written");
        let mut command = self.command(words);
        command.stdin(std::process::Stdio::null());
        command
            .stdout(output.try_clone().expect("a file can be duplicated"))
            .stderr(output);
        support::output::code(command.status().expect("the runtime can be started"))
    }

    /// The container's state as JSON.
    #[track_caller]
    pub fn state(&self, id: &str) -> Value {
        self.call(["state", id]).success().json()
    }

    /// The container's status, or nothing when there is no such container.
    pub fn status(&self, id: &str) -> Option<String> {
        let output = self.call(["state", id]);
        let state: Value = serde_json::from_str(&output.stdout).ok()?;
        state["status"].as_str().map(str::to_owned)
    }

    /// Waits until the container has the status.
    #[track_caller]
    pub fn await_status(&self, id: &str, status: &str) {
        support::eventually(&format!("{id} is {status}"), 10, || {
            (self.status(id).as_deref() == Some(status)).then_some(())
        });
    }

    /// The container's first process on the host.
    #[track_caller]
    pub fn pid(&self, id: &str) -> i64 {
        self.state(id)["pid"].as_i64().expect("a pid is a number")
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        let states = fs::read_dir(self.dir.join("states"))
            .into_iter()
            .flatten()
            .flatten();
        let ids: Vec<_> = states.map(|entry| entry.file_name()).collect();
        for id in ids {
            self.silent([OsStr::new("delete"), OsStr::new("--force"), &id]);
        }
        fs::remove_dir_all(&self.dir).ok();
    }
}

/// The verb failed, and said so with these words.
#[track_caller]
pub fn refused(output: &Output, words: &str) {
    assert_ne!(output.code, 0, "{}", output.command);
    assert!(output.stderr.contains(words), "{}", output.stderr);
}

/// Where tests keep their files.
fn base() -> PathBuf {
    std::env::var_os("LIGHTER_TEST_DIR").map_or_else(std::env::temp_dir, PathBuf::from)
}

fn kind_of(path: &Path) -> Kind {
    match path.file_name().and_then(OsStr::to_str) {
        Some("runc") => Kind::Runc,
        Some("crun") => Kind::Crun,
        Some("lighter" | "lighter-oci") => Kind::Lighter,
        _ => Kind::Other,
    }
}

/// A directory with a config.json and a root filesystem.
pub struct Bundle {
    dir: PathBuf,
}

impl Bundle {
    pub fn path(&self) -> &str {
        self.dir.to_str().expect("the test's directory is UTF-8")
    }

    pub fn rootfs(&self) -> PathBuf {
        self.dir.join("rootfs")
    }

    pub fn write(&self, config: &Value) {
        let text = serde_json::to_string_pretty(config).expect("a value can be written");
        fs::write(self.dir.join("config.json"), text).expect("the test's directory can be written");
    }
}

/// A container as engines make them, without limits and without a network of its own.
fn config(script: &str) -> Value {
    let caps = json!([
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_KILL",
        "CAP_SETGID",
        "CAP_SETUID",
        "CAP_MKNOD"
    ]);
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "args": ["/bin/sh", "-c", script],
            "cwd": "/",
            "env": ["PATH=/bin", "HOME=/"],
            "user": {"uid": 0, "gid": 0},
            "capabilities": {"bounding": caps, "effective": caps, "permitted": caps},
        },
        "root": {"path": "rootfs"},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
                "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]},
        ],
        "linux": {
            "namespaces": [{"type": "mount"}, {"type": "pid"}, {"type": "ipc"}, {"type": "uts"}],
        },
    })
}

/// Adds a namespace to a configuration.
pub fn namespace(config: &mut Value, kind: &str) {
    push(&mut config["linux"]["namespaces"], json!({"type": kind}));
}

/// Adds a mount to a configuration.
pub fn mount(config: &mut Value, destination: &str, kind: &str, source: &str, options: &[&str]) {
    let mount =
        json!({"destination": destination, "type": kind, "source": source, "options": options});
    push(&mut config["mounts"], mount);
}

/// Adds to a list, which is made if it is missing.
pub fn push(list: &mut Value, item: Value) {
    if list.is_null() {
        *list = json!([]);
    }
    list.as_array_mut().expect("a list").push(item);
}
