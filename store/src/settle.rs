//! Settling: a finished day written once more, large and sorted, beside its many small files.
//!
//! ```text
//! days_due ─► settle: tables/<dataset>/date=D/*  ─► concat, sort ─► staged ─► Commit.settled
//!                                                     └─ publish ─► settled/<dataset>/date=D/…
//! ```
//! A settled file of sequence `s` says in its footer (`ringwatch.covers`) which table files it
//! repeats: those of its day from the settled file before it, or from the beginning, to `s - 1`.
//! So a reader takes the settled files of a day and the table files of sequences from the greatest
//! of theirs on ([`crate::views`]), and no row twice.

use std::collections::BTreeMap;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::{
    SortColumn, SortOptions, concat_batches, lexsort_to_indices, take_record_batch,
};
use arrow::error::ArrowError;
use metrics::counter;
use schemas::{Dataset, FileRecord};

use crate::blobs::Blobs;
use crate::chain::Chain;
use crate::error::StoreError;
use crate::hash::sha256;
use crate::tables::{Opened, SourceRange, Tables, open};
use crate::{key, metrics as names};

/// The bounds of settling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettleRule {
    /// Rows of one file.
    pub rows_max: usize,
    /// Bytes of rows held in memory before a file is written; sorting needs them three times.
    pub bytes_max: usize,
    /// Table files not yet settled that make a day worth settling.
    pub files_min: usize,
    /// The same for a day that was settled before.
    pub files_again_min: usize,
}

impl Default for SettleRule {
    /// 5 million rows: a file of some 100 MB, which a reader splits by row groups. 256 MiB: a small
    /// machine's memory holds it three times. One file is as good as settled; late rows come in
    /// small files, and 96 of them are as many as one day has quarters of an hour.
    fn default() -> Self {
        Self { rows_max: 5_000_000, bytes_max: 256 << 20, files_min: 2, files_again_min: 96 }
    }
}

/// One day of one dataset that is worth settling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Day {
    pub dataset: Dataset,
    /// `YYYY-MM-DD`.
    pub date: String,
    /// Table files of sequences before this are settled already.
    from: u64,
    /// Paths of the table files to settle, in the order of their commits.
    files: Vec<String>,
}

impl Day {
    /// How many table files wait to be settled.
    pub const fn file_count(&self) -> usize {
        self.files.len()
    }
}

/// The days before `date` (`YYYY-MM-DD`) that are worth settling, oldest first.
pub fn days_due(blobs: &dyn Blobs, date: &str, rule: SettleRule) -> Result<Vec<Day>, StoreError> {
    assert!(key::is_date(date), "`{date}` is no date");
    let mut settled: BTreeMap<(String, Dataset), u64> = BTreeMap::new();
    for file in blobs.list(key::SETTLED)? {
        if let Some(((dataset, day), (sequence, _))) =
            key::parse_day(&file).zip(key::parse_file(&file))
        {
            let newest = settled.entry((day.to_owned(), dataset)).or_default();
            *newest = sequence.max(*newest);
        }
    }
    let mut days: BTreeMap<(String, Dataset), Vec<(u64, String)>> = BTreeMap::new();
    for file in blobs.list(key::TABLES)? {
        let Some(((dataset, day), (sequence, _))) =
            key::parse_day(&file).zip(key::parse_file(&file))
        else {
            continue;
        };
        let place = (day.to_owned(), dataset);
        if day < date && settled.get(&place).is_none_or(|newest| sequence >= *newest) {
            days.entry(place).or_default().push((sequence, file));
        }
    }
    let mut due = Vec::new();
    for ((date, dataset), mut files) in days {
        let before = settled.get(&(date.clone(), dataset)).copied();
        let enough = if before.is_some() { rule.files_again_min } else { rule.files_min };
        if files.len() >= enough {
            files.sort_unstable();
            let files = files.into_iter().map(|(_, file)| file).collect();
            due.push(Day { dataset, date, from: before.unwrap_or(0), files });
        }
    }
    Ok(due)
}

/// Stages the settled files of a day, for the next commit to name in `settled`.
///
/// Every file of the commits so far must have been published. The rows are those of the table
/// files, revisions included; each file is sorted by itself. The next commit of `chain` must be the
/// one that names them, with nothing committed in between.
pub fn settle(
    tables: &Tables,
    chain: &Chain,
    day: &Day,
    rule: SettleRule,
) -> Result<Vec<FileRecord>, StoreError> {
    let covers = (day.from, chain.next_sequence() - 1);
    let mut pile = Pile::default();
    let mut records = Vec::new();
    let mut flush = |pile: &mut Pile| -> Result<(), StoreError> {
        let Pile { batches, sources, .. } = std::mem::take(pile);
        let sorted = sort(day.dataset, &batches)
            .map_err(|error| StoreError::encode("a settled day")(error.into()))?;
        drop(batches);
        let (n, place) = (records.len() as u32, (day.dataset, day.date.as_str()));
        let record = tables.stage_settled(n, place, &sorted, &joined(sources), covers)?;
        counter!(names::SETTLED_FILES).increment(1);
        counter!(names::SETTLED_ROWS).increment(record.rows);
        records.push(record);
        Ok(())
    };
    for file in &day.files {
        let opened = read(tables.blobs(), chain, day.dataset, file)?;
        let rows = opened.footer.rows as usize;
        if !pile.batches.is_empty() && !pile.has_room(rows, rule) {
            flush(&mut pile)?;
        }
        pile.sources.extend(opened.footer.sources.iter().cloned());
        let damaged = |what: String| StoreError::damaged(file, what);
        for batch in opened.batches().map_err(damaged)? {
            pile.add(batch.map_err(damaged)?);
        }
    }
    if !pile.batches.is_empty() {
        flush(&mut pile)?;
    }
    Ok(records)
}

