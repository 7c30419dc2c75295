//! The stages of the hot path over canonical records, each by itself: instructions and time.
//!
//! ```text
//! records ─► measured_decode      records ─► events ─► measured_apply ─► measured_take ─► dropped
//!         └► measured_parser, measured_typed: what it is compared with
//! ```
//! Each stage stands in a function that is never inlined, so that `valgrind --tool=callgrind
//! --toggle-collect='*measured_*'` counts it and nothing else. Prints the CPU time and allocations
//! of a record, what the partition holds for a device, and the longest that records had to wait:
//! with `--devices 10000000` for the table to grow to that size, too.

#![expect(clippy::print_stdout, reason = "the numbers are what it is run for")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::ops::Range;
use std::time::{Duration, Instant};

use aggregate::Partition;
use benches::allocator::{Counting, Usage};
use benches::canonical::{Canonical, CanonicalConfig};
use benches::feed;
use benches::hostile::{self, Hostile};
use benches::settings::{decode_config, fold_config};
use benches::typed::Typed;
use clap::Parser;
use ingest::{Arrival, DecodeConfig, Decoded, Decoder, FieldNames, RUN_RECORDS_MAX};
use nix::time::{ClockId, clock_gettime};
use schemas::{Counts, Delta, Span, Timestamp};
use sim::Rng;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Records that are decoded, or read otherwise, in one go: more than the cache of a core holds, so
/// that what one way leaves there is no help to the next.
const BLOCK: usize = 32 * BATCH;

/// Events that are made before they are applied.
const BATCH: usize = 1_024;

/// Records of an entry: a second of them at the speed that is the goal.
const ENTRY: u64 = 1 << 20;

/// What a fleet may call the fields that stand in every record.
const RENAMED: [(&str, &str); 4] =
    [("device", "deviceId"), ("ring", "cohort"), ("time", "timestamp"), ("seq", "sequence")];

/// Runs the stages of the hot path over canonical records, each by itself.
#[derive(Parser)]
struct Arguments {
    /// Records that are measured.
    #[arg(long, default_value_t = 1_000_000)]
    records: u64,
    /// Devices of the fleet; each is heard four times before anything is measured.
    #[arg(long, default_value_t = 200_000)]
    devices: u32,
    /// Trouble that keeps records from being alike.
    #[arg(long, conflicts_with = "renamed")]
    hostile: Option<Hostile>,
    /// Gives fields other names, and says so in the configuration.
    #[arg(long)]
    renamed: bool,
}

impl Arguments {
    fn decode_config(&self) -> DecodeConfig {
        let renamed = if self.renamed { &RENAMED[..] } else { &[] };
        let names = renamed.iter().map(|(ours, theirs)| ((*ours).to_owned(), (*theirs).to_owned()));
        let fields = FieldNames::new(&names.collect::<BTreeMap<_, _>>());
        DecodeConfig { fields: fields.unwrap_or_default(), ..decode_config() }
    }

    /// What is sent for a record.
    fn write(&self, record: &[u8], rng: &mut Rng, out: &mut Vec<u8>) {
        if let Some(kind) = self.hostile {
            return hostile::write(kind, record, rng, out);
        }
        out.clear();
        out.extend_from_slice(record);
        if self.renamed {
            let mut text = String::from_utf8_lossy(out).into_owned();
            for (ours, theirs) in RENAMED {
                text = text.replace(&format!("\"{ours}\":"), &format!("\"{theirs}\":"));
            }
            *out = text.into_bytes();
        }
    }
}

/// The canonical workload in one partition, as long as needed: a device of a larger fleet is heard
/// as often as one of the canonical fleet.
fn source(devices: u32) -> Canonical {
    let config = CanonicalConfig::default();
    let hours = 1_000;
    Canonical::new(CanonicalConfig {
        messages: config.messages * hours * u64::from(devices.max(config.devices))
            / u64::from(config.devices),
        span: Span::hours(hours as i64),
        devices,
        partitions: 1,
        ..config
    })
}

/// A record with its arrival.
type Received<'a> = (&'a [u8], Timestamp);

/// The next records, one behind the other as they come out of a file or a batch of the broker.
#[derive(Default)]
struct Block {
    bytes: Vec<u8>,
    records: Vec<(Range<usize>, Timestamp)>,
}

impl Block {
    /// Fills the block anew; the room is used again.
    fn fill(&mut self, count: usize, arguments: &Arguments, source: &mut Canonical, rng: &mut Rng) {
        self.bytes.clear();
        self.records.clear();
        let mut record = Vec::new();
        while self.records.len() < count {
            let Some(message) = source.next_message() else { return };
            arguments.write(message.value, rng, &mut record);
            let start = self.bytes.len();
            self.bytes.extend_from_slice(&record);
            self.records.push((start..self.bytes.len(), message.arrival));
        }
    }

    fn received(&self) -> Vec<Received<'_>> {
        self.records.iter().map(|(at, arrival)| (&self.bytes[at.clone()], *arrival)).collect()
    }
}

