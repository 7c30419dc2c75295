//! What it costs to keep state: clone, save and load, of a partition and of the publisher.
//!
//! A partition is one of twelve of ten million devices, the merge a week of minutes with five rings
//! and four sets of changes. A clone is what a partition waits for; saving happens beside it. The
//! size of each stands in its name. Under `cargo test` each runs once on a small state.

#![expect(clippy::unwrap_used, reason = "a benchmark fails loudly")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aggregate::merge::{CHANGES_MAX, Merge, MergeConfig, SKETCHES_MAX, WINDOWS_MAX};
use aggregate::{Arrived, Partition};
use benches::canonical::RINGS;
use benches::settings::{fold_config, rings};
use criterion::{Criterion, criterion_group, criterion_main};
use schemas::delta::{HealthDelta, Place};
use schemas::entry::{Counts, EntryHeader};
use schemas::event::UpdateState;
use schemas::{
    Body, COHORTS_MAX, Delta, Entry, Event, Signal, Span, Stream, StreamKind, Timestamp,
};

const DEVICES: u32 = if cfg!(debug_assertions) { 2_000 } else { 833_334 };
const WINDOWS: i64 = if cfg!(debug_assertions) { 60 } else { WINDOWS_MAX as i64 };
const STREAM: Stream = Stream { kind: StreamKind::Telemetry, partition: 0 };

/// Every device heard within the last hour; one in fifty has the change, one in a hundred a fault.
fn partition() -> Partition {
    let mut partition = Partition::new(&fold_config());
    let build = ["22631.3880", "22631.4037", "26100.1150"];
    for number in 0..DEVICES {
        let device = format!("device-{number:08}");
        let time =
            Timestamp::YEAR_2000 + Span(i64::from(number) * 3_600_000_000 / i64::from(DEVICES));
        let mut cohorts = [None; COHORTS_MAX];
        cohorts[0] = Some(["Latitude 7450", "ThinkPad T14"][number as usize % 2]);
        cohorts[1] = Some(build[number as usize % 3]);
        let body = match number % 100 {
            0 => Body::Fault { kind: Signal::OsCrash, signature: None, count: 1 },
            1 | 2 => {
                let (change, state) = ("kb5040442", UpdateState::Installing);
                Body::Update { change, state, code: None, duration_ms: None }
            }
            _ => Body::Heartbeat { interval_s: 3_600, uptime_s: 1, cert_expires: None },
        };
        let (ring, seq) = (RINGS[number as usize % 5].0, Some(u64::from(number)));
        let event =
            Event { device: &device, ring, time, seq, build: None, model: None, cohorts, body };
        partition.apply(&event, Arrived { at: time, key: None });
    }
    partition.take();
    partition
}

fn of_partition(criterion: &mut Criterion) {
    let partition = partition();
    let stored = partition.save();
    let name =
        |what| format!("state/partition_{what}_{}_bytes_a_device", stored.len() / DEVICES as usize);
    criterion.bench_function(&name("clone"), |bencher| {
        bencher.iter_with_large_drop(|| partition.clone());
    });
    criterion.bench_function(&name("save"), |bencher| {
        bencher.iter_with_large_drop(|| partition.save());
    });
    criterion.bench_function(&name("load"), |bencher| {
        bencher.iter_with_large_drop(|| Partition::load(&fold_config(), &stored).unwrap());
    });
}

fn merge_config() -> MergeConfig {
    MergeConfig {
        window_length: Span::minutes(1),
        rings: rings(),
        topics: BTreeMap::new(),
        windows_max: WINDOWS_MAX,
        changes_max: CHANGES_MAX,
        sketches_max: SKETCHES_MAX,
    }
}

/// One row for each ring and set.
fn minute(number: i64) -> Entry {
    let window = Timestamp::YEAR_2000 + Span::minutes(number);
    let mut delta = Delta::default();
    for (ring, share) in RINGS {
        for changes in [&[][..], &["kb5040442"], &["kb5040442", "kb5043076"], &["kb5043076"]] {
            delta.health.push(HealthDelta {
                place: Place { window, evaluated: window },
                ring: Arc::from(ring),
                set: changes.iter().map(|&change| Arc::from(change)).collect(),
                at_risk_ms: (share * 1e7) as i64 * 60_000 + number,
                devices_active: (share * 1e7) as i64,
                devices_silent: 100,
                heartbeats: 1_000,
                boots: 10,
                records: 1_010,
                duplicates: 5,
            });
        }
    }
    let header = EntryHeader {
        stream: STREAM,
        number: number as u64,
        writer: String::new(),
        start: number,
        end: number + 1,
        counts: Counts::default(),
        inputs: Vec::new(),
        watermark: Some(window),
        closed_until: window + Span::minutes(1),
        ended: false,
        partition_count: None,
        digest: None,
        snapshot: None,
    };
    Entry { header, delta }
}

fn of_merge(criterion: &mut Criterion) {
    let mut merge = Merge::new(merge_config(), &[STREAM]);
    for number in 0..WINDOWS {
        merge.add(&minute(number));
        while merge.next_window().is_some() {}
        merge.cut();
    }
    let stored = merge.save();
    let name = |what| format!("state/merge_{what}_{}_bytes", stored.len());
    criterion.bench_function(&name("save"), |bencher| bencher.iter(|| merge.save()));
    criterion.bench_function(&name("load"), |bencher| {
        let load = || Merge::load(merge_config(), &[STREAM], &stored).unwrap();
        bencher.iter_with_large_drop(load);
    });
}

criterion_group! {
    name = state;
    config = Criterion::default().sample_size(10).measurement_time(Duration::from_secs(5));
    targets = of_partition, of_merge
}
criterion_main!(state);
