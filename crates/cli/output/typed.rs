//! What Go's types add to JSON: docker runs `inspect` templates over typed structs, where a value that is not there still
//! has a type.
//!
//! In come the name of a field and whole objects; out go what Go prints for a nil of that type, and objects in which
//! every field that docker leaves out of its JSON is there.

use serde_json::{Value, json};

/// Fields that hold a list.
const LISTS: &[&str] = &[
    "Aliases",
    "Binds",
    "BlkioDeviceReadBps",
    "BlkioDeviceReadIOps",
    "BlkioDeviceWriteBps",
    "BlkioDeviceWriteIOps",
    "BlkioWeightDevice",
    "CapAdd",
    "CapDrop",
    "Cmd",
    "DNSNames",
    "DeviceCgroupRules",
    "DeviceRequests",
    "Devices",
    "Dns",
    "DnsOptions",
    "DnsSearch",
    "Entrypoint",
    "Env",
    "ExecIDs",
    "ExtraHosts",
    "GroupAdd",
    "Links",
    "MaskedPaths",
    "OnBuild",
    "ReadonlyPaths",
    "RepoDigests",
    "RepoTags",
    "SecurityOpt",
    "Shell",
    "Ulimits",
    "VolumesFrom",
];

/// Fields that hold names with values.
const MAPS: &[&str] = &[
    "ExposedPorts",
    "Labels",
    "Options",
    "PortBindings",
    "Ports",
    "Sysctls",
    "Tmpfs",
    "Volumes",
];

/// Fields that hold a pointer.
const POINTERS: &[&str] = &[
    "Health",
    "Healthcheck",
    "IPAMConfig",
    "Init",
    "MemorySwappiness",
    "OomKillDisable",
    "PidsLimit",
    "StopTimeout",
];

/// What Go prints for a nil in the field of this name, when the field has a type.
pub fn nil(field: &str) -> Option<&'static str> {
    [(LISTS, "[]"), (MAPS, "map[]"), (POINTERS, "<nil>")]
        .into_iter()
        .find_map(|(fields, shown)| fields.contains(&field).then_some(shown))
}

/// The object with the fields that docker's JSON leaves out when they are empty.
pub fn whole(object: &Value) -> Value {
    let mut object = object.clone();
    fill(&mut object, "State", &[("Health", Value::Null)]);
    let config = [
        ("ExposedPorts", Value::Null),
        ("Healthcheck", Value::Null),
        ("MacAddress", json!("")),
        ("NetworkDisabled", json!(false)),
        ("OnBuild", Value::Null),
        ("Shell", Value::Null),
        ("StopSignal", json!("")),
        ("StopTimeout", Value::Null),
    ];
    fill(&mut object, "Config", &config);
    let host = [
        ("Annotations", Value::Null),
        ("Init", Value::Null),
        ("Mounts", json!([])),
        ("StorageOpt", json!({})),
        ("Sysctls", json!({})),
        ("Tmpfs", json!({})),
    ];
    fill(&mut object, "HostConfig", &host);
    object
}

fn fill(object: &mut Value, part: &str, defaults: &[(&str, Value)]) {
    if let Some(Value::Object(part)) = object.get_mut(part) {
        for (key, value) in defaults {
            part.entry(*key).or_insert_with(|| value.clone());
        }
    }
}
