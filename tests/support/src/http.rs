//! A small web server inside the test's own process, which answers as a test says: well, badly or not at all.
//!
//! In: a function from [`Request`] to [`Reply`]. Out: [`Server`], which also remembers what it was asked. It serves
//! on this machine's loopback, or in the network namespace of a host. Hostile registries, token servers and proxies
//! are all made of it.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::namespace::Namespace;

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET`, ...
    pub method: String,
    /// The path with its query, or the whole address when the server is used as a proxy.
    pub path: String,
    /// By lower-case name.
    pub headers: HashMap<String, String>,
    /// As many bytes as its `Content-Length` says, or of its chunks.
    pub body: Vec<u8>,
    /// How many requests for this path came before.
    pub earlier: usize,
    /// Where it was received.
    pub host: SocketAddr,
}

impl Request {
    /// The value of a header, named in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// Where a range begins that has no end: `bytes=N-`.
    pub fn range_start(&self) -> Option<usize> {
        self.header("range")?
            .strip_prefix("bytes=")?
            .strip_suffix('-')?
            .parse()
            .ok()
    }
}

/// What is sent back.
#[derive(Debug)]
pub enum Reply {
    /// A status, headers and a body.
    Answer(u16, Vec<(String, String)>, Vec<u8>),
    /// Says it has `length` bytes of the type `kind`, sends `body`, and closes.
    Cut {
        /// The promise.
        length: usize,
        /// The media type.
        kind: &'static str,
        /// What is sent.
        body: Vec<u8>,
    },
    /// As [`Reply::Cut`], but the connection is reset.
    Reset {
        /// The promise.
        length: usize,
        /// What is sent.
        body: Vec<u8>,
    },
    /// As [`Reply::Cut`], but the connection stays open and silent for so long.
    Hang {
        /// The promise.
        length: usize,
        /// What is sent.
        body: Vec<u8>,
        /// How long it stays.
        time: Duration,
    },
    /// Sends `piece` forever.
    Endless {
        /// The media type.
        kind: &'static str,
        /// What is repeated.
        piece: Vec<u8>,
    },
    /// One byte each time this passes, forever.
    Drip(Duration),
    /// Nothing at all for so long.
    Silent(Duration),
    /// Closes at once.
    Closed,
    /// Bytes as they are, then closes.
    Raw(Vec<u8>),
    /// Becomes a tunnel to this address, as a proxy does for `CONNECT`.
    Tunnel(String),
}

/// A status and a body.
pub fn answer(status: u16, body: impl Into<Vec<u8>>) -> Reply {
    Reply::Answer(status, Vec::new(), body.into())
}

/// 200 with a media type and a body.
pub fn typed(kind: &str, body: impl Into<Vec<u8>>) -> Reply {
    Reply::Answer(200, vec![("Content-Type".into(), kind.into())], body.into())
}

/// 307 to another address.
pub fn redirect(target: &str) -> Reply {
    Reply::Answer(307, vec![("Location".into(), target.into())], Vec::new())
}

type Handler = dyn Fn(&Request) -> Reply + Send + Sync;

/// A running server; it ends with the process.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Serves on a free port of this machine's loopback.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn start(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        Self::serve(listener, None, handler)
    }

    /// Serves on an address of a host.
    ///
    /// # Panics
    /// When the address is not one of the host, or taken.
    pub fn start_in(
        namespace: &Namespace,
        address: &str,
        handler: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let (path, address) = (namespace.path(), address.to_owned());
        let network = std::fs::File::open(path).expect("the namespace lives");
        // Only the thread moves: sockets stay where they were made.
        let inside = network.try_clone().expect("a descriptor can be copied");
        let bound = thread::spawn(move || {
            enter(&inside);
            TcpListener::bind(&address).expect("the address is free on this host")
        });
        let listener = bound.join().expect("the address is free on this host");
        Self::serve(listener, Some(network), handler)
    }

    fn serve(
        listener: TcpListener,
        network: Option<std::fs::File>,
        handler: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().expect("a listener has an address");
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let (seen, handler): (_, Arc<Handler>) = (Arc::clone(&requests), Arc::new(handler));
        thread::spawn(move || {
            // Threads begin in the namespace of their maker, so tunnels connect from there.
            if let Some(network) = network {
                enter(&network);
            }
            for stream in listener.incoming().flatten() {
                let (seen, handler) = (Arc::clone(&seen), Arc::clone(&handler));
                thread::spawn(move || converse(stream, address, &seen, &*handler));
            }
        });
        Self { address, requests }
    }

    /// Everything it was asked so far.
    ///
    /// # Panics
    /// When a handler panicked.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("no handler panicked").clone()
    }
}

fn enter(network: &std::fs::File) {
    move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))
        .expect("root may enter a network namespace");
}

fn converse(
    mut stream: TcpStream,
    host: SocketAddr,
    seen: &Mutex<Vec<Request>>,
    handler: &Handler,
) -> Option<()> {
    let request = read_request(&mut stream, host, seen)?;
    let reply = handler(&request);
    send(&mut stream, &request, reply).ok()?;
    stream.shutdown(Shutdown::Write).ok()
}

fn read_request(
    stream: &mut TcpStream,
    host: SocketAddr,
    seen: &Mutex<Vec<Request>>,
) -> Option<Request> {
    let text = read_until(stream, b"\r\n\r\n")?;
    let mut lines = text.lines();
    let mut first = lines.next()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers: HashMap<String, String> = headers
        .map(|(k, v)| (k.to_ascii_lowercase(), v.to_owned()))
        .collect();
    let body = read_body(stream, &headers)?;
    let mut seen = seen.lock().ok()?;
    let earlier = seen.iter().filter(|request| request.path == path).count();
    let request = Request {
        method,
        path,
        headers,
        body,
        earlier,
        host,
    };
    seen.push(request.clone());
    Some(request)
}

fn read_until(stream: &mut TcpStream, end: &[u8]) -> Option<String> {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(end) {
        stream.read_exact(&mut byte).ok()?;
        // The first byte of TLS: nobody here speaks it.
        if text.is_empty() && byte[0] == 0x16 {
            return None;
        }
        text.push(byte[0]);
    }
    String::from_utf8(text).ok()
}

fn read_body(stream: &mut TcpStream, headers: &HashMap<String, String>) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    if headers
        .get("transfer-encoding")
        .is_some_and(|kind| kind == "chunked")
    {
        loop {
            let size = read_until(stream, b"\r\n")?;
            let mut piece = vec![0; usize::from_str_radix(size.trim(), 16).ok()?];
            stream.read_exact(&mut piece).ok()?;
            read_until(stream, b"\r\n")?;
            if piece.is_empty() {
                return Some(body);
            }
            body.extend(piece);
        }
    }
    let length = headers
        .get("content-length")
        .and_then(|length| length.parse().ok());
    body.resize(length.unwrap_or(0), 0);
    stream.read_exact(&mut body).ok()?;
    Some(body)
}

fn send(stream: &mut TcpStream, request: &Request, reply: Reply) -> std::io::Result<()> {
    match reply {
        Reply::Answer(status, headers, body) => {
            let mut head = format!(
                "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n",
                body.len()
            );
            for (name, value) in headers {
                head += &format!("{name}: {value}\r\n");
            }
            stream.write_all(format!("{head}\r\n").as_bytes())?;
            if request.method != "HEAD" {
                stream.write_all(&body)?;
            }
            Ok(())
        }
        Reply::Cut { length, kind, body } => {
            head(stream, kind, &format!("Content-Length: {length}"))?;
            stream.write_all(&body)
        }
        Reply::Reset { length, body } => {
            head(
                stream,
                "application/octet-stream",
                &format!("Content-Length: {length}"),
            )?;
            stream.write_all(&body)?;
            // Time for the bytes to be read: a reset takes those that were not.
            thread::sleep(Duration::from_millis(50));
            rustix::net::sockopt::set_socket_linger(&*stream, Some(Duration::ZERO))?;
            Err(std::io::ErrorKind::ConnectionReset.into())
        }
        Reply::Hang { length, body, time } => {
            head(
                stream,
                "application/octet-stream",
                &format!("Content-Length: {length}"),
            )?;
            stream.write_all(&body)?;
            thread::sleep(time);
            Ok(())
        }
        Reply::Endless { kind, piece } => {
            head(stream, kind, "Connection: close")?;
            loop {
                stream.write_all(&piece)?;
            }
        }
        Reply::Drip(pause) => {
            head(stream, "application/json", "Connection: close")?;
            loop {
                stream.write_all(b" ")?;
                thread::sleep(pause);
            }
        }
        Reply::Silent(time) => {
            thread::sleep(time);
            Ok(())
        }
        Reply::Closed => Ok(()),
        Reply::Raw(bytes) => stream.write_all(&bytes),
        Reply::Tunnel(target) => tunnel(stream, &target),
    }
}

fn head(stream: &mut TcpStream, kind: &str, header: &str) -> std::io::Result<()> {
    stream.write_all(
        format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n{header}\r\n\r\n").as_bytes(),
    )
}

fn tunnel(stream: &mut TcpStream, target: &str) -> std::io::Result<()> {
    let mut there = TcpStream::connect(target)?;
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    let (mut from, mut to) = (stream.try_clone()?, there.try_clone()?);
    let (done, wait) = sync_channel(1);
    thread::spawn(move || {
        std::io::copy(&mut from, &mut to).ok();
        to.shutdown(Shutdown::Write).ok();
        done.send(()).ok();
    });
    std::io::copy(&mut there, stream)?;
    stream.shutdown(Shutdown::Write)?;
    wait.recv().ok();
    Ok(())
}
