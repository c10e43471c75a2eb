//! What the table of keys knows and this engine cannot do: refused, or said to have no effect.
//!
//! `config` shows any valid file. What makes containers first asks here, for the services concerned. Nothing that a file
//! says is dropped in silence: a key is honoured, refused as an [`Verdict::Refused`] error, or warned about where docker
//! ignores it on a single host too.

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::model::Project;
use crate::yaml::Node;

/// What becomes of a key that has no effect.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// An error: the application would not be what was asked for.
    Refused,
    /// A warning: it matters only on clusters or other systems.
    Ignored,
}
use Verdict::{Ignored, Refused};

/// Path below a service, verdict, reason.
const SERVICE: &[(&[&str], Verdict, &str)] = &[
    (
        &["cpu_count"],
        Ignored,
        "it counts processors on Windows; use cpus",
    ),
    (
        &["cpu_percent"],
        Ignored,
        "it limits processors on Windows; use cpus",
    ),
    (
        &["cpu_rt_period"],
        Refused,
        "real-time scheduling of containers is not supported",
    ),
    (
        &["cpu_rt_runtime"],
        Refused,
        "real-time scheduling of containers is not supported",
    ),
    (
        &["credential_spec"],
        Refused,
        "managed service accounts exist on Windows only",
    ),
    (
        &["deploy", "endpoint_mode"],
        Ignored,
        "it chooses between load balancers of a cluster",
    ),
    (
        &["deploy", "labels"],
        Ignored,
        "they label a cluster's service, not its containers; use labels",
    ),
    (
        &["deploy", "mode"],
        Ignored,
        "on one host every service is replicated",
    ),
    (
        &["deploy", "placement"],
        Ignored,
        "it chooses nodes of a cluster",
    ),
    (
        &["deploy", "resources", "reservations", "cpus"],
        Ignored,
        "it reserves processors on nodes of a cluster",
    ),
    (
        &["deploy", "resources", "reservations", "devices"],
        Refused,
        "device requests need a driver; use devices",
    ),
    (
        &["deploy", "resources", "reservations", "generic_resources"],
        Ignored,
        "they choose nodes of a cluster",
    ),
    (
        &["deploy", "restart_policy", "delay"],
        Ignored,
        "restarts wait 100 ms, then twice as long each time",
    ),
    (
        &["deploy", "restart_policy", "window"],
        Ignored,
        "a container that ran 10 s counts as started",
    ),
    (
        &["deploy", "rollback_config"],
        Ignored,
        "it rolls back services of a cluster",
    ),
    (
        &["deploy", "update_config"],
        Ignored,
        "it updates services of a cluster",
    ),
    (
        &["external_links"],
        Refused,
        "use a network that both are on",
    ),
    (
        &["gpus"],
        Refused,
        "device requests need a driver; use devices",
    ),
    (
        &["isolation"],
        Ignored,
        "it chooses an isolation on Windows",
    ),
    (&["models"], Refused, "models need a model runner"),
    (
        &["pre_start"],
        Refused,
        "use a service that others depend on with service_completed_successfully",
    ),
    (
        &["provider"],
        Refused,
        "services of external programs are not supported",
    ),
    (
        &["pull_refresh_after"],
        Refused,
        "use pull_policy: every_<duration>",
    ),
    (
        &["storage_opt"],
        Refused,
        "an overlay file system has no such options",
    ),
    (
        &["use_api_socket"],
        Refused,
        "there is no daemon with a socket",
    ),
];

/// Reports what of the named services, and of what they use, cannot be honoured.
pub fn check(project: &Project, services: &[String], diagnostics: &mut Diagnostics) {
    for name in services {
        let Some(service) = project.node(&["services", name]) else {
            continue;
        };
        for (path, verdict, reason) in SERVICE {
            if let Some(node) = at(service, path) {
                report(
                    &format!("services.{name}.{}", path.join(".")),
                    node,
                    *verdict,
                    reason,
                    diagnostics,
                );
            }
        }
        values(name, service, diagnostics);
        resources(project, service, diagnostics);
    }
}

fn at<'a>(node: &'a Node, path: &[&str]) -> Option<&'a Node> {
    path.iter().try_fold(node, |node, key| node.get(key))
}

fn report(path: &str, node: &Node, verdict: Verdict, reason: &str, diagnostics: &mut Diagnostics) {
    diagnostics.push(match verdict {
        Refused => Diagnostic::error(format!("{path} cannot be honoured"), node.span).help(reason),
        Ignored => Diagnostic::warning(format!("{path} has no effect"), node.span).help(reason),
    });
}

