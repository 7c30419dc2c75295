//! How far a destination has been served: one small object each, which is overwritten.

use crate::blobs::Blobs;
use crate::error::StoreError;
use crate::key;

/// The cursor of a destination: the chain's sequence up to which it has everything.
///
/// `None` where nothing was ever delivered to it.
pub fn read(blobs: &dyn Blobs, destination: &str) -> Result<Option<u64>, StoreError> {
    let key = key::cursor(destination);
    let Some(bytes) = blobs.get(&key)? else {
        return Ok(None);
    };
    let number = std::str::from_utf8(&bytes).ok().and_then(|text| text.trim_end().parse().ok());
    number.map(Some).ok_or_else(|| StoreError::damaged(&key, "it is no sequence"))
}

/// Moves the cursor of a destination.
pub fn write(blobs: &dyn Blobs, destination: &str, sequence: u64) -> Result<(), StoreError> {
    blobs.replace(&key::cursor(destination), format!("{sequence}\n").as_bytes())
}

/// Moves the cursor of a destination, unless somebody has moved it further.
pub fn advance(blobs: &dyn Blobs, destination: &str, sequence: u64) -> Result<(), StoreError> {
    match read(blobs, destination)? {
        Some(standing) if standing >= sequence => Ok(()),
        _ => write(blobs, destination, sequence),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blobs::MemoryStore;

    #[test]
    fn each_destination_has_a_cursor_of_its_own() {
        let blobs = MemoryStore::new();
        write(&blobs, "../on call", 3).unwrap();
        write(&blobs, "../on call", u64::MAX).unwrap();
        write(&blobs, "on-call", 1).unwrap();
        advance(&blobs, "on-call", 0).unwrap();
        assert_eq!(read(&blobs, "../on call").unwrap(), Some(u64::MAX));
        assert_eq!(read(&blobs, "on-call").unwrap(), Some(1));
        assert_eq!(read(&blobs, "other").unwrap(), None);
    }

    #[test]
    fn a_cursor_that_is_no_number_is_damaged() {
        let blobs = MemoryStore::new();
        blobs.replace(&key::cursor("a"), b"x").unwrap();
        assert!(matches!(read(&blobs, "a"), Err(StoreError::Damaged { .. })));
    }
}
