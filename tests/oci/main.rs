//! The runtime suite, written from the runtime-spec; runs against any OCI runtime by path.
//!
//! `LIGHTER_OCI_RUNTIME` names another runtime (runc, crun); without it the built `lighter oci` is tested.
