//! Tables, rules and elements as nf_tables' netlink messages.
//!
//! In: the data of `nft.rs`. Out: one [`Message`] for each object. A condition becomes the load of
//! its fields into registers of 4 bytes, side by side, and a comparison or lookup; the registers of
//! a longer key are simply those that follow. linux/netfilter/nf_tables.h.
//! Read next: `nft/text.rs`, which says the same as text.

use std::net::IpAddr;

use super::{Chain, Datatype, Element, Family, Field, Hook, Rule, Set, Term, Value};
use crate::netlink::wire::{APPEND, CHANGE, CREATE, EXCLUSIVE, Message, REQUEST};

const SUBSYSTEM: u16 = 10 << 8;
const NEWTABLE: u16 = SUBSYSTEM;
const DELTABLE: u16 = SUBSYSTEM | 2;
const NEWCHAIN: u16 = SUBSYSTEM | 3;
pub(super) const GETCHAIN: u16 = SUBSYSTEM | 4;
const NEWRULE: u16 = SUBSYSTEM | 6;
pub(super) const GETRULE: u16 = SUBSYSTEM | 7;
const DELRULE: u16 = SUBSYSTEM | 8;
const NEWSET: u16 = SUBSYSTEM | 9;
const NEWSETELEM: u16 = SUBSYSTEM | 12;
const DELSETELEM: u16 = SUBSYSTEM | 14;
/// What deletes a table, chain, rule or set.
pub(super) const DELETIONS: &[u16] = &[DELTABLE, SUBSYSTEM | 5, DELRULE, SUBSYSTEM | 11];
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;

pub(super) const FAMILY_INET: u8 = 1;
const NFTA_LIST_ELEM: u16 = 1;
const NFTA_DATA_VALUE: u16 = 1;
const NFTA_DATA_VERDICT: u16 = 2;

/// The first of the 16 registers of 4 bytes. `NFT_REG32_00`.
const REGISTER: u32 = 8;

/// `struct nfgenmsg`: family, version 0, and a number in network order.
fn general(family: u8, number: u16) -> [u8; 4] {
    let [high, low] = number.to_be_bytes();
    [family, 0, high, low]
}

pub(super) fn question(kind: u16, flags: u16, family: u8) -> Message {
    Message::new(kind, flags).body(&general(family, 0))
}

fn change(kind: u16, flags: u16) -> Message {
    question(kind, REQUEST | flags, FAMILY_INET)
}

/// What goes around the messages of one transaction.
pub(super) fn batch(kind_is_begin: bool) -> Message {
    let kind = if kind_is_begin {
        BATCH_BEGIN
    } else {
        BATCH_END
    };
    Message::new(kind, REQUEST).body(&general(0, SUBSYSTEM >> 8))
}

/// A table; with `EXCLUSIVE`, because its making fails when another process was faster.
pub(super) fn new_table(name: &str) -> Message {
    change(NEWTABLE, CREATE | EXCLUSIVE).text(1, name)
}

/// Asks for a table; the kernel refuses with `ENOENT` when it is missing.
pub(super) fn get_table(name: &str) -> Message {
    const GETTABLE: u16 = SUBSYSTEM | 1;
    question(GETTABLE, CHANGE, FAMILY_INET).text(1, name)
}

pub(super) fn delete_table(name: &str) -> Message {
    change(DELTABLE, 0).text(1, name)
}

pub(super) fn new_set(table: &str, set: &Set, id: u32) -> Message {
    const MAP: u32 = 8;
    let flags = if set.value.is_empty() { 0 } else { MAP };
    let mut message = change(NEWSET, CREATE)
        .text(1, table)
        .text(2, &set.name)
        .be32(3, flags)
        .be32(4, type_number(&set.key))
        .be32(5, width(&set.key))
        .be32(10, id);
    if set.key == [Datatype::Interface] {
        // Names are no numbers in network order; nft prints them right when told so (libnftnl's
        // NFTNL_UDATA_SET_KEYBYTEORDER, 4 bytes, BYTEORDER_HOST_ENDIAN).
        let [a, b, c, d] = 1u32.to_ne_bytes();
        message = message.bytes(13, &[0, 4, a, b, c, d]);
    }
    if !set.value.is_empty() {
        message = message
            .be32(6, type_number(&set.value))
            .be32(7, width(&set.value));
    }
    message
}

