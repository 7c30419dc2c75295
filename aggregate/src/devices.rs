//! The device table: identities to devices, in chunks that a clone shares until one is written to.
//!
//! A growing `Vec` would copy gigabytes in the middle of a record and hold twice the memory. For
//! the same reason a clone copies no device: the first to write copies the chunk, in a millisecond.
//! Identity hashing stands apart from the look-up, so that a caller can hash and prefetch ahead.

use hashbrown::HashTable;
use siphasher::sip128::{Hasher128, SipHasher13};
use std::hash::Hasher;
use std::sync::Arc;

use crate::device::{Device, Group, Identity, stored};
use crate::state::{Reader, StateError, Writer};

/// Devices of one chunk: 1.8 MB, small beside any table that needs a second one.
const CHUNK_LENGTH: usize = 1 << 14;

/// All devices of one partition; never forgets one.
#[derive(Clone, Debug)]
pub(crate) struct Devices {
    seed: [u64; 2],
    index: HashTable<u32>,
    chunks: Vec<Arc<Vec<Device>>>,
    count_max: u32,
    refused: u64,
}

impl Devices {
    pub(crate) const fn new(seed: [u64; 2], count_max: u32) -> Self {
        Self { seed, index: HashTable::new(), chunks: Vec::new(), count_max, refused: 0 }
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
        if u32::try_from(count).is_err() {
            return Err(StateError::Damaged);
        }
        self.refused = refused;
        for rows in rows.chunks(CHUNK_LENGTH * stored::BYTES) {
            let mut chunk = Vec::with_capacity(CHUNK_LENGTH);
            for row in rows.chunks_exact(stored::BYTES) {
                chunk.push(stored::device(row).ok_or(StateError::Damaged)?);
            }
            self.chunks.push(Arc::new(chunk));
        }
        let chunks = &self.chunks;
        let hash = |&at: &u32| device(chunks, at).identity().low;
        self.index.reserve(count, hash);
        for at in 0..count as u32 {
            self.index.insert_unique(hash(&at), at, hash);
        }
        Ok(())
    }

    /// Every device, in the order of their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Device> {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }

    /// Device ids are chosen by devices: a keyed hash, so that nobody can make two collide.
    pub(crate) fn identity(&self, device: &[u8]) -> Identity {
        let mut hasher = SipHasher13::new_with_keys(self.seed[0], self.seed[1]);
        hasher.write(device);
        let (low, high) = hasher.finish128().as_u64();
        Identity { low, high: high as u32 }
    }

    /// Looks a device up and at its far end; whether it is known.
    pub(crate) fn touch(&self, identity: Identity) -> bool {
        let same = |&at: &u32| {
            let device = self.get(at);
            // Both ends, which lie in different cache lines; a device has a `life` of three.
            device.identity() == identity && device.life as u8 <= 2
        };
        self.index.find(identity.low, same).is_some()
    }

    /// The number of a device, new ones in `group`; `None` (and counted) beyond the bound.
    pub(crate) fn find_or_add(&mut self, identity: Identity, group: Group) -> Option<u32> {
        let chunks = &self.chunks;
        let same = |&at: &u32| device(chunks, at).identity() == identity;
        if let Some(&at) = self.index.find(identity.low, same) {
            return Some(at);
        }
        let at = self.index.len() as u32;
        if at >= self.count_max {
            self.refused += 1;
            return None;
        }
        if (at as usize).is_multiple_of(CHUNK_LENGTH) {
            self.chunks.push(Arc::new(Vec::with_capacity(CHUNK_LENGTH)));
        }
        let chunk = &mut self.chunks[at as usize / CHUNK_LENGTH];
        Arc::make_mut(chunk).push(Device::new(identity, group));
        let chunks = &self.chunks;
        self.index.insert_unique(identity.low, at, |&at| device(chunks, at).identity().low);
        Some(at)
    }

    pub(crate) fn get(&self, at: u32) -> &Device {
        device(&self.chunks, at)
    }

    pub(crate) fn get_mut(&mut self, at: u32) -> &mut Device {
        let chunk = &mut self.chunks[at as usize / CHUNK_LENGTH];
        &mut Arc::make_mut(chunk)[at as usize % CHUNK_LENGTH]
    }

    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    pub(crate) const fn refused(&self) -> u64 {
        self.refused
    }

    /// Chunks, and 8/7 x 5 bytes for each place of the index.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.chunks.len() * CHUNK_LENGTH * size_of::<Device>() + self.index.capacity() * 40 / 7
    }
}

fn device(chunks: &[Arc<Vec<Device>>], at: u32) -> &Device {
    &chunks[at as usize / CHUNK_LENGTH][at as usize % CHUNK_LENGTH]
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
                assert_eq!(devices.touch(identity), number < bound);
                assert_eq!(found, (number < bound).then_some(number), "round {round}");
                if let Some(at) = found {
                    assert_eq!(devices.get(at).identity(), identity);
                }
            }
        }
        assert_eq!((devices.len(), devices.refused()), (bound as usize, 6));
    }
}
