//! What stands for a device in outputs: 32 hexadecimal digits, in place, so that rows of them
//! allocate nothing.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes of a pseudonym.
pub const PSEUDONYM_BYTES: usize = 16;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// A pseudonym as its digits in lower case; ordered as they are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pseudonym([u8; 2 * PSEUDONYM_BYTES]);

impl Pseudonym {
    /// The digits of these bytes.
    pub fn of(bytes: [u8; PSEUDONYM_BYTES]) -> Self {
        let mut digits = [0; 2 * PSEUDONYM_BYTES];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        Self(digits)
    }

    /// The pseudonym that a text is; `None` if it is none.
    pub fn from_text(text: &str) -> Option<Self> {
        let digits: [u8; 2 * PSEUDONYM_BYTES] = text.as_bytes().try_into().ok()?;
        let is_digit = |digit: &u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
        digits.iter().all(is_digit).then_some(Self(digits))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        #[expect(clippy::expect_used, reason = "both ways to make one give digits alone")]
        let digits = std::str::from_utf8(&self.0).expect("digits are ASCII");
        digits
    }
}

impl fmt::Display for Pseudonym {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Debug for Pseudonym {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl Serialize for Pseudonym {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Pseudonym {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::from_text(&text).ok_or_else(|| serde::de::Error::custom("not a pseudonym"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_text_give_the_same_and_no_other_text_does() {
        let bytes: [u8; PSEUDONYM_BYTES] = std::array::from_fn(|at| 17 * at as u8);
        let pseudonym = Pseudonym::of(bytes);
        assert_eq!(pseudonym.as_str(), "00112233445566778899aabbccddeeff");
        assert_eq!(Pseudonym::from_text(pseudonym.as_str()), Some(pseudonym));
        let json = serde_json::to_string(&pseudonym).unwrap();
        assert_eq!(json, "\"00112233445566778899aabbccddeeff\"");
        assert_eq!(serde_json::from_str::<Pseudonym>(&json).unwrap(), pseudonym);
        for text in
            ["", "0011", "00112233445566778899AABBCCDDEEFF", "g0112233445566778899aabbccddeeff"]
        {
            assert_eq!(Pseudonym::from_text(text), None, "{text}");
        }
    }
}
