//! What one record does to its device and to the sums.
//!
//! ```text
//! seq ─► counts ─► names ─► life ─► signals ─► group (ring, set)
//! ```
//! Counts and signals belong to the group that the device was in before the record.

use std::sync::Arc;

use schemas::delta::Place;
use schemas::event::{BootReason, Lifecycle};
use schemas::{Body, DurationSignal, Event, Fact, Pseudonym, Signal, Span, Timestamp};

use crate::accumulate::{Labels, Onset, Rows, ScopeId, SignalSums};
use crate::cohorts::{Cohorts, HOUR_MS};
use crate::config::FoldConfig;
use crate::device::{Device, Gap, Group, NEVER_MS, Sign, SlotNames, Tried, is_boot_loop};
use crate::exposure::{Exposure, reach_ms, time_of};
use crate::facts::Certificates;
use crate::gaps;
use crate::hash::{Map, NumberHash};
use crate::hll;
use crate::intern::{NameId, Names, Short, Texts};
use crate::lag::Lag;
use crate::measures::Fault;
use crate::metrics::Refused;
use crate::onset::{Onsets, User};
use crate::partition::Applied;
use crate::pseudonym::Pseudonyms;
use crate::returns::{Order, Returns, Step};
use crate::sequence::{Seen, Sequences};
use crate::sets::{SetId, Sets};
use crate::update::{Attempts, attempt};

mod stored;

/// One valid record on its way in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    pub(crate) event: &'a Event<'a>,
    pub(crate) at_ms: i64,
    pub(crate) place: Place,
    pub(crate) ring: u8,
}

/// Where `build` and `model` stand among a device's names.
#[derive(Clone, Copy, Debug)]
struct Slots {
    build: usize,
    model: usize,
}

/// The state of a partition but its devices and its progress.
#[derive(Clone, Debug)]
pub(crate) struct Fold {
    pub(crate) quiet_period: Span,
    pub(crate) silence_quiet_period: Span,
    pub(crate) cohort_count: usize,
    slots: Slots,
    /// The configured rings in short.
    rings: Vec<Short>,
    pub(crate) labels: Labels,
    pub(crate) exposure: Exposure,
    pub(crate) sequences: Sequences,
    pub(crate) onsets: Onsets<Signal>,
    signatures: Onsets<Fault>,
    pub(crate) certificates: Certificates,
    pub(crate) lag: Lag,
    pub(crate) returns: Returns,
    pub(crate) rows: Rows,
    pseudonyms: Pseudonyms,
    /// Results of updates.
    pub(crate) codes: Texts,
    /// Factory resets of the devices that had one.
    resets: Map<u32, u32>,
    /// The hour last asked for: saves a division for nearly every record.
    hour_ms: i64,
}

impl Fold {
    pub(crate) fn new(config: &FoldConfig) -> Self {
        let hash = NumberHash::new(config.hash_seed);
        let limits = config.limits;
        let names = |names_max| Names::new(config.hash_seed, names_max);
        let mut slots: Vec<&str> = config.cohorts.iter().map(String::as_str).collect();
        let build = slot(&mut slots, "build");
        let model = slot(&mut slots, "model");
        let cohorts = Cohorts::new(hash, config.cohorts.len(), limits.cohort_values_max);
        let rings: Vec<_> = config.ring_names().map(Arc::from).collect();
        Self {
            quiet_period: config.quiet_period,
            silence_quiet_period: config.silence_quiet_period,
            cohort_count: config.cohorts.len(),
            slots: Slots { build, model },
            exposure: Exposure::new(config.window_length, limits.late_windows_max, cohorts),
            sequences: Sequences::new(hash, limits.missing_ranges_max),
            onsets: Onsets::new(hash, limits.onsets_max),
            signatures: Onsets::new(hash, limits.signature_onsets_max),
            certificates: Certificates::new(hash, limits.certificates_max),
            lag: Lag::new(rings.len()),
            returns: Returns::new(hash, (config.window_length.as_millis() / 1_000) as u32),
            rows: Rows::new(hash),
            pseudonyms: Pseudonyms::new(&config.pseudonym_key),
            codes: Texts::new(),
            resets: Map::with_hasher(hash),
            hour_ms: 0,
            rings: config.rings.iter().map(|ring| Short::of(ring)).collect(),
            labels: Labels {
                rings,
                changes: names(limits.changes_max.min(Tried::CHANGES_MAX)),
                sets: Sets::new(limits),
                signatures: names(limits.signatures_max),
                values: slots.iter().map(|_| names(limits.names_max)).collect(),
                slots: slots.into_iter().map(Arc::from).collect(),
            },
        }
    }

