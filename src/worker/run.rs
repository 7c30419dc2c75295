//! Many records at once: what the hot path spends its time on.
//!
//! ```text
//! run ─► what fits the entry ─► decode by shape ─► look devices up ahead ─► apply, one by one
//!                                        └ others: by the parser, when their turn comes
//! ```
//! Devices stand at random places of a table larger than every cache: looked up together, their
//! ways through memory overlap. The order of records, and what comes of them, is that of one by
//! one.

use aggregate::{Applied, Arrived, Identity, LOOK_AHEAD_MAX, Partition};
use ingest::{Arrival, Decoded, Decoder, RUN_RECORDS_MAX, Record};
use schemas::entry::StreamKind;
use schemas::{Rejection, Stage, Timestamp};

use super::{Fold, Now, Phase, Target, Worker};
use crate::pipeline::PipelineError;

const _: () = assert!(RUN_RECORDS_MAX <= LOOK_AHEAD_MAX, "a run is looked up at once");

/// Whoever hears of a record that was refused.
pub(crate) type HandOn<'a> = dyn FnMut(&Record<'_>, &Rejection) -> Result<(), PipelineError> + 'a;

/// What came of a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ran {
    /// Records that are dealt with; the others do not fit the open entry, or lie behind the target.
    pub count: usize,
    /// The newest arrival.
    pub arrival: Option<Timestamp>,
    /// The newest event time.
    pub event_time: Option<Timestamp>,
}

impl Ran {
    fn note(&mut self, arrival: Option<Timestamp>, event_time: Option<Timestamp>) {
        // An instant that is not known is before all others.
        self.arrival = self.arrival.max(arrival);
        self.event_time = self.event_time.max(event_time);
    }
}

impl Worker {
    /// Folds records, delivered in offset order, as many as fit the open entry. Those that are in
    /// the journal already, which a partition started again may deliver, are passed over.
    pub(crate) fn records(
        &mut self,
        decoder: &mut Decoder,
        records: &[Record<'_>],
        now: Now,
        hand_on: &mut HandOn<'_>,
    ) -> Result<Ran, PipelineError> {
        assert!(!self.is_waiting(), "{} takes no record while an entry waits", self.stream);
        let known = records.iter().take_while(|record| record.offset < self.position).count();
        let Some(first) = records.get(known) else {
            return Ok(Ran { count: records.len(), ..Ran::default() });
        };
        if !self.is_live() {
            self.recover_to(first.offset)?;
        }
        self.fix_first_offset(first.offset);
        if let (Phase::Live, Target::At(end)) = (self.phase, self.target)
            && first.offset >= end
        {
            // What lies between is no record: a marker of a transaction, or compacted away.
            self.position = self.position.max(end);
            return Ok(Ran { count: known, ..Ran::default() });
        }
        if self.is_live() && self.open.since.is_none() {
            self.begin_entry(now);
        }
        let records = &records[known..known + self.fitting(&records[known..])];
        // What is folded again was handed on when it was new.
        let is_new = self.is_live();
        let mut hand_on = |record: &Record<'_>, rejection: &Rejection| {
            if is_new { hand_on(record, rejection) } else { Ok(()) }
        };
        let mut ran = self.fold.records(decoder, records, self.open.clock, &mut hand_on)?;
        ran.count = known + records.len();
        if let Some(last) = records.last() {
            self.position = last.offset + 1;
            self.open.records += records.len() as u64;
            self.open.bytes += records.iter().map(size).sum::<usize>();
            self.since_snapshot.records += records.len() as u64;
            self.quiet.at_end = None;
        }
        Ok(ran)
    }

    /// How many of these records belong to the entry that is open: up to its bounds, the target,
    /// or, in recovery, the end of the entry that is made again.
    fn fitting(&self, records: &[Record<'_>]) -> usize {
        let end = match (self.phase, self.target) {
            (Phase::Recovering(index), _) => self.journal.headers()[index].end,
            (Phase::Live, Target::At(end)) => end,
            (Phase::Live, Target::None | Target::FirstEnd | Target::Reached) => i64::MAX,
        };
        let limits = &self.rules.entry;
        let left = match self.phase {
            // The entry was cut where it was cut.
            Phase::Recovering(_) => usize::MAX,
            Phase::Live => limits.records_max.saturating_sub(self.open.records) as usize,
        };
        let mut bytes = self.open.bytes;
        let fits = |record: &&Record<'_>| {
            let is_full = self.is_live() && bytes >= limits.bytes_max;
            bytes += size(record);
            record.offset < end && !is_full
        };
        records.iter().take(left).take_while(fits).count()
    }
}

