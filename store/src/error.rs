//! Why the store cannot go on.

use std::io;

use schemas::Stream;

/// What the world does to a store; what only a bug does is an assertion instead.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot {action} `{path}`")]
    Io { action: &'static str, path: String, source: io::Error },

    /// An object store did not answer, or asked to be left alone for a while.
    #[error("the object store could not {action} `{key}`")]
    Unavailable {
        action: &'static str,
        key: String,
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// An object store answered, and will not do it before somebody mends something.
    #[error(
        "the object store refuses to {action} `{key}`; check the names of bucket and region, the \
         credentials, and what they are allowed to do"
    )]
    Refused { action: &'static str, key: String, source: Box<dyn std::error::Error + Send + Sync> },

    #[error("`{url}` cannot be a data folder: {what}")]
    BadUrl { url: String, what: &'static str },

    /// Nothing in the environment, and nobody to ask on this machine.
    #[error(
        "no credentials for `{url}`: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or \
         AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or run it where a role or a \
         managed identity gives them"
    )]
    NoCredentials { url: String, source: Box<dyn std::error::Error + Send + Sync> },

    #[error(
        "`{url}` cannot be a data folder: {what}; choose a store with conditional writes \
         (If-None-Match on put), as Amazon S3 and Azure Blob have them"
    )]
    NoPutIfAbsent { url: String, what: &'static str },

    /// What an earlier sync lost cannot be known, so nothing more is written (faults.md).
    #[error(
        "the folder `{path}` could not be synced, and what it holds by now is not known; \
         mend the disk, then start again"
    )]
    SyncFailed { path: String, source: Option<io::Error> },

    #[error("`{path}` is opened for reading only")]
    ReadOnly { path: String },

    #[error("`{path}` cannot hold a data folder: {what}")]
    Unfit { path: String, what: &'static str, source: io::Error },

    #[error(
        "`{key}` is damaged: {what}; restore it from a copy, or let `ringwatch rebuild` make the \
         data folder anew from what the topics still hold"
    )]
    Damaged { key: String, what: String },

    #[error("`{key}` is missing")]
    Missing { key: String },

    /// Another process owns the log by now: drop the state and recover from what it wrote.
    #[error("number {number} is taken: writer {writer} wrote `{key}`")]
    Lost { key: String, number: u64, writer: String },

    #[error(
        "the journal of {stream} is broken: {what}; restore `system/journal` from a copy, or let \
         `ringwatch rebuild` make the data folder anew from what the topics still hold"
    )]
    Broken { stream: Stream, what: String },

    #[error("the data folder holds other input ({what}); choose another data folder")]
    OtherWorld { what: String },

    #[error(
        "the topic has {found} partitions, and the data folder knows {known}: devices have moved \
         between them; go on with --accept-growth, by which what is known of each device begins \
         afresh, or choose another data folder"
    )]
    Grown { known: i32, found: i32 },

    #[error(
        "the data folder was made with other settings ({what}); set them back or choose another \
         data folder: changing them in place comes with a later release"
    )]
    OtherSettings { what: String },

    #[error("the data folder was set aside, and may have been made anew, since this process began")]
    MadeAnew,

    #[error("there is no data folder of ringwatch here: nothing to set aside")]
    NoFolder,

    #[error(
        "setting the data folder aside was interrupted: let `ringwatch rebuild` finish it before \
         anything else"
    )]
    SettingAside,

    #[error("cannot encode {what}")]
    Encode { what: &'static str, source: Box<dyn std::error::Error + Send + Sync> },
}

impl StoreError {
    /// Whether the same call may succeed later: the store is away, full or slow.
    ///
    /// After such an error of a write it is not known whether it took effect.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Io { .. } | Self::Unavailable { .. })
    }

    pub(crate) fn damaged(key: &str, what: impl Into<String>) -> Self {
        Self::Damaged { key: key.to_owned(), what: what.into() }
    }

    pub(crate) fn encode(
        what: &'static str,
    ) -> impl FnOnce(Box<dyn std::error::Error + Send + Sync>) -> Self {
        move |source| Self::Encode { what, source }
    }
}
