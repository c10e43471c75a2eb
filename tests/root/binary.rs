//! The binary is one file that needs nothing: no loader, no library, no other file.

use std::process::Command;

use crate::host;

#[test]
fn the_binary_is_static() {
    let Some(host) = host() else { return };
    let mut command = Command::new("ldd");
    command.arg(host.program()).env("LC_ALL", "C");
    let output = support::Output::of(command).exits(1);
    assert!(
        output.stderr.contains("not a dynamic executable"),
        "{output:?}"
    );
}

#[test]
fn the_binary_runs_in_an_empty_chroot() {
    let Some(host) = host() else { return };
    let empty = host.directory().join("empty");
    std::fs::create_dir(&empty).expect("the host's directory can be written");
    std::fs::copy(host.program(), empty.join("lighter")).expect("the binary can be copied");
    let mut command = host.command("chroot");
    command.arg(&empty).args(["/lighter", "--version"]);
    let output = support::Output::of(command).success();
    assert!(output.stdout.starts_with("lighter "), "{output:?}");
}
