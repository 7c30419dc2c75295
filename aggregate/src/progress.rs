//! How far a partition's event time has come: its watermark, and the windows it has closed.

use schemas::entry::EntryHeader;
use schemas::{Span, Timestamp};

use crate::state::{Reader, StateError, Writer};

/// Watermark and closed windows of one partition (architecture 3).
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    window_length: Span,
    lateness: Span,
    watermark: Option<Timestamp>,
    closed_until: Timestamp,
    ended: bool,
}

impl Progress {
    pub(crate) const fn new(window_length: Span, lateness: Span) -> Self {
        Self { window_length, lateness, watermark: None, closed_until: Timestamp(0), ended: false }
    }

    /// As an entry left it.
    pub(crate) const fn after(last: &EntryHeader, window_length: Span, lateness: Span) -> Self {
        let EntryHeader { watermark, closed_until, ended, .. } = last;
        let (watermark, closed_until, ended) = (*watermark, *closed_until, *ended);
        Self { window_length, lateness, watermark, closed_until, ended }
    }

    pub(crate) fn save(&self, out: &mut Writer) {
        out.put(&(self.watermark, self.closed_until, self.ended));
    }

    pub(crate) fn load(&mut self, from: &mut Reader<'_>) -> Result<(), StateError> {
        (self.watermark, self.closed_until, self.ended) = from.take()?;
        Ok(())
    }

    /// A valid record at min(event time, arrival): whether the watermark moved.
    pub(crate) fn record(&mut self, at: Timestamp) -> Moved {
        self.ended = false;
        self.raise(at - self.lateness)
    }

    /// A record without a time of its own: only takes an end back.
    pub(crate) const fn resume(&mut self) {
        self.ended = false;
    }

    /// Raises the watermark; windows that it passes are closed.
    pub(crate) fn raise(&mut self, watermark: Timestamp) -> Moved {
        if self.watermark.is_some_and(|now| now >= watermark) {
            return Moved::No;
        }
        self.watermark = Some(watermark);
        if watermark - self.closed_until >= self.window_length {
            self.closed_until = self.closed_until.max(watermark.window_start(self.window_length));
            return Moved::Past;
        }
        Moved::Within
    }

    /// The input has ended: the window that holds `newest` and all before it are closed.
    pub(crate) fn end(&mut self, newest: Option<Timestamp>) {
        if let Some(newest) = newest {
            let end = newest.window_start(self.window_length) + self.window_length;
            self.closed_until = self.closed_until.max(end);
        }
        self.ended = true;
    }

    pub(crate) fn would_close(&self, at: Timestamp) -> bool {
        self.watermark.is_none() || at.window_start(self.window_length) > self.closed_until
    }

    pub(crate) const fn lateness(&self) -> Span {
        self.lateness
    }

    pub(crate) const fn watermark(&self) -> Option<Timestamp> {
        self.watermark
    }

    pub(crate) const fn closed_until(&self) -> Timestamp {
        self.closed_until
    }

    pub(crate) const fn ended(&self) -> bool {
        self.ended
    }
}

/// What became of the watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    No,
    /// Higher, in the same window.
    Within,
    /// Higher, and past the end of a window.
    Past,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_watermark_opens_its_own_window_and_later_ones_close() {
        let mut progress = Progress::new(Span::seconds(60), Span::seconds(10));
        let second = |second: i64| Timestamp(second * 1_000_000);
        for (at, closed_s) in [(1_000, 960), (1_029, 960), (1_030, 1_020), (900, 1_020)] {
            progress.record(second(at));
            assert_eq!(progress.closed_until(), second(closed_s), "{at}");
        }
        assert_eq!(progress.watermark(), Some(second(1_020)));
        assert!(!progress.would_close(second(1_079)) && progress.would_close(second(1_080)));
    }

    #[test]
    fn the_end_closes_through_the_newest_event_and_moves_no_watermark() {
        let mut progress = Progress::new(Span::seconds(60), Span::seconds(10));
        progress.record(Timestamp(1_000_000_000));
        let before = progress.watermark();
        progress.end(Some(Timestamp(1_100_000_000)));
        assert_eq!(progress.closed_until(), Timestamp(1_140_000_000));
        assert_eq!((progress.watermark(), progress.ended()), (before, true));
        progress.record(Timestamp(1_100_000_000));
        assert!(!progress.ended());
    }
}
