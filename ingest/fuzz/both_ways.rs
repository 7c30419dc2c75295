//! What the fuzzer and the replay of its corpus share: an input of records to two decoders.
//!
//! ```text
//! input: record 0xff record 0xff ... ─► with shapes, learned from these records ─────┐
//!                                    └► by the parser alone ─────────────────────────┴► same?
//! ```
//! 0xff is never part of text, so any record that may be accepted can be written.

use ingest::{Arrival, DecodeConfig, Decoder};
use schemas::Timestamp;

/// 2026-07-19T05:00:00Z.
const ARRIVAL: Timestamp = Timestamp(1_784_437_200_000_000);

/// Of each a shape is known before the input comes.
const SEASON: [&str; 5] = [
    concat!(
        r#"{"v":1,"type":"heartbeat","device":"d-0","ring":"fast","#,
        r#""time":"2026-07-19T04:09:12.345Z","seq":7,"build":"10.0","model":"L-5","#,
        r#""interval_s":3600,"uptime_s":86211,"#,
        r#""attrs":{"driver":"nv-5","region":"eu"}}"#
    ),
    concat!(
        r#"{"v":1,"type":"boot","device":"d-0","ring":"fast","time":"2026-07-19T04:09:12.345Z","#,
        r#""seq":7,"boot_ms":18230,"signin_ms":2210,"reason":"update"}"#
    ),
    concat!(
        r#"{"v":1,"type":"update","device":"d-0","ring":"fast","time":1784433552345,"#,
        r#""change":"kb1","state":"installed","code":"0x0","duration_ms":812233}"#
    ),
    concat!(
        r#"{"type":"fault","device":"d-0","ring":"fast","time":"2026-07-19T04:09:12.345Z","#,
        r#""kind":"os_crash","signature":"x!0","count":1,"x":-1.5,"y":null}"#
    ),
    concat!(
        r#"{"type":"lifecycle","device":"d-0","ring":"fast","time":"2026-07-19T04:09:12Z","#,
        r#""state":"moved","from":"test","_ts":1784433552345}"#
    ),
];

fn config() -> DecodeConfig {
    let cohorts = ["model", "build", "driver", "region"].map(str::to_owned).to_vec();
    DecodeConfig { cohorts, ..DecodeConfig::default() }
}

/// Panics where the two do not say the same; tells how many records a shape decoded.
pub(crate) fn compare(input: &[u8]) -> u64 {
    let mut by_shape = Decoder::new(config());
    let mut by_parser = Decoder::without_shapes(config());
    for record in SEASON {
        let known = by_shape.telemetry(record.as_bytes(), Arrival::At(ARRIVAL));
        assert!(known.is_ok(), "{known:?}");
    }
    let records = || input.split(|&byte| byte == 0xff);
    // The second time what there is to learn has been learned.
    for arrival in [Arrival::At(ARRIVAL), Arrival::InRecord, Arrival::At(ARRIVAL)] {
        for record in records() {
            let expected = by_parser.telemetry(record, arrival);
            let found = by_shape.telemetry(record, arrival);
            assert_eq!(found, expected, "{}", String::from_utf8_lossy(record));
            assert_eq!(by_shape.last_ts(), by_parser.last_ts());
        }
    }
    by_shape.decoded_by_shape()
}
