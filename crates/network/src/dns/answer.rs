//! A question and the names: what is the answer? Pure.
//!
//! In: the bytes of a query. Out: the bytes of a reply, or the decision to ask somebody else.
//! A name that is known has all its answers here: a question for another type of it gets an empty
//! answer and not "no such name" (RFC 2308), and is never forwarded.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use simple_dns::rdata::{A, AAAA, PTR, RData};
use simple_dns::{
    CLASS, Name, OPCODE, Packet, PacketFlag, QTYPE, Question, RCODE, ResourceRecord, TYPE,
};

use super::names::Table;

/// Containers come and go: nobody keeps an address.
const TIME_TO_LIVE: u32 = 0;
/// What a client takes over UDP that says nothing (RFC 1035), and what we send at most.
const SMALLEST: usize = 512;
const LARGEST: usize = 4096;
const HEADER: usize = 12;

/// What is to be done with a query.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Send this.
    Reply(Vec<u8>),
    /// Ask another server.
    Forward,
    /// It is no query.
    Nothing,
}

/// Decides. `turn` moves the first of several addresses on; `udp` limits the size of the reply.
pub(super) fn answer(query: &[u8], names: &Table, turn: usize, udp: bool) -> Outcome {
    const RESPONSE: u8 = 0x80;
    if query.len() < HEADER || query[2] & RESPONSE != 0 {
        return Outcome::Nothing;
    }
    let Ok(packet) = Packet::parse(query) else {
        return Outcome::Reply(refusal(query, RCODE::FormatError));
    };
    if packet.opcode() != OPCODE::StandardQuery {
        return Outcome::Reply(refusal(query, RCODE::NotImplemented));
    }
    let [question] = packet.questions.as_slice() else {
        return Outcome::Reply(refusal(query, RCODE::FormatError));
    };
    match records(question, names, turn) {
        Some(found) => Outcome::Reply(reply(query, &packet, found, udp)),
        None if names.way_out => Outcome::Forward,
        // An internal network: nobody may be asked, so nothing is known.
        None => Outcome::Reply(refusal(query, RCODE::ServerFailure)),
    }
}

/// A reply without records: the query's header and question, marked and with a code.
pub(super) fn refusal(query: &[u8], code: RCODE) -> Vec<u8> {
    const RESPONSE_KEEPING_OPCODE_AND_WISH: u8 = 0x79;
    let mut reply = query[..HEADER.min(query.len())].to_vec();
    reply.resize(HEADER, 0);
    reply[2] = 0x80 | reply[2] & RESPONSE_KEEPING_OPCODE_AND_WISH;
    reply[3] = 0x80 | code as u8;
    reply[4..].fill(0);
    if let Some(end) = end_of_question(query) {
        reply[5] = 1;
        reply.extend_from_slice(&query[HEADER..end]);
    }
    reply
}

/// Where the only question of a query ends; none when it has another number of them.
fn end_of_question(query: &[u8]) -> Option<usize> {
    if query.get(4..6)? != [0, 1] {
        return None;
    }
    let mut at = HEADER;
    loop {
        match usize::from(*query.get(at)?) {
            0 => break,
            length if length < 64 => at += length + 1,
            _ => return None,
        }
    }
    (at + 5 <= query.len()).then_some(at + 5)
}

/// The records that answer, possibly none; nothing when the name is not ours to know.
fn records<'a>(
    question: &Question<'a>,
    names: &Table,
    turn: usize,
) -> Option<Result<Vec<ResourceRecord<'a>>, RCODE>> {
    let name = question.qname.to_string();
    if let Some(address) = reversed(&name) {
        return reverse(question, names, address);
    }
    let addresses = names.addresses(&name)?;
    let wanted: Vec<IpAddr> = addresses
        .iter()
        .copied()
        .filter(|address| match question.qtype {
            QTYPE::TYPE(TYPE::A) => address.is_ipv4(),
            QTYPE::TYPE(TYPE::AAAA) => address.is_ipv6(),
            QTYPE::ANY => true,
            _ => false,
        })
        .collect();
    let rotated = (0..wanted.len()).map(|at| wanted[(at + turn) % wanted.len()]);
    let data = |address| match address {
        IpAddr::V4(address) => RData::A(A::from(address)),
        IpAddr::V6(address) => RData::AAAA(AAAA::from(address)),
    };
    Some(Ok(rotated
        .map(|address| record(question, data(address)))
        .collect()))
}

