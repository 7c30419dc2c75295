//! What a partition's records are folded into: device state, or the log of a small topic.

use std::time::Duration;

use aggregate::{
    Applied, Arrived, FoldConfig, Identity, LOOK_AHEAD_MAX, Partition, RecordLog, Refused,
};
use ingest::{Arrival, Decoder, Record};
use schemas::entry::{Counts, EntryHeader, Input, StreamKind};
use schemas::reject::RejectedRow;
use schemas::{Delta, Rejection, Stream, Timestamp};

use crate::config::IdleRule;

/// The pure state behind one partition.
#[derive(Debug)]
pub enum Fold {
    /// With what its bounds had refused when that was last counted.
    Telemetry(Box<Partition>, Refused),
    /// `changes` or `support`: the journal carries their records whole.
    Log(Box<RecordLog>, StreamKind),
}

/// What became of one record.
#[derive(Debug)]
pub struct Folded {
    /// When it arrived; `None` where nothing says so.
    pub arrival: Option<Timestamp>,
    pub event_time: Option<Timestamp>,
    pub rejection: Option<Rejection>,
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
                Self::Telemetry(Box::new(Partition::new(config)), Refused::default())
            }
            kind => Self::Log(Box::new(log()), kind),
        }
    }

    /// A telemetry partition with the state of a snapshot.
    pub fn with_state(state: Partition) -> Self {
        let refused = state.refused();
        Self::Telemetry(Box::new(state), refused)
    }

    /// A telemetry partition that begins afresh behind an entry.
    pub fn after_gap(config: &FoldConfig, last: &EntryHeader) -> Self {
        Self::with_state(Partition::after_gap(config, last))
    }

    /// Whether recovery has to read the records again.
    pub const fn needs_records(&self) -> bool {
        matches!(self, Self::Telemetry(..))
    }

    /// Frames, decodes and applies one record; a refused one becomes a row.
    pub fn record(
        &mut self,
        decoder: &mut Decoder,
        record: &Record<'_>,
        clock: Option<Timestamp>,
    ) -> Folded {
        let arrival = match (record.timestamp, clock) {
            (Some(stamp), Some(clock)) => Arrival::At(stamp.min(clock)),
            (None, Some(clock)) => Arrival::At(clock),
            (Some(stamp), None) => Arrival::At(stamp),
            (None, None) => Arrival::InRecord,
        };
        let outcome = self.apply(decoder, record, arrival);
        outcome.unwrap_or_else(|rejection| {
            let row = record.rejected(&rejection, decoder.last_ts());
            let time = row.time;
            self.reject(row, time);
            Folded { arrival: time, event_time: None, rejection: Some(rejection) }
        })
    }

    fn apply(
        &mut self,
        decoder: &mut Decoder,
        record: &Record<'_>,
        arrival: Arrival,
    ) -> Result<Folded, Rejection> {
        match self {
            Self::Telemetry(partition, _) => {
                let value = ingest::unframe(record.value, &record.headers)?;
                let valid = decoder.telemetry(&value, arrival)?;
                let arrived = Arrived { at: valid.arrival, key: record.key };
                let _: Applied = partition.apply(&valid.event, arrived);
                let event_time = Some(valid.event.time);
                Ok(Folded { arrival: Some(valid.arrival), event_time, rejection: None })
            }
            Self::Log(log, StreamKind::Changes) => {
                // A null value is a tombstone there, not a missing record.
                let value = match record.value {
                    None => None,
                    some => Some(ingest::unframe(some, &record.headers)?),
                };
                let message = decoder.change(record.key, value.as_deref(), arrival)?;
                let at = message.arrival;
                log.change(record.offset, message.change, message.record.as_ref(), at);
                Ok(Folded { arrival: at, event_time: None, rejection: None })
            }
            Self::Log(log, ..) => {
                let value = ingest::unframe(record.value, &record.headers)?;
                let message = decoder.support(&value, arrival)?;
                log.support(record.offset, &message.record, Some(message.arrival));
                Ok(Folded { arrival: Some(message.arrival), event_time: None, rejection: None })
            }
        }
    }

    /// See [`Partition::look_ahead`].
    pub fn look_ahead(&self, keys: &[&[u8]]) {
        if let Self::Telemetry(partition, _) = self {
            for keys in keys.chunks(LOOK_AHEAD_MAX) {
                let mut devices = [Identity::default(); LOOK_AHEAD_MAX];
                for (device, key) in devices.iter_mut().zip(keys) {
                    *device = partition.identity(key);
                }
                partition.look_ahead(&devices[..keys.len()]);
            }
        }
    }

    fn reject(&mut self, row: RejectedRow, arrival: Option<Timestamp>) {
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

    /// Adds what the bounds refused since the last call to the counters.
    pub fn publish_refused(&mut self) {
        if let Self::Telemetry(partition, told) = self {
            let refused = partition.refused();
            refused.publish_since(told);
            *told = refused;
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
