//! Published ports: what people write, and the port of the host that it becomes.
//!
//! In: `127.0.0.1:8000-8010:80/tcp`, or the same as a [`Publish`]. Out: [`Published`] ports, each
//! held by a bound socket ([`Reservation`]) as long as the container lives. The socket never
//! listens: the firewall sends the packets to the container before they reach it. It makes the
//! kernel refuse the port to everybody else, of this lighter or not, and names a free one.
//! Read next: `endpoint.rs`. docker-run(1), `--publish`.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, Shutdown, SocketFlags, SocketType, sockopt};
use serde::{Deserialize, Serialize};

use crate::Error;

mod holder;

/// A transport protocol.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Protocol {
    #[default]
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    /// Its number in IP's header.
    pub fn number(self) -> u8 {
        match self {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
            Protocol::Sctp => 132,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        })
    }
}

/// A wish to reach a port of the container through the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publish {
    /// The port inside.
    pub container_port: u16,
    /// Its protocol.
    #[serde(default)]
    pub protocol: Protocol,
    /// The address of the host it is reached by; every one when absent.
    #[serde(default)]
    pub host_ip: Option<IpAddr>,
    /// The port of the host, a first and a last from which the first free one is taken; any free
    /// one when absent.
    #[serde(default)]
    pub host_ports: Option<(u16, u16)>,
}

/// A published port as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// The port inside.
    pub container_port: u16,
    /// Its protocol.
    pub protocol: Protocol,
    /// The address of the host it is reached by; `0.0.0.0` or `::` for every one of the family.
    pub host_ip: IpAddr,
    /// The port of the host.
    pub host_port: u16,
}

impl fmt::Display for Published {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = SocketAddr::new(self.host_ip, self.host_port);
        write!(out, "{host}->{}/{}", self.container_port, self.protocol)
    }
}

/// The sockets that keep published ports from everybody else. Dropping it gives the ports back.
#[derive(Debug, Default)]
pub struct Reservation {
    /// One bound socket for each port.
    pub sockets: Vec<OwnedFd>,
}

/// Reads `[[ADDRESS:][PORT[-PORT]]:]PORT[-PORT][/PROTOCOL]` as `docker run --publish` does.
///
/// Ranges of the same length on both sides are pairs; a range of the host for one port of the
/// container is a choice. An IPv6 address stands in brackets. Host port 0 is any free one.
pub fn parse(text: &str) -> Result<Vec<Publish>, Error> {
    let bad = |why: &str| Error::Invalid(format!("invalid port \"{text}\": {why}"));
    let (ports, protocol) = match text.rsplit_once('/') {
        Some((ports, protocol)) => (
            ports,
            parse_protocol(protocol)
                .ok_or_else(|| bad("the protocol is none of tcp, udp, sctp"))?,
        ),
        None => (text, Protocol::Tcp),
    };
    let (before, container) = ports.rsplit_once(':').unwrap_or(("", ports));
    let (host_ip, host) = split_address(before).ok_or_else(|| bad("the address is not one"))?;
    let container = parse_range(container)
        .ok_or_else(|| bad("the container's port is not a number from 1 to 65535"))?;
    if container.0 == 0 {
        return Err(bad("the container's port is not a number from 1 to 65535"));
    }
    let host = match host {
        "" | "0" => None,
        host => Some(
            parse_range(host)
                .ok_or_else(|| bad("the host's port is not a number from 1 to 65535"))?,
        ),
    };
    let publish = |container_port, host_ports| Publish {
        container_port,
        protocol,
        host_ip,
        host_ports,
    };
    match host {
        None => Ok((container.0..=container.1)
            .map(|port| publish(port, None))
            .collect()),
        Some(host) if container.0 == container.1 => Ok(vec![publish(container.0, Some(host))]),
        Some(host) if host.1 - host.0 == container.1 - container.0 => Ok((container.0
            ..=container.1)
            .zip(host.0..=host.1)
            .map(|(inside, outside)| publish(inside, Some((outside, outside))))
            .collect()),
        Some(_) => Err(bad("the two ranges differ in length")),
    }
}

fn parse_protocol(text: &str) -> Option<Protocol> {
    match text.to_ascii_lowercase().as_str() {
        "tcp" => Some(Protocol::Tcp),
        "udp" => Some(Protocol::Udp),
        "sctp" => Some(Protocol::Sctp),
        _ => None,
    }
}

/// `ADDRESS:PORT`, `ADDRESS:`, `PORT` or nothing.
fn split_address(text: &str) -> Option<(Option<IpAddr>, &str)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let port = if port.is_empty() {
            ""
        } else {
            port.strip_prefix(':')?
        };
        return Some((Some(IpAddr::V6(address.parse().ok()?)), port));
    }
    match text.rsplit_once(':') {
        Some(("", port)) => Some((None, port)),
        Some((address, port)) => Some((Some(IpAddr::V4(address.parse().ok()?)), port)),
        None if text.contains('.') => Some((Some(IpAddr::V4(text.parse().ok()?)), "")),
        None => Some((None, text)),
    }
}

