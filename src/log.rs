//! The log: events with fields on standard error, as text or JSON; and traces, where wanted.

use std::io::IsTerminal;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::output::Format;
use crate::traces::{self, Traces};

/// Starts the log. `RINGWATCH_LOG` (e.g. `debug,rdkafka=warn`) wins over `-q` and `-v`.
pub fn start(verbosity: i8, format: Format) -> Traces {
    let level = match verbosity {
        ..=-1 => "error",
        0 => "info",
        1 => "debug",
        2.. => "trace",
    };
    // A consumer of `rdkafka` calls it an error that it is closed before it is dropped.
    let quiet_libraries = format!(
        "{level},librdkafka=warn,rdkafka=warn,rdkafka::consumer::base_consumer=off,ureq=warn,\
         rustls=warn,{spans}=off",
        spans = traces::TARGET
    );
    let filter = EnvFilter::try_from_env("RINGWATCH_LOG")
        .unwrap_or_else(|_| EnvFilter::new(quiet_libraries));
    let text = tracing_subscriber::fmt::layer()
        .with_target(false)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none());
    let lines = match format {
        Format::Json => text.json().boxed(),
        Format::Text => text.boxed(),
    };
    let (spans, traces, told) = traces::start();
    let all = tracing_subscriber::registry().with(lines.with_filter(filter)).with(spans);
    // A second start (tests) leaves the first in place.
    all.try_init().ok();
    if let Err(reason) = told {
        tracing::warn!(reason, "no traces");
    }
    traces
}
