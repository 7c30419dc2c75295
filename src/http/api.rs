//! What the pipeline shows of itself: readiness, alerts, rings, changes.

use std::collections::BTreeMap;

use alerts::{Clearance, DurationRow, VerdictRow};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use schemas::Alert;
use serde_json::{Value, json};

use crate::shutdown::Stop;
use crate::view::{PublisherRole, SharedView, View};

#[derive(Clone, Debug)]
struct Shown {
    view: SharedView,
    stop: Stop,
}

pub(super) fn routes(view: SharedView, stop: Stop) -> Router {
    Router::new()
        .route("/readyz", get(ready))
        .route("/api/v1/alerts", get(|State(shown): State<Shown>| async move { alerts(&shown) }))
        .route("/api/v1/rings", get(|State(shown): State<Shown>| async move { rings(&shown) }))
        .route("/api/v1/changes", get(|State(shown): State<Shown>| async move { changes(&shown) }))
        .with_state(Shown { view, stop })
}

/// Ready: the state is recovered, the broker is there but for moments, nobody has asked to stop.
async fn ready(State(shown): State<Shown>) -> Response {
    let reasons = reasons(&shown.view.lock(), &shown.stop);
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({ "ready": reasons.is_empty(), "reasons": reasons });
    (status, Json(body)).into_response()
}

fn reasons(view: &View, stop: &Stop) -> Vec<String> {
    let away = view.down.as_ref().filter(|_| view.is_away);
    let broker = away.map(|reason| format!("broker out of reach: {reason}"));
    let recovering = (view.publisher == PublisherRole::Recovering || !view.is_live)
        .then(|| "recovering".to_owned());
    let stopping = stop.is_asked().then(|| "stopping".to_owned());
    [broker, recovering, stopping].into_iter().flatten().collect()
}

/// One object per episode, in its last state.
fn alerts(shown: &Shown) -> Json<Value> {
    let view = shown.view.lock();
    let (publisher, until) = (view.publisher.name(), view.evaluated_until);
    let alerts = view.alerts.clone();
    drop(view);
    Json(json!({ "publisher": publisher, "evaluated_until": until, "alerts": alerts }))
}

/// The verdicts of each ring.
fn rings(shown: &Shown) -> Json<Value> {
    let view = shown.view.lock();
    let (publisher, until) = (view.publisher.name(), view.evaluated_until);
    let verdicts = view.verdicts.clone();
    drop(view);
    let rings: Vec<Value> = grouped(&verdicts, |row| &row.ring)
        .into_iter()
        .map(|(ring, verdicts)| json!({ "ring": ring, "verdicts": verdicts }))
        .collect();
    Json(json!({ "publisher": publisher, "evaluated_until": until, "rings": rings }))
}

/// The verdicts and alerts of each change, and where it is safe to promote.
fn changes(shown: &Shown) -> Json<Value> {
    let view = shown.view.lock();
    let (publisher, until) = (view.publisher.name(), view.evaluated_until);
    let (verdicts, alerts) = (view.verdicts.clone(), view.alerts.clone());
    let (clearances, durations) = (view.clearances.clone(), view.durations.clone());
    drop(view);
    let mut by_change = grouped(&verdicts, |row| &row.change);
    for alert in alerts.iter() {
        if by_change.iter().all(|(change, _)| *change != alert.change) {
            by_change.push((&alert.change, Vec::new()));
        }
    }
    let changes: Vec<Value> = by_change
        .into_iter()
        .map(|(change, verdicts)| {
            let alerts: Vec<&Alert> =
                alerts.iter().filter(|alert| alert.change == change).collect();
            let clearances: Vec<&Clearance> =
                clearances.iter().filter(|clearance| clearance.change == change).collect();
            let durations: Vec<&DurationRow> =
                durations.iter().filter(|row| row.change == change).collect();
            json!({
                "change": change,
                "verdicts": verdicts,
                "alerts": alerts,
                "clearances": clearances,
                "durations": durations,
            })
        })
        .collect();
    Json(json!({ "publisher": publisher, "evaluated_until": until, "changes": changes }))
}

/// The rows by a key, keys in the order in which they first appear: that of the rollout.
fn grouped<'a>(
    rows: &'a [VerdictRow],
    key: impl Fn(&'a VerdictRow) -> &'a String,
) -> Vec<(&'a str, Vec<&'a VerdictRow>)> {
    let mut places = BTreeMap::new();
    let mut groups: Vec<(&str, Vec<&VerdictRow>)> = Vec::new();
    for row in rows {
        let name = key(row).as_str();
        let place = *places.entry(name).or_insert_with(|| {
            groups.push((name, Vec::new()));
            groups.len() - 1
        });
        groups[place].1.push(row);
    }
    groups
}
