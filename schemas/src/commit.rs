//! One commit of log 2, the chain: what was merged, what was raised, which files exist.

use serde::{Deserialize, Serialize};

use crate::alert::Alert;
use crate::entry::{Counts, Stream};
use crate::time::Timestamp;

/// One commit, the JSON object `system/chain/<sequence>`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Commit {
    pub v: u32,
    /// Dense from 0.
    pub sequence: u64,
    /// Names the process that wrote it: 32 hexadecimal digits.
    pub publisher: String,
    /// Journal entries merged since the commit before, in stream order.
    pub merged: Vec<MergedRange>,
    /// Every window that ends at or before this has been evaluated.
    pub evaluated_until: Option<Timestamp>,
    /// Alert transitions, in the order in which they were raised.
    pub alerts: Vec<Alert>,
    /// Whether the rows merged so far were cut for tables, also where no row came of it.
    pub cut: bool,
    /// Table files that exist from this commit on.
    pub files: Vec<FileRecord>,
}

/// The entries `[first, last]` of one stream, and what they held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergedRange {
    pub stream: Stream,
    pub first: u64,
    pub last: u64,
    /// Offsets `[start, end)` of those entries together.
    pub start: i64,
    pub end: i64,
    pub counts: Counts,
}

/// One table file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    pub dataset: String,
    /// Below the data folder: `tables/<dataset>/date=YYYY-MM-DD/<sequence>-<n>.parquet`.
    pub path: String,
    pub bytes: u64,
    pub rows: u64,
    /// SHA-256 of the whole file, hexadecimal.
    pub sha256: String,
}
