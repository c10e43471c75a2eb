//! What a client and a monitor say to each other over a socket: frames of one kind byte, a length and that many bytes.
//!
//! The client begins with [`Frame::Hello`]. The monitor answers a starter with `Ready` or `Failed`, then sends output as it
//! comes and `Ended` when the run is over. Both sides keep what they could not send yet and never block on each other.

use std::io::{self, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

/// Longest content of one frame.
pub(crate) const LONGEST: usize = 64 << 10;
/// Longest wish for a program: arguments and environment may be long (execve(2) takes 6 MiB of them at most).
const LONGEST_EXEC: usize = 8 << 20;
const EXEC: u8 = 10;
const HEAD: usize = 5;

/// What a client wants, in its first frame.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Wants {
    /// To send input.
    pub(crate) stdin: bool,
    /// To get standard output.
    pub(crate) stdout: bool,
    /// To get standard error.
    pub(crate) stderr: bool,
    /// To hear how the run ended.
    pub(crate) ending: bool,
}

/// Why a start failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    /// In words.
    pub(crate) cause: String,
    /// docker's code.
    pub(crate) code: u8,
}

/// One message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    /// The client's first.
    Hello(Wants),
    /// Bytes for standard input.
    Input(&'a [u8]),
    /// No more input.
    InputEnd,
    /// The window's rows and columns.
    Resize(u16, u16),
    /// The program was exec'd.
    Ready,
    /// It was not: [`Failure`] as JSON.
    Failed(&'a [u8]),
    /// Bytes of standard output.
    Output(&'a [u8]),
    /// Bytes of standard error.
    Error(&'a [u8]),
    /// The run ended with this code.
    Ended(i32),
    /// Run a program in the container: an [`ExecWish`] as JSON. Its three streams come with it, unless it gets a terminal.
    Exec(&'a [u8]),
    /// That program runs. Its terminal comes with it, when it has one.
    Started,
    /// A signal for that program.
    Signal(u8),
    /// The client leaves; its program's terminal is to be kept.
    Keep,
}

/// A program to run in the container.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ExecWish {
    /// All of it: arguments, environment, user, capabilities.
    pub(crate) process: oci_spec::runtime::Process,
    /// Nobody waits for its end.
    pub(crate) detach: bool,
}

impl Frame<'_> {
    /// Appends the frame to `out`.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Frame::Hello(w) => put(
                out,
                1,
                &[u8::from(w.stdin)
                    | u8::from(w.stdout) << 1
                    | u8::from(w.stderr) << 2
                    | u8::from(w.ending) << 3],
            ),
            Frame::Input(bytes) => put(out, 2, bytes),
            Frame::InputEnd => put(out, 3, &[]),
            Frame::Resize(rows, columns) => {
                let ([a, b], [c, d]) = (rows.to_le_bytes(), columns.to_le_bytes());
                put(out, 4, &[a, b, c, d]);
            }
            Frame::Ready => put(out, 5, &[]),
            Frame::Failed(json) => put(out, 6, json),
            Frame::Output(bytes) => put(out, 7, bytes),
            Frame::Error(bytes) => put(out, 8, bytes),
            Frame::Ended(code) => put(out, 9, &code.to_le_bytes()),
            Frame::Exec(json) => put_whole(out, EXEC, json),
            Frame::Started => put(out, 11, &[]),
            Frame::Signal(number) => put(out, 12, &[*number]),
            Frame::Keep => put(out, 13, &[]),
        }
    }
}

/// A stream's bytes: in as many frames as they need.
fn put(out: &mut Vec<u8>, kind: u8, content: &[u8]) {
    for part in content
        .chunks(LONGEST)
        .chain(content.is_empty().then_some(content))
    {
        put_whole(out, kind, part);
    }
}

fn put_whole(out: &mut Vec<u8>, kind: u8, content: &[u8]) {
    out.push(kind);
    out.extend_from_slice(
        &u32::try_from(content.len())
            .unwrap_or(u32::MAX)
            .to_le_bytes(),
    );
    out.extend_from_slice(content);
}

/// Reads the frame at the beginning of `bytes`: the frame and its length, or none when it is not all there.
pub(crate) fn parse(bytes: &[u8]) -> io::Result<Option<(Frame<'_>, usize)>> {
    let Some((head, rest)) = bytes.split_at_checked(HEAD) else {
        return Ok(None);
    };
    let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
    if length
        > if head[0] == EXEC {
            LONGEST_EXEC
        } else {
            LONGEST
        }
    {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let Some(content) = rest.get(..length) else {
        return Ok(None);
    };
    let frame = match (head[0], content) {
        (1, [bits]) => Frame::Hello(Wants {
            stdin: bits & 1 != 0,
            stdout: bits & 2 != 0,
            stderr: bits & 4 != 0,
            ending: bits & 8 != 0,
        }),
        (2, bytes) => Frame::Input(bytes),
        (3, []) => Frame::InputEnd,
        (4, [a, b, c, d]) => {
            Frame::Resize(u16::from_le_bytes([*a, *b]), u16::from_le_bytes([*c, *d]))
        }
        (5, []) => Frame::Ready,
        (6, json) => Frame::Failed(json),
        (7, bytes) => Frame::Output(bytes),
        (8, bytes) => Frame::Error(bytes),
        (9, [a, b, c, d]) => Frame::Ended(i32::from_le_bytes([*a, *b, *c, *d])),
        (EXEC, json) => Frame::Exec(json),
        (11, []) => Frame::Started,
        (12, [number]) => Frame::Signal(*number),
        (13, []) => Frame::Keep,
        _ => return Err(io::ErrorKind::InvalidData.into()),
    };
    Ok(Some((frame, HEAD + length)))
}

/// One side of a connection: never blocks, keeps what is not sent and what is not complete.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: UnixStream,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    /// Descriptors that came with what was read.
    pub(crate) descriptors: Vec<OwnedFd>,
    /// The other side is gone.
    pub(crate) closed: bool,
}

