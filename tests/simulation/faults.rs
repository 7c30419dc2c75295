//! A store in memory that fails as stores do: before the effect, after it, for a while, for good.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use store::{Blobs, MemoryStore, Put, StoreError};

use super::clock::Time;
use super::rng::Rng;

/// How often the store fails, in a thousand calls.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rates {
    /// No effect: a conflict, a 503, a full disk.
    pub(super) refused: usize,
    /// The effect, but an error: the answer was lost.
    pub(super) unanswered: usize,
    /// The process dies in the call, before or after the effect.
    pub(super) crashed: usize,
    pub(super) slow: usize,
}

/// What all processes of a run share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) blobs: MemoryStore,
    pub(super) time: Time,
    rng: Mutex<Rng>,
    rates: Mutex<Rates>,
    /// Until when nothing works, in microseconds.
    away_until: AtomicU64,
    pub(super) calls: AtomicU64,
}

impl Shared {
    pub(super) fn new(time: Time, rng: Rng, rates: Rates) -> Self {
        Self {
            blobs: MemoryStore::new(),
            time,
            rng: Mutex::new(rng),
            rates: Mutex::new(rates),
            away_until: AtomicU64::new(0),
            calls: AtomicU64::new(0),
        }
    }

    /// The store is away for that long.
    pub(super) fn go_away(&self, time: Duration) {
        let until = self.time.now() + time;
        self.away_until.store(until.as_micros() as u64, Ordering::Relaxed);
    }

    /// From now on everything works.
    pub(super) fn heal(&self) {
        let none = Rates { refused: 0, unanswered: 0, crashed: 0, slow: 0 };
        *self.rates.lock().unwrap_or_else(PoisonError::into_inner) = none;
        self.away_until.store(0, Ordering::Relaxed);
    }

    /// What happens to the next call.
    fn fate(&self) -> Fate {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.time.pass(Duration::from_millis(1));
        if (self.time.now().as_micros() as u64) < self.away_until.load(Ordering::Relaxed) {
            return Fate::Refused;
        }
        let rates = *self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        let dice = rng.below(1_000);
        let steps = [
            (rates.refused, Fate::Refused),
            (rates.unanswered, Fate::Unanswered),
            (rates.crashed, Fate::CrashedBefore),
            (rates.crashed, Fate::CrashedAfter),
        ];
        let mut below = 0;
        for (share, fate) in steps {
            below += share;
            if dice < below {
                return fate;
            }
        }
        if dice < below + rates.slow {
            self.time.pass(Duration::from_secs(3));
        }
        Fate::Works
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Works,
    Refused,
    Unanswered,
    CrashedBefore,
    CrashedAfter,
}

/// The store as one process sees it.
#[derive(Debug)]
pub(super) struct FaultyStore {
    pub(super) shared: Arc<Shared>,
    /// The process is dead: nothing it does has an effect any more.
    pub(super) is_dead: Arc<AtomicBool>,
}

impl FaultyStore {
    fn call<T>(
        &self,
        key: &str,
        act: impl FnOnce(&MemoryStore) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let dead = || StoreError::ReadOnly { path: "a dead process".to_owned() };
        let away = || StoreError::Unavailable {
            action: "answer for",
            key: key.to_owned(),
            source: "simulated".into(),
        };
        if self.is_dead.load(Ordering::Relaxed) {
            return Err(dead());
        }
        match self.shared.fate() {
            Fate::Works => act(&self.shared.blobs),
            Fate::Refused => Err(away()),
            Fate::Unanswered => {
                act(&self.shared.blobs)?;
                Err(away())
            }
            fate => {
                if fate == Fate::CrashedAfter {
                    act(&self.shared.blobs)?;
                }
                self.is_dead.store(true, Ordering::Relaxed);
                Err(dead())
            }
        }
    }
}

impl Blobs for FaultyStore {
    fn put_if_absent(&self, key: &str, bytes: &[u8]) -> Result<Put, StoreError> {
        let was_alive = !self.is_dead.load(Ordering::Relaxed);
        let put = self.call(key, |blobs| blobs.put_if_absent(key, bytes));
        // A large object may be left half written where its writer died.
        let dies = was_alive && self.is_dead.load(Ordering::Relaxed);
        if dies && key.starts_with("system/snapshots") {
            self.shared.blobs.put_if_absent(key, &bytes[..bytes.len() / 2])?;
        }
        put
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.call(key, |blobs| blobs.get(key))
    }

    fn get_start(&self, key: &str, bytes_max: usize) -> Result<Option<Vec<u8>>, StoreError> {
        self.call(key, |blobs| blobs.get_start(key, bytes_max))
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.call(prefix, |blobs| blobs.list(prefix))
    }

    fn replace(&self, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.call(key, |blobs| blobs.replace(key, bytes))
    }

    fn publish(&self, staged: &str, key: &str) -> Result<(), StoreError> {
        self.call(key, |blobs| blobs.publish(staged, key))
    }

    fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.call(key, |blobs| blobs.delete(key))
    }

    fn sync(&self, prefix: &str) -> Result<(), StoreError> {
        self.call(prefix, |blobs| blobs.sync(prefix))
    }
}
