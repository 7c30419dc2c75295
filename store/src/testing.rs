//! What several tests of this crate need: a folder that goes away, and random entries.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{
    ArrayRef, BinaryArray, DictionaryArray, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::Int32Type;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use schemas::delta::{
    ChangeDelta, CohortDelta, DurationDelta, FactDelta, HealthDelta, Place, RegistryDelta,
    ReturnDelta, Scope, SignalDelta, SignatureDelta, SketchDelta, SupportDelta, Transition,
};
use schemas::event::UpdateState;
use schemas::pseudonym::PSEUDONYM_BYTES;
use schemas::reject::{RejectedRow, Stage};
use schemas::{
    ChangeSet, Counts, Dataset, Delta, DurationSignal, Fact, Histogram, Input, Pseudonym, Signal,
    Timestamp,
};

use crate::journal::EntryParts;

/// A folder of its own for one test; does not exist yet, and is removed at the end.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ringwatch-store-{}-{number}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// An entry of `[start, end)` in which every record was applied.
pub(crate) fn parts(start: i64, end: i64) -> EntryParts {
    let received = (end - start) as u64;
    EntryParts {
        start,
        end,
        counts: Counts { received, applied: received, ..Counts::default() },
        inputs: vec![Input::Clock(Timestamp(5))],
        watermark: Some(Timestamp(7)),
        closed_until: Timestamp(0),
        ended: false,
        partition_count: None,
        digest: None,
        snapshot: None,
    }
}

fn time() -> impl Strategy<Value = Timestamp> {
    prop_oneof![Just(Timestamp::MIN), Just(Timestamp(0)), any::<i64>().prop_map(Timestamp)]
}

fn name() -> impl Strategy<Value = Arc<str>> {
    prop_oneof![Just("first"), Just(""), Just("../\u{1b}[31m<ä>"), Just("unmanaged")]
        .prop_map(Arc::from)
}

fn set() -> impl Strategy<Value = ChangeSet> {
    vec(name(), 0..3).prop_map(Arc::from)
}

fn place() -> impl Strategy<Value = Place> {
    (time(), time()).prop_map(|(window, evaluated)| Place { window, evaluated })
}

fn health() -> impl Strategy<Value = HealthDelta> {
    (place(), name(), set(), any::<[i64; 7]>()).prop_map(|(place, ring, set, counts)| HealthDelta {
        place,
        ring,
        set,
        at_risk_ms: counts[0],
        devices_active: counts[1],
        devices_silent: counts[2],
        heartbeats: counts[3],
        boots: counts[4],
        records: counts[5],
        duplicates: counts[6],
    })
}

fn change() -> impl Strategy<Value = ChangeDelta> {
    (place(), name(), name(), any::<[i64; 7]>()).prop_map(|(place, ring, change, counts)| {
        ChangeDelta {
            place,
            ring,
            change,
            devices_exposed: counts[0],
            installs_started: counts[1],
            installs_succeeded: counts[2],
            installs_failed: counts[3],
            rollbacks: counts[4],
            attempts_succeeded: counts[5],
            attempts_failed: counts[6],
        }
    })
}

fn signal() -> impl Strategy<Value = SignalDelta> {
    let scope = prop_oneof![set().prop_map(Scope::Set), name().prop_map(Scope::Change)];
    let signal = (0..Signal::ALL.len()).prop_map(|number| Signal::ALL[number]);
    let cohort = option::of((name(), name()));
    (place(), name(), scope, signal, cohort, any::<[i64; 2]>(), option::of(time())).prop_map(
        |(place, ring, scope, signal, cohort, counts, first_affected_at)| SignalDelta {
            place,
            ring,
            scope,
            signal,
            cohort,
            affected_devices: counts[0],
            events: counts[1],
            first_affected_at,
        },
    )
}

fn transition() -> impl Strategy<Value = Transition> {
    let state = (0..UpdateState::ALL.len()).prop_map(|number| UpdateState::ALL[number]);
    let device = any::<[u8; PSEUDONYM_BYTES]>().prop_map(Pseudonym::of);
    let texts = (device, option::of(name()), option::of(any::<i64>()));
    (time(), (name(), name()), state, texts, option::of(name()), option::of(name())).prop_map(
        |(event_time, (ring, change), state, (device, code, duration_ms), build, model)| {
            Transition { event_time, device, ring, change, state, code, duration_ms, build, model }
        },
    )
}

fn rejected() -> impl Strategy<Value = RejectedRow> {
    let stage = (0..Stage::ALL.len()).prop_map(|number| Stage::ALL[number]);
    let value = vec(any::<u8>(), 0..4);
    (any::<[i64; 2]>(), option::of(time()), stage, ".{0,3}", option::of(".{0,3}"), value).prop_map(
        |([offset, size], time, stage, error, field, value)| RejectedRow {
            offset,
            time,
            stage,
            error,
            field,
            value,
            size,
        },
    )
}

