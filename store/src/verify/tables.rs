//! The table files: each whole and where its commit says, and its sums those of the entries.

use std::collections::{BTreeMap, BTreeSet};

use schemas::commit::DroppedDay;
use schemas::{Dataset, FileRecord, SCHEMA_VERSION};

use super::chain::{ChainRead, Cut};
use super::rows::{Contents, Sums};
use super::{Progress, VerifyReport};
use crate::blobs::Blobs;
use crate::error::StoreError;
use crate::hash::sha256;
use crate::key;
use crate::retention::is_dropped;
use crate::tables::{Footer, Opened, SourceRange, open, staged_key};
use crate::world::TopicNames;

/// By day, the table files of it that stand, with what they hold: what settled files repeat.
pub(super) type Days = BTreeMap<DroppedDay, Vec<DayFile>>;

/// One table file of a day.
#[derive(Debug)]
pub(super) struct DayFile {
    pub(super) sequence: u64,
    /// `None` where it could not be read, which has been reported.
    pub(super) contents: Option<Contents>,
}

pub(super) fn check(
    blobs: &dyn Blobs,
    chain: &ChainRead,
    topics: &TopicNames,
    report: &mut VerifyReport,
    progress: &mut dyn FnMut(Progress),
) -> Result<Days, StoreError> {
    let total = chain.cuts.iter().map(|cut| cut.files.len()).sum::<usize>() as u64;
    let settled = chain.settled_days();
    let (mut done, mut days) = (0, Days::new());
    for (at, cut) in chain.cuts.iter().enumerate() {
        let newest = if at + 1 == chain.cuts.len() { Newest::Yes } else { Newest::No };
        let sources = SourceRange::joined(&cut.merged, topics).ok();
        let (mut sums, mut all_read) = (Sums::default(), true);
        for file in &cut.files {
            let day = day_of(file);
            let is_settled = day.as_ref().is_some_and(|day| settled.contains(day));
            let expected = Expected::of_cut(cut, sources.as_deref(), newest);
            let found = if is_dropped(&chain.drops, &file.path) {
                Found::Dropped
            } else {
                check_file(blobs, chain, &expected, file, is_settled.into(), report)?
            };
            let contents = match found {
                Found::Sound(contents) => {
                    report.tables.entry(file.dataset.clone()).or_default().add(file);
                    sums.add(&contents.sums);
                    Some(contents)
                }
                Found::Dropped => None,
                Found::Wrong(what) => {
                    report.problem(format!("`{}`: {what}", file.path));
                    None
                }
            };
            all_read &= contents.is_some();
            if let Some(day) = day.filter(|_| !is_dropped(&chain.drops, &file.path)) {
                days.entry(day).or_default().push(DayFile { sequence: cut.sequence, contents });
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
    Ok(days)
}

/// The dataset and the day that a file says it belongs to.
pub(super) fn day_of(file: &FileRecord) -> Option<DroppedDay> {
    let (dataset, date) = key::parse_day(&file.path)?;
    Some(DroppedDay { dataset: dataset.name().to_owned(), date: date.to_owned() })
}

/// Whether a file belongs to the newest commit with files, the only one that may lag.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Newest {
    Yes,
    No,
}

/// What a file has to be.
pub(super) struct Expected<'a> {
    pub(super) folder: &'static str,
    pub(super) sequence: u64,
    pub(super) newest: Newest,
    /// `None` where the ranges themselves are broken, which has been reported, or may have holes.
    pub(super) sources: Option<&'a [SourceRange]>,
    pub(super) covers: Option<(u64, u64)>,
}

impl<'a> Expected<'a> {
    fn of_cut(cut: &Cut, sources: Option<&'a [SourceRange]>, newest: Newest) -> Self {
        let sequence = cut.sequence;
        Self { folder: key::TABLES, sequence, newest, sources, covers: None }
    }
}

/// How much of a file's rows is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// What the commit's counts speak of.
    Sums,
    /// Every value.
    Rows,
}

impl From<bool> for Depth {
    fn from(is_settled: bool) -> Self {
        if is_settled { Self::Rows } else { Self::Sums }
    }
}

/// What became of a file.
pub(super) enum Found {
    Sound(Contents),
    /// Gone with its day.
    Dropped,
    Wrong(String),
}

