//! States written down whole: a worker's snapshots, the publisher's checkpoints.
//!
//! ```text
//! bytes ─► system/snapshots/<kind>/<partition>/<after>-<writer>  ─► Named, by a later entry
//!          system/checkpoints/<after>-<writer>                   ─► Named, by a later commit
//! ```
//! An object here means nothing until a log names it with its hash: until then it is a leftover.

use schemas::{Named, Stream};

use crate::blobs::{Blobs, Claim, claim};
use crate::error::StoreError;
use crate::hash::sha256;
use crate::key;

/// Whose state it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// The worker of a partition: the state after an entry.
    Worker(Stream),
    /// The publisher: the state after a commit.
    Publisher,
}

/// Writes the state after entry or commit `after`; durable when this returns.
///
/// `writer` is the name of this process. The same again is fine; other bytes under the same name
/// are [`StoreError::Damaged`], because a state follows from its log.
pub fn write(
    blobs: &dyn Blobs,
    holder: Holder,
    after: u64,
    writer: &str,
    bytes: &[u8],
) -> Result<Named, StoreError> {
    let folder = match holder {
        Holder::Worker(stream) => key::snapshot_folder(stream),
        Holder::Publisher => key::CHECKPOINTS.to_owned(),
    };
    let path = key::state(&folder, after, writer);
    match claim(blobs, &path, bytes)? {
        Claim::Mine => Ok(Named { after, path, bytes: bytes.len() as u64, sha256: sha256(bytes) }),
        Claim::Other(_) => Err(StoreError::damaged(&path, "it is another state of this writer")),
    }
}

/// Reads a state that a log names, every byte of it checked.
///
/// [`StoreError::Missing`] and [`StoreError::Damaged`] leave the state named before it, if the
/// journal or the chain still has one.
pub fn read(blobs: &dyn Blobs, named: &Named) -> Result<Vec<u8>, StoreError> {
    let path = &named.path;
    if !key::is_state(path) || key::parse_state(path) != Some(named.after) {
        return Err(StoreError::damaged(path, "the log names it, and it is no place of a state"));
    }
    let Some(bytes) = blobs.get(path)? else {
        return Err(StoreError::Missing { key: path.clone() });
    };
    if bytes.len() as u64 == named.bytes && sha256(&bytes) == named.sha256 {
        Ok(bytes)
    } else {
        Err(StoreError::damaged(path, "it is not the state that the log names"))
    }
}

#[cfg(test)]
mod tests {
    use schemas::StreamKind;

    use super::*;
    use crate::blobs::MemoryStore;

    const HOLDER: Holder = Holder::Worker(Stream { kind: StreamKind::Telemetry, partition: 3 });
    const WRITER: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn a_state_is_read_back_as_it_was_written_and_written_twice_it_is_one() {
        let blobs = MemoryStore::new();
        let named = write(&blobs, HOLDER, 41, WRITER, b"state").unwrap();
        assert_eq!(named.path, "system/snapshots/telemetry/3/00000000000000000041-01234567");
        assert_eq!(read(&blobs, &named).unwrap(), b"state");
        assert_eq!(write(&blobs, HOLDER, 41, WRITER, b"state").unwrap(), named);
        let other = write(&blobs, HOLDER, 41, WRITER, b"other");
        assert!(matches!(other, Err(StoreError::Damaged { .. })), "{other:?}");
        let checkpoint = write(&blobs, Holder::Publisher, 9, WRITER, b"state").unwrap();
        assert_eq!(checkpoint.path, "system/checkpoints/00000000000000000009-01234567");
    }

    #[test]
    fn every_flipped_byte_every_cut_and_a_state_that_is_gone_are_noticed() {
        let blobs = MemoryStore::new();
        let named = write(&blobs, HOLDER, 41, WRITER, b"state").unwrap();
        for at in 0..5 {
            let mut flipped = b"state".to_vec();
            flipped[at] ^= 1;
            for wrong in [&flipped[..], &b"state"[..at], b"states"] {
                blobs.replace(&named.path, wrong).unwrap();
                let noticed = read(&blobs, &named);
                assert!(matches!(noticed, Err(StoreError::Damaged { .. })), "{wrong:?}");
            }
        }
        blobs.delete(&named.path).unwrap();
        assert!(matches!(read(&blobs, &named), Err(StoreError::Missing { .. })));
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_refused() {
        let blobs = MemoryStore::new();
        let named = write(&blobs, HOLDER, 41, WRITER, b"state").unwrap();
        for path in ["system/identity.json", "../00000000000000000041-01234567"] {
            let forged = Named { path: path.to_owned(), ..named.clone() };
            assert!(matches!(read(&blobs, &forged), Err(StoreError::Damaged { .. })), "{path}");
        }
        let forged = Named { after: 40, ..named };
        assert!(matches!(read(&blobs, &forged), Err(StoreError::Damaged { .. })));
    }
}
