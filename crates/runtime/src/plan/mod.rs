//! **The order of a container's birth**, on one page: [`plan()`].
//!
//! In go a bundle and what surrounds it; out comes a [`Script`], without the
//! kernel having been asked anything. Each line of `plan` is a file of this
//! folder. To understand a container, read them in this order.

pub mod cgroup;
pub mod exec;
pub mod hooks;
mod mount_options;
pub mod mounts;
pub mod namespaces;
pub mod process;
pub mod rootfs;
pub mod seccomp;
mod sysctl;

use std::path::PathBuf;

use kernel::op::{Inside, Overlay};
use kernel::{Op, Script, Step};

use crate::{Bundle, Error, View};

/// What surrounds a bundle: everything that is no part of `config.json`.
#[derive(Clone, Debug, Default)]
pub struct Attach {
    /// The container's id.
    pub id: String,
    /// The root filesystem, when it is not the bundle's own directory. It is
    /// mounted inside the container's mount namespace over the bundle's `root.path`.
    pub overlay: Option<Overlay>,
    /// More steps, such as those of the network: played after the namespaces
    /// exist and before the `createRuntime` hooks and the change of root.
    pub steps: Vec<Step>,
    /// What undoes `steps`. Kept on disk, so that any later process can.
    pub undo: Vec<Step>,
    /// Do not create a session keyring.
    pub no_new_keyring: bool,
    /// Change the root without pivot_root(2).
    pub no_pivot: bool,
    /// Where the root is mounted for a container without a mount namespace of its own: an absolute
    /// path that names this container alone. Without it such a container is refused.
    pub root_mount: Option<PathBuf>,
    /// What a service manager gives to the program.
    pub activation: Activation,
    /// The container ends when its creator is killed.
    pub die_with_creator: bool,
    /// The container's first process is a tiny init, the program its child.
    pub init: bool,
    /// How many descriptors after the standard streams stay open.
    pub preserve_fds: u32,
    /// `linux.cgroupsPath` is `slice:prefix:name` and systemd makes the cgroup.
    pub systemd_cgroup: bool,
    /// The host's cgroups, from `Hierarchies::discover`. Without any, the container has no group
    /// and a limit is an error.
    pub cgroups: kernel::cgroup::Hierarchies,
}

/// What a service manager hands to the program through the runtime. sd_listen_fds(3), sd_notify(3).
#[derive(Clone, Debug, Default)]
pub struct Activation {
    /// How many sockets it gets, as the first descriptors after the standard streams.
    pub sockets: u32,
    /// The sockets' names, parted by colons.
    pub names: Option<String>,
    /// The socket of the host on which the program says that it is ready.
    pub notify: Option<PathBuf>,
}

/// Everything that will be asked of the kernel for this container, in order.
///
/// # Errors
/// [`Error::Config`] for a configuration that cannot be.
pub fn plan(bundle: &Bundle, attach: &Attach) -> Result<Script, Error> {
    birth(&View::of(bundle, attach)?)
}

fn birth(view: &View) -> Result<Script, Error> {
    let group = cgroup::group(view)?;
    let mut script = Script::default();

    // The host prepares what the process will be born into.
    script.extend(cgroup::create(view, &group)?);
    script.extend(rootfs::open_root(view));
    script.extend(mounts::open_trees(view)?);

    // The process is born; the host gives it what only the host can.
    script.extend(namespaces::birth(view, &group));
    script.extend(
        view.process
            .into_iter()
            .flat_map(|process| process::from_outside(view, process)),
    );
    script.extend(namespaces::net_devices(view));

    // The process enters its namespaces, and the network is wired.
    script.extend(cgroup::join(&group));
    script.extend(namespaces::enter(view, &group));
    script.extend(view.attach.steps.iter().cloned());
    script.extend(namespaces::loopback(view));
    script.extend(namespaces::names(view));
    script.extend(sysctl::steps(view)?);

    // It builds its root, with the host's files still in reach.
    script.extend(rootfs::mount_root(view)?);
    script.extend(mounts::mount_all(view)?);
    script.extend(mounts::notify_socket(view));
    script.extend(mounts::devices(view)?);
    script.extend(working_directory(view));
    script.extend(hooks::create_runtime(view));
    script.extend(hooks::create_container(view));

    // The root becomes all there is.
    script.extend(view.process.into_iter().flat_map(process::labels));
    script.push(rootfs::change_root(view));
    script.extend(
        view.process
            .into_iter()
            .flat_map(|process| process::session(view, process)),
    );
    script.extend(mounts::finish_dev(view)?);
    script.extend(rootfs::protect(view)?);

    // Rights are given up, and the program starts.
    match view.process {
        Some(process) => {
            script.extend(process::traits(view, process)?);
            script.extend(process::confine(view, process)?);
        }
        None => script.extend(process::nothing_to_run()),
    }
    Ok(script)
}