    /// The index of a configured ring, or that of `unmanaged` behind them.
    #[inline]
    pub(crate) fn ring(&self, name: &str) -> u8 {
        let wanted = Short::of(name);
        let whole = |at: usize| name.len() <= Short::BYTES || *self.labels.rings[at] == *name;
        let mut rings = self.rings.iter().enumerate();
        let found = rings.find(|&(at, ring)| *ring == wanted && whole(at));
        found.map_or(self.rings.len(), |(at, _)| at) as u8
    }

    /// Folds a record of a known (or just added) device in.
    pub(crate) fn apply(
        &mut self,
        (device, at): (&mut Device, u32),
        record: &Record<'_>,
    ) -> Applied {
        let before = Group { ring: record.ring, set: device.group().set };
        if let Some(seen) = self.duplicate((device, at), record) {
            self.rows.health(record.place, before).duplicates += 1;
            self.rows.counts.duplicates += 1;
            return seen;
        }
        let applied = self.count_applied(record, before);
        self.lag.record(record.ring, record.at_ms);
        let known = device.newest_ms != NEVER_MS;
        let newest = record.at_ms >= device.newest_ms;
        // Four in five records: they skip what is for others, which costs two calls.
        let plain = matches!(record.event.body, Body::Heartbeat { cert_expires: None, .. });
        let reset = matches!(record.event.body, Body::Lifecycle(Lifecycle::Reset));
        let moved = matches!(record.event.body, Body::Lifecycle(Lifecycle::Moved { .. }));
        if reset {
            self.reset((device, at), record);
        }
        let names = self.names(device, record.event);
        let order = if newest { Order::Newest } else { Order::Late };
        self.heard_in_hour(device, record, before, order);
        if newest && names != device.names {
            self.exposure.rename(device, names, record.at_ms);
        }
        self.live((device, at), record);
        if newest && known && !reset && !moved && device.group().ring != record.ring {
            self.rows.counts.ring_drift += 1;
            self.count_fact(record, Fact::RingDrift);
            self.signal(at, record, device.group().set, &names, (Signal::RingDrift, 1));
        }
        let mut set = device.group().set;
        if !plain {
            self.note(at, record, order);
            set = self.body((device, at), record, &names);
        }
        let ring = if newest { record.ring } else { device.group().ring };
        let after = Group { ring, set };
        if after != device.group() {
            self.heard(device, record, after);
        }
        self.try_return(device, record, after, order);
        self.exposure.switch(device, after, record.at_ms);
        applied
    }

    /// Counts an applied record for its ring.
    #[inline]
    pub(crate) fn count_applied(&mut self, record: &Record<'_>, group: Group) -> Applied {
        let health = self.rows.health(record.place, group);
        health.records += 1;
        health.heartbeats += i64::from(matches!(record.event.body, Body::Heartbeat { .. }));
        health.boots += i64::from(matches!(record.event.body, Body::Boot { .. }));
        self.rows.counts.applied += 1;
        if record.place.evaluated == record.place.window {
            return Applied::OnTime;
        }
        self.rows.counts.late += 1;
        Applied::Late
    }

    /// Whether the record was seen before. A reset that is the newest starts a new sequence.
    fn duplicate(
        &mut self,
        (device, at): (&mut Device, u32),
        record: &Record<'_>,
    ) -> Option<Applied> {
        let reset = matches!(record.event.body, Body::Lifecycle(Lifecycle::Reset));
        let fresh = reset && record.at_ms > device.newest_ms;
        let Some(seq) = record.event.seq else {
            if reset {
                self.sequences.forget(device, at);
            }
            return None;
        };
        if fresh {
            self.sequences.start(device, at, seq);
            return None;
        }
        match self.sequences.offer(device, at, seq, record.at_ms) {
            Seen::New => None,
            Seen::Restarted => {
                self.rows.counts.seq_restarts += 1;
                None
            }
            Seen::Duplicate => Some(Applied::Duplicate),
            Seen::Stale => {
                self.rows.counts.stale += 1;
                Some(Applied::Stale)
            }
        }
    }

    /// A device is heard once an hour in the group that it is in, and at once in one that it
    /// comes into; a late record may tell of any hour.
    fn heard_in_hour(&mut self, device: &Device, record: &Record<'_>, group: Group, order: Order) {
        // The device's newest record is not after this one, unless that is late.
        if order == Order::Late || device.newest_ms < self.hour_ms(record.at_ms) {
            self.heard(device, record, group);
        }
    }

