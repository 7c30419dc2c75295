//! Random worlds that keep the promises of the journal.

use schemas::delta::{
    ChangeDelta, ChangeSet, CohortDelta, DurationDelta, FactDelta, HealthDelta, RegistryDelta,
    ReturnDelta, SignalDelta, SignatureDelta, SketchDelta,
};
use schemas::entry::{Counts, EntryHeader};
use schemas::{DurationSignal, Fact, Histogram, Signal, StreamKind};

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
            match (kind % 15, index) {
                (0, _) => closed[index] += i64::from(draw[2] % 3) + 1,
                (1, _) => closed[index] += i64::from(draw[2] % 30) + 1,
                (_, 3) => delta.registry.push(registry(draw, offset as i64, closed[index])),
                (2..=4, _) => delta.health.push(health(draw, closed[index])),
                (5, _) => delta.changes.push(change(draw, closed[index])),
                (8 | 9, _) => delta.durations.push(duration(draw, closed[index])),
                (10, _) => delta.signatures.push(signature(draw, closed[index])),
                (11, _) => delta.returns.push(returns(draw, closed[index])),
                (12, _) => delta.cohorts.push(cohort(draw, closed[index])),
                (14, _) => delta.facts.push(fact(draw, closed[index])),
                (13, _) => delta.sketches.push(sketch(draw, closed[index])),
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
                last.delta.durations.extend(step.delta.durations.iter().cloned());
                last.delta.signatures.extend(step.delta.signatures.iter().cloned());
                last.delta.returns.extend(step.delta.returns.iter().cloned());
                last.delta.cohorts.extend(step.delta.cohorts.iter().cloned());
                last.delta.sketches.extend(step.delta.sketches.iter().cloned());
                last.delta.facts.extend(step.delta.facts.iter().cloned());
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

fn scope(b: u8, c: u8) -> Scope {
    match c % 3 {
        0 => Scope::Change(Arc::from(CHANGES[usize::from(c / 3 % 3)])),
        _ => Scope::Set(set_of((b >> 2) % 8)),
    }
}

fn duration(draw: [u8; 6], closed: i64) -> DurationDelta {
    let [_, _, a, b, c, d] = draw;
    let mut histogram = Histogram::default();
    (0..=d % 3).for_each(|n| histogram.record(u64::from(d) * u64::from(n) * 7));
    let signal = DurationSignal::ALL[usize::from(d % 3)];
    DurationDelta { place: place(a, closed), ring: ring(b), scope: scope(b, c), signal, histogram }
}

fn signature(draw: [u8; 6], closed: i64) -> SignatureDelta {
    let [_, _, a, b, c, d] = draw;
    let place = place(a, closed);
    SignatureDelta {
        place,
        ring: ring(b),
        set: set_of((b >> 2) % 8),
        signal: Signal::AppCrash,
        signature: Arc::from(["a.exe", "b.exe"][usize::from(c % 2)]),
        affected_devices: i64::from(d % 3) + 1,
        first_affected_at: Some(Timestamp(place.window.0 + i64::from(d))),
    }
}

fn returns(draw: [u8; 6], closed: i64) -> ReturnDelta {
    let [_, _, a, b, c, d] = draw;
    let trials = i64::from(d % 5) + 1;
    ReturnDelta {
        place: place(a, closed),
        ring: ring(b),
        scope: scope(b, c),
        trials,
        failed: i64::from(d) % (trials + 1),
    }
}

/// The hour that holds a window, of which 10 is the first: so that worlds have several.
pub(super) fn hour(window: Timestamp) -> Timestamp {
    window.window_start(Span::hours(1))
}

fn cohort(draw: [u8; 6], closed: i64) -> CohortDelta {
    let [_, _, a, b, c, d] = draw;
    let evaluated = place(a, closed).evaluated;
    CohortDelta {
        hour: hour(evaluated),
        evaluated,
        ring: ring(b),
        set: set_of((b >> 2) % 8),
        cohort: (c & 8 == 0).then(|| (Arc::from("model"), Arc::from(["m1", "m2"][d as usize % 2]))),
        devices_active: i64::from(d) + 1,
    }
}

fn sketch(draw: [u8; 6], closed: i64) -> SketchDelta {
    let [_, _, a, b, c, d] = draw;
    let coupons = (0..=u32::from(d % 20)).map(|n| (1 << 26) + u32::from(c) * 7 + n * n);
    SketchDelta {
        hour: hour(place(a, closed).window),
        ring: ring(b),
        set: set_of((b >> 2) % 8),
        coupons: coupons.collect(),
    }
}

fn fact(draw: [u8; 6], closed: i64) -> FactDelta {
    let [_, _, a, b, c, d] = draw;
    let place = place(a, closed);
    FactDelta {
        place,
        ring: ring(b),
        fact: Fact::ALL[usize::from(c) % Fact::ALL.len()],
        count: i64::from(d) - 100,
        first_at: (d % 2 == 0).then_some(Timestamp(place.window.0 + i64::from(c))),
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
        sketches_max: SKETCHES_MAX,
    }
}
