//! From an event to the journal, to the tables and to the alert, under load, in real time.
//!
//! ```text
//! heartbeats, at a steady rate ─┐                          ┌─► journal entry ─┐
//! 20 crashes of a change, now ──┴─► broker ─► ringwatch ───┼─► table file ────┼─► watch
//!                                                          └─► webhook ───────┴─► hook
//! ```
//! Every record belongs to an instant of the schedule, and its latency is the time from that
//! instant: whoever is late in sending or in reading is part of it, so that nothing is left out
//! where all wait. Each change crosses its line by what happens in one instant.

use std::fs;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;
use schemas::Timestamp;

use super::measure::succeed;
use super::numbers;
use super::programs::Programs;
use super::service::Service;
use super::stand::{Configured, Settings, verify};
use super::{BROKER_CORE, PARTITIONS, say};
use crate::fixture::free_address;
use crate::kafka::Broker;
use crate::{Failure, record};

mod hook;
mod quota;
mod sender;
mod watch;

use hook::Hook;
use quota::Quota;
use sender::{Sender, Sent};
use watch::{Watch, Watched};

pub(super) const RECORD_HEADING: &str = "## From an event onwards";

/// Shares of what can be taken, where no rate is asked for.
const SHARES: [f64; 3] = [0.1, 0.5, 0.9];
/// Messages by which that is measured.
const CAPACITY_MESSAGES: u64 = 2_000_000;
/// Tables are published every 15 min by default: the rest of the way is what is of interest.
const PUBLISH_INTERVAL_S: u64 = 30;
/// How long alerts may take after the last record; one that has not come by then never does.
const PATIENCE: Duration = Duration::from_mins(1);
/// A sender further behind than this measures itself.
const BEHIND_MAX: Duration = Duration::from_secs(1);
const POLL_INTERVAL: Duration = Duration::from_millis(10);
const QUANTILES: [f64; 4] = [0.5, 0.9, 0.99, 1.0];

/// What was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub rate: Option<u64>,
    /// The rate as a share of what can be taken.
    pub load: Option<f64>,
    /// How much of its core ringwatch gets, up to 1.
    pub core_share: f64,
    pub changes: u64,
    pub workers: Option<u32>,
}

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    /// Heartbeats a second.
    pub rate: u64,
    /// Changes, of which each raises one alert.
    pub changes: u64,
    /// How much of its core ringwatch has for it.
    pub core_share: f64,
}

/// Runs it at each load, and prints latencies in seconds; with `record` into docs/benchmarks.md.
pub(super) fn run(programs: &Programs, wanted: Wanted, records: bool) -> Result<(), Failure> {
    let Wanted { rate, load, core_share, changes, workers } = wanted;
    let settings = Settings::workers(workers);
    let quota =
        (core_share < 1.0).then(|| Quota::of(core_share, &programs.ringwatch)).transpose()?;
    let ringwatch = quota.as_ref().map_or_else(|| programs.ringwatch.clone(), Quota::program);
    let programs = &Programs { ringwatch, ..programs.clone() };
    let rates = if let Some(rate) = rate {
        vec![rate]
    } else {
        let most = numbers::capacity(programs, CAPACITY_MESSAGES, &settings)?;
        say(&format!("ringwatch takes {most:.0} messages/s with {core_share} of a core"));
        let shares = load.map_or_else(|| SHARES.to_vec(), |load| vec![load]);
        shares.into_iter().map(|share| (most * share) as u64).collect()
    };
    // What sends shares the broker's core, so that ringwatch has its own.
    let own = std::process::id().to_string();
    let core = BROKER_CORE.to_string();
    succeed(Command::new("taskset").args(["--all-tasks", "--cpu-list", "--pid", &core, &own]))?;
    rates
        .into_iter()
        .map(|rate| Load { rate, changes, core_share })
        .try_for_each(|load| at(programs, load, &settings, records))
}

