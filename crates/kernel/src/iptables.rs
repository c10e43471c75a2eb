//! The old firewall, iptables-legacy: only looked at, because no other program may change a part of it.
//!
//! Its tables stand beside those of nf_tables, and a packet has to pass both. A table is read as one
//! block of memory: entries one after the other, each with its match and its verdict, and for each
//! hook the place of its first entry and of its policy (linux/netfilter_ipv4/ip_tables.h).

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType};

const IPT_SO_GET_INFO: i32 = 64;
const IPT_SO_GET_ENTRIES: i32 = 65;
const FORWARD: usize = 2;
/// Of `struct ipt_entry` and the `struct xt_entry_target` before a verdict.
const ENTRY: usize = 112;
const TARGET: usize = 32;
const INPUT_INTERFACE: usize = 16;
/// What stands in an entry for `NF_DROP`: verdicts are negative, less one.
const DROP: i32 = -1;

/// Whether iptables-legacy of this network namespace drops what is forwarded from `bridge`: by its
/// policy, and without any rule for the bridge.
///
/// # Errors
/// The table cannot be read.
pub fn legacy_drops_forwarded(bridge: &str) -> io::Result<bool> {
    // Asking for a table makes it: only look at one that is there.
    let tables = std::fs::read_to_string("/proc/net/ip_tables_names").unwrap_or_default();
    if !tables.lines().any(|table| table == "filter") {
        return Ok(false);
    }
    let socket = rustix::net::socket_with(
        AddressFamily::INET,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(rustix::net::ipproto::RAW),
    )?;
    // struct ipt_getinfo: name[32], valid_hooks, hook_entry[5], underflow[5], num_entries, size.
    let mut info = named(84);
    get(&socket, IPT_SO_GET_INFO, &mut info)?;
    let number = |at: usize| word(&info, at).map_or(0, |word| word as usize);
    let (first, policy) = (number(36 + 4 * FORWARD), number(56 + 4 * FORWARD));
    // struct ipt_get_entries: name[32], size, then the entries aligned to 8 bytes.
    let size = number(80);
    let mut entries = named(40 + size);
    entries[32..36].copy_from_slice(&(size as u32).to_ne_bytes());
    get(&socket, IPT_SO_GET_ENTRIES, &mut entries)?;
    Ok(drops(&entries[40..], first, policy, bridge))
}

/// A block that begins with the table's name.
fn named(size: usize) -> Vec<u8> {
    let mut block = vec![0; size];
    block[..6].copy_from_slice(b"filter");
    block
}

fn get(socket: &OwnedFd, option: i32, block: &mut [u8]) -> io::Result<()> {
    let mut length = block.len() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes, which is the size of the block.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            option,
            block.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn drops(entries: &[u8], first: usize, policy: usize, bridge: &str) -> bool {
    let target = half(entries, policy + 88).map_or(ENTRY, usize::from);
    let verdict = word(entries, policy + target + TARGET);
    if verdict.map(|word| word.cast_signed()) != Some(DROP) {
        return false;
    }
    let mut at = first;
    while at < policy {
        let name = entries.get(at + INPUT_INTERFACE..at + INPUT_INTERFACE + 16);
        let name = name.unwrap_or_default().split(|byte| *byte == 0).next();
        if name == Some(bridge.as_bytes()) {
            return false;
        }
        match half(entries, at + 90) {
            Some(next) if next > 0 => at += usize::from(next),
            _ => break,
        }
    }
    true
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at + 2)?;
    Some(u16::from_ne_bytes(bytes.try_into().ok()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}
