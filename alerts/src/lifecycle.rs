//! The life of one alert as a small machine: pending, firing, resolved.
//!
//! ```text
//!            Above for `pending_for`            Below for `resolve_after`, or withdrawn
//!  Clear ─► Pending ───────────────► Open ───────────────────────────────────────────► Clear
//!    ▲─────────┘ not Above      (fires once)                             (resolves once)
//! ```
//! Time is an argument; a resolved alert that fires again is a new episode.

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
    pub fn next(self, level: Level, at: Timestamp, patience: Patience) -> (Self, Option<Move>) {
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
    fn expected(levels: &[Level], pending: usize, resolve: usize) -> Vec<Move> {
        let (mut moves, mut from) = (Vec::new(), 0);
        for end in 1..=levels.len() {
            let recent = |count: usize, wanted: Level| {
                end - from > count && levels[end - 1 - count..end].iter().all(|&l| l == wanted)
            };
            let open = moves.last() == Some(&Move::Fire);
            let resolves = recent(resolve, Level::Below) || levels[end - 1] == Level::Withdrawn;
            if !open && recent(pending, Level::Above) {
                moves.push(Move::Fire);
                from = end;
            } else if open && resolves {
                moves.push(Move::Resolve);
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
                let (mut phase, mut told) = (Phase::Clear, Vec::new());
                for (minute, &level) in levels.iter().enumerate() {
                    let at = Timestamp::YEAR_2000 + minutes(minute);
                    let (next, moved) = phase.next(level, at, patience);
                    phase = next;
                    told.extend(moved);
                }
                assert_eq!(told, expected(&levels, pending, resolve), "{levels:?}");
            }
        }
    }
}
