//! The firewall: what `nft` does, over nf_tables' netlink.
//!
//! In: a [`Table`] (sets, maps, chains, rules) and [`Element`]s of its sets, as plain data. Out: one
//! transaction, which the kernel applies as a whole or not at all.
//! A table is made once; after that a container only adds elements to its sets and maps, so the
//! cost of a packet does not grow with the number of containers, and no rule is ever searched.
//! Read next: `nft/encode.rs` (data to netlink), `nft/text.rs` (data to what `nft -f` reads), and
//! crate `network`, file `firewall.rs`, for the rules themselves. nft(8).

use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

use serde::{Deserialize, Serialize};

use crate::netlink::Error;
use crate::netlink::wire::{Attributes, Connection, DUMP, Message, Replies, read_text};

mod encode;
mod text;

const NETLINK_NETFILTER: i32 = 12;

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
    /// The packet came by no interface that is known here (`iif 0`).
    NoInput,
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

// ---- what the ops do

/// [`crate::Op::FirewallAdd`].
pub fn have(table: &Table, elements: &[Element]) -> Result<(), Error> {
    Nftables::open()?.add(table, elements)
}

/// [`crate::Op::FirewallRemove`].
pub fn drop_elements(table: &str, elements: &[Element]) -> Result<(), Error> {
    Nftables::open()?.remove(table, elements)
}

/// [`crate::Op::FirewallDelete`].
pub fn drop_table(table: &str) -> Result<(), Error> {
    Nftables::open()?.delete(table)
}

/// [`crate::Op::ForwardAllow`].
pub fn allow_forward(bridge: &str) -> Result<(), Error> {
    Nftables::open()?.allow_forward(bridge)
}

/// [`crate::Op::ForwardForget`].
pub fn forget_forward(bridge: &str) -> Result<(), Error> {
    Nftables::open()?.forget_forward(bridge)
}

/// Elements that one message carries at most; its list has a length of 16 bits.
const ELEMENTS_IN_A_MESSAGE: usize = 256;

/// A socket to nf_tables in one network namespace.
pub struct Nftables(Connection);

impl Nftables {
    /// Opens a socket in the calling thread's network namespace.
    pub fn open() -> Result<Self, Error> {
        Connection::open(NETLINK_NETFILTER).map(Nftables)
    }

    /// Has `elements` in the sets of `table`, and makes the table when it is missing.
    ///
    /// Without a lock: making the table fails with `EEXIST` as a whole when another process was
    /// faster, and then the elements alone will do. Asks first, because the kernel waits for all
    /// processors (`synchronize_rcu`) to take a failed transaction back. Fails with `EEXIST` or
    /// `EBUSY` when a map has another value for a key.
    pub fn add(&mut self, table: &Table, elements: &[Element]) -> Result<(), Error> {
        let alone = || element_messages(&table.name, elements, true);
        if self.has_table(&table.name)? {
            return self.commit(alone());
        }
        match self.commit(table_messages(table).into_iter().chain(alone()).collect()) {
            Err(error) if error.errno() == libc::EEXIST => self.commit(alone()),
            other => other,
        }
    }

