//! The order of a container's birth.

pub mod cgroup;
pub mod seccomp;

use kernel::op::Overlay;
use kernel::{Script, Step};

use crate::{Bundle, Error};

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
    /// How many descriptors after the standard streams stay open.
    pub preserve_fds: u32,
    /// `linux.cgroupsPath` is `slice:prefix:name` and systemd makes the cgroup.
    pub systemd_cgroup: bool,
    /// The host's cgroups, from `Hierarchies::discover`. Without any, the container has no group
    /// and a limit is an error.
    pub cgroups: kernel::cgroup::Hierarchies,
}

/// Everything that will be asked of the kernel for this container, in order.
pub fn plan(bundle: &Bundle, attach: &Attach) -> Result<Script, Error> {
    let _ = (bundle, attach);
    Ok(Script::default())
}
