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
use store::states::{self, Holder};
use store::{Blobs, StoreError};

use crate::metrics;
use crate::worker::SnapshotOf;

/// Where states go, and where what became of them comes back.
#[derive(Debug)]
pub struct Snapshots {
    jobs: Option<SyncSender<SnapshotOf>>,
    done: Receiver<(Stream, Option<Named>)>,
    is_busy: bool,
    writing: Option<thread::JoinHandle<()>>,
}

impl Snapshots {
    /// Starts the thread that encodes and writes.
    pub fn start(store: Arc<dyn Blobs>, writer: &str) -> std::io::Result<Self> {
        let (jobs, waiting) = sync_channel::<SnapshotOf>(1);
        let (told, done) = sync_channel(1);
        let writer = writer.to_owned();
        let thread = thread::Builder::new().name("snapshots".to_owned()).spawn(move || {
            for job in waiting {
                let stream = job.stream;
                let named = write(&*store, &writer, job)
                    // The next one comes by itself; until then recovery takes longer.
                    .inspect_err(|error| tracing::warn!(%stream, %error, "no snapshot written"));
                if told.send((stream, named.ok())).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { jobs: Some(jobs), done, is_busy: false, writing: Some(thread) })
    }

    /// Whether a state can be handed over now: one is written at a time.
    pub const fn is_free(&self) -> bool {
        !self.is_busy
    }

    /// Hands a state over.
    pub fn offer(&mut self, state: SnapshotOf) {
        if let Some(jobs) = &self.jobs {
            self.is_busy = jobs.try_send(state).is_ok();
        }
    }

    /// The snapshot that has become durable, once.
    pub fn take_done(&mut self) -> Option<(Stream, Named)> {
        let (stream, named) = self.done.try_recv().ok()?;
        self.is_busy = false;
        Some((stream, named?))
    }
}

impl Drop for Snapshots {
    /// Waits for the one under way: half a snapshot would only be a leftover.
    fn drop(&mut self) {
        self.jobs = None;
        while self.done.recv().is_ok() {}
        if let Some(writing) = self.writing.take() {
            // A panic there has been printed; no state depends on it.
            writing.join().ok();
        }
    }
}

/// Encodes a state and writes it under a name of its own.
pub fn write(blobs: &dyn Blobs, writer: &str, job: SnapshotOf) -> Result<Named, StoreError> {
    let bytes = job.state.save();
    drop(job.state);
    let named = states::write(blobs, Holder::Worker(job.stream), job.after, writer, &bytes)?;
    metrics::snapshot(named.bytes);
    Ok(named)
}
