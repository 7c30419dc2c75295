//! Whether an object store refuses the second put of a key, found out by trying it.
//!
//! All that keeps two writers apart is that refusal. A store that takes `If-None-Match` for
//! decoration would lose entries without a word, so none is written to before it has refused.

use super::RemoteStore;
use crate::blobs::{Blobs, Put};
use crate::error::StoreError;

/// Puts a key twice and removes it; `nonce` makes the key one that nobody else uses.
pub(super) fn prove_put_if_absent(store: &RemoteStore, nonce: &str) -> Result<(), StoreError> {
    let key = format!("system/probe/{nonce}");
    let outcome = try_twice(store, &key);
    let removed = store.delete(&key);
    outcome?;
    removed
}

fn try_twice(store: &RemoteStore, key: &str) -> Result<(), StoreError> {
    let unfit = |what| StoreError::NoPutIfAbsent { url: store.url.clone(), what };
    if store.put_if_absent(key, b"first")? != Put::Written {
        return Err(unfit("it says that a key is taken which nobody has used"));
    }
    if store.put_if_absent(key, b"second")? != Put::Taken {
        return Err(unfit("it lets a second put of a key through"));
    }
    match store.get(key)? {
        Some(bytes) if bytes == b"first" => Ok(()),
        _ => Err(unfit("it does not give back what was put first")),
    }
}
