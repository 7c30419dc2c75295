//! Kafka (or NDJSON files) to events: source, framing, decoding, validation.
//!
//! ```text
//! Source ─► Record ─► unframe (FRAME) ─► Decoder (DECODE, VALIDATE) ─► Event<'_>, or Rejection
//!   │                                                                        │
//!   ├ KafkaSource   one consumer, three topics            RejectedTopic ◄────┘ (if configured)
//!   └ NdjsonSource  a folder of files, for `replay`
//! ```
//! The two sources hand out the same things in the same way, so that nothing behind them knows
//! which it is. Decoding is pure: it reads no clock, and the arrival is an argument.

pub mod decode;
pub mod frame;
pub mod kafka;
pub mod metrics;
pub mod ndjson;
pub mod source;

pub use decode::{
    Arrival, ChangeMessage, DecodeConfig, Decoded, Decoder, FieldNames, FieldNamesError,
    SupportMessage,
};
pub use frame::unframe;
pub use kafka::{
    KafkaConfig, KafkaLane, KafkaSource, PartitionLog, RejectedTopic, Topics, forbidden_property,
    logs, partitions, rebootstrap, sample,
};
pub use ndjson::{NdjsonLane, NdjsonSource};
pub use source::{
    Headers, Lane, Membership, Next, RUN_RECORDS_MAX, Record, Run, Source, SourceError,
    SourceEvent, Start,
};

/// Largest record (contracts.md 2), in bytes.
pub const RECORD_BYTES_MAX: usize = 1 << 20;
