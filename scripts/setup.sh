# Sourced by the other scripts: the repository, messages, packages of Debian, and cargo under sudo.
# shellcheck shell=bash

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=${CARGO_TARGET_DIR:-$repository/target}
export LIGHTER_FIXTURES=${LIGHTER_FIXTURES:-$target/fixtures}

say() { printf '%s\n' "$*" >&2; }
die() { say "${0##*/}: $*"; exit 1; }

as_root() { [ "$(id -u)" = 0 ] || die "run it as root: sudo scripts/${0##*/}"; }

# Installs the Debian packages that are not there yet. A service that a package brings is not started:
# policy-rc.d is Debian's own way to say so, and it is taken away again.
packages() {
    local missing=() package
    for package; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} = 0 ] && return
    say "installing from Debian: ${missing[*]}"
    local policy=/usr/sbin/policy-rc.d log status=0
    log=$(mktemp)
    if [ -e "$policy" ]; then policy=; else printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy"; fi
    apt_get install -y --no-install-recommends "${missing[@]}" >"$log" 2>&1 ||
        { apt_get update >"$log" 2>&1 && apt_get install -y --no-install-recommends "${missing[@]}" >>"$log" 2>&1; } || status=$?
    [ -z "$policy" ] || rm -f "$policy"
    [ $status = 0 ] || { cat "$log" >&2; rm -f "$log"; die "apt-get could not install ${missing[*]}"; }
    rm -f "$log"
}

apt_get() { DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 -qq "$@"; }

# Debian's program without its service: unpacked from its package into the fixtures, not installed.
program() {
    local package=$1 path=$2 to=$LIGHTER_FIXTURES/bin/${2##*/} work
    [ -x "$to" ] && return
    mkdir -p "${to%/*}"
    work=$(mktemp -d)
    download "$work" "$package"
    dpkg-deb --fsys-tarfile "$work"/*.deb | tar -xC "$work"
    mv "$work$path" "$to"
    rm -rf "$work"
}

# Downloads packages (name or name=version) into a directory.
download() {
    local directory=$1
    shift
    [ -n "$(ls /var/lib/apt/lists/*_Packages* 2>/dev/null)" ] || apt_get update
    (cd "$directory" && apt_get -o APT::Sandbox::User=root download "$@") || { apt_get update && (cd "$directory" && apt_get -o APT::Sandbox::User=root download "$@"); }
}

# sudo resets PATH: find the cargo of the user who called.
find_cargo() {
    command -v cargo >/dev/null && return
    local home
    home=$(getent passwd "${SUDO_USER:-root}" | cut -d: -f6)
    [ -x "$home/.cargo/bin/cargo" ] || die "cargo is not in PATH; install Rust first: https://rustup.rs"
    export PATH=$home/.cargo/bin:$PATH CARGO_HOME=${CARGO_HOME:-$home/.cargo} RUSTUP_HOME=${RUSTUP_HOME:-$home/.rustup}
}

# The built lighter of a profile (release, debug). Cargo puts it below the target's name when one is configured.
binary() {
    local path
    for path in "$target/$(rustc -vV | sed -n 's/^host: //p')/$1/lighter" "$target/$1/lighter"; do
        [ ! -x "$path" ] || { echo "$path"; return; }
    done
    die "no lighter in $target; build it with cargo"
}
