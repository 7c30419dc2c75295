//! How a verb can end: its exit code, and one line that says what to do.

use std::error::Error;
use std::fmt::Write;
use std::process::ExitCode;

use crate::config::ConfigError;

/// Exit codes (contracts.md 5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    Fine,
    Failed,
    /// Usage or configuration.
    Usage,
    /// An alert is firing.
    Alerting,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(match outcome {
            Outcome::Fine => 0,
            Outcome::Failed => 1,
            Outcome::Usage => 2,
            Outcome::Alerting => 3,
        })
    }
}

/// An error on its way to the user, with the exit code it means.
#[derive(Debug)]
pub struct Failure {
    pub outcome: Outcome,
    error: Box<dyn Error + Send + Sync>,
}

impl Failure {
    /// Something that the user typed is wrong.
    pub fn usage(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { outcome: Outcome::Usage, error: error.into() }
    }

    /// Something that the world did.
    pub fn failed(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { outcome: Outcome::Failed, error: error.into() }
    }

    /// The error and its causes as one line.
    pub fn line(&self) -> String {
        let mut line = self.error.to_string();
        let mut source = self.error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            if !line.ends_with(&text) {
                // Writing to a string cannot fail.
                write!(line, ": {}", text.trim_end().replace('\n', " ")).ok();
            }
            source = cause.source();
        }
        line
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::usage(error)
    }
}

/// Everything else that can go wrong is the world's doing.
macro_rules! failed {
    ($($error:ty),+ $(,)?) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::failed(error)
            }
        })+
    };
}

failed!(
    crate::pipeline::PipelineError,
    ingest::SourceError,
    store::StoreError,
    alerts::delivery::DestinationError,
    crate::deliveries::DeliveryError,
    std::io::Error,
    serde_json::Error,
    crate::produce::ProduceError,
);
