//! Random worlds that keep the promises of the journal.

use schemas::delta::{ChangeDelta, ChangeSet, HealthDelta, RegistryDelta, SignalDelta};
use schemas::entry::{Counts, EntryHeader};
use schemas::{Signal, StreamKind};

use super::*;

pub(super) const LENGTH: Span = Span::seconds(60);
pub(super) const RINGS: [&str; 2] = ["test", "first"];
pub(super) const CHANGES: [&str; 4] = ["a", "b", "c", "d"];
const SIGNALS: [Signal; 3] = [Signal::OsCrash, Signal::AppCrash, Signal::InstallFailure];
pub(super) const STREAMS: usize = 4;

/// What a stream journals, step by step.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub delta: Delta,
    pub closed_until: Timestamp,
}

/// Streams 0-2 are telemetry, stream 3 is `changes`.
#[derive(Debug, Clone)]
pub(super) struct World(pub [Vec<Step>; STREAMS]);

pub(super) fn stream(index: usize) -> Stream {
    match index {
        3 => Stream { kind: StreamKind::Changes, partition: 0 },
        _ => Stream { kind: StreamKind::Telemetry, partition: index as i32 },
    }
}

pub(super) fn minute(number: i64) -> Timestamp {
    Timestamp(number * LENGTH.0)
}

pub(super) fn set_of(bits: u8) -> ChangeSet {
    let chosen = CHANGES.iter().enumerate().filter(|(index, _)| bits & (1 << index) != 0);
    chosen.map(|(_, name)| Arc::from(*name)).collect()
}

impl World {
    pub(super) fn of(draws: &[[u8; 6]]) -> Self {
        let mut closed = [10_i64; STREAMS];
        let mut streams: [Vec<Step>; STREAMS] = Default::default();
        for (offset, &draw) in draws.iter().enumerate() {
            let [kind, index, ..] = draw;
            let index = usize::from(index) % STREAMS;
            let mut delta = Delta::default();
            match (kind % 8, index) {
                (0 | 1, _) => closed[index] += i64::from(draw[2] % 3) + 1,
                (_, 3) => delta.registry.push(registry(draw, offset as i64, closed[index])),
                (2..=4, _) => delta.health.push(health(draw, closed[index])),
                (5, _) => delta.changes.push(change(draw, closed[index])),
                _ => delta.signals.push(signal(draw, closed[index])),
            }
            streams[index].push(Step { delta, closed_until: minute(closed[index]) });
        }
        Self(streams)
    }

    pub(super) fn deltas(&self) -> impl Iterator<Item = &Delta> {
        self.0.iter().flatten().map(|step| &step.delta)
    }

    pub(super) fn registry(&self) -> impl Iterator<Item = &RegistryDelta> {
        self.deltas().flat_map(|delta| &delta.registry)
    }

    pub(super) fn entries(&self, draws: &mut impl FnMut() -> u8) -> Vec<Vec<Entry>> {
        let split = |(index, steps): (usize, &Vec<Step>)| {
            let mut entries = vec![entry(stream(index), 0)];
            for step in steps {
                if draws().is_multiple_of(3) {
                    entries.push(entry(stream(index), entries.len() as u64));
                }
                let Some(last) = entries.last_mut() else { continue };
                last.header.closed_until = step.closed_until;
                last.delta.health.extend(step.delta.health.iter().cloned());
                last.delta.changes.extend(step.delta.changes.iter().cloned());
                last.delta.signals.extend(step.delta.signals.iter().cloned());
                last.delta.registry.extend(step.delta.registry.iter().cloned());
            }
            let mut end = entry(stream(index), entries.len() as u64);
            end.header.ended = true;
            entries.push(end);
            entries
        };
        self.0.iter().enumerate().map(split).collect()
    }
}

fn place(draw: u8, closed: i64) -> Place {
    let window = closed + i64::from(draw % 6) - 2;
    Place { window: minute(window), evaluated: minute(window.max(closed)) }
}

