//! The fold of one telemetry partition: records and inputs in, delta rows out. The order of steps.
//!
//! ```text
//! record ─► watermark ─► close windows it passes ─► fire silences it makes certain
//!              └──────────────────────────────────────────┬───────► then: Fold::apply
//!                                                         timers fire before the record
//! input ──► idle: close windows, fire nothing · end: close through the newest event
//! ```

use schemas::delta::Place;
use schemas::entry::EntryHeader;
use schemas::reject::RejectedRow;
use schemas::{Counts, Delta, Event, Input, Signal, Span, Timestamp};

use crate::absence::Silent;
use crate::accumulate::{Onset, ScopeId, SignalSums};
use crate::config::FoldConfig;
use crate::device::{Group, Identity};
use crate::devices::Devices;
use crate::exposure::time_of;
use crate::fold::{Fold, Record};
use crate::metrics::Refused;
use crate::progress::{Moved, Progress};
use crate::state::{Reader, StateError, Writer};

/// When and under which key a record arrived.
#[derive(Clone, Copy, Debug)]
pub struct Arrived<'a> {
    /// min(Kafka timestamp, clock reading at the entry's start).
    pub at: Timestamp,
    /// Kafka key; `None` where the source has no keys.
    pub key: Option<&'a [u8]>,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    OnTime,
    /// Applied; its window was closed for the partition.
    Late,
    Duplicate,
    /// A duplicate by its age: older than all that is remembered, and not newer in time.
    Stale,
}

/// Of a partition's stored state: to be raised whenever what is stored, or its order, changes.
const FORMAT: u8 = 3;

/// How long no silence is counted after the topic has grown: a device that has moved to another
/// partition is heard no more in the one before, and the longest a device may learn to be away is
/// as long.
const SILENCE_PAUSE: Span = Span::hours(72);

/// The state of one telemetry partition. A clone is cheap enough to take between two records.
#[derive(Clone, Debug)]
pub struct Partition {
    window_length: Span,
    progress: Progress,
    /// Greatest watermark that records alone have reached: idle input makes nothing certain.
    certain: Timestamp,
    /// Greatest event time.
    /// Max over records of min(event time, arrival): the END of the input closes through it.
    newest: Option<Timestamp>,
    /// The window last asked for: saves a division for nearly every record.
    window: Timestamp,
    /// Over devices and times of the records since the last take.
    digest: u64,
    /// Silences before this are not counted: see [`SILENCE_PAUSE`].
    silence_from: Timestamp,
    devices: Devices,
    fold: Fold,
}

/// Devices that are looked at ahead at once: more would push each other out of the cache's first
/// level, fewer wait more often.
pub const LOOK_AHEAD_MAX: usize = 32;

/// Odd and without pattern: the fraction of the golden ratio.
const DIGEST_MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

impl Partition {
    /// An empty partition. Panics if a window is not a whole number of seconds.
    pub fn new(config: &FoldConfig) -> Self {
        Self {
            window_length: config.window_length,
            progress: Progress::new(config.window_length, config.lateness),
            certain: Timestamp(0),
            newest: None,
            window: Timestamp(0),
            digest: 0,
            silence_from: Timestamp(0),
            devices: Devices::new(config.hash_seed, config.limits.devices_max),
            fold: Fold::new(config),
        }
    }

    /// The state as bytes; whoever stores them stores their SHA-256, too. See [`Partition::load`].
    ///
    /// # Panics
    /// On rows that were not taken: they belong to an entry, which comes before the state after it.
    pub fn save(&self) -> Vec<u8> {
        let mut out = Writer::new(FORMAT);
        self.progress.save(&mut out);
        out.put(&(self.certain, self.newest, self.silence_from));
        self.devices.save(&mut out);
        self.fold.save(&mut out);
        out.finish()
    }

