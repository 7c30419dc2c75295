//! The table files: each whole and where its commit says, and its sums those of the entries.

use std::collections::BTreeSet;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use schemas::{Dataset, FileRecord, SCHEMA_VERSION, StreamKind};

use super::chain::{ChainRead, Cut};
use super::{Progress, VerifyReport};
use crate::blobs::Blobs;
use crate::error::StoreError;
use crate::hash::sha256;
use crate::key;
use crate::tables::{Footer, Opened, SourceRange, is_date, open, staged_key};
use crate::world::TopicNames;

/// What files and entries must agree on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sums {
    records: i64,
    duplicates: i64,
    rejected: i64,
    alerts: i64,
}

pub(super) fn check(
    blobs: &dyn Blobs,
    chain: &ChainRead,
    topics: &TopicNames,
    report: &mut VerifyReport,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), StoreError> {
    let total = chain.cuts.iter().map(|cut| cut.files.len()).sum::<usize>() as u64;
    let (mut done, mut named) = (0, BTreeSet::new());
    for (at, cut) in chain.cuts.iter().enumerate() {
        let newest = if at + 1 == chain.cuts.len() { Newest::Yes } else { Newest::No };
        let sources = SourceRange::joined(&cut.merged, topics).ok();
        let (mut sums, mut all_read) = (Sums::default(), true);
        for file in &cut.files {
            if !named.insert(file.path.as_str()) {
                report.problem(format!("`{}` is named twice", file.path));
            }
            match check_file(blobs, cut, file, sources.as_deref(), newest, report)? {
                Ok(of_file) => sums.add(of_file),
                Err(what) => {
                    all_read = false;
                    report.problem(format!("`{}`: {what}", file.path));
                }
            }
            done += 1;
            progress(Progress { step: "files", done, total });
        }
        if all_read && sums != Sums::of_entries(cut) {
            let (sequence, owed) = (cut.sequence, Sums::of_entries(cut));
            report.problem(format!(
                "the files of commit {sequence} hold {sums}, the entries that they cover {owed}"
            ));
        }
    }
    check_foreign(blobs, &named, chain.next_sequence, report)
}

/// Whether a file belongs to the newest commit with files, the only one that may lag.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Newest {
    Yes,
    No,
}

/// Files that no commit names, unless the chain has grown since it was read.
fn check_foreign(
    blobs: &dyn Blobs,
    named: &BTreeSet<&str>,
    next_sequence: u64,
    report: &mut VerifyReport,
) -> Result<(), StoreError> {
    for key in blobs.list(key::TABLES)? {
        let newer = key::parse_file(&key).filter(|(sequence, _)| *sequence >= next_sequence);
        let is_committed = match newer {
            Some((sequence, _)) => blobs.get(&key::commit(sequence))?.is_some(),
            None => false,
        };
        if !named.contains(key.as_str()) && !is_committed {
            report.problem(format!("`{key}` is named by no commit"));
        }
    }
    Ok(())
}

/// Checks one file; the inner error is what is wrong with it.
fn check_file(
    blobs: &dyn Blobs,
    cut: &Cut,
    file: &FileRecord,
    sources: Option<&[SourceRange]>,
    newest: Newest,
    report: &mut VerifyReport,
) -> Result<Result<Sums, String>, StoreError> {
    let (dataset, staged) = match place(cut, file) {
        Ok(place) => place,
        Err(what) => return Ok(Err(what)),
    };
    let mut bytes = blobs.get(&file.path)?;
    if bytes.is_none() && newest == Newest::Yes {
        bytes = blobs.get(&staged)?;
        report.files_unpublished += u64::from(bytes.is_some());
    }
    let Some(bytes) = bytes else {
        return Ok(Err("it is missing".to_owned()));
    };
    if bytes.len() as u64 != file.bytes || sha256(&bytes) != file.sha256 {
        return Ok(Err("it has changed since its commit".to_owned()));
    }
    Ok(open(bytes).and_then(|opened| {
        check_footer(&opened, dataset, cut, file, sources)?;
        let table = report.tables.entry(file.dataset.clone()).or_default();
        table.files += 1;
        table.rows += file.rows;
        table.bytes += file.bytes;
        sums_of(&opened, dataset)
    }))
}

