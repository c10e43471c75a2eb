//! Links, addresses and routes: what `ip link`, `ip address` and `ip route` do, over rtnetlink.
//!
//! In: plain data ([`Bridge`], [`Veth`], [`Address`], [`Route`]). Out: the kernel's acknowledgement.
//! A [`Route`]r socket belongs to the network namespace it was opened in for all its life, so
//! whoever wants to act in another namespace enters it, opens, and comes back ([`inside`]).
//! Read next: `netlink/wire.rs` (how a message is built), then crate `network`, which decides what
//! to ask for. rtnetlink(7), netlink(7).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub(crate) mod wire;

pub use wire::Error;
use wire::{Attributes, CHANGE, CREATE, Connection, DUMP, EXCLUSIVE, Message, read_text, read_u32};

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_PID: u16 = 19;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_INFO_SLAVE_KIND: u16 = 4;
const IFLA_INFO_SLAVE_DATA: u16 = 5;
const VETH_INFO_PEER: u16 = 1;
const IFLA_BRPORT_MODE: u16 = 4;
const IFLA_BRPORT_ISOLATED: u16 = 33;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const IFA_FLAGS: u16 = 8;
const IFA_F_NODAD: u32 = 0x02;

const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_TABLE: u16 = 15;

const IFF_UP: u32 = 1;
const NETLINK_ROUTE: i32 = 0;

/// An address with the length of its network's prefix, or that network itself: `172.24.0.2/22`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cidr {
    /// The address.
    pub address: IpAddr,
    /// How many leading bits name the network; at most 32 or 128.
    pub prefix: u8,
}

impl Cidr {
    /// Puts an address and a prefix together; none when the prefix is longer than the address.
    pub fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        (prefix <= bits(address)).then_some(Cidr { address, prefix })
    }

    /// The same network with all host bits cleared.
    pub fn network(self) -> Self {
        let address = from_number(self.address, to_number(self.address) & self.mask());
        Cidr { address, ..self }
    }

    /// Whether `address` lies in this network.
    pub fn contains(self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4()
            && (to_number(self.address) ^ to_number(address)) & self.mask() == 0
    }

    /// Whether the two networks share any address.
    pub fn overlaps(self, other: Cidr) -> bool {
        self.contains(other.network().address) || other.contains(self.network().address)
    }

    /// The address `number` places after the network's first; none past the last.
    pub fn nth(self, number: u128) -> Option<IpAddr> {
        (number < self.size())
            .then(|| from_number(self.address, to_number(self.network().address) + number))
    }

    /// How many addresses the network has (`u128::MAX` for a whole IPv6 space).
    pub fn size(self) -> u128 {
        1u128
            .checked_shl(u32::from(bits(self.address) - self.prefix))
            .unwrap_or(u128::MAX)
    }

    fn mask(self) -> u128 {
        !(self.size() - 1)
    }
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn to_number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

fn from_number(like: IpAddr, number: u128) -> IpAddr {
    match like {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from(number as u32)),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from(number)),
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.address, self.prefix)
    }
}

/// The text is not `ADDRESS/PREFIX`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not an address with a prefix, such as 10.1.0.0/24")]
pub struct NotCidr(pub String);

impl FromStr for Cidr {
    type Err = NotCidr;

    fn from_str(text: &str) -> Result<Self, NotCidr> {
        let parse = || {
            let (address, prefix) = text.split_once('/')?;
            Cidr::new(address.parse().ok()?, prefix.parse().ok()?)
        };
        parse().ok_or_else(|| NotCidr(text.to_owned()))
    }
}

/// The hardware address of a link, `02:42:ac:18:00:02`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(out, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }
}

/// The text is not a hardware address of a host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a MAC address of one host, such as 02:42:ac:18:00:02")]
pub struct NotMac(pub String);

impl FromStr for Mac {
    type Err = NotMac;

    /// Reads six hexadecimal bytes with `:` or `-` between; a group address is refused.
    fn from_str(text: &str) -> Result<Self, NotMac> {
        let bytes: Option<Vec<u8>> = text
            .split([':', '-'])
            .map(|byte| {
                (byte.len() == 2)
                    .then(|| u8::from_str_radix(byte, 16).ok())
                    .flatten()
            })
            .collect();
        let bytes: Option<[u8; 6]> = bytes.and_then(|bytes| bytes.try_into().ok());
        match bytes {
            Some(bytes) if bytes[0] & 1 == 0 && bytes != [0; 6] => Ok(Mac(bytes)),
            _ => Err(NotMac(text.to_owned())),
        }
    }
}

