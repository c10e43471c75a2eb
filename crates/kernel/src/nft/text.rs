//! Tables and elements as the text that `nft -f` reads.
//!
//! `shell.rs` prints it, and the tests load it beside what `encode.rs` sends: `nft list ruleset`
//! has to show the same for both. nft(8).

use std::fmt::{self, Display, Formatter};
use std::net::IpAddr;

use super::{Chain, Datatype, Element, Family, Field, Hook, Rule, Set, Table, Term, Value};

impl Display for Table {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        writeln!(out, "table inet {} {{", self.name)?;
        self.sets
            .iter()
            .try_for_each(|set| writeln!(out, "{set}"))?;
        self.chains
            .iter()
            .try_for_each(|chain| writeln!(out, "{chain}"))?;
        write!(out, "}}")
    }
}

impl Display for Set {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let key = joined(&self.key);
        match self.value.is_empty() {
            true => write!(out, "\tset {} {{ type {key}; }}", self.name),
            false => write!(
                out,
                "\tmap {} {{ type {key} : {}; }}",
                self.name,
                joined(&self.value)
            ),
        }
    }
}

impl Display for Chain {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let kind = if self.nat { "nat" } else { "filter" };
        let (hook, priority) = (self.hook, self.priority);
        writeln!(out, "\tchain {} {{", self.name)?;
        writeln!(
            out,
            "\t\ttype {kind} hook {hook} priority {priority}; policy accept;"
        )?;
        self.rules
            .iter()
            .try_for_each(|rule| writeln!(out, "\t\t{rule}"))?;
        write!(out, "\t}}")
    }
}

impl Display for Rule {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        self.terms
            .iter()
            .try_for_each(|term| write!(out, "{term} "))?;
        write!(out, "comment \"{}\"", self.comment)
    }
}

impl Display for Term {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let unless = |not: &bool| if *not { "!= " } else { "" };
        match self {
            Term::Family(Family::Ip4) => write!(out, "meta nfproto ipv4"),
            Term::Family(Family::Ip6) => write!(out, "meta nfproto ipv6"),
            Term::TransportIs(number) => write!(out, "meta l4proto {number}"),
            Term::In { fields, set, not } => {
                write!(out, "{} {}@{set}", joined(fields), unless(not))
            }
            Term::Is { field, value, not } => write!(out, "{field} {}{value}", unless(not)),
            Term::Loopback(field) => write!(out, "{field} 127.0.0.0/8"),
            Term::NoInput => write!(out, "iif 0"),
            Term::ToThisHost => write!(out, "fib daddr type local"),
            Term::Established => write!(out, "ct state established,related"),
            Term::Translated => write!(out, "ct status dnat"),
            Term::TranslateBy {
                family,
                fields,
                map,
            } => {
                write!(out, "dnat {family} to {} map @{map}", joined(fields))
            }
            Term::TranslateTo(address, port) => write!(out, "dnat {}", Target(*address, *port)),
            Term::SourceTo(address, port) => write!(out, "snat {}", Target(*address, *port)),
            Term::Masquerade => write!(out, "masquerade"),
            Term::Accept => write!(out, "accept"),
            Term::Drop => write!(out, "drop"),
        }
    }
}

struct Target(IpAddr, u16);

impl Display for Target {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => write!(out, "ip to {address}:{}", self.1),
            IpAddr::V6(address) => write!(out, "ip6 to [{address}]:{}", self.1),
        }
    }
}

impl Display for Element {
    /// `set { key : value }`, to be put behind `add element inet TABLE`.
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let key = joined(&self.key);
        match self.value.is_empty() {
            true => write!(out, "{} {{ {key} }}", self.set),
            false => write!(out, "{} {{ {key} : {} }}", self.set, joined(&self.value)),
        }
    }
}

impl Display for Value {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Value::Address(address) => write!(out, "{address}"),
            Value::Protocol(6) => write!(out, "tcp"),
            Value::Protocol(17) => write!(out, "udp"),
            Value::Protocol(132) => write!(out, "sctp"),
            Value::Protocol(number) => write!(out, "{number}"),
            Value::Port(port) => write!(out, "{port}"),
            Value::Interface(name) => write!(out, "\"{name}\""),
        }
    }
}

impl Display for Datatype {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Datatype::Address4 => "ipv4_addr",
            Datatype::Address6 => "ipv6_addr",
            Datatype::Protocol => "inet_proto",
            Datatype::Port => "inet_service",
            Datatype::Interface => "ifname",
        })
    }
}

impl Display for Field {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Field::InputInterface => "iifname",
            Field::OutputInterface => "oifname",
            Field::Source4 => "ip saddr",
            Field::Destination4 => "ip daddr",
            Field::Destination6 => "ip6 daddr",
            Field::Transport => "meta l4proto",
            Field::DestinationPort => "th dport",
            Field::SourcePort => "th sport",
        })
    }
}

impl Display for Family {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Family::Ip4 => "ip",
            Family::Ip6 => "ip6",
        })
    }
}

impl Display for Hook {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Hook::Prerouting => "prerouting",
            Hook::Input => "input",
            Hook::Forward => "forward",
            Hook::Output => "output",
            Hook::Postrouting => "postrouting",
        })
    }
}

fn joined<T: Display>(parts: &[T]) -> String {
    parts
        .iter()
        .map(T::to_string)
        .collect::<Vec<_>>()
        .join(" . ")
}
