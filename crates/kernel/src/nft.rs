//! The firewall: what `nft` does, over nf_tables' netlink.
//!
//! In: a [`Table`] (sets, maps, chains, rules) and [`Element`]s of its sets, as plain data. Out: one
//! transaction, which the kernel applies as a whole or not at all.
//! A table is made once; after that a container only adds elements to its sets and maps, so the
//! cost of a packet does not grow with the number of containers, and no rule is ever searched.
//! Read next: `nft/encode.rs` (data to netlink), `nft/text.rs` (data to what `nft -f` reads), and
//! crate `network`, file `firewall.rs`, for the rules themselves. nft(8).

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// A table of family `inet`, with everything in it but the elements of its sets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// The name.
    pub name: String,
    /// Its sets and maps, in the order of their making.
    pub sets: Vec<Set>,
    /// Its chains.
    pub chains: Vec<Chain>,
}

/// A set of keys, or a map from keys to values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Set {
    /// The name.
    pub name: String,
    /// The types that make up a key.
    pub key: Vec<Datatype>,
    /// The types that make up a value; a set has none.
    pub value: Vec<Datatype>,
}

/// The type of a part of a key or value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Datatype {
    /// `ipv4_addr`
    Address4,
    /// `ipv6_addr`
    Address6,
    /// `inet_proto`
    Protocol,
    /// `inet_service`
    Port,
    /// `ifname`
    Interface,
}

/// A part of a key or value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Value {
    /// An address of either family.
    Address(IpAddr),
    /// A transport protocol's number: 6 TCP, 17 UDP, 132 SCTP.
    Protocol(u8),
    /// A port.
    Port(u16),
    /// An interface's name.
    Interface(String),
}

/// One member of a set, or one pair of a map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Element {
    /// The set's name.
    pub set: String,
    /// The parts of the key.
    pub key: Vec<Value>,
    /// The parts of the value; empty in a set.
    pub value: Vec<Value>,
}

/// A chain that the kernel calls at a hook of the packet's way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// The name.
    pub name: String,
    /// Where on its way a packet meets it.
    pub hook: Hook,
    /// Its place among the chains of that hook, lowest first: -300 raw, -100 dstnat, 0 filter,
    /// 100 srcnat.
    pub priority: i32,
    /// Whether it translates addresses: then only a connection's first packet meets it.
    pub nat: bool,
    /// The rules, in order. A packet that none of them ends is accepted.
    pub rules: Vec<Rule>,
}

/// The hooks of families ip, ip6 and inet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Hook {
    Prerouting,
    Input,
    Forward,
    Output,
    Postrouting,
}

/// Terms that are tried from the left; the first that does not hold ends the rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Conditions, then what to do.
    pub terms: Vec<Term>,
    /// Why, for `nft list ruleset`; at most 127 bytes.
    pub comment: String,
}

/// A condition, or what is done with the packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Term {
    /// The packet is of this family (`meta nfproto`). Before any [`Field`] of that family.
    Family(Family),
    /// The packet's transport protocol is this one (`meta l4proto`).
    TransportIs(u8),
    /// The fields together are (or are not) in a set.
    In {
        /// The fields that make the key.
        fields: Vec<Field>,
        /// The set.
        set: String,
        /// Holds when they are not in the set.
        not: bool,
    },
    /// A field has (or has not) this value.
    Is {
        /// The field.
        field: Field,
        /// The value.
        value: Value,
        /// Holds when they differ.
        not: bool,
    },
    /// An IPv4 address lies in 127.0.0.0/8.
    Loopback(Field),
    /// The destination is an address of this host (`fib daddr type local`).
    ToThisHost,
    /// The packet belongs to a known connection, or to an error about one.
    Established,
    /// The packet's connection had its destination translated.
    Translated,
    /// Translate the destination to what a map has for the fields; nothing when it has no entry.
    TranslateBy {
        /// The family of the new address.
        family: Family,
        /// The fields that make the key.
        fields: Vec<Field>,
        /// The map, to address and port.
        map: String,
    },
    /// Translate the destination to this address and port.
    TranslateTo(IpAddr, u16),
    /// Translate the source to this address and port.
    SourceTo(IpAddr, u16),
    /// Translate the source to the address of the interface the packet leaves by.
    Masquerade,
    /// The packet may go on (in this chain; others still see it).
    Accept,
    /// The packet ends here.
    Drop,
}

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Family {
    Ip4,
    Ip6,
}

/// A field of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Field {
    /// The interface it came by; empty for a packet of this host.
    InputInterface,
    /// The interface it leaves by.
    OutputInterface,
    /// The IPv4 source.
    Source4,
    /// The IPv4 destination.
    Destination4,
    /// The IPv6 destination.
    Destination6,
    /// The transport protocol.
    Transport,
    /// The destination port, at the same place in TCP, UDP and SCTP.
    DestinationPort,
    /// The source port.
    SourcePort,
}
