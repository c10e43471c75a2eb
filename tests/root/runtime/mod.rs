//! The runtime alone: `lighter oci` on bundles made here from the host's static busybox.
//!
//! In goes a [`Bundle`] with a change to its configuration, out comes what the container printed
//! and what the kernel shows. `hardening.rs` has the rules that past holes of runtimes taught;
//! `faults.rs` kills the runtime between any two steps.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

mod errors;
mod faults;
mod hardening;

/// Debian's busybox-static.
const BUSYBOX: &str = "/bin/busybox";
const LIGHTER: &str = env!("CARGO_BIN_EXE_lighter");

/// A bundle in a directory of its own, and a state root.
pub struct Bundle {
    directory: tempfile::TempDir,
    /// `config.json`; written when the container is created.
    pub config: Value,
    id: String,
}

/// What a container printed, and how it ended.
#[derive(Debug)]
pub struct Said {
    pub out: String,
    pub err: String,
    pub code: Option<i32>,
}

/// Root and a static busybox are needed; without them the test is listed as skipped.
#[must_use]
pub fn possible() -> bool {
    !support::skipped(&[support::Need::Root, support::Need::Program("busybox")])
}

impl Bundle {
    /// A bundle whose program is a shell script.
    pub fn new(script: &str) -> Bundle {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory = tempfile::tempdir().unwrap();
        // A process in a user namespace has to reach the bundle.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let id = format!("test-{}-{number}", std::process::id());
        let mut bundle = Bundle {
            directory,
            config: config(script),
            id,
        };
        bundle.config["linux"]["cgroupsPath"] = json!(format!("/lighter-{}", bundle.id));
        bundle.make_root();
        bundle
    }

    fn make_root(&self) {
        for directory in ["bin", "etc", "proc", "sys", "dev", "tmp"] {
            fs::create_dir_all(self.root().join(directory)).unwrap();
        }
        fs::copy(BUSYBOX, self.root().join("bin/busybox")).unwrap();
        let list = Command::new(BUSYBOX).arg("--list").output().unwrap();
        for applet in String::from_utf8(list.stdout)
            .unwrap()
            .lines()
            .filter(|name| *name != "busybox")
        {
            symlink("busybox", self.root().join("bin").join(applet)).unwrap();
        }
    }

    /// The root filesystem on the host.
    pub fn root(&self) -> PathBuf {
        self.directory.path().join("rootfs")
    }

    /// A directory beside the root filesystem.
    pub fn beside(&self, name: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// Replace a path of the image by a symbolic link.
    pub fn link(&self, path: &str, target: impl AsRef<Path>) {
        let path = self.root().join(path);
        let _ = fs::remove_dir(&path);
        let _ = fs::remove_file(&path);
        symlink(target, path).unwrap();
    }

    /// Have every capability that this machine gives, in every set but the inheritable and ambient.
    pub fn privileged(&mut self) {
        let given = kernel::caps::available();
        let names = kernel::caps::names().enumerate();
        let names: Vec<String> = names
            .filter(|(number, _)| given & (1 << number) != 0)
            .map(|(_, name)| name)
            .collect();
        for set in ["bounding", "effective", "permitted"] {
            self.config["process"]["capabilities"][set] = json!(names);
        }
        self.config["process"]["noNewPrivileges"] = json!(false);
    }

    /// Add a mount.
    pub fn mount(&mut self, mount: Value) {
        self.config["mounts"].as_array_mut().unwrap().push(mount);
    }

    /// Leave out the mount at this path.
    pub fn without_mount(&mut self, path: &str) {
        self.config["mounts"]
            .as_array_mut()
            .unwrap()
            .retain(|mount| mount["destination"] != path);
    }

    /// `lighter oci VERB ... ID ...`.
    pub fn command(&self, verb: &[&str], after: &[&str]) -> Command {
        let text = serde_json::to_string(&self.config).unwrap();
        fs::write(self.directory.path().join("config.json"), text).unwrap();
        let mut command = Command::new(LIGHTER);
        command.args(["oci", "--root"]).arg(self.states());
        command.args(verb).arg(&self.id).args(after);
        command
            .current_dir(self.directory.path())
            .stdin(Stdio::null());
        command
    }

    /// The directory of the containers' state.
    pub fn states(&self) -> PathBuf {
        self.directory.path().join("states")
    }

    /// Run the container to its end.
    pub fn run(&self) -> Said {
        Said::from(self.command(&["run"], &[]).output().unwrap())
    }

    /// Create and start it; its output goes nowhere.
    pub fn start(&self) {
        let mut create = self.command(&["create"], &[]);
        // A pipe would stay open as long as the container lives.
        let log = fs::File::create(self.directory.path().join("create.log")).unwrap();
        create.stdout(Stdio::null()).stderr(log);
        let created = create.status().unwrap();
        let log = fs::read_to_string(self.directory.path().join("create.log")).unwrap();
        assert!(created.success(), "{log}");
        let started = Said::from(self.command(&["start"], &[]).output().unwrap());
        assert_eq!(started.code, Some(0), "{}", started.err);
    }

    /// The pid of its first process on the host.
    pub fn pid(&self) -> i64 {
        let state = Said::from(self.command(&["state"], &[]).output().unwrap());
        let state: Value = serde_json::from_str(&state.out).unwrap();
        state["pid"].as_i64().unwrap()
    }

    /// Run a further program in it.
    pub fn exec(&self, words: &[&str]) -> Said {
        Said::from(self.command(&["exec"], words).output().unwrap())
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let _ = self.command(&["delete", "--force"], &[]).output();
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Said {
        Said {
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
            code: output.status.code(),
        }
    }
}

fn config(script: &str) -> Value {
    let capabilities = [
        "CAP_KILL",
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_NET_BIND_SERVICE",
    ];
    json!({
        "ociVersion": "1.2.0",
        "root": {"path": "rootfs"},
        "hostname": "inside",
        "process": {
            "args": ["sh", "-c", script],
            "env": ["PATH=/bin"],
            "cwd": "/",
            "user": {"uid": 0, "gid": 0},
            "noNewPrivileges": true,
            "capabilities": {
                "bounding": capabilities, "effective": capabilities, "permitted": capabilities,
            },
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
             "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs",
             "options": ["nosuid", "noexec", "nodev", "ro"]},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
             "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]},
        ],
        "linux": {
            "namespaces": [
                {"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"},
                {"type": "mount"}, {"type": "cgroup"},
            ],
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
            "readonlyPaths": ["/proc/sys", "/proc/sysrq-trigger"],
        },
    })
}
