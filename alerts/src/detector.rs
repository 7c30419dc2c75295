//! The statistics: how strongly the counts of one change x ring x signal speak of harm.
//!
//! ```text
//! window totals ─► Tally (arms by change x ring) ─► Pair: RateTest per signal, AttemptProcess
//!       │                  ▲                          │ log e          ▲ r0
//!       └─► PastWindows ───┘ exposure of late onsets  ▼                │
//!                                                   budget, power   Baseline (14 d per ring)
//! ```
//! Every number is an e-process: under "no harm" its mean is at most 1 at any time, so it may be
//! looked at whenever one likes. Values are kept as natural logarithms; `libm` makes them the
//! same on every machine.

use serde::{Deserialize, Serialize};

pub mod attempt;
pub mod baseline;
pub mod budget;
pub mod cohort;
pub mod compared;
pub mod evidence;
pub mod pair;
pub mod past;
pub mod power;
pub mod quantile;
pub mod rate;
pub mod shape;
pub mod signature;
pub mod strata;
pub mod tally;
pub mod verdict;

/// Onset signals: the first numbers of [`schemas::Signal`].
pub const ONSETS: usize = 14;

/// A value for each arm: onsets, device-milliseconds or devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arms {
    pub treated: i64,
    pub control: i64,
}

impl Arms {
    pub const fn total(self) -> i64 {
        self.treated + self.control
    }
}

/// ln(sum of exp(value)), without overflow.
pub fn log_sum_exp(values: &[f64]) -> f64 {
    let top = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if top == f64::NEG_INFINITY {
        return top;
    }
    // What lies e^40 below the top is beyond the last bit of the sum.
    let near = values.iter().map(|value| value - top).filter(|below| *below > -40.0);
    let sum: f64 = near.map(libm::exp).sum();
    top + libm::log(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::Signal;

    #[test]
    fn onset_signals_have_the_first_numbers() {
        for (number, signal) in Signal::ALL.into_iter().enumerate() {
            assert_eq!(signal.is_onset(), number < ONSETS, "{}", signal.name());
        }
    }

    #[test]
    fn a_sum_of_exponentials_neither_overflows_nor_vanishes() {
        assert!((log_sum_exp(&[1e5, 1e5]) - 1e5 - libm::log(2.0)).abs() < 1e-9);
        assert!((log_sum_exp(&[-1e5, f64::NEG_INFINITY]) + 1e5).abs() < 1e-9);
        assert!(log_sum_exp(&[]).is_infinite() && log_sum_exp(&[]) < 0.0);
    }
}
