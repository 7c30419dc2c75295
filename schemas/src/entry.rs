//! One entry of log 1: what a worker journals of a partition, durable before anything follows.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::commit::Named;
use crate::delta::Delta;
use crate::event::names;
use crate::time::Timestamp;

names! {
    /// The three input topics, whatever they are called at the broker.
    StreamKind { Telemetry = "telemetry", Changes = "changes", Support = "support" }
}

/// One partition of one input topic.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Stream {
    pub kind: StreamKind,
    pub partition: i32,
}

impl fmt::Display for Stream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.kind.name(), self.partition)
    }
}

/// What shapes a partition's state and is not a record; stands at the start of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "input", content = "at")]
pub enum Input {
    /// A clock reading: arrival of the records that follow is at most this.
    Clock(Timestamp),
    /// The partition has been idle: its watermark moves to this.
    Idle(Timestamp),
    /// The input ends here: windows still open are closed; no timer fires, no watermark moves.
    End,
    /// Records that the operator accepted as lost: the state goes on without them.
    Gap(Gap),
    /// The topic has more partitions from here on: the state begins afresh.
    Grown(Grown),
}

/// A change of the number of partitions, by which devices move between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grown {
    /// Partitions of the topic from here on.
    pub partition_count: i32,
    /// When that was taken up, by the clock.
    pub at: Timestamp,
}

/// Offsets `[from, to)` that no record will ever come from, and what the state goes on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    pub from: i64,
    pub to: i64,
    /// The entry after which the snapshot was taken that the state goes on from; `None`: from
    /// nothing. Entries between it and the gap stand as they are.
    pub state_after: Option<u64>,
}

/// What became of the records of an entry: received = applied + duplicates + rejected (A6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub received: u64,
    pub applied: u64,
    /// `stale` ones included.
    pub duplicates: u64,
    pub rejected: u64,
    /// Part of `applied`: their window was closed for the partition.
    pub late: u64,
    /// Part of `duplicates`: older than all that is remembered, and not newer in time.
    pub stale: u64,
    /// Sequences begun anew.
    pub seq_restarts: u64,
    /// Records whose Kafka key is not their device.
    pub key_mismatch: u64,
    /// Records that name another ring than the last known, without `moved`.
    pub ring_drift: u64,
}

impl Counts {
    /// Adds another stretch of records.
    pub fn add(&mut self, other: &Self) {
        self.received += other.received;
        self.applied += other.applied;
        self.duplicates += other.duplicates;
        self.rejected += other.rejected;
        self.late += other.late;
        self.stale += other.stale;
        self.seq_restarts += other.seq_restarts;
        self.key_mismatch += other.key_mismatch;
        self.ring_drift += other.ring_drift;
    }

    /// Whether A6 holds.
    pub const fn balance(&self) -> bool {
        self.received == self.applied + self.duplicates + self.rejected && self.late <= self.applied
    }
}

/// Everything of an entry but its rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryHeader {
    pub stream: Stream,
    /// Dense from 0.
    pub number: u64,
    /// Names the process that wrote it: 32 hexadecimal digits.
    pub writer: String,
    /// Offsets `[start, end)`; `start` is the `end` of the entry before.
    pub start: i64,
    pub end: i64,
    pub counts: Counts,
    pub inputs: Vec<Input>,
    /// After the entry: max of min(event time, arrival), minus lateness; `None` before any record.
    pub watermark: Option<Timestamp>,
    /// After the entry: every window that ends at or before this is closed for the partition.
    pub closed_until: Timestamp,
    /// Whether an END input stands in this entry and no record has followed it.
    pub ended: bool,
    /// Partitions of the topic, as far as the writer has taken that up; `None`: as many as when
    /// the data folder was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition_count: Option<i32>,
    /// A fold over the device and the time of every valid telemetry record of the entry: records
    /// that were replaced by others are noticed although they give the same sums.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<u64>,
    /// The snapshot to recover from. An entry with records names one: they are folded again after
    /// it, so that other records at the same offsets are noticed. One without does so only
    /// where hundreds like it came since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Named>,
}

/// One journal entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub header: EntryHeader,
    pub delta: Delta,
}
