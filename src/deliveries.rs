//! Starts one delivery loop per destination and hands it the chain.
//!
//! ```text
//! commit ─► Deliveries::offer ─► queue (bounded) ─► DestinationLoop ─► HTTP
//! chain  ─► ChainReader ─────────────────────►       │
//!                                                    └─► cursor system/cursors/<destination>
//! ```

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use alerts::delivery::{
    Backoff, CatchUp, Committed, DestinationConfig, DestinationLoop, Now, Running, Stopped,
    UreqClient, Wiring,
};
use schemas::{Alert, AlertState};
use store::{Blobs, Chain, cursor};

use crate::clock::Clock;
use crate::config::Config;
use crate::nonce;
use crate::summary::last_states;

/// Commits handed over at once while catching up: bounds memory, costs a read each.
const CATCH_UP_COMMITS_MAX: u64 = 256;

/// How long after its last commit a publisher sends: then another may have taken over.
pub const SEND_WITHIN: Duration = Duration::from_secs(30);

/// Why deliveries cannot start.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    #[error("a destination is not usable")]
    Destination(#[from] alerts::delivery::DestinationError),
    #[error("cannot use the data folder")]
    Store(#[from] store::StoreError),
    #[error("cannot start a thread")]
    Thread(#[from] std::io::Error),
}

/// The loops of all destinations; they run while this process publishes.
#[derive(Default)]
pub struct Deliveries {
    setting: Option<Setting>,
    running: Vec<Running>,
    lease: Lease,
}

struct Setting {
    destinations: Vec<DestinationConfig>,
    queued_max: usize,
    store: Arc<dyn Blobs>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Deliveries {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Deliveries").field("running", &self.running).finish_non_exhaustive()
    }
}

/// When the publisher last committed, in milliseconds of its own clock.
#[derive(Clone, Debug, Default)]
struct Lease(Arc<AtomicU64>);

impl Lease {
    fn holds(&self, now: Duration) -> bool {
        let since = Duration::from_millis(self.0.load(Ordering::Acquire));
        now.saturating_sub(since) < SEND_WITHIN
    }
}

impl Deliveries {
    /// Checks every destination; nothing is sent before [`Deliveries::start`].
    pub fn new(
        config: &Config,
        store: &Arc<dyn Blobs>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, DeliveryError> {
        for destination in &config.destinations {
            destination.open()?;
        }
        let setting = Setting {
            destinations: config.destinations.clone(),
            queued_max: config.deliveries_queued_max,
            store: Arc::clone(store),
            clock: Arc::clone(clock),
        };
        Ok(Self { setting: Some(setting), ..Self::default() })
    }

    /// Gives every new destination its place: alerts raised from `end` on are its own.
    pub fn place_cursors(&self, end: u64) {
        let Some(setting) = &self.setting else { return };
        for destination in &setting.destinations {
            let placed = match cursor::read(&*setting.store, &destination.name) {
                Ok(None) => cursor::write(&*setting.store, &destination.name, end),
                other => other.map(drop),
            };
            if let Err(error) = placed {
                tracing::warn!(%error, "cannot place a delivery cursor; it begins later");
            }
        }
    }

    /// Starts a loop for every destination, unless they run.
    pub fn start(&mut self) -> Result<(), DeliveryError> {
        let Some(setting) = self.setting.as_ref().filter(|_| self.running.is_empty()) else {
            return Ok(());
        };
        for destination in &setting.destinations {
            self.running.push(setting.spawn(destination, &self.lease)?);
        }
        Ok(())
    }

    /// Offers a commit that is in the chain; never blocks.
    pub fn offer(&self, sequence: u64, alerts: &[Arc<Alert>]) {
        for running in &self.running {
            running.feed.offer(Committed { sequence, alerts: alerts.to_vec() });
        }
    }

    /// Lets the loops send for [`SEND_WITHIN`] after a commit at `committed`.
    pub fn renew(&self, committed: Duration) {
        self.lease.0.store(committed.as_millis() as u64, Ordering::Release);
    }

    /// Asks all loops to bring out what they hold, and waits for them.
    pub fn stop(&mut self) {
        self.running.iter().for_each(Running::ask_to_stop);
        for running in self.running.drain(..) {
            if running.wait() == Stopped::Abandoned {
                tracing::warn!(
                    "a destination did not answer; what it lacks is sent at the next start"
                );
            }
        }
    }
}

impl Setting {
    fn spawn(
        &self,
        destination: &DestinationConfig,
        lease: &Lease,
    ) -> Result<Running, DeliveryError> {
        let destination = destination.open()?;
        let (name, folder) = (destination.name().to_owned(), Arc::clone(&self.store));
        let saved = start(&self.store, &name)?;
        let clock = Arc::clone(&self.clock);
        let (leased, lease) = (Arc::clone(&self.clock), lease.clone());
        let wiring = Wiring {
            http: Box::new(UreqClient::new(&destination)),
            destination,
            catch_up: Box::new(ChainReader(Arc::clone(&self.store))),
            cursor: saved,
            save_cursor: Box::new(move |sequence| {
                if let Err(error) = cursor::advance(&*folder, &name, sequence) {
                    // The next save says more; until then a restart delivers again.
                    tracing::warn!(%error, "cannot save a delivery cursor");
                }
            }),
            may_send: Box::new(move || lease.holds(leased.monotonic())),
            clock: Box::new(move || Now {
                wall: clock.wall().unwrap_or_default(),
                elapsed: clock.monotonic(),
            }),
            random: Box::new(random()),
            backoff: Backoff::default(),
            queued_max: self.queued_max,
        };
        Ok(DestinationLoop::spawn(wiring)?)
    }
}

/// Where a destination goes on; a new one at the end of the chain, not with years of old alerts.
fn start(store: &Arc<dyn Blobs>, name: &str) -> Result<u64, store::StoreError> {
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