fn registry() -> impl Strategy<Value = RegistryDelta> {
    (any::<i64>(), time(), ".{0,3}", option::of(".{0,3}")).prop_map(
        |(offset, takes_effect, change, record)| RegistryDelta {
            offset,
            takes_effect,
            change,
            record,
        },
    )
}

fn support() -> impl Strategy<Value = SupportDelta> {
    (any::<i64>(), time(), ".{0,3}").prop_map(|(offset, takes_effect, record)| SupportDelta {
        offset,
        takes_effect,
        record,
    })
}

fn scope() -> impl Strategy<Value = Scope> {
    prop_oneof![set().prop_map(Scope::Set), name().prop_map(Scope::Change)]
}

fn duration() -> impl Strategy<Value = DurationDelta> {
    let signal = (0..DurationSignal::ALL.len()).prop_map(|number| DurationSignal::ALL[number]);
    let values = vec(0_u64..1 << 41, 0..5);
    (place(), name(), scope(), signal, values).prop_map(|(place, ring, scope, signal, values)| {
        let mut histogram = Histogram::default();
        for value in values {
            histogram.record(value);
        }
        DurationDelta { place, ring, scope, signal, histogram }
    })
}

fn returns() -> impl Strategy<Value = ReturnDelta> {
    (place(), name(), scope(), any::<[i64; 2]>()).prop_map(
        |(place, ring, scope, [trials, failed])| ReturnDelta { place, ring, scope, trials, failed },
    )
}

fn signature() -> impl Strategy<Value = SignatureDelta> {
    let signal = (0..Signal::ALL.len()).prop_map(|number| Signal::ALL[number]);
    (place(), (name(), name()), set(), signal, any::<i64>(), option::of(time())).prop_map(
        |(place, (ring, signature), set, signal, affected_devices, first_affected_at)| {
            SignatureDelta {
                place,
                ring,
                set,
                signal,
                signature,
                affected_devices,
                first_affected_at,
            }
        },
    )
}

fn cohort() -> impl Strategy<Value = CohortDelta> {
    (place(), name(), set(), option::of((name(), name())), any::<i64>()).prop_map(
        |(place, ring, set, cohort, devices_active)| CohortDelta {
            hour: place.window,
            evaluated: place.evaluated,
            ring,
            set,
            cohort,
            devices_active,
        },
    )
}

fn sketch() -> impl Strategy<Value = SketchDelta> {
    (time(), name(), set(), vec(any::<u32>(), 0..5))
        .prop_map(|(hour, ring, set, coupons)| SketchDelta { hour, ring, set, coupons })
}

fn fact() -> impl Strategy<Value = FactDelta> {
    let fact = (0..Fact::ALL.len()).prop_map(|number| Fact::ALL[number]);
    (place(), name(), fact, any::<i64>(), option::of(time())).prop_map(
        |(place, ring, fact, count, first_at)| FactDelta { place, ring, fact, count, first_at },
    )
}

/// Rows of every kind, most kinds sometimes absent.
pub(crate) fn delta() -> impl Strategy<Value = Delta> {
    let counts = (vec(health(), 0..4), vec(change(), 0..4), vec(signal(), 0..4));
    let records = (
        vec(transition(), 0..4),
        vec(rejected(), 0..4),
        vec(registry(), 0..3),
        vec(support(), 0..3),
    );
    let measures = (
        vec(duration(), 0..3),
        vec(returns(), 0..3),
        vec(signature(), 0..3),
        vec(cohort(), 0..3),
        vec(sketch(), 0..3),
        vec(fact(), 0..3),
    );
    (counts, records, measures).prop_map(
        |(
            (health, changes, signals),
            (transitions, rejected, registry, support),
            (durations, returns, signatures, cohorts, sketches, facts),
        )| Delta {
            health,
            changes,
            signals,
            durations,
            returns,
            signatures,
            cohorts,
            sketches,
            facts,
            transitions,
            rejected,
            registry,
            support,
        },
    )
}

/// Rows of the dataset `rejected`, one per offset.
pub(crate) fn rejected_batch(topic: &str, offsets: Range<i64>) -> RecordBatch {
    let count = (offsets.end - offsets.start) as usize;
    let names = |name: &str| -> ArrayRef {
        Arc::new(std::iter::repeat_n(name, count).collect::<DictionaryArray<Int32Type>>())
    };
    let columns: Vec<ArrayRef> = vec![
        names(topic),
        Arc::new(Int64Array::from_iter_values(std::iter::repeat_n(0, count))),
        Arc::new(Int64Array::from_iter_values(offsets)),
        Arc::new(TimestampMicrosecondArray::from(vec![Some(9); count]).with_timezone("UTC")),
        names("DECODE"),
        Arc::new(StringArray::from(vec!["not JSON"; count])),
        names("value"),
        Arc::new(BinaryArray::from(vec![&b"x"[..]; count])),
        Arc::new(Int64Array::from(vec![1; count])),
    ];
    RecordBatch::try_new(Dataset::Rejected.schema(), columns).unwrap()
}
