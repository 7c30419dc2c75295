//! Starts one delivery loop per destination and hands it the chain.
//!
//! ```text
//! commit ─► Outbox::offer ─► queue (bounded) ─► DestinationLoop ─► HTTP
//! chain  ─► ChainReader ─────────────────────►       │
//!                                                    └─► cursor system/cursors/<destination>
//! ```

use std::error::Error;
use std::sync::Arc;

use alerts::delivery::{
    Backoff, CatchUp, Committed, DestinationLoop, Feed, Now, Running, Stopped, UreqClient, Wiring,
};
use schemas::{Alert, AlertState};
use store::{Blobs, Chain, cursor};

use crate::clock::Clock;
use crate::config::Config;
use crate::failure::Failure;
use crate::nonce;
use crate::summary::last_states;

/// Commits handed over at once while catching up: bounds memory, costs a read each.
const CATCH_UP_COMMITS_MAX: u64 = 256;

/// The publisher's end of one destination's queue.
#[derive(Clone, Debug)]
pub struct Outbox(Feed);

impl Outbox {
    /// Offers a commit that is in the chain; never blocks.
    pub fn offer(&self, sequence: u64, alerts: &[Arc<Alert>]) {
        self.0.offer(Committed { sequence, alerts: alerts.to_vec() });
    }
}

/// The loops of all destinations.
#[derive(Debug, Default)]
pub struct Deliveries(Vec<Running>);

impl Deliveries {
    /// Starts a loop for every configured destination.
    pub fn start(
        config: &Config,
        store: &Arc<dyn Blobs>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, Failure> {
        let mut running = Vec::new();
        for destination in &config.destinations {
            let destination = destination.open()?;
            let (name, folder) = (destination.name().to_owned(), Arc::clone(store));
            let saved = start(store, &name)?;
            let clock = Arc::clone(clock);
            let wiring = Wiring {
                http: Box::new(UreqClient::new(&destination)),
                destination,
                catch_up: Box::new(ChainReader(Arc::clone(store))),
                cursor: saved,
                save_cursor: Box::new(move |sequence| {
                    if let Err(error) = cursor::write(&*folder, &name, sequence) {
                        // The next save says more; until then a restart delivers again.
                        tracing::warn!(%error, "cannot save a delivery cursor");
                    }
                }),
                clock: Box::new(move || Now {
                    wall: clock.wall().unwrap_or_default(),
                    elapsed: clock.monotonic(),
                }),
                random: Box::new(random()),
                backoff: Backoff::default(),
                queued_max: config.deliveries_queued_max,
            };
            running.push(DestinationLoop::spawn(wiring)?);
        }
        Ok(Self(running))
    }

    /// The ends that the publisher writes to.
    pub fn outboxes(&self) -> Vec<Outbox> {
        self.0.iter().map(|running| Outbox(running.feed.clone())).collect()
    }

    /// Asks all loops to bring out what they hold, and waits for them.
    pub fn finish(self) {
        self.0.iter().for_each(Running::ask_to_stop);
        for running in self.0 {
            if running.wait() == Stopped::Abandoned {
                tracing::warn!(
                    "a destination did not answer; what it lacks is sent at the next start"
                );
            }
        }
    }
}

/// Where a destination goes on; a new one at the end of the chain, not with years of old alerts.
fn start(store: &Arc<dyn Blobs>, name: &str) -> Result<u64, Failure> {
    if let Some(cursor) = cursor::read(&**store, name)? {
        return Ok(cursor);
    }
    let end = Chain::open(Arc::clone(store))?.next_sequence();
    cursor::write(&**store, name, end)?;
    Ok(end)
}

/// A stream of random words for the jitter of retries: splitmix64 from the system's randomness.
///
/// Source: G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators" (2014).
fn random() -> impl FnMut() -> u64 + Send {
    let [mut state, _] = nonce::seed();
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Reads the chain for a destination that was away.
#[derive(Debug)]
struct ChainReader(Arc<dyn Blobs>);

type ReadError = Box<dyn Error + Send + Sync>;

impl CatchUp for ChainReader {
    fn since(&self, sequence: u64) -> Result<Vec<Committed>, ReadError> {
        let chain = Chain::open(Arc::clone(&self.0))?;
        let end = chain.next_sequence().min(sequence.saturating_add(CATCH_UP_COMMITS_MAX));
        let mut commits = Vec::new();
        for sequence in sequence..end {
            let alerts = chain.read(sequence)?.alerts.into_iter().map(Arc::new).collect();
            commits.push(Committed { sequence, alerts });
        }
        Ok(commits)
    }

    fn open(&self) -> Result<Vec<Arc<Alert>>, ReadError> {
        let commits = Chain::open(Arc::clone(&self.0))?.read_all()?;
        let transitions = commits.iter().flat_map(|commit| &commit.alerts);
        let stands =
            |alert: &Alert| matches!(alert.state, AlertState::Firing | AlertState::Acknowledged);
        Ok(last_states(transitions).into_iter().filter(stands).map(Arc::new).collect())
    }
}
