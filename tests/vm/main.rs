//! Tests in a virtual machine with a pure cgroup v2 hierarchy: what the machine that runs the tests may not have.

mod cgroup;
mod engine;
mod machine;
