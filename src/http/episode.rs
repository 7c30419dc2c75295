//! One alert: how it came about, what was said to it, who was told, and its arithmetic.
//!
//! In: the chain, the cursors of the destinations, the tables. Out: JSON.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use schemas::{Alert, Command, Commit, Order};
use serde_json::{Value, json};
use store::{Blobs, Chain, cursor, served};

use super::behind::{Behind, answered};
use super::refusal;
use crate::verbs::explain::explained;
use crate::view::{PublisherRole, SharedView, View};

#[derive(Clone)]
struct Shown {
    view: SharedView,
    behind: Behind,
}

pub(super) fn routes(view: SharedView, behind: Behind) -> Router {
    Router::new()
        .route("/api/v1/alerts/{id}", get(alert))
        .route("/api/v1/alerts/{id}/explanation", get(explanation))
        .with_state(Shown { view, behind })
}

async fn alert(State(shown): State<Shown>, Path(id): Path<String>) -> Response {
    let view = shown.view.snapshot();
    let Some(alert) = view.alerts.iter().find(|alert| alert.id == id).cloned() else {
        return refusal(StatusCode::NOT_FOUND, unknown(&view));
    };
    let silences: Vec<_> = view.desk.silences().iter().collect();
    let (muted_by, paused) = (view.desk.muted().get(&id).cloned(), view.desk.paused().cloned());
    let standing = json!({ "muted_by": muted_by, "paused": paused, "silences": silences });
    let read = move |behind: &Behind| told(behind, &alert, &standing);
    answered(shown.behind.read(read).await.map(Json))
}

/// Why an alert is not found.
const fn unknown(view: &View) -> &'static str {
    match view.publisher {
        PublisherRole::Leading => "no such alert is known",
        PublisherRole::Recovering => "recovering: alerts follow",
        PublisherRole::Standby => "another process publishes: it knows the alerts",
    }
}

/// The alert with its timeline and deliveries.
fn told(behind: &Behind, alert: &Alert, standing: &Value) -> Result<Value, String> {
    let failed = |error: store::StoreError| error.to_string();
    let commits = since_it_began(&behind.store, &alert.id).map_err(failed)?;
    let mut timeline = Vec::new();
    // The commit that holds each transition that somebody may be told of.
    let mut told_in = Vec::new();
    for commit in &commits {
        for (at, told) in (0_u32..).zip(&commit.alerts) {
            if told.id != alert.id {
                continue;
            }
            let quiet = commit.quiet.contains(&at);
            timeline.push(json!({
                "at": told.updated_at, "transition": told.transition, "state": told.state,
                "summary": told.summary, "log_e": told.evidence.log_e, "quiet": quiet,
                "commit": commit.sequence,
            }));
            if !quiet {
                told_in.push((told.transition, told.state, commit.sequence));
            }
        }
        let about = commit.commands.iter().filter(|command| is_about(command, &alert.id));
        timeline.extend(about.map(|command| {
            json!({
                "at": command.at, "command": command.order, "author": command.author,
                "reason": command.reason, "commit": commit.sequence,
            })
        }));
    }
    let mut deliveries = Vec::new();
    for name in &behind.destinations {
        let cursor = cursor::read(&*behind.store, name).map_err(failed)?;
        let served = served::read(&*behind.store, name).map_err(failed)?;
        let rows = told_in.iter().map(|&(transition, state, commit)| {
            let refused = served
                .refused
                .iter()
                .find(|refused| refused.alert == alert.id && refused.transition == transition);
            let passed = cursor.is_some_and(|cursor| cursor > commit);
            let outcome = match (refused, passed) {
                (Some(_), _) => "refused",
                (None, true) => "done",
                (None, false) => "waiting",
            };
            json!({
                "transition": transition, "state": state, "outcome": outcome,
                "reason": refused.map(|refused| &refused.reason),
            })
        });
        deliveries.push(json!({
            "destination": name, "failing": served.failing, "given_up": served.given_up,
            "transitions": rows.collect::<Vec<_>>(),
        }));
    }
    let mut standing = standing.clone();
    standing["alert"] = json!(alert);
    standing["timeline"] = json!(timeline);
    standing["deliveries"] = json!(deliveries);
    Ok(standing)
}

/// The commits from that on in which an alert began.
fn since_it_began(store: &Arc<dyn Blobs>, id: &str) -> Result<Vec<Commit>, store::StoreError> {
    let mut commits = Vec::new();
    for commit in Chain::open(Arc::clone(store))?.newest_first() {
        let commit = commit?;
        let began = commit.alerts.iter().any(|alert| alert.id == id && alert.transition == 1);
        commits.push(commit.said());
        if began {
            break;
        }
    }
    commits.reverse();
    Ok(commits)
}

fn is_about(command: &Command, id: &str) -> bool {
    matches!(&command.order, Order::Acknowledge { alert } if alert == id)
}

/// What `ringwatch explain` prints, from the tables as they stand.
async fn explanation(State(shown): State<Shown>, Path(id): Path<String>) -> Response {
    let view = shown.view.snapshot();
    if !view.alerts.iter().any(|alert| alert.id == id) {
        return refusal(StatusCode::NOT_FOUND, unknown(&view));
    }
    let read = move |behind: &Behind| {
        let explained = explained(&behind.store, &id).map_err(|error| error.line())?;
        let (explanation, tables_until) = explained;
        Ok(json!({
            "lines": explanation.lines(), "explanation": explanation,
            "tables_until": tables_until,
        }))
    };
    answered(shown.behind.read(read).await.map(Json))
}
