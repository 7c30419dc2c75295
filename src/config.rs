//! The configuration, validated once at the edge: what every other part may rely on.
//!
//! In: a TOML file, the environment, the defaults of `config/example.toml`. Out: [`Config`], or
//! one [`ConfigError`] that says which key is wrong and what to do.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use aggregate::{FoldConfig, FoldLimits};
use alerts::delivery::{DestinationConfig, both_act};
use alerts::{DetectionConfig, LinkRule};
use ingest::{DecodeConfig, FieldNames, KafkaConfig, Topics};
use schemas::{COHORTS_MAX, KEY_BYTES_MAX, Span, UNMANAGED};

mod data;
mod keys;
mod raw;
mod token;
mod units;

pub use data::DataLocation;
use raw::Raw;
pub use token::Token;

/// What is wrong with a configuration, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration {path}")]
    Read { path: String, source: std::io::Error },
    #[error("the configuration is no valid TOML")]
    Syntax(#[source] toml::de::Error),
    #[error("unknown key `{key}`; did you mean `{nearest}`?")]
    UnknownKey { key: String, nearest: String },
    #[error("the environment variable {name} cannot be used")]
    Variable { name: String, source: Box<ConfigError> },
    #[error("`{key}` {reason}")]
    Value { key: String, reason: String },
    #[error("`kafka.brokers` is not set; set it in the file or as RINGWATCH__KAFKA__BROKERS")]
    NoBrokers,
    #[error("the detector cannot work with this")]
    Detection(#[source] alerts::ConfigError),
    #[error("destination `{name}` is not usable")]
    Destination { name: String, source: alerts::delivery::DestinationError },
}

/// Everything that can be configured, checked.
#[derive(Debug)]
pub struct Config {
    pub kafka: KafkaConfig,
    /// `None` where only `run` would need them and none are given.
    pub brokers: Option<String>,
    pub connect_timeout: Duration,
    pub data: DataLocation,
    /// Threads that read, decode and fold.
    pub workers: NonZeroUsize,
    pub entry: EntryLimits,
    pub publish: PublishRule,
    pub idle: IdleRule,
    /// `None`: no snapshots (`replay`).
    pub snapshot: Option<SnapshotRule>,
    /// `None`: everything stays as it was written (`replay`).
    pub housekeeping: Option<HousekeepingRule>,
    pub delta: DeltaRule,
    /// `hash_seed` stays zero until the data folder has given its own.
    pub fold: FoldConfig,
    pub windows_max: usize,
    pub decode: DecodeConfig,
    pub detection: DetectionConfig,
    pub destinations: Vec<DestinationConfig>,
    pub deliveries_queued_max: usize,
    pub http: HttpConfig,
    /// Where alerts say to look further.
    pub links: LinkRule,
    /// Whether the pseudonyms are keyed by a secret, not by the group's name.
    pub pseudonyms: PseudonymKey,
}

/// When a journal entry is cut.
#[derive(Clone, Copy, Debug)]
pub struct EntryLimits {
    /// `None`: by records and bytes only, so that two runs cut alike (`replay`).
    pub interval: Option<Duration>,
    pub records_max: u64,
    pub bytes_max: usize,
}

/// When the tables grow.
#[derive(Clone, Copy, Debug)]
pub struct PublishRule {
    /// `None`: by rows only, so that two runs write the same bytes (`replay`).
    pub interval: Option<Duration>,
    /// At least one commit in this time, also without news; `None` as above.
    pub lease: Option<Duration>,
    pub rows_max: usize,
    /// How often the journals of other processes are looked at; `None`: there are none.
    pub poll_interval: Option<Duration>,
    /// Least time between two checkpoints; `None`: none.
    pub checkpoint_interval: Option<Duration>,
    /// How far behind, and for how long without a step, a partition is no longer waited for;
    /// `None`: it always is.
    pub straggler_after: Option<Duration>,
}

/// When the state of a partition is written down.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotRule {
    pub interval: Duration,
    /// Earlier after this many records, or as many as there are devices.
    pub records_min: u64,
}

/// What is done with days and entries that are done with. All ages are of event time.
#[derive(Clone, Copy, Debug)]
pub struct HousekeepingRule {
    pub interval: Duration,
    /// How long after its end a day is settled.
    pub settle_after: Span,
    /// How long days are kept; `None`: for ever.
    pub keep: Option<Span>,
    /// How old a commit is when what it merged may go from the journals.
    pub collect_after: Span,
    /// Newest entries of each journal that stay whatever happens.
    pub journal_keep: u64,
}

