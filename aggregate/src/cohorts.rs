//! Devices at risk by ring, set and cohort, as they stand when an hour begins.
//!
//! Like `Levels`, by differences: a device that comes to be at risk counts from the next hour on,
//! once for all devices and once for each value of a cohort dimension that is known of it. So an
//! hour costs its cohorts, not its devices, and a heartbeat costs nothing.

use std::collections::BTreeMap;

use schemas::Span;

use crate::accumulate::CohortId;
use crate::device::{Device, Group, SlotNames};
use crate::hash::{Map, NumberHash};
use crate::intern::NameId;
use crate::state::{Reader, StateError, Writer};

/// Length of an hour.
pub(crate) const HOUR_MS: i64 = Span::hours(1).as_millis();

/// All devices of a group (`None`), or those with one value.
pub(crate) type Key = (Group, CohortId);

#[derive(Clone, Debug)]
pub(crate) struct Cohorts {
    hash: NumberHash,
    /// Dimensions, and how many values of each have rows of their own.
    slot_count: usize,
    values_max: u16,
    /// At risk at the start of the hour that was looked at last.
    now: Map<Key, i64>,
    begun_ms: i64,
    /// What has come since, by the hour in which it happened.
    open: BTreeMap<i64, Map<Key, i64>>,
    refused: u64,
}

impl Cohorts {
    pub(crate) fn new(hash: NumberHash, slot_count: usize, values_max: u16) -> Self {
        let (now, open) = (Map::with_hasher(hash), BTreeMap::new());
        Self { hash, slot_count, values_max, now, begun_ms: 0, open, refused: 0 }
    }

    pub(crate) fn save(&self, out: &mut Writer) {
        out.put(&(self.begun_ms, self.refused));
        save_counts(&self.now, out);
        out.put(&self.open.len());
        for (hour, counts) in &self.open {
            out.put(hour);
            save_counts(counts, out);
        }
    }

    pub(crate) fn load(&mut self, from: &mut Reader<'_>) -> Result<(), StateError> {
        (self.begun_ms, self.refused) = from.take()?;
        let counts: Vec<(Key, i64)> = from.take_all(Reader::take)?;
        self.now.extend(counts);
        self.open = from.take_all(|from| {
            let mut open = Map::with_hasher(self.hash);
            let hour = from.take()?;
            let counts: Vec<(Key, i64)> = from.take_all(Reader::take)?;
            open.extend(counts);
            Ok((hour, open))
        })?;
        Ok(())
    }

    /// Every group and cohort that something is counted of.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> {
        self.open.values().chain([&self.now]).flat_map(|counts| counts.keys().copied())
    }

    /// So many devices like this one more, or less, are at risk from a moment on.
    ///
    /// Under its names the device comes and goes at its newest record at the earliest: what a late
    /// record tells may be from before it took them on.
    pub(crate) fn post(&mut self, device: &Device, group: Group, at_ms: i64, devices: i64) {
        self.add((group, None), at_ms, devices);
        let at_ms = at_ms.max(device.newest_ms);
        for slot in 0..self.slot_count {
            self.post_slot(group, (slot, device.names[slot]), at_ms, devices);
        }
    }

    /// The device goes by other names from a moment on.
    pub(crate) fn rename(&mut self, device: &Device, names: &SlotNames, at_ms: i64) {
        for (slot, &name) in names.iter().enumerate().take(self.slot_count) {
            if name != device.names[slot] {
                self.post_slot(device.group(), (slot, device.names[slot]), at_ms, -1);
                self.post_slot(device.group(), (slot, name), at_ms, 1);
            }
        }
    }

    /// Values count under their own name in the order of first sight, so a value's row is the same
    /// at every moment of its life.
    fn post_slot(&mut self, group: Group, (slot, name): (usize, NameId), at_ms: i64, devices: i64) {
        if !name.is_some() {
            return;
        }
        let beyond = name != NameId::OTHER && !name.is_among_first(self.values_max);
        self.refused += u64::from(beyond && devices > 0);
        let name = if beyond { NameId::OTHER } else { name };
        self.add((group, Some((slot as u8, name))), at_ms, devices);
    }

    fn add(&mut self, key: Key, at_ms: i64, devices: i64) {
        if at_ms <= self.begun_ms {
            return add(&mut self.now, key, devices);
        }
        let hour = (at_ms - 1).div_euclid(HOUR_MS) * HOUR_MS;
        let hash = self.hash;
        add(self.open.entry(hour).or_insert_with(|| Map::with_hasher(hash)), key, devices);
    }

    /// Moves to the hour that begins at `hour_ms`: everybody at risk at that moment.
    pub(crate) fn begin(&mut self, hour_ms: i64) -> impl Iterator<Item = (Key, i64)> {
        while let Some(entry) = self.open.first_entry().filter(|entry| *entry.key() < hour_ms) {
            entry.remove().into_iter().for_each(|(key, devices)| add(&mut self.now, key, devices));
        }
        self.begun_ms = self.begun_ms.max(hour_ms);
        self.now.iter().map(|(&key, &devices)| (key, devices))
    }

    /// Devices counted as `__other__` because of the bound on values.
    pub(crate) const fn refused(&self) -> u64 {
        self.refused
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let open: usize = self.open.values().map(Map::capacity).sum();
        (open + self.now.capacity()) * (size_of::<(Key, i64)>() + 1)
    }
}

fn add(counts: &mut Map<Key, i64>, key: Key, devices: i64) {
    let count = counts.entry(key).or_default();
    *count += devices;
    if *count == 0 {
        counts.remove(&key);
    }
}

fn save_counts(counts: &Map<Key, i64>, out: &mut Writer) {
    let mut sorted: Vec<_> = counts.iter().collect();
    sorted.sort_unstable();
    out.put_all(sorted.into_iter());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Identity;

    #[test]
    fn who_is_at_risk_when_the_hour_begins_counts_in_it() {
        let mut cohorts = Cohorts::new(NumberHash::new([1, 2]), 0, 1);
        let device = Device::new(Identity::default(), Group::default());
        for (at_ms, devices) in [(HOUR_MS, 3), (HOUR_MS + 1, 10), (2 * HOUR_MS, -1)] {
            cohorts.post(&device, Group::default(), at_ms, devices);
        }
        let mut at = |hour: i64| cohorts.begin(hour * HOUR_MS).map(|(_, count)| count).sum::<i64>();
        assert_eq!([at(1), at(2), at(7)], [3, 12, 12]);
    }

    #[test]
    fn values_beyond_the_bound_stand_together_whenever_they_come_and_go() {
        let mut cohorts = Cohorts::new(NumberHash::new([1, 2]), 1, 1);
        let mut names = crate::intern::Names::new([1, 2], 10);
        let [one, two] = ["one", "two"].map(|name| names.id(name, NameId::NONE));
        let mut device = Device::new(Identity::default(), Group::default());
        let rows = |cohorts: &mut Cohorts, hour: i64| {
            let rows = cohorts.begin(hour * HOUR_MS).filter_map(|((_, key), n)| Some((key?.1, n)));
            let mut rows: Vec<_> = rows.collect();
            rows.sort_unstable();
            rows
        };
        device.names[0] = two;
        cohorts.post(&device, Group::default(), HOUR_MS, 1);
        assert_eq!(rows(&mut cohorts, 1), [(NameId::OTHER, 1)]);
        let mut renamed = device.names;
        renamed[0] = one;
        cohorts.rename(&device, &renamed, HOUR_MS + 1);
        assert_eq!(rows(&mut cohorts, 2), [(one, 1)]);
        assert_eq!(cohorts.refused(), 1);
    }
}