/// Rows of some table files, read and not yet sorted.
#[derive(Default)]
struct Pile {
    batches: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
    sources: Vec<SourceRange>,
}

impl Pile {
    fn add(&mut self, batch: RecordBatch) {
        self.rows += batch.num_rows();
        self.bytes += batch.get_array_memory_size();
        self.batches.push(batch);
    }

    /// Whether a file of so many rows more stays within the bounds.
    fn has_room(&self, rows: usize, rule: SettleRule) -> bool {
        let bytes_per_row = self.bytes / self.rows.max(1);
        self.rows + rows <= rule.rows_max && self.bytes + rows * bytes_per_row <= rule.bytes_max
    }
}

/// Reads a table file as its commit names it.
fn read(
    blobs: &dyn Blobs,
    chain: &Chain,
    dataset: Dataset,
    path: &str,
) -> Result<Opened, StoreError> {
    let unnamed = || StoreError::damaged(path, "no commit names it");
    let (sequence, _) = key::parse_file(path).ok_or_else(unnamed)?;
    if sequence >= chain.next_sequence() {
        return Err(unnamed());
    }
    let commit = chain.read(sequence)?;
    let record = commit.files.iter().find(|file| file.path == path).ok_or_else(unnamed)?;
    let bytes = blobs.get(path)?.ok_or_else(|| StoreError::Missing { key: path.to_owned() })?;
    if sha256(&bytes) != record.sha256 {
        return Err(StoreError::damaged(path, "it does not match its commit"));
    }
    let opened = open(bytes).map_err(|what| StoreError::damaged(path, what))?;
    if opened.schema.fields() == dataset.schema().fields() {
        Ok(opened)
    } else {
        Err(StoreError::damaged(path, "its columns are not those of its dataset"))
    }
}

/// The columns that a dataset's files are sorted by; NULL comes first.
pub const fn order(dataset: Dataset) -> &'static [&'static str] {
    match dataset {
        Dataset::RingHealth => &["window_start", "change", "ring", "arm", "revision"],
        Dataset::RingSignals => &[
            "window_start",
            "change",
            "ring",
            "arm",
            "signal",
            "cohort_key",
            "cohort_value",
            "revision",
        ],
        Dataset::RingDevices => {
            &["hour_start", "change", "ring", "arm", "cohort_key", "cohort_value", "revision"]
        }
        Dataset::DeviceUpdates => &["event_time", "device", "change", "state"],
        Dataset::Alerts => &["updated_at", "id", "transition"],
        Dataset::Rejected => &["topic", "partition", "offset"],
    }
}

/// All rows in one batch, in [`order`]; equal keys stay as they were, so the bytes are the same
/// each time.
fn sort(dataset: Dataset, batches: &[RecordBatch]) -> Result<RecordBatch, ArrowError> {
    let all = concat_batches(&dataset.schema(), batches)?;
    let options = Some(SortOptions { descending: false, nulls_first: true });
    let mut columns = Vec::new();
    for name in order(dataset) {
        let index = all.schema().index_of(name)?;
        columns.push(SortColumn { values: ArrayRef::clone(all.column(index)), options });
    }
    let place: ArrayRef =
        std::sync::Arc::new(UInt32Array::from_iter_values(0..all.num_rows() as u32));
    columns.push(SortColumn { values: place, options });
    take_record_batch(&all, &lexsort_to_indices(&columns, None)?)
}

/// Ranges by partition in order, those that follow one another as one.
fn joined(mut sources: Vec<SourceRange>) -> Vec<SourceRange> {
    sources.sort_by(|a, b| {
        (&a.topic, a.partition, a.start, a.end).cmp(&(&b.topic, b.partition, b.start, b.end))
    });
    let mut joined: Vec<SourceRange> = Vec::new();
    for source in sources {
        match joined.last_mut() {
            Some(last)
                if (&last.topic, last.partition) == (&source.topic, source.partition)
                    && source.start <= last.end =>
            {
                last.end = last.end.max(source.end);
            }
            _ => joined.push(source),
        }
    }
    joined
}

#[cfg(test)]
mod tests;
