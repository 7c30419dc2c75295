//! How a partition is taken over: what its journal says, and the state to go on from.

use std::sync::Arc;

use aggregate::FoldConfig;
use schemas::{Named, Stream};
use store::{Blobs, Journal, StoreError};

use super::Fold;

/// What a worker begins with.
#[derive(Debug)]
pub struct Recovered {
    /// Its headers are those of the entries to be folded again.
    pub journal: Journal,
    /// The state before the first of them, or after the last where records are not needed.
    pub fold: Fold,
    /// Where to read from.
    pub position: i64,
    /// The snapshot that the state comes from.
    pub snapshot: Option<Named>,
}

/// Reads what is needed to go on with a partition.
pub fn recover(
    store: &Arc<dyn Blobs>,
    stream: Stream,
    writer: &str,
    config: &FoldConfig,
) -> Result<Recovered, StoreError> {
    let journal = Journal::open(Arc::clone(store), stream, writer.to_owned())?;
    let fold = Fold::new(stream, config, journal.headers().last());
    let first = journal.headers().first().map_or(0, |first| first.start);
    let last = journal.headers().last().map_or(0, |last| last.end);
    let position = if fold.needs_records() { first } else { last };
    Ok(Recovered { journal, fold, position, snapshot: None })
}
