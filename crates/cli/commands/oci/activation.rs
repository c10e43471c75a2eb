//! What a service manager gives to the runtime for the container: `LISTEN_FDS` and `NOTIFY_SOCKET`.
//!
//! In: the runtime's own environment. Out: [`Activation`], which the plan turns into open
//! descriptors, a mount and variables of the program. sd_listen_fds(3), sd_notify(3).

use anyhow::{Context, ensure};
use runtime::plan::Activation;

/// Reads the environment. Descriptors that are meant for another process are nobody's here.
pub(super) fn read() -> anyhow::Result<Activation> {
    let text = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let ours = text("LISTEN_PID").is_none_or(|pid| pid.parse() == Ok(std::process::id()));
    let count = text("LISTEN_FDS").filter(|_| ours);
    let sockets = count
        .map(|count| {
            count
                .parse::<u32>()
                .with_context(|| format!("LISTEN_FDS={count} is not a number"))
        })
        .transpose()?;
    let notify = text("NOTIFY_SOCKET");
    if let Some(path) = &notify {
        ensure!(
            path.starts_with('/'),
            "NOTIFY_SOCKET={path}: only a socket with a path can be shown to a container"
        );
    }
    Ok(Activation {
        sockets: sockets.unwrap_or(0),
        names: text("LISTEN_FDNAMES"),
        notify: notify.map(Into::into),
    })
}
