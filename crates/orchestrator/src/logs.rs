//! The logs of several containers as one stream, in the order of time.
//!
//! What is there already is merged exactly: each container's lines come through its own bounded channel, and the earliest
//! head is next. What comes later is put into order within a short window, because a line is known only once it is there.
//!
//! Comes in: containers and a query. Goes out: lines with the container they are from, to a sink, until it breaks off.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use engine::Engine;
use engine::logs::LogQuery;
use jiff::Timestamp;

/// A line of one of several containers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// When it was printed.
    pub time: Timestamp,
    /// Which container, as an index.
    pub container: usize,
    /// Its place among the lines of its container.
    pub number: u64,
    /// Printed to standard error.
    pub stderr: bool,
    /// The bytes, with a newline if there was one.
    pub text: Vec<u8>,
}

/// How long a new line waits for an earlier one of another container.
const WINDOW: Duration = Duration::from_millis(30);
/// Lines that one container may be ahead.
const AHEAD: usize = 256;

/// Where lines go; called with [`ControlFlow::Break`] never again.
pub type Sink<'a> = &'a mut dyn FnMut(&Line) -> ControlFlow<()>;

/// Gives the lines of `names` to `sink`. `interrupted` ends a follow.
///
/// # Errors
/// The engine's, for the first container whose log cannot be read.
pub fn logs(
    engine: &Engine,
    names: &[String],
    query: &LogQuery,
    interrupted: &(dyn Fn() -> bool + Sync),
    sink: Sink<'_>,
) -> engine::Result<()> {
    if !query.follow {
        return history(engine, names, query, sink).map(drop);
    }
    // A monitor stamps a line when it reads it and writes it a moment later; give it the moment, so that everything up to
    // now is in the files.
    let now = Timestamp::now();
    std::thread::sleep(Duration::from_millis(10));
    let past = LogQuery {
        follow: false,
        until: Some(now),
        ..query.clone()
    };
    if history(engine, names, &past, sink)?.is_break() {
        return Ok(());
    }
    let since = now
        .checked_add(jiff::SignedDuration::from_nanos(1))
        .unwrap_or(now);
    follow(engine, names, since, interrupted, sink);
    Ok(())
}

fn history(
    engine: &Engine,
    names: &[String],
    query: &LogQuery,
    sink: Sink<'_>,
) -> engine::Result<ControlFlow<()>> {
    std::thread::scope(|scope| {
        let mut streams = Vec::with_capacity(names.len());
        let mut readers = Vec::with_capacity(names.len());
        for (container, name) in names.iter().enumerate() {
            let (sender, receiver) = sync_channel(AHEAD);
            streams.push(receiver);
            readers.push(scope.spawn(move || read(engine, name, container, query, &sender)));
        }
        let flow = merge(streams, sink);
        for reader in readers {
            match reader.join() {
                Ok(result) => result?,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(flow)
    })
}

/// Sends the lines of one container until it ends or nobody listens.
fn read(
    engine: &Engine,
    name: &str,
    container: usize,
    query: &LogQuery,
    sender: &SyncSender<Line>,
) -> engine::Result<()> {
    let mut number = 0;
    engine.logs(name, query, &mut |line| {
        number += 1;
        let line = Line {
            time: line.time,
            container,
            number,
            stderr: line.stderr,
            text: line.text.to_vec(),
        };
        match sender.send(line) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    })
}

/// The earliest head of all streams, again and again.
fn merge(streams: Vec<Receiver<Line>>, sink: Sink<'_>) -> ControlFlow<()> {
    let mut heads: BinaryHeap<Reverse<Line>> = streams
        .iter()
        .filter_map(|stream| stream.recv().ok().map(Reverse))
        .collect();
    while let Some(Reverse(line)) = heads.pop() {
        sink(&line)?;
        heads.extend(streams[line.container].recv().ok().map(Reverse));
    }
    ControlFlow::Continue(())
}

fn follow(
    engine: &Engine,
    names: &[String],
    since: Timestamp,
    interrupted: &(dyn Fn() -> bool + Sync),
    sink: Sink<'_>,
) {
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel(AHEAD);
        for (container, name) in names.iter().enumerate() {
            let sender = sender.clone();
            scope.spawn(move || follow_one(engine, name, container, since, interrupted, &sender));
        }
        drop(sender);
        // Dropping the receiver ends the readers at their next line; those without one end with their containers or with
        // the process, which a caller that breaks off is about to leave.
        let _ = ordered(&receiver, interrupted, sink);
    });
}

/// Follows one container over its restarts, until it is down for good.
fn follow_one(
    engine: &Engine,
    name: &str,
    container: usize,
    since: Timestamp,
    interrupted: &(dyn Fn() -> bool + Sync),
    sender: &SyncSender<Line>,
) {
    let mut since = since;
    let mut number = 0;
    while !interrupted() {
        let query = LogQuery {
            follow: true,
            since: Some(since),
            ..LogQuery::default()
        };
        let mut gone = false;
        let result = engine.logs(name, &query, &mut |line| {
            number += 1;
            since = line
                .time
                .checked_add(jiff::SignedDuration::from_nanos(1))
                .unwrap_or(line.time);
            let line = Line {
                time: line.time,
                container,
                number,
                stderr: line.stderr,
                text: line.text.to_vec(),
            };
            gone = sender.send(line).is_err();
            if gone || interrupted() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        let again = engine
            .find(name)
            .is_ok_and(|now| now.status.is_up() || now.status == engine::list::Status::Restarting);
        if gone || result.is_err() || !again {
            return;
        }
        std::thread::sleep(WINDOW);
    }
}

/// Holds each line for the window and lets go of them in order.
fn ordered(
    receiver: &Receiver<Line>,
    interrupted: &(dyn Fn() -> bool + Sync),
    sink: Sink<'_>,
) -> ControlFlow<()> {
    let mut held: BinaryHeap<Reverse<(Timestamp, usize, u64)>> = BinaryHeap::new();
    let mut lines: std::collections::HashMap<(usize, u64), (Instant, Line)> =
        std::collections::HashMap::new();
    let mut open = true;
    while open || !held.is_empty() {
        match receiver.recv_timeout(WINDOW) {
            Ok(line) => {
                held.push(Reverse((line.time, line.container, line.number)));
                lines.insert((line.container, line.number), (Instant::now(), line));
            }
            Err(RecvTimeoutError::Timeout) if interrupted() => open = false,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => open = false,
        }
        while let Some(Reverse((_, container, number))) = held.peek() {
            let key = (*container, *number);
            let due = lines
                .get(&key)
                .is_none_or(|(arrived, _)| !open || arrived.elapsed() >= WINDOW);
            if !due {
                break;
            }
            held.pop();
            if let Some((_, line)) = lines.remove(&key) {
                sink(&line)?;
            }
        }
    }
    ControlFlow::Continue(())
}
