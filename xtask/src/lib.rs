//! What the project does to itself: a real broker for tests, records into it, checks, documents.
//!
//! ```text
//! cargo xtask ci | docs | kafka | object-store | bench | soak | evaluate    see main.rs
//! tests/*.rs ─► kafka::Broker, object_store::{Server, Proxy}, produce, fixture
//! ```
//! A library besides the binary, so that black-box tests use the same broker as the benchmark.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rdkafka::error::KafkaError;
use thiserror::Error;

pub mod bench;
pub mod bugs;
mod cache;
pub mod ci;
pub mod docs;
pub mod evaluate;
pub mod faults;
pub mod fixture;
mod fuzz;
pub mod kafka;
pub mod object_store;
pub mod produce;
pub mod record;
pub mod soak;

/// Why a task could not be done.
#[derive(Debug, Error)]
pub enum Failure {
    /// The operating system refused.
    #[error("cannot {doing}")]
    Io { doing: String, source: io::Error },
    /// The broker or its client refused.
    #[error("cannot {doing}")]
    Kafka { doing: String, source: KafkaError },
    /// A program ran and did not do what it was for; the text says what to do.
    #[error("{0}")]
    Unmet(String),
}

impl Failure {
    /// For `map_err`: what was being done when the operating system refused.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }

    /// For `map_err`: what was being done when the broker refused.
    pub(crate) fn kafka(doing: impl Into<String>) -> impl FnOnce(KafkaError) -> Self {
        let doing = doing.into();
        move |source| Self::Kafka { doing, source }
    }
}

/// A command without what cargo has told this process about itself: a build script that asks for
/// it (ring's does) would run again each time the answer differs, and with it half the build.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&*name);
        }
    }
    command
}

/// A flag that Ctrl-C and SIGTERM set.
pub(crate) fn stop_on_signals() -> Result<Arc<AtomicBool>, Failure> {
    let asked = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&asked))
            .map_err(Failure::io("wait for Ctrl-C"))?;
    }
    Ok(asked)
}

/// The top of the repository.
pub fn repository() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().map_or_else(|| xtask.to_owned(), Path::to_owned)
}
