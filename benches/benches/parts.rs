//! What each part of the way costs, on canonical records that differ per iteration.
//!
//! ```text
//! decode ─► apply ─► journal_entry ─► merge ─► detector
//!                                       └────► parquet
//! ```
//! Only the part itself is timed; its inputs are made by the parts before it. Under `cargo test`
//! each runs once on a small fleet, so that none rots.

#![expect(clippy::unwrap_used, reason = "a benchmark fails loudly")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aggregate::merge::{CHANGES_MAX, Merge, MergeConfig, SKETCHES_MAX, WINDOWS_MAX};
use aggregate::{Arrived, Partition};
use alerts::{DetectionConfig, Engine};
use benches::canonical::{Canonical, CanonicalConfig, RINGS};
use benches::feed;
use benches::settings::{decoder, fold_config, rings};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ingest::{Arrival, Decoder};
use schemas::entry::EntryHeader;
use schemas::totals::{ChangeTotals, GroupTotals, Onsets};
use schemas::{Dataset, Entry, Signal, Span, Stream, StreamKind, Timestamp, WindowTotals};
use sim::Rng;
use store::{EntryParts, Journal, MemoryStore, Tables};

/// The canonical fleet; a hundredth of it where only the working is tested.
const DEVICES: u32 = if cfg!(debug_assertions) { 2_000 } else { 200_000 };
/// Records before the clock starts: every device is known, most several times over.
const WARM_UP: u64 = 4 * DEVICES as u64;
/// Records of one entry: about 5 s of one partition at the canonical rate.
const ENTRY_RECORDS: usize = 1_400;
const BATCH: usize = 1_024;
const STREAM: Stream = Stream { kind: StreamKind::Telemetry, partition: 0 };

/// The canonical workload without an end: its density, not its length.
fn endless() -> Canonical {
    let config = CanonicalConfig::default();
    let hours = 1_000;
    Canonical::new(CanonicalConfig {
        messages: config.messages * hours,
        span: Span::hours(hours as i64),
        devices: DEVICES,
        partitions: 1,
        ..config
    })
}

/// A partition fed with the workload, and the entries that come of it.
struct Feed {
    source: Canonical,
    decoder: Decoder,
    partition: Partition,
    offset: i64,
    number: u64,
}

impl Feed {
    fn new() -> Self {
        let partition = Partition::new(&fold_config());
        Self { source: endless(), decoder: decoder(), partition, offset: 0, number: 0 }
    }

    fn apply(&mut self, records: u64) {
        for _ in 0..records {
            let message = self.source.next_message().unwrap();
            let arrival = Arrival::At(message.arrival);
            if let Ok(decoded) = self.decoder.telemetry(message.value, arrival) {
                let arrived = Arrived { at: decoded.arrival, key: None };
                self.partition.apply(&decoded.event, arrived);
            }
            self.offset += 1;
        }
    }

    fn entry(&mut self) -> Entry {
        let start = self.offset;
        self.apply(ENTRY_RECORDS as u64);
        let (delta, counts) = self.partition.take();
        let header = EntryHeader {
            stream: STREAM,
            number: self.number,
            writer: "0".repeat(32),
            start,
            end: self.offset,
            counts,
            inputs: Vec::new(),
            watermark: self.partition.watermark(),
            closed_until: self.partition.closed_until(),
            ended: false,
            partition_count: None,
            digest: None,
            snapshot: None,
        };
        self.number += 1;
        Entry { header, delta }
    }
}

fn merge() -> Merge {
    let config = MergeConfig {
        window_length: Span::minutes(1),
        rings: rings(),
        topics: BTreeMap::new(),
        windows_max: WINDOWS_MAX,
        changes_max: CHANGES_MAX,
        sketches_max: SKETCHES_MAX,
    };
    Merge::new(config, &[STREAM])
}

/// Runs `part` as often as criterion asks; it returns the time of what is measured.
fn total(iterations: u64, mut part: impl FnMut() -> Duration) -> Duration {
    (0..iterations).map(|_| part()).sum()
}

fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    black_box(work());
    start.elapsed()
}

fn decode(criterion: &mut Criterion) {
    let mut source = endless();
    let records: Vec<(Vec<u8>, Timestamp)> = (0..WARM_UP.min(100_000))
        .map(|_| {
            let message = source.next_message().unwrap();
            (message.value.to_vec(), message.arrival)
        })
        .collect();
    let bytes: usize = records.iter().map(|(value, _)| value.len()).sum();
    let (mut decoder, mut next) = (decoder(), 0);
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Bytes((bytes / records.len()) as u64));
    group.bench_function("record", |bencher| {
        bencher.iter(|| {
            let (value, arrival) = &records[next];
            next = (next + 1) % records.len();
            black_box(decoder.telemetry(value, Arrival::At(*arrival)).is_ok())
        });
    });
    group.finish();
}