/// Serialise as the text that `Display` prints and `FromStr` reads.
macro_rules! as_text {
    ($kind:ty) => {
        impl Serialize for $kind {
            fn serialize<S: serde::Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
                out.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $kind {
            fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
                let text = String::deserialize(input)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
as_text!(Cidr);
as_text!(Mac);

/// A software switch; what containers of one network plug into.
///
/// Its spanning tree protocol stays off (the kernel's default), so that a new port forwards at
/// once. Its address is given and not taken from a port, because it would change, and with it the
/// gateway's entry in every container's neighbour table, when that port goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bridge {
    /// The name, at most 15 bytes.
    pub name: String,
    /// The hardware address.
    pub mac: Mac,
    /// The largest packet in bytes; the kernel's choice when absent.
    pub mtu: Option<u32>,
}

/// A virtual cable: one end on a bridge, the other in a container. veth(4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Veth {
    /// The name of the end on the bridge.
    pub name: String,
    /// The hardware address of that end.
    pub mac: Mac,
    /// The bridge it is plugged into.
    pub bridge: String,
    /// Whether other isolated ports of the bridge cannot be reached (since Linux 4.18).
    pub isolated: bool,
    /// Whether the bridge may send a packet back to where it came from. Needed to reach oneself by
    /// a published port where br_netfilter translates addresses before the bridge decides.
    pub hairpin: bool,
    /// The largest packet in bytes, for both ends.
    pub mtu: Option<u32>,
    /// The name of the end in the container.
    pub peer: String,
    /// The hardware address of the end in the container.
    pub peer_mac: Mac,
}

/// The network namespace that receives the other end of a [`Veth`].
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// The namespace of a process.
    Process(u32),
    /// A namespace held open.
    Namespace(RawFd),
}

/// An address of a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// The link's name.
    pub link: String,
    /// The address and its network.
    pub address: Cidr,
}

/// A way to a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Where to; everywhere when absent.
    pub destination: Option<Cidr>,
    /// Through which neighbour; the default route of this family.
    pub gateway: IpAddr,
    /// Through which link.
    pub link: String,
}

/// A link as the kernel lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its number in this namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// What made it (`bridge`, `veth`, ...); empty for hardware.
    pub kind: String,
    /// The number of the bridge it is a port of.
    pub master: Option<u32>,
}

/// A socket to rtnetlink in one network namespace.
pub struct Netlink(Connection);

impl Netlink {
    /// Opens a socket in the calling thread's network namespace.
    pub fn open() -> Result<Self, Error> {
        Connection::open(NETLINK_ROUTE).map(Netlink)
    }

    /// Makes a bridge and sets it up. Fails with `EEXIST` when a link of that name is there.
    pub fn add_bridge(&mut self, bridge: &Bridge) -> Result<(), Error> {
        let mut message = Message::new(RTM_NEWLINK, CHANGE | CREATE | EXCLUSIVE)
            .body(&link_header(0, IFF_UP))
            .text(IFLA_IFNAME, &bridge.name)
            .bytes(IFLA_ADDRESS, &bridge.mac.0);
        if let Some(mtu) = bridge.mtu {
            message = message.u32(IFLA_MTU, mtu);
        }
        self.0.change(message.nest(IFLA_LINKINFO, |info| {
            info.put_text(IFLA_INFO_KIND, "bridge")
        }))
    }

    /// Makes a cable with its far end in `target`, the near end up and on its bridge.
    ///
    /// One message does all of it: rtnetlink sets master, address and flags of a new link, and
    /// makes a veth's peer straight in the namespace that the peer's attributes name. The far end
    /// stays down, so that the container can say how it wants IPv6 before the kernel configures it.
    pub fn add_veth(&mut self, veth: &Veth, target: Target) -> Result<(), Error> {
        let bridge = self.index(&veth.bridge)?;
        let mut message = Message::new(RTM_NEWLINK, CHANGE | CREATE | EXCLUSIVE)
            .body(&link_header(0, IFF_UP))
            .text(IFLA_IFNAME, &veth.name)
            .bytes(IFLA_ADDRESS, &veth.mac.0)
            .u32(IFLA_MASTER, bridge);
        if let Some(mtu) = veth.mtu {
            message = message.u32(IFLA_MTU, mtu);
        }
        self.0.change(message.nest(IFLA_LINKINFO, |info| {
            info.put_text(IFLA_INFO_KIND, "veth");
            info.put_nest(IFLA_INFO_DATA, |data| {
                data.put_nest(VETH_INFO_PEER, |peer| put_peer(peer, veth, target));
            });
        }))?;
        match veth.isolated || veth.hairpin {
            true => self.set_port(veth),
            false => Ok(()),
        }
    }