fn working_directory(view: &View) -> Option<Step> {
    let path = Inside::new(view.process?.cwd().as_path());
    Some(Step::container(
        Op::MakeInside { path, mode: 0o755 },
        "The program starts there",
    ))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use kernel::Side;
    use serde_json::json;

    use super::*;

    fn bundle(no_new_privileges: bool, user_namespace: bool) -> Bundle {
        let mut namespaces = json!([{"type": "pid"}, {"type": "mount"}, {"type": "network"}]);
        let mut linux =
            json!({"maskedPaths": ["/proc/kcore"], "seccomp": {"defaultAction": "SCMP_ACT_ALLOW"}});
        if user_namespace {
            let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
            (linux["uidMappings"], linux["gidMappings"]) = (map.clone(), map);
            namespaces
                .as_array_mut()
                .unwrap()
                .push(json!({"type": "user"}));
        }
        linux["namespaces"] = namespaces;
        let spec = json!({
            "ociVersion": "1.2.0",
            "root": {"path": "rootfs"},
            "process": {
                "args": ["true"], "cwd": "/", "user": {"uid": 0, "gid": 0},
                "noNewPrivileges": no_new_privileges,
            },
            "mounts": [
                {"destination": "/data", "source": "/srv", "options": ["bind"]},
            ],
            "hooks": {
                "createRuntime": [{"path": "/hook"}], "startContainer": [{"path": "/hook"}],
            },
            "linux": linux,
        });
        Bundle {
            dir: PathBuf::from("/bundle"),
            spec: serde_json::from_value(spec).unwrap(),
        }
    }

    /// The steps by side and name; one line for those of a kind in a row.
    fn order(bundle: &Bundle) -> String {
        let attach = Attach {
            id: "web".into(),
            ..Attach::default()
        };
        let name = |step: &Step| {
            let op = serde_json::to_value(&step.op).unwrap();
            let side = if step.side == Side::Host {
                "host"
            } else {
                "inside"
            };
            format!("{side} {}", op["op"].as_str().unwrap())
        };
        let mut lines: Vec<_> = plan(bundle, &attach)
            .unwrap()
            .steps
            .iter()
            .map(name)
            .collect();
        lines.dedup();
        lines.join("\n")
    }

    #[test]
    fn a_birth_has_this_order() {
        insta::assert_snapshot!(order(&bundle(true, false)), @r"
        host clone
        inside link-up
        inside set-propagation
        inside bind-root
        inside mount
        inside make-device
        inside symlink
        inside make-inside
        host run-hook
        inside pivot-root
        inside new-session
        inside new-keyring
        inside mask
        inside set-umask
        inside limit-capabilities
        inside change-directory
        inside find-home
        inside set-user
        inside find-program
        inside close-on-exec
        inside set-capabilities
        inside no-new-privileges
        inside await-start
        inside seccomp
        inside run-hook
        inside exec
        ");
    }

    #[test]
    fn without_no_new_privs_the_filter_comes_before_capabilities_go() {
        let order = order(&bundle(false, false));
        let at = |name: &str| {
            order
                .lines()
                .position(|line| line == format!("inside {name}"))
                .unwrap()
        };
        assert!(at("await-start") < at("seccomp"));
        assert!(at("seccomp") < at("set-capabilities"));
        // A hook from the image has no more rights than the program.
        let hook = order.lines().collect::<Vec<_>>();
        let hook = hook
            .iter()
            .rposition(|line| *line == "inside run-hook")
            .unwrap();
        assert!(at("set-capabilities") < hook && hook < at("exec"));
    }

    #[test]
    fn a_user_namespace_has_its_mounts_taken_before_the_birth() {
        let order = order(&bundle(true, true));
        let at = |name: &str| order.lines().position(|line| line == name).unwrap();
        assert!(at("host open-tree") < at("host clone"));
        assert!(at("host map-ids") < at("inside become-root"));
    }
}
