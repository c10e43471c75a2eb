//! Questions over TCP: each message has its length before it (RFC 7766).
//!
//! In: connections of the container's programs. Out: answers, ours or those of another server, to
//! which the question goes over a connection of its own. Nobody can hold the server up: nothing
//! waits, there is a limit to connections (the oldest leaves), and to how long one may be idle.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use simple_dns::RCODE;

use super::Poll;
use super::answer::{Outcome, refusal};

/// Connections at one time.
const MOST: usize = 64;
/// How long a connection may be idle, or another server silent.
const PATIENCE: Duration = Duration::from_secs(5);

/// One connection of a program.
struct Stream {
    number: u64,
    client: TcpStream,
    input: Vec<u8>,
    output: Vec<u8>,
    relay: Option<Relay>,
    since: Instant,
}

/// A question on its way to another server.
struct Relay {
    number: u64,
    server: TcpStream,
    attempt: usize,
    query: Vec<u8>,
    output: Vec<u8>,
    input: Vec<u8>,
}

/// All connections, the oldest first.
pub(super) struct Streams {
    upstreams: Vec<SocketAddr>,
    all: Vec<Stream>,
}

impl Streams {
    pub(super) fn to(upstreams: Vec<SocketAddr>) -> Streams {
        Streams {
            upstreams,
            all: Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn accept(&mut self, listener: &TcpListener, poll: &mut Poll) {
        for _ in 0..MOST {
            let Ok((client, _)) = listener.accept() else {
                return;
            };
            let Ok(number) = client
                .set_nonblocking(true)
                .and_then(|()| poll.add_new(&client, EventFlags::IN))
            else {
                continue;
            };
            if self.all.len() >= MOST {
                self.all.remove(0);
            }
            let since = Instant::now();
            self.all.push(Stream {
                number,
                client,
                input: Vec::new(),
                output: Vec::new(),
                relay: None,
                since,
            });
        }
    }

    /// Closes what was idle for too long.
    pub(super) fn expire(&mut self) {
        self.all.retain(|stream| stream.since.elapsed() < PATIENCE);
    }

    /// Goes on with the connection that `number` belongs to; closes it when it ends or fails.
    pub(super) fn advance(
        &mut self,
        number: u64,
        poll: &mut Poll,
        answer: impl FnMut(&[u8]) -> Outcome,
    ) {
        let belongs = |stream: &Stream| {
            stream.number == number
                || stream
                    .relay
                    .as_ref()
                    .is_some_and(|relay| relay.number == number)
        };
        let Some(at) = self.all.iter().position(belongs) else {
            return;
        };
        let upstreams = &self.upstreams;
        let stream = &mut self.all[at];
        let result = match stream.number == number {
            true => stream.receive(),
            false => stream.relayed(upstreams, poll),
        };
        if result
            .and_then(|()| stream.go_on(upstreams, poll, answer))
            .is_err()
        {
            self.all.remove(at);
        }
    }
}

impl Stream {
    fn receive(&mut self) -> io::Result<()> {
        const LONGEST: usize = 2 * (u16::MAX as usize + 2);
        if self.input.len() > LONGEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if read_some(&mut self.client, &mut self.input)? {
            self.since = Instant::now();
        }
        Ok(())
    }

    /// Answers whole questions one after the other, and writes what can be written.
    fn go_on(
        &mut self,
        upstreams: &[SocketAddr],
        poll: &mut Poll,
        mut answer: impl FnMut(&[u8]) -> Outcome,
    ) -> io::Result<()> {
        while self.relay.is_none()
            && let Some(query) = take_message(&mut self.input)
        {
            match answer(&query) {
                Outcome::Reply(reply) => put_message(&mut self.output, &reply),
                Outcome::Forward => self.relay_from(0, query, upstreams, poll),
                Outcome::Nothing => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
        write_some(&mut self.client, &mut self.output)?;
        let wanted = if self.output.is_empty() {
            EventFlags::IN
        } else {
            EventFlags::IN | EventFlags::OUT
        };
        poll.modify(&self.client, self.number, wanted);
        Ok(())
    }

    /// Sends the question to the first server, from `first` on, that can be connected to.
    fn relay_from(
        &mut self,
        first: usize,
        query: Vec<u8>,
        upstreams: &[SocketAddr],
        poll: &mut Poll,
    ) {
        for (attempt, server) in upstreams.iter().enumerate().skip(first) {
            let Ok(server) = connect(*server) else {
                continue;
            };
            let Ok(number) = poll.add_new(&server, EventFlags::IN | EventFlags::OUT) else {
                continue;
            };
            let mut output = Vec::new();
            put_message(&mut output, &query);
            self.relay = Some(Relay {
                number,
                server,
                attempt,
                query,
                output,
                input: Vec::new(),
            });
            return;
        }
        put_message(&mut self.output, &refusal(&query, RCODE::ServerFailure));
    }

    /// Goes on with the other server; when it fails, with the next one.
    fn relayed(&mut self, upstreams: &[SocketAddr], poll: &mut Poll) -> io::Result<()> {
        let Some(mut relay) = self.relay.take() else {
            return Ok(());
        };
        match relay.advance() {
            Ok(Some(reply)) => put_message(&mut self.output, &reply),
            Ok(None) => {
                let wanted = if relay.output.is_empty() {
                    EventFlags::IN
                } else {
                    EventFlags::IN | EventFlags::OUT
                };
                poll.modify(&relay.server, relay.number, wanted);
                self.relay = Some(relay);
            }
            Err(_) => self.relay_from(relay.attempt + 1, relay.query, upstreams, poll),
        }
        Ok(())
    }
}

impl Relay {
    fn advance(&mut self) -> io::Result<Option<Vec<u8>>> {
        write_some(&mut self.server, &mut self.output)?;
        if self.output.is_empty() {
            read_some(&mut self.server, &mut self.input)?;
        }
        Ok(take_message(&mut self.input))
    }
}

/// Begins to connect without waiting for it; writing fails when it failed.
fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let family = if server.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket: OwnedFd = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    match rustix::net::connect(&socket, &server) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Ok(socket.into()),
        Err(error) => Err(error.into()),
    }
}

fn put_message(output: &mut Vec<u8>, message: &[u8]) {
    let Ok(length) = u16::try_from(message.len()) else {
        return;
    };
    output.extend(length.to_be_bytes());
    output.extend(message);
}

/// The next message, when all of it has come.
fn take_message(input: &mut Vec<u8>) -> Option<Vec<u8>> {
    let length = usize::from(u16::from_be_bytes([*input.first()?, *input.get(1)?]));
    if input.len() < length + 2 {
        return None;
    }
    let message = input[2..length + 2].to_vec();
    input.drain(..length + 2);
    Some(message)
}

/// Reads once; false when there is nothing now, an error when the other side has closed.
fn read_some(stream: &mut TcpStream, input: &mut Vec<u8>) -> io::Result<bool> {
    let mut buffer = [0; 4096];
    match stream.read(&mut buffer) {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(length) => {
            input.extend_from_slice(&buffer[..length]);
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

/// Writes what the other side takes now.
fn write_some(stream: &mut TcpStream, output: &mut Vec<u8>) -> io::Result<()> {
    while !output.is_empty() {
        match stream.write(output) {
            Ok(length) => drop(output.drain(..length)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_taken_whole() {
        let mut bytes = Vec::new();
        put_message(&mut bytes, b"first");
        put_message(&mut bytes, b"second");
        let last = bytes.pop().unwrap();
        assert_eq!(take_message(&mut bytes).as_deref(), Some(&b"first"[..]));
        assert_eq!(take_message(&mut bytes), None);
        bytes.push(last);
        assert_eq!(take_message(&mut bytes).as_deref(), Some(&b"second"[..]));
        assert!(bytes.is_empty());
    }
}
