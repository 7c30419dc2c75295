//! The files of finished days: each whole, and together the rows of the table files they cover.

use std::collections::BTreeMap;

use schemas::FileRecord;
use schemas::commit::DroppedDay;

use super::VerifyReport;
use super::chain::{ChainRead, Settled};
use super::rows::Contents;
use super::tables::{Days, Depth, Expected, Found, Newest, check_file, day_of};
use crate::blobs::Blobs;
use crate::error::StoreError;
use crate::key;
use crate::retention::is_dropped;

pub(super) fn check(
    blobs: &dyn Blobs,
    chain: &ChainRead,
    days: &Days,
    report: &mut VerifyReport,
) -> Result<(), StoreError> {
    // By day, up to where the settled files before cover its table files.
    let mut settled_until: BTreeMap<DroppedDay, u64> = BTreeMap::new();
    for (at, settled) in chain.settled.iter().enumerate() {
        let newest = if at + 1 == chain.settled.len() { Newest::Yes } else { Newest::No };
        for (day, files) in by_day(settled, report) {
            let before = settled_until.insert(day.clone(), settled.sequence);
            // A drop in between took the settled files of before with it.
            let dropped_at = chain.drops.get(&day).copied();
            let from = before.filter(|before| dropped_at.is_none_or(|drop| drop < *before));
            let covers = (from.unwrap_or(0), settled.sequence - 1);
            let expected = Expected {
                folder: key::SETTLED,
                sequence: settled.sequence,
                newest,
                sources: None,
                covers: Some(covers),
            };
            check_day(blobs, chain, &expected, (&day, &files), days, report)?;
        }
    }
    Ok(())
}

/// The settled files of one commit by the day that their paths say.
fn by_day<'a>(
    settled: &'a Settled,
    report: &mut VerifyReport,
) -> BTreeMap<DroppedDay, Vec<&'a FileRecord>> {
    let mut days: BTreeMap<DroppedDay, Vec<&FileRecord>> = BTreeMap::new();
    for file in &settled.files {
        match day_of(file).filter(|_| settled.sequence > 0) {
            Some(day) => days.entry(day).or_default().push(file),
            None => report.problem(format!("`{}` is no place for a settled file", file.path)),
        }
    }
    days
}

fn check_day(
    blobs: &dyn Blobs,
    chain: &ChainRead,
    expected: &Expected<'_>,
    (day, files): (&DroppedDay, &[&FileRecord]),
    days: &Days,
    report: &mut VerifyReport,
) -> Result<(), StoreError> {
    let (mut all_read, mut held) = (true, Contents::default());
    for file in files {
        let found = if is_dropped(&chain.drops, &file.path) {
            Found::Dropped
        } else {
            check_file(blobs, chain, expected, file, Depth::Rows, report)?
        };
        match found {
            Found::Sound(contents) => {
                report.settled.entry(file.dataset.clone()).or_default().add(file);
                held.add(&contents);
                continue;
            }
            Found::Dropped => {}
            Found::Wrong(what) => report.problem(format!("`{}`: {what}", file.path)),
        }
        all_read = false;
    }
    let mut covered = Contents::default();
    let (first, last) = expected.covers.unwrap_or_default();
    let in_range = |sequence: u64| (first..=last).contains(&sequence);
    let files = days.get(day).into_iter().flatten().filter(|file| in_range(file.sequence));
    for file in files {
        match &file.contents {
            Some(contents) => covered.add(contents),
            None => all_read = false,
        }
    }
    if all_read && held != covered {
        let DroppedDay { dataset, date } = day;
        report.problem(format!(
            "the settled files of {dataset} of {date} in commit {} hold {} rows with {}, the table \
             files that they cover {} rows with {}, or other values",
            expected.sequence, held.rows, held.sums, covered.rows, covered.sums
        ));
    }
    Ok(())
}
