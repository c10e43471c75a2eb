//! The pipeline of one layer: four threads, each doing one thing to the stream.
//!
//! ```text
//! network -> receive: digest, keep -> inflate -> unpack
//!                                            \-> diff id
//! ```
//!
//! Bounded channels between them keep memory small and the slowest stage busy.
//! The layer counts only when all of size, digest and diff id are right.

use std::fs::File;
use std::io::{self, BufRead, Read, Seek, Write};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::decompress::Decoder;
use super::tar::{Reader, TarError};
use super::unpack::{Unpacked, unpack};
use super::{LayerError, Limits};
use crate::{Descriptor, Digest, Hasher, Mismatch, Span, Stage, Verifier};

/// Plain bytes move in pieces that stay in a processor's cache.
const PIECE: usize = 128 << 10;
const CHANNEL: usize = 16;
const STORED_PIECE: usize = 1 << 20;
/// After a failure, up to this much more is received to tell a damaged transfer
/// from a damaged layer.
const DRAIN_LIMIT: u64 = 16 << 20;

/// Where packed bytes come from.
pub(crate) struct Input {
    /// The blob, or the part of it that is here; what comes is appended.
    pub(crate) stored: File,
    /// Bytes of `stored`.
    pub(crate) length: u64,
    /// The rest, when it is not all here.
    pub(crate) rest: Option<tokio::sync::mpsc::Receiver<Bytes>>,
}

/// Why a layer did not come through.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The packed bytes are not those promised, or end early.
    Mismatch(Mismatch),
    /// They could not be kept.
    Store(io::Error),
    /// The layer itself is at fault.
    Layer(LayerError),
}

/// How far the packed bytes are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Received(u64),
    Verified,
    /// A stage ended.
    Ended(Span),
}

type Report<'a> = &'a (dyn Fn(Step) + Sync);

/// Measures the stages, each on a thread of its own.
struct Clock<'a> {
    started: Instant,
    /// When there was something to do for the first time.
    first_byte: OnceLock<Instant>,
    report: Report<'a>,
}

impl<'a> Clock<'a> {
    fn start(report: Report<'a>) -> Self {
        Self {
            started: Instant::now(),
            first_byte: OnceLock::new(),
            report,
        }
    }

    /// The first piece came.
    fn ring(&self) {
        if self.first_byte.set(Instant::now()).is_ok() {
            (self.report)(Step::Ended(Span::since(Stage::FirstByte, self.started)));
        }
    }

    /// Runs a stage to its end.
    fn time<T>(&self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let before = processor_time();
        let result = work();
        let start = self.first_byte.get().copied();
        (self.report)(Step::Ended(Span {
            busy: Some(processor_time().saturating_sub(before)),
            ..Span::since(stage, start.unwrap_or_else(Instant::now))
        }));
        result
    }
}

/// How long this thread kept a processor busy.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Runs the pipeline to its end on this and three more threads.
pub(crate) fn run(
    descriptor: &Descriptor,
    diff_id: &Digest,
    input: Input,
    root: &Path,
    limits: Limits,
    report: Report<'_>,
) -> Result<Unpacked, Failure> {
    let clock = Clock::start(report);
    let limit = descriptor.size.saturating_mul(1000).saturating_add(1 << 30);
    thread::scope(|scope| {
        let (packed, to_inflate) = sync_channel(CHANNEL);
        let (plain, to_unpack) = sync_channel(CHANNEL);
        let (copy, to_digest) = sync_channel(CHANNEL);
        let clock = &clock;
        let inflating = scope.spawn(move || {
            clock.time(Stage::Inflate, || inflate(to_inflate, &plain, &copy, limit))
        });
        let digesting =
            scope.spawn(move || clock.time(Stage::DiffId, || digest(&to_digest, diff_id)));
        let unpacking =
            scope.spawn(move || clock.time(Stage::Write, || unpack_plain(to_unpack, root, limits)));
        let received = clock.time(Stage::Download, || {
            receive(descriptor, input, Some(packed), clock)
        });
        let (inflated, found, unpacked) = (join(inflating), join(digesting), join(unpacking));
        received?;
        conclude(inflated, unpacked, &found, diff_id)
    })
}

/// The first stage alone, for blobs that are no layers.
pub(crate) fn keep(
    descriptor: &Descriptor,
    input: Input,
    report: Report<'_>,
) -> Result<(), Failure> {
    let clock = Clock::start(report);
    clock.time(Stage::Download, || receive(descriptor, input, None, &clock))
}

/// Which of several failures is the cause of the others.
fn conclude(
    inflated: Result<(), Stop>,
    unpacked: Result<Unpacked, LayerError>,
    found: &Digest,
    expected: &Digest,
) -> Result<Unpacked, Failure> {
    match (inflated, unpacked) {
        (Err(Stop::Failed(error)), _) => Err(Failure::Layer(error)),
        (Err(Stop::NobodyListens) | Ok(()), Err(error)) => Err(Failure::Layer(error)),
        (_, Ok(_)) if found != expected => {
            let (expected, found) = (expected.clone(), found.clone());
            Err(Failure::Layer(LayerError::DiffId { expected, found }))
        }
        (_, Ok(unpacked)) => Ok(unpacked),
    }
}

