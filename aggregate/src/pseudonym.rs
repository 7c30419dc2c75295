//! Names for devices in outputs: keyed, so that nobody without the key can join them to a machine,
//! and different after each factory reset, so that two users of one machine never join.

use hmac::{Hmac, KeyInit, Mac};
use schemas::Pseudonym;
use sha2::Sha256;

/// Makes pseudonyms under one key.
#[derive(Clone, Debug)]
pub(crate) struct Pseudonyms {
    keyed: Hmac<Sha256>,
}

impl Pseudonyms {
    pub(crate) fn new(key: &[u8]) -> Self {
        #[expect(clippy::expect_used, reason = "no key length is refused by HMAC")]
        let keyed = Hmac::new_from_slice(key).expect("HMAC takes a key of any length");
        Self { keyed }
    }

    /// HMAC-SHA256(key, device id, 0x00, resets in decimal), its first 16 bytes.
    pub(crate) fn of(&self, device: &str, resets: u32) -> Pseudonym {
        let mut mac = self.keyed.clone();
        mac.update(device.as_bytes());
        mac.update(&[0]);
        if resets == 0 {
            mac.update(b"0");
        } else {
            mac.update(resets.to_string().as_bytes());
        }
        let bytes: [u8; 32] = mac.finalize().into_bytes().into();
        Pseudonym::of(std::array::from_fn(|at| bytes[at]))
    }
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let mut text = String::with_capacity(bytes.len() * 2);
    for &byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)]);
        text.push(DIGITS[usize::from(byte & 15)]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pseudonym_is_the_first_half_of_the_keyed_hash() {
        // python3 -c "import hmac;print(hmac.digest(b'key',b'd-1\x000','sha256').hex()[:32])"
        assert_eq!(
            Pseudonyms::new(b"key").of("d-1", 0).as_str(),
            "e4f103180751f3379fabf4eb7eb5e9c4"
        );
    }

    #[test]
    fn key_device_and_reset_each_change_the_pseudonym() {
        let pseudonyms = Pseudonyms::new(b"key");
        let one = pseudonyms.of("d-1", 0);
        assert_ne!(one, pseudonyms.of("d-2", 0));
        assert_ne!(one, pseudonyms.of("d-1", 1));
        assert_ne!(one, Pseudonyms::new(b"other").of("d-1", 0));
    }
}