    /// The partition as it was when it was saved, under the same configuration.
    ///
    /// The caller has checked the bytes against their SHA-256: what is not state gives an error or
    /// a partition that means nothing.
    pub fn load(config: &FoldConfig, bytes: &[u8]) -> Result<Self, StateError> {
        let mut from = Reader::new(bytes, FORMAT)?;
        let mut partition = Self::new(config);
        partition.progress.load(&mut from)?;
        (partition.certain, partition.newest, partition.silence_from) = from.take()?;
        partition.devices.load(&mut from)?;
        partition.fold.load(&mut from, &partition.devices)?;
        from.end()?;
        Ok(partition)
    }

    /// A partition without devices behind an entry: where the records are gone that would give its
    /// devices again, or these have moved. Windows that the entry has closed stay closed.
    pub fn after_gap(config: &FoldConfig, last: &EntryHeader) -> Self {
        let mut partition = Self::new(config);
        partition.progress = Progress::after(last, config.window_length, config.lateness);
        partition.newest = last.watermark.map(|watermark| watermark + config.lateness);
        partition.close();
        partition
    }

    /// Who a record with this device id is from, whatever the id.
    #[inline]
    pub fn identity(&self, device: &[u8]) -> Identity {
        self.devices.identity(device)
    }

    /// The same for a record that follows soon: asks for where its device stands.
    #[inline]
    pub fn announce(&self, device: &[u8]) -> Identity {
        self.devices.announce(device)
    }

    /// Asks for what is known of devices that are announced, of at most [`LOOK_AHEAD_MAX`] at a
    /// time.
    ///
    /// A look at one device of many waits for memory; looks that do not depend on each other wait
    /// together. Changes nothing, whoever they are.
    #[inline]
    pub fn look_ahead(&self, devices: &[Identity]) {
        self.devices.look_ahead(devices);
    }

    /// Folds one valid record in.
    pub fn apply(&mut self, event: &Event<'_>, arrived: Arrived<'_>) -> Applied {
        self.apply_as(self.identity(event.device.as_bytes()), event, arrived)
    }

    /// The same where the [`Partition::identity`] of the record's device is at hand.
    pub fn apply_as(
        &mut self,
        identity: Identity,
        event: &Event<'_>,
        arrived: Arrived<'_>,
    ) -> Applied {
        debug_assert_eq!(identity, self.identity(event.device.as_bytes()), "another's record");
        let record = identity.low ^ event.time.0 as u64;
        self.digest = (self.digest.rotate_left(5) ^ record).wrapping_mul(DIGEST_MULTIPLIER);
        self.advance(event.time, arrived.at);
        self.fold.rows.counts.received += 1;
        if arrived.key.is_some_and(|key| key != event.device.as_bytes()) {
            self.fold.rows.counts.key_mismatch += 1;
        }
        let ring = self.fold.ring(event.ring);
        let new = Group { ring, ..Group::default() };
        let at = self.devices.find_or_add(identity, new);
        let place = self.place(event.time);
        let record = Record { event, at_ms: event.time.as_millis(), place, ring };
        match at {
            Some(at) => self.fold.apply((self.devices.get_mut(at), at), &record),
            None => self.fold.count_applied(&record, new),
        }
    }

    /// Takes note of a record that was refused; `arrival` moves nothing: only valid records do.
    pub fn reject(&mut self, row: RejectedRow, _arrival: Option<Timestamp>) {
        self.fold.rows.reject(row);
    }

    /// Takes up an input; a clock reading shapes arrivals only, which come with their records.
    pub fn input(&mut self, input: &Input) {
        match input {
            Input::Clock(_) | Input::Gap(_) => return,
            Input::Grown(grown) => {
                self.silence_from = self.silence_from.max(grown.at + SILENCE_PAUSE);
                return;
            }
            Input::Idle(at) => {
                self.progress.raise(*at);
            }
            Input::End => self.progress.end(self.newest),
        }
        self.close();
    }

    /// Max over records of min(event time, arrival), minus lateness, or later by idle input.
    pub const fn watermark(&self) -> Option<Timestamp> {
        self.progress.watermark()
    }

