//! The stages of the hot path over canonical records, each by itself: instructions and time.
//!
//! ```text
//! records ─► measured_decode          records ─► events ─► measured_apply ─► rows, dropped
//! ```
//! Each stage stands in a function that is never inlined, so that `valgrind --tool=callgrind
//! --toggle-collect='*measured_*'` counts it and nothing else. Prints nanoseconds a record.

#![expect(clippy::print_stdout, reason = "the numbers are what it is run for")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use aggregate::{Arrived, LOOK_AHEAD_MAX, Partition};
use benches::canonical::{Canonical, CanonicalConfig};
use benches::settings::{decoder, fold_config};
use clap::Parser;
use ingest::{Arrival, Decoded, Decoder};
use schemas::{Span, Timestamp};

/// Records that are decoded before they are applied, as a worker does.
const BATCH: usize = 1_024;

/// Runs the stages of the hot path over canonical records, each by itself.
#[derive(Parser)]
struct Arguments {
    /// Records that are measured.
    #[arg(long, default_value_t = 1_000_000)]
    records: u64,
    /// Devices of the fleet; each is heard four times before anything is measured.
    #[arg(long, default_value_t = 200_000)]
    devices: u32,
    /// Gives every record a key of its own, so that no shape ever fits.
    #[arg(long)]
    hostile: bool,
}

/// The density of the canonical workload in one partition, as long as needed.
fn source(devices: u32) -> Canonical {
    let config = CanonicalConfig::default();
    let hours = 1_000;
    Canonical::new(CanonicalConfig {
        messages: config.messages * hours,
        span: Span::hours(hours as i64),
        devices,
        partitions: 1,
        ..config
    })
}

/// The next batch of records with their arrivals; the room is used again.
fn fill(source: &mut Canonical, hostile: bool, batch: &mut Vec<(Vec<u8>, Timestamp)>) {
    batch.resize(BATCH, (Vec::new(), Timestamp(0)));
    for (value, arrival) in batch {
        let Some(message) = source.next_message() else { return };
        value.clear();
        if hostile {
            // No two records have the same keys.
            value.extend_from_slice(format!("{{\"k{}\":1,", message.arrival.0).as_bytes());
            value.extend_from_slice(message.value.strip_prefix(b"{").unwrap_or_default());
        } else {
            value.extend_from_slice(message.value);
        }
        *arrival = message.arrival;
    }
}

#[inline(never)]
fn measured_decode(decoder: &mut Decoder, batch: &[(Vec<u8>, Timestamp)]) {
    for (value, arrival) in batch {
        black_box(decoder.telemetry(value, Arrival::At(*arrival)).is_ok());
    }
}

#[inline(never)]
fn measured_apply(partition: &mut Partition, events: &[Decoded<'_>]) {
    apply(partition, events);
}

fn apply(partition: &mut Partition, events: &[Decoded<'_>]) {
    for ahead in events.chunks(LOOK_AHEAD_MAX) {
        black_box(partition.look_ahead(ahead.iter().map(|it| it.event.device.as_bytes())));
        for decoded in ahead {
            let arrived = Arrived { at: decoded.arrival, key: None };
            black_box(partition.apply(&decoded.event, arrived));
        }
    }
}

fn main() {
    let Arguments { records, devices, hostile } = Arguments::parse();
    let mut source = source(devices);
    // An event borrows from its decoder, so a batch of them needs as many.
    let mut decoders: Vec<Decoder> = std::iter::repeat_with(decoder).take(BATCH).collect();
    let mut partition = Partition::new(&fold_config());
    let (mut batch, mut one) = (Vec::new(), decoder());
    let warm_up = 4 * u64::from(devices);
    let (mut seen, mut decoding, mut applying) = (0, Duration::ZERO, Duration::ZERO);
    while seen < warm_up + records {
        fill(&mut source, hostile, &mut batch);
        let mut events = Vec::with_capacity(BATCH);
        for (decoder, (value, arrival)) in decoders.iter_mut().zip(&batch) {
            events.extend(decoder.telemetry(value, Arrival::At(*arrival)));
        }
        if seen < warm_up {
            apply(&mut partition, &events);
        } else {
            let start = Instant::now();
            measured_apply(&mut partition, &events);
            applying += start.elapsed();
            let start = Instant::now();
            measured_decode(&mut one, &batch);
            decoding += start.elapsed();
        }
        partition.take();
        seen += BATCH as u64;
    }
    let each = |spent: Duration| spent.as_nanos() as f64 / (seen - warm_up) as f64;
    println!("decode {:.1} ns, apply {:.1} ns a record", each(decoding), each(applying));
}