pub(super) fn new_chain(table: &str, chain: &Chain) -> Message {
    const ACCEPT: u32 = 1;
    change(NEWCHAIN, CREATE)
        .text(1, table)
        .text(3, &chain.name)
        .nest(4, |hook| {
            hook.put_be32(1, hook_number(chain.hook));
            hook.put_be32(2, chain.priority as u32);
        })
        .be32(5, ACCEPT)
        .text(7, if chain.nat { "nat" } else { "filter" })
}

pub(super) fn new_rule(table: &str, chain: &str, rule: &Rule) -> Message {
    change(NEWRULE, CREATE | APPEND)
        .text(1, table)
        .text(2, chain)
        .nest(4, |expressions| {
            rule.terms
                .iter()
                .for_each(|term| put_term(expressions, term))
        })
        .bytes(7, &comment(&rule.comment))
}

/// A rule at the head of a chain of somebody else: accept what comes by, or leaves by, `interface`.
pub(super) fn new_accept(
    chain: &super::ForeignChain,
    field: Field,
    interface: &str,
    note: &str,
) -> Message {
    let terms = [
        Term::Is {
            field,
            value: Value::Interface(interface.to_owned()),
            not: false,
        },
        Term::Accept,
    ];
    question(NEWRULE, REQUEST | CREATE, chain.family)
        .text(1, &chain.table)
        .text(2, &chain.name)
        .nest(4, |expressions| {
            terms.iter().for_each(|term| put_term(expressions, term))
        })
        .bytes(7, &comment(note))
}

pub(super) fn delete_rule(chain: &super::ForeignChain, handle: [u8; 8]) -> Message {
    question(DELRULE, REQUEST, chain.family)
        .text(1, &chain.table)
        .text(2, &chain.name)
        .bytes(3, &handle)
}

/// Elements of one set of `table`, added or deleted.
pub(super) fn elements(table: &str, set: &str, elements: &[&Element], add: bool) -> Message {
    let message = match add {
        true => change(NEWSETELEM, CREATE),
        false => change(DELSETELEM, 0),
    };
    message.text(1, table).text(2, set).nest(3, |list| {
        for element in elements {
            list.put_nest(NFTA_LIST_ELEM, |item| {
                put_data(item, 1, &element.key);
                if add && !element.value.is_empty() {
                    put_data(item, 2, &element.value);
                }
            });
        }
    })
}

fn put_data(item: &mut Message, kind: u16, values: &[Value]) {
    let bytes: Vec<u8> = values.iter().flat_map(value_bytes).collect();
    item.put_nest(kind, |data| data.put_bytes(NFTA_DATA_VALUE, &bytes));
}

/// A comment as libnftnl writes it: type 0, length, text with its closing zero.
fn comment(text: &str) -> Vec<u8> {
    let text = &text.as_bytes()[..text.len().min(127)];
    let mut bytes = vec![0, text.len() as u8 + 1];
    bytes.extend_from_slice(text);
    bytes.push(0);
    bytes
}

fn put_term(list: &mut Message, term: &Term) {
    const META_IIF: u32 = 4;
    const META_NFPROTO: u32 = 15;
    const DESTINATION_NAT: u8 = 1;
    const SOURCE_NAT: u8 = 0;
    match term {
        Term::Family(family) => {
            put_meta(list, META_NFPROTO, REGISTER);
            put_compare(list, &[protocol_family(*family)], false);
        }
        Term::TransportIs(number) => {
            put_load(list, Field::Transport, REGISTER);
            put_compare(list, &[*number], false);
        }
        Term::In { fields, set, not } => {
            put_loads(list, fields);
            put_lookup(list, set, *not, None);
        }
        Term::Is { field, value, not } => {
            put_load(list, *field, REGISTER);
            put_compare(list, &compared_bytes(value), *not);
        }
        Term::Loopback(field) => {
            put_payload(
                list,
                1,
                if *field == Field::Source4 { 12 } else { 16 },
                1,
                REGISTER,
            );
            put_compare(list, &[127], false);
        }
        Term::NoInput => {
            put_meta(list, META_IIF, REGISTER);
            put_compare(list, &[0; 4], false);
        }
        Term::ToThisHost => put_fib_local(list),
        Term::Established => put_connection_bits(list, 0, 2 | 4),
        Term::Translated => put_connection_bits(list, 2, 1 << 5),
        Term::TranslateBy {
            family,
            fields,
            map,
        } => {
            put_loads(list, fields);
            put_lookup(list, map, false, Some(REGISTER));
            let words = if *family == Family::Ip4 { 1 } else { 4 };
            put_nat(list, DESTINATION_NAT, *family, words);
        }
        Term::TranslateTo(address, port) => put_nat_to(list, DESTINATION_NAT, *address, *port),
        Term::SourceTo(address, port) => put_nat_to(list, SOURCE_NAT, *address, *port),
        Term::Masquerade => put_expression(list, "masq", |_| {}),
        Term::Accept => put_verdict(list, 1),
        Term::Drop => put_verdict(list, 0),
    }
}

