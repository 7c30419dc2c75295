//! Waiting for a store that is away, and for how long a loss of a log is taken for bad luck.

use std::time::Duration;

use store::StoreError;

use crate::clock::Clock;
use crate::metrics;
use crate::shutdown::Stop;

/// First wait before a store is asked again, and the longest: so that work goes on within
/// seconds of its return, and a dead store costs next to nothing.
const WAIT_MIN: Duration = Duration::from_millis(250);
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Between two lines of log about the same outage.
const LOG_EVERY: Duration = Duration::from_mins(1);

/// How long a stop waits for a store that is away; then the next start does what is left.
pub const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// Losses of one log within [`LOSSES_WITHIN`] that end the process: somebody else writes it.
const LOSSES_MAX: usize = 3;
const LOSSES_WITHIN: Duration = Duration::from_mins(5);

/// One outage of the store, as one part of the process sees it.
#[derive(Debug)]
pub struct Outage {
    since: Duration,
    retry_at: Duration,
    wait: Duration,
    logged_at: Duration,
    what: &'static str,
}

impl Outage {
    /// Begins with the first failure.
    pub fn begin(what: &'static str, error: &StoreError, now: Duration) -> Self {
        tracing::warn!(error = %chain(error), "the store is away: waiting to {what}");
        metrics::store_away(what).set(1.0);
        Self { since: now, retry_at: now + WAIT_MIN, wait: WAIT_MIN, logged_at: now, what }
    }

    /// Whether to try again.
    pub fn is_due(&self, now: Duration) -> bool {
        now >= self.retry_at
    }

    /// Takes note of a further failure.
    pub fn go_on(&mut self, error: &StoreError, now: Duration) {
        self.wait = (self.wait * 2).min(WAIT_MAX);
        self.retry_at = now + self.wait;
        if now.saturating_sub(self.logged_at) >= LOG_EVERY {
            self.logged_at = now;
            let away_s = now.saturating_sub(self.since).as_secs();
            tracing::warn!(error = %chain(error), away_s, "the store is still away");
        }
    }

    /// It is over.
    pub fn end(self, now: Duration) {
        let (what, away) = (self.what, now.saturating_sub(self.since));
        metrics::store_away(what).set(0.0);
        metrics::store_away_seconds(what, away);
        tracing::info!(away_ms = away.as_millis() as u64, "the store is back: going on to {what}");
    }
}

/// Repeats what an outage of the store holds up, until it succeeds, fails for good, or a stop has
/// waited long enough.
pub fn patiently<T>(
    what: &'static str,
    clock: &dyn Clock,
    stop: &Stop,
    mut attempt: impl FnMut() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let mut outage: Option<Outage> = None;
    let mut stopping_since = None;
    loop {
        let outcome = attempt();
        let now = clock.monotonic();
        let error = match outcome {
            Err(error) if error.is_transient() => error,
            other => {
                if let Some(outage) = outage {
                    outage.end(now);
                }
                return other;
            }
        };
        match &mut outage {
            None => outage = Some(Outage::begin(what, &error, now)),
            Some(outage) => outage.go_on(&error, now),
        }
        if stop.is_asked() {
            let since = *stopping_since.get_or_insert(now);
            if now.saturating_sub(since) >= STOP_PATIENCE {
                return Err(error);
            }
        }
        while !outage.as_ref().is_none_or(|outage| outage.is_due(clock.monotonic())) {
            clock.sleep(WAIT_MIN);
        }
    }
}

/// The losses of one log lately.
#[derive(Debug, Default)]
pub struct Losses(Vec<Duration>);

impl Losses {
    /// Takes note of a loss: how long to wait before the log is recovered.
    pub fn note(&mut self, now: Duration) -> Duration {
        self.0.retain(|at| now.saturating_sub(*at) < LOSSES_WITHIN);
        self.0.push(now);
        WAIT_MIN * (1 << self.0.len().min(LOSSES_MAX))
    }

    /// The last one is explained: the group has given the log to another.
    pub fn forgive(&mut self) {
        self.0.pop();
    }

    /// Whether somebody else writes the log although the group says that it is ours.
    pub const fn are_too_many(&self) -> bool {
        self.0.len() >= LOSSES_MAX
    }
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        line = format!("{line}: {cause}");
        source = cause.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_loss_within_five_minutes_is_too_many() {
        let mut losses = Losses::default();
        let too_many = |losses: &mut Losses, s| {
            losses.note(Duration::from_secs(s));
            losses.are_too_many()
        };
        let ended = [0, 10, 300, 309, 310, 311].map(|second| too_many(&mut losses, second));
        assert_eq!(ended, [false, false, false, true, true, true]);
    }

    #[test]
    fn a_loss_that_the_group_explains_does_not_count() {
        let mut losses = Losses::default();
        for second in 0..20 {
            losses.note(Duration::from_secs(second));
            losses.forgive();
        }
        assert!(!losses.are_too_many());
    }
}
