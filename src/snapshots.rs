//! Writes device states down while reading goes on.
//!
//! ```text
//! worker ─ copy of its state ─► Snapshots ─ encode, put ─► system/snapshots/…
//!    ▲                                                          │
//!    └── later entries name it ◄── durable, with its hash ◄─────┘
//! ```
//! The copy is all that reading waits for. One state is in memory twice at a time.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
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
    done: Receiver<(Stream, Named)>,
    writing: Option<thread::JoinHandle<()>>,
}

impl Snapshots {
    /// Starts the thread that encodes and writes.
    pub fn start(store: Arc<dyn Blobs>, writer: String) -> std::io::Result<Self> {
        let (jobs, waiting) = sync_channel::<SnapshotOf>(0);
        let (told, done) = sync_channel(1);
        let writing = thread::Builder::new().name("snapshots".to_owned()).spawn(move || {
            for job in waiting {
                let stream = job.stream;
                match write(&*store, &writer, job) {
                    Ok(named) if told.send((stream, named)).is_err() => return,
                    Ok(_) => {}
                    Err(error) => {
                        // The next one comes by itself; until then recovery takes longer.
                        tracing::warn!(%stream, %error, "a snapshot could not be written");
                    }
                }
            }
        })?;
        Ok(Self { jobs: Some(jobs), done, writing: Some(writing) })
    }

    /// Whether a state can be handed over now: one is written at a time.
    pub fn offer(&self, state: SnapshotOf) -> Result<(), SnapshotOf> {
        match &self.jobs {
            Some(jobs) => jobs.try_send(state).map_err(|refused| match refused {
                TrySendError::Full(state) | TrySendError::Disconnected(state) => state,
            }),
            None => Err(state),
        }
    }

    /// The next snapshot that is durable by now.
    pub fn take_done(&self) -> Option<(Stream, Named)> {
        self.done.try_recv().ok()
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
