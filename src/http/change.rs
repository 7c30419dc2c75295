//! One change: its plan, its rings with their funnels and tests, and the curves of one ring; and
//! what any ring can see of a bad one, and by when.

use std::sync::{Arc, Mutex, PoisonError};

use alerts::plan::{Question, Sight, plan};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use schemas::Signal;
use serde::Serialize;
use serde_json::{Value, json};

use super::fleet::{row, unknown};
use super::refusal;
use crate::history::Track;
use crate::view::{SharedView, View};

pub(super) fn routes(view: SharedView) -> Router {
    Router::new()
        .route("/api/v1/changes/{change}", get(change))
        .route("/api/v1/changes/{change}/rings/{ring}/curves", get(curves))
        .with_state(view.clone())
        .route("/api/v1/plan", get(planned))
        .with_state(Planner { view, known: Arc::default() })
}

/// The newest plan and what it answers: it takes long, and its question changes once an hour.
#[derive(Clone)]
struct Planner {
    view: SharedView,
    known: Arc<Mutex<Option<Answered>>>,
}

type Answered = (Arc<Question>, Arc<Vec<Sight>>);

async fn planned(State(planner): State<Planner>) -> Response {
    let asked = {
        let view = planner.view.lock();
        view.question.clone().zip(view.detection.clone())
    };
    let Some((question, detection)) = asked else {
        return Json(json!({ "sights": [] })).into_response();
    };
    // Away from the interface's thread; whoever comes meanwhile waits for the same answer.
    let work = move || {
        let mut known = planner.known.lock().unwrap_or_else(PoisonError::into_inner);
        let same = known.as_ref().filter(|(answered, _)| *answered == question);
        let sights = match same {
            Some((_, sights)) => Arc::clone(sights),
            None => Arc::new(plan(&detection, &question)),
        };
        *known = Some((question, Arc::clone(&sights)));
        sights
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(sights) => Json(json!({ "sights": sights })).into_response(),
        Err(_) => refusal(StatusCode::SERVICE_UNAVAILABLE, "the plan came to an end"),
    }
}

async fn change(State(view): State<SharedView>, Path(change): Path<String>) -> Response {
    let view = view.snapshot();
    let Some(row) = row(&view, &change) else { return unknown("change") };
    let record = view.changes.iter().find(|known| known.change == change);
    let alerts: Vec<_> = view.alerts.iter().filter(|alert| alert.change == change).collect();
    let clearances: Vec<_> = view.clearances.iter().filter(|row| row.change == change).collect();
    let durations: Vec<_> = view.durations.iter().filter(|row| row.change == change).collect();
    let rings: Vec<Value> = view
        .rings
        .iter()
        .zip(&row.cells)
        .map(|(ring, cell)| {
            let of_ring = |row: &&alerts::VerdictRow| row.change == change && row.ring == *ring;
            let track = view.history.of(&change, ring);
            json!({
                "ring": ring,
                "cell": cell,
                "exposed_from": track.and_then(|track| track.exposed_from),
                "funnel": track.map(|track| track.funnel),
                "verdicts": view.verdicts.iter().filter(of_ring).collect::<Vec<_>>(),
            })
        })
        .collect();
    Json(json!({
        "version": view.version,
        "evaluated_until": view.evaluated_until,
        "change": row.change,
        "title": row.title,
        "change_type": row.change_type,
        "status": row.status,
        "watched": row.watched,
        "record": record.map(|known| &known.record),
        "rings": rings,
        "alerts": alerts,
        "clearances": clearances,
        "durations": durations,
    }))
    .into_response()
}

/// The curves of one signal, point by point.
#[derive(Debug, Default, Serialize)]
struct Curve {
    log_e: Vec<Option<f32>>,
    ratio: Vec<Option<f32>>,
    ratio_low: Vec<Option<f32>>,
    ratio_high: Vec<Option<f32>>,
    /// Devices hit so far.
    treated: Vec<u32>,
    control: Vec<u32>,
    /// Of 1,000 devices in a day; for attempts and trials of 1,000 of them.
    treated_rate: Vec<Option<f32>>,
    control_rate: Vec<Option<f32>>,
}

async fn curves(
    State(view): State<SharedView>,
    Path((change, ring)): Path<(String, String)>,
) -> Response {
    let view = view.snapshot();
    let Some(track) = view.history.of(&change, &ring) else {
        return unknown("change in this ring");
    };
    let mut signals = Vec::new();
    for signal in Signal::ALL {
        if track.points.iter().any(|point| point.marks.iter().any(|mark| mark.signal == signal)) {
            let line = line(&view, &change, &ring, signal);
            signals.push(json!({
                "signal": signal, "line": line, "curve": curve(track, signal),
            }));
        }
    }
    let at: Vec<i64> = track.points.iter().map(|point| point.at.as_millis() / 1_000).collect();
    Json(json!({ "version": view.version, "at": at, "signals": signals })).into_response()
}

fn line(view: &View, change: &str, ring: &str, signal: Signal) -> Option<f64> {
    let of_test = |row: &&alerts::VerdictRow| {
        row.signal == signal && row.change == change && row.ring == ring
    };
    view.verdicts.iter().find(of_test)?.line
}

fn curve(track: &Track, signal: Signal) -> Curve {
    let mut curve = Curve::default();
    let per_day = if signal.is_onset() { 24.0 } else { 1.0 };
    for point in track.points.iter() {
        let mark = point.marks.iter().find(|mark| mark.signal == signal);
        let hits = |hits: &alerts::Hits| {
            (hits.exposure > 0.0).then(|| hits.affected as f32 / hits.exposure * per_day * 1_000.0)
        };
        curve.log_e.push(mark.map(|mark| mark.log_e));
        curve.ratio.push(mark.and_then(|mark| mark.ratio));
        curve.ratio_low.push(mark.and_then(|mark| mark.ratio_low));
        curve.ratio_high.push(mark.and_then(|mark| mark.ratio_high));
        curve.treated.push(mark.map_or(0, |mark| mark.treated.affected));
        curve.control.push(mark.map_or(0, |mark| mark.control.affected));
        curve.treated_rate.push(mark.and_then(|mark| hits(&mark.treated)));
        curve.control_rate.push(mark.and_then(|mark| hits(&mark.control)));
    }
    curve
}
