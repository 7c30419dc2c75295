//! One commit of log 2, the chain: what was merged, what was raised, which files exist.

use serde::{Deserialize, Serialize};

use crate::alert::Alert;
use crate::command::{Command, Muted};
use crate::entry::{Counts, Stream};
use crate::time::Timestamp;

/// One commit, the JSON object `system/chain/<sequence>`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Commit {
    pub v: u32,
    /// Dense from 0.
    pub sequence: u64,
    /// Names the process that wrote it: 32 hexadecimal digits.
    pub publisher: String,
    /// Journal entries merged since the commit before, in stream order.
    pub merged: Vec<MergedRange>,
    /// The order in which they were merged, as indices into `merged`, one per entry. Windows are
    /// evaluated after each. Empty in commits of layout 1: stream by stream.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub order: Vec<u32>,
    /// Partitions too far behind the others: from here on windows do not wait for them, until they
    /// have caught up. Comes before what this commit merged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<Stream>,
    /// Every window that ends at or before this has been evaluated.
    pub evaluated_until: Option<Timestamp>,
    /// Alert transitions, in the order in which they were raised.
    pub alerts: Vec<Alert>,
    /// Those of them that no destination is told of, as indices into `alerts`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quiet: Vec<u32>,
    /// Open alerts that are kept quiet from here on, until a transition of theirs is told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub muted: Vec<Muted>,
    /// Commands obeyed, in their order; after what this commit merged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<Command>,
    /// Whether the rows merged so far were cut for tables, also where no row came of it.
    pub cut: bool,
    /// Table files that exist from this commit on.
    pub files: Vec<FileRecord>,
    /// The publisher's state to recover from, as of an earlier commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<Named>,
    /// Files of finished days that exist below `settled/` from this commit on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settled: Vec<FileRecord>,
    /// Days whose files are gone from this commit on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<DroppedDay>,
    /// The publisher leaves: a successor need not wait before it delivers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub released: bool,
}

impl Commit {
    /// What it says, without what it merged and the files it names: years of commits fit into
    /// memory.
    #[must_use]
    pub fn said(self) -> Self {
        Self { merged: Vec::new(), order: Vec::new(), files: Vec::new(), ..self }
    }
}

/// A state that was written down: it counts once the log names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// It is the state after this entry or commit.
    pub after: u64,
    /// Below the data folder.
    pub path: String,
    pub bytes: u64,
    /// SHA-256 of the whole object, hexadecimal.
    pub sha256: String,
}

/// One day of one dataset, dropped by retention.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DroppedDay {
    pub dataset: String,
    /// `YYYY-MM-DD`.
    pub date: String,
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
    /// Below the data folder: `tables/<dataset>/date=YYYY-MM-DD/<sequence>-<n>.parquet`, or the
    /// same below `settled/`.
    pub path: String,
    pub bytes: u64,
    pub rows: u64,
    /// SHA-256 of the whole file, hexadecimal.
    pub sha256: String,
}
