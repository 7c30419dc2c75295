//! Whether devices come back (`no_return`, detection 1): trials by deadline, in counts alone.
//!
//! ```text
//!  heartbeat   heartbeat    installing      installed        (silence)
//! ─────┼───────────┼─────────────┼───────────────┼──────────────────────┤ deadline + lag
//!   trial ─ back ► trial ─ withdrawn: attempt ─ withdrawn: attempt ───► failed
//! ```
//! A trial is posted to the window of its deadline when it begins, its outcome when it is known,
//! and what did not come back by then has failed. So a trial costs two counts and no timer, and all
//! trials of a window, of every arm, are decided at once when the lag is over.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::accumulate::{Rows, ScopeId};
use crate::device::{Device, Group};
use crate::hash::{MULTIPLIER, Map, NumberHash};
use crate::intern::NameId;
use crate::measures::ReturnSums;
use crate::sets::SetId;
use crate::state::{Reader, StateError, Writer};

/// No device has to be back sooner, however short its interval: a restart with an update in it
/// takes its time.
const RETURN_S_MIN: i64 = 3_600;

/// Quarters of its interval within which a device is back.
const RETURN_QUARTERS: i64 = 5;

/// Whose trials: attempts of a change in a ring, or heartbeats and boots of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum Who {
    Devices(Group),
    Attempts(u8, NameId),
}

impl Who {
    /// In 25 bits. Cheap where the variant is known: a record's two keys are made of it.
    #[inline]
    const fn word(self) -> u32 {
        let (kind, ring, number) = match self {
            Self::Devices(Group { ring, set }) => (0, ring, set.0),
            Self::Attempts(ring, change) => (1, ring, change.0),
        };
        kind << 24 | (ring as u32) << 16 | number as u32
    }
}

/// A window of deadlines and whose trials, in one word: every heartbeat looks up two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key(u64);

/// A power of two, above the groups by windows of deadlines of a fleet that reports by the hour.
const REMEMBERED: usize = 4_096;

impl Key {
    /// Of no window and nobody.
    const NOBODY: Self = Self(u64::MAX);

    /// `window` follows from a deadline, which has 32 bits; `who` is a [`Who::word`].
    #[inline]
    const fn new(window: u32, who: u32) -> Self {
        Self((window as u64) << 32 | who as u64)
    }

    fn parts(self) -> (i64, Who) {
        let (ring, number) = ((self.0 >> 16) as u8, self.0 as u16);
        let who = match self.0 >> 24 & 1 {
            0 => Who::Devices(Group { ring, set: SetId(number) }),
            _ => Who::Attempts(ring, NameId(number)),
        };
        ((self.0 >> 32) as i64, who)
    }
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Trials {
    begun: i64,
    back: i64,
}

/// What a record means to the trial that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A heartbeat or boot: the device is back, and a trial begins. One that came after a newer
    /// record does so unless it is older than the trial that is open.
    Back(Order),
    /// An update record from `installing` on; of that change where the device is exposed to it.
    Attempt(Option<NameId>),
    /// The device changed group, or is not expected: a trial still open counts for nothing.
    Withdraw,
}

/// Whether a record is the newest of its device, or came after a newer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Newest,
    Late,
}

/// Trials of one partition that are not decided yet.
#[derive(Clone, Debug)]
pub(crate) struct Returns {
    window_s: u32,
    /// 2^64 / `window_s`, rounded up: two deadlines of every heartbeat are divided.
    reciprocal: u128,
    /// By number of the window of the deadline.
    trials: Vec<(Key, Trials)>,
    places: Map<Key, u32>,
    /// Places of `trials` that nobody has.
    free: Vec<u32>,
    /// By a few bits of the key, the place that was looked at last: to compare costs a fraction of
    /// looking it up.
    remembered: Vec<u32>,
    due: BTreeMap<i64, Vec<Who>>,
    /// Windows before this are decided.
    decided: i64,
    /// The moment from which on a further window can be.
    next_ms: i64,
}

