//! The thread that a store's requests run on, and the way to it from any other thread.

use std::future::Future;
use std::io;
use std::sync::mpsc::{self, RecvError};
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// One thread: it encrypts more than a network card takes, and most of its time it waits.
#[derive(Debug)]
pub(super) struct Engine {
    handle: Handle,
    /// Dropped with the store, which ends the thread.
    _running: oneshot::Sender<()>,
}

impl Engine {
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (running, dropped) = oneshot::channel::<()>();
        thread::Builder::new()
            .name("object-store".to_owned())
            .spawn(move || runtime.block_on(dropped).ok())?;
        Ok(Self { handle, _running: running })
    }

    /// Waits for the result of `work`; the error means that it panicked.
    pub(super) fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, RecvError> {
        let (result, done) = mpsc::sync_channel(1);
        self.handle.spawn(async move { result.send(work.await).ok() });
        done.recv()
    }
}
