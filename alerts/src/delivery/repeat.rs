//! What is told again. A receiver that forgets: each standing alert once a minute, and each
//! resolved one for a quarter of an hour. People, where `repeat_interval` is set: what still fires
//! and nobody has acknowledged. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use schemas::{Alert, AlertState, Timestamp};

use super::Now;
use super::state::span;

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

/// An alert to tell of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Item {
    pub(crate) alert: Arc<Alert>,
    /// Since when its receiver was told that it is over.
    pub(crate) resolved_at: Option<Timestamp>,
    /// When it was to be told again; `None` the first time.
    pub(crate) repeated_at: Option<Timestamp>,
    /// Whether it is kept quiet: told only where it would end otherwise.
    pub(crate) muted: bool,
}

impl Item {
    /// An alert that is told for the first time.
    pub(crate) const fn new(alert: Arc<Alert>) -> Self {
        Self { alert, resolved_at: None, repeated_at: None, muted: false }
    }

    /// Whether a receiver that tells people by itself is to keep it from them. Of an end they hear,
    /// muted or not, if they heard of its beginning.
    pub(crate) fn is_silent(&self) -> bool {
        match self.alert.state {
            AlertState::Acknowledged => true,
            AlertState::Firing | AlertState::Pending => self.muted,
            AlertState::Resolved => false,
        }
    }

    /// Names the message for receivers that drop what they have had: a reminder is one of its
    /// own, and keeps its name however often it is tried.
    pub(crate) fn id(&self) -> String {
        format!("{}.{}", self.alert.id, self.version())
    }

    /// The part of the id that tells messages of one episode apart.
    pub(crate) fn version(&self) -> String {
        let transition = self.alert.transition;
        let seconds = |at: Timestamp| at.as_millis().div_euclid(1_000);
        self.repeated_at
            .map_or(transition.to_string(), |at| format!("{transition}.{}", seconds(at)))
    }
}

#[derive(Debug)]
struct Standing {
    item: Item,
    /// When it is to be told again, and until when at all; on the monotonic clock.
    due: Duration,
    until: Option<Duration>,
}

impl Standing {
    fn new(item: Item, now: Now, wait: Duration, until: Option<Duration>) -> Self {
        let mut standing = Self { item, due: now.elapsed, until };
        standing.put_off(now, wait);
        standing
    }

    /// It is told again after `wait`.
    fn put_off(&mut self, now: Now, wait: Duration) {
        self.due = now.elapsed + wait;
        self.item.repeated_at = Some(now.wall.saturating_add(span(wait)));
    }
}

/// Whether the book had room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Noted {
    Yes,
    Full,
}

/// Who is told again, and how often.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Listener {
    Forgetful,
    People { every: Duration },
}

/// The alerts that stand at one receiver, by fingerprint.
#[derive(Debug)]
pub(crate) struct Book {
    listener: Listener,
    standing: BTreeMap<String, Standing>,
}

impl Book {
    pub(crate) const fn new(listener: Listener) -> Self {
        Self { listener, standing: BTreeMap::new() }
    }

    pub(crate) fn is_for_people(&self) -> bool {
        self.listener != Listener::Forgetful
    }

    fn every(&self) -> Duration {
        match self.listener {
            Listener::Forgetful => REPEAT_EVERY,
            Listener::People { every } => every,
        }
    }

    /// An alert that has been muted: people hear no more of it. A receiver that forgets goes on
    /// hearing of it, and at once that it is to be silent about it.
    pub(crate) fn mute(&mut self, id: &str) {
        if self.is_for_people() {
            self.standing.retain(|_, standing| standing.item.alert.id != id);
            return;
        }
        let mut all = self.standing.values_mut();
        if let Some(standing) = all.find(|one| one.item.alert.id == id && !one.item.muted) {
            standing.item.muted = true;
            standing.due = Duration::ZERO;
        }
    }

