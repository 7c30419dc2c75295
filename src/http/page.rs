//! The dashboard's files, as they stand in `src/dashboard/`, in the binary itself.
//!
//! No build chain makes them and nothing is fetched from elsewhere: it works offline. One page
//! shows everything; its parts are told apart behind the `#`.

use axum::Router;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::refusal;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// Name, kind and content of each file.
const FILES: &[(&str, &str, &str)] = &[
    ("style.css", CSS, include_str!("../dashboard/style.css")),
    ("theme.js", JS, include_str!("../dashboard/theme.js")),
    ("app.js", JS, include_str!("../dashboard/app.js")),
    ("dom.js", JS, include_str!("../dashboard/dom.js")),
    ("live.js", JS, include_str!("../dashboard/live.js")),
    ("fleet.js", JS, include_str!("../dashboard/fleet.js")),
    ("change.js", JS, include_str!("../dashboard/change.js")),
    ("curves.js", JS, include_str!("../dashboard/curves.js")),
    ("alert.js", JS, include_str!("../dashboard/alert.js")),
    ("pipeline.js", JS, include_str!("../dashboard/pipeline.js")),
    ("uPlot.js", JS, include_str!("../dashboard/vendor/uPlot.iife.min.js")),
    ("uPlot.css", CSS, include_str!("../dashboard/vendor/uPlot.min.css")),
    ("uPlot.LICENSE", TEXT, include_str!("../dashboard/vendor/LICENSE")),
    ("icon.svg", "image/svg+xml", include_str!("../dashboard/icon.svg")),
];

pub(super) fn routes() -> Router {
    let page =
        || async { ([(header::CONTENT_TYPE, HTML)], include_str!("../dashboard/index.html")) };
    Router::new().route("/", get(page)).route("/assets/{name}", get(asset))
}

async fn asset(Path(name): Path<String>) -> Response {
    match FILES.iter().find(|(known, ..)| *known == name) {
        Some((_, kind, text)) => ([(header::CONTENT_TYPE, *kind)], *text).into_response(),
        None => refusal(StatusCode::NOT_FOUND, "there is no such file"),
    }
}