impl Returns {
    pub(crate) fn new(hash: NumberHash, window_s: u32) -> Self {
        Self {
            window_s,
            reciprocal: (1_u128 << 64).div_ceil(u128::from(window_s)),
            trials: Vec::new(),
            places: Map::with_hasher(hash),
            free: Vec::new(),
            remembered: vec![0; REMEMBERED],
            due: BTreeMap::new(),
            decided: 0,
            next_ms: 0,
        }
    }

    /// Stores the trials; what is due when follows from them.
    pub(crate) fn save(&self, out: &mut Writer) {
        out.put(&self.decided);
        let open = self.trials.iter().filter(|(key, _)| *key != Key::NOBODY);
        let mut trials: Vec<_> = open.map(|(key, trials)| (key.parts(), trials)).collect();
        trials.sort_unstable_by_key(|(key, _)| *key);
        out.put_all(trials.into_iter());
    }

    pub(crate) fn load(&mut self, from: &mut Reader<'_>) -> Result<(), StateError> {
        self.decided = from.take()?;
        let trials: Vec<((i64, Who), Trials)> = from.take_all(Reader::take)?;
        for ((window, who), sums) in trials {
            let number = u32::try_from(window).map_err(|_| StateError::Damaged)?;
            let place = self.begin(Key::new(number, who.word()));
            self.trials[place].1 = sums;
        }
        Ok(())
    }

    /// Everybody whose trials are open.
    pub(crate) fn known(&self) -> impl Iterator<Item = Who> {
        self.places.keys().map(|key| key.parts().1)
    }

    /// Takes up what a record at `at_ms` means for a device that is in the group `after` from then
    /// on, and still stands in the one before; `clock_ms` is the partition's clock.
    pub(crate) fn step(
        &mut self,
        device: &mut Device,
        (at_ms, clock_ms): (i64, i64),
        after: Group,
        step: Step,
    ) {
        let who = match device.tried {
            NameId::NONE => Who::Devices(device.group()).word(),
            change => Who::Attempts(device.group().ring, change).word(),
        };
        let in_time = at_ms <= i64::from(device.due_s) * 1_000;
        let due_s = due_s(at_ms, device.interval_s);
        match step {
            Step::Back(Order::Late) if due_s <= device.due_s => return,
            Step::Back(_) if in_time => self.count(device.due_s, who, |trials| trials.back += 1),
            // An attempt lasts until a newer one, which shows that the device lives.
            Step::Attempt(_) if in_time || device.tried.is_some() => {
                self.count(device.due_s, who, |trials| trials.begun -= 1);
            }
            Step::Withdraw if in_time => {
                self.count(device.due_s, who, |trials| trials.begun -= 1);
            }
            // Too late: what was open has failed.
            _ => {}
        }
        (device.due_s, device.tried) = (0, NameId::NONE);
        let (who, tried) = match step {
            Step::Withdraw | Step::Attempt(None) => return,
            Step::Attempt(Some(change)) => (Who::Attempts(after.ring, change).word(), change),
            Step::Back(_) => (Who::Devices(after).word(), NameId::NONE),
        };
        // A record that comes after its own deadline is itself the proof that the device was back.
        if i64::from(due_s) * 1_000 < clock_ms {
            return;
        }
        (device.due_s, device.tried) = (due_s, tried);
        self.count(due_s, who, |trials| trials.begun += 1);
    }

    /// `due_s / window_s` (Lemire, Kaser and Kurz 2019, "Faster remainder by direct computation":
    /// exact, as both have 32 bits).
    #[inline]
    const fn window(&self, due_s: u32) -> u32 {
        ((due_s as u128 * self.reciprocal) >> 64) as u32
    }