fn record<'a>(question: &Question<'a>, data: RData<'a>) -> ResourceRecord<'a> {
    ResourceRecord::new(question.qname.clone(), CLASS::IN, TIME_TO_LIVE, data)
}

fn reverse<'a>(
    question: &Question<'a>,
    names: &Table,
    address: IpAddr,
) -> Option<Result<Vec<ResourceRecord<'a>>, RCODE>> {
    let Some(name) = names.name(address) else {
        return names.is_ours(address).then_some(Err(RCODE::NameError));
    };
    let is_pointer = matches!(question.qtype, QTYPE::TYPE(TYPE::PTR) | QTYPE::ANY);
    let name = Name::new(name).ok()?.into_owned();
    let records = is_pointer.then(|| record(question, RData::PTR(PTR(name))));
    Some(Ok(records.into_iter().collect()))
}

/// The address that a name of `in-addr.arpa` or `ip6.arpa` is about.
fn reversed(name: &str) -> Option<IpAddr> {
    let name = name.to_ascii_lowercase();
    if let Some(rest) = name.strip_suffix(".in-addr.arpa") {
        let bytes: Option<Vec<u8>> = rest.rsplit('.').map(|label| label.parse().ok()).collect();
        let bytes: [u8; 4] = bytes?.try_into().ok()?;
        return Some(IpAddr::V4(Ipv4Addr::from(bytes)));
    }
    let rest = name.strip_suffix(".ip6.arpa")?;
    let mut digits = rest.rsplit('.');
    let mut number = 0u128;
    for _ in 0..32 {
        let digit = digits.next().filter(|label| label.len() == 1)?;
        number = number << 4 | u128::from(digit.chars().next()?.to_digit(16)?);
    }
    digits
        .next()
        .is_none()
        .then_some(IpAddr::V6(Ipv6Addr::from(number)))
}

fn reply(
    query: &[u8],
    packet: &Packet<'_>,
    found: Result<Vec<ResourceRecord<'_>>, RCODE>,
    udp: bool,
) -> Vec<u8> {
    let mut reply = Packet::new_reply(packet.id());
    reply.set_flags(PacketFlag::RECURSION_AVAILABLE | PacketFlag::AUTHORITATIVE_ANSWER);
    if packet.has_flags(PacketFlag::RECURSION_DESIRED) {
        reply.set_flags(PacketFlag::RECURSION_DESIRED);
    }
    reply.questions.clone_from(&packet.questions);
    match found {
        Ok(records) => reply.answers = records,
        Err(code) => *reply.rcode_mut() = code,
    }
    let limit = match packet.opt() {
        _ if !udp => usize::from(u16::MAX),
        Some(opt) => usize::from(opt.udp_packet_size).clamp(SMALLEST, LARGEST),
        None => SMALLEST,
    };
    built(&mut reply, limit).unwrap_or_else(|| refusal(query, RCODE::ServerFailure))
}