    /// Start of the hour that holds a time.
    #[inline]
    fn hour_ms(&mut self, at_ms: i64) -> i64 {
        if !(0..HOUR_MS).contains(&(at_ms - self.hour_ms)) {
            self.hour_ms = at_ms.div_euclid(HOUR_MS) * HOUR_MS;
        }
        self.hour_ms
    }

    fn heard(&mut self, device: &Device, record: &Record<'_>, group: Group) {
        let hour = time_of(self.hour_ms(record.at_ms));
        self.rows.measures.coupon(hour, group, hll::coupon(device.identity()));
    }

    /// What the record means to the trial of coming back that is open, and whether one begins.
    fn try_return(&mut self, device: &mut Device, record: &Record<'_>, after: Group, order: Order) {
        let times = (record.at_ms, self.lag.clock_ms());
        let step = match record.event.body {
            Body::Heartbeat { .. } | Body::Boot { .. } => Some(Step::Back(order)),
            _ if order == Order::Late => None,
            Body::Update { change, state, .. } => attempt(state).map(|attempts| {
                let id = self.labels.changes.known_id(change);
                let exposed = id.filter(|&id| self.labels.sets.contains(after.set, id));
                Step::Attempt(exposed.filter(|_| attempts == Attempts::Begins))
            }),
            Body::Lifecycle(Lifecycle::Offline | Lifecycle::Retired) => Some(Step::Withdraw),
            _ => None,
        };
        if after != device.group() && !matches!(step, Some(Step::Attempt(_))) {
            self.returns.step(device, times, after, Step::Withdraw);
        }
        if let Some(step) = step {
            self.returns.step(device, times, after, step);
        }
    }

    /// A factory reset: nothing that was known of the device stays, its time at risk ends.
    fn reset(&mut self, (device, at): (&mut Device, u32), record: &Record<'_>) {
        self.exposure.leave((device, at), record.at_ms);
        let times = (record.at_ms, self.lag.clock_ms());
        self.returns.step(device, times, device.group(), Step::Withdraw);
        *self.resets.entry(at).or_default() += 1;
        device.forget();
        device.set_from(device.from_ms, device.from_ms, Gap::Shut);
        device.set_group(Group { ring: record.ring, set: SetId::EMPTY });
        self.heard(device, record, device.group());
    }

    /// The device's names as of this record: its own where it has one, else the last known.
    fn names(&mut self, device: &Device, event: &Event<'_>) -> SlotNames {
        let mut names = device.names;
        let values = &mut self.labels.values;
        let cohorts = &event.cohorts[..self.cohort_count];
        for ((value, name), known) in cohorts.iter().zip(&mut names).zip(&mut *values) {
            if let Some(text) = value {
                *name = known.id(text, *name);
            }
        }
        for (slot, value) in [(self.slots.build, event.build), (self.slots.model, event.model)] {
            if let Some(text) = value.filter(|_| slot >= self.cohort_count) {
                names[slot] = values[slot].id(text, names[slot]);
            }
        }
        names
    }

    /// What the record says of the device's being there.
    fn live(&mut self, (device, at): (&mut Device, u32), record: &Record<'_>) {
        let at_ms = record.at_ms;
        let interval_s = match record.event.body {
            Body::Heartbeat { interval_s, .. } => interval_s,
            _ => device.interval_s,
        };
        if at_ms >= device.newest_ms {
            device.interval_s = interval_s;
        }
        match record.event.body {
            Body::Ticket { .. } | Body::Audit { .. } => device.note(at_ms, Sign::None),
            Body::Lifecycle(Lifecycle::Offline | Lifecycle::Retired) => {
                if at_ms >= device.sign_ms() {
                    self.exposure.leave((device, at), at_ms);
                    device.note(at_ms, Sign::OfLife);
                }
            }
            _ => {
                let reach_ms = reach_ms(interval_s);
                self.exposure.heard((device, at), at_ms, reach_ms, &mut self.rows);
            }
        }
    }

    /// What the record counts beside being one: the device's set of changes after it.
    fn body(
        &mut self,
        (device, at): (&mut Device, u32),
        record: &Record<'_>,
        names: &SlotNames,
    ) -> SetId {
        let set = device.group().set;
        match record.event.body {
            Body::Update { change, state, duration_ms, .. } => {
                return self.update((device, at), record, names, (change, state, duration_ms));
            }
            Body::Fault { kind, signature, count } => {
                self.signal(at, record, set, names, (kind, i64::from(count)));
                if let Some(signature) = signature {
                    self.signature(at, record, set, (kind, signature));
                }
            }
            Body::Ticket { .. } => self.signal(at, record, set, names, (Signal::SupportTicket, 1)),
            Body::Boot { boot_ms, signin_ms, reason } => {
                let scoped = (record.place, record.ring, ScopeId::Set(set));
                self.rows.measures.duration(scoped, DurationSignal::Boot, boot_ms);
                self.rows.measures.duration(scoped, DurationSignal::Signin, signin_ms);
                if reason != BootReason::Update && is_boot_loop(device, record.at_ms) {
                    self.signal(at, record, set, names, (Signal::BootLoop, 1));
                }
            }
            _ => {}
        }
        set
    }

