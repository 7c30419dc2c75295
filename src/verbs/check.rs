//! `ringwatch check`: is this configuration going to work, and what do real records look like?

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ingest::{Arrival, Decoder, Record};
use schemas::{Body, Rejection, Stage, StreamKind, UNMANAGED};
use serde_json::json;

use crate::cli::{CheckArgs, Common};
use crate::config::{Config, PseudonymKey};
use crate::datafolder;
use crate::failure::{Failure, Outcome};
use crate::output::{self, Format, printable};

/// How long reading the sample may take.
const SAMPLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Distinct names shown; a topic of somebody else can hold millions.
const NAMES_SHOWN_MAX: usize = 20;

/// Checks what can be checked, most local first; the first failure ends it.
pub fn run(common: &Common, args: &CheckArgs) -> Result<Outcome, Failure> {
    let config = Config::load(common.config.as_deref(), std::env::vars())?;
    let say = |line: &str| match common.format() {
        Format::Text if common.quiet == 0 => output::line(line),
        _ => Ok(()),
    };
    say(&format!(
        "configuration  ok: {} rings, {} destinations",
        config.rings().len(),
        config.destinations.len()
    ))?;
    if config.pseudonyms == PseudonymKey::GroupName {
        say("               note: privacy.pseudonym_key_file is not set; \
             pseudonyms are keyed by the group name")?;
    }
    if !args.connect {
        if common.format() == Format::Json {
            output::json(&json!({"configuration": "ok", "rings": config.rings()}))?;
        }
        return Ok(Outcome::Fine);
    }
    config.require_brokers()?;
    let fit = datafolder::probe(&config.data)?;
    say(&format!("data folder    ok: {} {fit}", config.data))?;
    for destination in &config.destinations {
        destination.open()?.reach()?;
        say(&format!("destination    ok: {} answers", printable(&destination.name)))?;
    }
    let partitions = ingest::partitions(&config.kafka, config.connect_timeout)?;
    let counts: Vec<String> = partitions
        .iter()
        .map(|(kind, count)| format!("{} {count}", printable(config.kafka.topics.name(*kind))))
        .collect();
    say(&format!(
        "broker         ok: {}; partitions: {}",
        config.kafka.brokers,
        counts.join(", ")
    ))?;
    let seen = match args.sample {
        Some(count) => Some(Seen::sample(&config, count)?),
        None => None,
    };
    match (common.format(), &seen) {
        (Format::Json, seen) => output::json(&json!({
            "configuration": "ok", "data": "ok", "broker": "ok",
            "sample": seen.as_ref().map(Seen::to_json),
        }))?,
        (Format::Text, Some(seen)) => seen.print(&config)?,
        (Format::Text, None) => {}
    }
    let file =
        common.config.as_deref().map_or("ringwatch.toml".into(), |path| path.to_string_lossy());
    say(&format!("next: ringwatch run --config {file}"))?;
    Ok(Outcome::Fine)
}

/// What a sample of real records holds.
#[derive(Default)]
struct Seen {
    records: u64,
    accepted: u64,
    by_type: BTreeMap<&'static str, u64>,
    /// By stage and field: how many, and the first error.
    rejected: BTreeMap<(Stage, &'static str), (u64, String)>,
    rings: BTreeSet<String>,
    changes: BTreeSet<String>,
}

impl Seen {
    fn sample(config: &Config, count: usize) -> Result<Self, Failure> {
        let mut seen = Self::default();
        let mut decoder = Decoder::new(config.decode.clone());
        ingest::sample(
            &config.kafka,
            StreamKind::Telemetry,
            count,
            SAMPLE_TIMEOUT,
            &mut |record| {
                seen.look_at(&mut decoder, record);
            },
        )?;
        Ok(seen)
    }

    fn look_at(&mut self, decoder: &mut Decoder, record: &Record<'_>) {
        self.records += 1;
        let arrival = record.timestamp.map_or(Arrival::InRecord, Arrival::At);
        let noted = ingest::unframe(record.value, &record.headers)
            .and_then(|value| self.note(decoder, &value, arrival));
        if let Err(rejection) = noted {
            let place = (rejection.stage, rejection.field.unwrap_or(""));
            self.rejected.entry(place).or_insert_with(|| (0, rejection.error)).0 += 1;
        }
    }

    fn note(
        &mut self,
        decoder: &mut Decoder,
        value: &[u8],
        arrival: Arrival,
    ) -> Result<(), Rejection> {
        let event = decoder.telemetry(value, arrival)?.event;
        self.accepted += 1;
        if self.rings.len() < NAMES_SHOWN_MAX {
            self.rings.insert(event.ring.to_owned());
        }
        let kind = match event.body {
            Body::Heartbeat { .. } => "heartbeat",
            Body::Boot { .. } => "boot",
            Body::Update { change, .. } => {
                if self.changes.len() < NAMES_SHOWN_MAX {
                    self.changes.insert(change.to_owned());
                }
                "update"
            }
            Body::Fault { .. } => "fault",
            Body::Ticket { .. } => "ticket",
            Body::Audit { .. } => "audit",
            Body::Lifecycle(_) => "lifecycle",
        };
        *self.by_type.entry(kind).or_default() += 1;
        Ok(())
    }

    fn print(&self, config: &Config) -> Result<(), Failure> {
        let share = 100.0 * self.accepted as f64 / self.records.max(1) as f64;
        output::line(&format!(
            "sample         {} records: {} accepted ({share:.1} %), {} rejected",
            self.records,
            self.accepted,
            self.records - self.accepted
        ))?;
        for (kind, count) in &self.by_type {
            output::line(&format!("  {kind:<12} {count:>6}"))?;
        }
        for ((stage, field), (count, error)) in &self.rejected {
            let field = if field.is_empty() { "(whole record)" } else { field };
            output::line(&format!("  rejected {count:>4}  {:<8} {field}: {error}", stage.name()))?;
        }
        let rings: Vec<String> = self.rings.iter().map(|ring| mark(config, ring)).collect();
        output::line(&format!("rings seen     {}", listed(&rings)))?;
        let changes: Vec<String> = self.changes.iter().map(|change| printable(change)).collect();
        output::line(&format!("changes seen   {}", listed(&changes)))?;
        Ok(())
    }

    fn to_json(&self) -> serde_json::Value {
        let rejected: Vec<_> = self
            .rejected
            .iter()
            .map(|((stage, field), (count, error))| {
                json!({"stage": stage.name(), "field": field, "count": count, "error": error})
            })
            .collect();
        json!({
            "records": self.records, "accepted": self.accepted, "by_type": self.by_type,
            "rejected": rejected, "rings": self.rings, "changes": self.changes,
        })
    }
}

/// The ring's name, and what becomes of it if it is not configured.
fn mark(config: &Config, ring: &str) -> String {
    let known = config.rings().iter().any(|configured| configured == ring);
    let ring = printable(ring);
    if known { ring } else { format!("{ring} (not configured: counted as {UNMANAGED})") }
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
