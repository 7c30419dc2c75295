//! The truth by brute force: what every table must sum up to, from the records alone.

use std::collections::{BTreeMap, BTreeSet};

use schemas::{Dataset, Timestamp};
use store::{Blobs, StoreError, read_rows};

use super::world::{Kind, Sent};

/// Sums by ring and start of the window of the event time.
pub(super) type Sums = BTreeMap<(String, Timestamp), Counts>;

/// What the model knows of one ring in one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    records: i64,
    duplicates: i64,
    heartbeats: i64,
    started: i64,
    succeeded: i64,
}

impl Counts {
    pub(super) const fn is_within(&self, truth: &Self) -> bool {
        self.records <= truth.records
            && self.duplicates <= truth.duplicates
            && self.heartbeats <= truth.heartbeats
            && self.started <= truth.started
            && self.succeeded <= truth.succeeded
    }

    fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.duplicates += other.duplicates;
        self.heartbeats += other.heartbeats;
        self.started += other.started;
        self.succeeded += other.succeeded;
    }
}

/// The sums of everything that was sent: a (device, `seq`) counts once, the rest is duplicate.
pub(super) fn truth(sent: &[Sent]) -> (Sums, i64) {
    let (mut sums, mut rejected, mut seen) = (Sums::new(), 0, BTreeSet::new());
    for record in sent {
        let Kind::Valid { ring, device, seq, update } = &record.kind else {
            rejected += 1;
            continue;
        };
        let window = Timestamp(record.time.0.div_euclid(60_000_000) * 60_000_000);
        let key = (ring.clone(), window);
        let counts = sums.entry(key).or_default();
        if !seen.insert((device.clone(), *seq)) {
            counts.duplicates += 1;
            continue;
        }
        counts.records += 1;
        match update {
            None => counts.heartbeats += 1,
            Some("installing") => counts.started += 1,
            Some(_) => counts.succeeded += 1,
        }
    }
    (sums, rejected)
}

/// What one table file says, or all of a dataset together.
pub(super) fn ring_health(blobs: &dyn Blobs) -> Result<Sums, StoreError> {
    let columns = [
        "ring",
        "window_start",
        "change",
        "records",
        "duplicates",
        "heartbeats",
        "installs_started",
        "installs_succeeded",
    ];
    let mut sums = Sums::new();
    read_rows(blobs, Dataset::RingHealth, &columns, &mut |row| {
        if row.text(2).is_some() {
            return;
        }
        let ring = row.text(0).unwrap_or_default().to_owned();
        let counts = sums.entry((ring, Timestamp(row.count(1)))).or_default();
        counts.add(&Counts {
            records: row.count(3),
            duplicates: row.count(4),
            heartbeats: row.count(5),
            started: row.count(6),
            succeeded: row.count(7),
        });
    })?;
    sums.retain(|_, counts| *counts != Counts::default());
    Ok(sums)
}

/// Rows of the dataset `rejected`.
pub(super) fn rejected(blobs: &dyn Blobs) -> Result<i64, StoreError> {
    let mut rows = 0;
    read_rows(blobs, Dataset::Rejected, &["offset"], &mut |_| rows += 1)?;
    Ok(rows)
}

/// Adds what one more file says.
pub(super) fn add(sums: &mut Sums, more: Sums) {
    for (key, counts) in more {
        sums.entry(key).or_default().add(&counts);
    }
}
