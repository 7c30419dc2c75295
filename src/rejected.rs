//! The way of refused records to their topic, if there is one.

use std::time::Duration;

use ingest::{Record, RejectedTopic, SourceError};
use schemas::Rejection;

use crate::pipeline::PipelineError;
use crate::shutdown::Stop;

/// One wait for the topic of rejected records; it is repeated while the broker is out of reach.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Hands a refused record to its topic.
pub(crate) fn hand_on(
    topic: Option<&RejectedTopic>,
    stop: &Stop,
    record: &Record<'_>,
    rejection: &Rejection,
) -> Result<(), PipelineError> {
    let (stage, error) = (rejection.stage.name(), &rejection.error);
    let (stream, offset) = (record.stream, record.offset);
    tracing::debug!(%stream, offset, stage, error, "record rejected");
    let Some(topic) = topic else { return Ok(()) };
    patiently(stop, || topic.send(record, rejection, TIMEOUT))
}

/// Waits until the topic has everything, however long its broker is away.
pub(crate) fn flush(topic: Option<&RejectedTopic>, stop: &Stop) -> Result<(), PipelineError> {
    let Some(topic) = topic else { return Ok(()) };
    patiently(stop, || topic.flush(TIMEOUT))
}

/// Repeats what an outage of the topic holds up.
fn patiently(
    stop: &Stop,
    attempt: impl Fn() -> Result<(), SourceError>,
) -> Result<(), PipelineError> {
    loop {
        match attempt() {
            Err(error @ SourceError::RejectedTopic { .. }) if !stop.is_asked() => {
                tracing::warn!(%error, "waiting for the topic of rejected records");
            }
            outcome => return Ok(outcome?),
        }
    }
}
