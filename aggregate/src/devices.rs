//! The device table: identities to devices, in chunks that a clone shares until one is written to.
//!
//! A growing `Vec` would copy gigabytes in the middle of a record and hold twice the memory. For
//! the same reason a clone copies no device: the first to write copies the chunk, in a millisecond.
//! Identity hashing stands apart from the look-up, so that a caller can hash and prefetch ahead.

use crate::device::{Device, Group, Identity, stored};
use crate::hash::ShortHash;
use crate::index::Index;
use crate::memory::{Shared, prefetch};
use crate::state::{Reader, StateError, Writer};

/// Devices of one chunk: 0.9 MB, small beside any table that needs a second one.
const CHUNK_LENGTH: usize = 1 << 13;

/// All devices of one partition; never forgets one.
#[derive(Clone, Debug)]
pub(crate) struct Devices {
    seed: [u64; 2],
    hash: ShortHash,
    index: Index,
    /// All of one length; behind the last device stand places without one.
    chunks: Vec<Shared<Device>>,
    count: u32,
    count_max: u32,
    refused: u64,
}

impl Devices {
    pub(crate) fn new(seed: [u64; 2], count_max: u32) -> Self {
        let count_max = count_max.min(Index::COUNT_MAX);
        let hash = ShortHash::new(seed);
        let (index, chunks) = (Index::with_capacity(count_max, 0), Vec::new());
        Self { seed, hash, index, chunks, count: 0, count_max, refused: 0 }
    }

    /// Stores the devices in the order of their numbers; the index is made anew. With the seed:
    /// under another one nobody would be recognised.
    pub(crate) fn save(&self, out: &mut Writer) {
        out.put(&(self.seed, self.refused, self.len()));
        out.reserve(self.len() * stored::BYTES);
        self.iter().for_each(|device| out.put_bytes(&stored::bytes(device)));
    }

    pub(crate) fn load(&mut self, from: &mut Reader<'_>) -> Result<(), StateError> {
        let (seed, refused, count): ([u64; 2], u64, usize) = from.take()?;
        if seed != self.seed {
            return Err(StateError::Settings);
        }
        let rows = from.take_rows(count, stored::BYTES)?;
        let number = u32::try_from(count).ok().filter(|&number| number <= Index::COUNT_MAX);
        self.count = number.ok_or(StateError::Damaged)?;
        self.refused = refused;
        // A bound that was lowered refuses who is new, not who is there.
        self.index = Index::with_capacity(self.count_max.max(self.count), count);
        for rows in rows.chunks(CHUNK_LENGTH * stored::BYTES) {
            let mut chunk = places();
            for (place, row) in chunk.own().iter_mut().zip(rows.chunks_exact(stored::BYTES)) {
                *place = stored::device(row).ok_or(StateError::Damaged)?;
            }
            self.chunks.push(chunk);
        }
        let chunks = &self.chunks;
        let hash = |at: u32| device(chunks, at).identity().low;
        for at in 0..self.count {
            self.index.insert(hash(at), at, hash);
        }
        Ok(())
    }

    /// Every device, in the order of their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Device> {
        self.chunks.iter().flat_map(|chunk| chunk.iter()).take(self.len())
    }

    /// Device ids are chosen by devices: a keyed hash, so that nobody can make two collide.
    #[inline]
    pub(crate) fn identity(&self, device: &[u8]) -> Identity {
        let [low, high] = self.hash.of(device);
        Identity { low, high: high as u32 }
    }

    /// The identity of a device that is looked up soon: asks for where it stands.
    #[inline]
    pub(crate) fn announce(&self, device: &[u8]) -> Identity {
        let identity = self.identity(device);
        self.index.prefetch(identity.low);
        identity
    }

    /// Asks for what is known of devices that are announced.
    #[inline]
    pub(crate) fn look_ahead(&self, identities: &[Identity]) {
        for identity in identities {
            if let Some(at) = self.index.guess(identity.low) {
                self.prefetch(at);
            }
        }
    }

    /// The number of a device, new ones in `group`; `None` (and counted) beyond the bound.
    #[inline]
    pub(crate) fn find_or_add(&mut self, identity: Identity, group: Group) -> Option<u32> {
        let chunks = &self.chunks;
        let same = |at: u32| device(chunks, at).identity() == identity;
        let known = self.index.find(identity.low, same);
        if known.is_some() { known } else { self.add(identity, group) }
    }

    #[cold]
    fn add(&mut self, identity: Identity, group: Group) -> Option<u32> {
        let at = self.count;
        if at >= self.count_max {
            self.refused += 1;
            return None;
        }
        self.count += 1;
        if (at as usize).is_multiple_of(CHUNK_LENGTH) {
            self.chunks.push(places());
        }
        *self.get_mut(at) = Device::new(identity, group);
        let chunks = &self.chunks;
        self.index.insert(identity.low, at, |at| device(chunks, at).identity().low);
        Some(at)
    }

    /// Asks for a device that is looked at soon.
    #[inline]
    pub(crate) fn prefetch(&self, at: u32) {
        prefetch(self.get(at));
    }

    #[inline]
    pub(crate) fn get(&self, at: u32) -> &Device {
        device(&self.chunks, at)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, at: u32) -> &mut Device {
        &mut self.chunks[at as usize / CHUNK_LENGTH].own()[at as usize % CHUNK_LENGTH]
    }

    pub(crate) const fn len(&self) -> usize {
        self.count as usize
    }

    pub(crate) const fn refused(&self) -> u64 {
        self.refused
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.chunks.len() * CHUNK_LENGTH * size_of::<Device>() + self.index.memory_bytes()
    }
}

#[inline]
fn device(chunks: &[Shared<Device>], at: u32) -> &Device {
    &chunks[at as usize / CHUNK_LENGTH][at as usize % CHUNK_LENGTH]
}

/// A chunk of places without devices.
fn places() -> Shared<Device> {
    let nobody = Device::new(Identity::default(), Group::default());
    std::iter::repeat_n(nobody, CHUNK_LENGTH).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_device_keeps_its_number_across_chunks_and_up_to_the_bound() {
        let bound = CHUNK_LENGTH as u32 + 10;
        let mut devices = Devices::new([5, 6], bound);
        for round in 0..2 {
            for number in 0..bound + 3 {
                let identity = devices.identity(format!("d-{number}").as_bytes());
                let found = devices.find_or_add(identity, Group::default());
                assert_eq!(found, (number < bound).then_some(number), "round {round}");
                if let Some(at) = found {
                    assert_eq!(devices.get(at).identity(), identity);
                }
            }
        }
        assert_eq!((devices.len(), devices.refused()), (bound as usize, 6));
    }
}
