//! How long a device is usually away: the longest gaps between its signs of life, in two bytes.
//!
//! One byte for each of two stretches of 14 days, so that at least the last 14 days are known and
//! nothing older than 28. A byte is a bucket in seconds, as in a histogram: at most a sixteenth
//! above the gap, and greater gaps than 48 h make no difference (see [`Gaps::silent_after_ms`]).

use schemas::Span;

use crate::lag::{bucket, bucket_max};

/// How long a gap is remembered at least (detection 1).
const STRETCH_MS: i64 = Span::days(14).as_millis();

/// A device is missed when it is away half as long again as ever of late (detection 1) ...
const USUAL_TIMES: (i64, i64) = (3, 2);

/// ... but within three days in any case.
pub(crate) const SILENT_AFTER_MAX: Span = Span::hours(72);

/// The gap beyond which the bound decides.
const GAP_S_MAX: i64 = SILENT_AFTER_MAX.as_millis() / USUAL_TIMES.0 * USUAL_TIMES.1 / 1_000;

/// Longest gap of the stretch that holds the newest sign of life, and of the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gaps(pub(crate) [u8; 2]);

impl Gaps {
    pub(crate) const NONE: Self = Self([0; 2]);

    /// Takes note of two signs of life, one after the other.
    pub(crate) fn note(&mut self, before_ms: i64, sign_ms: i64) {
        if before_ms < 0 {
            return;
        }
        let stretch_ms = sign_ms / STRETCH_MS * STRETCH_MS;
        if before_ms < stretch_ms {
            let follows = before_ms >= stretch_ms - STRETCH_MS;
            self.0 = [0, if follows { self.0[0] } else { 0 }];
        }
        self.0[0] = self.0[0].max(code(sign_ms - before_ms));
    }

    /// How long after its last sign of life a device is missed, in the learned form of silence.
    pub(crate) fn silent_after_ms(self, reach_ms: i64) -> i64 {
        let [now, before] = self.0;
        let longest_ms = bucket_max(usize::from(now.max(before))) * 1_000;
        let usual_ms = longest_ms * USUAL_TIMES.0 / USUAL_TIMES.1;
        reach_ms.max(usual_ms.min(SILENT_AFTER_MAX.as_millis()))
    }
}

/// The bucket of a gap, in whole seconds rounded up.
fn code(gap_ms: i64) -> u8 {
    let seconds = (gap_ms + 999) / 1_000;
    bucket(seconds.clamp(0, GAP_S_MAX) as u64) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::NEVER_MS;

    const HOUR_MS: i64 = Span::hours(1).as_millis();

    #[test]
    fn every_gap_has_a_byte_and_the_greatest_means_the_bound() {
        assert!(u8::try_from(bucket(GAP_S_MAX as u64)).is_ok());
        let mut gaps = Gaps::NONE;
        assert_eq!(gaps.silent_after_ms(3 * HOUR_MS), 3 * HOUR_MS);
        gaps.note(HOUR_MS, 11 * HOUR_MS);
        let after_ms = gaps.silent_after_ms(3 * HOUR_MS);
        assert!((15 * HOUR_MS..16 * HOUR_MS).contains(&after_ms), "{after_ms}");
        gaps.note(11 * HOUR_MS, 100 * HOUR_MS);
        assert_eq!(gaps.silent_after_ms(HOUR_MS), SILENT_AFTER_MAX.as_millis());
        assert_eq!(gaps.silent_after_ms(80 * HOUR_MS), 80 * HOUR_MS, "never before the short form");
    }

    #[test]
    fn a_gap_is_remembered_for_two_weeks_at_least_and_four_at_most() {
        let day = |day: i64| day * 24 * HOUR_MS;
        let after = |end_day: i64, days: i64| {
            let mut gaps = Gaps::NONE;
            gaps.note(day(end_day - 1), day(end_day));
            let hours = end_day * 24..(end_day + days) * 24;
            hours.for_each(|hour| gaps.note(hour * HOUR_MS, (hour + 1) * HOUR_MS));
            gaps.silent_after_ms(0)
        };
        for end_day in 28..42 {
            assert!(after(end_day, 14) > day(1) && after(end_day, 29) < day(1), "{end_day}");
        }
        let mut gaps = Gaps::NONE;
        gaps.note(NEVER_MS, 5);
        assert_eq!(gaps, Gaps::NONE, "nothing is known before the first sign of life");
    }
}
