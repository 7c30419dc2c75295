//! A record whose shape is known is decoded without allocating, and the decoder stays small.
//!
//! A test of its own: the counting allocator is that of the whole program.

#![expect(unsafe_code, reason = "an allocator that counts is written with `unsafe`")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use ingest::{Arrival, DecodeConfig, Decoder};
use schemas::Timestamp;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static BYTES: Cell<i64> = const { Cell::new(0) };
}

// SAFETY: everything is done by the system's allocator; the counters are plain cells.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        BYTES.set(BYTES.get() + layout.size() as i64);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        BYTES.set(BYTES.get() - layout.size() as i64);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// 2026-07-19T05:00:00Z.
const ARRIVAL: Arrival = Arrival::At(Timestamp(1_784_437_200_000_000));

fn decoder() -> Decoder {
    let cohorts = ["model", "driver"].map(str::to_owned).to_vec();
    Decoder::new(DecodeConfig { cohorts, ..DecodeConfig::default() })
}

fn record(number: u64, extra: &str) -> String {
    format!(
        r#"{{"v":1,"type":"heartbeat","device":"d-{number}","ring":"fast","seq":{number},
        "time":"2026-07-19T04:{:02}:12.345Z","uptime_s":7,
        "attrs":{{"driver":"gr\u00fcn"}}{extra}}}"#,
        number % 60
    )
}

#[test]
fn a_record_allocates_nothing_once_the_buffers_have_grown() {
    let mut decoder = decoder();
    for escape in [false, true] {
        let plain: Vec<String> = (0..200).map(|number| record(number, "")).collect();
        // By shape the first time, by the parser the second.
        let unescaped = |record: &String| record.replace("\\u00fc", "ü");
        let records = if escape { plain } else { plain.iter().map(unescaped).collect() };
        let mut pass =
            || records.iter().all(|it| decoder.telemetry(it.as_bytes(), ARRIVAL).is_ok());
        assert!(pass());
        let before = ALLOCATIONS.get();
        assert!(pass());
        assert_eq!(ALLOCATIONS.get() - before, 0, "escapes: {escape}");
    }
    assert!(decoder.decoded_by_shape() > 350, "{}", decoder.decoded_by_shape());
}

#[test]
fn shapes_without_end_do_not_make_the_decoder_grow() {
    let before = BYTES.get();
    let mut decoder = decoder();
    for number in 0..60_000 {
        // Fifty unknown fields with names of its own: as large as a shape may be.
        let names = |at: u64| format!(",\"key-{number}-{at}\":{at}");
        let extra: String = (0..50 * u64::from(number % 16 == 0)).map(names).collect();
        let record = record(number, &extra).replace("\\u00fc", "ü");
        assert!(decoder.telemetry(record.as_bytes(), ARRIVAL).is_ok());
    }
    let kib = (BYTES.get() - before) / 1_024;
    assert!((16..1_024).contains(&kib), "{kib} KiB");
}
