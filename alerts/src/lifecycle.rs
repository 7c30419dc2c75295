//! The life of one alert as a small machine: pending, firing, resolved.
//!
//! ```text
//!            Above for `pending_for`            Below for `resolve_after`, or withdrawn
//!  Clear ─► Pending ───────────────► Open ───────────────────────────────────────────► Clear
//!    ▲─────────┘ not Above      (fires once)                             (resolves once)
//! ```
//! Time is an argument; a resolved alert that fires again is a new episode. One that does so within
//! a day flaps: each time its evidence must stay low for twice as long, up to four times.

use schemas::{Span, Timestamp};
use serde::{Deserialize, Serialize};

/// Where the evidence of one test stands at the end of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Enough to fire.
    Above,
    /// Not enough to fire, too much to resolve.
    Between,
    /// Low enough to resolve, if it stays so.
    Below,
    /// The change has been taken back.
    Withdrawn,
}

/// Where an alert stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    #[default]
    Clear,
    Pending {
        since: Timestamp,
    },
    Open {
        below_since: Option<Timestamp>,
    },
}

/// How often a test has fired again soon after it had resolved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flaps {
    /// When its evidence last resolved it.
    ended: Option<Timestamp>,
    count: u32,
}

/// 1 day: what comes back later is no flapping, but a new day's harm.
const FLAP_WITHIN: Span = Span::days(1);

/// Twice: 6 h become a day at most, after which nobody calls an alert settled any sooner.
const DOUBLINGS_MAX: u32 = 2;

impl Flaps {
    /// What is remembered after a move, and whether anything is: no longer than a day.
    #[must_use]
    pub fn after(self, moved: Option<Move>, level: Level, at: Timestamp) -> Self {
        let is_recent = self.ended.is_some_and(|ended| at - ended < FLAP_WITHIN);
        match moved {
            Some(Move::Fire) if is_recent => Self { count: self.count.saturating_add(1), ..self },
            Some(Move::Fire) => Self::default(),
            Some(Move::Resolve) if level == Level::Withdrawn => Self::default(),
            Some(Move::Resolve) => Self { ended: Some(at), ..self },
            None => self,
        }
    }

    /// Whether nothing is to be remembered of a test that is clear.
    pub fn is_over(self, at: Timestamp) -> bool {
        self.ended.is_none_or(|ended| at - ended >= FLAP_WITHIN)
    }

    const fn damp(self, patience: Patience) -> Patience {
        let doublings = if self.count < DOUBLINGS_MAX { self.count } else { DOUBLINGS_MAX };
        let resolve_after = Span(patience.resolve_after.0.saturating_mul(1 << doublings));
        Patience { resolve_after, ..patience }
    }
}

/// What has to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    Fire,
    Resolve,
}

/// How long things must hold.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    pub pending_for: Span,
    pub resolve_after: Span,
}

impl Phase {
    /// The phase after a window that ends `at`, and the move that led there.
    #[must_use]
    pub fn next(
        self,
        flaps: Flaps,
        level: Level,
        at: Timestamp,
        patience: Patience,
    ) -> (Self, Option<Move>) {
        let patience = flaps.damp(patience);
        let fire = (Self::Open { below_since: None }, Some(Move::Fire));
        let resolve = (Self::Clear, Some(Move::Resolve));
        match (self, level) {
            (Self::Clear | Self::Pending { .. }, Level::Above) => {
                let since = if let Self::Pending { since } = self { since } else { at };
                if at - since >= patience.pending_for {
                    fire
                } else {
                    (Self::Pending { since }, None)
                }
            }
            (Self::Clear | Self::Pending { .. }, _) => (Self::Clear, None),
            (Self::Open { .. }, Level::Withdrawn) => resolve,
            (Self::Open { .. }, Level::Above | Level::Between) => {
                (Self::Open { below_since: None }, None)
            }
            (Self::Open { below_since }, Level::Below) => {
                let since = below_since.unwrap_or(at);
                if at - since >= patience.resolve_after {
                    resolve
                } else {
                    (Self::Open { below_since: Some(since) }, None)
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEVELS: [Level; 4] = [Level::Above, Level::Between, Level::Below, Level::Withdrawn];

    /// What an alert must be after these levels, one a minute, told without the machine: from the
    /// whole history instead of from a state.
    fn expected(levels: &[Level], pending: usize, calm: usize) -> Vec<Move> {
        let (mut moves, mut from) = (Vec::new(), 0);
        let mut flaps: Option<u32> = None;
        for end in 1..=levels.len() {
            let recent = |count: usize, wanted: Level| {
                end - from > count && levels[end - 1 - count..end].iter().all(|&l| l == wanted)
            };
            let open = moves.last() == Some(&Move::Fire);
            let withdrawn = levels[end - 1] == Level::Withdrawn;
            let resolve = calm << flaps.unwrap_or(1).saturating_sub(1).min(2);
            if !open && recent(pending, Level::Above) {
                moves.push(Move::Fire);
                flaps = flaps.map(|flaps| flaps + 1).or(Some(1));
                from = end;
            } else if open && (recent(resolve, Level::Below) || withdrawn) {
                moves.push(Move::Resolve);
                flaps = flaps.filter(|_| !withdrawn);
                from = end;
            }
        }
        moves
    }

    #[test]
    fn every_history_of_seven_windows_moves_as_told() {
        for (pending, resolve) in [(0, 0), (0, 2), (2, 0), (1, 2)] {
            let minutes = |count: usize| Span::minutes(count as i64);
            let patience =
                Patience { pending_for: minutes(pending), resolve_after: minutes(resolve) };
            for number in 0..4_usize.pow(7) {
                let levels: Vec<_> = (0..7).map(|at| LEVELS[number >> (2 * at) & 3]).collect();
                let (mut phase, mut flaps, mut told) = (Phase::Clear, Flaps::default(), Vec::new());
                for (minute, &level) in levels.iter().enumerate() {
                    let at = Timestamp::YEAR_2000 + minutes(minute);
                    let (next, moved) = phase.next(flaps, level, at, patience);
                    (phase, flaps) = (next, flaps.after(moved, level, at));
                    told.extend(moved);
                }
                assert_eq!(told, expected(&levels, pending, resolve), "{levels:?}");
            }
        }
    }

    #[test]
    fn what_comes_back_after_a_day_does_not_flap() {
        let at = |hour| Timestamp::YEAR_2000 + Span::hours(hour);
        let ended = Flaps::default().after(Some(Move::Resolve), Level::Below, at(0));
        let within = ended.after(Some(Move::Fire), Level::Above, at(23));
        assert_eq!((within.count, within.is_over(at(23))), (1, false));
        assert_eq!(ended.after(Some(Move::Fire), Level::Above, at(24)), Flaps::default());
        assert!(ended.is_over(at(24)));
    }
}
