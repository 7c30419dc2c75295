//! Server-sent events: that something has changed, and the throughput of the last minutes.
//!
//! ```text
//! View ◄── looked at every 250 ms ── Feed ──► watch (newest beat only) ──► each client
//! ```
//! The pipeline knows nothing of it. A client that reads slowly misses beats, never the newest
//! one; a client that does not read at all is closed with its connection.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::stream;
use schemas::{AlertState, Timestamp};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::refusal;
use crate::view::SharedView;

/// 32: half of the connections, so that listeners alone keep no probe or scraper out.
const CLIENTS_MAX: usize = 32;

/// 250 ms: an alert is on the screen well within a second, and nobody reads faster.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// 15 s: proxies close a connection that says nothing for 30 to 60 s.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// 5 s between two samples of throughput: shorter shows the length of an entry.
pub(super) const SAMPLE_EVERY: Duration = Duration::from_secs(5);

/// 10 minutes of samples, 1 KiB.
const SAMPLES_MAX: usize = 120;

/// What a client is told: enough to know whether to ask again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Beat {
    version: u64,
    evaluated_until: Option<Timestamp>,
    alerts_open: usize,
}

/// The newest beat, and who may hear it.
#[derive(Clone, Debug)]
pub(super) struct Feed {
    newest: watch::Sender<Beat>,
    clients: Arc<Semaphore>,
    /// Records received, the newest last.
    samples: Arc<Mutex<VecDeque<u64>>>,
}

impl Feed {
    pub(super) fn new() -> Self {
        Self {
            newest: watch::Sender::new(Beat::default()),
            clients: Arc::new(Semaphore::new(CLIENTS_MAX)),
            samples: Arc::default(),
        }
    }

    /// Looks at the view as long as the interface runs.
    pub(super) async fn run(self, view: SharedView) {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        let looks_per_sample = SAMPLE_EVERY.as_millis() / LOOK_EVERY.as_millis();
        for look in 0_u128.. {
            looks.tick().await;
            let received = {
                let view = view.lock();
                let is_open = |state| state != AlertState::Resolved;
                let beat = Beat {
                    version: view.version,
                    evaluated_until: view.evaluated_until,
                    alerts_open: view.alerts.iter().filter(|alert| is_open(alert.state)).count(),
                };
                self.newest.send_if_modified(|newest| std::mem::replace(newest, beat) != beat);
                view.counts.received
            };
            if look % looks_per_sample == 0 {
                let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
                if samples.len() == SAMPLES_MAX {
                    samples.pop_front();
                }
                samples.push_back(received);
            }
        }
    }

    /// Records received by sample, the newest last.
    pub(super) fn samples(&self) -> Vec<u64> {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        samples.iter().copied().collect()
    }
}

pub(super) fn routes(feed: Feed) -> Router {
    Router::new().route("/api/v1/events", get(events)).with_state(feed)
}

/// A client holds its slot until its connection ends.
struct Listening {
    newest: watch::Receiver<Beat>,
    _slot: OwnedSemaphorePermit,
}

async fn events(State(feed): State<Feed>) -> Response {
    let Ok(slot) = Arc::clone(&feed.clients).try_acquire_owned() else {
        let reason = "32 others listen already; ask for what you want to see instead";
        return refusal(StatusCode::SERVICE_UNAVAILABLE, reason);
    };
    let mut newest = feed.newest.subscribe();
    // Whoever comes is told at once how things stand.
    newest.mark_changed();
    let told = stream::unfold(Listening { newest, _slot: slot }, |mut listening| async move {
        listening.newest.changed().await.ok()?;
        let beat = *listening.newest.borrow_and_update();
        let event = Event::default().event("state").id(beat.version.to_string());
        let event = event.json_data(beat).unwrap_or_default();
        Some((Ok::<_, Infallible>(event), listening))
    });
    let feed = Sse::new(told).keep_alive(KeepAlive::new().interval(HEARTBEAT));
    // nginx would gather events until its buffer is full.
    ([("x-accel-buffering", "no")], feed).into_response()
}
