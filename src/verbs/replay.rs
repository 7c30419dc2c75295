//! `ringwatch replay`: NDJSON files through the same pipeline, as fast as it can.

use std::sync::Arc;

use ingest::{NdjsonSource, Source};
use store::{Growth, TopicNames, World, WorldInput, world::LAYOUT};

use crate::cli::{Common, ReplayArgs};
use crate::clock::NoClock;
use crate::config::Config;
use crate::datafolder;
use crate::deliveries::Deliveries;
use crate::failure::{Failure, Outcome};
use crate::output::{self, Format, printable};
use crate::pipeline::{Gaps, Parts, Until, run as run_pipeline};
use crate::progress::Progress;
use crate::shutdown::Stop;
use crate::summary::Summary;
use crate::view::SharedView;

/// Replays a folder and prints what came of it.
pub fn run(common: &Common, args: &ReplayArgs) -> Result<Outcome, Failure> {
    let mut config = Config::load(common.config.as_deref(), std::env::vars())?;
    bound_by_records(&mut config);
    let stop = Stop::default();
    stop.on_signals()?;
    let store = datafolder::open(&args.data)?;
    let source = NdjsonSource::open(&args.input)?;
    let world = World {
        layout: LAYOUT,
        input: WorldInput::Replay { files: source.identity() },
        topics: TopicNames::default(),
        partition_count: source.telemetry_partitions(),
        partition_counts_other: None,
        window_length: config.fold.window_length,
        // Two replays of one input give the same bytes.
        hash_seed: [0, 0],
    };
    let world = datafolder::claim(&*store, world, Growth::Refused, &mut config)?;
    let view = SharedView::default();
    let progress = Progress::bytes(source.bytes_total(), source.bytes_read(), common);
    let summary = run_pipeline(Parts {
        streams: source.streams(),
        source,
        store,
        clock: Arc::new(NoClock),
        config: &config,
        world,
        until: Until::InputEnds,
        gaps: Gaps::Refused,
        view,
        stop,
        rejected: None,
        deliveries: Deliveries::default(),
    });
    progress.finish();
    let summary = summary?;
    match common.format() {
        Format::Json => output::json(&summary)?,
        Format::Text => print(&summary)?,
    }
    Ok(if summary.is_alerting() { Outcome::Alerting } else { Outcome::Fine })
}

/// Bounds cut entries and files, not the clock: two runs give the same bytes.
pub(crate) fn bound_by_records(config: &mut Config) {
    config.entry.interval = None;
    config.publish.interval = None;
    config.publish.lease = None;
    config.publish.poll_interval = None;
    config.publish.checkpoint_interval = None;
    config.publish.straggler_after = None;
    config.snapshot = None;
    config.housekeeping = None;
}

/// Prints a summary for people.
pub fn print(summary: &Summary) -> Result<(), Failure> {
    let count = |label: &str, value: u64| output::line(&format!("{label:<12} {value:>12}"));
    count("records", summary.records)?;
    count("applied", summary.applied)?;
    count("rejected", summary.rejected)?;
    count("duplicates", summary.duplicates)?;
    count("late", summary.late)?;
    count("windows", summary.windows)?;
    count("alerts", summary.alerts.len() as u64)?;
    for alert in &summary.alerts {
        output::line(&format!(
            "  {} {} since {}: {}",
            alert.state.name(),
            alert.decision.name(),
            alert.starts_at,
            printable(&alert.summary),
        ))?;
    }
    Ok(())
}
