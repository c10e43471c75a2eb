//! The root filesystem: where it comes from, and how it becomes `/`.
//!
//! In go `root`, `linux.rootfsPropagation` and the overlay of [`crate::Attach`];
//! out come the steps around those of `mounts.rs`. config-linux.md, Rootfs Mount
//! Propagation.

use std::path::Path;

use kernel::namespace::Namespace;
use kernel::op::{Inside, Propagation, Tree};
use kernel::{Op, Step};

use crate::{Error, View};

/// The slot of the root's tree; those of mounts come after it.
pub const ROOT_SLOT: usize = 0;

/// The propagation that `linux.rootfsPropagation` names, and whether for every mount below.
pub fn propagation(text: &str) -> Option<(Propagation, bool)> {
    let (name, recursive) = match text.strip_prefix('r') {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let propagation = match name {
        "private" => Propagation::Private,
        "shared" => Propagation::Shared,
        "slave" => Propagation::Slave,
        "unbindable" => Propagation::Unbindable,
        _ => return None,
    };
    Some((propagation, recursive))
}

fn wanted(view: &View) -> Result<Option<(Propagation, bool)>, Error> {
    let Some(text) = view.propagation else {
        return Ok(None);
    };
    let refuse = || Error::Config {
        field: "linux.rootfsPropagation".into(),
        reason: format!("{text:?} is not private, shared, slave or unbindable"),
    };
    propagation(text).map(Some).ok_or_else(refuse)
}

/// Host side, before the clone: hold the root where a user namespace would hide it.
pub fn open_root(view: &View) -> Vec<Step> {
    if !view.own(Namespace::User) || view.attach.overlay.is_some() {
        return Vec::new();
    }
    let tree = Tree {
        slot: ROOT_SLOT,
        path: view.rootfs.clone(),
        recursive: true,
        no_follow: false,
        id_map: None,
    };
    vec![Step::host(
        Op::OpenTree(tree),
        "The user namespace may not reach the root's path",
    )]
}

/// Container side: cut the ties to the host's mounts, and mount the root.
pub fn mount_root(view: &View) -> Result<Vec<Step>, Error> {
    if let Some(target) = view.shared_root() {
        return Ok(mount_root_on_the_host(view, target));
    }
    let wanted = wanted(view)?.map(|(propagation, _)| propagation);
    let mut steps = Vec::new();
    match wanted {
        // Volumes that are shared with the host need `/` to stay shared with it.
        Some(Propagation::Shared) => steps.push(Step::container(
            Op::IsolateMount {
                path: view.rootfs.clone(),
            },
            "Mounts on the way to the root stay here, all others are shared with the host",
        )),
        Some(Propagation::Private | Propagation::Unbindable) => steps.push(Step::container(
            Op::SetPropagation {
                propagation: Propagation::Private,
                recursive: true,
            },
            "Mounts travel neither to the host nor from it",
        )),
        Some(Propagation::Slave) | None => steps.push(Step::container(
            Op::SetPropagation {
                propagation: Propagation::Slave,
                recursive: true,
            },
            "Mounts made here do not travel to the host",
        )),
    }
    let root = match &view.attach.overlay {
        Some(overlay) => {
            let mut overlay = overlay.clone();
            overlay.target = view.rootfs.clone();
            (
                Op::MountOverlay(overlay),
                "The image's layers, and above them what the container writes",
            )
        }
        None => {
            let slot = view.own(Namespace::User).then_some(ROOT_SLOT);
            let detach = wanted != Some(Propagation::Slave);
            let op = Op::BindRoot {
                path: view.rootfs.clone(),
                target: view.rootfs.clone(),
                slot,
                detach,
            };
            (op, "A new root must be a mount of its own")
        }
    };
    steps.push(Step::container(root.0, root.1));
    Ok(steps)
}

/// Without a mount namespace of its own everything is mounted on the host: below a directory that
/// is nobody else's, so that [`leave_root`] cannot unmount anything of the host.
fn mount_root_on_the_host(view: &View, target: &Path) -> Vec<Step> {
    let directory = Op::MakeDirectory {
        path: target.into(),
        mode: 0o700,
    };
    let bind = Op::BindRoot {
        path: view.rootfs.clone(),
        target: target.into(),
        slot: None,
        detach: true,
    };
    vec![
        Step::container(directory, "The root's place in the host's own mounts"),
        Step::container(bind, "A new root must be a mount of its own"),
    ]
}

/// Host side, when the container is removed: what it mounted in the host's mount namespace goes.
pub fn leave_root(view: &View) -> Option<Step> {
    let path = view.shared_root()?.into();
    Some(Step::host(
        Op::UnmountRoot { path },
        "Its mounts are among the host's",
    ))
}

/// Container side: a further process enters a root that is among the host's mounts.
pub fn enter_root(view: &View) -> Option<Step> {
    let path = view.shared_root()?.into();
    Some(Step::container(
        Op::EnterRoot { path },
        "The container's root among the host's mounts",
    ))
}

/// Container side, after the last hook of the host: the root becomes `/`.
pub fn change_root(view: &View) -> Step {
    if let Some(step) = enter_root(view) {
        return step;
    }
    let op = match view.attach.no_pivot {
        false => Op::PivotRoot,
        true => Op::MoveRoot {
            path: view.rootfs.clone(),
        },
    };
    Step::container(
        op,
        "The image is all there is; the host's files are out of reach",
    )
}

/// Container side, when nothing more is made inside: propagation, hidden and protected paths.
pub fn protect(view: &View) -> Result<Vec<Step>, Error> {
    let mut steps = Vec::new();
    if let Some((propagation, recursive)) = wanted(view)? {
        let op = Op::SetPropagation {
            propagation,
            recursive,
        };
        steps.push(Step::container(
            op,
            "Propagation of the root, as the bundle asks",
        ));
    }
    let path = |text: &String| Inside::new(text.as_str());
    let read_only = |text| {
        Step::container(
            Op::ReadOnly { path: path(text) },
            "Settings of the whole kernel",
        )
    };
    let mask = |text| {
        Step::container(
            Op::Mask { path: path(text) },
            "It tells of the host, or acts on it",
        )
    };
    steps.extend(view.readonly.iter().map(read_only));
    steps.extend(view.masked.iter().map(mask));
    if view.readonly_root {
        steps.push(Step::container(
            Op::ReadOnlyRoot,
            "Nothing in the root can be changed",
        ));
    }
    Ok(steps)
}
