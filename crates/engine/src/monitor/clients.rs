//! Who is attached: the one that started the container, and those that come through its socket.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use crate::socket::Short;
use crate::wire::{Connection, Failure, Frame, Wants};
use crate::{Error, Result};

/// A client that takes no more than this much at a time makes the container wait.
const OUTPUT_LIMIT: usize = 256 << 10;
/// More clients than anyone needs; one that comes too many is turned away.
const MOST: usize = 256;

/// One attached client.
#[derive(Debug)]
struct Client {
    number: u64,
    connection: Connection,
    wants: Wants,
    /// Its first frame has come.
    greeted: bool,
    /// It runs a program, and hears of that program's end, not of the container's.
    exec: bool,
    /// It is told nothing more: it goes when what it has been told is sent.
    leaving: bool,
}

/// All of them, and the socket for more.
#[derive(Debug)]
pub(super) struct Clients {
    listener: UnixListener,
    list: Vec<Client>,
    /// How many there have been.
    count: u64,
    /// Nobody has been told yet that the container started, or did not.
    starter: bool,
}

/// What clients ask of the container.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// Bytes for its input.
    pub(super) input: Vec<u8>,
    /// A client that sent input has no more.
    pub(super) input_end: bool,
    /// The window of the last client that said.
    pub(super) size: Option<(u16, u16)>,
    /// Programs to run, signals for them: by client.
    pub(super) execs: Vec<(u64, Asking)>,
}

/// What a client asks about a program of its own.
#[derive(Debug)]
pub(super) enum Asking {
    /// Run it.
    Exec {
        /// [`crate::wire::ExecWish`] as JSON.
        wish: Vec<u8>,
        /// Its streams, when it has no terminal.
        streams: Vec<OwnedFd>,
    },
    /// Send it a signal.
    Signal(u8),
    /// Let it go on without its client.
    Keep,
}

impl Clients {
    /// Listens at `path`, with the starter as the first client.
    pub(super) fn listen(path: &Path, starter: UnixStream) -> Result<Self> {
        let listen = || -> std::io::Result<Self> {
            let short = Short::of(path)?;
            let listener = match UnixListener::bind(short.path()) {
                Err(e) if e.kind() == std::io::ErrorKind::AddrInUse => {
                    // Left by a monitor that was killed; only one can hold the container's lock.
                    std::fs::remove_file(path)?;
                    UnixListener::bind(short.path())?
                }
                other => other?,
            };
            listener.set_nonblocking(true)?;
            let starter = Client::new(starter, 0)?;
            Ok(Self {
                listener,
                list: vec![starter],
                count: 1,
                starter: true,
            })
        };
        listen().map_err(Error::path("listen at", path))
    }

    /// For poll(2): a newcomer.
    pub(super) fn listener(&self) -> &UnixListener {
        &self.listener
    }

    /// For poll(2): each client's socket, and whether it has something to be sent.
    pub(super) fn sockets(&self) -> impl Iterator<Item = (&UnixStream, bool)> {
        self.list
            .iter()
            .map(|client| (client.connection.socket(), client.connection.pending() > 0))
    }

    /// Must the container wait for a client?
    pub(super) fn congested(&self) -> bool {
        self.list
            .iter()
            .any(|client| client.connection.pending() > OUTPUT_LIMIT)
    }

    /// Is anything not sent yet?
    pub(super) fn pending(&self) -> bool {
        self.list
            .iter()
            .any(|client| client.connection.pending() > 0)
    }

    /// Does anybody wait to hear how the run ends?
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Takes in newcomers.
    pub(super) fn accept(&mut self) {
        while let Ok((socket, _)) = self.listener.accept() {
            if self.list.len() < MOST
                && let Ok(client) = Client::new(socket, self.count)
            {
                self.count += 1;
                self.list.push(client);
            }
        }
    }

    /// Sends what waits and takes in what has come.
    pub(super) fn exchange(&mut self) -> Asked {
        let mut asked = Asked::default();
        for client in &mut self.list {
            client.connection.flush();
            client.connection.fill();
            client.take(&mut asked);
        }
        self.sweep();
        asked
    }

    /// The program runs: its starter is told, and goes unless it is attached.
    pub(super) fn ready(&mut self) {
        self.answer(&Frame::Ready);
    }