    /// Events of a signal: its device is affected after a quiet period.
    fn signal(
        &mut self,
        at: u32,
        record: &Record<'_>,
        set: SetId,
        names: &SlotNames,
        (signal, events): (Signal, i64),
    ) {
        let time = record.event.time;
        let affected = self.onsets.affected(self.user(at), signal, time, self.quiet_period);
        let scope = ScopeId::Set(set);
        let onset = Onset { place: record.place, ring: record.ring, scope, signal };
        let sums = SignalSums::one(affected, events, time);
        self.rows.signal(onset, &names[..self.cohort_count], sums);
    }

    /// A fault with a signature: its device is affected by it after a quiet period of its own.
    fn signature(
        &mut self,
        at: u32,
        record: &Record<'_>,
        set: SetId,
        (signal, text): (Signal, &str),
    ) {
        let signature = self.labels.signatures.id(text, NameId::NONE);
        if matches!(signature, NameId::NONE | NameId::OTHER) {
            return;
        }
        let (fault, time) = (Fault { signal, signature }, record.event.time);
        let user = self.user(at);
        if self.signatures.affected(user, fault, time, self.quiet_period) > 0 {
            let group = Group { ring: record.ring, set };
            self.rows.measures.signature(record.place, group, fault, time);
        }
    }

    /// The device as the user that it has now.
    pub(crate) fn user(&self, at: u32) -> User {
        (at, self.resets.get(&at).copied().unwrap_or(0))
    }

    /// The device's pseudonym, which each factory reset changes.
    pub(crate) fn pseudonym(&self, device: &str, at: u32) -> Pseudonym {
        self.pseudonyms.of(device, self.user(at).1)
    }

    /// `build` and `model` among a device's names, as texts.
    pub(crate) fn build_and_model(&self, names: &SlotNames) -> [Option<Arc<str>>; 2] {
        [self.slots.build, self.slots.model].map(|slot| self.labels.values[slot].known(names[slot]))
    }

    /// Forgets last events whose quiet period is over at `now`.
    pub(crate) fn prune(&mut self, now: Timestamp) {
        let (usual, silence) = (self.quiet_period, self.silence_quiet_period);
        // Silences are counted when they are certain, and stand where they began.
        let (short, learned) = (self.lag.value(), self.lag.learned() + gaps::SILENT_AFTER_MAX);
        let quiet = |signal| match signal {
            Signal::Silence => silence + short,
            Signal::SilenceLearned => usual + learned,
            _ => usual,
        };
        self.onsets.prune(now, quiet);
        self.signatures.prune(now, |_| usual);
    }

    pub(crate) fn refused(&self) -> Refused {
        Refused {
            devices: 0,
            names: self.labels.values.iter().map(Names::refused).sum(),
            changes: self.labels.changes.refused(),
            sets: self.labels.sets.refused(),
            missing_ranges: self.sequences.evicted(),
            late_windows: self.exposure.cut(),
            onsets: self.onsets.refused(),
            cohort_values: self.exposure.cohorts.refused(),
            signatures: self.labels.signatures.refused(),
            signature_onsets: self.signatures.refused(),
            certificates: self.certificates.refused(),
        }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let names: usize = self.labels.values.iter().map(Names::memory_bytes).sum();
        let names = names + self.labels.signatures.memory_bytes();
        let labels = names + self.labels.changes.memory_bytes() + self.labels.sets.memory_bytes();
        let tables = self.exposure.memory_bytes()
            + self.sequences.memory_bytes()
            + self.returns.memory_bytes();
        let onsets = self.onsets.memory_bytes() + self.signatures.memory_bytes();
        let onsets = onsets + self.certificates.memory_bytes();
        labels + tables + onsets + self.rows.memory_bytes()
    }
}

/// The slot of a name: that of the cohort dimension if it is one, else a further one.
fn slot<'a>(slots: &mut Vec<&'a str>, name: &'a str) -> usize {
    slots.iter().position(|slot| *slot == name).unwrap_or_else(|| {
        slots.push(name);
        slots.len() - 1
    })
}
