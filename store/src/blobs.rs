//! Objects by key, as an object store has them: what the two logs and the tables stand on.
//!
//! Sync on purpose: a worker that waits for its entry to be durable has nothing else to do.

use std::fmt::Debug;

mod local;
mod memory;

pub use local::LocalStore;
pub use memory::MemoryStore;

use crate::error::StoreError;

/// What became of a put-if-absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// The key was free; the bytes are durable.
    Written,
    /// The key holds something, ours or another's, and that is durable.
    Taken,
}

/// A flat store of immutable objects (cursors excepted).
///
/// Keys are `/`-separated and never start or end with `/`. Every method that writes returns only
/// once the effect is durable; after an error the effect may or may not be there, and the caller
/// has to look. A key that could leave the store is a bug and panics.
pub trait Blobs: Send + Sync + Debug {
    /// Writes `bytes` if nothing has the key: the one operation that decides who owns what.
    fn put_if_absent(&self, key: &str, bytes: &[u8]) -> Result<Put, StoreError>;

    /// The whole object; `None` where there is none.
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// The first `bytes_max` bytes of the object, or all of a shorter one.
    fn get_start(&self, key: &str, bytes_max: usize) -> Result<Option<Vec<u8>>, StoreError>;

    /// How many bytes the object has; `None` where there is none.
    fn size(&self, key: &str) -> Result<Option<u64>, StoreError> {
        Ok(self.get(key)?.map(|bytes| bytes.len() as u64))
    }

    /// Every key below the folder `prefix`, sorted.
    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError>;

    /// Every key below the folder `prefix` that sorts after `after`, a full key, sorted.
    fn list_after(&self, prefix: &str, after: &str) -> Result<Vec<String>, StoreError> {
        let mut keys = self.list(prefix)?;
        keys.drain(..keys.partition_point(|key| key.as_str() <= after));
        Ok(keys)
    }

    /// Writes `bytes` over whatever has the key, in one step for readers.
    fn replace(&self, key: &str, bytes: &[u8]) -> Result<(), StoreError>;

    /// Makes the staged object visible at `key` too. Doing it again changes nothing; another
    /// object at `key` is an error.
    fn publish(&self, staged: &str, key: &str) -> Result<(), StoreError>;

    /// Removes the object; fine if there is none.
    fn delete(&self, key: &str) -> Result<(), StoreError>;

    /// Makes durable whatever can be seen directly in the folder `prefix`.
    ///
    /// On a local folder a name is visible before it is durable: who builds on what another
    /// process wrote has to call this first.
    fn sync(&self, prefix: &str) -> Result<(), StoreError>;
}

/// Whether an object has the key. None of ours is empty.
pub(crate) fn exists(blobs: &dyn Blobs, key: &str) -> Result<bool, StoreError> {
    Ok(blobs.get_start(key, 1)?.is_some())
}

/// The first number from `from` on that nothing has, of a log without holes: about twice the
/// logarithm of what stands there as questions.
pub(crate) fn end_of_log(
    blobs: &dyn Blobs,
    from: u64,
    key_of: impl Fn(u64) -> String,
) -> Result<u64, StoreError> {
    let mut step = 1;
    let mut present = from;
    while exists(blobs, &key_of(present))? {
        step *= 2;
        present += step;
    }
    first_number(present - step.min(present - from), present, |number| {
        Ok(!exists(blobs, &key_of(number))?)
    })
}

/// The first number of `[low, high)` for which `holds`, which must hold from there on; else `high`.
pub(crate) fn first_number(
    mut low: u64,
    mut high: u64,
    holds: impl Fn(u64) -> Result<bool, StoreError>,
) -> Result<u64, StoreError> {
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle)? {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Ok(low)
}

/// Who wrote what now stands at a key of a log.
pub(crate) enum Claim {
    Mine,
    /// The bytes that another writer put there.
    Other(Vec<u8>),
}

/// Puts an object of a log; where its key is taken, finds out whether that was us.
///
/// The bytes name their writer, so equal bytes are an earlier attempt of our own.
pub(crate) fn claim(blobs: &dyn Blobs, key: &str, bytes: &[u8]) -> Result<Claim, StoreError> {
    if blobs.put_if_absent(key, bytes)? == Put::Written {
        return Ok(Claim::Mine);
    }
    match blobs.get(key)? {
        Some(standing) if standing == bytes => Ok(Claim::Mine),
        Some(standing) => Ok(Claim::Other(standing)),
        None => Err(StoreError::Missing { key: key.to_owned() }),
    }
}
