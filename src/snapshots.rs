//! Writes device states down while reading goes on.
//!
//! ```text
//! worker ─ copy of its state ─► Snapshots ─ encode, put ─► system/snapshots/…
//!    ▲                                                          │
//!    └── later entries name it ◄── durable, with its hash ◄─────┘
//! ```
//! The copy is all that reading waits for. One state is in memory twice at a time.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use schemas::{Named, Stream};
use store::Blobs;
use store::states::{self, Holder};

use crate::metrics;
use crate::worker::SnapshotOf;

/// Where states go, and where what became of them comes back.
#[derive(Debug)]
pub enum Snapshots {
    Thread(Writing),
    /// At once and on the caller's thread: where everything runs on one.
    Inline(Inline),
}

/// A thread that encodes and writes.
#[derive(Debug)]
pub struct Writing {
    jobs: Option<SyncSender<SnapshotOf>>,
    done: Receiver<(Stream, Option<Named>)>,
    is_busy: bool,
    thread: Option<thread::JoinHandle<()>>,
}

/// What writes on the caller's thread.
#[derive(Debug)]
pub struct Inline {
    store: Arc<dyn Blobs>,
    writer: String,
    done: Option<(Stream, Named)>,
}

impl Snapshots {
    /// Starts the thread that encodes and writes.
    pub fn start(store: Arc<dyn Blobs>, writer: &str) -> std::io::Result<Self> {
        let (jobs, queued) = sync_channel::<SnapshotOf>(1);
        let (told, done) = sync_channel(1);
        let writer = writer.to_owned();
        let thread = thread::Builder::new().name("snapshots".to_owned()).spawn(move || {
            for job in queued {
                let stream = job.stream;
                if told.send((stream, write(&*store, &writer, job))).is_err() {
                    return;
                }
            }
        })?;
        let (jobs, thread) = (Some(jobs), Some(thread));
        Ok(Self::Thread(Writing { jobs, done, is_busy: false, thread }))
    }

    /// Without a thread.
    pub fn inline(store: Arc<dyn Blobs>, writer: &str) -> Self {
        Self::Inline(Inline { store, writer: writer.to_owned(), done: None })
    }

    /// Whether a state can be handed over now: one is written at a time.
    pub const fn is_free(&self) -> bool {
        match self {
            Self::Thread(writing) => !writing.is_busy,
            Self::Inline(inline) => inline.done.is_none(),
        }
    }

    /// Hands a state over.
    pub fn offer(&mut self, state: SnapshotOf) {
        match self {
            Self::Thread(writing) => {
                let jobs = writing.jobs.as_ref();
                writing.is_busy = jobs.is_some_and(|jobs| jobs.try_send(state).is_ok());
            }
            Self::Inline(Inline { store, writer, done }) => {
                let stream = state.stream;
                *done = write(&**store, writer, state).map(|named| (stream, named));
            }
        }
    }

    /// The snapshot that has become durable, once.
    pub fn take_done(&mut self) -> Option<(Stream, Named)> {
        match self {
            Self::Thread(writing) => {
                let (stream, named) = writing.done.try_recv().ok()?;
                writing.is_busy = false;
                Some((stream, named?))
            }
            Self::Inline(inline) => inline.done.take(),
        }
    }
}

impl Drop for Writing {
    /// Waits for the one under way: half a snapshot would only be a leftover.
    fn drop(&mut self) {
        self.jobs = None;
        while self.done.recv().is_ok() {}
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed; no state depends on it.
            thread.join().ok();
        }
    }
}

/// Encodes a state and writes it under a name of its own. A failure only makes recovery longer:
/// the next one comes by itself.
fn write(blobs: &dyn Blobs, writer: &str, job: SnapshotOf) -> Option<Named> {
    let SnapshotOf { stream, after, state } = job;
    let bytes = state.save();
    drop(state);
    match states::write(blobs, Holder::Worker(stream), after, writer, &bytes) {
        Ok(named) => {
            metrics::snapshot(named.bytes);
            Some(named)
        }
        Err(error) => {
            tracing::warn!(%stream, %error, "no snapshot written");
            None
        }
    }
}