/// The bytes; when they are too many, as many whole records as fit, marked as cut (RFC 2181, 9).
fn built(reply: &mut Packet<'_>, limit: usize) -> Option<Vec<u8>> {
    loop {
        let bytes = reply.build_bytes_vec_compressed().ok()?;
        if bytes.len() <= limit || reply.answers.is_empty() {
            return Some(bytes);
        }
        reply.set_flags(PacketFlag::TRUNCATION);
        reply.answers.truncate(reply.answers.len() / 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Endpoint;

    fn endpoint(name: &str, last: u8, alias: &str) -> Endpoint {
        serde_json::from_value(serde_json::json!({
            "container": name, "network": "shop_default", "network_id": "1", "id": "2",
            "interface": "eth0", "host_interface": "lv2", "mac": "02:42:ac:18:00:02",
            "ipv4": format!("172.24.0.{last}/22"), "ipv6": null, "gateways": [], "ports": [],
            "names": [name, alias],
        }))
        .unwrap()
    }

    fn names(count: u8) -> Table {
        let mut table = Table::default();
        table.way_out = true;
        (0..count).for_each(|at| table.add(&endpoint(&format!("shop-web-{at}"), at + 2, "web")));
        table
    }

    fn query(name: &str, kind: TYPE) -> Vec<u8> {
        let mut packet = Packet::new_query(7);
        packet.set_flags(PacketFlag::RECURSION_DESIRED);
        let name = Name::new(name).unwrap();
        packet.questions.push(Question::new(
            name,
            QTYPE::TYPE(kind),
            CLASS::IN.into(),
            false,
        ));
        packet.build_bytes_vec().unwrap()
    }

    fn shown(outcome: Outcome) -> String {
        let Outcome::Reply(bytes) = outcome else {
            return format!("{outcome:?}");
        };
        let packet = Packet::parse(&bytes).unwrap();
        let data = |record: &ResourceRecord<'_>| match &record.rdata {
            RData::A(a) => Ipv4Addr::from(a.address).to_string(),
            RData::PTR(name) => name.0.to_string(),
            other => format!("{other:?}"),
        };
        let answers: Vec<String> = packet.answers.iter().map(data).collect();
        let cut = if packet.has_flags(PacketFlag::TRUNCATION) {
            " cut"
        } else {
            ""
        };
        format!(
            "{} {:?} {}{cut}",
            packet.id(),
            packet.rcode(),
            answers.join(",")
        )
    }

    fn ask(name: &str, kind: TYPE, turn: usize) -> String {
        shown(answer(&query(name, kind), &names(2), turn, true))
    }

    #[test]
    fn a_service_goes_round_its_containers() {
        assert_eq!(ask("web", TYPE::A, 0), "7 NoError 172.24.0.2,172.24.0.3");
        assert_eq!(ask("WEB", TYPE::A, 1), "7 NoError 172.24.0.3,172.24.0.2");
        assert_eq!(ask("shop-web-1", TYPE::A, 5), "7 NoError 172.24.0.3");
        assert_eq!(
            ask("shop-web-1.shop_default", TYPE::A, 0),
            "7 NoError 172.24.0.3"
        );
    }

    #[test]
    fn a_known_name_without_such_an_address_exists() {
        assert_eq!(ask("web", TYPE::AAAA, 0), "7 NoError ");
        assert_eq!(ask("web", TYPE::MX, 0), "7 NoError ");
    }

    #[test]
    fn addresses_have_names_and_free_ones_have_none() {
        assert_eq!(
            ask("2.0.24.172.in-addr.arpa", TYPE::PTR, 0),
            "7 NoError shop-web-0.shop_default"
        );
        assert_eq!(ask("9.0.24.172.in-addr.arpa", TYPE::PTR, 0), "7 NameError ");
        assert_eq!(ask("8.8.8.8.in-addr.arpa", TYPE::PTR, 0), "Forward");
    }

    #[test]
    fn an_internal_network_asks_nobody() {
        let mut table = names(1);
        assert_eq!(
            shown(answer(&query("example.org", TYPE::A), &table, 0, true)),
            "Forward"
        );
        table.way_out = false;
        assert_eq!(
            shown(answer(&query("example.org", TYPE::A), &table, 0, true)),
            "7 ServerFailure "
        );
    }

    #[test]
    fn what_does_not_fit_is_cut_over_udp_and_whole_over_tcp() {
        let table = names(200);
        let query = query("web", TYPE::A);
        let Outcome::Reply(cut) = answer(&query, &table, 0, true) else {
            panic!()
        };
        assert!(cut.len() <= 512, "{}", cut.len());
        assert!(shown(Outcome::Reply(cut)).ends_with(" cut"));
        let whole = shown(answer(&query, &table, 0, false));
        assert_eq!(whole.matches("172.24.0.").count(), 200);
    }

    #[test]
    fn nonsense_gets_an_error_or_nothing() {
        let table = names(1);
        assert_eq!(answer(b"short", &table, 0, true), Outcome::Nothing);
        let mut reply = query("web", TYPE::A);
        reply[2] |= 0x80;
        assert_eq!(answer(&reply, &table, 0, true), Outcome::Nothing);
        let mut cut = query("web", TYPE::A);
        cut.truncate(15);
        assert_eq!(shown(answer(&cut, &table, 0, true)), "7 FormatError ");
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let _ = answer(&bytes, &names(1), 0, true);
            let _ = refusal(&bytes, RCODE::ServerFailure);
        }
    }
}
