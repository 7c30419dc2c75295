//! The pipeline itself: lag, throughput, watermarks, what was refused, how destinations stand.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use schemas::{StreamKind, Timestamp};
use serde_json::{Value, json};
use store::{Chain, cursor, served};

use super::behind::{Behind, answered};
use super::events::{Feed, SAMPLE_EVERY};
use crate::view::{PublisherRole, SharedView, View};

#[derive(Clone)]
struct Shown {
    view: SharedView,
    behind: Behind,
    feed: Feed,
}

pub(super) fn routes(view: SharedView, behind: Behind, feed: Feed) -> Router {
    Router::new().route("/api/v1/pipeline", get(pipeline)).with_state(Shown { view, behind, feed })
}

async fn pipeline(State(shown): State<Shown>) -> Response {
    let (view, samples) = (shown.view.snapshot(), shown.feed.samples());
    let read = move |behind: &Behind| {
        let mut told = told(behind, &view);
        told["throughput"] = json!({
            "sample_seconds": SAMPLE_EVERY.as_secs(), "received": samples,
        });
        told["destinations"] = json!(destinations(behind)?);
        Ok(told)
    };
    answered(shown.behind.read(read).await.map(Json))
}

/// How far a pipeline is behind the clock; nothing where it does not publish.
pub(super) struct Lag {
    pub(super) watermark_seconds: Option<f64>,
    pub(super) evaluation_seconds: Option<f64>,
}

impl Lag {
    pub(super) fn of(view: &View, now: Option<Timestamp>) -> Self {
        let since = |then: Option<Timestamp>| {
            now.zip(then).map(|(now, then)| (now - then).as_secs_f64().max(0.0))
        };
        Self {
            watermark_seconds: since(view.history.watermark()),
            evaluation_seconds: since(view.evaluated_until),
        }
    }
}

fn told(behind: &Behind, view: &View) -> Value {
    let now = behind.wall();
    let watermark = view.history.watermark();
    let lag = Lag::of(view, now);
    let (ends, ends_unknown) = match behind.ends() {
        Ok(ends) => (ends, None),
        Err(reason) => (std::collections::BTreeMap::new(), Some(reason)),
    };
    let mut lag_records = ends_unknown.is_none().then_some(0);
    let mut partitions = Vec::new();
    for (stream, place) in &view.history.places {
        let behind = ends.get(stream).map(|end| (end - place.end).max(0));
        if stream.kind == StreamKind::Telemetry {
            lag_records = lag_records.zip(behind).map(|(sum, behind)| sum + behind);
        }
        partitions.push(json!({
            "stream": stream.to_string(), "end": place.end, "log_end": ends.get(stream),
            "lag_records": behind, "watermark": place.watermark, "counts": place.counts,
        }));
    }
    let refused: Vec<Value> = view
        .history
        .refused
        .iter()
        .rev()
        .map(|refused| {
            let mut row = json!(refused);
            row["stream"] = json!(refused.stream.to_string());
            row
        })
        .collect();
    json!({
        "version": view.version,
        "now": now,
        "evaluated_until": view.evaluated_until,
        "watermark": watermark,
        "lag_seconds": lag.watermark_seconds,
        "evaluated_seconds_ago": lag.evaluation_seconds,
        "lag_records": lag_records,
        "ends_unknown": ends_unknown,
        "counts": view.counts,
        "windows": view.windows,
        "files_published": view.files_published,
        "rows_published": view.rows_published,
        "down": view.down,
        "is_live": view.is_live && view.publisher != PublisherRole::Recovering,
        "publisher": view.publisher.name(),
        "paused": view.desk.paused(),
        "partitions": partitions,
        "refused": refused,
    })
}

fn destinations(behind: &Behind) -> Result<Vec<Value>, String> {
    let failed = |error: store::StoreError| error.to_string();
    let end = Chain::open(Arc::clone(&behind.store)).map_err(failed)?.next_sequence();
    let mut rows = Vec::new();
    for name in &behind.destinations {
        let cursor = cursor::read(&*behind.store, name).map_err(failed)?;
        let served = served::read(&*behind.store, name).map_err(failed)?;
        let standing = match (&served.failing, served.given_up) {
            (Some(_), _) => "failing",
            (None, true) => "given up",
            (None, false) => "fine",
        };
        rows.push(json!({
            "destination": name, "standing": standing, "reason": served.failing,
            "commits_behind": cursor.map(|cursor| end.saturating_sub(cursor)),
            "refused": served.refused.len(),
        }));
    }
    Ok(rows)
}
