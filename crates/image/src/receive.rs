//! One blob from a registry into a file, checked while it arrives; nothing is unpacked.

use std::fs::File;
use std::path::Path;
use std::thread;

use tokio::sync::{mpsc, oneshot};

use crate::error::file;
use crate::layer::pipeline::{self, Failure, Input};
use crate::registry::Session;
use crate::{Descriptor, Error};

const PIECES: usize = 8;

/// Appends what is missing to `into`, of which `have` bytes are there, and checks
/// all of it; `path` names it in errors.
pub(crate) async fn receive(
    session: &Session,
    descriptor: &Descriptor,
    into: File,
    have: u64,
    path: &Path,
) -> Result<(), Error> {
    let (sink, rest) = mpsc::channel(PIECES);
    let (send, kept) = oneshot::channel();
    let wanted = descriptor.clone();
    let input = Input {
        stored: into,
        length: have,
        rest: Some(rest),
    };
    thread::spawn(move || {
        let _ = send.send(pipeline::keep(&wanted, input, &|_| {}));
    });
    let delivered = session.stream_blob(descriptor, have, &sink, &|_| {}).await;
    drop(sink);
    let kept = kept.await;
    delivered?;
    match kept {
        Ok(Ok(())) => Ok(()),
        Ok(Err(Failure::Mismatch(mismatch))) => Err(mismatch.into()),
        Ok(Err(Failure::Store(error))) => Err(file("write", path)(error)),
        Ok(Err(Failure::Layer(_))) | Err(_) => unreachable!("nothing is unpacked"),
    }
}
