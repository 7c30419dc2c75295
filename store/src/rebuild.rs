//! A data folder set aside whole, so that the next start makes it anew from its input.
//!
//! ```text
//! mark ─► delta, tables, settled, system: each object to set-aside/<n>/<its key> ─► unmark
//! ```
//! Nothing is thrown away: what stood under `tables/` can still be read below `set-aside/<n>/`.
//! While the mark stands nobody else starts, and whoever is interrupted goes on with the same
//! number.

use serde::{Deserialize, Serialize};

use crate::blobs::{Blobs, Put, exists};
use crate::error::StoreError;
use crate::key;
use crate::verify::Progress;

/// What the mark says.
#[derive(Serialize, Deserialize)]
struct Mark {
    number: u64,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SetAside {
    /// Where everything stands now, below the data folder.
    pub folder: String,
    pub objects: u64,
}

/// Whether there is a data folder to set aside, whole or in part.
pub fn has_folder(blobs: &dyn Blobs) -> Result<bool, StoreError> {
    for mark in [key::IDENTITY, key::SETTING_ASIDE] {
        if exists(blobs, mark)? {
            return Ok(true);
        }
    }
    let (journal, chain) = (blobs.list(key::JOURNAL)?, blobs.list(key::CHAIN)?);
    let is_entry = |key: &String| key::parse_journal_entry(key).is_some();
    let is_commit = |key: &String| key.rsplit('/').next().is_some_and(|n| key::number(n).is_some());
    Ok(journal.iter().any(is_entry) || chain.iter().any(is_commit))
}

/// How many objects the two logs have: what grows for as long as somebody writes.
pub fn log_length(blobs: &dyn Blobs) -> Result<usize, StoreError> {
    Ok(blobs.list(key::JOURNAL)?.len() + blobs.list(key::CHAIN)?.len())
}

/// Moves everything that belongs to the data folder below `set-aside/<n>/`.
///
/// Nobody else may be writing: see [`log_length`]. Files whose names are no keys of ours stay.
pub fn set_aside(
    blobs: &dyn Blobs,
    progress: &mut dyn FnMut(Progress),
) -> Result<SetAside, StoreError> {
    let folder = format!("{}/{}", key::SET_ASIDE, mark(blobs)?);
    let mut keys = Vec::new();
    for part in [key::DELTA, key::TABLES, key::SETTLED, key::SYSTEM] {
        keys.extend(blobs.list(part)?);
    }
    // Temporary files have owners, who clear up after themselves.
    keys.retain(|key| {
        key::is_sound(key) && key != key::SETTING_ASIDE && !key.starts_with(key::TEMPORARY)
    });
    let total = keys.len() as u64;
    for (done, key) in (0..).zip(&keys) {
        progress(Progress { step: "setting aside", done, total });
        blobs.publish(key, &format!("{folder}/{key}"))?;
        blobs.delete(key)?;
    }
    blobs.delete(key::SETTING_ASIDE)?;
    Ok(SetAside { folder, objects: total })
}

/// The number under which everything goes: that of the mark, if there is one.
fn mark(blobs: &dyn Blobs) -> Result<u64, StoreError> {
    if let Some(bytes) = blobs.get(key::SETTING_ASIDE)? {
        let mark: Result<Mark, _> = serde_json::from_slice(&bytes);
        return match mark {
            Ok(mark) => Ok(mark.number),
            Err(error) => Err(StoreError::damaged(key::SETTING_ASIDE, error.to_string())),
        };
    }
    let kept = blobs.list(key::SET_ASIDE)?;
    let number_of = |key: &String| key.split('/').nth(1)?.parse::<u64>().ok();
    let number = kept.iter().filter_map(number_of).max().map_or(1, |last| last + 1);
    let bytes = serde_json::to_vec(&Mark { number })
        .map_err(|error| StoreError::encode("the mark")(error.into()))?;
    match blobs.put_if_absent(key::SETTING_ASIDE, &bytes)? {
        Put::Written => Ok(number),
        Put::Taken => mark(blobs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blobs::MemoryStore;
    use crate::error::StoreError;
    use crate::testing::Folder;
    use crate::{LocalStore, World, world};

    const KEYS: [&str; 5] = [
        "system/identity.json",
        "system/journal/telemetry/0/00000000000000000000",
        "system/chain/00000000000000000000",
        "tables/ring_health/date=2026-07-19/00000000000000000000-0.parquet",
        "settled/ring_health/date=2026-07-18/00000000000000000003-0.parquet",
    ];

    fn fill(blobs: &dyn Blobs) {
        for key in KEYS {
            blobs.put_if_absent(key, key.as_bytes()).unwrap();
        }
    }

    fn check(blobs: &dyn Blobs) {
        for number in 1..3 {
            fill(blobs);
            let done = set_aside(blobs, &mut |_| {}).unwrap();
            assert_eq!((done.folder, done.objects), (format!("set-aside/{number}"), 5));
            for key in KEYS {
                assert_eq!(blobs.get(key).unwrap(), None, "{key}");
                let kept = blobs.get(&format!("set-aside/{number}/{key}")).unwrap();
                assert_eq!(kept.as_deref(), Some(key.as_bytes()));
            }
        }
    }

    #[test]
    fn everything_is_kept_under_a_number_of_its_own() {
        check(&MemoryStore::new());
        let folder = Folder::new();
        check(&LocalStore::open(folder.path()).unwrap());
    }

    #[test]
    fn whoever_is_interrupted_anywhere_goes_on_and_nobody_else_starts_meanwhile() {
        for steps in 0..KEYS.len() as u64 {
            let blobs = MemoryStore::new();
            fill(&blobs);
            let interrupted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                set_aside(&blobs, &mut |now| assert!(now.done < steps, "killed here"))
            }));
            assert!(interrupted.is_err());
            let world = world::tests::kafka("c", "g", 1);
            let refused = World::claim(&blobs, world.clone(), world::Growth::Refused).unwrap_err();
            assert!(matches!(refused, StoreError::SettingAside), "{refused}");
            let done = set_aside(&blobs, &mut |_| {}).unwrap();
            assert_eq!(done.folder, "set-aside/1");
            assert_eq!(blobs.list("set-aside/1").unwrap().len(), KEYS.len());
            World::claim(&blobs, world, world::Growth::Refused).unwrap();
        }
    }
}
