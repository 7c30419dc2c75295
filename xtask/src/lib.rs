//! What the project does to itself: a real broker for tests, records into it, checks, documents.
//!
//! ```text
//! cargo xtask ci | docs | kafka | bench | soak        main.rs picks one of the modules below
//! tests/*.rs ─► kafka::Broker, produce, fixture
//! ```
//! A library besides the binary, so that black-box tests use the same broker as the benchmark.

use std::io;
use std::path::{Path, PathBuf};

use rdkafka::error::KafkaError;
use thiserror::Error;

pub mod bench;
pub mod ci;
pub mod docs;
pub mod faults;
pub mod fixture;
pub mod kafka;
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

/// The top of the repository.
pub fn repository() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().map_or_else(|| xtask.to_owned(), Path::to_owned)
}
