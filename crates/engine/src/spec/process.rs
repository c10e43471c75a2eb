//! The process: arguments, environment, user, working directory, limits.

use std::path::PathBuf;

use oci_spec::runtime::{
    PosixRlimit, PosixRlimitBuilder, PosixRlimitType, Process, ProcessBuilder, UserBuilder,
};

use super::{Surroundings, sandbox};
use crate::config::{ContainerConfig, Ulimit};
use crate::merge::lay_environment;
use crate::user::User;
use crate::{Error, Result};

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// podman's limit of open files; docker inherits whatever started its daemon.
const NOFILE: u64 = 1 << 20;

/// The container's first process.
pub(super) fn process(config: &ContainerConfig, around: &Surroundings) -> Result<Process> {
    let arguments = config.arguments();
    if arguments.first().is_none_or(String::is_empty) {
        return Err(Error::invalid(
            "command",
            arguments.join(" "),
            "neither the image nor the command line names a program: put one after the image",
        ));
    }
    for text in arguments.iter().chain(&config.env) {
        refuse_nul(text)?;
    }
    let mut process = ProcessBuilder::default()
        .terminal(config.tty)
        .args(arguments)
        .env(environment(config, &around.id, &around.user))
        .cwd(directory(config.workdir.as_deref())?)
        .user(user(config, &around.user)?)
        .capabilities(sandbox::capabilities(config, around.user.uid)?)
        .rlimits(rlimits(&config.resources.ulimits, around)?)
        .no_new_privileges(sandbox::no_new_privileges(config)?)
        .build()?;
    process.set_oom_score_adj(config.resources.oom_score_adj.or(Some(0)));
    process.set_apparmor_profile(sandbox::apparmor(config));
    process.set_selinux_label(sandbox::selinux(config)?);
    Ok(process)
}

/// One more process of a running container.
pub(crate) fn exec_process(
    config: &ContainerConfig,
    around: &Surroundings,
    arguments: Vec<String>,
) -> Result<Process> {
    let config = ContainerConfig {
        entrypoint: None,
        command: Some(arguments),
        ..config.clone()
    };
    process(&config, around)
}

fn environment(config: &ContainerConfig, id: &str, user: &User) -> Vec<String> {
    let mut first = vec![PATH.to_owned()];
    first.extend(sandbox::hostname(config, id).map(|name| format!("HOSTNAME={name}")));
    if config.tty {
        first.push("TERM=xterm".to_owned());
    }
    let mut sum = lay_environment(&first, &config.env);
    if !sum.iter().any(|variable| variable.starts_with("HOME=")) {
        sum.push(format!("HOME={}", user.home));
    }
    sum
}

fn directory(wish: Option<&str>) -> Result<PathBuf> {
    let path = wish.filter(|path| !path.is_empty()).unwrap_or("/");
    refuse_nul(path)?;
    if path.starts_with('/') {
        Ok(PathBuf::from(path))
    } else {
        Err(Error::invalid(
            "working directory",
            path,
            "it must be absolute",
        ))
    }
}

fn user(config: &ContainerConfig, user: &User) -> Result<oci_spec::runtime::User> {
    let builder = UserBuilder::default()
        .uid(user.uid)
        .gid(user.gid)
        .additional_gids(user.groups.clone())
        .umask(config.umask.unwrap_or(0o022));
    Ok(builder.build()?)
}

fn rlimits(wishes: &[Ulimit], around: &Surroundings) -> Result<Vec<PosixRlimit>> {
    let mut limits = Vec::new();
    if !wishes.iter().any(|wish| wish.name == "nofile") {
        let most = NOFILE.min(around.host.nofile);
        limits.push(rlimit(PosixRlimitType::RlimitNofile, most, most)?);
    }
    for wish in wishes {
        let kind = rlimit_kind(&wish.name)?;
        let value = |n: i64| u64::try_from(n).unwrap_or(u64::MAX);
        let (soft, hard) = (value(wish.soft), value(wish.hard));
        if soft > hard {
            return Err(Error::invalid(
                "ulimit",
                format!("{}={}:{}", wish.name, wish.soft, wish.hard),
                "the soft limit is above the hard limit",
            ));
        }
        limits.push(rlimit(kind, soft, hard)?);
    }
    Ok(limits)
}

fn rlimit(kind: PosixRlimitType, soft: u64, hard: u64) -> Result<PosixRlimit> {
    Ok(PosixRlimitBuilder::default()
        .typ(kind)
        .soft(soft)
        .hard(hard)
        .build()?)
}

fn rlimit_kind(name: &str) -> Result<PosixRlimitType> {
    Ok(match name {
        "core" => PosixRlimitType::RlimitCore,
        "cpu" => PosixRlimitType::RlimitCpu,
        "data" => PosixRlimitType::RlimitData,
        "fsize" => PosixRlimitType::RlimitFsize,
        "locks" => PosixRlimitType::RlimitLocks,
        "memlock" => PosixRlimitType::RlimitMemlock,
        "msgqueue" => PosixRlimitType::RlimitMsgqueue,
        "nice" => PosixRlimitType::RlimitNice,
        "nofile" => PosixRlimitType::RlimitNofile,
        "nproc" => PosixRlimitType::RlimitNproc,
        "rss" => PosixRlimitType::RlimitRss,
        "rtprio" => PosixRlimitType::RlimitRtprio,
        "rttime" => PosixRlimitType::RlimitRttime,
        "sigpending" => PosixRlimitType::RlimitSigpending,
        "stack" => PosixRlimitType::RlimitStack,
        _ => {
            return Err(Error::invalid(
                "ulimit",
                name,
                "no such limit (getrlimit(2) lists them)",
            ));
        }
    })
}

fn refuse_nul(text: &str) -> Result<()> {
    if text.contains('\0') {
        return Err(Error::invalid(
            "value",
            text.replace('\0', "\\0"),
            "it holds a NUL byte",
        ));
    }
    Ok(())
}
