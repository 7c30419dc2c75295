//! How a partition is taken over: what its journal says, and the state to go on from.
//!
//! ```text
//! last entries ─► name a snapshot ─► state after entry k ─► headers of k + 1 … : fold these again
//!       └─ it cannot be read: the one named before it, in the end the empty state
//! ```

use std::sync::Arc;

use aggregate::{FoldConfig, Partition};
use schemas::entry::EntryHeader;
use schemas::{Gap, Input, Named, Stream, StreamKind};
use store::states;
use store::{Blobs, Journal, Snapshots, StoreError};

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
) -> Result<Recovered, StoreError> {
    let mut choice = match stream.kind {
        StreamKind::Telemetry => Snapshots::Use,
        StreamKind::Changes | StreamKind::Support => Snapshots::LastEntry,
    };
    loop {
        let journal = Journal::open_with(Arc::clone(store), stream, writer.to_owned(), choice)?;
        let afresh = journal.headers().iter().rposition(began_afresh);
        if let Some(gap) = afresh.filter(|_| stream.kind == StreamKind::Telemetry) {
            let header = &journal.headers()[gap];
            let (fold, position) = (Fold::after_gap(config, header), header.end);
            return Ok(Recovered { journal, fold, first: gap + 1, position, snapshot: None });
        }
        let fold = Fold::new(stream, config, journal.headers().last());
        let first = journal.headers().first().map_or(0, |first| first.start);
        let last = journal.headers().last().map_or(0, |last| last.end);
        let position = if fold.needs_records() { first } else { last };
        let named = journal.snapshot().filter(|_| fold.needs_records()).cloned();
        let Some(named) = named else {
            return Ok(Recovered { journal, fold, first: 0, position, snapshot: None });
        };
        match load(&**store, &named, config) {
            Ok(state) => {
                let fold = Fold::with_state(state);
                return Ok(Recovered { journal, fold, first: 0, position, snapshot: Some(named) });
            }
            Err(error @ (StoreError::Damaged { .. } | StoreError::Missing { .. })) => {
                tracing::warn!(%stream, %error, "passing over a snapshot");
                choice = Snapshots::Before(named.after);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Whether the state of a partition begins anew at an entry.
fn began_afresh(header: &EntryHeader) -> bool {
    let afresh = |input: &Input| matches!(input, Input::Gap(Gap { state_after: None, .. }));
    header.inputs.iter().any(afresh)
}

fn load(blobs: &dyn Blobs, named: &Named, config: &FoldConfig) -> Result<Partition, StoreError> {
    let bytes = states::read(blobs, named)?;
    Partition::load(config, &bytes)
        .map_err(|error| StoreError::Damaged { key: named.path.clone(), what: error.to_string() })
}
