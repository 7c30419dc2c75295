//! The fleet at a glance: how each change stands in each ring, in one word.
//!
//! In: the view. Out: one cell for each change x ring, the worst first; made once for each state
//! of the view, whoever asks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use alerts::{Clearance, Clearing, Verdict, VerdictRow};
use axum::body::Bytes;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use schemas::{Alert, AlertState, Decision, Signal};
use serde::Serialize;
use serde_json::json;

use crate::view::{SharedView, View};

/// How a change stands in a ring, the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Standing {
    Escalate,
    Rollback,
    Hold,
    Watch,
    Insufficient,
    Clear,
    NoData,
}

/// One change in one ring.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Cell {
    pub standing: Standing,
    /// Why, in a few words.
    pub why: String,
    /// The test that stands closest to its line.
    pub signal: Option<Signal>,
    pub log_e: f64,
    pub line: Option<f64>,
    /// Devices of the ring at risk that have the change.
    pub devices: i64,
    /// The most urgent open alert.
    pub alert: Option<String>,
    /// Alerts that have ended.
    pub resolved: usize,
}

/// One change, over all rings.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Row {
    pub change: String,
    pub title: Option<String>,
    pub change_type: String,
    pub status: Option<String>,
    /// Whether its tests go on: not once it has been taken back.
    pub watched: bool,
    /// In the order of the rings.
    pub cells: Vec<Cell>,
}

/// What is gathered of one change x ring before it is judged.
#[derive(Default)]
struct Gathered<'a> {
    verdicts: Vec<&'a VerdictRow>,
    clearance: Option<&'a Clearance>,
    alerts: Vec<&'a Alert>,
}

pub(super) fn routes(view: SharedView) -> Router {
    let made: Arc<Mutex<Option<(u64, Bytes)>>> = Arc::default();
    let page = move || async move {
        let snapshot = view.snapshot();
        let mut made = made.lock().unwrap_or_else(PoisonError::into_inner);
        let known = made.as_ref().filter(|(version, _)| *version == snapshot.version);
        let bytes = known.map_or_else(|| encoded(&snapshot), |(_, bytes)| bytes.clone());
        *made = Some((snapshot.version, bytes.clone()));
        ([(header::CONTENT_TYPE, "application/json")], bytes).into_response()
    };
    Router::new().route("/api/v1/fleet", get(page))
}

fn encoded(view: &View) -> Bytes {
    // Maps with string keys and numbers: it cannot fail.
    Bytes::from(serde_json::to_vec(&fleet(view)).unwrap_or_default())
}

/// What `/api/v1/fleet` says.
pub(crate) fn fleet(view: &View) -> serde_json::Value {
    let is_open = |alert: &&Alert| alert.state != AlertState::Resolved;
    let mut open: Vec<&Alert> = view.alerts.iter().filter(is_open).collect();
    open.sort_by_key(|alert| (of_decision(alert.decision), alert.starts_at));
    json!({
        "version": view.version,
        "evaluated_until": view.evaluated_until,
        "rings": view.rings,
        "changes": rows(view),
        "alerts": open.iter().map(|alert| json!({
            "id": alert.id, "state": alert.state, "decision": alert.decision,
            "severity": alert.severity, "change": alert.change, "ring": alert.ring,
            "signal": alert.signal, "summary": alert.summary, "starts_at": alert.starts_at,
            "action": alert.action.what,
        })).collect::<Vec<_>>(),
        "resolved": view.alerts.len() - open.len(),
        "counts": view.counts,
        "windows": view.windows,
        "down": view.down,
        "publisher": view.publisher.name(),
        "paused": view.desk.paused(),
    })
}