    /// Windows that end at or before this are closed; the epoch before any record.
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
        self.fold.rows.take(&self.fold.labels)
    }

    /// The digest of the records since the last call (`EntryHeader::digest`).
    pub const fn take_digest(&mut self) -> u64 {
        let digest = self.digest;
        self.digest = 0;
        digest
    }

    /// Rows that a take would give now.
    pub fn rows_pending(&self) -> usize {
        self.fold.rows.len()
    }

    pub fn device_count(&self) -> usize {
        self.devices.len()
    }

    /// Bytes held, side tables estimated.
    pub fn memory_bytes(&self) -> usize {
        self.devices.memory_bytes() + self.fold.memory_bytes()
    }

    /// What the bounds have refused so far.
    pub fn refused(&self) -> Refused {
        Refused { devices: self.devices.refused(), ..self.fold.refused() }
    }

    fn advance(&mut self, time: Timestamp, arrival: Timestamp) {
        let at = time.min(arrival);
        // One fast clock must not close what is still to come.
        self.newest = self.newest.max(Some(at));
        self.fold.lag.tick(at.as_millis());
        let moved = self.progress.record(at);
        if moved == Moved::Past {
            self.close();
        }
        // After idle input the watermark is ahead of what records say.
        let certain = at - self.progress.lateness();
        if certain > self.certain {
            self.certain = certain;
            self.fire_silences();
        }
    }

    fn close(&mut self) {
        let before = self.fold.exposure.closed_ms();
        let target = self.progress.closed_until().as_millis();
        self.fold.exposure.close_until(target, &mut self.devices, &mut self.fold.rows);
        let day = |at_ms: i64| time_of(at_ms).day();
        if day(before) != day(target) {
            // What follows may yet tell of silences up to now.
            self.fold.prune(self.certain);
        }
    }

    /// Counts the silences whose lag is over, and decides who has come back.
    fn fire_silences(&mut self) {
        let certain_ms = (self.certain - self.fold.lag.value()).as_millis();
        while let Some(silent) = self.fold.exposure.absences.next_short(certain_ms) {
            self.count_silence(silent, Signal::Silence, self.fold.silence_quiet_period);
        }
        let learned_ms = (self.certain - self.fold.lag.learned()).as_millis();
        while let Some(silent) = self.fold.exposure.absences.next_learned(learned_ms) {
            self.count_silence(silent, Signal::SilenceLearned, self.fold.quiet_period);
        }
        let closed_until = self.progress.closed_until();
        self.fold.returns.decide(certain_ms, &mut self.fold.rows, |window_ms| {
            let window = time_of(window_ms);
            Place { window, evaluated: window.max(closed_until) }
        });
    }

    /// A silence counts in the window and group in which the time at risk ended, evaluated now.
    fn count_silence(&mut self, silent: Silent, signal: Signal, quiet: Span) {
        let Silent { at, group, end_ms } = silent;
        let time = time_of(end_ms);
        if time < self.silence_from {
            return;
        }
        let (place, scope) = (self.place(time), ScopeId::Set(group.set));
        let affected = self.fold.onsets.affected(self.fold.user(at), signal, time, quiet);
        let names = &self.devices.get(at).names[..self.fold.cohort_count];
        let onset = Onset { place, ring: group.ring, scope, signal };
        self.fold.rows.signal(onset, names, SignalSums::one(affected, 1, time));
    }

    /// The window of a time, and where it is evaluated.
    fn place(&mut self, time: Timestamp) -> Place {
        if time < self.window || time - self.window >= self.window_length {
            self.window = time.window_start(self.window_length);
        }
        Place { window: self.window, evaluated: self.window.max(self.progress.closed_until()) }
    }
}

#[cfg(test)]
mod facts;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod measures;
#[cfg(test)]
mod model;
#[cfg(test)]
mod restart;
#[cfg(test)]
mod returns;
#[cfg(test)]
mod silence;
#[cfg(test)]
mod tests;
