//! `exec`: a further process in a running container.
//!
//! In: a process as JSON (`--process`), or a command whose surroundings are those of the
//! container's own program with the options' changes. Out: the process; without `--detach` its
//! exit code. Errors are 255, to be told from an exit code of the process.

use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use oci_spec::runtime::{Capabilities, Capability, LinuxCapabilities, Process, User};
use runtime::{Container, ExecRequest, Status};

use super::create::{check_terminal, protect, stdio, tell};
use super::options::{End, Given, switch, value};
use super::{Call, Verb, foreground};

pub(super) const VERB: Verb = Verb {
    name: "exec",
    usage: "ID COMMAND [ARGUMENT...]",
    about: "Start a further process in a container",
    flags: &[
        value("process", "FILE", "The whole process as JSON").or("p"),
        value("cwd", "DIR", "Working directory"),
        value("env", "NAME=VALUE", "Set a variable of the environment").or("e"),
        switch("tty", "Give it a terminal").or("t"),
        value("user", "UID[:GID]", "User and group").or("u"),
        value("additional-gids", "GID", "Further group").or("g"),
        value("cap", "NAME", "Further capability").or("c"),
        switch("no-new-privs", "It can gain no privileges"),
        value("apparmor", "PROFILE", "AppArmor profile"),
        value("process-label", "LABEL", "SELinux label"),
        value(
            "console-socket",
            "SOCKET",
            "Socket that gets the terminal's other end",
        ),
        value(
            "pidfd-socket",
            "SOCKET",
            "Socket that gets a pidfd of the process",
        ),
        value("pid-file", "FILE", "File that the process id is written to"),
        value(
            "preserve-fds",
            "N",
            "How many descriptors after stderr stay open",
        ),
        value("cgroup", "PATH", "Cgroup below the container's own"),
        switch(
            "ignore-paused",
            "Start it in a paused container too, where it waits",
        ),
        switch("detach", "Do not stay beside the process").or("d"),
    ],
    end: End::SecondWord,
    run,
    failure: 255,
};

fn run(call: &Call, given: &Given) -> anyhow::Result<ExitCode> {
    protect()?;
    let (id, command) = given.id(usize::MAX)?;
    let container = call.container(id)?;
    if container.status()? == Status::Paused && !given.switch("ignore-paused")? {
        bail!("cannot exec in a paused container (use --ignore-paused to override)");
    }
    let process = process(&container, given, command)?;
    let detach = given.switch("detach")?;
    let terminal = process.terminal() == Some(true);
    let console_socket = given.path("console-socket");
    check_terminal(terminal, detach, console_socket.is_some())?;
    let request = ExecRequest {
        process,
        preserve_fds: given.parsed("preserve-fds")?.unwrap_or(0),
        cgroup: given.path("cgroup").map(below).transpose()?,
        ignore_paused: given.switch("ignore-paused")?,
    };
    let signals = foreground::prepare()?;
    let child = container.exec(&request, stdio(terminal, console_socket.as_deref())?)?;
    let told = tell(
        &child,
        given.path("pid-file").as_deref(),
        given.path("pidfd-socket").as_deref(),
    );
    if let Err(error) = told {
        kernel::process::kill(std::os::fd::AsFd::as_fd(&child.pidfd));
        return Err(error);
    }
    if detach {
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::from(foreground::wait(child, &signals)?))
}

fn process(
    container: &Container,
    given: &Given,
    command: &[std::ffi::OsString],
) -> anyhow::Result<Process> {
    if let Some(file) = given.path("process") {
        return read(&file);
    }
    if command.is_empty() {
        bail!("the command is missing");
    }
    let bundle = container.bundle()?;
    let mut process = bundle
        .spec
        .process()
        .clone()
        .context("the container has no process")?;
    let utf8 = |word: &std::ffi::OsString| {
        word.to_str()
            .map(str::to_owned)
            .context("an argument is not UTF-8")
    };
    process.set_args(Some(
        command.iter().map(utf8).collect::<anyhow::Result<_>>()?,
    ));
    process.set_terminal(Some(given.switch("tty")?));
    if let Some(cwd) = given.path("cwd") {
        process.set_cwd(cwd);
    }
    if given.value("no-new-privs").is_some() {
        process.set_no_new_privileges(Some(given.switch("no-new-privs")?));
    }
    if let Some(profile) = given.text("apparmor")? {
        process.set_apparmor_profile(Some(profile));
    }
    if let Some(label) = given.text("process-label")? {
        process.set_selinux_label(Some(label));
    }
    let mut env = process.env().clone().unwrap_or_default();
    env.extend(given.texts("env")?);
    process.set_env(Some(env));
    process.set_user(user(process.user(), given)?);
    process.set_capabilities(capabilities(
        process.capabilities().as_ref(),
        &given.texts("cap")?,
    )?);
    Ok(process)
}