fn put_expression(list: &mut Message, name: &str, fill: impl FnOnce(&mut Message)) {
    list.put_nest(NFTA_LIST_ELEM, |expression| {
        expression.put_text(1, name);
        expression.put_nest(2, fill);
    });
}

/// Loads fields side by side, each at the next multiple of 4 bytes, as the key of a set has them.
fn put_loads(list: &mut Message, fields: &[Field]) {
    let mut register = REGISTER;
    for field in fields {
        put_load(list, *field, register);
        register += padded(field_type(*field)) / 4;
    }
}

fn put_load(list: &mut Message, field: Field, register: u32) {
    const META_IIFNAME: u32 = 6;
    const META_OIFNAME: u32 = 7;
    const META_L4PROTO: u32 = 16;
    const NETWORK: u32 = 1;
    const TRANSPORT: u32 = 2;
    match field {
        Field::InputInterface => put_meta(list, META_IIFNAME, register),
        Field::OutputInterface => put_meta(list, META_OIFNAME, register),
        Field::Transport => put_meta(list, META_L4PROTO, register),
        Field::Source4 => put_payload(list, NETWORK, 12, 4, register),
        Field::Destination4 => put_payload(list, NETWORK, 16, 4, register),
        Field::Destination6 => put_payload(list, NETWORK, 24, 16, register),
        Field::SourcePort => put_payload(list, TRANSPORT, 0, 2, register),
        Field::DestinationPort => put_payload(list, TRANSPORT, 2, 2, register),
    }
}

fn put_meta(list: &mut Message, key: u32, register: u32) {
    put_expression(list, "meta", |meta| {
        meta.put_be32(2, key);
        meta.put_be32(1, register);
    });
}

fn put_payload(list: &mut Message, base: u32, offset: u32, length: u32, register: u32) {
    put_expression(list, "payload", |payload| {
        payload.put_be32(1, register);
        payload.put_be32(2, base);
        payload.put_be32(3, offset);
        payload.put_be32(4, length);
    });
}

fn put_compare(list: &mut Message, value: &[u8], not: bool) {
    put_expression(list, "cmp", |compare| {
        compare.put_be32(1, REGISTER);
        compare.put_be32(2, u32::from(not));
        compare.put_nest(3, |data| data.put_bytes(NFTA_DATA_VALUE, value));
    });
}

fn put_lookup(list: &mut Message, set: &str, not: bool, destination: Option<u32>) {
    put_expression(list, "lookup", |lookup| {
        lookup.put_text(1, set);
        lookup.put_be32(2, REGISTER);
        if let Some(register) = destination {
            lookup.put_be32(3, register);
        }
        if not {
            lookup.put_be32(5, 1);
        }
    });
}

/// `fib daddr type local`: the routing table says that the destination is this host (`RTN_LOCAL`).
fn put_fib_local(list: &mut Message) {
    const ADDRESS_TYPE: u32 = 3;
    const BY_DESTINATION: u32 = 2;
    const RTN_LOCAL: u32 = 2;
    put_expression(list, "fib", |fib| {
        fib.put_be32(1, REGISTER);
        fib.put_be32(2, ADDRESS_TYPE);
        fib.put_be32(3, BY_DESTINATION);
    });
    put_compare(list, &RTN_LOCAL.to_ne_bytes(), false);
}

/// Whether any of `bits` is set in the connection's state (key 0) or status (key 2).
fn put_connection_bits(list: &mut Message, key: u32, bits: u32) {
    put_expression(list, "ct", |connection| {
        connection.put_be32(2, key);
        connection.put_be32(1, REGISTER);
    });
    put_expression(list, "bitwise", |bitwise| {
        bitwise.put_be32(1, REGISTER);
        bitwise.put_be32(2, REGISTER);
        bitwise.put_be32(3, 4);
        bitwise.put_nest(4, |mask| {
            mask.put_bytes(NFTA_DATA_VALUE, &bits.to_ne_bytes())
        });
        bitwise.put_nest(5, |zero| zero.put_bytes(NFTA_DATA_VALUE, &[0; 4]));
    });
    put_compare(list, &[0; 4], true);
}

