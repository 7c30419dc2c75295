//! How a lead begins and how it ends, and who may send when.
//!
//! ```text
//! recover ─► Waits::after ─► take_office ─► begin_to_send ─► … ─► commit_rest ─┐
//!                                          resign ◄─ deliveries end ◄──────────┘
//! ```
//! One process at a time sends. Whoever leaves says so once nothing of it is under way, and its
//! successor sends at once; after whoever was killed, or hangs in a request, it waits, and sends
//! nothing if it has to end before that is over.

use std::time::Duration;

use schemas::Commit;

use super::leader::{Leader, Leave, Publishing};
use crate::pipeline::PipelineError;

/// How long after the last commit of another publisher alerts are first sent: it sends for
/// [`crate::deliveries::SEND_WITHIN`] after it, by its own clock. At least as long after a request
/// of ours that did not end in time.
const PATIENCE: Duration = Duration::from_mins(1);

/// 10 s: how much longer than it may a request of ours can take, to look up a name for one.
const OVERTIME: Duration = Duration::from_secs(10);

/// Until when nothing may be sent, on the monotonic clock.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Waits {
    /// Another process may be sending.
    another: Duration,
    /// A request of ours may still be under way.
    ours: Duration,
}

impl Waits {
    /// After a recovery that found this commit last.
    #[must_use]
    pub(super) fn after(self, last: Option<&Commit>, writer: &str, now: Duration) -> Self {
        let another = match last.filter(|last| !last.released) {
            None => Duration::ZERO,
            // Whoever was before us is waited for as before.
            Some(last) if last.publisher == writer => self.another,
            Some(_) => now + PATIENCE,
        };
        Self { another, ..self }
    }

    /// After a request of ours that did not end in time, and may take `at_most`.
    #[must_use]
    pub(super) fn after_request(self, now: Duration, at_most: Duration) -> Self {
        Self { ours: now + PATIENCE.max(at_most + OVERTIME), ..self }
    }

    pub(super) fn are_over(self, now: Duration) -> bool {
        now >= self.another.max(self.ours)
    }
}

impl Leader {
    /// The first steps after recovery: a commit of our own ends the time of every other leader.
    pub(super) fn take_office(&mut self) -> Result<(), PipelineError> {
        self.catch_up()?;
        let is_first = self.chain.next_sequence() == 0;
        if !self.uncommitted.is_empty() || (self.setting.rule.lease.is_some() && !is_first) {
            // What was evaluated while catching up must be evaluated alike at the next start.
            self.commit(Publishing::Nothing, Leave::No)?;
        }
        // Before anything is sent: a pause that was given while nobody published holds already.
        self.obey_waiting_commands()?;
        self.show();
        self.start_housekeeping()
    }

    /// Lets alerts go out once no request of anybody before us can be under way.
    pub(super) fn begin_to_send(&mut self) -> Result<(), PipelineError> {
        if !self.sends && self.waits.are_over(self.setting.clock.monotonic()) {
            // A pause may have been given while we waited.
            self.obey_waiting_commands()?;
            self.sends = true;
        }
        Ok(())
    }

    /// Merges whatever stands in the journals, and commits it and all rows.
    pub(super) fn commit_rest(&mut self) -> Result<(), PipelineError> {
        self.catch_up()?;
        if !self.uncommitted.is_empty() || self.has_rows() {
            self.commit(Publishing::Tables, Leave::No)?;
        }
        Ok(())
    }

    /// Says that a successor need not wait, once nothing of ours is under way.
    ///
    /// Nothing was merged since [`Self::commit_rest`]: this commit tells nobody anything.
    pub(super) fn resign(&mut self) -> Result<(), PipelineError> {
        let is_leased = self.setting.rule.lease.is_some() && self.chain.next_sequence() > 0;
        if is_leased && self.waits.are_over(self.setting.clock.monotonic()) {
            self.commit(Publishing::Nothing, Leave::Yes)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(publisher: &str, released: bool) -> Commit {
        Commit { publisher: publisher.to_owned(), released, ..Commit::default() }
    }

    #[test]
    fn another_is_waited_for_until_it_says_that_it_has_left() {
        let second = Duration::from_secs;
        let found = |waits: Waits, last: &Commit, at| waits.after(Some(last), "us", second(at));
        let waits = found(Waits::default(), &commit("another", false), 100);
        assert_eq!([159, 160].map(|at| waits.are_over(second(at))), [false, true]);
        let ours = found(waits, &commit("us", false), 110);
        assert_eq!([159, 160].map(|at| ours.are_over(second(at))), [false, true], "as before");
        assert!(found(waits, &commit("another", true), 110).are_over(second(110)));
        assert!(Waits::default().after(None, "us", second(110)).are_over(second(110)));
        let hangs = |at_most| {
            let hangs = waits.after_request(second(120), second(at_most));
            found(hangs, &commit("another", true), 130)
        };
        assert_eq!([179, 180].map(|at| hangs(20).are_over(second(at))), [false, true]);
        assert_eq!([729, 730].map(|at| hangs(600).are_over(second(at))), [false, true]);
    }
}
