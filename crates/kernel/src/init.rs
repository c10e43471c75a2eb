//! A first process for containers whose program does not want to be one (`--init`).
//!
//! The kernel gives the first process of a pid namespace every orphan to reap, and drops signals for which it has no handler
//! (pid_namespaces(7)). [`become_init`] splits the container's process in two: the child goes on and becomes the program, the
//! parent stays as a tiny init that passes signals on, reaps, and ends as the program ends. It needs no file in the image.

use std::mem::MaybeUninit;

use rustix::io::{Errno, Result};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use crate::process;

/// Splits this process; returns in the child, which becomes the program.
///
/// # Errors
/// `EAGAIN` at the limit of processes.
pub fn become_init() -> Result<()> {
    // Before the split: no signal may come between the two and find nobody who passes it on.
    let all = block_all();
    // fork(2) and not clone3(2): the container's filter is loaded, and it says that clone3 does not exist.
    // SAFETY: one thread; the child goes on as this process would have.
    match unsafe { libc::fork() } {
        -1 => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::AGAIN)),
        0 => {
            stand_apart();
            Ok(())
        }
        program => {
            hide();
            stay(program, &all)
        }
    }
}

/// In the child: a process group of its own, in the foreground of the terminal if there is one, so that what is typed there
/// reaches the program once and not by way of init as well.
fn stand_apart() {
    // A new child is no leader: neither call has a reason to fail, and without a terminal the second has nothing to do.
    let _ = rustix::process::setpgid(None, None);
    let _ = rustix::termios::tcsetpgrp(rustix::stdio::stdin(), rustix::process::getpid());
}

/// In the parent: nothing of the host stays open, and the container cannot look into this process's memory.
fn hide() {
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    // SAFETY: this process runs `stay` from here on, which uses no descriptor.
    unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
    let _ = rustix::thread::set_name(c"init");
    forget_arguments();
}

/// Whoever reads `ps` in the container sees an init, and not the command line of its creator with the host's paths.
fn forget_arguments() {
    unsafe extern "C" {
        /// glibc: where the first argument lies.
        static program_invocation_name: *mut libc::c_char;
    }
    let length: usize = std::env::args_os().map(|argument| argument.len() + 1).sum();
    let name = b"init";
    // SAFETY: the kernel lays the arguments out one after the other, each with its NUL (execve(2)), and glibc points to the
    // first; they are this process's own writable memory, and nobody reads them from here on.
    unsafe {
        let first = program_invocation_name.cast::<u8>();
        if first.is_null() || length <= name.len() {
            return;
        }
        first.write_bytes(0, length);
        first.copy_from_nonoverlapping(name.as_ptr(), name.len());
    }
}

/// Passes signals on and reaps until the program has ended; ends as it did.
fn stay(program: i32, all: &libc::sigset_t) -> ! {
    loop {
        let mut number = 0;
        // SAFETY: both point to initialised memory of this function's caller and its own.
        if unsafe { libc::sigwait(all, &raw mut number) } != 0 {
            continue;
        }
        match number {
            libc::SIGCHLD => {
                if let Some(code) = reap(program) {
                    process::exit_now(code);
                }
            }
            // The program has its own terminal signals: it stands in the foreground.
            libc::SIGTTIN | libc::SIGTTOU | libc::SIGTSTP => {}
            number => {
                // SAFETY: only sends a signal; the program is this process's child and not reaped yet.
                unsafe { libc::kill(program, number) };
            }
        }
    }
}

/// Reaps all that has ended; the exit code when the program is among it.
fn reap(program: i32) -> Option<i32> {
    let mut code = None;
    loop {
        let mut status = 0;
        // SAFETY: `status` has room for the result.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
        if pid <= 0 {
            return code;
        }
        if pid == program {
            code = Some(if libc::WIFSIGNALED(status) {
                128 + libc::WTERMSIG(status)
            } else {
                libc::WEXITSTATUS(status)
            });
        }
    }
}

fn block_all() -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset initialises the whole set, which sigprocmask then only reads.
    unsafe {
        libc::sigfillset(set.as_mut_ptr());
        for fault in [
            libc::SIGSEGV,
            libc::SIGBUS,
            libc::SIGILL,
            libc::SIGFPE,
            libc::SIGTRAP,
            libc::SIGABRT,
        ] {
            libc::sigdelset(set.as_mut_ptr(), fault);
        }
        libc::sigprocmask(libc::SIG_SETMASK, set.as_ptr(), std::ptr::null_mut());
        set.assume_init()
    }
}
