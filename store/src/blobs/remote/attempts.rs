//! How often and how long a request is tried before the store counts as away.

use std::error::Error as StdError;
use std::future::Future;
use std::time::Duration;

use metrics::counter;
use object_store::Error;
use object_store::client::{HttpError, HttpErrorKind};
use tokio::time::{Instant, sleep, timeout};

use crate::metrics as names;

/// Waits between attempts. Four attempts in 2.1 s outlast the usual throttle and the restart of a
/// front end; what lasts longer is an outage, which the caller waits out and tells about.
const WAITS: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_millis(400), Duration::from_millis(1_600)];

/// No attempt begins later than this after the first: who waited for an answer until it timed
/// out hears of it.
const BEGIN_WITHIN: Duration = Duration::from_secs(5);

/// Longest silence of the other side. 10 s: the slowest hundredth of a percent of answers takes
/// seconds; a worker that waits longer than this falls behind its partition.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// The slowest upload that still counts as one: 1 MiB/s.
const UPLOAD_BYTES_PER_S_MIN: u64 = 1 << 20;

/// One call's attempts so far.
#[derive(Debug)]
pub(super) struct Attempts {
    started: Instant,
    waits: std::slice::Iter<'static, Duration>,
}

impl Attempts {
    pub(super) fn start() -> Self {
        Self { started: Instant::now(), waits: WAITS.iter() }
    }

    /// Waits for the turn of the next attempt; gives the error back if there will be none.
    pub(super) async fn wait_after(&mut self, error: Error) -> Result<(), Error> {
        let is_late = self.started.elapsed() >= BEGIN_WITHIN;
        match self.waits.next() {
            Some(wait) if is_transient(&error) && !is_late => {
                counter!(names::RETRIES).increment(1);
                tracing::debug!(%error, "object store: trying again");
                sleep(*wait).await;
                Ok(())
            }
            _ => Err(error),
        }
    }
}

/// Tries until it succeeds, fails for good, or the attempts are used up.
pub(super) async fn retried<T, F>(mut attempt: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let mut attempts = Attempts::start();
    loop {
        match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) => attempts.wait_after(error).await?,
        }
    }
}

/// An answer, or a chunk of one, within [`SILENCE_MAX`].
pub(super) async fn answered<T>(
    request: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    answered_within(SILENCE_MAX, request).await
}

/// An answer within `limit`.
pub(super) async fn answered_within<T>(
    limit: Duration,
    request: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match timeout(limit, request).await {
        Ok(outcome) => outcome,
        Err(elapsed) => Err(of_the_wire(HttpErrorKind::Timeout, elapsed)),
    }
}

/// How long the upload of so many bytes may take, answer included.
pub(super) fn upload_limit(bytes: usize) -> Duration {
    SILENCE_MAX + Duration::from_secs(bytes as u64 / UPLOAD_BYTES_PER_S_MIN)
}

/// A conflict that left the key free: worth another attempt.
pub(super) fn contended(error: Error) -> Error {
    of_the_wire(HttpErrorKind::Interrupted, error)
}

fn of_the_wire(kind: HttpErrorKind, error: impl StdError + Send + Sync + 'static) -> Error {
    Error::Generic { store: "object store", source: Box::new(HttpError::new(kind, error)) }
}

/// Whether the request, not what it asks for, is what failed (`wire.rs` tells the two apart).
pub(super) fn is_transient(error: &Error) -> bool {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<HttpError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_wire_did_may_be_tried_again_and_what_was_refused_may_not() {
        let missing = || Error::NotFound { path: "a".to_owned(), source: "no".into() };
        assert!(!is_transient(&missing()));
        assert!(is_transient(&contended(missing())));
    }

    #[test]
    fn an_upload_has_time_in_proportion() {
        assert_eq!(upload_limit(0), Duration::from_secs(10));
        assert_eq!(upload_limit(100 << 20), Duration::from_secs(110));
    }
}
