//! The name server that a container finds at 127.0.0.11.
//!
//! It has no thread and no process of its own: whoever lives as long as the container (its monitor)
//! polls [`Server::as_fd`] and calls [`Server::handle`] when it is readable. Names come from the
//! leases on disk; whatever they do not know goes as raw bytes to the host's own name servers.
//! Read next: `dns/answer.rs` (what is answered), `dns/names.rs` (from what), `dns/forward.rs` and
//! `dns/stream.rs` (the way to other servers, and TCP). RFC 1035, RFC 6891 (sizes), RFC 7766 (TCP).

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use kernel::nft::{Chain, Family, Field, Hook, Rule, Table, Term, Value};
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use simple_dns::RCODE;

use crate::{Error, Networks, Protocol};
use answer::{Outcome, answer, refusal};
use forward::Forwards;
use names::Names;
use stream::Streams;

mod answer;
mod forward;
mod names;
mod stream;

/// Where containers find the server.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);

/// The port it listens on. Not 53: a container may run a name server of its own on every address.
const PORT: u16 = 15353;

/// How often waiting questions and idle connections are looked after, while there are any.
const TICK: Duration = Duration::from_millis(250);

/// Datagrams that are answered before the caller gets a turn again.
const AT_ONCE: usize = 64;

/// What a server answers, and whom it asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// The container's id: it knows the names on the networks that this container is on.
    pub container: String,
    /// Name servers for everything else; not asked when all its networks are internal.
    pub upstreams: Vec<IpAddr>,
}

/// The server of one container.
pub struct Server {
    poll: Poll,
    timer: OwnedFd,
    udp: UdpSocket,
    tcp: TcpListener,
    names: Names,
    forwards: Forwards,
    streams: Streams,
    turn: usize,
}

/// What became readable; numbers from [`token::FIRST`] on are forwards and streams.
mod token {
    pub(super) const UDP: u64 = 0;
    pub(super) const TCP: u64 = 1;
    pub(super) const TIMER: u64 = 2;
    pub(super) const FIRST: u64 = 3;
}

impl Server {
    /// Opens its sockets inside the container's network `namespace`, and the way to the upstreams
    /// in the caller's. It switches the namespace's loopback on, so this can be done before anything
    /// runs in it. The caller must be the only thread of its process.
    pub fn open(
        networks: &Networks,
        namespace: BorrowedFd<'_>,
        config: Config,
    ) -> Result<Server, Error> {
        let what = "cannot start the container's name server";
        let failed = |source| Error::Call {
            what: what.into(),
            source,
        };
        let opened = kernel::netlink::inside(namespace, || {
            // Before that, the address is not local, and a socket bound to it would answer from
            // another: the kernel would choose 127.0.0.1, and no client takes that for an answer.
            kernel::netlink::link_up("lo")
                .map_err(|error| io::Error::from_raw_os_error(error.errno()))?;
            Ok((
                listen(SocketType::DGRAM)?.into(),
                listen(SocketType::STREAM)?.into(),
            ))
        });
        let (udp, tcp) = opened.and_then(|sockets| sockets).map_err(failed)?;
        let server = Server::with(udp, tcp, networks, config);
        server.map_err(failed)
    }