#[inline(never)]
fn measured_decode(decoder: &mut Decoder, block: &[Received<'_>]) {
    decode(decoder, block);
}

/// Every record by the parser, as if there were no shapes.
#[inline(never)]
fn measured_parser(decoder: &mut Decoder, block: &[Received<'_>]) {
    // Else it is the same code as `measured_decode`, and the compiler makes one of both.
    black_box("parser");
    decode(decoder, block);
}

/// In runs, as a worker does.
#[inline]
fn decode(decoder: &mut Decoder, block: &[Received<'_>]) {
    for run in block.chunks(RUN_RECORDS_MAX) {
        let mut places = std::array::from_fn::<_, RUN_RECORDS_MAX, _>(|_| None);
        by_shape(decoder, run, &mut places);
        let others = run.iter().zip(black_box(&places)).filter(|(_, place)| place.is_none());
        for ((value, arrival), _) in others {
            black_box(decoder.parsed(value, Arrival::At(*arrival)).is_ok());
        }
    }
}

fn by_shape<'a>(
    decoder: &mut Decoder,
    records: &[Received<'a>],
    places: &mut [Option<Decoded<'a>>],
) {
    let records = records.iter().map(|&(value, at)| Some((value, Arrival::At(at))));
    decoder.by_shape(records, places, |_, _| {});
}

/// The parser straight into a type by serde: no rule of the contract is checked.
#[inline(never)]
fn measured_typed(typed: &mut Typed, block: &[Received<'_>]) {
    for (value, _) in block {
        black_box(typed.read(value));
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

/// Time that this thread has had of a processor, to the nanosecond: what others take of the machine
/// is not in it.
fn cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

fn cpu_since(before: Duration) -> Duration {
    cpu().saturating_sub(before)
}

/// What each stage took.
#[derive(Default)]
struct Spent {
    warming: Cost,
    decoding: Cost,
    parsing: Cost,
    typing: Cost,
    applying: Cost,
    taking: Cost,
}

impl Spent {
    fn say(&self, records: u64, bytes: u64) {
        println!("{}", self.decoding.said("decode", records));
        println!("{}", self.parsing.said("parser", records));
        println!("{}", self.typing.said("typed", records));
        println!("{}", self.applying.said("apply", records));
        let decoding = self.decoding.cpu.as_secs_f64();
        println!(
            "decode {:.2} GB/s, {:.2} of the parser's path, 1/{:.1} of simd-json typed, {} bytes a \
             record",
            bytes as f64 / decoding / 1e9,
            decoding / self.parsing.cpu.as_secs_f64(),
            self.typing.cpu.as_secs_f64() / decoding,
            bytes / records,
        );
    }
}

fn main() {
    let arguments = Arguments::parse();
    let (mut source, mut rng) = (source(arguments.devices), Rng::new(1));
    let new = || Decoder::new(arguments.decode_config());
    // An event that no shape gave borrows from its decoder, so a batch of them needs as many.
    let mut decoders: Vec<Decoder> = std::iter::repeat_with(new).take(BATCH).collect();
    let mut held = Usage::default();
    let mut partition = held.of(|| Partition::new(&fold_config()));
    let mut room = Block::default();
    // What gives the events learns as the one that is measured, which it leaves alone.
    let (mut one, mut other, mut typed) = (new(), new(), Typed::default());
    let mut parser = Decoder::without_shapes(arguments.decode_config());
    let warm_up = 4 * u64::from(arguments.devices);
    let (mut seen, mut bytes, mut spent) = (0, 0, Spent::default());
    while seen < warm_up + arguments.records {
        let measured = seen >= warm_up;
        let end = if measured { warm_up + arguments.records } else { warm_up };
        let left = end - seen;
        room.fill(left.min(BLOCK as u64) as usize, &arguments, &mut source, &mut rng);
        let block = &room.received()[..];
        assert!(!block.is_empty(), "the source has fewer records than that");
        if measured {
            spent.decoding.of(|| measured_decode(&mut one, block));
            spent.parsing.of(|| measured_parser(&mut parser, block));
            spent.typing.of(|| measured_typed(&mut typed, block));
            bytes += block.iter().map(|(value, _)| value.len() as u64).sum::<u64>();
        } else {
            decode(&mut one, block);
            decode(&mut other, block);
        }
        for batch in block.chunks(BATCH) {
            let mut places = vec![None; BATCH];
            by_shape(&mut other, batch, &mut places);
            let mut events = Vec::with_capacity(BATCH);
            let own = places.into_iter().zip(&mut decoders).zip(batch);
            events.extend(own.filter_map(|((place, decoder), (value, at))| {
                place.or_else(|| decoder.parsed(value, Arrival::At(*at)).ok())
            }));
            if measured {
                spent.applying.of(|| measured_apply(&mut partition, &events));
            } else {
                spent.warming.of(|| feed::apply(&mut partition, &events));
            }
        }
        seen += block.len() as u64;
        if seen % ENTRY < BLOCK as u64 {
            drop(spent.taking.of(|| measured_take(&mut partition)));
        }
    }
    // What is held for the next entry is not a device's.
    drop(spent.taking.of(|| measured_take(&mut partition)));
    println!("{}", spent.warming.said("warm-up", warm_up));
    spent.say(seen - warm_up, bytes);
    println!("{}", spent.taking.said("take", seen));
    let Spent { warming, applying, taking, .. } = spent;
    let bytes = held.held_bytes + warming.held_bytes + applying.held_bytes + taking.held_bytes;
    let count = partition.device_count();
    println!("{count} devices, {:.1} bytes each, all told", bytes as f64 / count as f64);
    let longest = warming.longest.max(applying.longest);
    println!("longest batch of {BATCH} records: {:.2} ms", longest.as_secs_f64() * 1e3);
}
