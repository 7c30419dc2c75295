//! When it is time to look at the clock, and what was heard meanwhile.

use std::time::Duration;

use schemas::Timestamp;

use crate::worker::Heard;

/// Events between two looks at the clock: a look costs 25 ns, a record about 500.
const EVENTS_PER_LOOK: u32 = 16;

/// Time between two ticks while records keep coming.
const TICK_EVERY: Duration = Duration::from_millis(50);

/// Paces the ticks of the reader.
#[derive(Debug)]
pub(super) struct Pace {
    looked_at: Duration,
    ticked_at: Duration,
    events: u32,
    events_since_tick: u32,
    took_events: bool,
}

impl Pace {
    pub(super) const fn new(start: Duration) -> Self {
        Self {
            looked_at: start,
            ticked_at: start,
            events: 0,
            events_since_tick: 0,
            took_events: false,
        }
    }

    /// Takes note of one step; whether a tick is due.
    pub(super) fn is_due(&mut self, is_quiet: bool, monotonic: impl FnOnce() -> Duration) -> bool {
        self.events += 1;
        self.events_since_tick = self.events_since_tick.saturating_add(u32::from(!is_quiet));
        if !is_quiet && self.events < EVENTS_PER_LOOK {
            return false;
        }
        self.events = 0;
        self.looked_at = monotonic();
        if !is_quiet && self.looked_at.saturating_sub(self.ticked_at) < TICK_EVERY {
            return false;
        }
        self.took_events = self.events_since_tick > 0;
        self.events_since_tick = 0;
        self.ticked_at = self.looked_at;
        true
    }

    /// Whether anything came between the last two ticks.
    pub(super) const fn took_events(&self) -> bool {
        self.took_events
    }

    /// The newest arrival, with the time of the last look: a few milliseconds early at most.
    pub(super) fn hear(&self, heard: Option<Heard>, arrival: Option<Timestamp>) -> Option<Heard> {
        match (heard, arrival) {
            (Some(heard), Some(arrival)) if heard.arrival >= arrival => Some(heard),
            (_, Some(arrival)) => Some(Heard { arrival, at: self.looked_at }),
            (heard, None) => heard,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trickle_ticks_as_often_as_silence_does() {
        let mut pace = Pace::new(Duration::ZERO);
        // One event each 90 ms: never quiet, and far fewer than a busy topic has.
        let ticks = (1..=160_u32)
            .filter(|event| pace.is_due(false, || Duration::from_millis(90) * *event))
            .count();
        assert_eq!(ticks, 10);
        assert!(pace.is_due(true, || Duration::from_secs(100)));
        assert!(!pace.took_events());
    }
}
