//! The metrics of this crate, each declared once.

use metrics::{Unit, counter, describe_counter};
use schemas::{Counts, Stream};

pub(crate) const ENTRIES: &str = "ringwatch_journal_entries_total";
pub(crate) const ENTRY_BYTES: &str = "ringwatch_journal_bytes_total";
pub(crate) const RECEIVED: &str = "ringwatch_journal_received_total";
pub(crate) const OUTCOMES: &str = "ringwatch_journal_records_total";
pub(crate) const COMMITS: &str = "ringwatch_chain_commits_total";
pub(crate) const LOST: &str = "ringwatch_store_lost_total";
pub(crate) const FILES: &str = "ringwatch_table_files_total";
pub(crate) const FILE_BYTES: &str = "ringwatch_table_bytes_total";
pub(crate) const FILE_ROWS: &str = "ringwatch_table_rows_total";
pub(crate) const SYNC_FAILURES: &str = "ringwatch_store_sync_failures_total";
pub(crate) const LEFTOVERS: &str = "ringwatch_store_leftovers_removed_total";
pub(crate) const SETTLED_FILES: &str = "ringwatch_settled_files_total";
pub(crate) const SETTLED_ROWS: &str = "ringwatch_settled_rows_total";
pub(crate) const DROPPED_FILES: &str = "ringwatch_dropped_files_total";
pub(crate) const DROPPED_BYTES: &str = "ringwatch_dropped_bytes_total";
pub(crate) const COLLECTED: &str = "ringwatch_collected_objects_total";
pub(crate) const COLLECTED_BYTES: &str = "ringwatch_collected_bytes_total";
pub(crate) const DELTA_VERSIONS: &str = "ringwatch_delta_versions_total";
pub(crate) const REQUESTS: &str = "ringwatch_store_requests_total";
pub(crate) const RETRIES: &str = "ringwatch_store_retries_total";

/// Tells the installed recorder what each metric means.
pub fn describe() {
    describe_counter!(ENTRIES, "journal entries written");
    describe_counter!(ENTRY_BYTES, Unit::Bytes, "bytes of journal entries written");
    describe_counter!(
        RECEIVED,
        "records of journalled entries, by stream: the sum of all outcomes"
    );
    describe_counter!(OUTCOMES, "records of journalled entries, by stream and what became of them");
    describe_counter!(COMMITS, "commits written to the chain");
    describe_counter!(LOST, "numbers of a log found taken by another writer");
    describe_counter!(FILES, "table files encoded and staged");
    describe_counter!(FILE_BYTES, Unit::Bytes, "bytes of table files staged");
    describe_counter!(FILE_ROWS, "rows of table files staged");
    describe_counter!(SYNC_FAILURES, "syncs to disk that failed; nothing is written after one");
    describe_counter!(LEFTOVERS, "temporary and staged files of a crash, removed");
    describe_counter!(SETTLED_FILES, "files of finished days staged");
    describe_counter!(SETTLED_ROWS, "rows of finished days written once more");
    describe_counter!(DROPPED_FILES, "files of days that retention dropped, deleted");
    describe_counter!(DROPPED_BYTES, Unit::Bytes, "bytes of files of dropped days, deleted");
    describe_counter!(COLLECTED, "journal entries and states nothing needs any more, deleted");
    describe_counter!(COLLECTED_BYTES, Unit::Bytes, "bytes of what was collected");
    describe_counter!(DELTA_VERSIONS, "versions written to the Delta logs (feature `delta`)");
    describe_counter!(REQUESTS, "requests to the object store, by HTTP method; what it bills by");
    describe_counter!(RETRIES, "requests to the object store that were tried again");
    // There from the start: what appears with its first event shows no increase by it.
    for failure in [LOST, SYNC_FAILURES, RETRIES] {
        counter!(failure).increment(0);
    }
}

/// What became of the records of an entry that is durable.
pub(crate) fn journalled(stream: Stream, counts: &Counts) {
    let stream = stream.kind.name();
    counter!(RECEIVED, "stream" => stream).increment(counts.received);
    for (outcome, count) in [
        ("applied", counts.applied),
        ("duplicate", counts.duplicates),
        ("rejected", counts.rejected),
    ] {
        counter!(OUTCOMES, "stream" => stream, "outcome" => outcome).increment(count);
    }
}
