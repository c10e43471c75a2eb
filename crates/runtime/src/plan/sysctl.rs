//! Kernel parameters of the container's namespaces. config-linux.md, Sysctl.
//!
//! Only parameters that belong to a namespace the container has for itself are
//! allowed: all others are the whole host's.

use kernel::namespace::Namespace;
use kernel::{Op, Step};

use crate::{Error, View};

const IPC: [&str; 8] = [
    "msgmax",
    "msgmnb",
    "msgmni",
    "sem",
    "shmall",
    "shmmax",
    "shmmni",
    "shm_rmid_forced",
];

/// One step for each parameter.
pub(super) fn steps(view: &View) -> Result<Vec<Step>, Error> {
    let step = |(name, value): (&&str, &&str)| {
        check(view, name, value)?;
        let op = Op::Sysctl {
            name: (*name).into(),
            value: (*value).into(),
        };
        Ok(Step::container(
            op,
            "A setting of the container's own namespaces",
        ))
    };
    view.sysctl.iter().map(step).collect()
}

fn check(view: &View, name: &str, value: &str) -> Result<(), Error> {
    let refuse = |reason: String| {
        Err(Error::Config {
            field: format!("linux.sysctl[{name}]"),
            reason,
        })
    };
    let dotted = if name.contains('/') {
        name.replace('/', ".")
    } else {
        name.to_string()
    };
    if dotted.split('.').any(str::is_empty) || dotted.contains(char::is_whitespace) {
        return refuse("it is not the name of a parameter".into());
    }
    let Some(namespace) = namespace_of(&dotted) else {
        return refuse("it belongs to no namespace, so it would change the host".into());
    };
    // As runc: the name has a field of its own, and which of the two counts would be left open.
    let conflict = match dotted.as_str() {
        "kernel.hostname" => Some("hostname"),
        "kernel.domainname" => view
            .domainname
            .filter(|domain| *domain != value)
            .map(|_| "domainname"),
        _ => None,
    };
    if let Some(field) = conflict {
        return refuse(format!("it is what the field {field} is for"));
    }
    if view.own(namespace) {
        return Ok(());
    }
    refuse(format!(
        "the container shares the host's {} namespace",
        namespace.file()
    ))
}

/// The namespace a parameter belongs to.
fn namespace_of(name: &str) -> Option<Namespace> {
    if name.starts_with("net.") {
        return Some(Namespace::Network);
    }
    if name.starts_with("fs.mqueue.") {
        return Some(Namespace::Ipc);
    }
    match name.strip_prefix("kernel.")? {
        "domainname" | "hostname" => Some(Namespace::Uts),
        name if IPC.contains(&name) => Some(Namespace::Ipc),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_the_host_belong_to_no_namespace() {
        assert_eq!(namespace_of("kernel.core_pattern"), None);
        assert_eq!(namespace_of("vm.swappiness"), None);
        assert_eq!(
            namespace_of("net.ipv4.ip_forward"),
            Some(Namespace::Network)
        );
        assert_eq!(namespace_of("kernel.shmmax"), Some(Namespace::Ipc));
    }
}
