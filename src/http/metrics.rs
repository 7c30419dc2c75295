//! The recorder of all metrics, and the page on which Prometheus reads them.

use std::sync::OnceLock;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use super::behind::Behind;
use super::flow::Lag;
use crate::view::SharedView;

/// Seconds, from a journal entry on a fast disk to a request that times out: 1 ms to 60 s.
const SECONDS_LE: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// A process has one recorder.
static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();

/// Installs the recorder and declares every metric; a second call changes nothing.
///
/// Call it first: what is counted before is counted nowhere.
pub fn install() -> Result<(), BuildError> {
    if RECORDER.get().is_some() {
        return Ok(());
    }
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS_LE)?
        .install_recorder()?;
    // Two threads cannot come this far: the second fails to install.
    RECORDER.set(handle).ok();
    describe();
    Ok(())
}

/// Declares every metric to the recorder in place.
pub(super) fn describe() {
    ingest::metrics::describe();
    aggregate::metrics::describe();
    store::metrics::describe();
    alerts::metrics::describe();
    alerts::delivery::describe();
    crate::metrics::describe();
}

pub(super) fn routes(view: SharedView, behind: Behind) -> Router {
    Router::new().route("/metrics", get(page)).with_state((view, behind))
}

/// All metrics in the text format of Prometheus.
async fn page(State((view, behind)): State<(SharedView, Behind)>) -> Response {
    // Ages grow while nothing happens: they are made when they are asked for.
    let lag = Lag::of(&view.lock(), behind.wall());
    crate::metrics::lag(lag.watermark_seconds, lag.evaluation_seconds);
    let Some(recorder) = RECORDER.get() else {
        return super::refusal(StatusCode::SERVICE_UNAVAILABLE, "metrics are not recorded");
    };
    recorder.run_upkeep();
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, recorder.render()).into_response()
}
