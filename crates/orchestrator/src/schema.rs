//! The key table of the Compose specification: every key, what it may hold, which short forms it has.
//!
//! Nothing here runs. `canonical.rs` walks a tree along this table, reports what does not fit and rewrites what does to
//! the one long form; `support.rs` says which of these keys the engine honours.

use crate::short;
use crate::yaml::Node;

/// What a value may be. "Canonical" is the form that it is rewritten to.
#[derive(Clone, Copy)]
pub enum Shape {
    /// Anything at all, kept as it is.
    Anything,
    /// Text; a bare number or boolean is refused.
    Text,
    /// Text that a function must accept.
    Checked(fn(&str) -> Result<(), String>),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Any single value; canonical: its text.
    Scalar,
    /// A boolean, or text that means one (`"true"`, `yes`, from a variable).
    Flag,
    /// A whole number in a range, or text that holds one.
    Integer(i64, i64),
    /// A number, or text that holds one.
    Number,
    /// A number of bytes, `512m`; canonical: the bytes in decimal, as text.
    Bytes,
    /// Only text, such as `10s`; canonical: as Go prints durations.
    Duration,
    /// A file mode, octal; canonical: text with a leading zero.
    Mode,
    /// `null` or the inner shape.
    Nullable(&'static Shape),
    /// A mapping with these keys.
    Object(&'static Object),
    /// A mapping from names of the user's choice (restricted to `[a-zA-Z0-9._-]`).
    Named(&'static Shape),
    /// A mapping from any keys.
    Free(&'static Shape),
    /// A list.
    List(&'static Shape),
    /// One text or a list of them; canonical: a list.
    TextOrList,
    /// `KEY: value` or `- KEY=value`; canonical: a mapping to text. A key without value stays null, or is empty text.
    KeyValues(Bare),
    /// A command line as one text (split as a shell does), as a list, or null; canonical: a list or null.
    Command,
    /// A health check's test: text means `CMD-SHELL`; canonical: a list.
    Test,
    /// `host: address` or `- host=address`; canonical: a sorted list of `host=address`.
    Hosts,
    /// A list of names or a mapping from names; canonical: a mapping, where a bare name gets the given value.
    NamesOr(&'static Shape, fn(&Node) -> Node),
    /// Text in a short form, or the long form; one short form may stand for several long ones inside a list.
    Short(&'static Object, Expand),
    /// One value or a list of them; canonical: a list.
    OneOrList(&'static Shape),
    /// A single number or the object.
    IntegerOr(&'static Object),
    /// `true`, or the old `{name: x}`.
    External,
    /// A number of devices or `all`; canonical: -1 for all.
    DeviceCount,
    /// Text or a list of texts under any key (provider options); canonical: lists.
    Options,
}

/// Turns the short text of a node into long forms.
pub type Expand = fn(&Node) -> Result<Vec<Node>, String>;

/// What a key without a value means in [`Shape::KeyValues`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Bare {
    /// It stays null: take it from the environment, or leave it unset.
    Unset,
    /// It is the empty text.
    Empty,
}

/// A mapping with known keys.
pub struct Object {
    /// The keys.
    pub fields: &'static [Field],
    /// Keys that must be there.
    pub required: &'static [&'static str],
    /// Whether `x-*` keys are taken too.
    pub extensible: bool,
}

/// One key of an [`Object`].
#[derive(Clone, Copy)]
pub struct Field {
    /// The key.
    pub name: &'static str,
    /// What it may hold.
    pub shape: Shape,
    /// Whether `false`, `0` and the like are different from not being there.
    pub zero_counts: bool,
}

impl Object {
    /// The field of that name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

const fn key(name: &'static str, shape: Shape) -> Field {
    Field {
        name,
        shape,
        zero_counts: false,
    }
}

const fn exact(name: &'static str, shape: Shape) -> Field {
    Field {
        name,
        shape,
        zero_counts: true,
    }
}

const fn object(fields: &'static [Field]) -> Object {
    Object {
        fields,
        required: &[],
        extensible: true,
    }
}

use Shape::{
    Anything, Bytes, Checked, Choice, Command, DeviceCount, Duration, External, Flag, Free, Hosts,
    Integer, IntegerOr, KeyValues, List, Mode, Named, NamesOr, Nullable, Number, Object as Keys,
    OneOrList, Options, Scalar, Short, Test, Text, TextOrList,
};

const WHOLE: Shape = Integer(i64::MIN, i64::MAX);
const COUNT: Shape = Integer(0, i64::MAX);
const TEXTS: Shape = List(&Text);

/// A whole Compose file.
pub static FILE: Object = object(&[
    key("version", Text),
    key("name", Text),
    key("include", List(&Short(&INCLUDE, short::include))),
    key("services", Named(&Keys(&SERVICE))),
    key("models", Named(&Keys(&MODEL))),
    key("networks", Named(&Nullable(&Keys(&NETWORK)))),
    key("volumes", Named(&Nullable(&Keys(&VOLUME)))),
    key("secrets", Named(&Keys(&SECRET))),
    key("configs", Named(&Keys(&CONFIG))),
]);

static INCLUDE: Object = Object {
    fields: &[
        key("path", TextOrList),
        key("env_file", TextOrList),
        key("project_directory", Text),
    ],
    required: &[],
    extensible: false,
};

/// One service.
pub static SERVICE: Object = object(&[
    key("annotations", KeyValues(Bare::Empty)),
    exact("attach", Flag),
    exact("build", Short(&BUILD, short::build)),
    key("blkio_config", Keys(&BLKIO)),
    key("cap_add", TEXTS),
    key("cap_drop", TEXTS),
    key("cgroup", Choice(&["host", "private"])),
    key("cgroup_parent", Text),
    exact("command", Command),
    key("configs", List(&Short(&FILE_MOUNT, short::file_mount))),
    key("container_name", Checked(short::container_name)),
    key("cpu_count", COUNT),
    key("cpu_percent", Number),
    key("cpu_shares", WHOLE),
    key("cpu_quota", WHOLE),
    key("cpu_period", WHOLE),
    key("cpu_rt_period", WHOLE),
    key("cpu_rt_runtime", WHOLE),
    key("cpus", Number),
    key("cpuset", Text),
    key("credential_spec", Keys(&CREDENTIAL_SPEC)),
    key("depends_on", NamesOr(&Keys(&DEPENDENCY), short::dependency)),
    key("deploy", Nullable(&Keys(&DEPLOY))),
    key("develop", Nullable(&Keys(&DEVELOP))),
    key("device_cgroup_rules", TEXTS),
    key("devices", List(&Short(&DEVICE, short::device))),
    key("dns", TextOrList),
    key("dns_opt", TEXTS),
    key("dns_search", TextOrList),
    key("domainname", Text),
    exact("entrypoint", Command),
    key("env_file", OneOrList(&Short(&ENV_FILE, short::env_file))),
    key("environment", KeyValues(Bare::Unset)),
    key("expose", List(&Scalar)),
    key("extends", Short(&EXTENDS, short::extends)),
    key("external_links", TEXTS),
    key("extra_hosts", Hosts),
    key(
        "gpus",
        OneOrList(&Short(&DEVICE_REQUEST_LOOSE, short::gpus)),
    ),
    key("group_add", List(&Scalar)),
    exact("healthcheck", Keys(&HEALTHCHECK)),
    key("hostname", Text),
    key("image", Text),
    exact("init", Flag),
    key("ipc", Text),
    key("isolation", Text),
    key("label_file", TextOrList),
    key("labels", KeyValues(Bare::Empty)),
    key("links", TEXTS),
    exact("logging", Keys(&LOGGING)),
    key("mac_address", Text),
    key("mem_limit", Bytes),
    key("mem_reservation", Bytes),
    key("mem_swappiness", Bytes),
    key("memswap_limit", Bytes),
    key(
        "models",
        NamesOr(&Nullable(&Keys(&SERVICE_MODEL)), short::nothing),
    ),
    key("network_mode", Text),
    key(
        "networks",
        NamesOr(&Nullable(&Keys(&SERVICE_NETWORK)), short::nothing),
    ),
    key("oom_kill_disable", Flag),
    key("oom_score_adj", Integer(-1000, 1000)),
    key("pid", Nullable(&Text)),
    key("pids_limit", WHOLE),
    key("platform", Text),
    key("ports", List(&Short(&PORT, short::port))),
    key("post_start", List(&Keys(&HOOK))),
    key("pre_start", List(&Keys(&PRE_START))),
    key("pre_stop", List(&Keys(&HOOK))),
    key("privileged", Flag),
    key("profiles", TEXTS),
    key("provider", Keys(&PROVIDER)),
    key("pull_policy", Checked(short::pull_policy)),
    key("pull_refresh_after", Text),
    key("read_only", Flag),
    key("restart", Checked(short::restart)),
    key("runtime", Text),
    exact("scale", WHOLE),
    key("secrets", List(&Short(&FILE_MOUNT, short::file_mount))),
    key("security_opt", TEXTS),
    key("shm_size", Bytes),
    key("stdin_open", Flag),
    exact("stop_grace_period", Duration),
    key("stop_signal", Text),
    key("storage_opt", Free(&Scalar)),
    key("sysctls", KeyValues(Bare::Empty)),
    key("tmpfs", TextOrList),
    key("tty", Flag),
    key("ulimits", Free(&IntegerOr(&ULIMIT))),
    key("use_api_socket", Flag),
    key("user", Text),
    key("userns_mode", Text),
    key("uts", Text),
    key("volumes", List(&Short(&MOUNT, short::volume))),
    key("volumes_from", TEXTS),
    key("working_dir", Text),
]);

static BUILD: Object = object(&[
    key("context", Text),
    exact("dockerfile", Text),
    key("dockerfile_inline", Text),
    key("entitlements", TEXTS),
    key("args", KeyValues(Bare::Unset)),
    key("ssh", KeyValues(Bare::Unset)),
    key("labels", KeyValues(Bare::Empty)),
    key("cache_from", TEXTS),
    key("cache_to", TEXTS),
    key("no_cache", Flag),
    key("no_cache_filter", TextOrList),
    key("additional_contexts", KeyValues(Bare::Empty)),
    key("network", Text),
    key("provenance", Scalar),
    key("sbom", Scalar),
    key("pull", Flag),
    key("target", Text),
    key("shm_size", Bytes),
    key("extra_hosts", Hosts),
    key("isolation", Text),
    key("privileged", Flag),
    key("secrets", List(&Short(&FILE_MOUNT, short::file_mount))),
    key("tags", TEXTS),
    key("ulimits", Free(&IntegerOr(&ULIMIT))),
    key("platforms", TEXTS),
]);

static BLKIO: Object = object(&[
    key("device_read_bps", List(&Keys(&THROTTLE))),
    key("device_read_iops", List(&Keys(&THROTTLE))),
    key("device_write_bps", List(&Keys(&THROTTLE))),
    key("device_write_iops", List(&Keys(&THROTTLE))),
    key("weight", COUNT),
    key("weight_device", List(&Keys(&WEIGHT))),
]);

static THROTTLE: Object = Object {
    fields: &[key("path", Text), key("rate", Bytes)],
    required: &[],
    extensible: false,
};
static WEIGHT: Object = Object {
    fields: &[key("path", Text), key("weight", COUNT)],
    required: &[],
    extensible: false,
};

static FILE_MOUNT: Object = object(&[
    key("source", Text),
    key("target", Text),
    key("uid", Text),
    key("gid", Text),
    exact("mode", Mode),
]);

static CREDENTIAL_SPEC: Object = object(&[
    key("config", Text),
    key("file", Text),
    key("registry", Text),
]);

static DEPENDENCY: Object = Object {
    fields: &[
        key("restart", Flag),
        exact("required", Flag),
        key(
            "condition",
            Choice(&[
                "service_started",
                "service_healthy",
                "service_completed_successfully",
            ]),
        ),
    ],
    required: &["condition"],
    extensible: true,
};

static DEPLOY: Object = object(&[
    key("mode", Text),
    key("endpoint_mode", Text),
    exact("replicas", WHOLE),
    key("labels", KeyValues(Bare::Empty)),
    exact("rollback_config", Keys(&UPDATE)),
    exact("update_config", Keys(&UPDATE)),
    exact("resources", Keys(&RESOURCES)),
    exact("restart_policy", Keys(&RESTART_POLICY)),
    exact("placement", Keys(&PLACEMENT)),
]);

static UPDATE: Object = object(&[
    exact("parallelism", COUNT),
    key("delay", Duration),
    key("failure_action", Text),
    key("monitor", Duration),
    key("max_failure_ratio", Number),
    key("order", Choice(&["start-first", "stop-first"])),
]);

static RESOURCES: Object = object(&[
    exact("limits", Keys(&LIMITS)),
    exact("reservations", Keys(&RESERVATIONS)),
]);
static LIMITS: Object = object(&[
    key("cpus", Number),
    key("memory", Bytes),
    key("pids", WHOLE),
]);
static RESERVATIONS: Object = object(&[
    key("cpus", Number),
    key("memory", Bytes),
    key("generic_resources", List(&Keys(&GENERIC_RESOURCE))),
    key("devices", List(&Keys(&DEVICE_REQUEST))),
]);
static GENERIC_RESOURCE: Object = object(&[key("discrete_resource_spec", Keys(&DISCRETE))]);
static DISCRETE: Object = object(&[key("kind", Text), key("value", Number)]);

const DEVICE_REQUEST_FIELDS: &[Field] = &[
    key("capabilities", TEXTS),
    key("count", DeviceCount),
    key("device_ids", TEXTS),
    key("driver", Text),
    key("options", KeyValues(Bare::Empty)),
];
static DEVICE_REQUEST: Object = Object {
    fields: DEVICE_REQUEST_FIELDS,
    required: &["capabilities"],
    extensible: true,
};
static DEVICE_REQUEST_LOOSE: Object = Object {
    fields: DEVICE_REQUEST_FIELDS,
    required: &[],
    extensible: true,
};

static RESTART_POLICY: Object = object(&[
    key("condition", Text),
    exact("delay", Duration),
    exact("max_attempts", COUNT),
    exact("window", Duration),
]);

static PLACEMENT: Object = object(&[
    key("constraints", TEXTS),
    key("preferences", List(&Keys(&PREFERENCE))),
    key("max_replicas_per_node", COUNT),
]);
static PREFERENCE: Object = object(&[key("spread", Text)]);

static DEVELOP: Object = object(&[key("watch", List(&Keys(&WATCH)))]);
static WATCH: Object = Object {
    fields: &[
        key("ignore", TextOrList),
        key("include", TextOrList),
        key("path", Text),
        key(
            "action",
            Choice(&["rebuild", "sync", "restart", "sync+restart", "sync+exec"]),
        ),
        key("target", Text),
        exact("exec", Keys(&HOOK)),
        key("initial_sync", Flag),
    ],
    required: &["path", "action"],
    extensible: true,
};

static DEVICE: Object = Object {
    fields: &[
        key("source", Text),
        key("target", Text),
        key("permissions", Text),
    ],
    required: &["source"],
    extensible: true,
};

static ENV_FILE: Object = Object {
    fields: &[
        key("path", Text),
        key("format", Text),
        exact("required", Flag),
    ],
    required: &["path"],
    extensible: false,
};

static EXTENDS: Object = Object {
    fields: &[key("service", Text), key("file", Text)],
    required: &["service"],
    extensible: false,
};

static HEALTHCHECK: Object = object(&[
    key("disable", Flag),
    exact("interval", Duration),
    exact("retries", COUNT),
    key("test", Test),
    exact("timeout", Duration),
    exact("start_period", Duration),
    exact("start_interval", Duration),
]);

static LOGGING: Object = object(&[
    key("driver", Text),
    key("options", Free(&Nullable(&Scalar))),
]);

static SERVICE_MODEL: Object = object(&[key("endpoint_var", Text), key("model_var", Text)]);

static SERVICE_NETWORK: Object = object(&[
    key("aliases", TEXTS),
    key("interface_name", Text),
    key("ipv4_address", Text),
    key("ipv6_address", Text),
    key("link_local_ips", TEXTS),
    key("mac_address", Text),
    key("driver_opts", Free(&Scalar)),
    key("priority", Number),
    key("gw_priority", Number),
]);

static PORT: Object = object(&[
    key("name", Text),
    key("mode", Text),
    key("host_ip", Checked(short::address)),
    key("target", Integer(0, 65535)),
    key("published", Scalar),
    key("protocol", Text),
    key("app_protocol", Text),
]);

const HOOK_FIELDS: &[Field] = &[
    exact("command", Command),
    key("user", Text),
    key("privileged", Flag),
    key("working_dir", Text),
    key("environment", KeyValues(Bare::Unset)),
];
static HOOK: Object = Object {
    fields: HOOK_FIELDS,
    required: &["command"],
    extensible: true,
};
const PRE_START_FIELDS: &[Field] = &[
    HOOK_FIELDS[0],
    HOOK_FIELDS[1],
    HOOK_FIELDS[2],
    HOOK_FIELDS[3],
    HOOK_FIELDS[4],
    key("image", Text),
    key("per_replica", Flag),
];
static PRE_START: Object = object(PRE_START_FIELDS);

static PROVIDER: Object = Object {
    fields: &[key("type", Text), key("options", Options)],
    required: &["type"],
    extensible: true,
};

static ULIMIT: Object = Object {
    fields: &[exact("soft", WHOLE), exact("hard", WHOLE)],
    required: &["soft", "hard"],
    extensible: true,
};

static MOUNT: Object = Object {
    fields: &[
        key(
            "type",
            Choice(&["bind", "volume", "tmpfs", "cluster", "npipe", "image"]),
        ),
        key("source", Text),
        key("target", Text),
        key("read_only", Flag),
        key("consistency", Text),
        exact("bind", Keys(&BIND)),
        exact("volume", Keys(&MOUNT_VOLUME)),
        exact("tmpfs", Keys(&TMPFS)),
        exact("image", Keys(&MOUNT_IMAGE)),
    ],
    required: &["type"],
    extensible: true,
};
static BIND: Object = object(&[
    key("propagation", Text),
    exact("create_host_path", Flag),
    key(
        "recursive",
        Choice(&["enabled", "disabled", "writable", "readonly"]),
    ),
    key("selinux", Choice(&["z", "Z"])),
]);
static MOUNT_VOLUME: Object = object(&[
    key("labels", KeyValues(Bare::Empty)),
    key("nocopy", Flag),
    key("subpath", Text),
]);
static TMPFS: Object = object(&[key("size", Bytes), key("mode", Integer(0, 0o7777))]);
static MOUNT_IMAGE: Object = object(&[key("subpath", Text)]);

static NETWORK: Object = object(&[
    exact("name", Text),
    key("driver", Text),
    key("driver_opts", Free(&Scalar)),
    exact("ipam", Keys(&IPAM)),
    key("external", External),
    key("internal", Flag),
    exact("enable_ipv4", Flag),
    exact("enable_ipv6", Flag),
    key("attachable", Flag),
    key("labels", KeyValues(Bare::Empty)),
]);
static IPAM: Object = object(&[
    key("driver", Text),
    key("config", List(&Keys(&IPAM_POOL))),
    key("options", Free(&Text)),
]);
static IPAM_POOL: Object = object(&[
    key("subnet", Text),
    key("ip_range", Text),
    key("gateway", Text),
    key("aux_addresses", Free(&Text)),
]);

static VOLUME: Object = object(&[
    exact("name", Text),
    key("driver", Text),
    key("driver_opts", Free(&Scalar)),
    key("external", External),
    key("labels", KeyValues(Bare::Empty)),
]);

static SECRET: Object = object(&[
    exact("name", Text),
    key("environment", Text),
    key("file", Text),
    key("external", External),
    key("labels", KeyValues(Bare::Empty)),
    key("driver", Text),
    key("driver_opts", Free(&Scalar)),
    key("template_driver", Text),
]);

static CONFIG: Object = object(&[
    exact("name", Text),
    key("content", Text),
    key("environment", Text),
    key("file", Text),
    key("external", External),
    key("labels", KeyValues(Bare::Empty)),
    key("template_driver", Text),
]);

static MODEL: Object = Object {
    fields: &[
        key("name", Text),
        key("model", Text),
        key("context_size", WHOLE),
        key("runtime_flags", TEXTS),
    ],
    required: &["model"],
    extensible: true,
};

/// What stands under `x-*`.
pub const EXTENSION: Shape = Anything;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::diagnostic::nearest;

    fn visit(
        object: &'static Object,
        seen: &mut BTreeSet<usize>,
        found: &mut Vec<&'static Object>,
    ) {
        if seen.insert(std::ptr::from_ref(object) as usize) {
            found.push(object);
            object
                .fields
                .iter()
                .for_each(|field| visit_shape(&field.shape, seen, found));
        }
    }

    fn visit_shape(shape: &Shape, seen: &mut BTreeSet<usize>, found: &mut Vec<&'static Object>) {
        match shape {
            Shape::Object(object) | Shape::Short(object, _) | Shape::IntegerOr(object) => {
                visit(object, seen, found)
            }
            Shape::Nullable(inner) | Shape::Named(inner) | Shape::Free(inner) => {
                visit_shape(inner, seen, found)
            }
            Shape::List(inner) | Shape::OneOrList(inner) => visit_shape(inner, seen, found),
            Shape::NamesOr(inner, _) => visit_shape(inner, seen, found),
            _ => {}
        }
    }

    fn objects() -> Vec<&'static Object> {
        let mut found = Vec::new();
        visit(&FILE, &mut BTreeSet::new(), &mut found);
        found
    }

    #[test]
    fn the_table_is_whole() {
        let keys: usize = objects().iter().map(|object| object.fields.len()).sum();
        assert!(keys >= 250, "{keys}");
        assert_eq!(SERVICE.fields.len(), 93);
        for object in objects() {
            let names: BTreeSet<_> = object.fields.iter().map(|field| field.name).collect();
            assert_eq!(
                names.len(),
                object.fields.len(),
                "a key stands twice beside {:?}",
                names.first()
            );
            assert!(object.required.iter().all(|name| names.contains(name)));
        }
    }

    /// Each key with each of its letters missing is answered with the key, unless the rest is a key itself or as near
    /// to another one.
    #[test]
    fn every_misspelt_key_is_recognised() {
        let mut wrong = Vec::new();
        for object in objects() {
            for name in object
                .fields
                .iter()
                .map(|field| field.name)
                .filter(|name| name.len() > 3)
            {
                for at in 0..name.len() {
                    let misspelt = format!("{}{}", &name[..at], &name[at + 1..]);
                    let known = |word: &str| object.field(word).is_some();
                    let answer = nearest(&misspelt, object.fields.iter().map(|field| field.name));
                    let as_near =
                        answer.is_some_and(|other| other.len().abs_diff(misspelt.len()) <= 1);
                    if !known(&misspelt) && answer != Some(name) && !(as_near && answer.is_some()) {
                        wrong.push((misspelt, name, answer));
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}
