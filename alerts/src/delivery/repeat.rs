//! What a receiver that forgets must be told again: each standing alert once a minute, and each
//! resolved one for a quarter of an hour. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use schemas::{Alert, AlertState, Timestamp};

use super::Now;

/// 60 s: four repeats fit into the 4 min after which Alertmanager lets go of an alert.
const REPEAT_EVERY: Duration = Duration::from_mins(1);

/// 15 min: what Prometheus uses; a receiver that was down for less still hears of the end.
const RESOLVED_KEPT: Duration = Duration::from_mins(15);

/// Those due within 10 s go along, so that repeats gather into few requests.
const TOGETHER_WITHIN: Duration = Duration::from_secs(10);

/// 100 alerts are about 300 KiB of JSON in one request.
const TOGETHER_MAX: usize = 100;

/// 10,000 alerts at 2 KiB are 20 MB; more standing at once is a fleet nobody pages about singly.
const STANDING_MAX: usize = 10_000;

/// An alert to tell of, and since when its receiver was told that it is over.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Item {
    pub(crate) alert: Arc<Alert>,
    pub(crate) resolved_at: Option<Timestamp>,
}

#[derive(Debug)]
struct Standing {
    item: Item,
    /// When it is to be told again, and until when at all; on the monotonic clock.
    due: Duration,
    until: Option<Duration>,
}

/// Whether the book had room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Noted {
    Yes,
    Full,
}

/// The alerts that stand at one receiver, by fingerprint.
#[derive(Debug, Default)]
pub(crate) struct Book(BTreeMap<String, Standing>);

impl Book {
    /// An alert that the receiver has just been told of.
    pub(crate) fn note(&mut self, alert: Arc<Alert>, now: Now) -> Noted {
        let over = alert.state == AlertState::Resolved;
        self.put(Standing {
            item: Item { alert, resolved_at: over.then_some(now.wall) },
            due: now.elapsed + REPEAT_EVERY,
            until: over.then_some(now.elapsed + RESOLVED_KEPT),
        })
    }

    /// An alert that stands since before the start: due at once, unless something newer is known.
    pub(crate) fn seed(&mut self, alert: Arc<Alert>, now: Now) -> Noted {
        if self.0.contains_key(&alert.fingerprint) {
            return Noted::Yes;
        }
        let item = Item { alert, resolved_at: None };
        self.put(Standing { item, due: now.elapsed, until: None })
    }

    fn put(&mut self, standing: Standing) -> Noted {
        let fingerprint = standing.item.alert.fingerprint.clone();
        if self.0.len() >= STANDING_MAX && !self.0.contains_key(&fingerprint) {
            return Noted::Full;
        }
        self.0.insert(fingerprint, standing);
        Noted::Yes
    }

    /// What is to be told now, in the order of fingerprints; empty if nothing is due.
    pub(crate) fn due(&mut self, elapsed: Duration) -> Vec<Item> {
        self.0.retain(|_, standing| standing.until.is_none_or(|until| until > elapsed));
        if self.next_due().is_none_or(|due| due > elapsed) {
            return Vec::new();
        }
        let soon = self.0.values().filter(|standing| standing.due <= elapsed + TOGETHER_WITHIN);
        soon.take(TOGETHER_MAX).map(|standing| standing.item.clone()).collect()
    }

    /// The receiver has been told of `items`, or has refused them: the next time is a minute away.
    pub(crate) fn told(&mut self, items: &[Item], elapsed: Duration) {
        for item in items {
            if let Some(standing) = self.0.get_mut(&item.alert.fingerprint) {
                standing.due = elapsed + REPEAT_EVERY;
            }
        }
    }

    pub(crate) fn next_due(&self) -> Option<Duration> {
        self.0.values().map(|standing| standing.due).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::examples::{firing, resolved};

    fn at(seconds: u64) -> Now {
        let wall = Timestamp(1_784_433_600_000_000 + seconds as i64 * 1_000_000);
        Now { wall, elapsed: Duration::from_secs(seconds) }
    }

    /// The seconds at which `book` tells of something, until it holds nothing or `end`.
    fn told_at(book: &mut Book, end: u64) -> Vec<u64> {
        let mut times = Vec::new();
        for second in 0..end {
            let items = book.due(Duration::from_secs(second));
            if !items.is_empty() {
                book.told(&items, Duration::from_secs(second));
                times.push(second);
            }
        }
        times
    }

    #[test]
    fn a_firing_alert_is_told_each_minute_for_as_long_as_it_stands() {
        let mut book = Book::default();
        book.note(Arc::new(firing("kb1")), at(5));
        assert_eq!(told_at(&mut book, 300), [65, 125, 185, 245]);
    }

    #[test]
    fn a_resolved_alert_is_told_for_a_quarter_of_an_hour_with_the_same_end() {
        let mut book = Book::default();
        book.note(Arc::new(firing("kb1")), at(0));
        book.note(Arc::new(resolved("kb1")), at(30));
        let first = book.due(Duration::from_secs(90));
        assert_eq!(first[0].resolved_at, Some(at(30).wall));
        let times = told_at(&mut book, 3_600);
        assert_eq!((times[0], times.len(), times[times.len() - 1]), (90, 14, 870));
        assert_eq!(book.next_due(), None);
    }

    #[test]
    fn repeats_gather_and_a_request_has_a_bound() {
        let mut book = Book::default();
        for number in 0..250 {
            book.note(Arc::new(firing(&format!("kb{number:03}"))), at(number / 50));
        }
        let mut sizes = Vec::new();
        loop {
            let items = book.due(REPEAT_EVERY);
            if items.is_empty() {
                break;
            }
            book.told(&items, REPEAT_EVERY);
            sizes.push(items.len());
        }
        // Once only those of later seconds are left they may wait for their own time.
        assert_eq!(sizes, [100]);
        assert_eq!(book.due(Duration::from_secs(64)).len(), 100);
    }

    #[test]
    fn what_is_known_is_newer_than_what_is_seeded() {
        let mut book = Book::default();
        book.note(Arc::new(resolved("kb1")), at(0));
        book.seed(Arc::new(firing("kb1")), at(1));
        book.seed(Arc::new(firing("kb2")), at(1));
        let items = book.due(Duration::from_secs(1));
        assert_eq!(items.len(), 1);
        assert_eq!(items[0].alert.change, "kb2");
    }

    #[test]
    fn a_full_book_takes_no_more_but_renews_what_it_has() {
        let mut book = Book::default();
        for number in 0..STANDING_MAX {
            assert_eq!(book.note(Arc::new(firing(&number.to_string())), at(0)), Noted::Yes);
        }
        assert_eq!(book.note(Arc::new(firing("one more")), at(0)), Noted::Full);
        assert_eq!(book.note(Arc::new(resolved("7")), at(0)), Noted::Yes);
    }
}
