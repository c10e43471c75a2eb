//! Who has a port: the process behind the socket that the kernel lists for it.
//!
//! Only asked when a port was refused, so it may take its time: it reads the kernel's table of
//! sockets, then looks through the open files of every process. proc_pid_net(5), proc_pid_fd(5).

use std::fs;
use std::net::{IpAddr, SocketAddr};

use super::Protocol;

/// "process 812 (nginx)", when the socket and its process can be seen.
pub(super) fn find(protocol: Protocol, place: SocketAddr) -> Option<String> {
    let files = match protocol {
        Protocol::Tcp => ["tcp", "tcp6"],
        Protocol::Udp => ["udp", "udp6"],
        Protocol::Sctp => return None,
    };
    let inode = files.iter().find_map(|file| {
        let table = fs::read_to_string(format!("/proc/thread-self/net/{file}")).ok()?;
        table
            .lines()
            .skip(1)
            .filter_map(row)
            .find_map(|row| row.blocks(place).then_some(row.inode))
    })?;
    let (pid, name) = owner(inode)?;
    Some(format!("process {pid} ({name})"))
}

struct Row {
    address: IpAddr,
    port: u16,
    inode: u64,
}

impl Row {
    /// Whether this socket is the reason that `place` cannot be bound.
    fn blocks(&self, place: SocketAddr) -> bool {
        let overlaps = self.address == place.ip()
            || self.address.is_unspecified()
            || place.ip().is_unspecified();
        self.port == place.port() && self.inode != 0 && overlaps
    }
}

/// `  0: 0100007F:0277 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 18215 ...`
fn row(line: &str) -> Option<Row> {
    let mut fields = line.split_ascii_whitespace();
    let (address, port) = fields.nth(1)?.split_once(':')?;
    Some(Row {
        address: address_of(address)?,
        port: u16::from_str_radix(port, 16).ok()?,
        inode: fields.nth(7)?.parse().ok()?,
    })
}

/// Words of 4 bytes, each printed as a number of the machine's byte order.
fn address_of(text: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        u32::from_str_radix(text.get(at..at + 8)?, 16)
            .ok()
            .map(u32::to_ne_bytes)
    };
    match text.len() {
        8 => Some(IpAddr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?].concat();
            Some(IpAddr::from(<[u8; 16]>::try_from(words).ok()?))
        }
        _ => None,
    }
}

fn owner(inode: u64) -> Option<(u32, String)> {
    let wanted = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let pid = pids.find(|pid| {
        let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else {
            return false;
        };
        files.flatten().any(|file| {
            fs::read_link(file.path()).is_ok_and(|target| target.as_os_str() == wanted.as_str())
        })
    })?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some((pid, name.trim_end().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_port_is_named() {
        let server = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let found = find(Protocol::Udp, server.local_addr().unwrap()).unwrap();
        assert!(
            found.starts_with(&format!("process {} (", std::process::id())),
            "{found}"
        );
    }

    #[test]
    fn addresses_are_read_as_the_kernel_prints_them() {
        let address = "0100007F".chars().collect::<String>();
        assert_eq!(address_of(&address), Some(IpAddr::from([127, 0, 0, 1])));
        assert_eq!(
            address_of("B80D01200000000000000000E8030000"),
            Some("2001:db8::3e8".parse().unwrap())
        );
        assert_eq!(address_of("0100"), None);
    }
}
