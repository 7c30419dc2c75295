//! How a destination stands, for those who look from outside: one small object each, overwritten.
//!
//! Beside the cursor, and written before it: what a destination refused is in here once the cursor
//! has passed it.

use serde::{Deserialize, Serialize};

use crate::blobs::Blobs;
use crate::error::StoreError;
use crate::key;

/// What is known of a destination besides its cursor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// Why the last attempts failed, if they did.
    pub failing: Option<String>,
    /// Whether people were told that it takes nothing.
    pub given_up: bool,
    /// What it refused for good, the newest last.
    pub refused: Vec<RefusedAlert>,
}

/// A transition that a destination will not have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedAlert {
    pub alert: String,
    pub transition: u32,
    pub reason: String,
}

/// How a destination stands; as if nothing had ever happened where nothing is known.
pub fn read(blobs: &dyn Blobs, destination: &str) -> Result<Served, StoreError> {
    let key = key::served(destination);
    let Some(bytes) = blobs.get(&key)? else { return Ok(Served::default()) };
    serde_json::from_slice(&bytes).map_err(|error| StoreError::damaged(&key, error.to_string()))
}

pub fn write(blobs: &dyn Blobs, destination: &str, served: &Served) -> Result<(), StoreError> {
    let bytes = serde_json::to_vec(served)
        .map_err(|error| StoreError::encode("how a destination stands")(error.into()))?;
    blobs.replace(&key::served(destination), &bytes)
}

/// Every destination of which something is known, configured or not.
pub fn all(blobs: &dyn Blobs) -> Result<Vec<(String, Served)>, StoreError> {
    let keys = blobs.list(key::SERVED)?;
    let names = keys.iter().filter_map(|key| key::parse_served(key));
    names.map(|name| Ok((name.clone(), read(blobs, &name)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blobs::MemoryStore;

    #[test]
    fn it_is_read_back_and_nothing_is_known_of_a_new_one() {
        let blobs = MemoryStore::new();
        let refused = RefusedAlert {
            alert: "rw-1".to_owned(),
            transition: 1,
            reason: "status 400".to_owned(),
        };
        let served = Served { failing: None, given_up: true, refused: vec![refused] };
        write(&blobs, "on call", &served).unwrap();
        assert_eq!(read(&blobs, "on call").unwrap(), served);
        assert_eq!(read(&blobs, "other").unwrap(), Served::default());
    }
}
