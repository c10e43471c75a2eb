//! A shell script run as root in the virtual machine of `scripts/vm`, with the built `lighter` beside it.
//!
//! In: a script and the path of the binary. Out: [`Output`], with what the script printed and its status.

use std::path::Path;
use std::process::Command;

use crate::need::{list, program, repository};
use crate::output::Output;

/// Whether the virtual machine can run here; if not, the running test is listed as skipped and must return at once.
pub fn skipped() -> bool {
    if program("qemu-system-x86_64").is_none() {
        list("needs qemu-system-x86_64");
        return true;
    }
    let prepared = crate::need::fixtures().join("vm/base.cpio").is_file();
    if !prepared {
        list("needs the kernel that `scripts/vm prepare` fetches");
    }
    !prepared
}

/// Boots, runs `script` with busybox's `sh` in /vm, where `files` and the program `lighter` are, and powers off.
///
/// # Panics
/// When the virtual machine cannot be started; not when the script fails.
#[track_caller]
pub fn run(lighter: &str, script: &str, files: &[&Path]) -> Output {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let name = format!("lighter-vm-{}-{number}", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, script).expect("the temporary directory can be written");
    let mut command = Command::new(repository().join("scripts/vm"));
    command.arg("run").arg(&path).arg(lighter).args(files);
    let output = Output::of(command);
    std::fs::remove_file(&path).ok();
    output
}