/// Every change, the most urgent first.
pub(super) fn rows(view: &View) -> Vec<Row> {
    let mut gathered: BTreeMap<&str, BTreeMap<&str, Gathered<'_>>> = BTreeMap::new();
    for row in view.verdicts.iter() {
        gathered.entry(&row.change).or_default().entry(&row.ring).or_default().verdicts.push(row);
    }
    for row in view.clearances.iter() {
        let cell = gathered.entry(&row.change).or_default().entry(&row.ring).or_default();
        cell.clearance = Some(row);
    }
    for alert in view.alerts.iter().filter(|alert| !alert.change.is_empty()) {
        let cell = gathered.entry(&alert.change).or_default().entry(&alert.ring).or_default();
        cell.alerts.push(alert);
    }
    let mut rows: Vec<Row> = gathered
        .into_iter()
        .map(|(change, mut by_ring)| {
            let known = view.changes.binary_search_by(|row| (*row.change).cmp(change));
            let known = known.ok().map(|at| &view.changes[at]);
            let record = known.and_then(|known| known.record.as_ref());
            let cells = view
                .rings
                .iter()
                .map(|ring| Cell::of(&by_ring.remove(ring.as_str()).unwrap_or_default()));
            Row {
                change: change.to_owned(),
                title: record.and_then(|record| record.title.clone()),
                change_type: known.map_or("unknown", |known| known.change_type.name()).to_owned(),
                status: record.map(|record| record.status.name().to_owned()),
                watched: known.is_some(),
                cells: cells.collect(),
            }
        })
        .collect();
    rows.sort_by_key(|row| row.cells.iter().map(|cell| cell.standing).min());
    rows
}

const fn of_decision(decision: Decision) -> Standing {
    match decision {
        Decision::Escalate => Standing::Escalate,
        Decision::Rollback => Standing::Rollback,
        Decision::Hold => Standing::Hold,
        Decision::Watch => Standing::Watch,
        Decision::Clear => Standing::Clear,
    }
}

impl Cell {
    fn of(gathered: &Gathered<'_>) -> Self {
        let open = gathered.alerts.iter().filter(|alert| alert.state != AlertState::Resolved);
        let worst = open.clone().min_by_key(|alert| of_decision(alert.decision));
        let resolved = gathered.alerts.len() - open.count();
        let tested = gathered.verdicts.iter().filter(|row| row.line.is_some());
        let closest = tested.max_by(|one, other| surplus(one).total_cmp(&surplus(other)));
        let devices = gathered.verdicts.iter().map(|row| row.treated.devices).max();
        let (standing, why) = match worst {
            Some(alert) => (of_decision(alert.decision), alert.signal.clone()),
            None => quiet(gathered),
        };
        Self {
            standing,
            why,
            signal: closest.map(|row| row.signal),
            log_e: closest.map_or(0.0, |row| row.log_e),
            line: closest.and_then(|row| row.line),
            devices: devices.unwrap_or_default(),
            alert: worst.map(|alert| alert.id.clone()),
            resolved,
        }
    }
}

/// How far a test is beyond its line; negative below it.
fn surplus(row: &VerdictRow) -> f64 {
    row.log_e - row.line.unwrap_or(f64::INFINITY)
}

/// What stands in a cell without an alert.
fn quiet(gathered: &Gathered<'_>) -> (Standing, String) {
    if let Some(row) = gathered.verdicts.iter().find(|row| row.watch) {
        return (Standing::Watch, row.signal.name().to_owned());
    }
    let has_data = gathered.verdicts.iter().any(|row| row.verdict != Verdict::NoData);
    let Some(clearance) = gathered.clearance.filter(|_| has_data) else {
        let why = gathered.verdicts.iter().find_map(|row| row.missing.clone());
        return (Standing::NoData, why.unwrap_or_else(|| "not watched here".to_owned()));
    };
    match clearance.clearing {
        Clearing::Clear => (Standing::Clear, "safe to promote".to_owned()),
        Clearing::Blocked => (Standing::Insufficient, "it regressed here before".to_owned()),
        Clearing::Soaking => {
            let until = clearance.soaks_until.to_string().replace('T', " ");
            let until = until.get(5..16).unwrap_or(&until);
            (Standing::Insufficient, format!("soaks until {until}"))
        }
        Clearing::Waiting => {
            let names: Vec<&str> = clearance.waits_for.iter().map(|signal| signal.name()).collect();
            (Standing::Insufficient, format!("waits for {}", names.join(", ")))
        }
    }
}

/// One change by its name, if it is known.
pub(super) fn row(view: &View, change: &str) -> Option<Row> {
    rows(view).into_iter().find(|row| row.change == change)
}

/// A refusal for what is not known.
pub(super) fn unknown(what: &str) -> Response {
    let reason = format!("no such {what} is known here");
    (axum::http::StatusCode::NOT_FOUND, Json(json!({ "error": reason }))).into_response()
}