/// `PORT` or `FIRST-LAST`.
fn parse_range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let range = (first.parse().ok()?, last.parse().ok()?);
    (digits(first) && digits(last) && range.0 <= range.1).then_some(range)
}

/// The addresses of the host that a wish is about, given what families the endpoint has.
pub(crate) fn host_addresses(
    wish: &Publish,
    default: Option<IpAddr>,
    ipv4: bool,
    ipv6: bool,
) -> Result<Vec<IpAddr>, Error> {
    let unreachable = |address: IpAddr, why: &str| {
        Err(Error::Invalid(format!(
            "cannot publish port {} on {address}: {why}",
            wish.container_port
        )))
    };
    match wish.host_ip {
        Some(address) if address.is_ipv4() && !ipv4 => {
            unreachable(address, "the network has no IPv4")
        }
        Some(address) if address.is_ipv6() && !ipv6 => {
            unreachable(address, "the network has no IPv6 (create one with --ipv6)")
        }
        // Linux routes 127.0.0.0/8 out of an interface when told to, but never ::1.
        Some(address) if address == Ipv6Addr::LOCALHOST => {
            unreachable(address, "Linux cannot forward from ::1; 127.0.0.1 works")
        }
        Some(address) => Ok(vec![address]),
        None => {
            let any4 = default.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
            let any6 = default
                .is_none()
                .then_some(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
            Ok(ipv4
                .then_some(any4)
                .into_iter()
                .chain(any6.filter(|_| ipv6))
                .collect())
        }
    }
}

impl Reservation {
    /// Takes the first port of the wish that is free on all `addresses`.
    pub(crate) fn take(
        &mut self,
        wish: &Publish,
        addresses: &[IpAddr],
    ) -> Result<Vec<Published>, Error> {
        const ATTEMPTS: u16 = 16;
        let candidates = match wish.host_ports {
            Some((first, last)) => (first..=last).collect(),
            None => vec![0; usize::from(ATTEMPTS)],
        };
        let mut refusal = None;
        for port in candidates {
            match reserve(wish.protocol, addresses, port) {
                Ok((port, sockets)) => {
                    self.sockets.extend(sockets);
                    return Ok(addresses
                        .iter()
                        .map(|address| published(wish, *address, port))
                        .collect());
                }
                Err((address, error)) => refusal = Some((SocketAddr::new(address, port), error)),
            }
        }
        match refusal {
            Some((place, error)) => Err(refused(wish.protocol, place, error)),
            None => Ok(Vec::new()),
        }
    }
}

fn published(wish: &Publish, host_ip: IpAddr, host_port: u16) -> Published {
    Published {
        container_port: wish.container_port,
        protocol: wish.protocol,
        host_ip,
        host_port,
    }
}

fn refused(protocol: Protocol, place: SocketAddr, error: io::Error) -> Error {
    let what = format!("{place}/{protocol}");
    match error.kind() {
        io::ErrorKind::AddrInUse => Error::PortInUse {
            port: what,
            holder: holder::find(protocol, place),
        },
        io::ErrorKind::AddrNotAvailable => Error::Invalid(format!(
            "cannot publish on {}: it is no address of this host",
            place.ip()
        )),
        _ => Error::Call {
            what: format!("cannot reserve port {what}"),
            source: error,
        },
    }
}

/// Binds `port` on every address; for port 0 the kernel's choice on the first one.
fn reserve(
    protocol: Protocol,
    addresses: &[IpAddr],
    port: u16,
) -> Result<(u16, Vec<OwnedFd>), (IpAddr, io::Error)> {
    let mut port = port;
    let mut sockets = Vec::new();
    for address in addresses {
        let (socket, bound) =
            bind(protocol, SocketAddr::new(*address, port)).map_err(|error| (*address, error))?;
        port = bound;
        sockets.push(socket);
    }
    Ok((port, sockets))
}

fn bind(protocol: Protocol, place: SocketAddr) -> io::Result<(OwnedFd, u16)> {
    let socket = match bind_plain(protocol, place) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && protocol == Protocol::Tcp => {
            bind_over_finished(place)?
        }
        other => other?,
    };
    let bound =
        SocketAddr::try_from(rustix::net::getsockname(&socket)?).map_err(io::Error::from)?;
    Ok((socket, bound.port()))
}

fn bind_plain(protocol: Protocol, place: SocketAddr) -> io::Result<OwnedFd> {
    let (kind, number) = match protocol {
        Protocol::Tcp => (SocketType::STREAM, rustix::net::ipproto::TCP),
        Protocol::Udp => (SocketType::DGRAM, rustix::net::ipproto::UDP),
        Protocol::Sctp => (SocketType::STREAM, rustix::net::ipproto::SCTP),
    };
    let family = if place.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, Some(number))?;
    if place.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    rustix::net::bind(&socket, &place)?;
    Ok(socket)
}

