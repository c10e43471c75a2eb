//! Reads the specification's JSON, where the crate with its types spells a name in its own way.
//!
//! In: `config.json`, or a process of it. Out: the types of `oci_spec`. What is written back
//! (`Bundle::keep`) has the crate's spelling and is read here too.

use serde::de::DeserializeOwned;
use serde_json::Value;

/// Names of config.md and what `oci_spec` calls them.
const NAMES: [(&str, &str); 2] = [
    ("SCHED_FLAG_RESET_ON_FORK", "SCHED_RESET_ON_FORK"),
    ("SCHED_FLAG_DL_OVERRUN", "SCHED_FLAG_D_L_OVERRUN"),
];

/// Parse a configuration or a part of one.
///
/// # Errors
/// What is not JSON, or not of this type.
pub fn parse<T: DeserializeOwned>(text: &[u8]) -> serde_json::Result<T> {
    let holds = |name: &str| text.windows(name.len()).any(|part| part == name.as_bytes());
    if !NAMES.iter().any(|(name, _)| holds(name)) {
        return serde_json::from_slice(text);
    }
    let mut json = serde_json::from_slice(text)?;
    rename_flags(&mut json);
    serde_json::from_value(json)
}

/// `process.scheduler.flags` of a configuration, `scheduler.flags` of a process.
fn rename_flags(json: &mut Value) {
    let process = if json["process"].is_object() {
        &mut json["process"]
    } else {
        json
    };
    let Some(flags) = process
        .pointer_mut("/scheduler/flags")
        .and_then(Value::as_array_mut)
    else {
        return;
    };
    for flag in flags {
        let own = NAMES.iter().find(|(name, _)| flag == name);
        if let Some((_, own)) = own {
            *flag = (*own).into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specifications_scheduler_flags_are_understood() {
        let text = br#"{"ociVersion": "1.2.0", "process": {"cwd": "/", "user": {"uid": 0, "gid": 0},
            "args": ["true"], "scheduler": {"policy": "SCHED_DEADLINE",
            "flags": ["SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_DL_OVERRUN", "SCHED_FLAG_RECLAIM"]}}}"#;
        let spec: oci_spec::runtime::Spec = parse(text).unwrap();
        let process = spec.process().clone().unwrap();
        let flags = process.scheduler().as_ref().unwrap().flags().clone();
        assert_eq!(flags.unwrap().len(), 3);
        let again: oci_spec::runtime::Process =
            parse(&serde_json::to_vec(&process).unwrap()).unwrap();
        assert_eq!(again, process);
    }
}
