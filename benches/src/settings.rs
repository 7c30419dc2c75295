//! The settings under which every part is measured: those of the canonical fleet.

use aggregate::{FoldConfig, FoldLimits};
use ingest::{DecodeConfig, Decoder};
use schemas::Span;

use crate::canonical::RINGS;

/// Rings in rollout order.
pub fn rings() -> Vec<String> {
    RINGS.map(|(ring, _)| ring.to_owned()).to_vec()
}

/// The attributes that are told apart.
pub fn cohorts() -> Vec<String> {
    ["model", "build", "driver", "region"].map(str::to_owned).to_vec()
}

/// Everything of a decoder at its default.
pub fn decode_config() -> DecodeConfig {
    DecodeConfig { cohorts: cohorts(), ..DecodeConfig::default() }
}

/// A decoder of that.
pub fn decoder() -> Decoder {
    Decoder::new(decode_config())
}

/// Minutes, with the defaults of the configuration.
pub fn fold_config() -> FoldConfig {
    FoldConfig {
        window_length: Span::minutes(1),
        lateness: Span::seconds(10),
        quiet_period: Span::days(7),
        silence_quiet_period: Span::hours(12),
        rings: rings(),
        cohorts: cohorts(),
        hash_seed: [7, 7],
        pseudonym_key: b"canonical".to_vec(),
        limits: FoldLimits::default(),
    }
}