    /// It could not be started: its starter is told why.
    pub(super) fn failed(&mut self, failure: &Failure) {
        let json = serde_json::to_vec(failure).unwrap_or_default();
        self.answer(&Frame::Failed(&json));
    }

    fn answer(&mut self, frame: &Frame<'_>) {
        if !std::mem::take(&mut self.starter) {
            return;
        }
        if let Some(starter) = self.list.first_mut() {
            // What it wants was sent before this process began.
            starter.connection.fill();
            starter.take(&mut Asked::default());
            starter.connection.send(frame);
            starter.leaving = starter.wants == Wants::default();
        }
        self.sweep();
    }

    /// Output for everybody who wants it.
    pub(super) fn output(&mut self, bytes: &[u8], stderr: bool) {
        for client in self.list.iter_mut().filter(|client| !client.leaving) {
            if stderr && client.wants.stderr {
                client.connection.send(&Frame::Error(bytes));
            } else if !stderr && client.wants.stdout {
                client.connection.send(&Frame::Output(bytes));
            }
        }
        self.sweep();
    }

    /// The run is over: everybody who wants to know is told, and all go.
    pub(super) fn ended(&mut self, code: i32) {
        for client in &mut self.list {
            if client.wants.ending && !client.leaving && !client.exec {
                client.connection.send(&Frame::Ended(code));
            }
            client.leaving = true;
        }
        self.sweep();
    }

    /// Is this client still there?
    pub(super) fn has(&self, number: u64) -> bool {
        self.list.iter().any(|client| client.number == number)
    }

    fn of(&mut self, number: u64) -> Option<&mut Client> {
        self.list.iter_mut().find(|client| client.number == number)
    }

    /// A client's program runs; its terminal goes to the client.
    pub(super) fn exec_started(&mut self, number: u64, terminal: Option<OwnedFd>) {
        let Some(client) = self.of(number) else {
            return;
        };
        match &terminal {
            Some(terminal) => client
                .connection
                .send_with(&Frame::Started, &[terminal.as_fd()]),
            None => client.connection.send(&Frame::Started),
        }
    }

    /// A client's program could not be run.
    pub(super) fn exec_failed(&mut self, number: u64, failure: &Failure) {
        let json = serde_json::to_vec(failure).unwrap_or_default();
        if let Some(client) = self.of(number) {
            client.connection.send(&Frame::Failed(&json));
            client.leaving = true;
        }
        self.sweep();
    }

    /// A client's program has ended.
    pub(super) fn exec_ended(&mut self, number: u64, code: i32) {
        if let Some(client) = self.of(number) {
            client.connection.send(&Frame::Ended(code));
            client.leaving = true;
        }
        self.sweep();
    }

    fn sweep(&mut self) {
        self.list.retain(|client| {
            !client.connection.closed && (!client.leaving || client.connection.pending() > 0)
        });
    }
}

impl Client {
    fn new(socket: UnixStream, number: u64) -> std::io::Result<Self> {
        let connection = Connection::new(socket)?;
        let wants = Wants::default();
        Ok(Self {
            number,
            connection,
            wants,
            greeted: false,
            exec: false,
            leaving: false,
        })
    }

    fn take(&mut self, asked: &mut Asked) {
        let Self {
            number,
            connection,
            wants,
            greeted,
            exec,
            ..
        } = self;
        let mut streams = std::mem::take(&mut connection.descriptors);
        connection.frames(|frame| {
            let asking = match frame {
                Frame::Hello(hello) if !*greeted => {
                    *wants = hello;
                    *greeted = true;
                    return;
                }
                Frame::Input(bytes) if wants.stdin => return asked.input.extend_from_slice(bytes),
                Frame::InputEnd if wants.stdin => return asked.input_end = true,
                Frame::Resize(rows, columns) => return asked.size = Some((rows, columns)),
                Frame::Exec(wish) if !*exec => {
                    *exec = true;
                    let streams = std::mem::take(&mut streams);
                    Asking::Exec {
                        wish: wish.to_vec(),
                        streams,
                    }
                }
                Frame::Signal(number) if *exec => Asking::Signal(number),
                Frame::Keep if *exec => Asking::Keep,
                // A client says nothing else.
                _ => return,
            };
            asked.execs.push((*number, asking));
        });
        // A long wish comes in pieces: its streams came with the first.
        connection.descriptors = streams;
    }
}

impl AsFd for Clients {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.listener.as_fd()
    }
}
