//! What a process needs that stays beside a container for as long as it lives: to reap orphans, and to be small.

use std::mem::MaybeUninit;

/// Reaps every child that has ended, until the next one is among `kept`: those are waited for by somebody who wants to know
/// how they ended. waitid(2).
pub fn reap_others(kept: &[i32]) {
    const LOOK: i32 = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    while let Some(pid) = ended(libc::P_ALL, 0, LOOK) {
        if kept.contains(&pid) || ended(libc::P_PID, pid, libc::WEXITED | libc::WNOHANG).is_none() {
            return;
        }
    }
}

/// A child that has ended, if there is one.
fn ended(kind: libc::idtype_t, pid: i32, options: i32) -> Option<i32> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: `info` has room for the whole record.
    let result = unsafe { libc::waitid(kind, pid.cast_unsigned(), info.as_mut_ptr(), options) };
    // SAFETY: zeroed before, and filled by a successful call; a pid of 0 says that no child has ended.
    let pid = unsafe { info.assume_init().si_pid() };
    (result == 0 && pid > 0).then_some(pid)
}

/// Closes every descriptor from `first` on: those that a careless caller left open for its children. close_range(2).
///
/// To be called before anything was opened here: whoever owns a descriptor would find it closed.
pub fn close_inherited(first: u32) {
    // SAFETY: three numbers; at the beginning of the program nothing above the standard streams has an owner.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
}

/// Gives memory that was freed back to the kernel. malloc_trim(3).
pub fn give_back_memory() {
    // SAFETY: takes no pointer; glibc locks its heap itself.
    unsafe { libc::malloc_trim(0) };
}

unsafe extern "C" {
    // Set by the linker, end(3): the program's first byte, and the byte behind its code.
    static __executable_start: u8;
    static etext: u8;
}

/// Unmaps the program's own code and constants: the page cache keeps them, and what runs next is mapped again.
/// `MADV_DONTNEED` of madvise(2), which for a file's private and unchanged pages loses nothing.
pub fn give_back_program() {
    const PAGE: usize = 4096;
    let first = (&raw const __executable_start)
        .addr()
        .next_multiple_of(PAGE);
    let behind = (&raw const etext).addr() & !(PAGE - 1);
    // SAFETY: the range holds only what was mapped from the program's file and is never written, see above; a linker
    // that put written data into it would make it writable, and the last page, which may hold both, is left out.
    unsafe {
        libc::madvise(
            first as *mut libc::c_void,
            behind.saturating_sub(first),
            libc::MADV_DONTNEED,
        );
    }
}
