//! The secrets of a webhook, and signatures after Standard Webhooks 1.0.
//!
//! Source: <https://github.com/standard-webhooks/standard-webhooks>, spec, "Signature scheme":
//! `v1,` and base64 of HMAC-SHA256 over `id.timestamp.body`; several are separated by spaces.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// What marks a secret as base64 in the specification.
const PREFIX: &str = "whsec_";

/// 24 bytes: the least that the specification allows.
const SECRET_BYTES_MIN: usize = 24;

/// 64 bytes: the most that the specification allows, and the block of SHA-256.
const SECRET_BYTES_MAX: usize = 64;

/// Two are enough for a rotation; each adds 50 bytes to every request.
const SECRETS_MAX: usize = 4;

/// A password, a key, or an address that is one.
#[derive(Clone, Default)]
pub(crate) struct Token(String);

impl Token {
    /// The text of a secret, without what an editor puts behind it.
    pub(crate) fn new(text: &str) -> Result<Self, &'static str> {
        match text.trim() {
            "" => Err("it is empty"),
            text => Ok(Self(text.to_owned())),
        }
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// The header `authorization`: basic for `user:password`, else bearer.
    pub(crate) fn authorization(&self) -> String {
        if self.0.contains(':') {
            format!("Basic {}", STANDARD.encode(&self.0))
        } else {
            format!("Bearer {}", self.0)
        }
    }
}

impl fmt::Debug for Token {
    /// That there is one, and never what it is.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token")
    }
}

/// None (unsigned), one, or several while a receiver changes from one to the next.
#[derive(Clone, Default)]
pub(crate) struct Secrets(Vec<Vec<u8>>);

impl Secrets {
    /// One secret a line: `whsec_` and base64, or the bytes themselves. Empty lines do not count.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let secrets = lines.map(secret).collect::<Result<Vec<_>, _>>()?;
        match secrets.len() {
            0 => Err("it is empty; write one secret a line"),
            1..=SECRETS_MAX => Ok(Self(secrets)),
            _ => Err("it holds more than 4 secrets; remove the old ones"),
        }
    }

    /// The header `webhook-signature`; `None` without a secret.
    pub(crate) fn sign(&self, id: &str, timestamp_s: i64, body: &[u8]) -> Option<String> {
        let head = format!("{id}.{timestamp_s}.");
        let signatures = self.0.iter().map(|key| signature(key, head.as_bytes(), body));
        Some(signatures.collect::<Vec<_>>().join(" ")).filter(|header| !header.is_empty())
    }
}

impl fmt::Debug for Secrets {
    /// How many there are, and never what they are.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Secrets({})", self.0.len())
    }
}

fn secret(line: &str) -> Result<Vec<u8>, &'static str> {
    let bytes = match line.strip_prefix(PREFIX) {
        Some(encoded) => {
            STANDARD.decode(encoded).map_err(|_| "what follows whsec_ is no base64")?
        }
        None => line.as_bytes().to_vec(),
    };
    match bytes.len() {
        SECRET_BYTES_MIN..=SECRET_BYTES_MAX => Ok(bytes),
        _ => Err("a secret must have 24 to 64 bytes"),
    }
}

fn signature(key: &[u8], head: &[u8], body: &[u8]) -> String {
    #[expect(clippy::expect_used, reason = "an HMAC key can have any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(head);
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's reference libraries.
    #[test]
    fn the_published_example_is_signed_as_published() {
        let secrets = Secrets::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").expect("valid");
        let signed =
            secrets.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b"{\"test\": 2432232314}");
        assert_eq!(signed.as_deref(), Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
    }

    #[test]
    fn two_secrets_give_two_signatures_and_none_gives_none() {
        let secrets = Secrets::parse(&format!("{}\n\n{}", "a".repeat(24), "b".repeat(64)));
        let signed = secrets.expect("valid").sign("id", 1, b"body").expect("signed");
        let parts: Vec<&str> = signed.split(' ').collect();
        assert_eq!(parts.len(), 2);
        assert!(parts.iter().all(|part| part.starts_with("v1,")) && parts[0] != parts[1]);
        assert_eq!(Secrets::default().sign("id", 1, b"body"), None);
    }

    #[test]
    fn a_secret_that_is_too_short_too_long_or_broken_is_refused() {
        for text in ["", "\n \n", "short", "whsec_!!", "whsec_c2hvcnQ=", &"a".repeat(65)] {
            assert!(Secrets::parse(text).is_err(), "{text}");
        }
        assert!(Secrets::parse(&format!("{}\n", "a".repeat(24)).repeat(5)).is_err());
    }

    #[test]
    fn a_secret_is_never_printed() {
        let secrets = Secrets::parse("correct-horse-battery-staple").expect("valid");
        assert_eq!(format!("{secrets:?}"), "Secrets(1)");
    }
}
