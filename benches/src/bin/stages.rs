//! The stages of the hot path over canonical records, each by itself: instructions and time.
//!
//! ```text
//! records ─► measured_decode          records ─► events ─► measured_apply ─► rows, dropped
//!         └► measured_parser, measured_typed: what it is compared with
//! ```
//! Each stage stands in a function that is never inlined, so that `valgrind --tool=callgrind
//! --toggle-collect='*measured_*'` counts it and nothing else. Prints nanoseconds a record.

#![expect(clippy::print_stdout, reason = "the numbers are what it is run for")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use aggregate::{Arrived, LOOK_AHEAD_MAX, Partition};
use benches::canonical::{Canonical, CanonicalConfig};
use benches::hostile::{self, Hostile};
use benches::settings::{decode_config, fold_config};
use benches::typed::Typed;
use clap::Parser;
use ingest::{Arrival, DecodeConfig, Decoded, Decoder, FieldNames};
use schemas::{Span, Timestamp};
use sim::Rng;

/// Records that are decoded before they are applied, as a worker does.
const BATCH: usize = 1_024;

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
        let fields = FieldNames::new(&BTreeMap::from_iter(names));
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
fn fill(
    arguments: &Arguments,
    source: &mut Canonical,
    rng: &mut Rng,
    batch: &mut Vec<(Vec<u8>, Timestamp)>,
) {
    batch.resize(BATCH, (Vec::new(), Timestamp(0)));
    for (value, arrival) in batch {
        let Some(message) = source.next_message() else { return };
        arguments.write(message.value, rng, value);
        *arrival = message.arrival;
    }
}

#[inline(never)]
fn measured_decode(decoder: &mut Decoder, batch: &[(Vec<u8>, Timestamp)]) {
    decode(decoder, batch);
}

/// Every record by the parser, as if there were no shapes.
#[inline(never)]
fn measured_parser(decoder: &mut Decoder, batch: &[(Vec<u8>, Timestamp)]) {
    // Else it is the same code as `measured_decode`, and the compiler makes one of both.
    black_box("parser");
    decode(decoder, batch);
}

#[inline]
fn decode(decoder: &mut Decoder, batch: &[(Vec<u8>, Timestamp)]) {
    for (value, arrival) in batch {
        black_box(decoder.telemetry(value, Arrival::At(*arrival)).is_ok());
    }
}

/// The parser straight into a type by serde: no rule of the contract is checked.
#[inline(never)]
fn measured_typed(typed: &mut Typed, batch: &[(Vec<u8>, Timestamp)]) {
    for (value, _) in batch {
        black_box(typed.read(value));
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

fn timed(spent: &mut Duration, work: impl FnOnce()) {
    let start = Instant::now();
    work();
    *spent += start.elapsed();
}

#[derive(Default)]
struct Spent {
    decode: Duration,
    parser: Duration,
    typed: Duration,
    apply: Duration,
}

impl Spent {
    fn say(&self, records: u64, bytes: u64) {
        let each = |spent: Duration| spent.as_nanos() as f64 / records as f64;
        let times = |other: Duration| self.decode.as_secs_f64() / other.as_secs_f64();
        println!("decode {:.1} ns, apply {:.1} ns a record", each(self.decode), each(self.apply));
        println!(
            "decode {:.2} GB/s, {:.2} of the parser's path ({:.1} ns), 1/{:.1} of simd-json typed \
             ({:.1} ns), {} bytes a record",
            bytes as f64 / self.decode.as_secs_f64() / 1e9,
            times(self.parser),
            each(self.parser),
            1.0 / times(self.typed),
            each(self.typed),
            bytes / records,
        );
    }
}

fn main() {
    let arguments = Arguments::parse();
    let (mut source, mut rng) = (source(arguments.devices), Rng::new(1));
    let new = || Decoder::new(arguments.decode_config());
    // An event borrows from its decoder, so a batch of them needs as many.
    let mut decoders: Vec<Decoder> = std::iter::repeat_with(new).take(BATCH).collect();
    let mut partition = Partition::new(&fold_config());
    let (mut batch, mut one, mut typed) = (Vec::new(), new(), Typed::default());
    let mut parser = Decoder::without_shapes(arguments.decode_config());
    let warm_up = 4 * u64::from(arguments.devices);
    let (mut seen, mut bytes, mut spent) = (0, 0, Spent::default());
    while seen < warm_up + arguments.records {
        fill(&arguments, &mut source, &mut rng, &mut batch);
        let mut events = Vec::with_capacity(BATCH);
        for (decoder, (value, arrival)) in decoders.iter_mut().zip(&batch) {
            events.extend(decoder.telemetry(value, Arrival::At(*arrival)));
        }
        if seen < warm_up {
            apply(&mut partition, &events);
        } else {
            timed(&mut spent.apply, || measured_apply(&mut partition, &events));
            timed(&mut spent.decode, || measured_decode(&mut one, &batch));
            timed(&mut spent.parser, || measured_parser(&mut parser, &batch));
            timed(&mut spent.typed, || measured_typed(&mut typed, &batch));
            bytes += batch.iter().map(|(value, _)| value.len() as u64).sum::<u64>();
        }
        partition.take();
        seen += BATCH as u64;
    }
    spent.say(seen - warm_up, bytes);
}
