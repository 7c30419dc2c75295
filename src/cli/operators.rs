//! Flags of the verbs with which people answer alerts and see to destinations.

use clap::{Args, Subcommand};
use humantime::Duration;
use schemas::alert::{Channel, Owner};
use schemas::{ChangeType, Decision, Severity, Timestamp};

use super::AlertsListArgs;
use crate::config::DataLocation;

#[derive(Debug, Args)]
pub struct AlertsArgs {
    #[command(subcommand)]
    pub verb: AlertsVerb,
}

#[derive(Debug, Subcommand)]
pub enum AlertsVerb {
    /// List alerts that are open
    List(AlertsListArgs),
    /// Show every transition of an alert, and what was said to it
    Show(ShowArgs),
    /// Acknowledge an alert: somebody takes care of it
    Ack(AckArgs),
    /// Keep alerts quiet for a while, list silences, or end one
    Silence(SilenceArgs),
    /// Send a made-up alert to the destinations, or explain where one would go
    Test(TestArgs),
}

/// Who gives a command, and where it goes.
#[derive(Debug, Args)]
pub struct GivenBy {
    /// Data folder of the service; the configured one without it
    #[arg(long, value_name = "DIR|URL")]
    pub data: Option<DataLocation>,
    /// Who says so; $USER without it
    #[arg(long, value_name = "NAME")]
    pub author: Option<String>,
    /// Why; a silence needs it
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Id of the alert, or its beginning
    #[arg(value_name = "ALERT")]
    pub alert: String,
    /// Data folder; the configured one without it
    #[arg(long, value_name = "DIR|URL")]
    pub data: Option<DataLocation>,
}

#[derive(Debug, Args)]
pub struct AckArgs {
    /// Id of the alert, or its beginning
    #[arg(value_name = "ALERT")]
    pub alert: String,
    #[command(flatten)]
    pub by: GivenBy,
}

#[derive(Debug, Args)]
pub struct SilenceArgs {
    #[command(flatten)]
    pub by: GivenBy,
    /// For how long
    #[arg(long = "for", value_name = "TIME", required_unless_present_any = ["list", "end"])]
    pub lasts: Option<Duration>,
    /// Only this alert, by its whole id
    #[arg(long, value_name = "ID")]
    pub alert: Option<String>,
    /// Only alerts of this change
    #[arg(long, value_name = "CHANGE")]
    pub change: Option<String>,
    /// Only alerts of this ring
    #[arg(long, value_name = "RING")]
    pub ring: Option<String>,
    /// Only alerts of this signal
    #[arg(long, value_name = "SIGNAL")]
    pub signal: Option<String>,
    /// Only alerts of this decision
    #[arg(long, value_parser = decision)]
    pub decision: Option<Decision>,
    /// Only alerts of this severity
    #[arg(long, value_parser = severity)]
    pub severity: Option<Severity>,
    /// List the silences that last
    #[arg(long, conflicts_with_all = ["lasts", "end"])]
    pub list: bool,
    /// End this silence now
    #[arg(long, value_name = "SILENCE")]
    pub end: Option<String>,
}

#[derive(Debug, Args)]
pub struct TestArgs {
    /// Say where it would go and why, and send nothing
    #[arg(long)]
    pub explain: bool,
    /// Only this destination
    #[arg(long, value_name = "NAME")]
    pub destination: Option<String>,
    /// Decision of the alert
    #[arg(long, value_parser = decision, default_value = "rollback")]
    pub decision: Decision,
    /// Severity of the alert
    #[arg(long, value_parser = severity, default_value = "critical")]
    pub severity: Severity,
    /// Type of its change
    #[arg(long, value_parser = change_type, default_value = "quality")]
    pub change_type: ChangeType,
    /// Its ring
    #[arg(long, value_name = "RING", default_value = "test")]
    pub ring: String,
    /// Who is to act
    #[arg(long, value_parser = owner, default_value = "service")]
    pub owner: Owner,
    /// As a finding about the process, told through this channel; harm that was found without it
    #[arg(long, value_parser = channel)]
    pub channel: Option<Channel>,
    /// When it would be raised; now without it
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub at: Option<Timestamp>,
}

#[derive(Debug, Args)]
pub struct PauseArgs {
    #[command(flatten)]
    pub by: GivenBy,
}

#[derive(Debug, Args)]
pub struct DeliveriesArgs {
    #[command(subcommand)]
    pub verb: DeliveriesVerb,
}

#[derive(Debug, Subcommand)]
pub enum DeliveriesVerb {
    /// List destinations: what waits for them, what they refused, why they fail
    List(DeliveriesListArgs),
    /// Try a destination at once, and send again what it had refused
    Retry(DeliveriesRetryArgs),
}

#[derive(Debug, Args)]
pub struct DeliveriesListArgs {
    /// Data folder; the configured one without it
    #[arg(long, value_name = "DIR|URL")]
    pub data: Option<DataLocation>,
}

#[derive(Debug, Args)]
pub struct DeliveriesRetryArgs {
    /// Name of the destination
    #[arg(value_name = "DESTINATION")]
    pub destination: String,
    #[command(flatten)]
    pub by: GivenBy,
}

fn decision(name: &str) -> Result<Decision, String> {
    Decision::from_name(name).ok_or_else(|| one_of(Decision::ALL, Decision::name))
}

fn severity(name: &str) -> Result<Severity, String> {
    Severity::from_name(name).ok_or_else(|| one_of(Severity::ALL, Severity::name))
}

fn change_type(name: &str) -> Result<ChangeType, String> {
    ChangeType::from_name(name).ok_or_else(|| one_of(ChangeType::ALL, ChangeType::name))
}

fn owner(name: &str) -> Result<Owner, String> {
    Owner::from_name(name).ok_or_else(|| one_of(Owner::ALL, Owner::name))
}

fn channel(name: &str) -> Result<Channel, String> {
    Channel::from_name(name).ok_or_else(|| one_of(Channel::ALL, Channel::name))
}

fn one_of<T: Copy>(all: &[T], name: impl Fn(T) -> &'static str) -> String {
    let names: Vec<&str> = all.iter().map(|value| name(*value)).collect();
    format!("use one of {}", names.join(", "))
}

fn time(text: &str) -> Result<Timestamp, String> {
    let wrong = || "write it as 2026-07-19T10:00:00Z".to_owned();
    Timestamp::parse_rfc3339(text.as_bytes()).ok_or_else(wrong)
}
