//! Connections that the kernel knows: forgetting those that a change of the firewall comes too late for.
//!
//! A translation is decided by a connection's first packet. For UDP a connection is whatever two
//! ports say to each other without a long pause, so a client that goes on asking would talk to the
//! container that had the port before, for ever. Read next: `nft.rs`. conntrack(8).

use crate::netlink::Error;
use crate::netlink::wire::{Attributes, CHANGE, Connection, DUMP, Message};

const NETLINK_NETFILTER: i32 = 12;
/// `NFNL_SUBSYS_CTNETLINK << 8`, then `IPCTNL_MSG_CT_GET` and `IPCTNL_MSG_CT_DELETE`.
const GET: u16 = 1 << 8 | 1;
const DELETE: u16 = 1 << 8 | 2;

const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_DST_PORT: u16 = 3;
const CTA_FILTER: u16 = 25;
const CTA_FILTER_ORIG_FLAGS: u16 = 1;
const CTA_FILTER_REPLY_FLAGS: u16 = 2;
/// `CTA_FILTER_F_CTA_PROTO_NUM | CTA_FILTER_F_CTA_PROTO_DST_PORT`.
const BY_PROTOCOL_AND_PORT: u32 = 1 << 3 | 1 << 5;

/// `AF_INET` and `AF_INET6`.
const FAMILIES: [u8; 2] = [2, 10];

/// [`crate::Op::ConnectionsForget`].
pub fn forget(protocol: u8, port: u16) -> Result<(), Error> {
    let mut socket = Connection::open(NETLINK_NETFILTER)?;
    for family in FAMILIES {
        for tuple in known(&mut socket, family, protocol, port)? {
            let delete = Message::new(DELETE, CHANGE)
                .body(&[family, 0, 0, 0])
                .nest(CTA_TUPLE_ORIG, |message| message.put_body(&tuple));
            match socket.change(delete) {
                // It ended by itself.
                Err(error) if error.errno() == libc::ENOENT => {}
                other => other?,
            }
        }
    }
    Ok(())
}

/// The original direction of each connection to a port, as the kernel tells it.
fn known(
    socket: &mut Connection,
    family: u8,
    protocol: u8,
    port: u16,
) -> Result<Vec<Vec<u8>>, Error> {
    // The kernel leaves the others out (since Linux 5.8; an older one tells all).
    let question = Message::new(GET, DUMP)
        .body(&[family, 0, 0, 0])
        .nest(CTA_TUPLE_ORIG, |tuple| {
            tuple.put_nest(CTA_TUPLE_PROTO, |place| {
                place.put_bytes(CTA_PROTO_NUM, &[protocol]);
                place.put_bytes(CTA_PROTO_DST_PORT, &port.to_be_bytes());
            });
        })
        .nest(CTA_FILTER, |filter| {
            filter.put_bytes(CTA_FILTER_ORIG_FLAGS, &BY_PROTOCOL_AND_PORT.to_ne_bytes());
            filter.put_bytes(CTA_FILTER_REPLY_FLAGS, &0u32.to_ne_bytes());
        });
    let mut found = Vec::new();
    let asked = socket.ask(question, |_, payload| {
        let tuple = payload
            .get(4..)
            .and_then(|rest| Attributes(rest).find(|(kind, _)| *kind == CTA_TUPLE_ORIG));
        found.extend(
            tuple
                .filter(|(_, tuple)| is_to(tuple, protocol, port))
                .map(|(_, tuple)| tuple.to_vec()),
        );
        Ok(())
    });
    match asked {
        // A kernel without this subsystem tells of no connection.
        Err(error) if error.errno() == libc::EINVAL => Ok(Vec::new()),
        other => other.map(|()| found),
    }
}

fn is_to(tuple: &[u8], protocol: u8, port: u16) -> bool {
    let place = Attributes(tuple).find(|(kind, _)| *kind == CTA_TUPLE_PROTO);
    place.is_some_and(|(_, place)| {
        let has = |kind: u16, value: &[u8]| Attributes(place).any(|one| one == (kind, value));
        has(CTA_PROTO_NUM, &[protocol]) && has(CTA_PROTO_DST_PORT, &port.to_be_bytes())
    })
}
