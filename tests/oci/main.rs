//! The runtime suite, written from the runtime-spec; runs against any OCI runtime by path.
//!
//! `LIGHTER_OCI_RUNTIME` names another runtime (runc, crun); without it the built `lighter oci` is
//! tested. Tests run as root against the real kernel, and look at what it shows: inside the
//! container through busybox, outside through /proc and cgroupfs. One module per subject; what
//! old releases of others lack is listed as skipped, with the reason.

#![allow(unreachable_pub, reason = "a test program has no outside")]

mod cgroups;
mod command_line;
mod devices;
mod filesystem;
mod hardening;
mod hooks;
mod lifecycle;
mod namespaces;
mod process;
mod runtime;
mod seccomp;
