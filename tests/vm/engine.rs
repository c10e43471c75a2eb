//! Containers with limits on pure cgroup v2: who is killed for memory is told so, and limits change while it runs.

use support::vm;

/// An image `box` of the machine's own busybox, and a place for what lighter keeps.
const SETUP: &str = r"
mkdir -p /box/bin /box/tmp /run /var/lib
# An overlay cannot write to the initial ramfs.
mount -t tmpfs kept /var/lib && mount -t tmpfs live /run
cp /bin/busybox /box/bin/
for name in sh tail sleep cat true echo; do ln -s busybox /box/bin/$name; done
tar -C /box -cf /box.tar . && lighter import /box.tar box >/dev/null
";

#[track_caller]
fn run(script: &str) -> support::Output {
    vm::run(
        env!("CARGO_BIN_EXE_lighter"),
        &format!("{SETUP}\n{script}"),
        &[],
    )
}

#[test]
fn a_container_that_eats_its_memory_is_killed_and_said_to_be() {
    if vm::skipped() {
        return;
    }
    let output = run("
        lighter run --network none --name eater -m 16m --memory-swap 16m box tail /dev/zero
        echo code $?
        lighter inspect -f 'oom {{.State.OOMKilled}} {{.State.ExitCode}} {{.State.Status}}' eater
        lighter events --since 1h --until 0s --filter event=oom --format 'event {{.Action}} {{.Actor.Attributes.name}}'
        lighter run --network none --name parent -m 16m --memory-swap 16m box sh -c 'tail /dev/zero; echo survived'
        lighter inspect -f 'child {{.State.OOMKilled}} {{.State.ExitCode}}' parent
        lighter run --network none --name calm -m 16m box true
        lighter inspect -f 'calm {{.State.OOMKilled}} {{.State.ExitCode}}' calm
    ")
    .success();
    for line in [
        "code 137",
        "oom true 137 exited",
        "event oom eater",
        "survived",
        "child true 0",
        "calm false 0",
    ] {
        assert!(output.lines().contains(&line), "{line}: {output:?}");
    }
}

#[test]
fn update_changes_the_limits_of_a_running_container() {
    if vm::skipped() {
        return;
    }
    let output = run("
        lighter run -d --network none --name box -m 32m --cpus 1 box sleep 1000 >/dev/null
        cgroup=/sys/fs/cgroup$(sed 's/0:://' /proc/$(lighter inspect -f '{{.State.Pid}}' box)/cgroup)
        show() { echo $1 $(cat $cgroup/memory.max) $(cat $cgroup/cpu.max) $(cat $cgroup/pids.max); }
        show before
        lighter update -m 48m --memory-swap 96m --cpus 0.5 --pids-limit 7 box
        show after
        lighter pause box && sed -n 's/^frozen/frozen/p' $cgroup/cgroup.events
        lighter unpause box && sed -n 's/^frozen/frozen/p' $cgroup/cgroup.events
        lighter stop -t 0 box && lighter start box
        cgroup=/sys/fs/cgroup$(sed 's/0:://' /proc/$(lighter inspect -f '{{.State.Pid}}' box)/cgroup)
        show again
        lighter rm -f box && [ ! -d $cgroup ] && echo gone
    ")
    .success();
    for line in [
        "before 33554432 100000 100000 2048",
        "after 50331648 50000 100000 7",
        "frozen 1",
        "frozen 0",
        "again 50331648 50000 100000 7",
        "gone",
    ] {
        assert!(output.lines().contains(&line), "{line}: {output:?}");
    }
}
