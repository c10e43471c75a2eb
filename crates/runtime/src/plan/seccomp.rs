//! The last confinement before the program: which system calls it may make.
//!
//! In: `linux.seccomp`. Out: at most one step, for the process inside. Where it stands among the
//! others is `plan/mod.rs`'s to say: without no_new_privs it needs `CAP_SYS_ADMIN`, so it comes
//! before the capabilities go; with it, it comes last.

use kernel::{Op, Step};

use crate::{Error, View, seccomp};

/// The step that loads the filter, if the bundle has one.
///
/// # Errors
/// What [`seccomp::compile`] refuses.
pub fn steps(view: &View) -> Result<Vec<Step>, Error> {
    let Some(rules) = view.seccomp else {
        return Ok(Vec::new());
    };
    let filter = seccomp::compile(rules)?;
    let why = "Only the system calls of the profile reach the kernel";
    Ok(vec![Step::container(Op::Seccomp(filter), why)])
}