/// Whether a Delta log follows the tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeltaRule {
    Off,
    Follow,
}

/// A commit at least this often: alerts are sent for 30 s after one (architecture 2).
const LEASE: Duration = Duration::from_secs(30);

/// The journals of other processes are looked at twice in a commit interval, but not more often
/// than this: a look costs a request for each partition.
const POLL_INTERVAL_MIN: Duration = Duration::from_millis(100);

/// When a quiet partition stops holding back the others.
#[derive(Clone, Copy, Debug)]
pub struct IdleRule {
    pub telemetry_after: Duration,
    pub log_after: Duration,
}

/// Where the HTTP interface listens.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    pub listen: Option<SocketAddr>,
    pub hosts: Vec<String>,
    /// Whoever has it may give commands; `None`: nobody may, by HTTP.
    pub token: Option<Token>,
}

/// What keys the device pseudonyms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PseudonymKey {
    Secret,
    GroupName,
}

impl Config {
    /// Reads `file` (or only defaults) and the environment.
    pub fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let text = match file {
            None => String::new(),
            Some(path) => std::fs::read_to_string(path)
                .map_err(|source| ConfigError::Read { path: path.display().to_string(), source })?,
        };
        Self::parse(&text, environment)
    }

    /// Checks the text of a configuration file.
    pub fn parse(
        text: &str,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let table = toml::from_str(text).map_err(ConfigError::Syntax)?;
        let raw: Raw = keys::merged(table, environment)?.try_into().map_err(ConfigError::Syntax)?;
        Self::validated(raw)
    }

    /// The brokers, or the error that says how to name them.
    pub fn require_brokers(&self) -> Result<(), ConfigError> {
        self.brokers.as_ref().map(|_| ()).ok_or(ConfigError::NoBrokers)
    }

    fn validated(raw: Raw) -> Result<Self, ConfigError> {
        check_rings(&raw)?;
        check_numbers(&raw)?;
        for name in raw.kafka.properties.keys() {
            if let Some(reason) = ingest::forbidden_property(name) {
                let reason = format!("is ringwatch's own to set: {reason}; leave it out");
                return Err(value(&format!("kafka.properties.{name}"), &reason));
            }
        }
        check_destinations(&raw)?;
        let (pseudonym_key, pseudonyms) = pseudonym_key(&raw)?;
        let listen = match raw.http.listen.as_str() {
            "" => None,
            text => Some(text.parse().map_err(|_| {
                value("http.listen", "is no address; write it as \"127.0.0.1:8080\"")
            })?),
        };
        let data: DataLocation =
            raw.store.data.parse().map_err(|reason: String| value("store.data", &reason))?;
        let workers = raw.workers.threads()?;
        let commit_interval = raw.store.commit_interval.0.unwrap_or(data.commit_interval());
        let detection = detection(&raw);
        detection.check().map_err(ConfigError::Detection)?;
        Ok(Self {
            brokers: raw.kafka.brokers.clone(),
            connect_timeout: raw.kafka.connect_timeout.0,
            kafka: kafka(&raw, workers),
            data,
            workers,
            entry: EntryLimits {
                interval: Some(commit_interval),
                records_max: raw.store.entry_records_max,
                bytes_max: raw.store.entry_bytes_max.0,
            },
            publish: PublishRule {
                interval: Some(raw.store.publish_interval.0),
                lease: Some(LEASE),
                rows_max: raw.store.publish_rows_max,
                poll_interval: Some((commit_interval / 2).max(POLL_INTERVAL_MIN)),
                checkpoint_interval: Some(raw.store.checkpoint_interval.0),
                straggler_after: Some(raw.windows.straggler_after.0),
            },
            snapshot: Some(SnapshotRule {
                interval: raw.store.snapshot_interval.0,
                records_min: raw.store.snapshot_records_min,
            }),
            housekeeping: Some(housekeeping(&raw)),
            delta: delta(&raw)?,
            idle: IdleRule {
                telemetry_after: raw.windows.idle_after.0,
                log_after: raw.windows.log_idle_after.0,
            },
            fold: fold(&raw, pseudonym_key),
            windows_max: raw.limits.windows_max,
            decode: decode(&raw)?,
            detection,
            destinations: raw.destination,
            deliveries_queued_max: raw.limits.deliveries_queued_max,
            http: HttpConfig {
                listen,
                token: Token::read(&raw.http.token_file)?,
                hosts: raw.http.hosts,
            },
            links: LinkRule::new(&raw.links.dashboard, &raw.links.runbook)
                .map_err(|(key, what)| value(key, what))?,
            pseudonyms,
        })
    }

    /// The rings, in rollout order.
    pub fn rings(&self) -> &[String] {
        &self.fold.rings
    }
}