impl Connection {
    /// Over this socket.
    pub(crate) fn new(socket: UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            incoming: Vec::new(),
            outgoing: Vec::new(),
            descriptors: Vec::new(),
            closed: false,
        })
    }

    /// For poll(2).
    pub(crate) fn socket(&self) -> &UnixStream {
        &self.socket
    }

    /// Bytes not sent yet.
    pub(crate) fn pending(&self) -> usize {
        self.outgoing.len()
    }

    /// Sends a frame, now or when the other side has room again.
    pub(crate) fn send(&mut self, frame: &Frame<'_>) {
        frame.write(&mut self.outgoing);
        self.flush();
    }

    /// Sends a frame with descriptors. Only as the first thing that is sent: they travel with its first byte.
    pub(crate) fn send_with(&mut self, frame: &Frame<'_>, descriptors: &[BorrowedFd<'_>]) {
        frame.write(&mut self.outgoing);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let fits = ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
        let slices = [IoSlice::new(&self.outgoing)];
        match sendmsg(&self.socket, &slices, &mut ancillary, SendFlags::NOSIGNAL) {
            Ok(sent) if fits => drop(self.outgoing.drain(..sent)),
            _ => self.closed = true,
        }
        self.flush();
    }

    /// Sends what it can.
    pub(crate) fn flush(&mut self) {
        while !self.outgoing.is_empty() {
            match self.socket.write(&self.outgoing) {
                Ok(sent) => drop(self.outgoing.drain(..sent)),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.closed = true;
                    self.outgoing = Vec::new();
                }
            }
        }
        // A burst must not be paid for as long as the container lives.
        self.outgoing.shrink_to(0);
    }

    /// Takes in what has come.
    pub(crate) fn fill(&mut self) {
        let mut block = [0; 16 << 10];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut slices = [IoSliceMut::new(&mut block)];
        let read = match recvmsg(
            &self.socket,
            &mut slices,
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC,
        ) {
            Ok(message) => message.bytes,
            Err(Errno::AGAIN | Errno::INTR) => return,
            Err(_) => 0,
        };
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                self.descriptors.extend(descriptors);
            }
        }
        self.closed |= read == 0;
        self.incoming.extend_from_slice(&block[..read]);
    }

    /// Takes the first complete frame, and leaves what follows.
    pub(crate) fn first<T>(&mut self, take: impl FnOnce(Frame<'_>) -> Option<T>) -> Option<T> {
        let (taken, length) = match parse(&self.incoming) {
            Ok(Some((frame, length))) => (take(frame), length),
            Ok(None) => return None,
            Err(_) => {
                self.closed = true;
                return None;
            }
        };
        self.incoming.drain(..length);
        taken
    }

    /// Gives the complete frames that have come to `sink`.
    pub(crate) fn frames(&mut self, mut sink: impl FnMut(Frame<'_>)) {
        let mut from = 0;
        loop {
            match parse(&self.incoming[from..]) {
                Ok(Some((frame, length))) => {
                    sink(frame);
                    from += length;
                }
                Ok(None) => break,
                Err(_) => {
                    self.closed = true;
                    break;
                }
            }
        }
        self.incoming.drain(..from);
        self.incoming.shrink_to(0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_frame_comes_back() {
        let all = Wants {
            stdin: true,
            stdout: false,
            stderr: true,
            ending: true,
        };
        for frame in [
            Frame::Hello(all),
            Frame::Input(b"x"),
            Frame::InputEnd,
            Frame::Resize(24, 8000),
            Frame::Ready,
            Frame::Failed(b"{}"),
            Frame::Output(b""),
            Frame::Error(&[0; LONGEST]),
            Frame::Ended(-1),
            Frame::Exec(&[b'x'; LONGEST * 2]),
            Frame::Started,
            Frame::Signal(15),
            Frame::Keep,
        ] {
            let mut out = Vec::new();
            frame.write(&mut out);
            assert_eq!(parse(&out).unwrap(), Some((frame, out.len())));
            assert_eq!(parse(&out[..out.len() - 1]).unwrap(), None);
        }
    }

    #[test]
    fn long_output_is_sent_in_parts() {
        let mut out = Vec::new();
        Frame::Output(&vec![7; LONGEST + 1]).write(&mut out);
        let (_, first) = parse(&out).unwrap().unwrap();
        assert_eq!(
            parse(&out[first..]).unwrap(),
            Some((Frame::Output(&[7]), HEAD + 1))
        );
    }

    proptest! {
        #[test]
        fn no_bytes_from_a_stranger_make_it_panic(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }
    }
}