fn apply(criterion: &mut Criterion) {
    let mut feed = Feed::new();
    feed.apply(WARM_UP);
    let mut decoders: Vec<Decoder> = std::iter::repeat_with(decoder).take(BATCH).collect();
    let mut group = criterion.benchmark_group("apply");
    group.throughput(Throughput::Elements(BATCH as u64));
    group.bench_function("batch_of_1024", |bencher| {
        bencher.iter_custom(|iterations| {
            total(iterations, || {
                let Feed { source, partition, .. } = &mut feed;
                let messages: Vec<(Vec<u8>, Timestamp)> = (0..BATCH)
                    .map(|_| {
                        let message = source.next_message().unwrap();
                        (message.value.to_vec(), message.arrival)
                    })
                    .collect();
                let mut events = Vec::with_capacity(BATCH);
                for (decoder, (value, arrival)) in decoders.iter_mut().zip(&messages) {
                    events.extend(decoder.telemetry(value, Arrival::At(*arrival)));
                }
                let spent = timed(|| {
                    feed::apply(partition, &events);
                });
                black_box(partition.take());
                spent
            })
        });
    });
    group.finish();
}

fn journal_entry(criterion: &mut Criterion) {
    let mut feed = Feed::new();
    feed.apply(WARM_UP);
    feed.entry();
    criterion.bench_function("journal_entry/append_in_memory", |bencher| {
        bencher.iter_custom(|iterations| {
            total(iterations, || {
                let Entry { header, delta } = feed.entry();
                let blobs = Arc::new(MemoryStore::new());
                let mut journal = Journal::open(blobs, STREAM, header.writer).unwrap();
                let parts = EntryParts {
                    start: header.start,
                    end: header.end,
                    counts: header.counts,
                    inputs: header.inputs,
                    watermark: header.watermark,
                    closed_until: header.closed_until,
                    ended: header.ended,
                    partition_count: None,
                    digest: None,
                    snapshot: None,
                };
                timed(|| journal.append(parts, delta).unwrap())
            })
        });
    });
}

fn merge_entry(criterion: &mut Criterion) {
    let (mut feed, mut merge) = (Feed::new(), merge());
    criterion.bench_function("merge/add_entry_and_evaluate", |bencher| {
        bencher.iter_custom(|iterations| {
            total(iterations, || {
                let entry = feed.entry();
                let spent = timed(|| {
                    merge.add(&entry);
                    while let Some(window) = merge.next_window() {
                        black_box(window);
                    }
                });
                if entry.header.number.is_multiple_of(180) {
                    black_box(merge.cut());
                }
                spent
            })
        });
    });
}

fn parquet(criterion: &mut Criterion) {
    let (mut feed, mut merge) = (Feed::new(), merge());
    let mut sequence = 0;
    criterion.bench_function("parquet/stage_ring_health_of_a_minute", |bencher| {
        bencher.iter_custom(|iterations| {
            total(iterations, || {
                (0..12).for_each(|_| merge.add(&feed.entry()));
                while merge.next_window().is_some() {}
                let rows = merge.cut();
                let health = rows.into_iter().find(|rows| rows.dataset == Dataset::RingHealth);
                let health = health.unwrap();
                let tables = Tables::new(Arc::new(MemoryStore::new()));
                sequence += 1;
                let (date, batch) = (&health.date, &health.batch);
                timed(|| tables.stage(sequence, 0, health.dataset, date, batch, &[]).unwrap())
            })
        });
    });
}

/// A window in which everything happens: 16 changes, 5 rings, every signal in every group.
fn busy_window(luck: &mut Rng, start: Timestamp) -> WindowTotals {
    let changes: Vec<Arc<str>> = (0..16).map(|n| Arc::from(format!("change-{n}"))).collect();
    let mut totals = WindowTotals { start, end: start + Span::minutes(1), ..Default::default() };
    for (name, share) in RINGS {
        let ring: Arc<str> = Arc::from(name);
        for change in [None].into_iter().chain(changes.iter().map(Some)) {
            let devices = (share * 12_000.0) as i64 + i64::from(luck.below(100));
            let onset = |signal: Signal, luck: &mut Rng| {
                let affected = i64::from(luck.below(3));
                (signal, Onsets { affected, first_at: (affected > 0).then_some(start) })
            };
            let onsets = Signal::ALL.into_iter().filter(|signal| signal.is_onset());
            let group = GroupTotals {
                at_risk_ms: devices * 60_000,
                devices_active: devices,
                onsets: onsets.map(|signal| onset(signal, luck)).collect(),
                ..GroupTotals::default()
            };
            totals.groups.insert((ring.clone(), change.cloned().into_iter().collect()), group);
            if let Some(change) = change {
                let attempts = ChangeTotals { attempts_succeeded: 20, ..Default::default() };
                totals.changes.insert((ring.clone(), change.clone()), attempts);
            }
        }
    }
    totals
}

fn detector(criterion: &mut Criterion) {
    let mut engine = Engine::new(DetectionConfig::new(rings()));
    let (mut luck, mut start) = (Rng::new(7), CanonicalConfig::default().start);
    criterion.bench_function("detector/window_16_changes_5_rings_15_signals", |bencher| {
        bencher.iter_custom(|iterations| {
            total(iterations, || {
                let totals = busy_window(&mut luck, start);
                start = totals.end;
                timed(|| engine.evaluate(&totals))
            })
        });
    });
}

criterion_group! {
    name = parts;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(3));
    targets = decode, apply, journal_entry, merge_entry, detector, parquet
}
criterion_main!(parts);