/// One load.
fn at(programs: &Programs, load: Load, with: &Settings, records: bool) -> Result<(), Failure> {
    let folder = tempfile::tempdir().map_err(Failure::io("make a folder for the benchmark"))?;
    let broker = Broker::start_pinned(BROKER_CORE)?;
    broker.create_topics(PARTITIONS)?;
    let hook = Hook::start().map_err(Failure::io("listen for alerts"))?;
    let (config, data) = (folder.path().join("ringwatch.toml"), folder.path().join("data"));
    let configured = Configured { config, data, address: free_address().to_string() };
    let text = format!(
        "[kafka]\nbrokers = \"{}\"\n[store]\ndata = \"{}\"\npublish_interval = \
         \"{PUBLISH_INTERVAL_S}s\"\n[http]\nlisten = \"{}\"\n{}[[destination]]\nname = \"hook\"\n\
         type = \"webhook\"\nurl = \"http://{}/\"\n",
        broker.bootstrap(),
        configured.data.display(),
        configured.address,
        with.sections(),
        hook.address(),
    );
    fs::write(&configured.config, text).map_err(Failure::io("write the configuration"))?;
    let mut sender = Sender::new(broker.bootstrap(), load)?;
    sender.register()?;
    let service = Service::start(&programs.ringwatch, &configured, &with.cores())?;
    let watch = Watch::start(&configured.data);
    let length_s = sender.length().as_secs_f64();
    say(&format!("{} heartbeats/s, {} changes; {:.0} s", load.rate, load.changes, length_s));
    let before = service.usage().cpu;
    let sent = sender.send()?;
    let cpu_s = service.usage().cpu.saturating_sub(before).as_secs_f64();
    let share = cpu_s / length_s / load.core_share * 100.0;
    let began = Instant::now();
    while hook.count() < load.changes as usize && began.elapsed() < PATIENCE {
        sleep(POLL_INTERVAL);
    }
    service.stop()?;
    let watched = watch.stop()?;
    verify(&programs.ringwatch, &configured.data)?;
    if configured.data.join("tables/rejected").exists() {
        return Err(Failure::Unmet("records of the sender were rejected".to_owned()));
    }
    report(load, &sent, &watched, &hook, share, records)
}

fn report(
    load: Load,
    sent: &Sent,
    watched: &Watched,
    hook: &Hook,
    share: f64,
    records: bool,
) -> Result<(), Failure> {
    let behind_ms = sent.behind_max.as_millis();
    say(&format!(
        "ringwatch took {share:.0} % of {} core; the sender was {behind_ms} ms late at most",
        load.core_share,
    ));
    if sent.behind_max > BEHIND_MAX {
        return Err(Failure::Unmet("this machine cannot send that much on one core".to_owned()));
    }
    let stages = [
        ("journal", watch::latencies(&watched.journal, &sent.instants)?),
        ("tables", watch::latencies(&watched.tables, &sent.instants)?),
        ("alert", alerts(sent, hook)?),
    ];
    let records_sent: i64 =
        sent.instants.iter().filter_map(|of| of.last()).map(|last| last.0).sum();
    for (to, histogram) in &stages[..2] {
        if histogram.len() != records_sent as u64 {
            let came = histogram.len();
            return Err(Failure::Unmet(format!("{came} of {records_sent} records in the {to}")));
        }
    }
    for (to, histogram) in stages {
        let cells = QUANTILES.map(|share| seconds(histogram.value_at_quantile(share)));
        let [p50, p90, p99, most] = &cells;
        say(&format!("seconds from event to {to}: p50 {p50}, p90 {p90}, p99 {p99}, max {most}"));
        if records {
            let load_cells = [
                load.rate.to_string(),
                format!("{share:.0} % of {}", load.core_share),
                to.to_owned(),
                histogram.len().to_string(),
            ];
            record::row(RECORD_HEADING, &[&load_cells[..], &cells].concat())?;
        }
    }
    Ok(())
}

fn seconds(ms: u64) -> String {
    format!("{:.1}", ms as f64 / 1_000.0)
}

/// Milliseconds from the harm of each change to its alert at the webhook.
fn alerts(sent: &Sent, hook: &Hook) -> Result<Histogram<u64>, Failure> {
    let heard = hook.heard();
    let mut histogram =
        Histogram::new(3).map_err(|_| Failure::Unmet("no histogram can be made".to_owned()))?;
    for (change, at) in &sent.harm {
        let Some(heard) = heard.get(change) else {
            return Err(Failure::Unmet(format!("the alert of {change} never came")));
        };
        let late_ms = ((*heard - *at).0 / 1_000).max(0) as u64;
        histogram
            .record(late_ms)
            .map_err(|_| Failure::Unmet("an alert took longer than can be kept".to_owned()))?;
    }
    Ok(histogram)
}

fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(since.as_micros() as i64)
}
