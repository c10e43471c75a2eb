//! `create` and `run`: a bundle becomes a container.
//!
//! In: a bundle's directory, an id, and where streams and terminal lead. Out: a container that
//! waits for `start`, or that runs; `run` without `--detach` stays until it ends and has its exit
//! code.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use runtime::{Attach, Bundle, Child, Container, Stdio};

use super::options::{End, Flag, Given, switch, value};
use super::{Call, Verb, foreground};

macro_rules! flags {
    ($($more:expr),*) => {
        &[
            value("bundle", "DIR", "Directory of the bundle (default: the working directory)").or("b"),
            value("config", "FILE", "The configuration, when it is not the bundle's config.json").or("f"),
            value("console-socket", "SOCKET", "Socket that gets the terminal's other end"),
            value("pidfd-socket", "SOCKET", "Socket that gets a pidfd of the process"),
            value("pid-file", "FILE", "File that the process id is written to"),
            switch("no-pivot", "Change the root without pivot_root(2)"),
            switch("no-new-keyring", "Keep the session keyring of the caller"),
            value("preserve-fds", "N", "How many descriptors after stderr stay open"),
            $($more),*
        ]
    };
}

const CREATE_FLAGS: &[Flag] = flags![];
const RUN_FLAGS: &[Flag] = flags![
    switch("detach", "Do not stay beside the container").or("d"),
    switch("keep", "Do not delete the container when it ends"),
    switch(
        "no-subreaper",
        "Do not adopt orphans; this runtime never does"
    )
];

pub(super) const CREATE: Verb = Verb {
    name: "create",
    usage: "ID",
    about: "Create a container",
    flags: CREATE_FLAGS,
    end: End::Never,
    run: create,
    failure: 1,
};

pub(super) const RUN: Verb = Verb {
    name: "run",
    usage: "ID",
    about: "Create a container and start it",
    flags: RUN_FLAGS,
    end: End::Never,
    run,
    failure: 1,
};

/// Go on from a copy of this program that no container can write (CVE-2019-5736). Before anything
/// is opened: it starts again.
///
/// # Errors
/// When there is neither overlayfs nor memory for a copy.
pub(super) fn protect() -> anyhow::Result<()> {
    kernel::protect::ensure().context("cannot run from a copy that containers cannot write")
}

fn create(call: &Call, given: &Given) -> anyhow::Result<ExitCode> {
    protect()?;
    let wish = Wish::read(call, given, true)?;
    let (container, child) =
        Container::create(&call.states, &wish.bundle, &wish.attach, wish.stdio()?)?;
    wish.tell(container, &child)?;
    Ok(ExitCode::SUCCESS)
}

fn run(call: &Call, given: &Given) -> anyhow::Result<ExitCode> {
    protect()?;
    let detach = given.switch("detach")?;
    let wish = Wish::read(call, given, detach)?;
    let signals = foreground::prepare()?;
    let (container, child) =
        Container::run(&call.states, &wish.bundle, &wish.attach, wish.stdio()?)?;
    let container = wish.tell(container, &child)?;
    if detach {
        return Ok(ExitCode::SUCCESS);
    }
    let code = foreground::wait(child, &signals);
    if !given.switch("keep")? {
        call.warn(container.delete(true)?);
    }
    Ok(ExitCode::from(code?))
}

/// What the command line of `create`, `run` and `restore` asks for.
pub(super) struct Wish {
    pub(super) bundle: Bundle,
    pub(super) attach: Attach,
    terminal: bool,
    console_socket: Option<PathBuf>,
    pidfd_socket: Option<PathBuf>,
    pid_file: Option<PathBuf>,
}