/// The dataset and the staged name of a file that is where it should be.
fn place(cut: &Cut, file: &FileRecord) -> Result<(Dataset, String), String> {
    let unknown = || format!("its dataset `{}` is unknown", file.dataset);
    let dataset = Dataset::from_name(&file.dataset).ok_or_else(unknown)?;
    let staged = staged_key(file).map_err(|error| error.to_string())?;
    let date = file.path.split('/').nth(2).and_then(|part| part.strip_prefix("date="));
    let expected = date
        .filter(|date| is_date(date))
        .zip(key::parse_file(&file.path))
        .map(|(date, (_, n))| key::table_file(dataset, date, cut.sequence, n));
    if expected.as_deref() == Some(&*file.path) {
        Ok((dataset, staged))
    } else {
        Err(format!("it is no place for a file of commit {}", cut.sequence))
    }
}

fn check_footer(
    opened: &Opened,
    dataset: Dataset,
    cut: &Cut,
    file: &FileRecord,
    sources: Option<&[SourceRange]>,
) -> Result<(), String> {
    if opened.schema.fields() != dataset.schema().fields() {
        return Err("its columns are not those of its dataset".to_owned());
    }
    let expected = Footer {
        schema_version: SCHEMA_VERSION,
        sequence: cut.sequence,
        // Where the ranges themselves are broken, that has been reported already.
        sources: sources.map_or_else(|| opened.footer.sources.clone(), <[_]>::to_vec),
        rows: file.rows,
    };
    if opened.footer == expected {
        Ok(())
    } else {
        Err(format!("its footer says {:?}, its commit {expected:?}", opened.footer))
    }
}

fn sums_of(opened: &Opened, dataset: Dataset) -> Result<Sums, String> {
    let rows = opened.footer.rows as i64;
    let mut sums = match dataset {
        Dataset::Rejected => Sums { rejected: rows, ..Sums::default() },
        Dataset::Alerts => Sums { alerts: rows, ..Sums::default() },
        _ => Sums::default(),
    };
    for batch in opened.batches()? {
        let batch = batch?;
        if dataset == Dataset::RingHealth {
            sums.records += whole_ring_sum(&batch, "records")?;
            sums.duplicates += whole_ring_sum(&batch, "duplicates")?;
        }
    }
    Ok(sums)
}

/// The sum of a column over the rows of whole rings (change NULL).
fn whole_ring_sum(batch: &RecordBatch, column: &str) -> Result<i64, String> {
    let found = |name: &str| {
        batch.column_by_name(name).ok_or_else(|| format!("its column {name} is missing"))
    };
    let (change, values) = (found("change")?, found(column)?.as_primitive::<Int64Type>());
    let rows = (0..batch.num_rows()).filter(|row| change.is_null(*row));
    Ok(rows.map(|row| values.value(row)).sum())
}

impl Sums {
    /// What the files of a cut have to hold.
    fn of_entries(cut: &Cut) -> Self {
        let mut sums = Self { alerts: cut.alert_count as i64, ..Self::default() };
        for range in &cut.merged {
            if range.stream.kind == StreamKind::Telemetry {
                sums.records += range.counts.applied as i64;
                sums.duplicates += range.counts.duplicates as i64;
            }
            sums.rejected += range.counts.rejected as i64;
        }
        sums
    }

    fn add(&mut self, other: Self) {
        self.records += other.records;
        self.duplicates += other.duplicates;
        self.rejected += other.rejected;
        self.alerts += other.alerts;
    }
}

impl std::fmt::Display for Sums {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { records, duplicates, rejected, alerts } = self;
        write!(
            formatter,
            "{records} records, {duplicates} duplicates, {rejected} rejected, {alerts} alerts"
        )
    }
}
