//! Starts one delivery loop per destination and hands it the chain.
//!
//! ```text
//! commit ─► Deliveries::offer ─► queue (bounded) ─► DestinationLoop ─► HTTP
//! chain  ─► ChainReader ─────────────────────►       │
//!                                                    └─► cursor system/cursors/<destination>
//! ```

use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use alerts::delivery::{
    Acting, Backoff, CatchUp, Committed, DestinationConfig, DestinationLoop, Notice, Now,
    OpenAlert, Refused, Running, Standing, Stopped, Taken, UreqClient, Wiring,
};
use alerts::{Desk, LinkRule};
use schemas::Alert;
use store::served::{RefusedAlert, Served};
use store::{Blobs, Chain, cursor, served};

use crate::clock::Clock;
use crate::config::Config;
use crate::nonce;
use crate::orders::Orders;

/// Commits handed over at once while catching up: bounds memory, costs a read each.
const CATCH_UP_COMMITS_MAX: u64 = 256;

/// How long after its last commit a publisher sends: then another may have taken over.
pub const SEND_WITHIN: Duration = Duration::from_secs(30);

/// 5 s: each attempt reads the data folder, and the others wait for it.
const START_EVERY: Duration = Duration::from_secs(5);

/// 1 min: who was told of a destination that is gone hears of its end that much later, if the data
/// folder is away. Each attempt may give a command.
const FORGET_EVERY: Duration = Duration::from_mins(1);

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
    /// Destinations that cannot start yet, and when to try again.
    held_up: BTreeMap<String, Duration>,
    /// When to look for destinations that are gone.
    forget_at: Duration,
    lease: Lease,
    /// Whether an operator has paused what acts.
    paused: Arc<AtomicBool>,
}

struct Setting {
    destinations: Vec<DestinationConfig>,
    queued_max: usize,
    links: LinkRule,
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
            links: config.links.clone(),
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

    pub fn has_destinations(&self) -> bool {
        self.setting.as_ref().is_some_and(|setting| !setting.destinations.is_empty())
    }

    /// The longest that a request may take.
    pub fn request_longest(&self) -> Duration {
        let destinations = self.setting.iter().flat_map(|setting| &setting.destinations);
        destinations.map(|destination| destination.request_timeout).max().unwrap_or_default()
    }

    /// Starts a loop for every destination that has none: `desk` is as of the last commit.
    ///
    /// One that cannot be started for now is tried again by a later call.
    pub fn start(&mut self, desk: &Desk) -> Result<(), DeliveryError> {
        let Some(setting) = &self.setting else { return Ok(()) };
        let now = setting.clock.monotonic();
        let open = LazyCell::new(|| setting.open(desk));
        for destination in &setting.destinations {
            let name = &destination.name;
            let runs = self.running.iter().any(|running| running.destination() == name);
            if runs || self.held_up.get(name).is_some_and(|&at| now < at) {
                continue;
            }
            match setting.spawn(destination, &open, &self.lease, &self.paused) {
                Ok(running) => self.running.push(running),
                Err(DeliveryError::Store(error)) if error.is_transient() => {
                    if self.held_up.insert(name.clone(), now + START_EVERY).is_none() {
                        tracing::warn!(%error, name, "a destination cannot start yet");
                    }
                }
                Err(error) => return Err(error),
            }
        }
        if now >= self.forget_at {
            self.forget_at = Duration::MAX;
            if let Err(error) = setting.forget_removed() {
                tracing::warn!(%error, "cannot look for destinations that are gone; trying again");
                self.forget_at = now + FORGET_EVERY;
            }
        }
        Ok(())
    }

    /// Offers a commit that is in the chain; never blocks.
    pub fn offer(&self, commit: &Committed) {
        for running in &self.running {
            running.feed.offer(commit.clone());
        }
    }

    /// Whether destinations that act may do so from now on.
    pub fn set_acting(&self, acting: Acting) {
        self.paused.store(acting == Acting::Paused, Ordering::Release);
    }

    /// Lets the loops send for [`SEND_WITHIN`] after a commit at `committed`.
    pub fn renew(&self, committed: Duration) {
        self.lease.0.store(committed.as_millis() as u64, Ordering::Release);
    }

    /// Asks all loops to bring out what they hold, and waits for them.
    pub fn stop(&mut self) -> Stopped {
        self.held_up.clear();
        self.forget_at = Duration::ZERO;
        Running::stop(std::mem::take(&mut self.running))
    }
}

impl Setting {
    /// What stands open, with the links of this installation.
    fn open(&self, desk: &Desk) -> Vec<OpenAlert> {
        let open = |(alert, muted)| {
            let alert = Arc::new(self.links.linked(alert));
            OpenAlert { alert, muted }
        };
        desk.told().map(open).collect()
    }

    /// Ends the alert that a destination takes nothing, where the configuration no longer has it.
    fn forget_removed(&self) -> Result<(), store::StoreError> {
        let orders = Orders::new(&self.store, &self.clock);
        let is_here = |name: &str| self.destinations.iter().any(|known| known.name == name);
        for (name, served) in served::all(&*self.store)? {
            if served.given_up && !is_here(&name) {
                orders.give(Notice::Works.order(&name).0, "ringwatch".to_owned(), None)?;
                let over = Served { given_up: false, failing: None, ..served };
                served::write(&*self.store, &name, &over)?;
            }
        }
        Ok(())
    }