fn ring(draw: u8) -> Arc<str> {
    Arc::from(["test", "first", "first", UNMANAGED][usize::from(draw % 4)])
}

fn health(draw: [u8; 6], closed: i64) -> HealthDelta {
    let [_, _, a, b, c, d] = draw;
    HealthDelta {
        place: place(a, closed),
        ring: ring(b),
        set: set_of((b >> 2) % 8),
        at_risk_ms: i64::from(c) * 17,
        devices_active: i64::from(c % 3),
        devices_silent: i64::from(c % 2),
        heartbeats: i64::from(d % 3),
        boots: i64::from(d % 2),
        records: i64::from(d % 5),
        duplicates: i64::from(d % 7 == 0),
    }
}

fn change(draw: [u8; 6], closed: i64) -> ChangeDelta {
    let [_, _, a, b, c, d] = draw;
    ChangeDelta {
        place: place(a, closed),
        ring: ring(b),
        change: Arc::from(CHANGES[usize::from(c % 3)]),
        devices_exposed: i64::from(d % 2),
        installs_started: i64::from(d % 3),
        installs_succeeded: i64::from(d % 5),
        installs_failed: i64::from(d % 7),
        rollbacks: i64::from(d % 4),
        attempts_succeeded: i64::from(d % 5),
        attempts_failed: i64::from(d % 6),
    }
}

fn signal(draw: [u8; 6], closed: i64) -> SignalDelta {
    let [_, _, a, b, c, d] = draw;
    let signal = SIGNALS[usize::from(c % 3)];
    let scope = match signal {
        Signal::InstallFailure => Scope::Change(Arc::from(CHANGES[usize::from(d % 3)])),
        _ => Scope::Set(set_of((b >> 2) % 8)),
    };
    let cohort =
        (c & 8 == 0).then(|| (Arc::from("model"), Arc::from(["m1", "m2"][d as usize % 2])));
    let place = place(a, closed);
    let first_affected_at = (d % 3 > 0).then(|| Timestamp(place.window.0 + i64::from(d) * 1_000));
    let (affected_devices, events) = (i64::from(d % 3), i64::from(d % 5) + 1);
    SignalDelta {
        place,
        ring: ring(b),
        scope,
        signal,
        cohort,
        affected_devices,
        events,
        first_affected_at,
    }
}

fn registry(draw: [u8; 6], offset: i64, closed: i64) -> RegistryDelta {
    let [_, _, a, b, c, _] = draw;
    let change = CHANGES[usize::from(b % 4)];
    let takes_effect = Timestamp(minute(closed).0 + i64::from(a) * 1_000_000);
    let status = ["deploying", "announced", "completed", "cancelled"][usize::from(c % 4)];
    let record = (c % 5 > 0).then(|| record(change, status));
    RegistryDelta { offset, takes_effect, change: change.to_owned(), record }
}

pub(super) fn record(change: &str, status: &str) -> String {
    let rest = r#""rings":[]"#;
    format!(
        r#"{{"change":"{change}","type":"quality","status":"{status}","reversible":true,{rest}}}"#
    )
}

pub(super) fn entry(stream: Stream, number: u64) -> Entry {
    let header = EntryHeader {
        stream,
        number,
        writer: String::new(),
        start: 0,
        end: 0,
        counts: Counts::default(),
        inputs: Vec::new(),
        watermark: None,
        closed_until: Timestamp::MIN,
        ended: false,
        partition_count: None,
        digest: None,
        snapshot: None,
    };
    Entry { header, delta: Delta::default() }
}

pub(super) fn config(windows_max: usize) -> MergeConfig {
    MergeConfig {
        window_length: LENGTH,
        rings: RINGS.map(str::to_owned).to_vec(),
        topics: BTreeMap::new(),
        windows_max,
        changes_max: CHANGES_MAX,
    }
}
