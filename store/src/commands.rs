//! Commands that wait for the publisher: `system/commands/<number>`, dense from 0, put-if-absent.
//!
//! Whoever may write the data folder may give one. The publisher obeys them in their order, and the
//! chain says which: so each is obeyed once, by whom and whenever it was given.

use schemas::Command;

use crate::blobs::{Blobs, Claim, claim, end_of_log};
use crate::error::StoreError;
use crate::hash::sha256;
use crate::key;

/// Numbers that others may take from under us; two people seldom press a key at the same moment.
const TRIES_MAX: u64 = 100;

/// Writes a command under the next number that is free; returns it with that number.
///
/// Durable when this returns. Given twice, as after an answer that was lost, it stands once.
pub fn give(blobs: &dyn Blobs, command: &Command) -> Result<Command, StoreError> {
    blobs.sync(key::COMMANDS)?;
    let first = end_of_log(blobs, 0, key::command)?;
    for number in first..first + TRIES_MAX {
        let command = Command { number, ..command.clone() };
        match claim(blobs, &key::command(number), &encode(&command)?)? {
            Claim::Mine => return Ok(command),
            // An attempt of ours whose answer was lost is found where it stands.
            Claim::Other(_) => {}
        }
    }
    let key = key::command(first + TRIES_MAX);
    Err(StoreError::Damaged { key, what: "every number before it was taken by others".to_owned() })
}

/// Reads the command of that number; `None` where there is none yet.
pub fn read(blobs: &dyn Blobs, number: u64) -> Result<Option<Command>, StoreError> {
    let key = key::command(number);
    let Some(bytes) = blobs.get(&key)? else { return Ok(None) };
    let command = decode(&bytes).map_err(|what| StoreError::damaged(&key, what))?;
    if command.number == number {
        Ok(Some(command))
    } else {
        Err(StoreError::damaged(&key, format!("it is command {}", command.number)))
    }
}

/// Makes durable what others have given: before a commit repeats it, or its number could be given
/// once more after a power cut.
pub fn sync(blobs: &dyn Blobs) -> Result<(), StoreError> {
    blobs.sync(key::COMMANDS)
}

fn encode(command: &Command) -> Result<Vec<u8>, StoreError> {
    let mut json = serde_json::to_vec(command)
        .map_err(|error| StoreError::encode("a command")(error.into()))?;
    json.push(b'\n');
    let checksum = sha256(&json);
    json.extend(checksum.as_bytes());
    json.push(b'\n');
    Ok(json)
}

fn decode(bytes: &[u8]) -> Result<Command, String> {
    let end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| end + 1);
    let (json, checksum) = bytes.split_at(end);
    if checksum.strip_suffix(b"\n") != Some(sha256(json).as_bytes()) {
        return Err("it does not match its checksum".to_owned());
    }
    serde_json::from_slice(json).map_err(|error| format!("it cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use schemas::{Order, Timestamp};

    use super::*;
    use crate::blobs::MemoryStore;

    fn command(nonce: &str) -> Command {
        Command {
            v: 1,
            number: 0,
            nonce: nonce.to_owned(),
            at: Timestamp(0),
            author: "ana".to_owned(),
            reason: None,
            order: Order::Pause,
        }
    }

    #[test]
    fn commands_are_numbered_in_the_order_in_which_they_were_given() {
        let blobs = MemoryStore::new();
        for number in 0..20 {
            assert_eq!(give(&blobs, &command("a")).unwrap().number, number);
        }
        assert_eq!(read(&blobs, 19).unwrap().unwrap().number, 19);
        assert_eq!(read(&blobs, 20).unwrap(), None);
    }

    #[test]
    fn every_flipped_byte_is_noticed() {
        let blobs = MemoryStore::new();
        give(&blobs, &command("a")).unwrap();
        let sound = blobs.get(&key::command(0)).unwrap().unwrap();
        for at in 0..sound.len() {
            let mut flipped = sound.clone();
            flipped[at] ^= 1;
            blobs.replace(&key::command(0), &flipped).unwrap();
            assert!(read(&blobs, 0).is_err(), "byte {at}");
        }
    }
}