    fn with(
        udp: UdpSocket,
        tcp: TcpListener,
        networks: &Networks,
        config: Config,
    ) -> io::Result<Server> {
        let timer = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK,
        )?;
        let poll = Poll(epoll::create(epoll::CreateFlags::CLOEXEC)?, token::FIRST);
        poll.add(&udp, token::UDP, EventFlags::IN)?;
        poll.add(&tcp, token::TCP, EventFlags::IN)?;
        poll.add(&timer, token::TIMER, EventFlags::IN)?;
        let upstreams: Vec<SocketAddr> = config
            .upstreams
            .into_iter()
            .map(|address| SocketAddr::new(address, 53))
            .collect();
        Ok(Server {
            poll,
            timer,
            udp,
            tcp,
            names: Names::of(networks.clone(), config.container),
            forwards: Forwards::to(upstreams.clone()),
            streams: Streams::to(upstreams),
            turn: 0,
        })
    }

    /// Does what is to be done now, without waiting. Call when [`Server::as_fd`] is readable.
    pub fn handle(&mut self) {
        for event in self.poll.ready() {
            match event {
                token::UDP => self.datagrams(),
                token::TCP => self.streams.accept(&self.tcp, &mut self.poll),
                token::TIMER => self.tick(),
                other => self.other(other),
            }
        }
        self.set_timer();
    }

    fn datagrams(&mut self) {
        let mut buffer = [0; 4096];
        for _ in 0..AT_ONCE {
            let Ok((length, client)) = self.udp.recv_from(&mut buffer) else {
                return;
            };
            let query = &buffer[..length];
            self.turn = self.turn.wrapping_add(1);
            match answer(query, self.names.table(), self.turn, true) {
                Outcome::Reply(reply) => self.reply(&reply, client),
                Outcome::Forward if self.forwards.start(query, client, &mut self.poll) => {}
                Outcome::Forward => self.reply(&refusal(query, RCODE::ServerFailure), client),
                Outcome::Nothing => {}
            }
        }
    }

    fn other(&mut self, number: u64) {
        if self.forwards.has(number) {
            if let Some((reply, client)) = self.forwards.receive(number, &mut self.poll) {
                self.reply(&reply, client);
            }
            return;
        }
        self.turn = self.turn.wrapping_add(1);
        let turn = self.turn;
        let names = &mut self.names;
        let answer = |query: &[u8]| answer(query, names.table(), turn, false);
        self.streams.advance(number, &mut self.poll, answer);
    }

    fn tick(&mut self) {
        let _ = rustix::io::read(&self.timer, &mut [0; 8]);
        for (reply, client) in self.forwards.expire(&mut self.poll) {
            self.reply(&reply, client);
        }
        self.streams.expire();
    }

    /// A client that is gone, or whose socket is full, asks again.
    fn reply(&self, reply: &[u8], client: SocketAddr) {
        let _ = self.udp.send_to(reply, client);
    }

    /// The timer runs only while somebody waits, so that an idle container wakes nobody up.
    fn set_timer(&self) {
        let idle = self.forwards.is_empty() && self.streams.is_empty();
        let every = if idle { Duration::ZERO } else { TICK };
        let time = Timespec {
            tv_sec: 0,
            tv_nsec: every.subsec_nanos().into(),
        };
        let timer = Itimerspec {
            it_interval: time,
            it_value: time,
        };
        let _ = timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &timer);
    }
}

/// A socket at the server's place.
fn listen(kind: SocketType) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::INET, kind, flags, None)?;
    rustix::net::bind(&socket, &SocketAddr::from((ADDRESS, PORT)))?;
    if kind == SocketType::STREAM {
        rustix::net::listen(&socket, 64)?;
    }
    Ok(socket)
}

impl AsFd for Server {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poll.0.as_fd()
    }
}

/// The one descriptor that stands for all sockets, and the next number for one. epoll(7).
struct Poll(OwnedFd, u64);

impl Poll {
    fn add(&self, socket: &impl AsFd, number: u64, wanted: EventFlags) -> io::Result<()> {
        Ok(epoll::add(
            &self.0,
            socket,
            EventData::new_u64(number),
            wanted,
        )?)
    }

    /// Adds a socket under a number of its own; it leaves when it is closed.
    fn add_new(&mut self, socket: &impl AsFd, wanted: EventFlags) -> io::Result<u64> {
        let number = self.1;
        self.1 += 1;
        self.add(socket, number, wanted)?;
        Ok(number)
    }

    fn modify(&self, socket: &impl AsFd, number: u64, wanted: EventFlags) {
        let _ = epoll::modify(&self.0, socket, EventData::new_u64(number), wanted);
    }

    /// The numbers of the sockets that are ready now.
    fn ready(&self) -> Vec<u64> {
        const AT_ONCE: usize = 32;
        let mut events = Vec::with_capacity(AT_ONCE);
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let _ = epoll::wait(
            &self.0,
            rustix::buffer::spare_capacity(&mut events),
            Some(&now),
        );
        events.iter().map(|event| event.data.u64()).collect()
    }
}

/// The table inside the container that leads port 53 of 127.0.0.11 to the server.
pub(crate) fn redirect() -> Table {
    let rule = |protocol: Protocol| Rule {
        terms: vec![
            Term::Family(Family::Ip4),
            Term::Is {
                field: Field::Destination4,
                value: Value::Address(ADDRESS.into()),
                not: false,
            },
            Term::TransportIs(protocol.number()),
            Term::Is {
                field: Field::DestinationPort,
                value: Value::Port(53),
                not: false,
            },
            Term::TranslateTo(ADDRESS.into(), PORT),
        ],
        comment: "lighter answers names".into(),
    };
    Table {
        name: "lighter-dns".into(),
        sets: Vec::new(),
        chains: vec![Chain {
            name: "output".into(),
            hook: Hook::Output,
            priority: -100,
            nat: true,
            rules: vec![rule(Protocol::Udp), rule(Protocol::Tcp)],
        }],
    }
}
