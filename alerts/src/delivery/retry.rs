//! What an answer means, and how long to wait before the next attempt. Pure.

use std::time::{Duration, UNIX_EPOCH};

use schemas::Timestamp;

use super::http::{HttpError, Response};
use super::limited;

/// Enough of an answer to see why; the rest is seldom more than markup.
const REASON_BYTES_MAX: usize = 300;

/// 1 h: a receiver that asks for more is asked again, or its alerts would be news no longer.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// What an attempt came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has it.
    Accepted,
    /// Not now: the same will be sent again.
    Busy { reason: String, retry_after: Option<Duration> },
    /// Never: repeating the same would be refused again.
    Refused { reason: String },
}

impl Outcome {
    /// 2xx is accepted; no answer, 408, 429 and 5xx are tried again; all else is refused, also
    /// redirects: a receiver that moved is a receiver to be configured. `wall`: our own clock.
    pub fn of(answer: Result<Response, HttpError>, wall: Timestamp) -> Self {
        let response = match answer {
            Ok(response) => response,
            Err(error) => return Self::Busy { reason: error.to_string(), retry_after: None },
        };
        match response.status {
            200..=299 => Self::Accepted,
            408 | 429 | 500..=599 => {
                Self::Busy { reason: said(&response), retry_after: retry_after(&response, wall) }
            }
            _ => Self::Refused { reason: said(&response) },
        }
    }

    /// The value of the label `outcome`.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Busy { .. } => "retried",
            Self::Refused { .. } => "gave_up",
        }
    }
}

fn said(response: &Response) -> String {
    let body = String::from_utf8_lossy(&response.body);
    limited(format!("status {} {body}", response.status).trim(), REASON_BYTES_MAX)
}

/// Seconds, or a date: held against the receiver's own `date`, so that no two clocks must agree;
/// where it names none, against ours, whose error costs [`RETRY_AFTER_MAX`] at most.
fn retry_after(response: &Response, wall: Timestamp) -> Option<Duration> {
    let text = response.retry_after.as_ref()?.trim();
    let date = |text: &str| httpdate::parse_http_date(text.trim()).ok();
    let wait = text.parse().map(Duration::from_secs).ok().or_else(|| {
        let ours = UNIX_EPOCH + Duration::from_micros(wall.0.try_into().unwrap_or_default());
        let now = response.date.as_deref().and_then(date).unwrap_or(ours);
        Some(date(text)?.duration_since(now).unwrap_or_default())
    })?;
    Some(wait.min(RETRY_AFTER_MAX))
}

/// Exponential waiting with full jitter.
///
/// Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015: a uniform
/// draw from the whole range spreads many senders best.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// The range after the first failure; it doubles with each further one.
    pub base: Duration,
    pub max: Duration,
    /// No wait is shorter, so that a draw near zero is no tight loop.
    pub min: Duration,
}

impl Default for Backoff {
    /// 1 s to 60 s: a page is late by a minute at most once its receiver is back.
    fn default() -> Self {
        Self {
            base: Duration::from_secs(1),
            max: Duration::from_mins(1),
            min: Duration::from_millis(100),
        }
    }
}

impl Backoff {
    /// The wait after `failures` in a row (1, 2, ...), with `random` uniform over all of `u64`.
    pub fn wait(self, failures: u32, retry_after: Option<Duration>, random: u64) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let range = self.base.saturating_mul(1 << doublings).min(self.max);
        let drawn = range.mul_f64(random as f64 / u64::MAX as f64);
        drawn.max(self.min).max(retry_after.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WALL: Timestamp = Timestamp(1_792_567_660_000_000); // 2026-10-21T07:27:40Z

    fn check(status: u16, expected: &str) {
        let response = Response { status, ..Response::default() };
        assert_eq!(Outcome::of(Ok(response), WALL).label(), expected, "{status}");
    }

    #[test]
    fn the_status_alone_decides_whether_it_is_tried_again() {
        for status in [200, 201, 202, 204] {
            check(status, "accepted");
        }
        for status in [408, 429, 500, 502, 503, 599] {
            check(status, "retried");
        }
        for status in [301, 302, 307, 308, 400, 401, 403, 404, 410, 413, 422] {
            check(status, "gave_up");
        }
        let silent = Outcome::of(Err(HttpError { reason: "timeout".to_owned() }), WALL);
        assert_eq!(silent.label(), "retried");
    }

    #[test]
    fn retry_after_is_read_in_both_forms_and_bounded() {
        let now = Some("Wed, 21 Oct 2026 07:27:30 GMT");
        for (text, date, expected) in [
            ("7", None, Some(7)),
            (" 0 ", now, Some(0)),
            ("86400", None, Some(3_600)),
            ("-1", None, None),
            ("Wed, 21 Oct 2026 07:28:00 GMT", None, Some(20)),
            ("Wed, 21 Oct 2026 07:28:00 GMT", Some("today"), Some(20)),
            ("Wed, 21 Oct 2026 07:27:00 GMT", None, Some(0)),
            ("Thu, 22 Oct 2026 07:28:00 GMT", None, Some(3_600)),
            ("Wed, 21 Oct 2026 07:28:00 GMT", now, Some(30)),
            ("Wed, 21 Oct 2026 07:27:00 GMT", now, Some(0)),
            ("Thu, 22 Oct 2026 07:28:00 GMT", now, Some(3_600)),
            ("soon", now, None),
        ] {
            let response = Response {
                status: 429,
                retry_after: Some(text.to_owned()),
                date: date.map(str::to_owned),
                body: Vec::new(),
            };
            let Outcome::Busy { retry_after, .. } = Outcome::of(Ok(response), WALL) else {
                panic!("{text}")
            };
            assert_eq!(retry_after, expected.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn the_reason_is_short_and_on_one_line() {
        let body = "a\nb".repeat(1_000).into_bytes();
        let response = Response { status: 400, body, ..Response::default() };
        let Outcome::Refused { reason } = Outcome::of(Ok(response), WALL) else {
            panic!("refused")
        };
        assert!(reason.starts_with("status 400 a ba b") && reason.len() <= REASON_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn a_wait_stays_in_its_range(failures in 1_u32.., random: u64, after in 0_u64..100) {
            let backoff = Backoff::default();
            let range = 1_u64.checked_shl((failures - 1).min(63)).unwrap_or(60).min(60);
            let wait = backoff.wait(failures, None, random);
            prop_assert!(wait >= backoff.min && wait <= Duration::from_secs(range));
            let after = Duration::from_secs(after);
            prop_assert_eq!(backoff.wait(failures, Some(after), random), wait.max(after));
        }
    }

    #[test]
    fn the_range_doubles_up_to_its_bound() {
        let longest = |failures| Backoff::default().wait(failures, None, u64::MAX).as_secs();
        assert_eq!([1, 2, 3, 6, 7, 50].map(longest), [1, 2, 4, 32, 60, 60]);
    }
}