    /// Says how the bridge treats a port; a port of a link that is just made takes no such wish.
    fn set_port(&mut self, veth: &Veth) -> Result<(), Error> {
        let index = self.index(&veth.name)?;
        let message = Message::new(RTM_NEWLINK, CHANGE).body(&link_header(index, 0));
        self.0.change(message.nest(IFLA_LINKINFO, |info| {
            info.put_text(IFLA_INFO_SLAVE_KIND, "bridge");
            info.put_nest(IFLA_INFO_SLAVE_DATA, |port| {
                port.put_bytes(IFLA_BRPORT_ISOLATED, &[veth.isolated.into()]);
                port.put_bytes(IFLA_BRPORT_MODE, &[veth.hairpin.into()]);
            });
        }))
    }

    /// Moves a link to another namespace under another name; there it is down and has no address.
    pub fn move_link(&mut self, name: &str, rename: &str, target: Target) -> Result<(), Error> {
        let index = self.index(name)?;
        let message = Message::new(RTM_NEWLINK, CHANGE).body(&link_header(index, 0));
        let (kind, value) = target_attribute(target);
        self.0
            .change(message.text(IFLA_IFNAME, rename).bytes(kind, &value))
    }

    /// Sets a link up. Fails with `ENODEV` when it is missing.
    pub fn set_up(&mut self, name: &str) -> Result<(), Error> {
        let message = Message::new(RTM_NEWLINK, CHANGE).body(&link_header(0, IFF_UP));
        self.0.change(message.text(IFLA_IFNAME, name))
    }

    /// Removes a link, and with one end of a cable the other. Fails with `ENODEV` when missing.
    pub fn delete_link(&mut self, name: &str) -> Result<(), Error> {
        let message = Message::new(RTM_DELLINK, CHANGE).body(&link_header(0, 0));
        self.0.change(message.text(IFLA_IFNAME, name))
    }

    /// Gives a link an address. Fails with `EEXIST` when it has it.
    ///
    /// IPv6 addresses skip duplicate detection: they are leased, and would be unusable for a
    /// second otherwise.
    pub fn add_address(&mut self, address: &Address) -> Result<(), Error> {
        let index = self.index(&address.link)?;
        let cidr = address.address;
        let octets = octets(cidr.address);
        let header = [family(cidr.address), cidr.prefix, 0, 0];
        let mut message = Message::new(RTM_NEWADDR, CHANGE | CREATE | EXCLUSIVE)
            .body(&[&header[..], &index.to_ne_bytes()].concat())
            .bytes(IFA_LOCAL, &octets)
            .bytes(IFA_ADDRESS, &octets)
            .u32(IFA_FLAGS, IFA_F_NODAD);
        if let (IpAddr::V4(_), Some(last)) = (cidr.address, cidr.nth(cidr.size() - 1)) {
            message = message.bytes(IFA_BROADCAST, &self::octets(last));
        }
        self.0.change(message)
    }

    /// Adds a route. Fails with `EEXIST` when there is one, `ENETUNREACH` when the gateway is not
    /// on the link's network.
    pub fn add_route(&mut self, route: &Route) -> Result<(), Error> {
        const TABLE_MAIN: u8 = 254;
        const PROTOCOL_BOOT: u8 = 3;
        const SCOPE_UNIVERSE: u8 = 0;
        const UNICAST: u8 = 1;
        let index = self.index(&route.link)?;
        let prefix = route
            .destination
            .map_or(0, |destination| destination.prefix);
        let header = [
            family(route.gateway),
            prefix,
            0,
            0,
            TABLE_MAIN,
            PROTOCOL_BOOT,
            SCOPE_UNIVERSE,
            UNICAST,
            0,
            0,
            0,
            0,
        ];
        let mut message = Message::new(RTM_NEWROUTE, CHANGE | CREATE | EXCLUSIVE).body(&header);
        if let Some(destination) = route.destination {
            message = message.bytes(RTA_DST, &octets(destination.network().address));
        }
        self.0.change(
            message
                .bytes(RTA_GATEWAY, &octets(route.gateway))
                .u32(RTA_OIF, index),
        )
    }

