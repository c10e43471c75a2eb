//! A profile from a file: docker's form (with `includes`, `excludes` and `archMap`) or the runtime spec's.

use oci_spec::runtime::{Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSyscall};
use serde::Deserialize;

use crate::{Error, Result};

const LIMIT: usize = 1 << 20;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    default_action: LinuxSeccompAction,
    #[serde(default)]
    default_errno_ret: Option<u32>,
    #[serde(default)]
    architectures: Vec<Arch>,
    #[serde(default)]
    arch_map: Vec<ArchMap>,
    #[serde(default)]
    syscalls: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchMap {
    architecture: Arch,
    #[serde(default)]
    sub_architectures: Option<Vec<Arch>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    names: Vec<String>,
    action: LinuxSeccompAction,
    #[serde(default)]
    errno_ret: Option<u32>,
    #[serde(default)]
    args: Option<Vec<LinuxSeccompArg>>,
    #[serde(default)]
    includes: Filter,
    #[serde(default)]
    excludes: Filter,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Filter {
    #[serde(default)]
    caps: Vec<String>,
    #[serde(default)]
    arches: Vec<String>,
}

#[cfg(target_arch = "x86_64")]
const HERE: (Arch, &str) = (Arch::ScmpArchX86_64, "amd64");
#[cfg(target_arch = "aarch64")]
const HERE: (Arch, &str) = (Arch::ScmpArchAarch64, "arm64");

/// Reads a profile: JSON itself, or the path of a file that holds it. `held` are the capabilities of the container.
pub(super) fn profile(text: &str, held: &[String]) -> Result<LinuxSeccomp> {
    let refuse = |why: String| Error::invalid("seccomp profile", shorten(text), why);
    let json = if text.trim_start().starts_with('{') {
        text.to_owned()
    } else {
        std::fs::read_to_string(text).map_err(|e| refuse(e.to_string()))?
    };
    if json.len() > LIMIT {
        return Err(refuse("it is larger than 1 MiB".into()));
    }
    let profile: Profile = serde_json::from_str(&json).map_err(|e| refuse(e.to_string()))?;
    let mut out = LinuxSeccomp::default();
    out.set_default_action(profile.default_action);
    out.set_default_errno_ret(profile.default_errno_ret);
    out.set_architectures(Some(architectures(&profile)));
    let rules = profile
        .syscalls
        .into_iter()
        .filter(|rule| applies(rule, held));
    out.set_syscalls(Some(rules.map(syscall).collect::<Result<_>>()?));
    Ok(out)
}

fn architectures(profile: &Profile) -> Vec<Arch> {
    match profile
        .arch_map
        .iter()
        .find(|map| map.architecture == HERE.0)
    {
        Some(map) => std::iter::once(HERE.0)
            .chain(map.sub_architectures.iter().flatten().copied())
            .collect(),
        None => profile.architectures.clone(),
    }
}

fn applies(rule: &Rule, held: &[String]) -> bool {
    let holds = |name: &String| {
        held.iter()
            .any(|h| Some(h.as_str()) == name.strip_prefix("CAP_"))
    };
    let here = |name: &String| name == HERE.1;
    let included = (rule.includes.caps.is_empty() || rule.includes.caps.iter().all(holds))
        && (rule.includes.arches.is_empty() || rule.includes.arches.iter().any(here));
    included && !rule.excludes.caps.iter().any(holds) && !rule.excludes.arches.iter().any(here)
}

fn syscall(rule: Rule) -> Result<LinuxSyscall> {
    let mut out = LinuxSyscall::default();
    out.set_names(rule.names.into_iter().chain(rule.name).collect());
    out.set_action(rule.action);
    out.set_errno_ret(rule.errno_ret);
    out.set_args(rule.args.filter(|args| !args.is_empty()));
    Ok(out)
}

fn shorten(text: &str) -> String {
    text.chars().take(60).collect()
}
