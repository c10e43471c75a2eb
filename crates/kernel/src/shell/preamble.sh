#!/bin/bash
# @TITLE@
#
# What lighter asks of the kernel for this, as the commands a person would type. Run it as root.
# It needs bash 4.4, coreutils 8.28, util-linux 2.38, iproute2 and nftables 0.9.3, and was tested
# with bash 5.2, coreutils 9.1, util-linux 2.38, iproute2 6.1 and nftables 1.0.6 on glibc.
#
# Two shells take turns: host() stays outside, container_1() and those after it run in the new
# namespaces and become the program. Numbers are those of `lighter explain`.
set -euo pipefail

# Two pipes carry "go on" from one shell to the other. Each is opened at both ends, so that
# nobody waits in open(2) for somebody who is waiting too.
open_pipes() { exec {to_container}<> <(:) {to_host}<> <(:); export to_container to_host; }
tell_container() { echo >&"$to_container"; }
tell_host() { echo >&"$to_host"; }
wait_for_host() { read -r -t 60 -u "$to_container" _ || exit 1; }
wait_for_container() { hear _; }

# Reads a word from the container's shell, or ends as it did.
hear() {
  until read -r -t 0.2 -u "$to_host" "$1"; do
    kill -0 "$born" 2>/dev/null || { wait "$born"; exit; }
  done
}

# What a stage of the container's shell begins with.
start_stage() { root=${root-} hidden='' privileges=() session=() environment=() directory=/; }

# The container's shell tells its number as the host counts, which is what the host's procfs shows.
born_inside() { read -r pid _ </proc/self/stat; export pid; echo "$pid" >&"$to_host"; }

# The path $1 below the container's root, with symbolic links followed as the container would.
inside() {
  local rest=$1 path='' part link links=0
  while [ -n "$rest" ]; do
    part=${rest%%/*}
    case $rest in */*) rest=${rest#*/} ;; *) rest='' ;; esac
    case $part in '' | .) continue ;; ..) path=${path%/*}; continue ;; esac
    if [ ! -L "$root$path/$part" ]; then path=$path/$part; continue; fi
    links=$((links + 1))
    [ "$links" -le 40 ] || { echo "too many symbolic links: $1" >&2; return 1; }
    link=$(tool readlink "$root$path/$part")
    case $link in /*) path='' ;; esac
    rest=$link/$rest
  done
  printf '%s' "$root$path"
}

# Makes the target of a mount, "$2": a directory if "$1" is one, else an empty file.
place() {
  if [ -e "$2" ]; then return; fi
  if [ -d "$1" ]; then tool mkdir -p "$2"; else tool mkdir -p "${2%/*}"; : >"$2"; fi
}

# Hides what is at "$1", if anything is: a file under /dev/null, a directory under an empty one.
mask() {
  if [ -d "$1" ] && [ -z "$hidden" ]; then
    tool mount -t tmpfs -o size=4k,nr_inodes=1 tmpfs "$1"
    tool mount -o remount,bind,ro "$1"
    hidden=$1
  elif [ -d "$1" ]; then tool mount --bind "$hidden" "$1"
  elif [ -e "$1" ]; then tool mount --bind "$root/dev/null" "$1"; fi
}

# Makes "$1" and all below it read-only, if it exists, keeping its other mount options.
protect() {
  [ -e "$1" ] || return 0
  tool mount --rbind "$1" "$1"
  tool mount -o "remount,bind,ro$(options_of "$1")" "$1"
}

# ",nosuid,nodev" and so on: the options of the mount at "$1".
options_of() {
  local where options found=''
  while read -r _ _ _ _ where options _; do
    if [ "$where" = "${1:-/}" ]; then found=$options; fi
  done </proc/self/mountinfo
  local option kept=''
  for option in ${found//,/ }; do
    case $option in nosuid | nodev | noexec | noatime | nodiratime | relatime | nosymfollow) kept=$kept,$option ;; esac
  done
  printf '%s' "$kept"
}

# Lets packets of the bridge "$1" pass a firewall that by itself forwards nothing.
forward_allow() {
  local family
  for family in ip ip6; do
    if [[ $(nft list chain "$family" filter FORWARD 2>/dev/null) == *'policy drop'* ]]; then
      nft insert rule "$family" filter FORWARD iifname "$1" accept comment "\"lighter: $1\""
      nft insert rule "$family" filter FORWARD oifname "$1" accept comment "\"lighter: $1\""
    fi
  done
}

# Takes out again what forward_allow put in.
forward_forget() {
  local family line
  for family in ip ip6; do
    while read -r line; do
      case $line in *"\"lighter: $1\""*handle*) nft delete rule "$family" filter FORWARD handle "${line##* }" ;; esac
    done < <(nft -a list chain "$family" filter FORWARD 2>/dev/null)
  done
}

# The last container takes its bridge with it, and the last network the firewall's table.
leave_bridge() {
  if [ -z "$(ip -o link show master "$1" 2>/dev/null)" ]; then
    forward_forget "$1"
    ip link delete "$1" 2>/dev/null
  fi
}
leave_table() {
  [[ $(nft list table inet "$1" 2>/dev/null) == *'elements = '* ]] || nft delete table inet "$1" 2>/dev/null
}

# When "/" is the container's, the host's tools are run through the host's loader from the host's
# old root directory, in which this shell then stands.
find_loader() {
  local path program
  for path in /lib64/ld-linux-x86-64.so.2 /lib/ld-linux-aarch64.so.1 /lib/ld-musl-*.so.1; do
    if [ -e "$path" ]; then loader=$(readlink -f "$path"); loader=${loader#/}; fi
  done
  libraries=''
  for program in setpriv env mount umount prlimit setsid; do
    while read -r _ _ path _; do
      case $path in
        /*) path=$(readlink -f "${path%/*}"); path=${path#/}
            case :$libraries: in *":$path:"*) ;; *) libraries=$libraries${libraries:+:}$path ;; esac ;;
      esac
    done < <(ldd "$(type -P "$program")" 2>/dev/null)
  done
  export loader libraries
}
tool() {
  if [ -z "${from_old_root-}" ]; then command "$@"; return; fi
  local directory
  for directory in usr/sbin usr/bin sbin bin; do
    if [ -x "$directory/$1" ]; then
      "./$loader" --library-path "$libraries" "$directory/$1" "${@:2}"
      return
    fi
  done
  echo "the host has no $1" >&2
  return 127
}

# Makes "$root" the root of everything. `pivot_root . .` puts the host's root over the new one;
# `..` of the new root then is the host's, and after `umount -l` only this shell still knows it.
change_root() {
  cd "$root"
  pivot_root . .
  cd -P ..
  root='' from_old_root=yes
  export root from_old_root
  tool umount -l .
}

# Becomes the program, "$@", with the environment and directory that were set up. Each tool
# replaces itself by the next, and the last by the program: no process of the host's stays.
become() {
  local descriptor
  for descriptor in /proc/self/fd/*; do
    descriptor=${descriptor##*/}
    if [ "$descriptor" -gt 2 ]; then exec {descriptor}>&-; fi
  done
  local loaded=("./$loader" --library-path "$libraries")
  exec "/proc/self/cwd/$loader" --library-path "$libraries" "${session[@]}" \
    usr/bin/setpriv "${privileges[@]}" \
    "${loaded[@]}" usr/bin/env -i --chdir="$directory" "${environment[@]}" "$@"
}
