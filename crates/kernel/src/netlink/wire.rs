//! Netlink messages as bytes, and the socket that carries them.
//!
//! In: a message built attribute by attribute. Out: the kernel's acknowledgement, its refusal with
//! the sentence it gives for it (extended ack), or the messages of a dump.
//! Lengths are checked while building: an attribute that does not fit its 16 bit length makes the
//! message fail instead of wrapping (the fault of CVE-2021-43784).
//! Read next: `netlink.rs` (links, addresses, routes) and `nft.rs` (the firewall). netlink(7).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use netlink_sys::{Socket, SocketAddr};

use crate::error::Failure;

/// `NLM_F_REQUEST | NLM_F_ACK`: what every message of ours that changes something carries.
pub(crate) const CHANGE: u16 = 0x1 | 0x4;
/// `NLM_F_REQUEST`: a message inside a batch, which is acknowledged as a whole.
pub(crate) const REQUEST: u16 = 0x1;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
pub(crate) const DUMP: u16 = 0x1 | 0x300;
/// `NLM_F_CREATE`.
pub(crate) const CREATE: u16 = 0x400;
/// `NLM_F_EXCL`.
pub(crate) const EXCLUSIVE: u16 = 0x200;
/// `NLM_F_APPEND`.
pub(crate) const APPEND: u16 = 0x800;

const HEADER: usize = 16;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// `NLM_F_CAPPED`: the refusal quotes only the header of our message.
const CAPPED: u16 = 0x100;
/// `NLM_F_ACK_TLVS`: the refusal carries attributes that explain it.
const EXPLAINED: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;
const NLA_F_NESTED: u16 = 1 << 15;
const NLA_TYPE_MASK: u16 = 0x3fff;

