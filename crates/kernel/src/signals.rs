//! Signals as something to read: for a process that waits beside a container and passes them on.
//!
//! In: nothing. Out: [`Signals`], on which poll(2) waits and which names the signals that came.
//! While it lives, all signals that can be caught are blocked; a program that is started then has
//! to unblock them first, which the player of scripts does for a container's. signalfd(2).

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// The caught signals. Dropping it gives back the mask that was before.
pub struct Signals {
    fd: OwnedFd,
    before: libc::sigset_t,
}

impl Signals {
    /// Blocks all signals of the calling thread and makes them readable.
    ///
    /// Those that report a fault of this very program keep their effect.
    ///
    /// # Errors
    /// signalfd(2)'s.
    pub fn catch() -> io::Result<Signals> {
        let mut wanted = MaybeUninit::<libc::sigset_t>::uninit();
        let mut before = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sigfillset initialises `wanted` before it is read, sigprocmask `before`; the
        // descriptor that signalfd returns is new and owned by nobody else.
        unsafe {
            libc::sigfillset(wanted.as_mut_ptr());
            for fault in [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE] {
                libc::sigdelset(wanted.as_mut_ptr(), fault);
            }
            let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
            let fd = libc::signalfd(-1, wanted.as_ptr(), flags);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            let fd = OwnedFd::from_raw_fd(fd);
            if libc::sigprocmask(libc::SIG_BLOCK, wanted.as_ptr(), before.as_mut_ptr()) < 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(Signals {
                fd,
                before: before.assume_init(),
            })
        }
    }

    /// The next signal that came, if one did.
    ///
    /// # Errors
    /// read(2)'s.
    pub fn next(&self) -> io::Result<Option<i32>> {
        let mut info = MaybeUninit::<libc::signalfd_siginfo>::zeroed();
        let size = size_of::<libc::signalfd_siginfo>();
        // SAFETY: the kernel writes at most `size` bytes into `info`, all of whose bit patterns
        // are valid integers.
        let (count, info) = unsafe {
            let count = libc::read(self.fd.as_raw_fd(), info.as_mut_ptr().cast(), size);
            (count, info.assume_init())
        };
        if count < 0 {
            let error = io::Error::last_os_error();
            let none = error.kind() == io::ErrorKind::WouldBlock;
            return if none { Ok(None) } else { Err(error) };
        }
        Ok(i32::try_from(info.ssi_signo).ok())
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // SAFETY: `before` was filled in by sigprocmask.
        unsafe {
            libc::sigprocmask(
                libc::SIG_SETMASK,
                &raw const self.before,
                std::ptr::null_mut(),
            );
        }
    }
}
