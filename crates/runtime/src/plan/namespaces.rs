//! The process is born, in the namespaces it gets.
//!
//! In go the namespaces of `config.json`; out come the clone, the id maps, and
//! what has to be joined. config-linux.md, Namespaces, User namespace mappings.

use kernel::cgroup::Group;
use kernel::namespace::Namespace;
use kernel::op::Clone3;
use kernel::{Op, Step};

use crate::View;

/// New namespaces that clone3 makes itself.
///
/// Two are made later by the process: a time namespace, whose clocks could not be set any more,
/// and on v1 a cgroup namespace, whose root is the group the process is in when it is made.
fn by_clone(view: &View, group: &Group) -> Vec<Namespace> {
    let later = |kind: &Namespace| match kind {
        Namespace::Time => true,
        Namespace::Cgroup => group.legacy().next().is_some(),
        _ => false,
    };
    view.new
        .iter()
        .copied()
        .filter(|kind| !later(kind))
        .collect()
}

/// Does an intermediate process join? Yes for a pid namespace, which setns(2) gives to children
/// only, and where a user namespace is involved and anything is made new, which must belong to it.
fn join_first(view: &View) -> bool {
    let joins = |kind| view.join.iter().any(|(other, _)| *other == kind);
    joins(Namespace::Pid)
        || (joins(Namespace::User) && !view.new.is_empty())
        || (view.new.contains(&Namespace::User) && !view.join.is_empty())
}

/// The user namespace last, and the mount namespace right before it: the paths of the others are
/// resolved in the host's, and the host's rights are needed to enter them.
fn joins(view: &View) -> impl Iterator<Item = Op> {
    let mut join: Vec<_> = view.join.iter().collect();
    join.sort_by_key(|(kind, _)| (*kind == Namespace::User, *kind == Namespace::Mount));
    join.into_iter().map(|(namespace, path)| Op::Join {
        namespace: *namespace,
        path: path.clone(),
    })
}

/// Host side: the process is born.
pub fn birth(view: &View, group: &Group) -> Vec<Step> {
    let clone = Clone3 {
        new: by_clone(view, group),
        first: joins(view).filter(|_| join_first(view)).collect(),
        cgroup: group.unified().map(|directory| directory.path.clone()),
    };
    let mut steps = vec![Step::host(
        Op::Clone(clone),
        "The container's first process, in namespaces of its own",
    )];
    if view.new.contains(&Namespace::User) {
        let op = Op::MapIds {
            uids: view.uids.clone(),
            gids: view.gids.clone(),
        };
        steps.push(Step::host(
            op,
            "Root inside is somebody without rights outside",
        ));
    }
    steps
}

/// Container side: enter what is joined, and what clone3 could not make.
pub fn enter(view: &View, group: &Group) -> Vec<Step> {
    let mut steps = Vec::new();
    if !join_first(view) {
        let why = "Share this namespace with whoever is in it";
        steps.extend(joins(view).map(|op| Step::container(op, why)));
    }
    if view.own(Namespace::User) {
        steps.push(Step::container(
            Op::BecomeRoot,
            "Root of the user namespace makes the rest",
        ));
    }
    if view.new.contains(&Namespace::Time) {
        let op = Op::EnterTimeNamespace {
            offsets: view.time_offsets.clone(),
        };
        steps.push(Step::container(op, "Clocks that count from another start"));
    }
    let cgroup = view.new.contains(&Namespace::Cgroup);
    if cgroup && !by_clone(view, group).contains(&Namespace::Cgroup) {
        let op = Op::Unshare {
            namespaces: vec![Namespace::Cgroup],
        };
        steps.push(Step::container(
            op,
            "The container's own group is the root of what it sees",
        ));
    }
    steps
}

/// Host side: interfaces of the host that move in.
pub fn net_devices(view: &View) -> Vec<Step> {
    let into = |(host, inside): (&&str, &&str)| {
        let op = Op::LinkMove {
            name: (*host).into(),
            rename: (*inside).into(),
        };
        Step::host(op, "An interface of the host moves in")
    };
    view.net_devices.iter().map(into).collect()
}

/// Container side: a new network namespace has its loopback interface switched on, as runc does it.
pub fn loopback(view: &View) -> Option<Step> {
    let is_on = |step: &Step| matches!(&step.op, Op::LinkUp { name } if name == "lo");
    let wanted = view.new.contains(&Namespace::Network) && !view.attach.steps.iter().any(is_on);
    let op = Op::LinkUp { name: "lo".into() };
    wanted.then(|| Step::container(op, "The container talks to itself"))
}

/// Container side: the names of the machine.
pub fn names(view: &View) -> Vec<Step> {
    let host = view
        .hostname
        .map(|name| Op::SetHostname { name: name.into() });
    let domain = view
        .domainname
        .map(|name| Op::SetDomainname { name: name.into() });
    host.into_iter()
        .chain(domain)
        .map(|op| Step::container(op, "A host name of its own"))
        .collect()
}