/// Translation to the address in the first register and the port `words` registers after it.
fn put_nat(list: &mut Message, kind: u8, family: Family, words: u32) {
    put_expression(list, "nat", |nat| {
        nat.put_be32(1, u32::from(kind));
        nat.put_be32(2, u32::from(protocol_family(family)));
        nat.put_be32(3, REGISTER);
        nat.put_be32(5, REGISTER + words);
    });
}

fn put_nat_to(list: &mut Message, kind: u8, address: IpAddr, port: u16) {
    let (family, words) = match address {
        IpAddr::V4(_) => (Family::Ip4, 1),
        IpAddr::V6(_) => (Family::Ip6, 4),
    };
    put_immediate(list, REGISTER, &value_bytes(&Value::Address(address)));
    put_immediate(list, REGISTER + words, &port.to_be_bytes());
    put_nat(list, kind, family, words);
}

fn put_immediate(list: &mut Message, register: u32, value: &[u8]) {
    put_expression(list, "immediate", |immediate| {
        immediate.put_be32(1, register);
        immediate.put_nest(2, |data| data.put_bytes(NFTA_DATA_VALUE, value));
    });
}

/// Register 0 is the verdict: 0 drops, 1 accepts.
fn put_verdict(list: &mut Message, code: u32) {
    put_expression(list, "immediate", |immediate| {
        immediate.put_be32(1, 0);
        immediate.put_nest(2, |data| {
            data.put_nest(NFTA_DATA_VERDICT, |verdict| verdict.put_be32(1, code));
        });
    });
}

fn hook_number(hook: Hook) -> u32 {
    match hook {
        Hook::Prerouting => 0,
        Hook::Input => 1,
        Hook::Forward => 2,
        Hook::Output => 3,
        Hook::Postrouting => 4,
    }
}

fn protocol_family(family: Family) -> u8 {
    match family {
        Family::Ip4 => 2,
        Family::Ip6 => 10,
    }
}

/// nft's own number of a type, which it needs to print keys; several take 6 bits each.
fn type_number(types: &[Datatype]) -> u32 {
    let number = |datatype: &Datatype| match datatype {
        Datatype::Address4 => 7,
        Datatype::Address6 => 8,
        Datatype::Protocol => 12,
        Datatype::Port => 13,
        Datatype::Interface => 41,
    };
    types.iter().fold(0, |all, one| all << 6 | number(one))
}

/// Bytes of a key or value: a single part has its own length, several are padded to 4 each.
fn width(types: &[Datatype]) -> u32 {
    match types {
        [single] => size(*single),
        several => several.iter().map(|one| padded(*one)).sum(),
    }
}

fn size(datatype: Datatype) -> u32 {
    match datatype {
        Datatype::Address4 => 4,
        Datatype::Address6 | Datatype::Interface => 16,
        Datatype::Protocol => 1,
        Datatype::Port => 2,
    }
}

fn padded(datatype: Datatype) -> u32 {
    size(datatype).next_multiple_of(4)
}

fn field_type(field: Field) -> Datatype {
    match field {
        Field::InputInterface | Field::OutputInterface => Datatype::Interface,
        Field::Source4 | Field::Destination4 => Datatype::Address4,
        Field::Destination6 => Datatype::Address6,
        Field::Transport => Datatype::Protocol,
        Field::SourcePort | Field::DestinationPort => Datatype::Port,
    }
}

/// A part of a key, padded to a multiple of 4 bytes.
fn value_bytes(value: &Value) -> Vec<u8> {
    let mut bytes = compared_bytes(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// A value as a single register comparison takes it, without padding.
fn compared_bytes(value: &Value) -> Vec<u8> {
    match value {
        Value::Address(IpAddr::V4(address)) => address.octets().to_vec(),
        Value::Address(IpAddr::V6(address)) => address.octets().to_vec(),
        Value::Protocol(number) => vec![*number],
        Value::Port(port) => port.to_be_bytes().to_vec(),
        Value::Interface(name) => {
            let mut bytes = name.as_bytes().to_vec();
            bytes.resize(bytes.len().max(16), 0);
            bytes
        }
    }
}