    fn has_table(&mut self, table: &str) -> Result<bool, Error> {
        match self.0.change(encode::get_table(table)) {
            Ok(()) => Ok(true),
            Err(error) if error.errno() == libc::ENOENT => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Takes elements out; what is missing is no error.
    pub fn remove(&mut self, table: &str, elements: &[Element]) -> Result<(), Error> {
        let missing_is_fine = |result: Result<(), Error>| match result {
            Err(error) if error.errno() == libc::ENOENT => Ok(()),
            other => other,
        };
        if elements.is_empty() {
            return Ok(());
        }
        match self.commit(element_messages(table, elements, false)) {
            // One that is missing undid the whole transaction.
            Err(error) if error.errno() == libc::ENOENT && elements.len() > 1 => elements
                .iter()
                .map(|one| self.commit(element_messages(table, std::slice::from_ref(one), false)))
                .try_for_each(missing_is_fine),
            other => missing_is_fine(other),
        }
    }

    /// Deletes a table and all that is in it; a missing one is no error.
    pub fn delete(&mut self, table: &str) -> Result<(), Error> {
        match self.commit(vec![encode::delete_table(table)]) {
            Err(error) if error.errno() == libc::ENOENT => Ok(()),
            other => other,
        }
    }

    /// Lets packets of `bridge` pass every chain of others that drops forwarded packets by policy.
    pub fn allow_forward(&mut self, bridge: &str) -> Result<(), Error> {
        let note = forward_note(bridge);
        for chain in self.dropping_forward_chains()? {
            if self.handles(&chain, &note)?.is_empty() {
                let rules = [Field::InputInterface, Field::OutputInterface]
                    .map(|field| encode::new_accept(&chain, field, bridge, &note));
                self.commit(rules.into())?;
            }
        }
        Ok(())
    }

    /// Takes the rules of [`Nftables::allow_forward`] out again.
    pub fn forget_forward(&mut self, bridge: &str) -> Result<(), Error> {
        let note = forward_note(bridge);
        for chain in self.dropping_forward_chains()? {
            let handles = self.handles(&chain, &note)?;
            if !handles.is_empty() {
                self.commit(
                    handles
                        .into_iter()
                        .map(|handle| encode::delete_rule(&chain, handle))
                        .collect(),
                )?;
            }
        }
        Ok(())
    }

    /// Whether tables other than `ours` have chains for forwarded packets.
    pub fn others_forward(&mut self, ours: &str) -> Result<bool, Error> {
        let chains = self.forward_chains()?;
        Ok(chains.iter().any(|chain| chain.table != ours))
    }

    /// Sends one transaction. The last message asks for the acknowledgement of all.
    fn commit(&mut self, messages: Vec<Message>) -> Result<(), Error> {
        if messages.is_empty() {
            return Ok(());
        }
        let mut whole = Vec::with_capacity(messages.len() + 2);
        whole.push(encode::batch(true));
        whole.extend(messages);
        if let Some(message) = whole.last_mut() {
            message.ask_acknowledgement();
        }
        whole.push(encode::batch(false));
        let (first, end) = self.0.send(whole)?;
        self.0.replies((first, end - 1), |_, _| Ok(()))
    }

    fn dropping_forward_chains(&mut self) -> Result<Vec<ForeignChain>, Error> {
        let mut chains = self.forward_chains()?;
        chains.retain(|chain| chain.drops);
        Ok(chains)
    }

    fn forward_chains(&mut self) -> Result<Vec<ForeignChain>, Error> {
        let mut chains = Vec::new();
        self.0
            .ask(encode::question(encode::GETCHAIN, DUMP, 0), |_, payload| {
                chains.extend(forward_chain(payload));
                Ok(())
            })?;
        Ok(chains)
    }

    /// The handles of the rules of `chain` that carry `note`.
    fn handles(&mut self, chain: &ForeignChain, note: &str) -> Result<Vec<[u8; 8]>, Error> {
        let mut handles = Vec::new();
        let question = encode::question(encode::GETRULE, DUMP, chain.family)
            .text(1, &chain.table)
            .text(2, &chain.name);
        self.0.ask(question, |_, payload| {
            handles.extend(handle_of_noted(payload, note));
            Ok(())
        })?;
        Ok(handles)
    }
}

/// A chain of somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ForeignChain {
    family: u8,
    table: String,
    name: String,
    /// Its policy is to drop.
    drops: bool,
}

fn forward_note(bridge: &str) -> String {
    format!("lighter: {bridge}")
}

/// Reads a chain, if it is one at the forward hook.
fn forward_chain(payload: &[u8]) -> Option<ForeignChain> {
    const FORWARD: [u8; 4] = [0, 0, 0, 2];
    const DROP: [u8; 4] = [0, 0, 0, 0];
    const FAMILIES: [u8; 3] = [encode::FAMILY_INET, 2, 10];
    let mut chain = ForeignChain {
        family: *payload.first()?,
        table: String::new(),
        name: String::new(),
        drops: false,
    };
    let mut forward = false;
    for (kind, value) in Attributes(payload.get(4..)?) {
        match kind {
            1 => chain.table = read_text(value),
            3 => chain.name = read_text(value),
            4 => forward = Attributes(value).any(|(kind, number)| kind == 1 && number == FORWARD),
            5 => chain.drops = value == DROP,
            _ => {}
        }
    }
    (forward && FAMILIES.contains(&chain.family)).then_some(chain)
}

fn handle_of_noted(payload: &[u8], note: &str) -> Option<[u8; 8]> {
    let mut handle = None;
    let mut noted = false;
    for (kind, value) in Attributes(payload.get(4..)?) {
        match kind {
            3 => handle = value.try_into().ok(),
            7 => noted = value.get(2..).is_some_and(|text| read_text(text) == note),
            _ => {}
        }
    }
    handle.filter(|_| noted)
}

fn table_messages(table: &Table) -> Vec<Message> {
    let mut messages = vec![encode::new_table(&table.name)];
    let sets = table.sets.iter().zip(1..);
    messages.extend(sets.map(|(set, id)| encode::new_set(&table.name, set, id)));
    for chain in &table.chains {
        messages.push(encode::new_chain(&table.name, chain));
        messages.extend(
            chain
                .rules
                .iter()
                .map(|rule| encode::new_rule(&table.name, &chain.name, rule)),
        );
    }
    messages
}

fn element_messages(table: &str, elements: &[Element], add: bool) -> Vec<Message> {
    let mut sets: Vec<(&str, Vec<&Element>)> = Vec::new();
    for element in elements {
        match sets.iter_mut().find(|(set, _)| *set == element.set) {
            Some((_, members)) => members.push(element),
            None => sets.push((&element.set, vec![element])),
        }
    }
    let chunks = sets.iter().flat_map(|(set, members)| {
        members
            .chunks(ELEMENTS_IN_A_MESSAGE)
            .map(move |some| (set, some))
    });
    chunks
        .map(|(set, some)| encode::elements(table, set, some, add))
        .collect()
}

/// A socket that becomes readable when somebody deletes tables, chains, sets or rules.
pub struct Deletions(Connection);

impl Deletions {
    /// Listens in the calling thread's network namespace.
    ///
    /// A filter in the kernel lets only messages through that begin with a deletion, so that the
    /// elements which come and go with other containers wake nobody up.
    pub fn listen() -> Result<Self, Error> {
        const NFNLGRP_NFTABLES: u32 = 7;
        let mut connection = Connection::open(NETLINK_NETFILTER)?;
        connection.set_nonblocking()?;
        connection.pass_only(encode::DELETIONS)?;
        connection.join(NFNLGRP_NFTABLES)?;
        Ok(Deletions(connection))
    }

    /// Reads all that has come; true when there was anything, or too much to keep.
    pub fn take(&mut self) -> bool {
        let mut any = false;
        loop {
            match self.0.receive() {
                Ok(datagram) => any |= Replies(&datagram).next().is_some(),
                Err(error) if error.errno() == libc::ENOBUFS => any = true,
                Err(_) => return any,
            }
        }
    }
}

impl AsFd for Deletions {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