fn value(key: &str, reason: &str) -> ConfigError {
    ConfigError::Value { key: key.to_owned(), reason: reason.to_owned() }
}

fn check_destinations(raw: &Raw) -> Result<(), ConfigError> {
    for (index, destination) in raw.destination.iter().enumerate() {
        destination.validate().map_err(|source| ConfigError::Destination {
            name: destination.name.clone(),
            source,
        })?;
        let both = raw.destination[..index].iter().find(|before| both_act(before, destination));
        if let Some(before) = both {
            let (one, other) = (&before.name, &destination.name);
            let reason = format!(
                "is set for `{one}` and `{other}`, and both would roll back the same; tell them \
                 apart by `rings`, `decisions` or `act_change_types`"
            );
            return Err(value("destination.acts", &reason));
        }
    }
    Ok(())
}

fn decode(raw: &Raw) -> Result<DecodeConfig, ConfigError> {
    let fields = FieldNames::new(&raw.telemetry.fields)
        .map_err(|error| value("telemetry.fields", &error.to_string()))?;
    Ok(DecodeConfig { cohorts: raw.detection.cohorts.clone(), fields, ..Default::default() })
}

fn check_rings(raw: &Raw) -> Result<(), ConfigError> {
    if raw.ring.is_empty() {
        return Err(value("ring", "has no entry; name the rings in rollout order"));
    }
    for (index, ring) in raw.ring.iter().enumerate() {
        let name = &ring.name;
        if name.is_empty() || name.len() > KEY_BYTES_MAX || name.chars().any(char::is_control) {
            let reason =
                format!("is {name:?}; use 1 to {KEY_BYTES_MAX} bytes, none a control character");
            return Err(value("ring.name", &reason));
        }
        if name == UNMANAGED {
            let reason =
                format!("is `{UNMANAGED}`, which stands for rings that are not configured");
            return Err(value("ring.name", &reason));
        }
        if raw.ring[..index].iter().any(|before| before.name == *name) {
            return Err(value(
                "ring.name",
                &format!("`{name}` stands twice; give each ring one name"),
            ));
        }
    }
    Ok(())
}

fn check_numbers(raw: &Raw) -> Result<(), ConfigError> {
    let detection = &raw.detection;
    let length = raw.windows.length.span();
    let checks = [
        ("detection.cohorts", detection.cohorts.len() <= COHORTS_MAX, "has more than 8 entries"),
        (
            "windows.length",
            length >= Span::seconds(1) && Span::days(1).0 % length.0.max(1) == 0,
            "must divide a day, and be a second at least",
        ),
        ("store.entry_records_max", raw.store.entry_records_max > 0, "must be at least 1"),
        ("store.publish_rows_max", raw.store.publish_rows_max > 0, "must be at least 1"),
        ("store.journal_keep", raw.store.journal_keep > 0, "must be at least 1"),
        ("limits.windows_max", raw.limits.windows_max > 0, "must be at least 1"),
        (
            "limits.deliveries_queued_max",
            raw.limits.deliveries_queued_max > 0,
            "must be at least 1",
        ),
    ];
    match checks.iter().find(|(_, holds, _)| !holds) {
        Some((key, _, reason)) => Err(value(key, reason)),
        None => Ok(()),
    }
}

fn pseudonym_key(raw: &Raw) -> Result<(Vec<u8>, PseudonymKey), ConfigError> {
    let path = &raw.privacy.pseudonym_key_file;
    if path.is_empty() {
        return Ok((raw.kafka.group.clone().into_bytes(), PseudonymKey::GroupName));
    }
    let key =
        std::fs::read(path).map_err(|source| ConfigError::Read { path: path.clone(), source })?;
    if key.is_empty() {
        return Err(value(
            "privacy.pseudonym_key_file",
            "names an empty file; put 32 random bytes in it",
        ));
    }
    Ok((key, PseudonymKey::Secret))
}

fn kafka(raw: &Raw, workers: NonZeroUsize) -> KafkaConfig {
    let topics = &raw.kafka.topics;
    KafkaConfig {
        brokers: raw.kafka.brokers.clone().unwrap_or_default(),
        group: raw.kafka.group.clone(),
        topics: Topics {
            telemetry: topics.telemetry.clone(),
            changes: topics.changes.clone(),
            support: topics.support.clone(),
            rejected: Some(topics.rejected.clone()).filter(|name| !name.is_empty()),
        },
        properties: raw.kafka.properties.clone(),
        // Each lane has a queue of its own.
        prefetch_bytes_max: raw.kafka.prefetch_bytes_max.0 / workers.get(),
    }
}

