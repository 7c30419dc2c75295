//! When one destination is tried again, and when people are told that it takes nothing. Pure.
//!
//! ```text
//!          5 failures in a row            15 min without success
//! Closed ─────────────────────► Open ─────────────────────────────► given up: told to the others
//!    │                  refused for good, what is not told anew            ▲
//!    ├─────────────────────────────────────────────────────────────────────┤
//!    ▲──── success ─────────────┴──────────── success: told to the others ──┘
//! ```
//! Nothing is dropped: what waits, waits in the chain. Given up is what people are told.

use std::time::Duration;

use super::Now;
use super::retry::Backoff;

/// 5 failures: with full jitter 8 s on average, after which it is no hiccup.
const OPEN_AFTER: u32 = 5;

/// 15 min without a success: a restart of a receiver takes less, and a page must not take more.
const GIVE_UP_AFTER: Duration = Duration::from_mins(15);

/// How a destination has answered lately.
#[derive(Debug, Default)]
pub(crate) struct Circuit {
    backoff: Backoff,
    failures: u32,
    failing_since: Duration,
    not_before: Duration,
    reason: Option<String>,
    given_up: bool,
}

/// What has changed for people.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Turn {
    GivenUp,
    Works,
}

impl Circuit {
    /// `given_up`: whether people were told so before the start.
    pub(crate) fn new(backoff: Backoff, given_up: GivenUp) -> Self {
        Self { backoff, given_up: given_up == GivenUp::Yes, ..Self::default() }
    }

    /// An attempt failed; `random` is uniform over all of `u64`.
    pub(crate) fn failed(
        &mut self,
        reason: &str,
        retry_after: Option<Duration>,
        now: Now,
        random: u64,
    ) -> Option<Turn> {
        if self.failures == 0 {
            self.failing_since = now.elapsed;
        }
        self.failures = self.failures.saturating_add(1);
        self.reason = Some(reason.to_owned());
        // An open circuit draws from the upper half: no quick knock at a door that is shut.
        let random = if self.is_open() { random / 2 + u64::MAX / 2 } else { random };
        self.not_before = now.elapsed + self.backoff.wait(self.failures, retry_after, random);
        self.overdue(now)
    }

    /// Whether it has failed for so long that people are to be told now.
    pub(crate) fn overdue(&mut self, now: Now) -> Option<Turn> {
        let is_long = self.give_up_at().is_some_and(|at| now.elapsed >= at);
        self.given_up |= is_long;
        is_long.then_some(Turn::GivenUp)
    }

    /// When that will be; `None` while it works, and once people were told.
    pub(crate) fn give_up_at(&self) -> Option<Duration> {
        let failing = self.failures > 0 && !self.given_up;
        failing.then(|| self.failing_since + GIVE_UP_AFTER)
    }

    /// Something was refused for good: a revoked key refuses all, and people must not wait for
    /// what will not come.
    pub(crate) fn refused(&mut self, reason: &str) -> Option<Turn> {
        self.failures = 0;
        self.reason = Some(reason.to_owned());
        (!std::mem::replace(&mut self.given_up, true)).then_some(Turn::GivenUp)
    }

    /// An attempt was accepted.
    pub(crate) fn worked(&mut self) -> Option<Turn> {
        (self.failures, self.reason) = (0, None);
        std::mem::take(&mut self.given_up).then_some(Turn::Works)
    }

    /// Nothing is tried for a while, whoever is to blame.
    pub(crate) fn rest(&mut self, now: Now, random: u64) {
        self.not_before = now.elapsed + self.backoff.wait(1, None, random);
    }

    /// An operator asks to try at once.
    pub(crate) fn hurry(&mut self, now: Now) {
        self.not_before = self.not_before.min(now.elapsed);
    }

    pub(crate) const fn not_before(&self) -> Duration {
        self.not_before
    }

    /// Why the last attempts failed, if they did.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    pub(crate) const fn is_open(&self) -> bool {
        self.failures >= OPEN_AFTER
    }

    pub(crate) const fn given_up(&self) -> bool {
        self.given_up
    }
}

/// Whether people were told that a destination takes nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum GivenUp {
    #[default]
    No,
    Yes,
}

#[cfg(test)]
mod tests {
    use schemas::Timestamp;

    use super::*;

    fn at(seconds: u64) -> Now {
        Now { wall: Timestamp(0), elapsed: Duration::from_secs(seconds) }
    }

    #[test]
    fn people_are_told_once_after_a_quarter_of_an_hour_and_once_when_it_is_over() {
        let mut circuit = Circuit::default();
        let mut told = Vec::new();
        for second in (100..3_000).step_by(50) {
            if circuit.failed("status 503", None, at(second), 0).is_some() {
                told.push(second);
            }
        }
        assert_eq!(told, [1_000]);
        assert_eq!(circuit.reason(), Some("status 503"));
        assert_eq!(circuit.worked(), Some(Turn::Works));
        assert_eq!(circuit.worked(), None);
        assert_eq!((circuit.reason(), circuit.is_open()), (None, false));
    }

    #[test]
    fn one_success_in_between_begins_anew() {
        let mut circuit = Circuit::default();
        for second in 0..5_000 {
            assert_eq!(circuit.failed("no answer", None, at(second), 0), None);
            if second % 800 == 0 {
                assert_eq!(circuit.worked(), None);
            }
        }
    }

    #[test]
    fn an_open_circuit_is_tried_in_the_upper_half_of_the_range() {
        let mut circuit = Circuit::default();
        let waits: Vec<u64> = (0..8)
            .map(|_| {
                circuit.failed("", None, at(0), 0);
                circuit.not_before().as_millis() as u64
            })
            .collect();
        assert_eq!(waits, [100, 100, 100, 100, 8_000, 16_000, 30_000, 30_000]);
        circuit.hurry(at(3));
        assert_eq!(circuit.not_before(), Duration::from_secs(3));
    }

    #[test]
    fn what_was_told_before_a_restart_is_taken_back_after_it() {
        let mut circuit = Circuit::new(Backoff::default(), GivenUp::Yes);
        assert_eq!(circuit.failed("", None, at(10_000), 0), None);
        assert_eq!(circuit.worked(), Some(Turn::Works));
    }
}
