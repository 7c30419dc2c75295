//! The log: events with fields on standard error, as text or JSON.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::output::Format;

/// Starts the log. `RINGWATCH_LOG` (e.g. `debug,rdkafka=warn`) wins over `-q` and `-v`.
pub fn start(verbosity: i8, format: Format) {
    let level = match verbosity {
        ..=-1 => "error",
        0 => "info",
        1 => "debug",
        2.. => "trace",
    };
    let quiet_libraries = format!("{level},librdkafka=warn,rdkafka=warn,ureq=warn,rustls=warn");
    let filter = EnvFilter::try_from_env("RINGWATCH_LOG")
        .unwrap_or_else(|_| EnvFilter::new(quiet_libraries));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none());
    // A second start (tests) leaves the first in place.
    let started = match format {
        Format::Json => builder.json().try_init(),
        Format::Text => builder.try_init(),
    };
    started.ok();
}
