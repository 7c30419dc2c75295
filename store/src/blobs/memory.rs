//! A store in memory, for simulation and tests; nothing in production uses it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Blobs, Put};
use crate::error::StoreError;
use crate::key;

/// Objects in a map; gone with the process.
#[derive(Debug, Default)]
pub struct MemoryStore {
    objects: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn objects(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Blobs for MemoryStore {
    fn put_if_absent(&self, key: &str, bytes: &[u8]) -> Result<Put, StoreError> {
        assert!(key::is_sound(key), "A10: `{key}` is no key");
        let mut objects = self.objects();
        if objects.contains_key(key) {
            return Ok(Put::Taken);
        }
        objects.insert(key.to_owned(), bytes.to_owned());
        Ok(Put::Written)
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.objects().get(key).cloned())
    }

    fn get_start(&self, key: &str, bytes_max: usize) -> Result<Option<Vec<u8>>, StoreError> {
        let start = |bytes: &Vec<u8>| bytes[..bytes_max.min(bytes.len())].to_owned();
        Ok(self.objects().get(key).map(start))
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let below = |key: &&String| key.strip_prefix(prefix).is_some_and(|k| k.starts_with('/'));
        Ok(self.objects().keys().filter(below).cloned().collect())
    }

    fn replace(&self, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        assert!(key::is_sound(key), "A10: `{key}` is no key");
        self.objects().insert(key.to_owned(), bytes.to_owned());
        Ok(())
    }

    fn publish(&self, staged: &str, key: &str) -> Result<(), StoreError> {
        assert!(key::is_sound(key), "A10: `{key}` is no key");
        let mut objects = self.objects();
        let Some(bytes) = objects.get(staged).cloned() else {
            return Err(StoreError::Missing { key: staged.to_owned() });
        };
        if *objects.entry(key.to_owned()).or_insert_with(|| bytes.clone()) == bytes {
            Ok(())
        } else {
            Err(StoreError::damaged(key, format!("it is not the file staged as `{staged}`")))
        }
    }

    fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.objects().remove(key);
        Ok(())
    }

    fn sync(&self, _prefix: &str) -> Result<(), StoreError> {
        Ok(())
    }
}
