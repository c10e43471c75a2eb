//! `linux.resources.devices` as rules for the device cgroup.
//!
//! In: the OCI rules, of which the last that matches decides. Out: the same rules for the kernel,
//! between a denial of everything and the devices that every container has (config-linux.md,
//! Default devices), as runc and crun do it. v2 takes them as an eBPF program, v1 as lines.

use kernel::op::DeviceRule;
use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType, LinuxResources};

use super::config;
use crate::Error;

/// What a container may always use: kind, major and minor number.
const DEFAULT_DEVICES: [(char, u32, Option<u32>); 9] = [
    ('c', 1, Some(3)), // null
    ('c', 1, Some(5)), // zero
    ('c', 1, Some(7)), // full
    ('c', 1, Some(8)), // random
    ('c', 1, Some(9)), // urandom
    ('c', 5, Some(0)), // tty
    ('c', 5, Some(1)), // console
    ('c', 5, Some(2)), // ptmx
    ('c', 136, None),  // the terminals of devpts
];

/// The rules for a container, first to last; empty when every device is allowed.
///
/// # Errors
/// [`Error::Config`] for a rule that names no device, or no access.
pub fn rules(resources: Option<&LinuxResources>) -> Result<Vec<DeviceRule>, Error> {
    let listed = resources
        .and_then(|r| r.devices().as_deref())
        .unwrap_or_default();
    let mut rules = vec![DeviceRule {
        allow: false,
        kind: 'a',
        major: None,
        minor: None,
        access: "rwm".to_owned(),
    }];
    for (index, rule) in listed.iter().enumerate() {
        rules.push(convert(rule, &format!("devices[{index}]"))?);
    }
    // Everything, and nothing taken back: such a group needs no rules at all.
    let last_of_all = rules.iter().rposition(is_everything).unwrap_or_default();
    if rules[last_of_all..].iter().all(|rule| rule.allow) {
        return Ok(Vec::new());
    }
    // A rule for everything makes void what stands before it, here and in v1's files alike.
    rules.drain(..last_of_all);
    rules.extend(defaults());
    Ok(without_repeats(&rules))
}

/// The last that matches decides, so of equal rules only the last counts: engines list the defaults too.
fn without_repeats(rules: &[DeviceRule]) -> Vec<DeviceRule> {
    let lasting = |(index, rule): &(usize, &DeviceRule)| !rules[index + 1..].contains(rule);
    let kept = rules.iter().enumerate().filter(lasting);
    kept.map(|(_, rule)| rule.clone()).collect()
}

/// Nodes of any device may be made, as runc allows it: the runtime itself makes those of
/// `linux.devices` from inside the group, and to make a node is not yet to open it.
fn defaults() -> impl Iterator<Item = DeviceRule> {
    let nodes = ['b', 'c'].map(|kind| (kind, None, None, "m"));
    let devices = DEFAULT_DEVICES.map(|(kind, major, minor)| (kind, Some(major), minor, "rwm"));
    nodes
        .into_iter()
        .chain(devices)
        .map(|(kind, major, minor, access)| DeviceRule {
            allow: true,
            kind,
            major,
            minor,
            access: access.to_owned(),
        })
}

fn is_everything(rule: &DeviceRule) -> bool {
    let whole_access = ['r', 'w', 'm']
        .iter()
        .all(|letter| rule.access.contains(*letter));
    rule.kind == 'a' && rule.major.is_none() && rule.minor.is_none() && whole_access
}

fn convert(rule: &LinuxDeviceCgroup, field: &str) -> Result<DeviceRule, Error> {
    let kind = match rule.typ() {
        None | Some(LinuxDeviceType::A) => 'a',
        Some(LinuxDeviceType::B) => 'b',
        Some(LinuxDeviceType::C | LinuxDeviceType::U) => 'c',
        Some(LinuxDeviceType::P) => return Err(config(field, "a FIFO is not a device")),
    };
    let access = rule.access().clone().unwrap_or_default();
    if let Some(letter) = access.chars().find(|letter| !"rwm".contains(*letter)) {
        return Err(config(
            field,
            format!("access {letter:?} is none of r, w, m"),
        ));
    }
    // Of the kind "all" the numbers mean nothing, and access left out is every access.
    let numbers = |n: Option<i64>| n.filter(|_| kind != 'a').filter(|n| *n >= 0);
    let number =
        |n| u32::try_from(n).map_err(|_| config(field, format!("{n} is no device number")));
    Ok(DeviceRule {
        allow: rule.allow(),
        kind,
        major: numbers(rule.major()).map(number).transpose()?,
        minor: numbers(rule.minor()).map(number).transpose()?,
        access: if access.is_empty() {
            "rwm".to_owned()
        } else {
            access
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::device_program::legacy_line;

    fn written(json: serde_json::Value) -> String {
        let resources: LinuxResources = serde_json::from_value(json).unwrap();
        match rules(Some(&resources)) {
            Ok(rules) => {
                let line = |r: &DeviceRule| {
                    format!("{} {}", if r.allow { '+' } else { '-' }, legacy_line(r))
                };
                rules.iter().map(line).collect::<Vec<_>>().join("\n")
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_is_listed_stands_between_nothing_and_the_defaults() {
        insta::assert_snapshot!(written(serde_json::json!({"devices": [
            {"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw"},
            {"allow": true, "type": "b", "major": 8, "access": "r"},
        ]})), @r"
        - a *:* rwm
        + c 10:229 rw
        + b 8:* r
        + b *:* m
        + c *:* m
        + c 1:3 rwm
        + c 1:5 rwm
        + c 1:7 rwm
        + c 1:8 rwm
        + c 1:9 rwm
        + c 5:0 rwm
        + c 5:1 rwm
        + c 5:2 rwm
        + c 136:* rwm
        ");
    }

    #[test]
    fn a_container_that_may_use_every_device_needs_no_rules() {
        let all = serde_json::json!({"devices": [
            {"allow": false, "access": "rwm"},
            {"allow": true, "type": "a", "access": "rwm"},
            {"allow": true, "type": "c", "major": 1, "minor": 3, "access": "r"},
        ]});
        assert_eq!(written(all), "");
    }

    #[test]
    fn of_equal_rules_the_last_is_kept() {
        let twice = serde_json::json!({"devices": [
            {"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm"},
            {"allow": false, "type": "c", "major": 1, "minor": 3, "access": "rwm"},
        ]});
        assert!(
            written(twice)
                .starts_with("- a *:* rwm\n- c 1:3 rwm\n+ b *:* m\n+ c *:* m\n+ c 1:3 rwm")
        );
    }

    #[test]
    fn what_is_taken_back_from_everything_stays() {
        let most = serde_json::json!({"devices": [
            {"allow": true},
            {"allow": false, "type": "b", "major": 8, "minor": -1, "access": "w"},
        ]});
        assert!(written(most).starts_with("+ a *:* rwm\n- b 8:* w\n+ b *:* m"));
    }

    #[test]
    fn rules_about_no_device_are_refused() {
        let fifo = serde_json::json!({"devices": [{"allow": true, "type": "p"}]});
        assert_eq!(
            written(fifo),
            "config.json: linux.resources.devices[0]: a FIFO is not a device"
        );
        let access = serde_json::json!({"devices": [{"allow": true, "type": "c", "access": "rx"}]});
        assert_eq!(
            written(access),
            "config.json: linux.resources.devices[0]: access 'x' is none of r, w, m"
        );
    }
}