fn read(file: &Path) -> anyhow::Result<Process> {
    let text = fs::read(file).with_context(|| format!("read {}", file.display()))?;
    runtime::json::parse(&text).with_context(|| format!("{} is not a process", file.display()))
}

/// A group below the container's own, and no other.
fn below(path: PathBuf) -> anyhow::Result<PathBuf> {
    let leaves = path.components().any(|part| part == Component::ParentDir);
    anyhow::ensure!(
        !leaves,
        "--cgroup {}: it is not below the container's own cgroup",
        path.display()
    );
    Ok(path)
}

/// Numbers only: names are looked up by who calls a runtime.
fn user(before: &User, given: &Given) -> anyhow::Result<User> {
    let mut user = before.clone();
    if let Some(text) = given.text("user")? {
        let (uid, gid) = match text.split_once(':') {
            Some((uid, gid)) => (uid, Some(gid)),
            None => (text.as_str(), None),
        };
        user.set_uid(id(uid)?);
        if let Some(gid) = gid {
            user.set_gid(id(gid)?);
        }
    }
    let mut groups = user.additional_gids().clone().unwrap_or_default();
    for text in given.texts("additional-gids")? {
        groups.push(id(&text)?);
    }
    user.set_additional_gids(Some(groups));
    Ok(user)
}

/// A user or group id in decimal; the largest 32-bit number means "none" to the kernel.
fn id(text: &str) -> anyhow::Result<u32> {
    let is_plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let id = text.parse().ok().filter(|id| is_plain && *id != u32::MAX);
    id.with_context(|| format!("{text:?} is not the number of a user or group"))
}

/// Adds capabilities to the sets that matter at once, and to the ambient set only where the
/// container's own program has inheritable ones, as the kernel asks for.
fn capabilities(
    before: Option<&LinuxCapabilities>,
    more: &[String],
) -> anyhow::Result<Option<LinuxCapabilities>> {
    if more.is_empty() {
        return Ok(before.cloned());
    }
    let names = more
        .iter()
        .map(|name| capability(name))
        .collect::<anyhow::Result<Capabilities>>()?;
    let mut sets = before.cloned().unwrap_or_default();
    let joined = |set: &Option<Capabilities>| {
        Some(
            set.iter()
                .flatten()
                .chain(&names)
                .copied()
                .collect::<Capabilities>(),
        )
    };
    sets.set_bounding(joined(sets.bounding()));
    sets.set_effective(joined(sets.effective()));
    sets.set_permitted(joined(sets.permitted()));
    if sets
        .inheritable()
        .as_ref()
        .is_some_and(|set| !set.is_empty())
    {
        sets.set_ambient(joined(sets.ambient()));
    }
    Ok(Some(sets))
}

fn capability(name: &str) -> anyhow::Result<Capability> {
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
    short
        .parse()
        .ok()
        .with_context(|| format!("unknown capability {name:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_decimal_numbers_and_nothing_else() {
        assert_eq!(id("1000").unwrap(), 1000);
        for wrong in [
            "",
            "+1",
            "-1",
            "0x0",
            "1 ",
            "root",
            "4294967295",
            "4294967296",
        ] {
            assert!(id(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn capabilities_are_added_to_those_of_the_container() {
        let before: LinuxCapabilities =
            serde_json::from_value(serde_json::json!({"bounding": ["CAP_CHOWN"]})).unwrap();
        let after = capabilities(Some(&before), &["CAP_NET_RAW".into(), "kill".into()])
            .unwrap()
            .unwrap();
        assert_eq!(after.bounding().as_ref().unwrap().len(), 3);
        assert_eq!(after.effective().as_ref().unwrap().len(), 2);
        assert_eq!(after.ambient().as_ref().map(|set| set.len()), None);
        assert!(capabilities(None, &["CAP_NOTHING".into()]).is_err());
    }
}
