//! What a person reads when a container cannot be started.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::{Bundle, Said, possible};

fn program(name: &str, content: &[u8], mode: u32) -> Said {
    let mut bundle = Bundle::new("");
    let path = bundle.root().join("bin").join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    bundle.config["process"]["args"] = json!([format!("/bin/{name}")]);
    bundle.run()
}

#[test]
fn a_program_that_cannot_start_says_why() {
    if !possible() {
        return;
    }
    let said = program("windows", b"#!/bin/sh\r\necho\r\n", 0o755);
    assert!(said.err.contains("Windows line ends"), "{}", said.err);
    let said = program("script", b"#!/usr/bin/perl\n", 0o755);
    assert!(
        said.err
            .contains("its interpreter /usr/bin/perl does not exist"),
        "{}",
        said.err
    );
    let said = program("plain", b"#!/bin/sh\n", 0o644);
    assert!(said.err.contains("chmod +x"), "{}", said.err);
    let said = program("text", b"hello", 0o755);
    assert!(
        said.err.contains("neither an ELF program nor a script"),
        "{}",
        said.err
    );
    let mut elf = fs::read("/bin/busybox").unwrap();
    elf[18..20].copy_from_slice(&243u16.to_le_bytes());
    let said = program("foreign", &elf, 0o755);
    assert!(said.err.contains("it is built for riscv"), "{}", said.err);
}

#[test]
fn a_missing_program_names_the_path_that_was_searched() {
    if !possible() {
        return;
    }
    let mut bundle = Bundle::new("");
    bundle.config["process"]["args"] = json!(["no-such-program"]);
    let said = bundle.run();
    assert!(
        said.err
            .contains("executable file not found in $PATH (/bin)"),
        "{}",
        said.err
    );
    bundle.config["process"]["args"] = json!(["/bin"]);
    assert!(bundle.run().err.contains("it is a directory"));
}

#[test]
fn a_mount_that_fails_names_both_ends_and_the_rule() {
    if !possible() {
        return;
    }
    let mut bundle = Bundle::new("true");
    bundle.mount(json!({"destination": "/data", "source": "/no/such/source", "options": ["bind"]}));
    let said = bundle.run();
    assert!(
        said.err.contains("cannot mount /no/such/source at /data"),
        "{}",
        said.err
    );

    let mut bundle = Bundle::new("true");
    bundle.mount(json!({"destination": "/data", "type": "tmpfs", "options": ["frobnicate=1"]}));
    let said = bundle.run();
    assert!(said.err.contains("frobnicate"), "{}", said.err);
}

#[test]
fn a_hook_that_fails_says_what_it_printed() {
    if !possible() {
        return;
    }
    let mut bundle = Bundle::new("true");
    let hook = json!({"path": "/bin/sh", "args": ["sh", "-c", "echo no device; exit 3"]});
    bundle.config["hooks"] = json!({"createRuntime": [hook]});
    let said = bundle.run();
    assert!(said.err.contains("createRuntime"), "{}", said.err);
    assert!(
        said.err.contains("it exited with code 3: no device"),
        "{}",
        said.err
    );
}
