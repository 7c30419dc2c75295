//! The quiet period: an event affects its device only if the device had none of the same signal
//! for a while before it, whatever its arm (detection 1).

use schemas::{Signal, Span, Timestamp};

use crate::hash::{Map, NumberHash};
use crate::state::{Reader, StateError, Writer};

/// Last event by device and signal, of those that had one lately.
#[derive(Clone, Debug)]
pub(crate) struct Onsets {
    last: Map<(u32, Signal), Timestamp>,
    count_max: usize,
    refused: u64,
}

impl Onsets {
    pub(crate) fn new(hash: NumberHash, count_max: usize) -> Self {
        Self { last: Map::with_hasher(hash), count_max, refused: 0 }
    }

    /// Stores the last events by device and signal.
    pub(crate) fn save(&self, out: &mut Writer) {
        out.put(&self.refused);
        let mut last: Vec<_> = self.last.iter().collect();
        last.sort_unstable();
        out.put_all(last.into_iter());
    }

    pub(crate) fn load(&mut self, from: &mut Reader<'_>) -> Result<(), StateError> {
        self.refused = from.take()?;
        let last: Vec<((u32, Signal), Timestamp)> = from.take_all(Reader::take)?;
        self.last.extend(last);
        Ok(())
    }

    /// An event of `signal`: 1 if it affects the device, else 0.
    pub(crate) fn affected(
        &mut self,
        at: u32,
        signal: Signal,
        time: Timestamp,
        quiet: Span,
    ) -> i64 {
        if let Some(last) = self.last.get_mut(&(at, signal)) {
            let quiet_until = *last + quiet;
            *last = time.max(*last);
            return i64::from(time >= quiet_until);
        }
        if self.last.len() >= self.count_max {
            self.refused += 1;
            return 0;
        }
        self.last.insert((at, signal), time);
        1
    }

    /// Forgets a device.
    pub(crate) fn forget(&mut self, at: u32) {
        for signal in Signal::ALL {
            self.last.remove(&(at, signal));
        }
    }

    /// Forgets events before `time`: the quiet period they began is over.
    pub(crate) fn prune(&mut self, time: Timestamp) {
        self.last.retain(|_, last| *last >= time);
    }

    pub(crate) const fn refused(&self) -> u64 {
        self.refused
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.last.capacity() * 20
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_affects_its_device_after_a_quiet_period_and_never_backwards() {
        let mut onsets = Onsets::new(NumberHash::new([1, 2]), 2);
        let mut at = |device, hour: i64| {
            let time = Timestamp::YEAR_2000 + Span::hours(hour);
            onsets.affected(device, Signal::OsCrash, time, Span::hours(10))
        };
        let seen = [100, 109, 118, 128, 60, 137, 148].map(|hour| at(1, hour));
        assert_eq!(seen, [1, 0, 0, 1, 0, 0, 1]);
        assert_eq!([at(2, 0), at(3, 0)], [1, 0], "the third device is beyond the bound");
        assert_eq!(onsets.refused(), 1);
    }

    #[test]
    fn pruning_forgets_only_what_is_over() {
        let mut onsets = Onsets::new(NumberHash::new([1, 2]), 10);
        let hour = |hour: i64| Timestamp::YEAR_2000 + Span::hours(hour);
        onsets.affected(1, Signal::OsCrash, hour(0), Span::hours(10));
        onsets.affected(2, Signal::OsCrash, hour(5), Span::hours(10));
        onsets.prune(hour(1));
        assert_eq!(onsets.affected(1, Signal::OsCrash, hour(11), Span::hours(10)), 1);
        assert_eq!(onsets.affected(2, Signal::OsCrash, hour(11), Span::hours(10)), 0);
    }
}
