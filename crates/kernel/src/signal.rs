//! Signals as something to wait for: blocked, and read from a descriptor.
//!
//! In: signal numbers. Out: a descriptor for poll(2). What a process blocks its children inherit: whoever becomes a
//! container's program unblocks everything first (`program.rs`). signalfd(2), sigprocmask(2).

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// Blocks `signals` in this thread and returns a descriptor from which they are read.
///
/// # Errors
/// The errno of sigprocmask(2) or signalfd(2).
pub fn descriptor(signals: &[i32]) -> io::Result<OwnedFd> {
    let set = set(signals);
    // SAFETY: `set` is initialised; a null pointer says that the old mask is not wanted.
    if unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `set` is initialised and -1 asks for a new descriptor.
    let fd = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just made this descriptor and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Unblocks `signals` in this thread.
pub fn unblock(signals: &[i32]) {
    let set = set(signals);
    // SAFETY: `set` is initialised; with a valid `how` sigprocmask cannot fail.
    unsafe { libc::sigprocmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut()) };
}

/// The next signal that came; none when there is none.
pub fn next(descriptor: impl AsFd) -> Option<i32> {
    let mut info = MaybeUninit::<libc::signalfd_siginfo>::uninit();
    let size = size_of::<libc::signalfd_siginfo>();
    let fd = descriptor.as_fd().as_raw_fd();
    // SAFETY: the buffer has room for exactly one record, which is what is asked for.
    let read = unsafe { libc::read(fd, info.as_mut_ptr().cast(), size) };
    if usize::try_from(read) != Ok(size) {
        return None;
    }
    // SAFETY: the kernel filled the whole record.
    let info = unsafe { info.assume_init() };
    i32::try_from(info.ssi_signo).ok()
}

fn set(signals: &[i32]) -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the whole set; a wrong number only makes sigaddset fail.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in signals {
            libc::sigaddset(set.as_mut_ptr(), *signal);
        }
        set.assume_init()
    }
}

/// A real-time signal by its number (34 to 64); signal(7).
#[must_use]
pub fn real_time(number: i32) -> Option<rustix::process::Signal> {
    // SAFETY: these numbers are signals that neither libc keeps for itself.
    (34..=64)
        .contains(&number)
        .then(|| unsafe { rustix::process::Signal::from_raw_unchecked(number) })
}
