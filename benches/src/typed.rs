//! Records by simd-json and serde straight into a type: what the decoder is compared with.

use serde::Deserialize;
use simd_json::Buffers;

/// What the types of record have that come most often.
#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "what counts is that each is read")]
struct Record<'a> {
    r#type: &'a str,
    #[serde(alias = "deviceId")]
    device: &'a str,
    #[serde(alias = "cohort")]
    ring: &'a str,
    #[serde(alias = "timestamp")]
    time: &'a str,
    #[serde(alias = "sequence")]
    seq: u64,
    build: Option<&'a str>,
    model: Option<&'a str>,
    interval_s: Option<u32>,
    boot_ms: Option<u32>,
    signin_ms: Option<u32>,
    change: Option<&'a str>,
    state: Option<&'a str>,
    kind: Option<&'a str>,
    signature: Option<&'a str>,
    count: Option<u32>,
}

/// The parser's buffers, used again.
#[derive(Default)]
pub struct Typed {
    bytes: Vec<u8>,
    buffers: Buffers,
}

impl std::fmt::Debug for Typed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Typed").finish_non_exhaustive()
    }
}

impl Typed {
    /// Its `seq`; `None` if it is no such record.
    pub fn read(&mut self, value: &[u8]) -> Option<u64> {
        self.bytes.clear();
        self.bytes.extend_from_slice(value);
        let read = simd_json::serde::from_slice_with_buffers::<Record<'_>>;
        read(&mut self.bytes, &mut self.buffers).ok().map(|record| record.seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_and_what_is_none_is_not() {
        let mut typed = Typed::default();
        let record = br#"{"type":"boot","device":"d","ring":"r","time":"t","seq":7}"#;
        assert_eq!(typed.read(record), Some(7));
        assert_eq!(typed.read(b"{\"type\":\"boot\"}"), None);
    }
}
