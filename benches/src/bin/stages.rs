//! The stages of the hot path over canonical records, each by itself: instructions and time.
//!
//! ```text
//! records ─► measured_decode      records ─► events ─► measured_apply ─► measured_take ─► dropped
//! ```
//! Each stage stands in a function that is never inlined, so that `valgrind --tool=callgrind
//! --toggle-collect='*measured_*'` counts it and nothing else. Prints the CPU time and allocations
//! of a record, what the partition holds for a device, and the longest that records had to wait:
//! with `--devices 10000000` for the table to grow to that size, too.

#![expect(clippy::print_stdout, reason = "the numbers are what it is run for")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use aggregate::Partition;
use benches::allocator::{Counting, Usage};
use benches::canonical::{Canonical, CanonicalConfig};
use benches::feed;
use benches::settings::{decoder, fold_config};
use clap::Parser;
use ingest::{Arrival, Decoded, Decoder};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike};
use schemas::{Counts, Delta, Span, Timestamp};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Records that are decoded before they are applied, as a worker does.
const BATCH: usize = 1_024;

/// Records of an entry: a second of them at the speed that is the goal.
const ENTRY: u64 = 1 << 20;

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
    feed::apply(partition, events);
}

#[inline(never)]
fn measured_take(partition: &mut Partition) -> (Delta, Counts) {
    partition.take()
}

/// What a stage took.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    cpu: Duration,
    allocations: u64,
    held_bytes: i64,
    /// The longest that one batch took by the wall clock.
    longest: Duration,
}

impl Cost {
    fn of<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let (cpu, start) = (cpu(), Instant::now());
        let mut usage = Usage::default();
        let result = usage.of(work);
        self.longest = self.longest.max(start.elapsed());
        self.cpu += cpu_since(cpu);
        self.allocations += usage.allocations;
        self.held_bytes += usage.held_bytes;
        result
    }

    fn said(&self, stage: &str, records: u64) -> String {
        let each = |sum: f64| sum / records as f64;
        let (ns, allocations) = (each(self.cpu.as_nanos() as f64), each(self.allocations as f64));
        format!("{stage:<7} {ns:7.1} ns CPU  {allocations:.5} allocations a record")
    }
}

/// Time that this thread has had of a processor: what others take of the machine is not in it.
fn cpu() -> Duration {
    let of = |time: TimeVal| Duration::from_micros(time.num_microseconds() as u64);
    match getrusage(UsageWho::RUSAGE_THREAD) {
        Ok(usage) => of(usage.user_time()) + of(usage.system_time()),
        Err(_) => Duration::ZERO,
    }
}

fn cpu_since(before: Duration) -> Duration {
    cpu().saturating_sub(before)
}

fn main() {
    let Arguments { records, devices, hostile } = Arguments::parse();
    let mut source = source(devices);
    // An event borrows from its decoder, so a batch of them needs as many.
    let mut decoders: Vec<Decoder> = std::iter::repeat_with(decoder).take(BATCH).collect();
    let mut held = Usage::default();
    let mut partition = held.of(|| Partition::new(&fold_config()));
    let (mut batch, mut one) = (Vec::new(), decoder());
    let warm_up = 4 * u64::from(devices);
    let (mut warming, mut decoding, mut applying, mut taking) =
        (Cost::default(), Cost::default(), Cost::default(), Cost::default());
    let mut seen = 0;
    while seen < warm_up + records {
        fill(&mut source, hostile, &mut batch);
        let mut events = Vec::with_capacity(BATCH);
        for (decoder, (value, arrival)) in decoders.iter_mut().zip(&batch) {
            events.extend(decoder.telemetry(value, Arrival::At(*arrival)));
        }
        if seen < warm_up {
            warming.of(|| feed::apply(&mut partition, &events));
        } else {
            applying.of(|| measured_apply(&mut partition, &events));
            decoding.of(|| measured_decode(&mut one, &batch));
        }
        seen += BATCH as u64;
        if seen % ENTRY < BATCH as u64 {
            drop(taking.of(|| measured_take(&mut partition)));
        }
    }
    let measured = seen - warm_up;
    println!("{}", warming.said("warm-up", warm_up));
    println!("{}", decoding.said("decode", measured));
    println!("{}", applying.said("apply", measured));
    println!("{}", taking.said("take", seen));
    let bytes = held.held_bytes + warming.held_bytes + applying.held_bytes + taking.held_bytes;
    let count = partition.device_count();
    println!("{count} devices, {:.1} bytes each, all told", bytes as f64 / count as f64);
    let longest = warming.longest.max(applying.longest);
    println!("longest batch of {BATCH} records: {:.2} ms", longest.as_secs_f64() * 1e3);
}