    /// Whether an alert of the book is muted.
    pub(crate) fn is_muted(&self, alert: &Alert) -> bool {
        let standing = self.standing.get(&alert.fingerprint);
        standing.is_some_and(|standing| standing.item.muted && standing.item.alert.id == alert.id)
    }

    /// An alert that the receiver has just been told of.
    pub(crate) fn note(&mut self, alert: Arc<Alert>, now: Now) -> Noted {
        if self.is_for_people() && alert.state != AlertState::Firing {
            self.standing.remove(&alert.fingerprint);
            return Noted::Yes;
        }
        let over = alert.state == AlertState::Resolved;
        let resolved_at = over.then_some(now.wall);
        let until = over.then_some(now.elapsed + RESOLVED_KEPT);
        let item = Item { resolved_at, ..Item::new(alert) };
        self.put(Standing::new(item, now, self.every(), until))
    }

    /// An alert that stands since before the start: due at once at a receiver that may have
    /// forgotten it, unless something newer is known.
    pub(crate) fn seed(&mut self, alert: Arc<Alert>, now: Now) -> Noted {
        let acknowledged = alert.state != AlertState::Firing;
        if self.standing.contains_key(&alert.fingerprint) || self.is_for_people() && acknowledged {
            return Noted::Yes;
        }
        let wait = if self.is_for_people() { self.every() } else { Duration::ZERO };
        self.put(Standing::new(Item::new(alert), now, wait, None))
    }

    fn put(&mut self, standing: Standing) -> Noted {
        let fingerprint = standing.item.alert.fingerprint.clone();
        if self.standing.len() >= STANDING_MAX && !self.standing.contains_key(&fingerprint) {
            return Noted::Full;
        }
        self.standing.insert(fingerprint, standing);
        Noted::Yes
    }

    /// What is to be told now, in the order of fingerprints; empty if nothing is due.
    pub(crate) fn due(&mut self, elapsed: Duration) -> Vec<Item> {
        self.standing.retain(|_, standing| standing.until.is_none_or(|until| until > elapsed));
        if self.next_due().is_none_or(|due| due > elapsed) {
            return Vec::new();
        }
        let soon =
            self.standing.values().filter(|standing| standing.due <= elapsed + TOGETHER_WITHIN);
        soon.take(TOGETHER_MAX).map(|standing| standing.item.clone()).collect()
    }

    /// The receiver has been told of `items`, or has refused them: the next time is an interval
    /// away.
    pub(crate) fn told(&mut self, items: &[Item], now: Now) {
        let every = self.every();
        for item in items {
            if let Some(standing) = self.standing.get_mut(&item.alert.fingerprint) {
                standing.put_off(now, every);
            }
        }
    }

