//! Questions over UDP that another server has to answer, each with a socket of its own.
//!
//! In: the raw query. Out: the raw reply, with the client's number put back. Every attempt has a
//! fresh port and a fresh number, so that nobody who does not see the question can answer it
//! (RFC 5452). A server that is silent, unreachable or unwilling is passed over for the next.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;
use rustix::rand::GetRandomFlags;
use simple_dns::RCODE;

use super::Poll;
use super::answer::refusal;

/// How long a server may take. A client waits 5 s by default (resolv.conf(5)).
const PATIENCE: Duration = Duration::from_millis(1500);
/// How often the whole list is tried.
const ROUNDS: usize = 2;
/// How many questions wait at most; each has a descriptor.
const MOST: usize = 256;

/// A question that waits for its answer.
struct Waiting {
    number: u64,
    socket: UdpSocket,
    client: SocketAddr,
    query: Vec<u8>,
    id: [u8; 2],
    attempt: usize,
    since: Instant,
}

/// All of them.
pub(super) struct Forwards {
    upstreams: Vec<SocketAddr>,
    waiting: Vec<Waiting>,
}

type Reply = (Vec<u8>, SocketAddr);

impl Forwards {
    pub(super) fn to(upstreams: Vec<SocketAddr>) -> Forwards {
        Forwards {
            upstreams,
            waiting: Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn has(&self, number: u64) -> bool {
        self.waiting.iter().any(|one| one.number == number)
    }

    /// Sends the question to the first server that can be sent to; false when there is none.
    pub(super) fn start(&mut self, query: &[u8], client: SocketAddr, poll: &mut Poll) -> bool {
        // A client that asks again while we wait means the same question.
        let same = |one: &Waiting| one.client == client && one.query == query;
        if self.waiting.iter().any(same) {
            return true;
        }
        self.waiting.len() < MOST && self.try_from(0, query.to_vec(), client, poll)
    }

    fn try_from(
        &mut self,
        first: usize,
        query: Vec<u8>,
        client: SocketAddr,
        poll: &mut Poll,
    ) -> bool {
        for attempt in first..self.upstreams.len() * ROUNDS {
            let server = self.upstreams[attempt % self.upstreams.len()];
            let Some((socket, id)) = send(&query, server) else {
                continue;
            };
            let Ok(number) = poll.add_new(&socket, EventFlags::IN) else {
                return false;
            };
            let since = Instant::now();
            self.waiting.push(Waiting {
                number,
                socket,
                client,
                query,
                id,
                attempt,
                since,
            });
            return true;
        }
        false
    }

    /// Reads what came for a question; gives the reply when it is one, or when all hope is lost.
    pub(super) fn receive(&mut self, number: u64, poll: &mut Poll) -> Option<Reply> {
        let at = self.waiting.iter().position(|one| one.number == number)?;
        let mut buffer = [0; 4096];
        let received = self.waiting[at].socket.recv(&mut buffer);
        match received {
            Ok(length) if !self.waiting[at].is_answered_by(&buffer[..length]) => None,
            Ok(length) if is_unwilling(&buffer[..length]) && self.has_another(at) => {
                self.next(at, poll)
            }
            Ok(length) => {
                let one = self.waiting.swap_remove(at);
                let mut reply = buffer[..length].to_vec();
                reply[..2].copy_from_slice(&one.query[..2]);
                Some((reply, one.client))
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => None,
            // Nobody listens there.
            Err(_) => self.next(at, poll),
        }
    }

    /// Passes over servers that took too long.
    pub(super) fn expire(&mut self, poll: &mut Poll) -> Vec<Reply> {
        let mut replies = Vec::new();
        while let Some(at) = self
            .waiting
            .iter()
            .position(|one| one.since.elapsed() >= PATIENCE)
        {
            replies.extend(self.next(at, poll));
        }
        replies
    }

    fn has_another(&self, at: usize) -> bool {
        self.waiting[at].attempt + 1 < self.upstreams.len()
    }

    fn next(&mut self, at: usize, poll: &mut Poll) -> Option<Reply> {
        let one = self.waiting.swap_remove(at);
        let failure = (refusal(&one.query, RCODE::ServerFailure), one.client);
        let going_on = self.try_from(one.attempt + 1, one.query, one.client, poll);
        (!going_on).then_some(failure)
    }
}

impl Waiting {
    fn is_answered_by(&self, reply: &[u8]) -> bool {
        reply.len() >= 12 && reply[..2] == self.id && reply[2] & 0x80 != 0
    }
}

/// SERVFAIL or REFUSED.
fn is_unwilling(reply: &[u8]) -> bool {
    matches!(reply[3] & 0x0f, 2 | 5)
}

fn send(query: &[u8], server: SocketAddr) -> Option<(UdpSocket, [u8; 2])> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let mut id = [0; 2];
    rustix::rand::getrandom(&mut id, GetRandomFlags::empty()).ok()?;
    let socket = UdpSocket::bind(any).ok()?;
    socket.set_nonblocking(true).ok()?;
    socket.connect(server).ok()?;
    let mut query = query.to_vec();
    query[..2].copy_from_slice(&id);
    socket.send(&query).ok()?;
    Some((socket, id))
}
