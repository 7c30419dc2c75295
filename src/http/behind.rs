//! What stands behind the view: the data folder, the broker's ends, the destinations.
//!
//! Read on demand, one request at a time and away from the interface's thread: a slow store or
//! broker holds up neither it nor the pipeline.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use ingest::kafka::{KafkaConfig, ends};
use schemas::{Stream, Timestamp};
use tokio::sync::Semaphore;

use super::refusal;
use crate::clock::Clock;
use crate::config::Config;
use store::Blobs;

/// 5 s: a new question to the broker costs a connection, and lag by the second helps nobody.
const ENDS_FRESH: Duration = Duration::from_secs(5);

/// How long a broker may take to say where its partitions end.
const ENDS_WITHIN: Duration = Duration::from_secs(5);

/// What can be read beside the view; cheap to clone.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "a store and a clock have none")]
pub struct Behind {
    pub(super) store: Arc<dyn Blobs>,
    pub(super) clock: Arc<dyn Clock>,
    /// `None`: the input is not Kafka.
    kafka: Option<KafkaConfig>,
    pub(super) destinations: Vec<String>,
    turn: Arc<Semaphore>,
    ends: Arc<Mutex<Ends>>,
}

/// Where the partitions ended when the broker was last asked, and when that was.
type Ends = Option<(Duration, Result<BTreeMap<Stream, i64>, String>)>;

impl Behind {
    pub fn new(config: &Config, store: &Arc<dyn Blobs>, clock: &Arc<dyn Clock>) -> Self {
        let names = config.destinations.iter().map(|destination| destination.name.clone());
        Self {
            store: Arc::clone(store),
            clock: Arc::clone(clock),
            kafka: config.brokers.is_some().then(|| config.kafka.clone()),
            destinations: names.collect(),
            turn: Arc::new(Semaphore::new(1)),
            ends: Arc::default(),
        }
    }

    pub(super) fn wall(&self) -> Option<Timestamp> {
        self.clock.wall()
    }

    /// Reads in a thread of its own, after whoever asked before.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, String> + Send + 'static,
    ) -> Result<T, Response> {
        let failed = |reason: &str| refusal(StatusCode::SERVICE_UNAVAILABLE, reason);
        let turn = Arc::clone(&self.turn).acquire_owned().await;
        let Ok(_turn) = turn else { return Err(failed("the interface is closing")) };
        let behind = self.clone();
        match tokio::task::spawn_blocking(move || work(&behind)).await {
            Ok(read) => read.map_err(|reason| failed(&reason)),
            Err(_) => Err(failed("the reading came to an end")),
        }
    }

    /// Where each partition ends at the broker; blocks.
    pub(super) fn ends(&self) -> Result<BTreeMap<Stream, i64>, String> {
        let Some(kafka) = &self.kafka else { return Err("the input is not Kafka".to_owned()) };
        let mut known = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.monotonic();
        if let Some((at, ends)) = known.as_ref()
            && now.saturating_sub(*at) < ENDS_FRESH
        {
            return ends.clone();
        }
        let ends = ends(kafka, ENDS_WITHIN).map_err(|error| error.to_string());
        *known = Some((now, ends.clone()));
        ends
    }
}

/// An answer, or the refusal that stands in its place.
pub(super) fn answered<T: IntoResponse>(answer: Result<T, Response>) -> Response {
    match answer {
        Ok(answer) => answer.into_response(),
        Err(refused) => refused,
    }
}
