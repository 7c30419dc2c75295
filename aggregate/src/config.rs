//! What the fold needs to know: window lengths, rings, cohort dimensions, bounds.
//!
//! All of it shapes the sums, so all of it is written down with the data folder
//! (architecture 3); of the pseudonym key only a fingerprint is.

use schemas::{Span, UNMANAGED};
use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::pseudonym;

/// The settings of a fold. Two folds with equal settings give equal sums for equal records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FoldConfig {
    /// A whole number of seconds.
    pub window_length: Span,
    /// How far the watermark stays behind the newest event.
    pub lateness: Span,
    /// Time without an event of a signal after which the next makes its device affected again.
    pub quiet_period: Span,
    /// The same for silence in its short form (detection 1: 12 h).
    pub silence_quiet_period: Span,
    /// Configured rings in rollout order.
    pub rings: Vec<String>,
    /// Cohort dimensions in the order of `Event::cohorts`.
    pub cohorts: Vec<String>,
    /// Seed of the hash that stands for a device's identity.
    pub hash_seed: [u64; 2],
    #[serde(serialize_with = "fingerprint")]
    pub pseudonym_key: Vec<u8>,
    pub limits: FoldLimits,
}

/// Bounds of one partition; what each refuses is counted in [`crate::Refused`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct FoldLimits {
    /// 50 M devices take 6.4 GB: beyond, a forged id per record would take the machine.
    pub devices_max: u32,
    /// Distinct builds, models or values of one cohort dimension; an id has 16 bits, two are taken.
    pub names_max: u16,
    /// Distinct changes: a fleet sees a few a month, and sets are spelled out by name.
    pub changes_max: u16,
    /// Distinct sets of changes; each costs a row per window and ring.
    pub sets_max: u16,
    /// Changes that one device can be exposed to at once: bounds what the sets can take together.
    pub set_length_max: usize,
    /// Missing ranges of `seq` remembered per device (contracts 2.1).
    pub missing_ranges_max: usize,
    /// Closed windows to which one late record can add time at risk: three intervals of a day.
    pub late_windows_max: usize,
    /// Remembered last events by device and signal; 16 M take 0.4 GB.
    pub onsets_max: usize,
    /// Distinct fault signatures: a fleet has hundreds, and each new one is a test of its own.
    pub signatures_max: u16,
    /// Remembered last events by device and signature; 4 M take 0.1 GB.
    pub signature_onsets_max: usize,
    /// Values of a cohort dimension that have rows of their own each hour, by ring and set.
    pub cohort_values_max: u16,
    /// Remembered devices of which a certificate expires soon; 4 M take 40 MB.
    pub certificates_max: usize,
}

impl Default for FoldLimits {
    fn default() -> Self {
        Self {
            devices_max: 50_000_000,
            names_max: 65_534,
            changes_max: 4_096,
            sets_max: 16_384,
            set_length_max: 256,
            missing_ranges_max: 8,
            late_windows_max: 4_320,
            onsets_max: 16_000_000,
            signatures_max: 8_192,
            signature_onsets_max: 4_000_000,
            cohort_values_max: 1_024,
            certificates_max: 4_000_000,
        }
    }
}

impl FoldConfig {
    /// The rings a row can name: the configured ones, then `unmanaged`.
    pub(crate) fn ring_names(&self) -> impl Iterator<Item = &str> {
        self.rings.iter().map(String::as_str).chain([UNMANAGED])
    }
}

/// The key itself must not lie beside the pseudonyms it makes.
fn fingerprint<S: Serializer>(key: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&pseudonym::hexadecimal(&Sha256::digest(key)))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// One-minute windows, five rings, two cohort dimensions.
    pub(crate) fn config() -> FoldConfig {
        FoldConfig {
            window_length: Span::seconds(60),
            lateness: Span::seconds(10),
            quiet_period: Span::days(7),
            silence_quiet_period: Span::hours(12),
            rings: ["test", "first", "fast", "broad", "last"].map(String::from).to_vec(),
            cohorts: ["model", "driver"].map(String::from).to_vec(),
            hash_seed: [1, 2],
            pseudonym_key: b"a key".to_vec(),
            limits: FoldLimits::default(),
        }
    }

    #[test]
    fn the_pseudonym_key_is_written_down_as_a_fingerprint_only() {
        let written = |key: &str| {
            let config = FoldConfig { pseudonym_key: key.as_bytes().to_vec(), ..config() };
            serde_json::to_string(&config).unwrap()
        };
        assert!(!written("a-secret").contains("a-secret"));
        assert_ne!(written("a-secret"), written("another"));
    }
}
