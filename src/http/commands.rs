//! Commands by HTTP (contracts.md 6): with a bearer token, or not at all.

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use schemas::{Matcher, Order, Timestamp};
use serde::Deserialize;
use serde_json::json;

use super::refusal;
use crate::config::Token;
use crate::orders::{Orders, may_silence};
use crate::view::SharedView;

/// 16 KiB: a silence with a long reason has one.
const BODY_BYTES_MAX: usize = 16 << 10;

/// Who may give commands, and where they go.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "it holds a secret and a store")]
pub struct Gate {
    /// `None`: nobody may.
    pub token: Option<Token>,
    pub orders: Orders,
}

/// What every command says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    author: String,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    matcher: Option<Matcher>,
    #[serde(default)]
    until: Option<Timestamp>,
}

pub(super) fn routes(view: SharedView, gate: Gate) -> Router {
    let silences = move |view: SharedView| async move {
        let view = view.lock();
        Json(json!({ "silences": view.desk.silences(), "muted": view.desk.muted() }))
    };
    Router::new()
        .route("/api/v1/alerts/{id}/ack", post(acknowledge))
        .route("/api/v1/silences", get(move || silences(view.clone())).post(silence))
        .route("/api/v1/silences/{id}/end", post(end_silence))
        .route("/api/v1/pause", post(pause))
        .route("/api/v1/resume", post(resume))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(gate)
}

async fn acknowledge(
    State(gate): State<Gate>,
    Path(alert): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    gate.obey(&headers, &body, |_| Ok(Order::Acknowledge { alert })).await
}

async fn silence(State(gate): State<Gate>, headers: HeaderMap, body: Bytes) -> Response {
    let order = |said: &mut Said| match (said.matcher.take(), said.until) {
        (Some(matcher), Some(until)) => {
            may_silence(&matcher, said.reason.as_deref())?;
            Ok(Order::Silence { matcher, until })
        }
        _ => Err("a silence needs `until` and a `matcher`"),
    };
    gate.obey(&headers, &body, order).await
}

async fn end_silence(
    State(gate): State<Gate>,
    Path(silence): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    gate.obey(&headers, &body, |_| Ok(Order::EndSilence { silence })).await
}

async fn pause(State(gate): State<Gate>, headers: HeaderMap, body: Bytes) -> Response {
    gate.obey(&headers, &body, |_| Ok(Order::Pause)).await
}

async fn resume(State(gate): State<Gate>, headers: HeaderMap, body: Bytes) -> Response {
    gate.obey(&headers, &body, |_| Ok(Order::Resume)).await
}

impl Gate {
    async fn obey(
        self,
        headers: &HeaderMap,
        body: &[u8],
        order: impl FnOnce(&mut Said) -> Result<Order, &'static str>,
    ) -> Response {
        let Some(token) = &self.token else {
            return refusal(StatusCode::FORBIDDEN, "commands need `http.token_file`; set it");
        };
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        if !given.and_then(|text| text.strip_prefix("Bearer ")).is_some_and(|g| token.is(g)) {
            return refusal(StatusCode::UNAUTHORIZED, "give the token: Authorization: Bearer …");
        }
        let said = serde_json::from_slice::<Said>(body).map_err(|error| error.to_string());
        let order = said.and_then(|mut said| match order(&mut said) {
            Ok(order) if !said.author.trim().is_empty() => Ok((order, said)),
            Ok(_) => Err("`author` is empty; say who gives the command".to_owned()),
            Err(reason) => Err(reason.to_owned()),
        });
        let (order, said) = match order {
            Ok(order) => order,
            Err(reason) => return refusal(StatusCode::BAD_REQUEST, &reason),
        };
        let orders = self.orders;
        let give = move || orders.give(order, said.author, said.reason);
        match tokio::task::spawn_blocking(give).await {
            Ok(Ok(command)) => (StatusCode::ACCEPTED, Json(json!(command))).into_response(),
            Ok(Err(error)) => {
                tracing::error!(%error, "a command could not be given");
                refusal(StatusCode::SERVICE_UNAVAILABLE, "the data folder takes nothing; try again")
            }
            Err(_) => refusal(StatusCode::INTERNAL_SERVER_ERROR, "the command came to an end"),
        }
    }
}