/// What can go wrong between us and a netlink subsystem.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No socket of this protocol, e.g. because the kernel has no nf_tables.
    #[error("cannot open a netlink socket")]
    Open(#[source] io::Error),
    /// The socket failed while sending or receiving.
    #[error("cannot talk to the kernel over netlink")]
    Talk(#[source] io::Error),
    /// The kernel understood the message and said no; `why` is its own sentence, if it gave one.
    #[error("the kernel refused{}", .why.as_ref().map(|why| format!(": {why}")).unwrap_or_default())]
    Refused {
        /// The sentence of the extended ack.
        why: Option<String>,
        /// The error number.
        #[source]
        source: io::Error,
    },
    /// A name or value of ours is longer than netlink can carry.
    #[error("a netlink message would be too long")]
    TooLong,
    /// The kernel's answer ends in the middle of a structure.
    #[error("a netlink answer of the kernel cannot be read")]
    Malformed,
}

impl Error {
    /// The error number the kernel refused with, or 0.
    pub fn errno(&self) -> i32 {
        match self {
            Error::Refused { source, .. } | Error::Open(source) | Error::Talk(source) => {
                source.raw_os_error().unwrap_or(0)
            }
            Error::TooLong | Error::Malformed => 0,
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        match error.errno() {
            0 => io::Error::other(error),
            number => io::Error::from_raw_os_error(number),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        match error {
            Error::Refused { why, source } => Failure {
                note: why.unwrap_or_default(),
                ..Failure::from(source)
            },
            Error::Open(source) | Error::Talk(source) => source.into(),
            other => io::Error::other(other).into(),
        }
    }
}

/// One netlink message under construction.
pub(crate) struct Message {
    bytes: Vec<u8>,
    too_long: bool,
}

impl Message {
    /// A message of `kind` with `flags`; its sequence number and length are set when it is sent.
    pub(crate) fn new(kind: u16, flags: u16) -> Self {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(&[0; 8]);
        Message {
            bytes,
            too_long: false,
        }
    }

    /// The fixed structure that follows the header (`ifinfomsg`, `nfgenmsg`, ...).
    pub(crate) fn body(mut self, body: &[u8]) -> Self {
        self.bytes.extend_from_slice(body);
        self.pad();
        self
    }

    pub(crate) fn bytes(mut self, kind: u16, value: &[u8]) -> Self {
        self.put_bytes(kind, value);
        self
    }

    /// A string with its closing zero byte, as the kernel's `NLA_NUL_STRING` wants it.
    pub(crate) fn text(mut self, kind: u16, value: &str) -> Self {
        self.put_text(kind, value);
        self
    }

    /// A number in the machine's byte order (rtnetlink).
    pub(crate) fn u32(self, kind: u16, value: u32) -> Self {
        self.bytes(kind, &value.to_ne_bytes())
    }

    /// A number in network byte order (netfilter).
    pub(crate) fn be32(mut self, kind: u16, value: u32) -> Self {
        self.put_be32(kind, value);
        self
    }

    /// An attribute that contains the attributes that `fill` adds.
    pub(crate) fn nest(mut self, kind: u16, fill: impl FnOnce(&mut Message)) -> Self {
        self.put_nest(kind, fill);
        self
    }

    pub(crate) fn put_bytes(&mut self, kind: u16, value: &[u8]) {
        let Ok(length) = u16::try_from(value.len() + 4) else {
            self.too_long = true;
            return;
        };
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.pad();
    }

    pub(crate) fn put_text(&mut self, kind: u16, value: &str) {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.put_bytes(kind, &bytes);
    }

    pub(crate) fn put_be32(&mut self, kind: u16, value: u32) {
        self.put_bytes(kind, &value.to_be_bytes());
    }

    pub(crate) fn put_nest(&mut self, kind: u16, fill: impl FnOnce(&mut Message)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes
            .extend_from_slice(&(kind | NLA_F_NESTED).to_ne_bytes());
        fill(self);
        match u16::try_from(self.bytes.len() - start) {
            Ok(length) => self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes()),
            Err(_) => self.too_long = true,
        }
    }

    /// A structure inside a nest, before its attributes (the `ifinfomsg` of a veth's peer).
    pub(crate) fn put_body(&mut self, body: &[u8]) {
        self.bytes.extend_from_slice(body);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// Asks the kernel to acknowledge this message of a batch (`NLM_F_ACK`).
    pub(crate) fn ask_acknowledgement(&mut self) {
        let flags = u16::from_ne_bytes([self.bytes[6], self.bytes[7]]) | CHANGE;
        self.bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
    }

    /// The finished bytes, with the sequence number that the answer will quote.
    pub(crate) fn finish(mut self, sequence: u32) -> Result<Vec<u8>, Error> {
        let length = u32::try_from(self.bytes.len()).map_err(|_| Error::TooLong)?;
        if self.too_long {
            return Err(Error::TooLong);
        }
        self.bytes[0..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        Ok(self.bytes)
    }
}

/// A socket to one netlink subsystem of the network namespace it was opened in.
pub(crate) struct Connection {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the socket owns this descriptor and lives as long as the borrow of self.
        unsafe { BorrowedFd::borrow_raw(self.socket.as_raw_fd()) }
    }
}

impl Connection {
    /// Opens a socket of `protocol` (`NETLINK_ROUTE`, `NETLINK_NETFILTER`).
    pub(crate) fn open(protocol: i32) -> Result<Self, Error> {
        let mut socket = Socket::new(protocol as isize).map_err(Error::Open)?;
        socket.bind_auto().map_err(Error::Open)?;
        // Sentences in refusals (since Linux 4.12) that quote our header only, not our message.
        socket.set_ext_ack(true).map_err(Error::Open)?;
        socket.set_cap_ack(true).map_err(Error::Open)?;
        Ok(Connection {
            socket,
            sequence: 0,
            buffer: vec![0; 32 * 1024],
        })
    }

    /// Joins a multicast group; what it says is read with [`Connection::receive`].
    pub(crate) fn join(&mut self, group: u32) -> Result<(), Error> {
        self.socket.add_membership(group).map_err(Error::Open)
    }

    pub(crate) fn set_nonblocking(&self) -> Result<(), Error> {
        self.socket.set_non_blocking(true).map_err(Error::Open)
    }

    /// Lets only messages of these types through to the socket: a filter that the kernel runs.
    pub(crate) fn pass_only(&self, kinds: &[u16]) -> Result<(), Error> {
        let program = filter(kinds);
        let described = libc::sock_fprog {
            len: u16::try_from(program.len()).map_err(|_| Error::TooLong)?,
            filter: program.as_ptr().cast_mut(),
        };
        // SAFETY: the kernel copies the program that `described` points to, of the length it says,
        // during the call.
        let result = unsafe {
            libc::setsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_ATTACH_FILTER,
                (&raw const described).cast(),
                size_of::<libc::sock_fprog>() as libc::socklen_t,
            )
        };
        if result == 0 {
            Ok(())
        } else {
            Err(Error::Open(io::Error::last_os_error()))
        }
    }

    /// Sends one change and waits for its acknowledgement.
    pub(crate) fn change(&mut self, message: Message) -> Result<(), Error> {
        self.ask(message, |_, _| Ok(()))
    }

    /// Sends a question and hands each message of the answer to `each` as (type, payload).
    pub(crate) fn ask(
        &mut self,
        question: Message,
        each: impl FnMut(u16, &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let sent = self.send(vec![question])?;
        self.replies(sent, each)
    }

    /// Sends messages in one datagram; returns their first and last sequence number.
    pub(crate) fn send(&mut self, messages: Vec<Message>) -> Result<(u32, u32), Error> {
        let first = self.sequence + 1;
        let mut bytes = Vec::with_capacity(messages.len() * 128);
        for message in messages {
            self.sequence += 1;
            bytes.extend(message.finish(self.sequence)?);
        }
        let kernel = SocketAddr::new(0, 0);
        self.socket
            .send_to(&bytes, &kernel, 0)
            .map_err(Error::Talk)?;
        Ok((first, self.sequence))
    }

    /// Reads until the message `last` is answered; fails with the first refusal since `first`.
    ///
    /// What is older belongs to a transaction that was given up at its first refusal.
    pub(crate) fn replies(
        &mut self,
        (first, last): (u32, u32),
        mut each: impl FnMut(u16, &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        loop {
            let datagram = self.receive()?;
            for reply in Replies(&datagram) {
                let reply = reply?;
                if reply.sequence < first {
                    continue;
                }
                match reply.kind {
                    NLMSG_ERROR => reply.verdict()?,
                    NLMSG_DONE => {}
                    kind => {
                        each(kind, reply.payload)?;
                        continue;
                    }
                }
                if reply.sequence == last {
                    return Ok(());
                }
            }
        }
    }

    /// The next datagram; its messages are read with [`Replies`].
    pub(crate) fn receive(&mut self) -> Result<Vec<u8>, Error> {
        loop {
            let mut space = &mut self.buffer[..];
            match self.socket.recv_from(&mut space, 0) {
                // Only the kernel has port 0; anybody else may not answer in its place.
                Ok((_, sender)) if sender.port_number() != 0 => {}
                Ok((length, _)) => return Ok(self.buffer[..length].to_vec()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::Talk(error)),
            }
        }
    }
}

/// A classic BPF program: keep a datagram whose first message has one of these types.
fn filter(kinds: &[u16]) -> Vec<libc::sock_filter> {
    const LOAD_HALF: u16 = 0x28;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const TYPE_OFFSET: u32 = 4;
    let instruction = |code, jt, k| libc::sock_filter { code, jt, jf: 0, k };
    let mut program = vec![instruction(LOAD_HALF, 0, TYPE_OFFSET)];
    for (kind, left) in kinds.iter().zip((0..kinds.len() as u8).rev()) {
        // The load takes network byte order, the header has the machine's.
        let kind = u16::from_be_bytes(kind.to_ne_bytes());
        program.push(instruction(JUMP_IF_EQUAL, left + 1, u32::from(kind)));
    }
    program.push(instruction(RETURN, 0, 0));
    program.push(instruction(RETURN, 0, u32::MAX));
    program
}

/// One message from the kernel.
pub(crate) struct Reply<'a> {
    pub(crate) kind: u16,
    flags: u16,
    sequence: u32,
    pub(crate) payload: &'a [u8],
}

impl Reply<'_> {
    /// An `NLMSG_ERROR` is an acknowledgement when its number is 0.
    fn verdict(&self) -> Result<(), Error> {
        let number = -read_i32(self.payload, 0)?;
        if number == 0 {
            return Ok(());
        }
        let why = self.explanation();
        Err(Error::Refused {
            why,
            source: io::Error::from_raw_os_error(number),
        })
    }

    fn explanation(&self) -> Option<String> {
        if self.flags & EXPLAINED == 0 {
            return None;
        }
        let quoted = match self.flags & CAPPED {
            0 => read_u32(self.payload, 4).ok()? as usize,
            _ => HEADER,
        };
        let attributes = self.payload.get(4 + quoted.next_multiple_of(4)..)?;
        Attributes(attributes).find_map(|(kind, value)| match kind {
            NLMSGERR_ATTR_MSG => Some(read_text(value)),
            _ => None,
        })
    }
}

/// The messages of one datagram.
pub(crate) struct Replies<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Replies<'a> {
    type Item = Result<Reply<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let whole = std::mem::take(&mut self.0);
        let length = match read_u32(whole, 0) {
            Ok(length) => length as usize,
            Err(error) => return Some(Err(error)),
        };
        if length < HEADER || length > whole.len() {
            return Some(Err(Error::Malformed));
        }
        self.0 = whole.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Ok(Reply {
            kind: u16::from_ne_bytes([whole[4], whole[5]]),
            flags: u16::from_ne_bytes([whole[6], whole[7]]),
            sequence: u32::from_ne_bytes([whole[8], whole[9], whole[10], whole[11]]),
            payload: &whole[HEADER..length],
        }))
    }
}

