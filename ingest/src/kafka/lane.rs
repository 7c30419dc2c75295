//! The records of some partitions of the consumer, for the worker that owns them.
//!
//! ```text
//! partition ─┐ led into          taken by the hundred        one partition at a time
//! partition ─┴───────────► queue ────────────────────► batch ─────────────────────► run
//! ```
//! The client leads a partition elsewhere whenever it stops fetching it, and it stops some time
//! after it was told to: so a partition is led here again until something of it has come.

use std::sync::Arc;
use std::time::Duration;

use schemas::{Stream, Timestamp};

use super::client::{Client, Trouble};
use super::native::{Batch, Message, Queue};
use crate::metrics::Received;
use crate::source::{Headers, Lane, Next, RUN_RECORDS_MAX, Record, Run, SourceError, Start};

/// One lane of [`super::KafkaSource`].
pub struct KafkaLane {
    // In this order: what is borrowed from the client is dropped before it.
    batch: Batch,
    queue: Queue,
    client: Arc<Client>,
    /// The partition of the messages in front, and how many of them it has.
    run: Option<(Stream, usize)>,
    /// Partitions of which nothing has come since they began.
    unheard: Vec<Stream>,
    /// Partitions of which an end or an error came last: the client counts that as a record.
    ended: Vec<Stream>,
    received: Received,
}

impl std::fmt::Debug for KafkaLane {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("KafkaLane").field("unheard", &self.unheard).finish_non_exhaustive()
    }
}

impl KafkaLane {
    pub(super) fn new(client: &Arc<Client>) -> Option<Self> {
        Some(Self {
            batch: Batch::new(),
            queue: Queue::gathering(&client.consumer)?,
            client: Arc::clone(client),
            run: None,
            unheard: Vec::new(),
            ended: Vec::new(),
            received: Received::new(),
        })
    }

    fn fill(&mut self, timeout: Duration) {
        for stream in &self.unheard {
            self.gather(*stream);
        }
        self.batch.fill(&self.queue, timeout);
        if self.batch.len() > 0 {
            self.client.hear();
        }
    }

    fn gather(&self, stream: Stream) {
        let Client { consumer, config, .. } = &*self.client;
        self.queue.gather(consumer, config.topics.name(stream.kind), stream.partition);
    }

    /// What the message in front says, if it is no record.
    fn failed(&mut self) -> Result<Option<Next>, SourceError> {
        let message = self.batch.get(0);
        let (failure, stream) = (message.failure(), self.client.stream_of(message));
        self.batch.done(1);
        if let Some(stream) = stream.filter(|stream| !self.ended.contains(stream)) {
            self.ended.push(stream);
        }
        let Some(failure) = failure else { return Ok(None) };
        Ok(self.client.failed(failure)?.map(|trouble| match trouble {
            Trouble::End { stream, offset } => {
                self.unheard.retain(|it| *it != stream);
                Next::EndOfPartition { stream, offset }
            }
            Trouble::Down(reason) => Next::Down(reason),
        }))
    }

    fn drop_held(&mut self, is_it: impl Fn(Stream) -> bool) {
        let client = &self.client;
        self.batch.forget(|message| client.stream_of(message).is_some_and(&is_it));
        self.run = None;
    }
}

impl Lane for KafkaLane {
    fn next(&mut self, timeout: Duration) -> Result<Next, SourceError> {
        if let Some((stream, _)) = self.run {
            return Ok(Next::Run(stream));
        }
        loop {
            if self.batch.len() == 0 {
                self.fill(timeout);
            }
            if self.batch.len() == 0 {
                return Ok(Next::Quiet);
            }
            let count = self.batch.run_length(RUN_RECORDS_MAX);
            if count == 0 {
                if let Some(next) = self.failed()? {
                    return Ok(next);
                }
                continue;
            }
            let Some(stream) = self.client.stream_of(self.batch.get(0)) else {
                self.batch.done(count);
                continue;
            };
            if !self.unheard.is_empty() {
                self.unheard.retain(|it| *it != stream);
            }
            if !self.ended.is_empty() {
                self.ended.retain(|it| *it != stream);
            }
            self.run = Some((stream, count));
            return Ok(Next::Run(stream));
        }
    }

    fn run(&self) -> Run<'_> {
        let mut run = Run::new();
        if let Some((stream, count)) = self.run {
            for message in (0..count).map(|index| self.batch.get(index)) {
                message.look_ahead();
                run.push(record(message, stream));
            }
        }
        run
    }

    fn done(&mut self, count: usize) {
        let Some((stream, length)) = self.run else { return };
        let size = |index| self.batch.get(index).value().map_or(0, <[u8]>::len);
        self.received.add(stream.kind, count, (0..count).map(size).sum());
        self.batch.done(count);
        self.run = Some((stream, length - count)).filter(|(_, left)| *left > 0);
    }

    fn begin(&mut self, stream: Stream, start: Start) -> Result<(), SourceError> {
        self.stop(&[stream]);
        self.client.starts().insert(stream, start);
        self.gather(stream);
        self.unheard.push(stream);
        Ok(())
    }

    fn stop(&mut self, streams: &[Stream]) {
        self.drop_held(|it| streams.contains(&it));
        self.unheard.retain(|it| !streams.contains(it));
        self.ended.retain(|it| !streams.contains(it));
    }

    /// Also those of which anything is held: it may be an end.
    fn unsettled(&self) -> Vec<Stream> {
        let held = (0..self.batch.len()).map(|index| self.client.stream_of(self.batch.get(index)));
        let mut streams: Vec<Stream> = held.flatten().chain(self.ended.iter().copied()).collect();
        streams.sort_unstable();
        streams.dedup();
        streams
    }
}

/// A message as a record of its stream.
pub(super) fn record(message: Message<'_>, stream: Stream) -> Record<'_> {
    let value = message.value();
    Record {
        stream,
        offset: message.offset(),
        timestamp: message.millis().and_then(Timestamp::from_millis),
        key: message.key(),
        value,
        size: value.map_or(0, <[u8]>::len),
        headers: Headers::Native(message.headers()),
    }
}