    /// The number of the link called `name`. Fails with `ENODEV` when it is missing.
    pub fn index(&mut self, name: &str) -> Result<u32, Error> {
        // An if_nametoindex(3) that uses the socket's namespace, whatever the thread's is by now.
        let question = Message::new(RTM_GETLINK, CHANGE)
            .body(&link_header(0, 0))
            .text(IFLA_IFNAME, name);
        let mut index = 0;
        self.0.ask(question, |_, payload| {
            index = read_u32(payload, 4)?;
            Ok(())
        })?;
        Ok(index)
    }

    /// All links.
    pub fn links(&mut self) -> Result<Vec<Link>, Error> {
        let mut links = Vec::new();
        let question = Message::new(RTM_GETLINK, DUMP).body(&link_header(0, 0));
        self.0.ask(question, |_, payload| {
            links.push(read_link(payload)?);
            Ok(())
        })?;
        Ok(links)
    }

    /// All addresses, with the number of their link.
    pub fn addresses(&mut self) -> Result<Vec<(u32, Cidr)>, Error> {
        let mut addresses = Vec::new();
        self.0.ask(
            Message::new(RTM_GETADDR, DUMP).body(&[0; 8]),
            |_, payload| {
                let prefix = *payload.get(1).ok_or(Error::Malformed)?;
                let index = read_u32(payload, 4)?;
                let found = Attributes(payload.get(8..).unwrap_or_default())
                    .filter(|(kind, _)| *kind == IFA_LOCAL || *kind == IFA_ADDRESS)
                    .max_by_key(|(kind, _)| *kind)
                    .and_then(|(_, value)| Cidr::new(read_address(value)?, prefix));
                addresses.extend(found.map(|cidr| (index, cidr)));
                Ok(())
            },
        )?;
        Ok(addresses)
    }

    /// The networks that the main routing table has a route to, without default routes.
    pub fn routes(&mut self) -> Result<Vec<Cidr>, Error> {
        const TABLE_LOCAL: u32 = 255;
        let mut routes = Vec::new();
        self.0.ask(
            Message::new(RTM_GETROUTE, DUMP).body(&[0; 12]),
            |_, payload| {
                let prefix = *payload.get(1).ok_or(Error::Malformed)?;
                let mut table = u32::from(*payload.get(4).ok_or(Error::Malformed)?);
                let mut destination = None;
                for (kind, value) in Attributes(payload.get(12..).unwrap_or_default()) {
                    match kind {
                        RTA_DST => destination = read_address(value),
                        RTA_TABLE => table = read_u32(value, 0)?,
                        _ => {}
                    }
                }
                if table != TABLE_LOCAL && prefix > 0 {
                    routes.extend(destination.and_then(|address| Cidr::new(address, prefix)));
                }
                Ok(())
            },
        )?;
        Ok(routes)
    }
}

// ---- what the ops do: each opens a socket where it is, and finds its work done without complaint.

/// [`crate::Op::BridgeAdd`].
pub fn have_bridge(bridge: &Bridge) -> Result<(), Error> {
    unless(libc::EEXIST, Netlink::open()?.add_bridge(bridge))
}

/// [`crate::Op::VethAdd`].
pub fn have_veth(veth: &Veth, target: Target) -> Result<(), Error> {
    Netlink::open()?.add_veth(veth, target)
}

/// [`crate::Op::LinkMove`].
pub fn move_link(name: &str, rename: &str, target: Target) -> Result<(), Error> {
    Netlink::open()?.move_link(name, rename, target)
}

/// [`crate::Op::LinkUp`].
pub fn link_up(name: &str) -> Result<(), Error> {
    Netlink::open()?.set_up(name)
}

/// [`crate::Op::LinkDelete`].
pub fn drop_link(name: &str) -> Result<(), Error> {
    unless(libc::ENODEV, Netlink::open()?.delete_link(name))
}

/// [`crate::Op::AddressAdd`].
pub fn have_address(address: &Address) -> Result<(), Error> {
    unless(libc::EEXIST, Netlink::open()?.add_address(address))
}

/// [`crate::Op::RouteAdd`].
pub fn have_route(route: &Route) -> Result<(), Error> {
    unless(libc::EEXIST, Netlink::open()?.add_route(route))
}

/// What is done already, or missing already, is no error.
fn unless(errno: i32, result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Err(error) if error.errno() == errno => Ok(()),
        other => other,
    }
}