fn housekeeping(raw: &Raw) -> HousekeepingRule {
    let store = &raw.store;
    HousekeepingRule {
        interval: store.housekeeping_interval.0,
        settle_after: store.settle_after.span(),
        keep: (store.retention_days > 0).then(|| Span::days(i64::from(store.retention_days))),
        collect_after: store.collect_after.span(),
        journal_keep: store.journal_keep,
    }
}

fn delta(raw: &Raw) -> Result<DeltaRule, ConfigError> {
    if !raw.store.delta {
        return Ok(DeltaRule::Off);
    }
    if cfg!(feature = "delta") {
        return Ok(DeltaRule::Follow);
    }
    let how = "needs a build with the feature `delta`: cargo build --release --features delta";
    Err(value("store.delta", how))
}

fn fold(raw: &Raw, pseudonym_key: Vec<u8>) -> FoldConfig {
    FoldConfig {
        window_length: raw.windows.length.span(),
        lateness: raw.windows.lateness.span(),
        quiet_period: raw.detection.quiet_period.span(),
        silence_quiet_period: raw.detection.silence_quiet_period.span(),
        rings: raw.ring.iter().map(|ring| ring.name.clone()).collect(),
        cohorts: raw.detection.cohorts.clone(),
        hash_seed: [0, 0],
        pseudonym_key,
        limits: FoldLimits {
            devices_max: raw.limits.devices_max,
            names_max: raw.limits.names_max,
            changes_max: raw.limits.changes_max,
            sets_max: raw.limits.sets_max,
            ..Default::default()
        },
    }
}

fn detection(raw: &Raw) -> DetectionConfig {
    DetectionConfig {
        alpha: raw.detection.alpha,
        margin: raw.detection.margin,
        install_failure_bound: raw.detection.install_failure_bound,
        soak: raw.detection.soak.span(),
        resolve_after: raw.detection.resolve_after.span(),
        pending_for: raw.detection.pending_for.span(),
        ..DetectionConfig::new(raw.ring.iter().map(|ring| ring.name.clone()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<Config, String> {
        Config::parse(text, std::iter::empty()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_are_valid() {
        let config = check("").expect("valid");
        assert_eq!(config.rings(), ["test", "first", "fast", "broad", "last"]);
        assert!(config.brokers.is_none());
    }

    #[test]
    fn a_wrong_value_names_its_key_and_what_to_do() {
        for (text, expected) in [
            (
                "[[ring]]\nname = ''",
                "`ring.name` is \"\"; use 1 to 128 bytes, none a control character",
            ),
            (
                "[[ring]]\nname = \"a\\nb\"",
                "`ring.name` is \"a\\nb\"; use 1 to 128 bytes, none a control character",
            ),
            (
                "[[ring]]\nname = 'a'\n[[ring]]\nname = 'a'",
                "`ring.name` `a` stands twice; give each ring one name",
            ),
            (
                "[windows]\nlength = '7s'",
                "`windows.length` must divide a day, and be a second at least",
            ),
            (
                "[links]\nrunbook = 'https://wiki.example.com/'",
                "`links.runbook` has no {page}, which stands for the page of a signal; write it as \
                 \"https://wiki.example.com/ringwatch/{page}\"",
            ),
            (
                "[http]\nlisten = 'here'",
                "`http.listen` is no address; write it as \"127.0.0.1:8080\"",
            ),
        ] {
            assert_eq!(check(text).expect_err(text), expected);
        }
    }

    #[test]
    fn entries_are_rarer_in_an_object_store_unless_the_file_says_how_often() {
        let interval = |text: &str| check(text).expect("valid").entry.interval;
        assert_eq!(interval(""), Some(Duration::from_secs(5)));
        assert_eq!(interval("[store]\ndata = 's3://b/x'"), Some(Duration::from_secs(15)));
        let explicit = "[store]\ndata = 's3://b/x'\ncommit_interval = '7s'";
        assert_eq!(interval(explicit), Some(Duration::from_secs(7)));
    }

    #[test]
    fn a_property_we_depend_on_is_refused() {
        let error = check("[kafka.properties]\n'check.crcs' = 'false'").expect_err("forbidden");
        assert!(error.starts_with("`kafka.properties.check.crcs` "), "{error}");
    }
}