    fn spawn(
        &self,
        destination: &DestinationConfig,
        open: &LazyCell<Vec<OpenAlert>, impl FnOnce() -> Vec<OpenAlert>>,
        lease: &Lease,
        paused: &Arc<AtomicBool>,
    ) -> Result<Running, DeliveryError> {
        let destination = destination.open_among(&self.destinations)?;
        let (name, folder) = (destination.name().to_owned(), Arc::clone(&self.store));
        let (saved, standing) = (start(&self.store, &name)?, standing(&self.store, &name)?);
        let clock = Arc::clone(&self.clock);
        let paused = Arc::clone(paused);
        let (shown, stood) = (Arc::clone(&self.store), name.clone());
        let (told, orders) = (name.clone(), Orders::new(&self.store, &self.clock));
        let (leased, lease) = (Arc::clone(&self.clock), lease.clone());
        let wiring = Wiring {
            http: Box::new(UreqClient::new(&destination)),
            destination,
            catch_up: Box::new(ChainReader {
                store: Arc::clone(&self.store),
                links: self.links.clone(),
            }),
            cursor: saved,
            open: Vec::clone(open),
            save_cursor: Box::new(move |sequence| {
                if let Err(error) = cursor::advance(&*folder, &name, sequence) {
                    // The next save says more; until then a restart delivers again.
                    tracing::warn!(%error, "cannot save a delivery cursor");
                }
            }),
            standing,
            save_standing: Box::new(move |standing| {
                match served::write(&*shown, &stood, &as_served(standing)) {
                    Ok(()) => Taken::Yes,
                    Err(error) => {
                        tracing::warn!(%error, "cannot save how a destination stands; retrying");
                        Taken::No
                    }
                }
            }),
            notify: Box::new(move |notice| notify(&orders, &told, notice)),
            acting: Box::new(move || {
                if paused.load(Ordering::Acquire) { Acting::Paused } else { Acting::Allowed }
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

fn standing(store: &Arc<dyn Blobs>, name: &str) -> Result<Standing, store::StoreError> {
    let served = served::read(&**store, name)?;
    let refused = served.refused.into_iter().map(|refused| {
        let RefusedAlert { alert, transition, reason } = refused;
        Refused { alert, transition, reason }
    });
    Ok(Standing { failing: served.failing, given_up: served.given_up, refused: refused.collect() })
}

fn as_served(standing: &Standing) -> Served {
    let refused = standing.refused.iter().cloned().map(|refused| {
        let Refused { alert, transition, reason } = refused;
        RefusedAlert { alert, transition, reason }
    });
    Served {
        failing: standing.failing.clone(),
        given_up: standing.given_up,
        refused: refused.collect(),
    }
}

/// Gives a command, which the publisher takes into the chain, for what others must know.
fn notify(orders: &Orders, destination: &str, notice: &Notice) -> Taken {
    tracing::warn!(destination, ?notice, "a destination has something to say");
    let (order, reason) = notice.order(destination);
    let author = format!("destination:{destination}");
    match orders.give(order, author, reason.map(str::to_owned)) {
        Ok(_) => Taken::Yes,
        Err(error) => {
            tracing::warn!(%error, "cannot pass on what a destination says; trying again");
            Taken::No
        }
    }
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
struct ChainReader {
    store: Arc<dyn Blobs>,
    links: LinkRule,
}

type ReadError = Box<dyn Error + Send + Sync>;

impl CatchUp for ChainReader {
    fn since(&self, sequence: u64) -> Result<Vec<Committed>, ReadError> {
        let chain = Chain::open(Arc::clone(&self.store))?;
        let end = chain.next_sequence().min(sequence.saturating_add(CATCH_UP_COMMITS_MAX));
        (sequence..end)
            .map(|sequence| Ok(Committed::of(chain.read(sequence)?, &self.links)))
            .collect()
    }

    fn last(&self, ids: &[String]) -> Result<Vec<Arc<Alert>>, ReadError> {
        let chain = Chain::open(Arc::clone(&self.store))?;
        let (mut wanted, mut last) = (BTreeSet::from_iter(ids), Vec::new());
        for commit in chain.newest_first() {
            if wanted.is_empty() {
                break;
            }
            let told = Committed::of(commit?, &self.links).alerts;
            last.extend(told.into_iter().rev().filter(|alert| wanted.remove(&alert.id)));
        }
        last.reverse();
        Ok(last)
    }
}

#[cfg(test)]
mod tests {
    use schemas::Commit;
    use store::MemoryStore;

    use super::*;
    use crate::examples::firing;

    fn alert(name: &str, transition: u32) -> Alert {
        Alert { transition, ..firing(name) }
    }

    #[test]
    fn how_an_alert_stands_is_read_from_the_end_and_no_further_back_than_needed() {
        let store: Arc<dyn Blobs> = Arc::new(MemoryStore::new());
        let mut chain = Chain::open(Arc::clone(&store)).unwrap();
        for sequence in 0..300 {
            let alerts = match sequence {
                290 => vec![alert("one", 1), alert("one", 2), alert("two", 1)],
                295 => vec![alert("two", 2), alert("three", 1)],
                _ => Vec::new(),
            };
            // What nobody was told of says nothing of how it stands for a destination.
            let quiet = if sequence == 295 { vec![1] } else { Vec::new() };
            chain.append(&Commit { v: 1, sequence, alerts, quiet, ..Commit::default() }).unwrap();
        }
        store.delete("system/chain/00000000000000000005").unwrap();
        let reader = ChainReader { store, links: LinkRule::default() };
        let ids = ["rw-one", "rw-two"].map(str::to_owned);
        let last = reader.last(&ids).unwrap();
        let last: Vec<_> = last.iter().map(|alert| (&*alert.id, alert.transition)).collect();
        assert_eq!(last, [("rw-one", 2), ("rw-two", 2)]);
        assert!(reader.last(&["rw-three".to_owned()]).is_err(), "it looks back to what is missing");
    }
}
