//! The firewall table: which packets reach a container, and whose address they carry.
//!
//! In: networks and endpoints. Out: the one [`Table`] of this lighter, and the [`Element`]s that a
//! network and a published port put into its sets. Also [`Watch`], which notices when somebody
//! else deletes the table (`nft flush ruleset`, the reload of a firewall).
//!
//! The promises: nothing from outside reaches a container but through a published port; networks
//! do not reach each other but through one; a port published on 127.0.0.1 stays there; packets that
//! claim to come from or go to 127.0.0.0/8 by a wire are dropped, which is what makes it safe to
//! let the bridges route them (`route_localnet`) for ports published to the host's own loopback.
//! Read next: `endpoint.rs`.

use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

use kernel::nft::{
    Chain, Datatype, Deletions, Element, Family, Field, Hook, Rule, Set, Table, Term, Value,
};

use crate::{Endpoint, Error, Network, Published};

/// Every bridge of this lighter.
const BRIDGES: &str = "bridges";
/// Bridges whose containers go out under the host's address.
const MASQUERADED: &str = "masqueraded";
/// Bridges with no way in or out.
const INTERNAL: &str = "internal";
/// Each bridge with itself: a packet that leaves where it came from.
const SAME_BRIDGE: &str = "same_bridge";

/// The table of this lighter, with no elements yet.
///
/// With `closed` the host stays no router for others than containers: lighter switched forwarding
/// on for them, and nobody had asked for more.
pub(crate) fn table(name: &str, closed: bool) -> Table {
    Table {
        name: name.into(),
        sets: sets(),
        chains: vec![
            guard(),
            forward(closed),
            publish(Hook::Prerouting),
            publish(Hook::Output),
            leave(),
        ],
    }
}

fn sets() -> Vec<Set> {
    use Datatype::{Address4, Address6, Interface, Port, Protocol};
    let set = |name: &str, key: &[Datatype]| map_of(name, key, &[]);
    vec![
        set(BRIDGES, &[Interface]),
        set(MASQUERADED, &[Interface]),
        set(INTERNAL, &[Interface]),
        set(SAME_BRIDGE, &[Interface, Interface]),
        map_of("published_ip", &[Protocol, Port], &[Address4, Port]),
        map_of(
            "published_at_ip",
            &[Protocol, Address4, Port],
            &[Address4, Port],
        ),
        map_of("published_ip6", &[Protocol, Port], &[Address6, Port]),
        map_of(
            "published_at_ip6",
            &[Protocol, Address6, Port],
            &[Address6, Port],
        ),
    ]
}

fn map_of(name: &str, key: &[Datatype], value: &[Datatype]) -> Set {
    Set {
        name: name.into(),
        key: key.to_vec(),
        value: value.to_vec(),
    }
}

/// Before anything else, also before connections are known.
fn guard() -> Chain {
    let by_wire = |field, why| {
        let not_loopback = Term::Is {
            field: Field::InputInterface,
            value: Value::Interface("lo".into()),
            not: true,
        };
        rule(
            vec![
                Term::Family(Family::Ip4),
                not_loopback,
                Term::Loopback(field),
                Term::Drop,
            ],
            why,
        )
    };
    Chain {
        name: "guard".into(),
        hook: Hook::Prerouting,
        priority: -300,
        nat: false,
        rules: vec![
            by_wire(
                Field::Destination4,
                "nobody reaches the host's loopback by a wire",
            ),
            by_wire(Field::Source4, "nobody pretends to be the host's loopback"),
        ],
    }
}

/// Between the host's interfaces.
fn forward(closed: bool) -> Chain {
    let mut rules = vec![
        rule(vec![same_bridge(), Term::Accept], "within one network"),
        rule(
            vec![from(INTERNAL), Term::Drop],
            "an internal network has no way out",
        ),
        rule(vec![to(INTERNAL), Term::Drop], "and none in"),
    ];
    if closed {
        let others = vec![not(from(BRIDGES)), not(to(BRIDGES)), Term::Drop];
        rules.push(rule(
            others,
            "forwarding was switched on for containers only",
        ));
    }
    rules.extend([
        rule(vec![not(to(BRIDGES)), Term::Accept], "not to a container"),
        rule(vec![Term::Established, Term::Accept], "answers"),
        rule(vec![Term::Translated, Term::Accept], "to a published port"),
        rule(vec![Term::Drop], "nothing else reaches a container"),
    ]);
    Chain {
        name: "forward".into(),
        hook: Hook::Forward,
        priority: 0,
        nat: false,
        rules,
    }
}