fn join<T>(handle: ScopedJoinHandle<'_, T>) -> T {
    handle
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Digests packed bytes, keeps the new ones and hands all of them on.
fn receive(
    descriptor: &Descriptor,
    input: Input,
    next: Option<SyncSender<Bytes>>,
    clock: &Clock<'_>,
) -> Result<(), Failure> {
    let mut stage = Receive {
        verifier: Verifier::new(&descriptor.digest, descriptor.size),
        size: descriptor.size,
        next,
        clock,
    };
    let Input {
        mut stored,
        length,
        rest,
    } = input;
    stored.rewind().map_err(Failure::Store)?;
    let mut left = length;
    while left > 0 {
        let mut piece = vec![0; STORED_PIECE.min(usize::try_from(left).unwrap_or(STORED_PIECE))];
        stored.read_exact(&mut piece).map_err(Failure::Store)?;
        left -= piece.len() as u64;
        if !stage.take(piece.into())? {
            return Ok(());
        }
    }
    if let Some(mut rest) = rest {
        while let Some(piece) = rest.blocking_recv() {
            stored.write_all(&piece).map_err(Failure::Store)?;
            if !stage.take(piece)? {
                return Ok(());
            }
        }
    }
    stage.verifier.finish().map_err(Failure::Mismatch)?;
    (clock.report)(Step::Verified);
    Ok(())
}

struct Receive<'a> {
    verifier: Verifier,
    size: u64,
    next: Option<SyncSender<Bytes>>,
    clock: &'a Clock<'a>,
}

impl Receive<'_> {
    /// False when a later stage failed and the rest is too much to look at.
    fn take(&mut self, piece: Bytes) -> Result<bool, Failure> {
        self.clock.ring();
        self.verifier.update(&piece).map_err(Failure::Mismatch)?;
        (self.clock.report)(Step::Received(self.verifier.seen()));
        let Some(next) = &self.next else {
            return Ok(true);
        };
        if next.send(piece).is_ok() {
            return Ok(true);
        }
        let small = self.size - self.verifier.seen() <= DRAIN_LIMIT;
        if small {
            self.next = None;
        }
        Ok(small)
    }
}

enum Stop {
    Failed(LayerError),
    /// The stage after this one gave up; it knows why.
    NobodyListens,
}

fn inflate(
    packed: Receiver<Bytes>,
    plain: &SyncSender<Bytes>,
    copy: &SyncSender<Bytes>,
    limit: u64,
) -> Result<(), Stop> {
    let mut source = Pieces::new(packed);
    let start = source.peek(8);
    let mut decoder = Decoder::new(&start, source).map_err(|error| Stop::Failed(error.into()))?;
    let mut total = 0u64;
    loop {
        let piece = read_piece(&mut decoder).map_err(|error| {
            Stop::Failed(LayerError::Inflate {
                reason: error.to_string(),
            })
        })?;
        if piece.is_empty() {
            return Ok(());
        }
        total += piece.len() as u64;
        if total > limit {
            return Err(Stop::Failed(LayerError::TooLarge { limit }));
        }
        let piece = Bytes::from(piece);
        let sent = copy.send(piece.clone()).is_ok() && plain.send(piece).is_ok();
        if !sent {
            return Err(Stop::NobodyListens);
        }
    }
}

/// Fills one piece; shorter only at the end.
fn read_piece(source: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut piece = vec![0; PIECE];
    let mut have = 0;
    while have < PIECE {
        match source.read(&mut piece[have..]) {
            Ok(0) => break,
            Ok(count) => have += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    piece.truncate(have);
    Ok(piece)
}

fn digest(plain: &Receiver<Bytes>, expected: &Digest) -> Digest {
    let mut hasher = Hasher::new(expected.algorithm());
    for piece in plain {
        hasher.update(&piece);
    }
    hasher.finish()
}

fn unpack_plain(
    plain: Receiver<Bytes>,
    root: &Path,
    limits: Limits,
) -> Result<Unpacked, LayerError> {
    let mut reader = Reader::new(Pieces::new(plain));
    let unpacked = unpack(&mut reader, root, limits)?;
    // What follows the archive's end belongs to the diff id all the same.
    let mut rest = reader.into_inner();
    loop {
        let length = rest.fill_buf().map_err(TarError::Read)?.len();
        if length == 0 {
            return Ok(unpacked);
        }
        rest.consume(length);
    }
}

/// A channel of pieces, read as one stream without copying them.
struct Pieces {
    source: Receiver<Bytes>,
    current: Bytes,
}

impl Pieces {
    fn new(source: Receiver<Bytes>) -> Self {
        Self {
            source,
            current: Bytes::new(),
        }
    }

    /// Up to `count` bytes from the start, left to be read.
    fn peek(&mut self, count: usize) -> Vec<u8> {
        while self.current.len() < count {
            let Ok(more) = self.source.recv() else { break };
            self.current = if self.current.is_empty() {
                more
            } else {
                [&self.current[..], &more[..]].concat().into()
            };
        }
        self.current[..self.current.len().min(count)].to_vec()
    }
}

impl BufRead for Pieces {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.current.is_empty() {
            match self.source.recv() {
                Ok(piece) => self.current = piece,
                Err(_) => break,
            }
        }
        Ok(&self.current)
    }

    fn consume(&mut self, count: usize) {
        let _ = self.current.split_to(count);
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let piece = self.fill_buf()?;
        let count = piece.len().min(buffer.len());
        buffer[..count].copy_from_slice(&piece[..count]);
        self.consume(count);
        Ok(count)
    }
}