    #[inline]
    fn count(&mut self, due_s: u32, who: u32, change: impl FnOnce(&mut Trials)) {
        let window = self.window(due_s);
        if due_s == 0 || i64::from(window) < self.decided {
            return;
        }
        let key = Key::new(window, who);
        let near = (key.0.wrapping_mul(MULTIPLIER) >> (64 - REMEMBERED.ilog2())) as usize;
        match self.trials.get_mut(self.remembered[near] as usize) {
            Some((known, trials)) if *known == key => change(trials),
            _ => {
                let place = self.find_or_begin(key);
                self.remembered[near] = place as u32;
                change(&mut self.trials[place].1);
            }
        }
    }

    #[inline(never)]
    fn find_or_begin(&mut self, key: Key) -> usize {
        let known = self.places.get(&key).copied();
        known.map_or_else(|| self.begin(key), |place| place as usize)
    }

    /// A place for trials that are the first of their key.
    fn begin(&mut self, key: Key) -> usize {
        let (window, who) = key.parts();
        self.due.entry(window).or_default().push(who);
        let place = self.free.pop().unwrap_or_else(|| {
            self.trials.push((key, Trials::default()));
            self.trials.len() as u32 - 1
        });
        self.trials[place as usize] = (key, Trials::default());
        self.places.insert(key, place);
        place as usize
    }

    /// Trials that are over; their place is free.
    fn end(&mut self, key: Key) -> Trials {
        let Some(place) = self.places.remove(&key) else { return Trials::default() };
        self.free.push(place);
        let nobody = (Key::NOBODY, Trials::default());
        std::mem::replace(&mut self.trials[place as usize], nobody).1
    }

    /// Decides the trials of every window that has ended at `certain_ms`.
    pub(crate) fn decide(
        &mut self,
        certain_ms: i64,
        rows: &mut Rows,
        mut place: impl FnMut(i64) -> schemas::delta::Place,
    ) {
        if certain_ms < self.next_ms {
            return;
        }
        let window_s = i64::from(self.window_s);
        let until = certain_ms.div_euclid(window_s * 1_000);
        self.decided = self.decided.max(until);
        self.next_ms = (self.decided + 1) * window_s * 1_000;
        while let Some(entry) = self.due.first_entry().filter(|entry| *entry.key() < until) {
            let (window, who) = entry.remove_entry();
            let place = place(window * window_s * 1_000);
            let number = u32::try_from(window).unwrap_or(u32::MAX);
            for who in who {
                let Trials { begun, back } = self.end(Key::new(number, who.word()));
                let (ring, scope) = match who {
                    Who::Devices(Group { ring, set }) => (ring, ScopeId::Set(set)),
                    Who::Attempts(ring, change) => (ring, ScopeId::Change(change)),
                };
                assert!((0..=begun).contains(&back), "who comes back was expected");
                if begun > 0 {
                    let sums = ReturnSums { trials: begun, failed: begun - back };
                    rows.measures.returns((place, ring, scope), sums);
                }
            }
        }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let due: usize = self.due.values().map(|who| 64 + who.capacity() * 6).sum();
        let places = self.places.capacity() * 17 + self.free.capacity() * 4 + REMEMBERED * 4;
        due + places + self.trials.capacity() * size_of::<(Key, Trials)>()
    }
}

/// The deadline of a trial that begins at `at_ms`, in Unix seconds rounded up; 0 beyond 2106.
fn due_s(at_ms: i64, interval_s: u32) -> u32 {
    let within_s = (i64::from(interval_s) * RETURN_QUARTERS / 4).max(RETURN_S_MIN);
    let due_ms = u64::try_from(at_ms + within_s * 1_000).unwrap_or(0);
    u32::try_from(due_ms.div_ceil(1_000)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_window_of_a_deadline_is_the_quotient(
            window_s in prop_oneof![1_u32..100, 1_u32..90_000, 1_u32..=u32::MAX],
            due_s: u32,
        ) {
            let returns = Returns::new(NumberHash::new([1, 2]), window_s);
            let multiple = due_s / window_s * window_s;
            for due_s in [due_s, multiple, multiple.saturating_sub(1), 0, u32::MAX] {
                prop_assert_eq!(returns.window(due_s), due_s / window_s);
            }
        }
    }
}