/// The attributes of a message as (kind, value); stops at the first that does not fit.
pub(crate) struct Attributes<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::from(u16::from_ne_bytes(self.0.get(0..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(self.0.get(2..4)?.try_into().ok()?) & NLA_TYPE_MASK;
        let value = self.0.get(4..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }
}

pub(crate) fn read_u32(bytes: &[u8], at: usize) -> Result<u32, Error> {
    let field = bytes.get(at..at + 4).ok_or(Error::Malformed)?;
    Ok(u32::from_ne_bytes(
        field.try_into().map_err(|_| Error::Malformed)?,
    ))
}

fn read_i32(bytes: &[u8], at: usize) -> Result<i32, Error> {
    read_u32(bytes, at).map(|number| number as i32)
}

/// A string attribute without its closing zero byte.
pub(crate) fn read_text(value: &[u8]) -> String {
    let end = value
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_longer_than_its_length_field_is_an_error() {
        let message = Message::new(1, CHANGE).bytes(1, &vec![0; 0x1_0000]);
        assert!(matches!(message.finish(1), Err(Error::TooLong)));
    }

    #[test]
    fn a_nest_longer_than_its_length_field_is_an_error() {
        let message = Message::new(1, CHANGE).nest(1, |inside| {
            inside.put_bytes(2, &[0; 0xf000]);
            inside.put_bytes(3, &[0; 0xf000]);
        });
        assert!(matches!(message.finish(1), Err(Error::TooLong)));
    }

    #[test]
    fn attributes_read_back_what_was_written() {
        let bytes = Message::new(1, CHANGE)
            .text(3, "eth0")
            .u32(4, 7)
            .finish(9)
            .unwrap();
        let read: Vec<_> = Attributes(&bytes[HEADER..]).collect();
        assert_eq!(read, [(3, &b"eth0\0"[..]), (4, &7u32.to_ne_bytes()[..])]);
    }

    #[test]
    fn a_reply_cut_short_is_an_error_not_a_panic() {
        let bytes = Message::new(1, CHANGE).text(3, "eth0").finish(9).unwrap();
        for end in 1..bytes.len() {
            assert!(Replies(&bytes[..end]).next().unwrap().is_err());
        }
    }
}
