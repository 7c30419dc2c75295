//! The states that a recovery would start from: the newest named snapshots and checkpoint.
//!
//! Older ones may be gone, and what no log names is a leftover.

use schemas::{Named, StreamKind};

use super::VerifyReport;
use super::chain::ChainRead;
use crate::blobs::{Blobs, end_of_log};
use crate::error::StoreError;
use crate::journal::{SnapshotChoice, snapshot_back};
use crate::{chain, key, states};

pub(super) fn check(
    blobs: &dyn Blobs,
    chain: &ChainRead,
    report: &mut VerifyReport,
) -> Result<(), StoreError> {
    // Looked up afresh: while the files were read, newer ones may have been named, and those of
    // before collected.
    let end = end_of_log(blobs, chain.next_sequence, key::commit)?;
    if let Some(last) = end.checked_sub(1) {
        let checkpoint = chain::read(blobs, last).map(|commit| commit.checkpoint);
        // A commit that cannot be read has been reported.
        let checkpoint = unless_broken(checkpoint)?.flatten();
        check_named(blobs, checkpoint.as_ref(), report)?;
    }
    for at in 0..report.partitions.len() {
        let partition = &report.partitions[at];
        if partition.stream != StreamKind::Telemetry {
            continue;
        }
        let stream = partition.place();
        let (first, count) = (partition.entries_collected, partition.entries);
        let end = end_of_log(blobs, first + count, |number| key::journal_entry(stream, number))?;
        let Some(last) = end.checked_sub(1) else { continue };
        let named =
            unless_broken(snapshot_back(blobs, stream, last, SnapshotChoice::Use))?.flatten();
        let named = named.map(|(_, named)| named);
        if named.as_ref().map_or(0, |named| named.after + 1) < first {
            report.problem(format!(
                "the journal of {stream} begins at entry {first}, and it names no snapshot that \
                 stands for what is before"
            ));
        }
        check_named(blobs, named.as_ref(), report)?;
    }
    Ok(())
}

fn check_named(
    blobs: &dyn Blobs,
    named: Option<&Named>,
    report: &mut VerifyReport,
) -> Result<(), StoreError> {
    let Some(named) = named else { return Ok(()) };
    match states::read(blobs, named) {
        Err(error) if error.is_transient() => return Err(error),
        Err(wrong) => report.problem(wrong.to_string()),
        Ok(_) => {}
    }
    Ok(())
}

/// `None` for what is damaged.
fn unless_broken<T>(outcome: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_transient() => Err(error),
        Err(_) => Ok(None),
    }
}