/// Binds a port that only finished connections (`TIME_WAIT`) of an earlier server still have.
///
/// `SO_REUSEADDR` passes over those, but also over any socket that does the same and does not
/// listen: listening is what tells them apart. Shutting the listener down keeps it bound, and
/// without the option nobody can pass over it.
fn bind_over_finished(place: SocketAddr) -> io::Result<OwnedFd> {
    let family = if place.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let socket = rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    if place.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &place)?;
    rustix::net::listen(&socket, 0)?;
    rustix::net::shutdown(&socket, Shutdown::Read)?;
    sockopt::set_socket_reuseaddr(&socket, false)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        let one = |port: Publish| {
            let address = port
                .host_ip
                .map(|address| format!("{address} "))
                .unwrap_or_default();
            format!(
                "{address}{:?} {}/{}",
                port.host_ports, port.container_port, port.protocol
            )
        };
        match parse(text) {
            Ok(ports) => ports.into_iter().map(one).collect(),
            Err(error) => vec![error.to_string()],
        }
    }

    #[test]
    fn ports_are_read_as_docker_reads_them() {
        assert_eq!(shown("80"), ["None 80/tcp"]);
        assert_eq!(shown("8080:80"), ["Some((8080, 8080)) 80/tcp"]);
        assert_eq!(shown("0:80"), ["None 80/tcp"]);
        assert_eq!(shown("53:53/udp"), ["Some((53, 53)) 53/udp"]);
        assert_eq!(
            shown("127.0.0.1:8080:80"),
            ["127.0.0.1 Some((8080, 8080)) 80/tcp"]
        );
        assert_eq!(shown("127.0.0.1::80"), ["127.0.0.1 None 80/tcp"]);
        assert_eq!(
            shown("[::1]:8080:80/TCP"),
            ["::1 Some((8080, 8080)) 80/tcp"]
        );
        assert_eq!(shown("8000-8010:80"), ["Some((8000, 8010)) 80/tcp"]);
        assert_eq!(
            shown("7000-7001:80-81"),
            ["Some((7000, 7000)) 80/tcp", "Some((7001, 7001)) 81/tcp"]
        );
        assert_eq!(shown("80-81"), ["None 80/tcp", "None 81/tcp"]);
    }

    #[test]
    fn what_is_no_port_is_said() {
        insta::assert_debug_snapshot!(
            ["", "0", "http", "80:http", "70000", "80/icmp", "1.2.3:80:80", "7000-7002:80-81", "90-80", "+80", "::1:80:80"]
                .map(|text| shown(text).concat()),
            @r#"
        [
            "invalid port \"\": the container's port is not a number from 1 to 65535",
            "invalid port \"0\": the container's port is not a number from 1 to 65535",
            "invalid port \"http\": the container's port is not a number from 1 to 65535",
            "invalid port \"80:http\": the container's port is not a number from 1 to 65535",
            "invalid port \"70000\": the container's port is not a number from 1 to 65535",
            "invalid port \"80/icmp\": the protocol is none of tcp, udp, sctp",
            "invalid port \"1.2.3:80:80\": the address is not one",
            "invalid port \"7000-7002:80-81\": the two ranges differ in length",
            "invalid port \"90-80\": the container's port is not a number from 1 to 65535",
            "invalid port \"+80\": the container's port is not a number from 1 to 65535",
            "invalid port \"::1:80:80\": the address is not one",
        ]
        "#
        );
    }

    #[test]
    fn a_bound_port_is_refused_to_the_next() {
        let wish = Publish {
            container_port: 80,
            protocol: Protocol::Tcp,
            host_ip: None,
            host_ports: None,
        };
        let here = [IpAddr::V4(Ipv4Addr::LOCALHOST)];
        let mut first = Reservation::default();
        let port = first.take(&wish, &here).unwrap()[0].host_port;
        let same = Publish {
            host_ports: Some((port, port)),
            ..wish
        };
        let refusal = Reservation::default().take(&same, &here).unwrap_err();
        assert!(matches!(refusal, Error::PortInUse { .. }), "{refusal}");
        drop(first);
        Reservation::default().take(&same, &here).unwrap();
    }

    #[test]
    fn finished_connections_do_not_keep_a_port() {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let place = server.local_addr().unwrap();
        let client = std::net::TcpStream::connect(place).unwrap();
        let (accepted, _) = server.accept().unwrap();
        drop(accepted);
        drop(client);
        drop(server);
        assert_eq!(
            bind_plain(Protocol::Tcp, place).unwrap_err().kind(),
            io::ErrorKind::AddrInUse
        );
        let (held, _) = bind(Protocol::Tcp, place).unwrap();
        assert_eq!(
            bind(Protocol::Tcp, place).unwrap_err().kind(),
            io::ErrorKind::AddrInUse
        );
        assert_eq!(
            std::net::TcpStream::connect(place).unwrap_err().kind(),
            io::ErrorKind::ConnectionRefused
        );
        drop(held);
    }
}