/// Keys of which some values are honoured and others not.
fn values(name: &str, service: &Node, diagnostics: &mut Diagnostics) {
    let mut refuse = |path: &str, node: &Node, reason: &str| {
        report(
            &format!("services.{name}.{path}"),
            node,
            Refused,
            reason,
            diagnostics,
        );
    };
    for (key, known, reason) in [
        (
            "runtime",
            &["runc", "lighter"][..],
            "lighter is its own runtime; remove the key",
        ),
        ("userns_mode", &["host"], "only host is supported"),
        ("uts", &["host", "private"], "only host is supported"),
    ] {
        match service.get(key) {
            Some(node) if !node.as_text().is_some_and(|text| known.contains(&text)) => {
                refuse(key, node, reason)
            }
            _ => {}
        }
    }
    if let Some(driver) = service
        .get("logging")
        .and_then(|logging| logging.get("driver"))
    {
        let known = ["json-file", "local", "none"];
        if !driver.as_text().is_some_and(|text| known.contains(&text)) {
            refuse(
                "logging.driver",
                driver,
                "logs are kept as files; use json-file, local or none",
            );
        }
    }
    for mount in service.get("volumes").map(Node::items).unwrap_or_default() {
        match mount.text_at("type") {
            Some("bind" | "volume" | "tmpfs") => {}
            _ => refuse(
                "volumes",
                mount.get("type").unwrap_or(mount),
                "mounts are of the types bind, volume and tmpfs",
            ),
        }
        if let Some(node) = at(mount, &["bind", "recursive"])
            .filter(|node| !matches!(node.as_text(), Some("enabled" | "disabled")))
        {
            refuse(
                "volumes.bind.recursive",
                node,
                "only enabled and disabled are supported",
            );
        }
    }
    for (network, entry) in service
        .get("networks")
        .and_then(Node::as_mapping)
        .into_iter()
        .flatten()
    {
        for key in ["link_local_ips", "driver_opts"] {
            if let Some(node) = entry.value.get(key) {
                refuse(
                    &format!("networks.{network}.{key}"),
                    node,
                    "bridge networks have no such option",
                );
            }
        }
    }
    log_options(name, service, diagnostics);
}

fn log_options(name: &str, service: &Node, diagnostics: &mut Diagnostics) {
    let options = at(service, &["logging", "options"]).and_then(Node::as_mapping);
    for (option, entry) in options.into_iter().flatten() {
        if !["max-size", "max-file", "labels", "env"].contains(&option.as_str()) {
            let path = format!("services.{name}.logging.options.{option}");
            report(
                &path,
                &entry.value,
                Ignored,
                "logs know max-size, max-file, labels and env",
                diagnostics,
            );
        }
    }
}

/// The networks, volumes, secrets and configs that a service uses.
fn resources(project: &Project, service: &Node, diagnostics: &mut Diagnostics) {
    for key in service
        .get("networks")
        .and_then(Node::as_mapping)
        .into_iter()
        .flat_map(|networks| networks.keys())
    {
        let Some(network) = project.node(&["networks", key]) else {
            continue;
        };
        network_values(key, network, diagnostics);
    }
    for source in sources(service, "volumes") {
        let driver = project
            .node(&["volumes", source])
            .and_then(|volume| volume.get("driver"));
        if let Some(driver) = driver.filter(|driver| driver.as_text() != Some("local")) {
            report(
                &format!("volumes.{source}.driver"),
                driver,
                Refused,
                "volumes are of the driver local",
                diagnostics,
            );
        }
    }
    for section in ["secrets", "configs"] {
        for source in sources(service, section) {
            for key in ["external", "driver", "driver_opts", "template_driver"] {
                if let Some(node) = project
                    .node(&[section, source])
                    .and_then(|content| content.get(key))
                {
                    let reason =
                        "there is no cluster that keeps it; use file, environment or content";
                    report(
                        &format!("{section}.{source}.{key}"),
                        node,
                        Refused,
                        reason,
                        diagnostics,
                    );
                }
            }
        }
    }
}

fn sources<'a>(service: &'a Node, key: &str) -> impl Iterator<Item = &'a str> + use<'a> {
    service
        .get(key)
        .map(Node::items)
        .unwrap_or_default()
        .iter()
        .filter_map(|mount| mount.text_at("source"))
}

fn network_values(key: &str, network: &Node, diagnostics: &mut Diagnostics) {
    let mut refuse = |path: &str, node: Option<&Node>, reason: &str| {
        if let Some(node) = node {
            report(
                &format!("networks.{key}.{path}"),
                node,
                Refused,
                reason,
                diagnostics,
            );
        }
    };
    let other =
        |node: &&Node, known: &[&str]| !node.as_text().is_some_and(|text| known.contains(&text));
    refuse(
        "driver",
        network
            .get("driver")
            .filter(|node| other(node, &["bridge"])),
        "networks are of the driver bridge",
    );
    refuse(
        "ipam.driver",
        at(network, &["ipam", "driver"]).filter(|node| other(node, &["default"])),
        "use default",
    );
    refuse(
        "ipam.options",
        at(network, &["ipam", "options"]),
        "addresses are given by lighter itself",
    );
    let off = network
        .get("enable_ipv4")
        .filter(|node| node.as_text() == Some("false"));
    refuse(
        "enable_ipv4",
        off,
        "networks without IPv4 are not supported",
    );
}
