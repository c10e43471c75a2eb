//! The virtual machine itself: what the other tests in it stand on.

use support::vm;

#[test]
fn the_machine_has_every_controller_on_cgroup_v2_and_runs_the_binary() {
    if vm::skipped() {
        return;
    }
    let script = "cat /sys/fs/cgroup/cgroup.controllers && lighter --version && exit 7";
    let output = vm::run(env!("CARGO_BIN_EXE_lighter"), script, &[]).exits(7);
    for controller in ["cpu", "memory", "pids", "io", "cpuset"] {
        assert!(output.stdout.contains(controller), "{output:?}");
    }
    assert!(output.stdout.contains("lighter"), "{output:?}");
}