/// Runs `act` with the calling thread in another network namespace, then comes back.
///
/// Sockets that `act` opens stay in that namespace. Needs `CAP_SYS_ADMIN`; setns(2).
pub fn inside<T>(namespace: BorrowedFd<'_>, act: impl FnOnce() -> T) -> Result<T, std::io::Error> {
    use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
    let kind = Some(LinkNameSpaceType::Network);
    let home = std::fs::File::open("/proc/thread-self/ns/net")?;
    move_into_link_name_space(namespace, kind)?;
    let result = act();
    move_into_link_name_space(home.as_fd(), kind)?;
    Ok(result)
}

fn put_peer(peer: &mut Message, veth: &Veth, target: Target) {
    peer.put_body(&link_header(0, 0));
    peer.put_text(IFLA_IFNAME, &veth.peer);
    peer.put_bytes(IFLA_ADDRESS, &veth.peer_mac.0);
    if let Some(mtu) = veth.mtu {
        peer.put_bytes(IFLA_MTU, &mtu.to_ne_bytes());
    }
    let (kind, value) = target_attribute(target);
    peer.put_bytes(kind, &value);
}

fn target_attribute(target: Target) -> (u16, [u8; 4]) {
    match target {
        Target::Process(pid) => (IFLA_NET_NS_PID, pid.to_ne_bytes()),
        Target::Namespace(fd) => (IFLA_NET_NS_FD, fd.to_ne_bytes()),
    }
}

/// `struct ifinfomsg`: family, padding, type, index, flags, and which flags to change.
fn link_header(index: u32, flags: u32) -> Vec<u8> {
    let words = [0u32, index, flags, flags];
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn family(address: IpAddr) -> u8 {
    const AF_INET: u8 = 2;
    const AF_INET6: u8 = 10;
    if address.is_ipv4() { AF_INET } else { AF_INET6 }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn read_address(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        4 => Some(IpAddr::from(<[u8; 4]>::try_from(value).ok()?)),
        16 => Some(IpAddr::from(<[u8; 16]>::try_from(value).ok()?)),
        _ => None,
    }
}

fn read_link(payload: &[u8]) -> Result<Link, Error> {
    let mut link = Link {
        index: read_u32(payload, 4)?,
        name: String::new(),
        kind: String::new(),
        master: None,
    };
    for (kind, value) in Attributes(payload.get(16..).unwrap_or_default()) {
        match kind {
            IFLA_IFNAME => link.name = read_text(value),
            IFLA_MASTER => link.master = Some(read_u32(value, 0)?),
            IFLA_LINKINFO => {
                let found = Attributes(value).find(|(kind, _)| *kind == IFLA_INFO_KIND);
                link.kind = found.map(|(_, name)| read_text(name)).unwrap_or_default();
            }
            _ => {}
        }
    }
    Ok(link)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    #[test]
    fn networks_overlap_when_one_holds_the_other() {
        assert!(cidr("172.16.0.0/12").overlaps(cidr("172.24.3.0/24")));
        assert!(cidr("172.24.3.0/24").overlaps(cidr("172.16.0.0/12")));
        assert!(!cidr("172.24.3.0/24").overlaps(cidr("172.24.4.0/24")));
        assert!(!cidr("0.0.0.0/0").overlaps(cidr("::/0")));
    }

    #[test]
    fn a_network_counts_its_addresses() {
        assert_eq!(
            cidr("172.24.0.9/30").nth(3),
            Some("172.24.0.11".parse().unwrap())
        );
        assert_eq!(cidr("172.24.0.9/30").nth(4), None);
        assert_eq!(cidr("fd00::5/64").network(), cidr("fd00::/64"));
        assert_eq!(cidr("::/0").network(), cidr("::/0"));
    }

    #[test]
    fn a_prefix_longer_than_the_address_is_refused() {
        assert!("10.0.0.0/33".parse::<Cidr>().is_err());
        assert!("10.0.0.0".parse::<Cidr>().is_err());
    }

    #[test]
    fn a_mac_of_a_group_is_refused() {
        assert_eq!(
            "02:42:AC:18:00:02".parse::<Mac>().unwrap().to_string(),
            "02:42:ac:18:00:02"
        );
        assert!("01:00:5e:00:00:01".parse::<Mac>().is_err());
        assert!("02:42:ac:18:00".parse::<Mac>().is_err());
        assert!("2:42:ac:18:0:2".parse::<Mac>().is_err());
    }
}
