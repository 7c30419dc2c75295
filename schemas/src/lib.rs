//! The vocabulary of ringwatch: what goes in, what comes out, and what passes between the stages.
//!
//! ```text
//! Event ─► Delta ─► Entry (log 1) ─► WindowTotals ─► Alert ─► Commit (log 2) ─► tables
//! ```
//! Types and pure functions only: this crate depends on no other of the workspace. The contracts
//! with other people's systems (input records, datasets, alerts) are defined here and nowhere else.

pub mod alert;
pub mod command;
pub mod commit;
pub mod delta;
pub mod dictionary;
pub mod entry;
pub mod event;
pub mod fact;
pub mod histogram;
pub mod json_schema;
pub mod pseudonym;
pub mod registry;
pub mod reject;
pub mod signal;
pub mod tables;
pub mod text;
pub mod time;
pub mod totals;

pub use alert::{Alert, AlertState, Decision, Escalation, Severity};
pub use command::{Command, Matcher, Muted, Order};
pub use commit::{Commit, FileRecord, Named};
pub use delta::{ChangeSet, Delta};
pub use entry::{Counts, Entry, Gap, Grown, Input, Stream, StreamKind};
pub use event::{Body, Event};
pub use fact::Fact;
pub use histogram::Histogram;
pub use pseudonym::Pseudonym;
pub use registry::{ChangeRecord, ChangeStatus, ChangeType, SupportRecord};
pub use reject::{Rejection, Stage};
pub use signal::{DurationSignal, Signal};
pub use tables::Dataset;
pub use time::{Span, Timestamp};
pub use totals::WindowTotals;

/// Version of every contract in this crate; written into file metadata and `v` fields.
pub const SCHEMA_VERSION: u32 = 1;

/// Cohort dimensions that can be configured: four are usual, and each costs every device 4 bytes.
pub const COHORTS_MAX: usize = 8;

/// Longest string that may become a key (contracts.md 2), in bytes.
pub const KEY_BYTES_MAX: usize = 128;

/// The ring under which devices of rings that are not configured are counted.
pub const UNMANAGED: &str = "unmanaged";

/// What stands for every value beyond a bound on distinct values (A3).
pub const OTHER: &str = "__other__";
