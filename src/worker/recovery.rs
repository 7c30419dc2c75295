//! How a partition is taken over: what its journal says, and the state to go on from.
//!
//! ```text
//! last entries ─► name a snapshot ─► state after entry k ─► headers of k + 1 … : fold these again
//!       └─ it cannot be read: the one named before it, in the end the empty state
//! ```

use std::sync::Arc;

use aggregate::{FoldConfig, Partition};
use schemas::entry::EntryHeader;
use schemas::{Input, Named, Stream, StreamKind};
use store::states;
use store::{Blobs, Journal, SnapshotChoice, StoreError};

use super::Fold;

/// What a worker begins with.
#[derive(Debug)]
pub struct Recovered {
    /// Its headers are those of the entries to be folded again.
    pub journal: Journal,
    /// The state before the first of them, or after the last where records are not needed.
    pub fold: Fold,
    /// The index of the first header to fold again: behind the newest gap that took the state.
    pub first: usize,
    /// Where to read from.
    pub position: i64,
    /// The snapshot that the state comes from.
    pub snapshot: Option<Named>,
    /// The topic has grown to so many partitions, and the journal does not say so yet.
    pub grown: Option<i32>,
    /// How many partitions the journal knows of.
    pub known: i32,
}

/// How many partitions `telemetry` has.
#[derive(Clone, Copy, Debug)]
pub struct PartitionCounts {
    /// When the data folder was made.
    pub begun: i32,
    pub now: i32,
}

/// Reads what is needed to go on with a partition.
///
/// A snapshot that cannot be read is passed over: an older one, or none, only makes the way
/// longer, and every entry folded again is compared with its checksum.
pub fn recover(
    store: &Arc<dyn Blobs>,
    stream: Stream,
    writer: &str,
    config: &FoldConfig,
    counts: PartitionCounts,
) -> Result<Recovered, StoreError> {
    let mut choice = match stream.kind {
        StreamKind::Telemetry => SnapshotChoice::Use,
        StreamKind::Changes | StreamKind::Support => SnapshotChoice::LastEntry,
    };
    loop {
        let journal = Journal::open_with(Arc::clone(store), stream, writer.to_owned(), choice)?;
        let is_telemetry = stream.kind == StreamKind::Telemetry;
        let said = journal.headers().last().and_then(|last| last.partition_count);
        let known = said.unwrap_or(counts.begun);
        let grown = (is_telemetry && counts.now > known).then_some(counts.now);
        let afresh = match (grown, journal.headers().len().checked_sub(1)) {
            // Where each device is from now on, its state is not.
            (Some(_), Some(last)) => Some(last),
            _ => journal.headers().iter().rposition(began_afresh),
        };
        if let Some(at) = afresh.filter(|_| is_telemetry) {
            let header = &journal.headers()[at];
            let (mut fold, position) = (Fold::after_gap(config, header), header.end);
            if grown.is_none() {
                // What the state began with.
                let inputs = header.inputs.iter();
                inputs
                    .filter(|input| matches!(input, Input::Grown(_)))
                    .for_each(|it| fold.input(it));
            }
            let (first, snapshot) = (at + 1, None);
            return Ok(Recovered { journal, fold, first, position, snapshot, grown, known });
        }
        let fold = Fold::new(stream, config, journal.headers().last());
        let first = journal.headers().first().map_or(0, |first| first.start);
        let last = journal.headers().last().map_or(0, |last| last.end);
        let position = if fold.needs_records() { first } else { last };
        let named = journal.snapshot().filter(|_| fold.needs_records()).cloned();
        let Some(named) = named else {
            return Ok(Recovered {
                journal,
                fold,
                first: 0,
                position,
                snapshot: None,
                grown,
                known,
            });
        };
        match load(&**store, &named, config) {
            Ok(state) => {
                let fold = Fold::with_state(state);
                let snapshot = Some(named);
                return Ok(Recovered { journal, fold, first: 0, position, snapshot, grown, known });
            }
            Err(error @ (StoreError::Damaged { .. } | StoreError::Missing { .. })) => {
                tracing::warn!(%stream, %error, "passing over a snapshot");
                choice = SnapshotChoice::Before(named.after);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Whether the state of a partition begins anew at an entry.
fn began_afresh(header: &EntryHeader) -> bool {
    // The first entry of a partition that is new has nothing to begin afresh from, and may hold
    // records.
    let afresh = |input: &Input| match input {
        Input::Gap(gap) => gap.state_after.is_none(),
        Input::Grown(_) => header.number > 0,
        Input::Clock(_) | Input::Idle(_) | Input::End => false,
    };
    header.inputs.iter().any(afresh)
}

fn load(blobs: &dyn Blobs, named: &Named, config: &FoldConfig) -> Result<Partition, StoreError> {
    let bytes = states::read(blobs, named)?;
    Partition::load(config, &bytes)
        .map_err(|error| StoreError::Damaged { key: named.path.clone(), what: error.to_string() })
}
