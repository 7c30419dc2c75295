//! The topics `changes` and `support`: their records whole, each with the moment it takes effect.
//!
//! Their watermark follows arrival: a registry record may speak of last month or of next week.

use schemas::delta::{RegistryDelta, SupportDelta};
use schemas::entry::EntryHeader;
use schemas::reject::RejectedRow;
use schemas::{ChangeRecord, Counts, Delta, Input, SupportRecord, Timestamp};
use serde::Serialize;

use crate::config::FoldConfig;
use crate::progress::Progress;

/// The state of one partition of `changes` or `support`.
#[derive(Clone, Debug)]
pub struct RecordLog {
    progress: Progress,
    newest: Option<Timestamp>,
    delta: Delta,
    counts: Counts,
}

impl RecordLog {
    pub fn new(config: &FoldConfig) -> Self {
        Self {
            progress: Progress::new(config.window_length, config.lateness),
            newest: None,
            delta: Delta::default(),
            counts: Counts::default(),
        }
    }

    /// The state after an entry: all of it stands in the header, the records are not needed.
    pub fn resume(config: &FoldConfig, last: &EntryHeader) -> Self {
        let progress = Progress::after(last, config.window_length, config.lateness);
        // An END that follows closes what this watermark came from.
        let newest = last.watermark.map(|watermark| watermark + config.lateness);
        Self { progress, newest, ..Self::new(config) }
    }

    /// A valid record of `changes`; `record` = `None` is a tombstone.
    ///
    /// It takes effect at max(its time, the watermark when it arrived); without a time at its
    /// arrival; without either (replay) before everything.
    pub fn change(
        &mut self,
        offset: i64,
        change: String,
        record: Option<&ChangeRecord>,
        arrival: Option<Timestamp>,
    ) {
        let time = record.and_then(|record| record.time).or(arrival);
        let takes_effect = time.map_or(Timestamp(0), |time| self.not_before_watermark(time));
        let record = record.map(canonical);
        self.delta.registry.push(RegistryDelta { offset, takes_effect, change, record });
        self.applied(arrival);
    }

    /// A valid record of `support`; it takes effect like one of `changes`.
    pub fn support(&mut self, offset: i64, record: &SupportRecord, arrival: Option<Timestamp>) {
        let takes_effect = self.not_before_watermark(record.time);
        let record = canonical(record);
        self.delta.support.push(SupportDelta { offset, takes_effect, record });
        self.applied(arrival);
    }

    /// Takes note of a record that was refused; only valid records move the watermark.
    pub fn reject(&mut self, row: RejectedRow, _arrival: Option<Timestamp>) {
        self.counts.received += 1;
        self.counts.rejected += 1;
        self.delta.rejected.push(row);
    }

    /// Takes up an input.
    pub fn input(&mut self, input: &Input) {
        match input {
            Input::Clock(_) | Input::Gap(_) | Input::Grown(_) => {}
            Input::Idle(at) => {
                self.progress.raise(*at);
            }
            Input::End => self.progress.end(self.newest),
        }
    }

    /// Newest arrival minus lateness, or later by idle input.
    pub const fn watermark(&self) -> Option<Timestamp> {
        self.progress.watermark()
    }

    /// Nothing takes effect before this any more; the epoch before any record.
    pub const fn closed_until(&self) -> Timestamp {
        self.progress.closed_until()
    }

    /// Whether the input has ended and no record has followed.
    pub const fn ended(&self) -> bool {
        self.progress.ended()
    }

    /// Whether an idle input at `at` would let a window close.
    pub fn idle_would_close(&self, at: Timestamp) -> bool {
        self.progress.would_close(at)
    }

    /// The rows and counts since the last take.
    pub fn take(&mut self) -> (Delta, Counts) {
        (std::mem::take(&mut self.delta), std::mem::take(&mut self.counts))
    }

    /// Rows that a take would give now.
    pub fn rows_pending(&self) -> usize {
        self.delta.registry.len() + self.delta.support.len() + self.delta.rejected.len()
    }

    fn not_before_watermark(&self, time: Timestamp) -> Timestamp {
        self.progress.watermark().map_or(time, |watermark| watermark.max(time))
    }

    fn applied(&mut self, arrival: Option<Timestamp>) {
        self.counts.received += 1;
        self.counts.applied += 1;
        match arrival {
            Some(arrival) => {
                self.newest = self.newest.max(Some(arrival));
                self.progress.record(arrival);
            }
            None => self.progress.resume(),
        }
    }
}

/// The record as JSON in the order of its type's fields.
fn canonical<T: Serialize>(record: &T) -> String {
    #[expect(clippy::expect_used, reason = "registry types have string keys and plain values")]
    serde_json::to_string(record).expect("a registry record is always JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::config;
    use schemas::{ChangeStatus, ChangeType};

    fn second(second: i64) -> Timestamp {
        Timestamp::YEAR_2000 + schemas::Span::seconds(second)
    }

    fn record(time: Option<Timestamp>) -> ChangeRecord {
        ChangeRecord {
            change: "kb1".to_owned(),
            title: None,
            change_type: ChangeType::Quality,
            reversible: true,
            status: ChangeStatus::Deploying,
            announced: None,
            requires_action: false,
            acknowledged_at: None,
            action_due: None,
            mitigated_at: None,
            reason: None,
            supersedes: None,
            rings: Vec::new(),
            time,
        }
    }

    /// Offers one record after another arrival at second 1000 (watermark 990).
    fn takes_effect(time: Option<Timestamp>, arrival: Option<Timestamp>) -> Timestamp {
        let mut log = RecordLog::new(&config());
        log.change(0, "kb0".to_owned(), None, Some(second(1_000)));
        log.change(1, "kb1".to_owned(), Some(&record(time)), arrival);
        let (delta, counts) = log.take();
        assert!(counts.balance());
        delta.registry[1].takes_effect
    }

    #[test]
    fn a_record_takes_effect_at_its_time_but_never_before_the_watermark() {
        let (past, future) = (Some(second(5)), Some(second(2_000)));
        assert_eq!(takes_effect(future, Some(second(1_001))), second(2_000));
        assert_eq!(takes_effect(past, Some(second(1_001))), second(990));
        assert_eq!(takes_effect(None, Some(second(1_001))), second(1_001));
        assert_eq!(takes_effect(None, None), Timestamp(0), "replay: before everything");
    }

    #[test]
    fn a_record_is_kept_whole_as_json_and_a_tombstone_as_none() {
        let mut log = RecordLog::new(&config());
        let whole = record(Some(second(1)));
        log.change(7, "kb1".to_owned(), Some(&whole), None);
        log.change(8, "kb1".to_owned(), None, None);
        let (delta, _) = log.take();
        let read = delta.registry[0].record.as_deref().unwrap();
        assert_eq!(serde_json::from_str::<ChangeRecord>(read).unwrap(), whole);
        assert_eq!((delta.registry[1].offset, &delta.registry[1].record), (8, &None));
        assert_eq!(log.rows_pending(), 0);
    }

    #[test]
    fn a_record_after_the_end_takes_the_end_back() {
        let mut log = RecordLog::new(&config());
        log.input(&Input::End);
        assert!(log.ended());
        log.change(0, "kb1".to_owned(), None, None);
        assert!(!log.ended());
        log.input(&Input::Idle(second(120)));
        assert_eq!(log.closed_until(), second(120));
    }
}