/// Files that no commit names, unless the chain has grown since it was read.
pub(super) fn check_foreign(
    blobs: &dyn Blobs,
    chain: &ChainRead,
    report: &mut VerifyReport,
) -> Result<(), StoreError> {
    let mut named = BTreeSet::new();
    let cuts = chain.cuts.iter().flat_map(|cut| &cut.files);
    for file in cuts.chain(chain.settled.iter().flat_map(|settled| &settled.files)) {
        if !named.insert(file.path.as_str()) {
            report.problem(format!("`{}` is named twice", file.path));
        }
    }
    for folder in [key::TABLES, key::SETTLED] {
        for key in blobs.list(folder)? {
            let sequence = key::parse_file(&key).map(|(sequence, _)| sequence);
            let newer = sequence.filter(|sequence| *sequence >= chain.next_sequence);
            let is_committed = match newer {
                Some(sequence) => blobs.get(&key::commit(sequence))?.is_some(),
                None => false,
            };
            if !named.contains(key.as_str()) && !is_committed {
                report.problem(format!("`{key}` is named by no commit"));
            }
        }
    }
    Ok(())
}

/// Checks one file by itself.
pub(super) fn check_file(
    blobs: &dyn Blobs,
    chain: &ChainRead,
    expected: &Expected<'_>,
    file: &FileRecord,
    depth: Depth,
    report: &mut VerifyReport,
) -> Result<Found, StoreError> {
    let (dataset, staged) = match place(expected, file) {
        Ok(place) => place,
        Err(what) => return Ok(Found::Wrong(what)),
    };
    let mut bytes = blobs.get(&file.path)?;
    if bytes.is_none() && expected.newest == Newest::Yes {
        bytes = blobs.get(&staged)?;
        report.files_unpublished += u64::from(bytes.is_some());
    }
    let Some(bytes) = bytes else {
        let is_dropped = chain.dropped_since(blobs, &file.path)?;
        let missing = || Found::Wrong("it is missing".to_owned());
        return Ok(if is_dropped { Found::Dropped } else { missing() });
    };
    if bytes.len() as u64 != file.bytes || sha256(&bytes) != file.sha256 {
        return Ok(Found::Wrong("it has changed since its commit".to_owned()));
    }
    let contents = open(bytes).and_then(|opened| {
        check_footer(&opened, dataset, expected, file)?;
        Contents::of(&opened, dataset, depth)
    });
    Ok(contents.map_or_else(Found::Wrong, Found::Sound))
}

/// The dataset and the staged name of a file that is where it should be.
fn place(expected: &Expected<'_>, file: &FileRecord) -> Result<(Dataset, String), String> {
    let unknown = || format!("its dataset `{}` is unknown", file.dataset);
    let dataset = Dataset::from_name(&file.dataset).ok_or_else(unknown)?;
    let staged = staged_key(file).map_err(|error| error.to_string())?;
    let sequence = expected.sequence;
    let right =
        key::parse_day(&file.path).zip(key::parse_file(&file.path)).map(|((_, date), (_, n))| {
            match expected.folder {
                key::SETTLED => key::settled_file(dataset, date, sequence, n),
                _ => key::table_file(dataset, date, sequence, n),
            }
        });
    if right.as_deref() == Some(&*file.path) {
        Ok((dataset, staged))
    } else {
        Err(format!("it is no place for a file of commit {sequence}"))
    }
}

fn check_footer(
    opened: &Opened,
    dataset: Dataset,
    expected: &Expected<'_>,
    file: &FileRecord,
) -> Result<(), String> {
    if opened.schema.fields() != dataset.schema().fields() {
        return Err("its columns are not those of its dataset".to_owned());
    }
    let right = Footer {
        schema_version: SCHEMA_VERSION,
        sequence: expected.sequence,
        sources: expected.sources.map_or_else(|| opened.footer.sources.clone(), <[_]>::to_vec),
        covers: expected.covers.map(|range| vec![range]),
        rows: file.rows,
    };
    if opened.footer == right {
        Ok(())
    } else {
        let fields = opened.footer.differing(&right).join(", ");
        Err(format!("its footer does not say what its commit says ({fields})"))
    }
}
