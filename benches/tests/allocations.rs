//! What a record costs in allocations once everything that it meets is known: next to none.

use aggregate::Partition;
use benches::allocator::{Counting, Usage};
use benches::canonical::{Canonical, CanonicalConfig};
use benches::feed;
use benches::settings::{decoder, fold_config};
use ingest::{Arrival, Decoder};
use schemas::{Span, Timestamp};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const DEVICES: u32 = 10_000;
const BATCH: usize = 1_024;
/// Records between two takes, as the canonical run journals them.
const ENTRY: usize = 1 << 18;

/// An hour has each device often enough that all that happens has happened before.
fn source(hours: u64) -> Canonical {
    let config = CanonicalConfig::default();
    let (messages, span) = (config.messages * hours, Span::hours(hours as i64));
    Canonical::new(CanonicalConfig { messages, span, devices: DEVICES, partitions: 1, ..config })
}

#[test]
fn records_of_known_devices_allocate_next_to_nothing() {
    let (mut source, mut partition) = (source(3), Partition::new(&fold_config()));
    let mut decoders: Vec<Decoder> = std::iter::repeat_with(decoder).take(BATCH).collect();
    let mut batch = vec![(Vec::new(), Timestamp(0)); BATCH];
    let mut applied = 0;
    let (warm_up, measured) = (1 << 20, 1 << 20);
    for number in 0..(warm_up + measured) / BATCH {
        for (value, arrival) in &mut batch {
            let message = source.next_message().expect("hours of messages");
            value.clear();
            value.extend_from_slice(message.value);
            *arrival = message.arrival;
        }
        let mut events = Vec::with_capacity(BATCH);
        for (decoder, (value, arrival)) in decoders.iter_mut().zip(&batch) {
            events.extend(decoder.telemetry(value, Arrival::At(*arrival)));
        }
        let is_measured = number * BATCH >= warm_up;
        let mut usage = Usage::default();
        usage.of(|| feed::apply(&mut partition, &events));
        if is_measured {
            applied += usage.allocations;
        }
        if (number + 1) % (ENTRY / BATCH) == 0 {
            let (_, counts) = partition.take();
            assert!(counts.balance());
        }
    }
    // Windows that close, and rows and tables that grow.
    assert!(applied <= measured as u64 / 50, "{applied} in {measured} records");
}
