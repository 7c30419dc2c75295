//! SHA-256, the one hash of the store.

use std::fmt::Write;

use sha2::{Digest, Sha256};

pub(crate) const HASH_BYTES: usize = 32;

pub(crate) fn sha256_bytes(bytes: &[u8]) -> [u8; HASH_BYTES] {
    Sha256::digest(bytes).into()
}

/// In hexadecimal, 64 digits, as it stands in commits and headers.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    digits(sha256_bytes(bytes))
}

fn digits(hash: [u8; HASH_BYTES]) -> String {
    let mut digits = String::with_capacity(2 * HASH_BYTES);
    for byte in hash {
        write!(digits, "{byte:02x}").unwrap_or_default();
    }
    digits
}

/// The hash of what comes in small pieces, which are hashed many at once.
#[derive(Default)]
pub(crate) struct Hasher {
    hash: Sha256,
    pending: Vec<u8>,
}

/// Bytes that wait to be hashed: many, so that each piece costs its copy alone, and few, so that
/// they are still in the nearest cache when they are hashed.
const PENDING_BYTES: usize = 16 << 10;

impl Hasher {
    #[inline]
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= PENDING_BYTES {
            self.hash_pending();
        }
    }

    /// Behind their length.
    #[inline]
    pub(crate) fn put_sized(&mut self, bytes: &[u8]) {
        self.put(&(bytes.len() as u64).to_le_bytes());
        self.put(bytes);
    }

    // So that `put` stays small enough to be inlined.
    #[inline(never)]
    fn hash_pending(&mut self) {
        self.hash.update(&self.pending);
        self.pending.clear();
    }

    /// As [`sha256`] of all pieces.
    pub(crate) fn finish(mut self) -> String {
        self.hash_pending();
        digits(self.hash.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_hash_is_the_one_everybody_else_computes() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(super::sha256(b"abc"), expected);
    }

    #[test]
    fn pieces_hash_to_what_all_of_them_do() {
        let (mut hasher, mut all) = (super::Hasher::default(), Vec::new());
        for length in [0, 1, 63, 64, super::PENDING_BYTES - 1, super::PENDING_BYTES, 5, 100_000] {
            let piece: Vec<u8> = (0..length).map(|at| (at * 7) as u8).collect();
            hasher.put_sized(&piece);
            all.extend((length as u64).to_le_bytes());
            all.extend(piece);
        }
        assert_eq!(hasher.finish(), super::sha256(&all));
    }
}
