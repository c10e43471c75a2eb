# What the engine tests share: a directory of their own, a tiny image, and checks that print one line each.
#
# In: the runtime (`lighter-oci`) as first argument of the sourcing script. Out: $work, $runtime, $rootfs (a tar of a
# root filesystem with busybox), and `check NAME EXPECTED COMMAND...`. At exit the engine is stopped by `stop_engine`,
# which each script defines, and everything below $work is removed. The exit code is the number of failed checks.

set -uo pipefail
[ $# = 1 ] || { echo "usage: $0 RUNTIME" >&2; exit 2; }
runtime=$(realpath -s "$1")
# Podman takes no more than 50 characters for the path of its sockets.
work=$(mktemp -d /tmp/lighter-engine.XXXXXX)
rootfs=$work/rootfs.tar
failed=0

# The parents of their cgroups that engines never remove.
parents() { ls -d /sys/fs/cgroup/{,*/}{docker,libpod_parent,libpod_parent/conmon} 2>/dev/null | sort; }
parents_before=$(parents)

finish() {
    stop_engine
    comm -13 <(echo "$parents_before") <(parents) | sort -r | xargs -r rmdir 2>/dev/null
    # An engine that was killed may leave its own mounts.
    awk -v dir="$work" 'index($5, dir) == 1 { print $5 }' /proc/self/mountinfo | sort -r | xargs -r umount -l
    rm -rf "$work"
    exit "$failed"
}
trap finish EXIT

make_rootfs() {
    mkdir -p "$work/rootfs"/{bin,dev,etc,proc,sys,tmp}
    cp "$(command -v busybox)" "$work/rootfs/bin/busybox"
    local applet
    for applet in cat echo env grep hostname id ls mkdir mount ps sh sleep stat test true; do
        ln -s busybox "$work/rootfs/bin/$applet"
    done
    tar -C "$work/rootfs" -cf "$rootfs" .
}

# check NAME PATTERN COMMAND...: the command's output and last line `exit N` must match the pattern (grep -E, whole text).
check() {
    local name=$1 pattern=$2 output
    shift 2
    output=$("$@" 2>&1 </dev/null; echo "exit $?")
    if grep -qzE -- "$pattern" <<<"$output"; then
        echo "ok - $name"
    else
        echo "not ok - $name: wanted $pattern, got: $output"
        failed=$((failed + 1))
    fi
}

# The command on a pseudo-terminal.
terminal() { script -qec "$(printf '%q ' "$@")" /dev/null; }

# await_daemon COMMAND...: until it succeeds. A daemon that ends by itself cannot run on this machine (a nested
# container, say): one line `skip - why`, and the script is over.
await_daemon() {
    local tries
    for tries in $(seq 150); do
        "$@" >/dev/null 2>&1 && return
        kill -0 "$daemon" 2>/dev/null || { echo "skip - the daemon does not run here: $(tail -n 1 "$work/log")"; exit; }
        sleep 0.2
    done
    echo "not ok - the daemon does not answer after 30 s: $(tail -n 1 "$work/log")"
    failed=$((failed + 1))
    exit
}

# await COMMAND...: until it succeeds, at most 30 s.
await() {
    local tries
    for tries in $(seq 150); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.2
    done
    echo "not ok - still fails after 30 s: $*"
    failed=$((failed + 1))
}

make_rootfs
