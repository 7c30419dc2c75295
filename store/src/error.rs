//! Why the store cannot go on.

use std::io;

use schemas::Stream;

/// What the world does to a store; what only a bug does is an assertion instead.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot {action} `{path}`")]
    Io { action: &'static str, path: String, source: io::Error },

    /// What an earlier sync lost cannot be known, so nothing more is written (faults.md).
    #[error("`{path}` was not written: an earlier sync failed; mend the disk, then start again")]
    SyncFailed { path: String },

    #[error("the folder `{path}` is opened for reading only")]
    ReadOnly { path: String },

    #[error("`{path}` cannot hold a data folder: {what}")]
    Unfit { path: String, what: &'static str, source: io::Error },

    #[error("`{key}` is damaged: {what}; restore it from a copy")]
    Damaged { key: String, what: String },

    #[error("`{key}` is missing")]
    Missing { key: String },

    /// Another process owns the log by now: drop the state and recover from what it wrote.
    #[error("number {number} is taken: writer {writer} wrote `{key}`")]
    Lost { key: String, number: u64, writer: String },

    #[error("the journal of {stream} is broken: {what}; restore `system/journal` from a copy")]
    Broken { stream: Stream, what: String },

    #[error("the data folder holds other input ({what}); choose another data folder")]
    OtherWorld { what: String },

    #[error(
        "the data folder was made with other settings ({what}); set them back or choose another \
         data folder: changing them in place comes with a later release"
    )]
    OtherSettings { what: String },

    #[error("cannot encode {what}")]
    Encode { what: &'static str, source: Box<dyn std::error::Error + Send + Sync> },
}

impl StoreError {
    pub(crate) fn damaged(key: &str, what: impl Into<String>) -> Self {
        Self::Damaged { key: key.to_owned(), what: what.into() }
    }

    pub(crate) fn encode(
        what: &'static str,
    ) -> impl FnOnce(Box<dyn std::error::Error + Send + Sync>) -> Self {
        move |source| Self::Encode { what, source }
    }
}
