//! `checkpoint` and `restore`: a container's processes are saved to a directory, and made again.
//!
//! In: runc's options, which are criu's. Out: the image, or a container that runs. Needs the
//! host's `criu`; its reason for refusing is part of the error.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use runtime::Container;
use runtime::checkpoint::{Checkpoint, Criu};

use super::create::{Wish, protect};
use super::options::{End, Flag, Given, switch, value};
use super::{Call, Verb, foreground};

macro_rules! flags {
    ($($more:expr),*) => {
        &[
            value("image-path", "DIR", "Directory of the image (default: checkpoint)"),
            value("work-path", "DIR", "Directory of criu's logs (default: the image's)"),
            switch("tcp-established", "Established connections too"),
            switch("tcp-skip-in-flight", "Leave connections out that are being made"),
            switch("ext-unix-sk", "Unix sockets whose other end is outside too"),
            switch("shell-job", "A session of somebody else's too"),
            switch("file-locks", "File locks too"),
            switch("link-remap", "Open files without a name too"),
            switch("auto-dedup", "Take pages out of the parent image"),
            switch("lazy-pages", "Memory follows after the restore"),
            value("empty-ns", "NAME", "network: without what is in the network namespace"),
            value("manage-cgroups-mode", "MODE", "soft (default), full, strict or ignore"),
            $($more),*
        ]
    };
}

const CHECKPOINT_FLAGS: &[Flag] = flags![
    value(
        "parent-path",
        "DIR",
        "Image of an earlier pre-dump, relative to this one"
    ),
    switch("leave-running", "The container goes on"),
    switch("pre-dump", "Save memory only; the container goes on"),
    value("page-server", "ADDRESS:PORT", "Send pages to this server"),
    value(
        "status-fd",
        "FD",
        "criu writes to it when a lazy restore can begin"
    )
];

const RESTORE_FLAGS: &[Flag] = flags![
    value(
        "bundle",
        "DIR",
        "Directory of the bundle (default: the working directory)"
    )
    .or("b"),
    value(
        "config",
        "FILE",
        "The configuration, when it is not the bundle's config.json"
    )
    .or("f"),
    value("pid-file", "FILE", "File that the process id is written to"),
    value(
        "pidfd-socket",
        "SOCKET",
        "Socket that gets a pidfd of the process"
    ),
    value(
        "lsm-profile",
        "TYPE:NAME",
        "Security label of the processes"
    ),
    value("lsm-mount-context", "CONTEXT", "Security label of mounts"),
    switch("detach", "Do not stay beside the container").or("d"),
    switch(
        "no-pivot",
        "Change the root without pivot_root(2): criu does it its own way"
    ),
    switch(
        "no-subreaper",
        "Do not adopt orphans; this runtime never does"
    )
];

pub(super) const CHECKPOINT: Verb = Verb {
    name: "checkpoint",
    usage: "ID",
    about: "Save a container's processes (with criu)",
    flags: CHECKPOINT_FLAGS,
    end: End::Never,
    run: checkpoint,
    failure: 1,
};

pub(super) const RESTORE: Verb = Verb {
    name: "restore",
    usage: "ID",
    about: "Make a container from saved processes (with criu)",
    flags: RESTORE_FLAGS,
    end: End::Never,
    run: restore,
    failure: 1,
};

fn checkpoint(call: &Call, given: &Given) -> anyhow::Result<ExitCode> {
    let container = call.container(given.id(0)?.0)?;
    let mut criu = criu(given)?;
    if let Some(fd) = given.text("status-fd")? {
        criu.more.extend(["--status-fd".into(), fd.into()]);
    }
    let page_server = given.text("page-server")?.map(|text| {
        let parts = text
            .rsplit_once(':')
            .map(|(a, p)| (a.to_owned(), p.to_owned()));
        parts.with_context(|| format!("--page-server {text}: it is not ADDRESS:PORT"))
    });
    let how = Checkpoint {
        leave_running: given.switch("leave-running")?,
        pre_dump: given.switch("pre-dump")?,
        parent: given.path("parent-path"),
        page_server: page_server.transpose()?,
    };
    container.checkpoint(&criu, &how)?;
    if !how.leave_running && !how.pre_dump {
        call.warn(container.delete(true)?);
    }
    Ok(ExitCode::SUCCESS)
}

fn restore(call: &Call, given: &Given) -> anyhow::Result<ExitCode> {
    protect()?;
    if given.switch("no-pivot")? {
        bail!("--no-pivot: criu makes the root of a restored container in its own way");
    }
    let detach = given.switch("detach")?;
    let mut criu = criu(given)?;
    for name in ["lsm-profile", "lsm-mount-context"] {
        if let Some(label) = given.text(name)? {
            criu.more.push(format!("--{name}={label}").into());
        }
    }
    let wish = Wish::read(call, given, false)?;
    let signals = foreground::prepare()?;
    let (container, child) = Container::restore(&call.states, &wish.bundle, &wish.attach, &criu)?;
    let container = wish.tell(container, &child)?;
    if detach {
        return Ok(ExitCode::SUCCESS);
    }
    let code = foreground::wait(child, &signals);
    call.warn(container.delete(true)?);
    Ok(ExitCode::from(code?))
}

fn criu(given: &Given) -> anyhow::Result<Criu> {
    let absolute = |path: PathBuf| std::path::absolute(path).context("find the working directory");
    let image = given
        .path("image-path")
        .unwrap_or_else(|| "checkpoint".into());
    let empty_network = match given.text("empty-ns")?.as_deref() {
        None => false,
        Some("network") => true,
        Some(other) => bail!("--empty-ns {other}: only the network namespace can be left empty"),
    };
    let manage_cgroups = given.text("manage-cgroups-mode")?;
    if let Some(mode) = &manage_cgroups
        && !matches!(mode.as_str(), "soft" | "full" | "strict" | "ignore")
    {
        bail!("--manage-cgroups-mode {mode}: it is not soft, full, strict or ignore");
    }
    Ok(Criu {
        image: absolute(image)?,
        work: given
            .path("work-path")
            .map(absolute)
            .transpose()?
            .unwrap_or_default(),
        tcp_established: given.switch("tcp-established")?,
        tcp_skip_in_flight: given.switch("tcp-skip-in-flight")?,
        ext_unix_sk: given.switch("ext-unix-sk")?,
        shell_job: given.switch("shell-job")?,
        file_locks: given.switch("file-locks")?,
        link_remap: given.switch("link-remap")?,
        auto_dedup: given.switch("auto-dedup")?,
        lazy_pages: given.switch("lazy-pages")?,
        empty_network,
        manage_cgroups,
        more: Vec::new(),
    })
}
