//! The configuration as written: every key with its default, nothing checked beyond its type.
//!
//! The defaults stand once, in `config/example.toml`: a file is read as that example with the
//! given keys laid over it, so example and defaults cannot differ.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use alerts::delivery::DestinationConfig;
use serde::Deserialize;

use super::ConfigError;
use super::units::{AutoDurationText, BytesText, DurationText};

#[derive(Debug, Deserialize)]
pub(super) struct Raw {
    pub kafka: RawKafka,
    pub telemetry: RawTelemetry,
    pub workers: RawWorkers,
    pub store: RawStore,
    pub windows: RawWindows,
    pub ring: Vec<RawRing>,
    pub detection: RawDetection,
    pub limits: RawLimits,
    pub privacy: RawPrivacy,
    pub http: RawHttp,
    pub links: RawLinks,
    #[serde(default)]
    pub destination: Vec<DestinationConfig>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RawKafka {
    pub brokers: Option<String>,
    pub group: String,
    pub topics: RawTopics,
    pub prefetch_bytes_max: BytesText,
    pub connect_timeout: DurationText,
    pub properties: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RawTopics {
    pub telemetry: String,
    pub changes: String,
    pub support: String,
    pub rejected: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct RawTelemetry {
    pub fields: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RawWorkers {
    pub count: usize,
}

/// More threads than this share nothing but the machine: a typing error, not a machine.
const WORKERS_MAX: usize = 256;

impl RawWorkers {
    /// 0: one for each core that this process may use.
    pub(super) fn threads(&self) -> Result<NonZeroUsize, ConfigError> {
        match NonZeroUsize::new(self.count) {
            // Where the system does not say how many processors there are, one is never wrong.
            None => Ok(std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)),
            Some(count) if count.get() <= WORKERS_MAX => Ok(count),
            Some(count) => Err(ConfigError::Value {
                key: "workers.count".to_owned(),
                reason: format!("is {count}; use 0 (one for each core) to {WORKERS_MAX}"),
            }),
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct RawStore {
    pub data: String,
    pub commit_interval: AutoDurationText,
    pub publish_interval: DurationText,
    pub entry_records_max: u64,
    pub entry_bytes_max: BytesText,
    pub publish_rows_max: usize,
    pub snapshot_interval: DurationText,
    pub snapshot_records_min: u64,
    pub checkpoint_interval: DurationText,
    pub settle_after: DurationText,
    pub retention_days: u32,
    pub journal_keep: u64,
    pub collect_after: DurationText,
    pub housekeeping_interval: DurationText,
    pub delta: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct RawWindows {
    pub length: DurationText,
    pub lateness: DurationText,
    pub idle_after: DurationText,
    pub log_idle_after: DurationText,
    pub straggler_after: DurationText,
}

#[derive(Debug, Deserialize)]
pub(super) struct RawRing {
    pub name: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct RawDetection {
    pub alpha: f64,
    pub margin: f64,
    pub quiet_period: DurationText,
    pub silence_quiet_period: DurationText,
    pub install_failure_bound: f64,
    pub soak: DurationText,
    pub resolve_after: DurationText,
    pub pending_for: DurationText,
    pub cohorts: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[expect(clippy::struct_field_names, reason = "keys of the file, named as every limit is")]
pub(super) struct RawLimits {
    pub devices_max: u32,
    pub names_max: u16,
    pub changes_max: u16,
    pub sets_max: u16,
    pub windows_max: usize,
    pub deliveries_queued_max: usize,
}

#[derive(Debug, Deserialize)]
pub(super) struct RawPrivacy {
    pub pseudonym_key_file: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct RawLinks {
    pub dashboard: String,
    pub runbook: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct RawHttp {
    pub listen: String,
    pub hosts: Vec<String>,
    pub token_file: String,
}
