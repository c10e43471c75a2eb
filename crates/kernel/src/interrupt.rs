//! Ctrl-C for a program that has something to finish: counted, not fatal.
//!
//! A handler, not a signalfd: a blocked signal stays blocked in every program we exec, a handler does not survive
//! execve(2). The handler does one relaxed addition, which signal-safety(7) allows.

use std::sync::atomic::{AtomicU32, Ordering};

static COUNT: AtomicU32 = AtomicU32::new(0);

extern "C" fn count(_: libc::c_int) {
    COUNT.fetch_add(1, Ordering::Relaxed);
}

/// From now on SIGINT and SIGTERM are counted. System calls that they interrupt are restarted.
///
/// sigaction(2).
pub fn catch() -> std::io::Result<()> {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: all-zero is a valid sigaction; the handler touches one atomic only.
        let done = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = count as extern "C" fn(libc::c_int) as libc::sighandler_t;
            action.sa_flags = libc::SA_RESTART;
            libc::sigaction(signal, &action, std::ptr::null_mut())
        };
        if done != 0 {
            return Err(std::io::Error::last_os_error());
        }
    }
    Ok(())
}

/// How many were caught.
#[must_use]
pub fn count_caught() -> u32 {
    COUNT.load(Ordering::Relaxed)
}