    pub(crate) fn next_due(&self) -> Option<Duration> {
        self.standing.values().map(|standing| standing.due).min()
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
                book.told(&items, at(second));
                times.push(second);
            }
        }
        times
    }

    #[test]
    fn a_firing_alert_is_told_each_minute_for_as_long_as_it_stands() {
        let mut book = Book::new(Listener::Forgetful);
        book.note(Arc::new(firing("kb1")), at(5));
        assert_eq!(told_at(&mut book, 300), [65, 125, 185, 245]);
    }

    #[test]
    fn a_resolved_alert_is_told_for_a_quarter_of_an_hour_with_the_same_end() {
        let mut book = Book::new(Listener::Forgetful);
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
        let mut book = Book::new(Listener::Forgetful);
        for number in 0..250 {
            book.note(Arc::new(firing(&format!("kb{number:03}"))), at(number / 50));
        }
        let mut sizes = Vec::new();
        loop {
            let items = book.due(REPEAT_EVERY);
            if items.is_empty() {
                break;
            }
            book.told(&items, at(60));
            sizes.push(items.len());
        }
        // Once only those of later seconds are left they may wait for their own time.
        assert_eq!(sizes, [100]);
        assert_eq!(book.due(Duration::from_secs(64)).len(), 100);
    }

    #[test]
    fn what_is_known_is_newer_than_what_is_seeded() {
        let mut book = Book::new(Listener::Forgetful);
        book.note(Arc::new(resolved("kb1")), at(0));
        book.seed(Arc::new(firing("kb1")), at(1));
        book.seed(Arc::new(firing("kb2")), at(1));
        let items = book.due(Duration::from_secs(1));
        assert_eq!(items.len(), 1);
        assert_eq!(items[0].alert.change, "kb2");
    }

    #[test]
    fn a_reminder_has_an_id_of_its_own_and_keeps_it_until_it_was_told() {
        let every = Duration::from_mins(10);
        let mut book = Book::new(Listener::People { every });
        let first = Item::new(Arc::new(firing("kb1")));
        assert_eq!(first.id(), "rw-kb1.1");
        book.note(Arc::clone(&first.alert), at(0));
        let id = |book: &mut Book, second| book.due(Duration::from_secs(second))[0].id();
        let reminder = id(&mut book, 600);
        assert_eq!(reminder, "rw-kb1.1.1784434200");
        assert_eq!(id(&mut book, 700), reminder, "it was not accepted at once");
        book.told(&[first], at(700));
        assert_eq!(id(&mut book, 1_300), "rw-kb1.1.1784434900");
        let mut restarted = Book::new(Listener::People { every });
        restarted.seed(Arc::new(firing("kb1")), at(701));
        assert_eq!(id(&mut restarted, 1_301), "rw-kb1.1.1784434901");
    }

    #[test]
    fn a_full_book_takes_no_more_but_renews_what_it_has() {
        let mut book = Book::new(Listener::Forgetful);
        for number in 0..STANDING_MAX {
            assert_eq!(book.note(Arc::new(firing(&number.to_string())), at(0)), Noted::Yes);
        }
        assert_eq!(book.note(Arc::new(firing("one more")), at(0)), Noted::Full);
        assert_eq!(book.note(Arc::new(resolved("7")), at(0)), Noted::Yes);
    }

    #[test]
    fn a_receiver_that_forgets_hears_at_once_of_what_is_muted_and_goes_on_hearing_of_it() {
        let mut book = Book::new(Listener::Forgetful);
        book.note(Arc::new(firing("kb1")), at(0));
        book.mute("rw-kb1");
        let items = book.due(Duration::from_secs(1));
        assert_eq!((items.len(), items[0].is_silent()), (1, true));
        book.told(&items, at(1));
        book.mute("rw-kb1");
        assert_eq!(told_at(&mut book, 130), [61, 121], "muted twice is no news");
        assert!(book.is_muted(&firing("kb1")));
        book.note(Arc::new(Alert { transition: 2, ..firing("kb1") }), at(130));
        assert!(!book.due(Duration::from_secs(190))[0].is_silent(), "told anew: muted no longer");
        book.mute("rw-kb1");
        book.note(Arc::new(resolved("kb1")), at(190));
        book.mute("rw-kb1");
        assert!(!book.due(Duration::from_secs(250))[0].is_silent(), "of the end they hear");
    }

    #[test]
    fn people_are_told_again_until_somebody_cares_or_it_is_muted() {
        let mut book = Book::new(Listener::People { every: Duration::from_mins(10) });
        book.note(Arc::new(firing("kb1")), at(0));
        book.note(Arc::new(firing("kb2")), at(0));
        assert_eq!(book.due(Duration::from_mins(10)).len(), 2, "together");
        book.mute("rw-kb2");
        assert_eq!(told_at(&mut book, 1_300), [600, 1_200]);
        let state = AlertState::Acknowledged;
        book.note(Arc::new(Alert { state, ..firing("kb1") }), at(1_300));
        assert_eq!(book.next_due(), None);
        book.seed(Arc::new(Alert { state, ..firing("kb3") }), at(1_300));
        book.seed(Arc::new(firing("kb4")), at(1_300));
        assert_eq!(book.next_due(), Some(Duration::from_secs(1_900)), "not at each restart");
    }
}
