//! When a tick is due, and whether anything came meanwhile.

use std::time::Duration;

/// Time between two ticks while records keep coming.
const TICK_EVERY: Duration = Duration::from_millis(50);

/// Paces the ticks of the reader.
#[derive(Debug)]
pub(super) struct Pace {
    ticked_at: Duration,
    events_since_tick: u64,
    took_events: bool,
}

impl Pace {
    pub(super) const fn new(start: Duration) -> Self {
        Self { ticked_at: start, events_since_tick: 0, took_events: false }
    }

    /// Takes note of so many records and ends.
    pub(super) const fn count(&mut self, events: u64) {
        self.events_since_tick = self.events_since_tick.saturating_add(events);
    }

    /// Whether a tick is due after a step.
    pub(super) fn is_due(&mut self, is_quiet: bool, monotonic: Duration) -> bool {
        if !is_quiet && monotonic.saturating_sub(self.ticked_at) < TICK_EVERY {
            return false;
        }
        self.took_events = self.events_since_tick > 0;
        self.events_since_tick = 0;
        self.ticked_at = monotonic;
        true
    }

    /// Whether anything came between the last two ticks.
    pub(super) const fn took_events(&self) -> bool {
        self.took_events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trickle_ticks_as_often_as_silence_does() {
        let mut pace = Pace::new(Duration::ZERO);
        // One event each 90 ms: never quiet, and far fewer than a busy topic has.
        let tick = |event: &u32| {
            pace.count(1);
            pace.is_due(false, Duration::from_millis(90) * *event)
        };
        assert_eq!((1..=160_u32).filter(tick).count(), 160);
        assert!(!pace.is_due(false, Duration::from_millis(90 * 160 + 10)));
        assert!(pace.is_due(true, Duration::from_secs(100)));
        assert!(!pace.took_events());
    }
}
