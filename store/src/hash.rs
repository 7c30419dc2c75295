//! SHA-256, the one hash of the store.

use std::fmt::Write;

use sha2::{Digest, Sha256};

pub(crate) const HASH_BYTES: usize = 32;

pub(crate) fn sha256_bytes(bytes: &[u8]) -> [u8; HASH_BYTES] {
    Sha256::digest(bytes).into()
}

/// In hexadecimal, 64 digits, as it stands in commits and headers.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let mut digits = String::with_capacity(2 * HASH_BYTES);
    for byte in sha256_bytes(bytes) {
        write!(digits, "{byte:02x}").unwrap_or_default();
    }
    digits
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_hash_is_the_one_everybody_else_computes() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(super::sha256(b"abc"), expected);
    }
}
