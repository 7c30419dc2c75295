//! The HTTP interface: metrics, probes, what can be seen, and commands (contracts.md 6).
//!
//! ```text
//! connection ─► Bounded (slots, idle time) ─► Host header ─► /metrics  the recorder
//!                                                            /livez /readyz
//!                                                  / /assets the dashboard's files
//!                   /api/v1/fleet, alerts, rings, changes, pipeline, events ◄─ View, Behind
//! ```
//! In: a [`SharedView`] that the pipeline writes, and what stands [`Behind`] it. Out: text and
//! JSON. A command goes into the data folder, and nothing else can be changed here.
//! It has a thread and a runtime of its own, so that a slow reader slows nothing else.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use tokio::sync::oneshot;

use crate::config::HttpConfig;
use crate::failure::Failure;
use crate::shutdown::Stop;
use crate::view::SharedView;

mod api;
mod behind;
mod bounded;
mod change;
mod commands;
mod episode;
mod events;
pub(crate) mod fleet;
mod flow;
mod host;
pub mod metrics;
mod page;
pub mod reference;

pub use behind::Behind;
use bounded::Bounded;
pub use commands::Gate;
use events::Feed;
use host::Hosts;

/// 1 s: time for answers on their way when the service ends; nobody waits for a dashboard.
const FINISH_WITHIN: Duration = Duration::from_secs(1);

/// Why there is no HTTP interface.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("cannot listen on {listen}; set `http.listen` to a free address, or to \"\" for none")]
    Listen { listen: SocketAddr, source: std::io::Error },
}

/// The running interface.
#[derive(Debug)]
pub struct Serving {
    /// Where it listens; the port that was found if 0 was asked for.
    pub address: SocketAddr,
    finish: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Serving {
    /// Closes it; back within a second or so.
    pub fn finish(self) {
        // Either side may be gone first: both mean that it is over.
        self.finish.send(()).ok();
        if self.thread.join().is_err() {
            tracing::error!("the HTTP interface had ended before");
        }
    }
}

/// Starts the interface; `None` if the configuration wants none.
pub fn start(
    config: &HttpConfig,
    view: SharedView,
    gate: Gate,
    behind: Behind,
    stop: &Stop,
) -> Result<Option<Serving>, Failure> {
    let Some(listen) = config.listen else { return Ok(None) };
    let failed = |source| Failure::failed(HttpError::Listen { listen, source });
    let listener = TcpListener::bind(listen).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let feed = Feed::new();
    let looking = feed.clone().run(view.clone());
    let router = Router::new()
        .merge(api::routes(view.clone(), stop.clone()))
        .merge(fleet::routes(view.clone()))
        .merge(change::routes(view.clone()))
        .merge(episode::routes(view.clone(), behind.clone()))
        .merge(metrics::routes(view.clone(), behind.clone()))
        .merge(flow::routes(view.clone(), behind, feed.clone()))
        .merge(events::routes(feed))
        .merge(commands::routes(view, gate));
    let router = guarded_by(Hosts::new(&config.hosts), router);
    let (finish, finished) = oneshot::channel();
    let serve = move || {
        if let Err(error) = runtime.block_on(serve(listener, router, looking, finished)) {
            tracing::error!(%error, "the HTTP interface ended");
        }
        runtime.shutdown_timeout(FINISH_WITHIN);
    };
    let thread = thread::Builder::new().name("http".to_owned()).spawn(serve)?;
    tracing::info!(%address, "listening for HTTP");
    Ok(Some(Serving { address, finish, thread }))
}

/// Serves until `finished` comes, or its sender is gone.
async fn serve(
    listener: TcpListener,
    router: Router,
    looking: impl Future<Output = ()> + Send + 'static,
    finished: oneshot::Receiver<()>,
) -> std::io::Result<()> {
    tokio::spawn(looking);
    let listener = Bounded::new(tokio::net::TcpListener::from_std(listener)?);
    tokio::select! {
        ended = axum::serve(listener, router) => ended,
        _ = finished => Ok(()),
    }
}

/// The routes with the pages that need nothing, behind the guard.
fn guarded_by(hosts: Hosts, routes: Router) -> Router {
    let hosts = Arc::new(hosts);
    let guard = middleware::from_fn(move |request: Request, next: Next| {
        let hosts = Arc::clone(&hosts);
        async move { guarded(&hosts, request, next).await }
    });
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .merge(page::routes())
        .merge(routes)
        .fallback(|| async { refusal(StatusCode::NOT_FOUND, "there is no such page") })
        .method_not_allowed_fallback(|| async {
            refusal(StatusCode::METHOD_NOT_ALLOWED, "this method is not served here")
        })
        .layer(guard)
}

/// Nothing but our own files, and no script or style that does not stand in one of them.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; object-src 'none'; base-uri 'none'; \
                                       form-action 'self'; frame-ancestors 'none'";

/// Refuses names that are not ours and commands of other pages, and marks every answer as fresh
/// and as what it says it is.
async fn guarded(hosts: &Hosts, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|value| value.to_str().ok());
    let mut response = if !host.is_some_and(|host| hosts.accept(host)) {
        let reason = "this Host is not served; add its name to `http.hosts`";
        refusal(StatusCode::MISDIRECTED_REQUEST, reason)
    } else if !request.method().is_safe() && host::is_foreign(request.headers()) {
        refusal(StatusCode::FORBIDDEN, "another page may not give commands here")
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn refusal(status: StatusCode, reason: &str) -> Response {
    (status, Json(json!({ "error": reason }))).into_response()
}

#[cfg(test)]
mod tests;