/// Published ports: for packets from elsewhere, and for those of the host itself.
fn publish(hook: Hook) -> Chain {
    let by = |family: Family, map: &str, fields: &[Field]| {
        let translate = Term::TranslateBy {
            family,
            fields: fields.to_vec(),
            map: format!("{map}_{family}"),
        };
        vec![Term::Family(family), Term::ToThisHost, translate]
    };
    let (protocol, port) = (Field::Transport, Field::DestinationPort);
    let at4 = [protocol, Field::Destination4, port];
    let at6 = [protocol, Field::Destination6, port];
    Chain {
        name: format!("publish_{hook}"),
        hook,
        priority: -100,
        nat: true,
        rules: vec![
            rule(
                by(Family::Ip4, "published_at", &at4),
                "ports published on one address",
            ),
            rule(
                by(Family::Ip4, "published", &[protocol, port]),
                "ports published on every address",
            ),
            rule(
                by(Family::Ip6, "published_at", &at6),
                "ports published on one address",
            ),
            rule(
                by(Family::Ip6, "published", &[protocol, port]),
                "ports published on every address",
            ),
        ],
    }
}

/// Whose address a packet leaves with.
fn leave() -> Chain {
    Chain {
        name: "leave".into(),
        hook: Hook::Postrouting,
        priority: 100,
        nat: true,
        rules: vec![
            rule(
                vec![from(MASQUERADED), not(to(BRIDGES)), Term::Masquerade],
                "containers go out under the host's address",
            ),
            rule(
                vec![same_bridge(), Term::Translated, Term::Masquerade],
                "to a port published by the same network: the answer has to come back here",
            ),
            // Where br_netfilter hands a bridge's own packets to us, it names no interface they
            // came by; and no container can answer to the 127.0.0.1 of the host.
            rule(
                vec![
                    Term::NoInput,
                    to(BRIDGES),
                    Term::Translated,
                    Term::Masquerade,
                ],
                "the same by br_netfilter, and from this host",
            ),
        ],
    }
}

fn rule(terms: Vec<Term>, why: &str) -> Rule {
    Rule {
        terms,
        comment: why.into(),
    }
}

fn from(set: &str) -> Term {
    Term::In {
        fields: vec![Field::InputInterface],
        set: set.into(),
        not: false,
    }
}

fn to(set: &str) -> Term {
    Term::In {
        fields: vec![Field::OutputInterface],
        set: set.into(),
        not: false,
    }
}

fn same_bridge() -> Term {
    let fields = vec![Field::InputInterface, Field::OutputInterface];
    Term::In {
        fields,
        set: SAME_BRIDGE.into(),
        not: false,
    }
}

fn not(term: Term) -> Term {
    match term {
        Term::In { fields, set, not } => Term::In {
            fields,
            set,
            not: !not,
        },
        other => other,
    }
}

/// What a network has in the sets as long as a container is on it.
pub(crate) fn network_elements(network: &Network) -> Vec<Element> {
    let bridge = || Value::Interface(network.bridge.clone());
    let in_set = |set: &str| Element {
        set: set.into(),
        key: vec![bridge()],
        value: vec![],
    };
    let kind = if network.internal {
        INTERNAL
    } else {
        MASQUERADED
    };
    let mut elements = vec![
        in_set(BRIDGES),
        Element {
            set: SAME_BRIDGE.into(),
            key: vec![bridge(), bridge()],
            value: vec![],
        },
    ];
    if network.internal || network.masquerades() {
        elements.push(in_set(kind));
    }
    elements
}

/// What an endpoint has in the maps: its published ports.
pub(crate) fn endpoint_elements(endpoint: &Endpoint) -> Vec<Element> {
    endpoint
        .ports
        .iter()
        .filter_map(|port| port_element(endpoint, port))
        .collect()
}

fn port_element(endpoint: &Endpoint, port: &Published) -> Option<Element> {
    let (family, own) = match port.host_ip {
        IpAddr::V4(_) => (Family::Ip4, endpoint.ipv4?),
        IpAddr::V6(_) => (Family::Ip6, endpoint.ipv6?),
    };
    let protocol = Value::Protocol(port.protocol.number());
    let (map, key) = match port.host_ip.is_unspecified() {
        true => ("published", vec![protocol, Value::Port(port.host_port)]),
        false => (
            "published_at",
            vec![
                protocol,
                Value::Address(port.host_ip),
                Value::Port(port.host_port),
            ],
        ),
    };
    Some(Element {
        set: format!("{map}_{family}"),
        key,
        value: vec![
            Value::Address(own.address),
            Value::Port(port.container_port),
        ],
    })
}

/// Notices that the table may be gone. Poll it with [`Watch::as_fd`]; when it is readable, call
/// [`Watch::take`] and, if that says so, [`crate::Networks::reapply`].
pub struct Watch(Deletions);

impl Watch {
    /// Starts to watch the calling thread's network namespace.
    pub fn open() -> Result<Watch, Error> {
        let attempt = "cannot watch the firewall";
        let refused = |source| Error::Kernel {
            what: attempt.into(),
            source,
        };
        Deletions::listen().map(Watch).map_err(refused)
    }

    /// Reads what happened; true when rules or tables were deleted since the last call.
    pub fn take(&mut self) -> bool {
        self.0.take()
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