fn size(record: &Record<'_>) -> usize {
    record.value.map_or(0, <[u8]>::len)
}

/// When a record arrived, as far as that is known before it is read.
fn arrival_of(record: &Record<'_>, clock: Option<Timestamp>) -> Arrival {
    match (record.timestamp, clock) {
        (Some(stamp), Some(clock)) => Arrival::At(stamp.min(clock)),
        (None, Some(clock)) => Arrival::At(clock),
        (Some(stamp), None) => Arrival::At(stamp),
        (None, None) => Arrival::InRecord,
    }
}

impl Fold {
    /// Frames, decodes and applies records; a refused one becomes a row.
    fn records(
        &mut self,
        decoder: &mut Decoder,
        records: &[Record<'_>],
        clock: Option<Timestamp>,
        hand_on: &mut HandOn<'_>,
    ) -> Result<Ran, PipelineError> {
        let mut ran = Ran::default();
        // Not `[const { None }; _]`, which copies a whole `None` to each place.
        let mut quick: [Option<Decoded<'_>>; RUN_RECORDS_MAX] = std::array::from_fn(|_| None);
        let mut devices = [Identity::default(); RUN_RECORDS_MAX];
        if let Self::Telemetry(partition, _) = self {
            // Whatever the headers say: a record of a known shape is in no envelope.
            let values = records.iter().map(|it| Some((it.value?, arrival_of(it, clock))));
            decoder.by_shape(values, &mut quick, |number, valid| {
                devices[number] = partition.announce(valid.event.device.as_bytes());
            });
            partition.look_ahead(&devices[..records.len()]);
        }
        for ((quick, device), record) in quick.iter().zip(devices).zip(records) {
            if let (Self::Telemetry(partition, _), Some(valid)) = (&mut *self, quick) {
                apply(partition, device, valid, record, &mut ran);
                continue;
            }
            let outcome = self.one(decoder, record, clock, &mut ran);
            if let Err(rejection) = outcome {
                // A frame is refused before it is decoded: the decoder's time is another record's.
                let last_ts = decoder.last_ts().filter(|_| rejection.stage != Stage::Frame);
                let row = record.rejected(&rejection, last_ts);
                let time = row.time;
                self.reject(row, time);
                ran.note(time, None);
                hand_on(record, &rejection)?;
            }
        }
        Ok(ran)
    }

    /// One record that no shape fits.
    fn one(
        &mut self,
        decoder: &mut Decoder,
        record: &Record<'_>,
        clock: Option<Timestamp>,
        ran: &mut Ran,
    ) -> Result<(), Rejection> {
        let arrival = arrival_of(record, clock);
        match self {
            Self::Telemetry(partition, _) => {
                let value = ingest::unframe(record.value, &record.headers)?;
                // What comes out of an envelope is shorter than that.
                let valid = if record.value.is_some_and(|whole| whole.len() == value.len()) {
                    decoder.parsed(&value, arrival)?
                } else {
                    decoder.unwrapped(&value, arrival)?
                };
                let device = partition.identity(valid.event.device.as_bytes());
                apply(partition, device, &valid, record, ran);
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
                ran.note(at, None);
            }
            Self::Log(log, ..) => {
                let value = ingest::unframe(record.value, &record.headers)?;
                let message = decoder.support(&value, arrival)?;
                log.support(record.offset, &message.record, Some(message.arrival));
                ran.note(Some(message.arrival), None);
            }
        }
        Ok(())
    }
}

fn apply(
    partition: &mut Partition,
    device: Identity,
    valid: &Decoded<'_>,
    record: &Record<'_>,
    ran: &mut Ran,
) {
    let arrived = Arrived { at: valid.arrival, key: record.key };
    let _: Applied = partition.apply_as(device, &valid.event, arrived);
    ran.note(Some(valid.arrival), Some(valid.event.time));
}
