//! What a partition's records are folded into: device state, or the log of a small topic.

use std::time::Duration;

use aggregate::{FoldConfig, Partition, RecordLog, Refused};
use schemas::entry::{Counts, EntryHeader, Input, StreamKind};
use schemas::reject::RejectedRow;
use schemas::{Delta, Stream, Timestamp};

use crate::config::IdleRule;

/// The pure state behind one partition.
#[derive(Debug)]
pub enum Fold {
    /// With what was last said of it in metrics.
    Telemetry(Box<Partition>, Told),
    /// `changes` or `support`: the journal carries their records whole.
    Log(Box<RecordLog>, StreamKind),
}

/// What was last said of a partition: counters go on from there, gauges are sums over the
/// partitions that the process has.
#[derive(Debug, Default)]
pub struct Told {
    refused: Refused,
    devices: usize,
    bytes: usize,
}

impl Told {
    fn holds(&mut self, devices: usize, bytes: usize) {
        let change = |now: usize, before: usize| now as f64 - before as f64;
        crate::metrics::devices().increment(change(devices, self.devices));
        crate::metrics::state_bytes().increment(change(bytes, self.bytes));
        (self.devices, self.bytes) = (devices, bytes);
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.holds(0, 0);
    }
}

impl Fold {
    /// The state of a partition of `stream` before its first record, or where its records are not
    /// needed again.
    ///
    /// `last` is the last entry of its journal: a small topic goes on from there.
    pub fn new(stream: Stream, config: &FoldConfig, last: Option<&EntryHeader>) -> Self {
        let log =
            || last.map_or_else(|| RecordLog::new(config), |last| RecordLog::resume(config, last));
        match stream.kind {
            StreamKind::Telemetry => {
                Self::Telemetry(Box::new(Partition::new(config)), Told::default())
            }
            kind => Self::Log(Box::new(log()), kind),
        }
    }

    /// A telemetry partition with the state of a snapshot.
    pub fn with_state(state: Partition) -> Self {
        let told = Told { refused: state.refused(), ..Told::default() };
        Self::Telemetry(Box::new(state), told)
    }

    /// A telemetry partition that begins afresh behind an entry.
    pub fn after_gap(config: &FoldConfig, last: &EntryHeader) -> Self {
        Self::with_state(Partition::after_gap(config, last))
    }

    /// Whether recovery has to read the records again.
    pub const fn needs_records(&self) -> bool {
        matches!(self, Self::Telemetry(..))
    }

    pub(super) fn reject(&mut self, row: RejectedRow, arrival: Option<Timestamp>) {
        match self {
            Self::Telemetry(partition, _) => partition.reject(row, arrival),
            Self::Log(log, ..) => log.reject(row, arrival),
        }
    }

    /// Takes one input that is no record.
    pub fn input(&mut self, input: &Input) {
        match self {
            Self::Telemetry(partition, _) => partition.input(input),
            Self::Log(log, ..) => log.input(input),
        }
    }

    /// What has gathered since the last call.
    pub fn take(&mut self) -> (Delta, Counts) {
        match self {
            Self::Telemetry(partition, _) => partition.take(),
            Self::Log(log, ..) => log.take(),
        }
    }

    /// See [`EntryHeader::digest`]; since the last call.
    pub fn take_digest(&mut self) -> Option<u64> {
        match self {
            Self::Telemetry(partition, _) => Some(partition.take_digest()),
            Self::Log(..) => None,
        }
    }

    /// Devices remembered.
    pub fn device_count(&self) -> usize {
        match self {
            Self::Telemetry(partition, _) => partition.device_count(),
            Self::Log(..) => 0,
        }
    }

    /// A copy of the device state; `None` where the journal carries all there is.
    pub fn state(&self) -> Option<Box<Partition>> {
        match self {
            Self::Telemetry(partition, _) => Some(partition.clone()),
            Self::Log(..) => None,
        }
    }

    /// Rows that have gathered.
    pub fn rows_pending(&self) -> usize {
        match self {
            Self::Telemetry(partition, _) => partition.rows_pending(),
            Self::Log(log, _) => log.rows_pending(),
        }
    }

    /// Says in metrics what the partition holds, and what its bounds refused since the last call.
    pub fn tell(&mut self) {
        if let Self::Telemetry(partition, told) = self {
            let refused = partition.refused();
            refused.publish_since(&told.refused);
            told.refused = refused;
            told.holds(partition.device_count(), partition.memory_bytes());
        }
    }

    /// See [`EntryHeader::watermark`].
    pub fn watermark(&self) -> Option<Timestamp> {
        match self {
            Self::Telemetry(partition, _) => partition.watermark(),
            Self::Log(log, ..) => log.watermark(),
        }
    }

    /// See [`EntryHeader::closed_until`].
    pub fn closed_until(&self) -> Timestamp {
        match self {
            Self::Telemetry(partition, _) => partition.closed_until(),
            Self::Log(log, ..) => log.closed_until(),
        }
    }

    /// See [`EntryHeader::ended`].
    pub fn ended(&self) -> bool {
        match self {
            Self::Telemetry(partition, _) => partition.ended(),
            Self::Log(log, ..) => log.ended(),
        }
    }

    /// Whether moving the watermark to `at` would close a window.
    pub fn idle_would_close(&self, at: Timestamp) -> bool {
        match self {
            Self::Telemetry(partition, _) => partition.idle_would_close(at),
            Self::Log(log, ..) => log.idle_would_close(at),
        }
    }

    /// How long the partition must be quiet before its watermark moves by itself.
    pub const fn idle_after(&self, rule: &IdleRule) -> Duration {
        match self {
            Self::Telemetry(..) => rule.telemetry_after,
            Self::Log(..) => rule.log_after,
        }
    }
}
