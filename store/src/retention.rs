//! Retention: days older than the configuration keeps, dropped by a commit and then deleted.
//!
//! ```text
//! days_before ─► Commit.dropped, durable ─► delete_days: tables/…/date=D, then settled/…/date=D
//! ```
//! A drop covers the files of sequences up to its own; rows that arrive later for the same day are
//! new files, and the next drop's. While a day is being deleted a reader's glob over that day may
//! miss rows; it never sees one twice.

use std::collections::{BTreeMap, BTreeSet};

use metrics::counter;
use schemas::commit::DroppedDay;
use schemas::{Commit, Dataset};

use crate::blobs::Blobs;
use crate::error::StoreError;
use crate::{key, metrics as names};

/// The day of rows without a time: how old they are is not known, so they are kept.
const UNDATED: &str = "1970-01-01";

/// Days that one commit drops. 1,000: half a year of every dataset in one step; the rest follows
/// with the next commit.
pub const DROPPED_DAYS_MAX: usize = 1_000;

/// What a deletion removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deleted {
    pub objects: u64,
    pub bytes: u64,
}

impl Deleted {
    /// Deletes an object, and adds it if it was there.
    pub(crate) fn delete(&mut self, blobs: &dyn Blobs, key: &str) -> Result<(), StoreError> {
        if let Some(bytes) = blobs.size(key)? {
            blobs.delete(key)?;
            self.objects += 1;
            self.bytes += bytes;
        }
        Ok(())
    }
}

/// The days before `date` (`YYYY-MM-DD`) that have files, oldest first, at most
/// [`DROPPED_DAYS_MAX`].
pub fn days_before(blobs: &dyn Blobs, date: &str) -> Result<Vec<DroppedDay>, StoreError> {
    assert!(key::is_date(date), "`{date}` is no date");
    let mut days = BTreeSet::new();
    for folder in [key::TABLES, key::SETTLED] {
        for file in blobs.list(folder)? {
            if let Some((dataset, day)) = key::parse_day(&file)
                && day < date
                && day != UNDATED
            {
                days.insert((day.to_owned(), dataset.name()));
            }
        }
    }
    let day = |(date, dataset): (String, &str)| DroppedDay { dataset: dataset.to_owned(), date };
    Ok(days.into_iter().map(day).take(DROPPED_DAYS_MAX).collect())
}

/// Deletes the files of days that the commit `sequence` dropped; doing it again is fine.
pub fn delete_days(
    blobs: &dyn Blobs,
    dropped: &[DroppedDay],
    sequence: u64,
) -> Result<Deleted, StoreError> {
    let mut deleted = Deleted::default();
    for DroppedDay { dataset, date } in dropped {
        let is_known = Dataset::from_name(dataset).is_some() && key::is_date(date);
        if !is_known {
            let what = format!("it drops the day {date:?} of {dataset:?}");
            return Err(StoreError::damaged(&key::commit(sequence), what));
        }
        // The tables first: as long as a settled file stands, it stands for all of them.
        for folder in [key::TABLES, key::SETTLED] {
            for file in blobs.list(&format!("{folder}/{dataset}/date={date}"))? {
                if key::parse_file(&file).is_some_and(|(of_file, _)| of_file <= sequence) {
                    deleted.delete(blobs, &file)?;
                }
            }
        }
    }
    counter!(names::DROPPED_FILES).increment(deleted.objects);
    counter!(names::DROPPED_BYTES).increment(deleted.bytes);
    Ok(deleted)
}

/// By day, the newest commit that drops it.
pub(crate) type Drops = BTreeMap<DroppedDay, u64>;

pub(crate) fn newest_drops(commits: &[Commit]) -> Drops {
    let drops = |commit: &Commit| {
        let sequence = commit.sequence;
        commit.dropped.clone().into_iter().map(move |day| (day, sequence))
    };
    commits.iter().flat_map(drops).collect()
}

/// Whether the file of that path belongs to a day dropped by its own or a later commit.
pub(crate) fn is_dropped(drops: &Drops, path: &str) -> bool {
    let day = |(dataset, date): (Dataset, &str)| DroppedDay {
        dataset: dataset.name().to_owned(),
        date: date.to_owned(),
    };
    let dropped_by = key::parse_day(path).and_then(|found| drops.get(&day(found)));
    dropped_by.zip(key::parse_file(path)).is_some_and(|(drop, (sequence, _))| sequence <= *drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blobs::MemoryStore;

    const FILES: [&str; 6] = [
        "settled/rejected/date=2026-07-18/00000000000000000004-0.parquet",
        "tables/alerts/date=2026-07-18/00000000000000000001-0.parquet",
        "tables/rejected/date=1970-01-01/00000000000000000001-0.parquet",
        "tables/rejected/date=2026-07-18/00000000000000000001-1.parquet",
        "tables/rejected/date=2026-07-18/00000000000000000006-0.parquet",
        "tables/rejected/date=2026-07-19/00000000000000000002-0.parquet",
    ];

    fn folder() -> MemoryStore {
        let blobs = MemoryStore::new();
        for file in FILES {
            blobs.replace(file, b"x").unwrap();
        }
        blobs
    }

    fn day(dataset: &str, date: &str) -> DroppedDay {
        DroppedDay { dataset: dataset.to_owned(), date: date.to_owned() }
    }

    #[test]
    fn the_days_before_a_date_are_those_with_files_but_for_undated_rows() {
        let days = |date| days_before(&folder(), date).unwrap();
        let eighteenth = [day("alerts", "2026-07-18"), day("rejected", "2026-07-18")];
        assert_eq!(days("2026-07-18"), []);
        assert_eq!(days("2026-07-19"), eighteenth);
        assert_eq!(days("2026-07-20").len(), 3);
    }

    #[test]
    fn a_drop_deletes_what_was_committed_up_to_it_and_nothing_later() {
        let blobs = folder();
        let dropped = [day("rejected", "2026-07-18")];
        let deleted = delete_days(&blobs, &dropped, 5).unwrap();
        assert_eq!(deleted, Deleted { objects: 2, bytes: 2 });
        assert_eq!(delete_days(&blobs, &dropped, 5).unwrap(), Deleted::default());
        let mut left = blobs.list("tables").unwrap();
        left.extend(blobs.list("settled").unwrap());
        assert_eq!(left, [FILES[1], FILES[2], FILES[4], FILES[5]]);
        let drops =
            newest_drops(&[Commit { sequence: 5, dropped: dropped.into(), ..<_>::default() }]);
        let is_gone = FILES.map(|file| is_dropped(&drops, file));
        assert_eq!(is_gone, [true, false, false, true, false, false]);
    }

    #[test]
    fn a_day_that_is_none_is_never_made_a_path() {
        let blobs = folder();
        for day in [day("..", "2026-07-18"), day("rejected", "../../..")] {
            let refused = delete_days(&blobs, &[day], 5);
            assert!(matches!(refused, Err(StoreError::Damaged { .. })), "{refused:?}");
        }
    }
}
