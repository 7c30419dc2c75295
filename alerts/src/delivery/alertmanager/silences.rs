//! An acknowledged alert is silenced in Alertmanager, too, until it is over.
//!
//! ```text
//! acknowledged, muted ─► one of ours there? ─► none: POST /silences ─► renewed in time
//! anything else       ─► one of ours there? ─► DELETE /silence/ID  (before the alert is posted)
//! ```
//! So is what fires and is muted, for as long as it is: Alertmanager tells again by itself.
//!
//! Source: the description of its API v2. A silence belongs to an alert by a matcher on the label
//! `fingerprint` and our name as its creator; Alertmanager chooses the id, so after a start it is
//! asked what there is. What fails is tried again with the next repeat and holds up no alert.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, Instant};

use schemas::{Alert, AlertState, Span, Timestamp};
use serde::Deserialize;
use serde_json::json;

use super::label_of_fingerprint;
use crate::delivery::http::{self, HttpClient, Method, Request};
use crate::delivery::limited;
use crate::delivery::repeat::Item;

/// Whose silences these are; those of people are left alone.
const CREATED_BY: &str = "ringwatch";

/// 1 h: if nobody renews a silence it ends well after its alert has ended by itself.
const SILENT_FOR: Span = Span::hours(1);
/// Renewed in the second half of its life.
const RENEW_BEFORE: Span = Span::minutes(30);

/// 10,000: as many as alerts stand at one receiver; beyond it Alertmanager is asked again.
const KNOWN_MAX: usize = 10_000;

/// An answer is longer only if somebody else gave a silence pages of comment.
const COMMENT_BYTES_MAX: usize = 1_024;

/// What Alertmanager holds for one alert, as far as is known.
#[derive(Clone, Debug)]
enum Known {
    Nothing,
    Silenced { id: String, until: Timestamp },
}

/// Brings silences in line with acknowledgements and with what is muted.
#[derive(Debug)]
pub(super) struct Silences {
    base: String,
    /// By fingerprint.
    known: BTreeMap<String, Known>,
}

/// A silence as Alertmanager tells of it; of the rest nothing is needed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    id: String,
    created_by: String,
    ends_at: Timestamp,
    status: Status,
}

#[derive(Deserialize)]
struct Status {
    state: String,
}

impl Silences {
    /// `base`: the address below which the API lies.
    pub(super) fn new(base: &str) -> Self {
        Self { base: format!("{base}/api/v2"), known: BTreeMap::new() }
    }

    /// Does what is due for `items`, within `at_most` all told; the first failure ends it.
    pub(super) fn follow(
        &mut self,
        http: &dyn HttpClient,
        items: &[Item],
        wall: Timestamp,
        at_most: Duration,
    ) {
        let began = Instant::now();
        for item in items {
            let left = at_most.saturating_sub(began.elapsed());
            if let Err(reason) = self.follow_one(http, item, wall, left) {
                let id = &item.alert.id;
                tracing::warn!(id, reason, "Alertmanager took no silence; it is tried again");
                return;
            }
        }
    }

    fn follow_one(
        &mut self,
        http: &dyn HttpClient,
        item: &Item,
        wall: Timestamp,
        at_most: Duration,
    ) -> Result<(), String> {
        let (alert, silent) = (&*item.alert, item.is_silent());
        let known = match self.known.get(&alert.fingerprint) {
            Some(known) => known.clone(),
            None => self.look(http, alert, at_most)?,
        };
        let next = match (silent, known) {
            (true, Known::Silenced { id, until }) if until > wall.saturating_add(RENEW_BEFORE) => {
                Known::Silenced { id, until }
            }
            (true, known) => self.silence(http, alert, known, wall, at_most)?,
            (false, Known::Silenced { id, .. }) => self.end(http, &id, at_most)?,
            (false, Known::Nothing) => Known::Nothing,
        };
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        self.known.insert(alert.fingerprint.clone(), next);
        Ok(())
    }

    /// What there is since before the start.
    fn look(
        &self,
        http: &dyn HttpClient,
        alert: &Alert,
        at_most: Duration,
    ) -> Result<Known, String> {
        let label = label_of_fingerprint(alert).replace('\\', r"\\").replace('"', "\\\"");
        let matcher = format!("fingerprint=\"{label}\"");
        let url = format!("{}/silences?filter={}", self.base, percent_encoded(&matcher));
        let body = send(http, Method::Get, url, Vec::new(), at_most)?;
        let told: Vec<Told> = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        let ours = |one: &Told| one.created_by == CREATED_BY && one.status.state != "expired";
        Ok(told
            .into_iter()
            .find(ours)
            .map_or(Known::Nothing, |one| Known::Silenced { id: one.id, until: one.ends_at }))
    }

    /// A new silence, or a longer life for the one there is.
    fn silence(
        &mut self,
        http: &dyn HttpClient,
        alert: &Alert,
        known: Known,
        wall: Timestamp,
        at_most: Duration,
    ) -> Result<Known, String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Made {
            silence_id: String,
        }
        let until = wall.saturating_add(SILENT_FOR);
        let why = if alert.state == AlertState::Acknowledged { "acknowledged" } else { "muted" };
        let comment = format!("{} is {why} in ringwatch: {}", alert.id, alert.summary);
        let matcher = json!({
            "name": "fingerprint", "value": label_of_fingerprint(alert),
            "isRegex": false, "isEqual": true,
        });
        let mut silence = json!({
            "matchers": [matcher],
            "startsAt": wall,
            "endsAt": until,
            "createdBy": CREATED_BY,
            "comment": limited(&comment, COMMENT_BYTES_MAX),
        });
        if let Known::Silenced { id, .. } = known {
            silence["id"] = json!(id);
        }
        // One that is gone under its id cannot be renewed: the next time there is a new one.
        self.known.remove(&alert.fingerprint);
        let url = format!("{}/silences", self.base);
        let body = send(http, Method::Post, url, http::json(&silence), at_most)?;
        let made: Made = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        Ok(Known::Silenced { id: made.silence_id, until })
    }

    fn end(&self, http: &dyn HttpClient, id: &str, at_most: Duration) -> Result<Known, String> {
        let url = format!("{}/silence/{}", self.base, percent_encoded(id));
        send(http, Method::Delete, url, Vec::new(), at_most)?;
        Ok(Known::Nothing)
    }
}

/// The body of a 2xx answer; else what was said.
fn send(
    http: &dyn HttpClient,
    method: Method,
    url: String,
    body: Vec<u8>,
    at_most: Duration,
) -> Result<Vec<u8>, String> {
    let request = Request { url, headers: Vec::new(), body };
    let answer = http.send(method, &request, at_most).map_err(|error| error.to_string())?;
    match answer.status {
        200..=299 => Ok(answer.body),
        // What is to be ended is not there any more.
        404 if method == Method::Delete => Ok(Vec::new()),
        status => Err(format!("status {status} {}", String::from_utf8_lossy(&answer.body))),
    }
}

/// For a query or a path: everything but letters, digits, `-`, `_` and `.` (RFC 3986, 2.1).
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() * 3);
    for &byte in text.as_bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            write!(encoded, "%{byte:02X}").ok();
        }
    }
    encoded
}