impl Wish {
    pub(super) fn read(call: &Call, given: &Given, detach: bool) -> anyhow::Result<Wish> {
        let (id, _) = given.id(0)?;
        let dir = given.path("bundle").unwrap_or_else(|| ".".into());
        let bundle = match given.path("config") {
            None => Bundle::load(&dir)?,
            Some(config) => Bundle::load_as(&dir, &config)?,
        };
        let attach = Attach {
            id: id.to_owned(),
            no_new_keyring: given.switch("no-new-keyring")?,
            no_pivot: given.switch("no-pivot")?,
            preserve_fds: given.parsed("preserve-fds")?.unwrap_or(0),
            systemd_cgroup: call.systemd_cgroup,
            activation: super::activation::read()?,
            root_mount: Some(std::path::absolute(
                call.states.join(format!(".root.{id}")),
            )?),
            cgroups: kernel::cgroup::Hierarchies::discover()?,
            ..Attach::default()
        };
        let terminal = bundle.spec.process().as_ref().and_then(|p| p.terminal()) == Some(true);
        let console_socket = given.path("console-socket");
        check_terminal(terminal, detach, console_socket.is_some())?;
        warn_of_missing_capabilities(call, &bundle);
        Ok(Wish {
            bundle,
            attach,
            terminal,
            console_socket,
            pidfd_socket: given.path("pidfd-socket"),
            pid_file: given.path("pid-file"),
        })
    }

    fn stdio(&self) -> anyhow::Result<Stdio> {
        stdio(self.terminal, self.console_socket.as_deref())
    }

    /// Says where the process is; a container that nobody could find again is removed.
    pub(super) fn tell(&self, container: Container, child: &Child) -> anyhow::Result<Container> {
        let told = tell(
            child,
            self.pid_file.as_deref(),
            self.pidfd_socket.as_deref(),
        );
        if let Err(error) = told {
            container.delete(true)?;
            return Err(error);
        }
        Ok(container)
    }
}

/// config.md, Linux Process: what cannot be granted is worth a warning.
fn warn_of_missing_capabilities(call: &Call, bundle: &Bundle) {
    let process = bundle.spec.process().as_ref();
    let sets = process.and_then(|process| process.capabilities().as_ref());
    let wanted = sets.and_then(|sets| sets.permitted().as_ref());
    let names: Vec<_> = wanted
        .into_iter()
        .flatten()
        .map(|capability| format!("CAP_{capability}"))
        .collect();
    let missing = kernel::caps::missing(names.iter().map(String::as_str));
    if !missing.is_empty() {
        let all = missing.join(", ");
        call.log.warn(&format!(
            "{all}: lighter has no such capability itself, and cannot grant it"
        ));
    }
}

/// runc's rules: a detached terminal needs a socket, and a socket needs a detached terminal.
pub(super) fn check_terminal(terminal: bool, detach: bool, socket: bool) -> anyhow::Result<()> {
    match (terminal, detach, socket) {
        (true, true, false) => bail!("a terminal without anybody beside it needs --console-socket"),
        (false, _, true) => bail!("--console-socket is given, but process.terminal is false"),
        (true, false, true) => bail!("--console-socket needs --detach"),
        _ => Ok(()),
    }
}

pub(super) fn stdio(terminal: bool, console_socket: Option<&Path>) -> anyhow::Result<Stdio> {
    match (terminal, console_socket) {
        (true, Some(socket)) => Ok(Stdio::TerminalTo(connect(socket)?)),
        (true, None) => Ok(Stdio::Terminal),
        (false, _) => Ok(Stdio::Inherit),
    }
}

fn connect(socket: &Path) -> anyhow::Result<OwnedFd> {
    let stream = UnixStream::connect(socket);
    Ok(stream
        .with_context(|| format!("connect to {}", socket.display()))?
        .into())
}

/// Writes the process id, whole or not at all, and sends the pidfd.
pub(super) fn tell(
    child: &Child,
    file: Option<&Path>,
    socket: Option<&Path>,
) -> anyhow::Result<()> {
    if let Some(socket) = socket {
        let stream = connect(socket)?;
        kernel::tty::send(stream.as_fd(), child.pidfd.as_fd(), b"pidfd")
            .with_context(|| format!("send the pidfd to {}", socket.display()))?;
    }
    if let Some(file) = file {
        let name = file.file_name().context("the pid file has no name")?;
        let draft = file.with_file_name(format!(".{}", name.display()));
        fs::write(&draft, child.pid.to_string())
            .and_then(|()| fs::rename(&draft, file))
            .with_context(|| format!("write the pid file {}", file.display()))?;
    }
    Ok(())
}
