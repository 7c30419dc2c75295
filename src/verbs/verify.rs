//! `ringwatch verify`: the proof, from the files alone, that every offset is in the tables once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use schemas::Stream;
use store::{Extent, VerifyReport, verify::PartitionReport, verify_with};

use crate::cli::{Common, VerifyArgs};
use crate::config::Config;
use crate::datafolder;
use crate::failure::{Failure, Outcome};
use crate::output::{self, Format, printable};
use crate::progress::Progress;

/// Checks the folder; exit code 1 unless everything is covered once.
pub fn run(common: &Common, args: &VerifyArgs) -> Result<Outcome, Failure> {
    let load = || Config::load(common.config.as_deref(), std::env::vars());
    let (config, data) = match (&args.data, args.kafka) {
        (Some(data), false) => (None, data.clone()),
        (given, _) => {
            let config = load()?;
            let data = given.as_ref().unwrap_or(&config.data).clone();
            (Some(config), data)
        }
    };
    let store = datafolder::open_read_only(&data)?;
    let done = Arc::new(AtomicU64::new(0));
    let progress = Progress::steps(Arc::clone(&done), common);
    let report = verify_with(&*store, Extent::Committed, &mut |step| {
        progress.say(step.step, step.total);
        done.store(step.done, Ordering::Relaxed);
    });
    progress.finish();
    let mut report = report?;
    if let (Some(config), true) = (&config, args.kafka) {
        config.require_brokers()?;
        compare(&mut report, &ingest::end_offsets(&config.kafka, config.connect_timeout)?);
    }
    match common.format() {
        Format::Json => output::json(&report)?,
        Format::Text => print(&report)?,
    }
    Ok(if report.is_clean() { Outcome::Fine } else { Outcome::Failed })
}

/// Names what the broker holds beyond what the journal covers.
fn compare(report: &mut VerifyReport, ends: &BTreeMap<Stream, i64>) {
    for (stream, end) in ends {
        let here = |part: &&PartitionReport| {
            (part.stream, part.partition) == (stream.kind, stream.partition)
        };
        let covered = report.partitions.iter().find(here).map_or(0, |part| part.end);
        if covered < *end {
            report.problems.push(format!(
                "{stream}: the broker holds records up to offset {end}, the journal covers them \
                 up to {covered}"
            ));
        }
    }
}

fn print(report: &VerifyReport) -> Result<(), Failure> {
    output::line(&format!(
        "{:<20} {:>24} {:>12} {:>12} {:>10} {:>9}  in tables up to",
        "partition", "offsets [start, end)", "records", "applied", "duplicate", "rejected"
    ))?;
    for part in &report.partitions {
        let name = format!("{}/{}", printable(&part.topic), part.partition);
        let offsets = format!("[{}, {})", part.start, part.end);
        let covered =
            part.covered_until_in_tables.map_or("-".to_owned(), |offset| offset.to_string());
        output::line(&format!(
            "{name:<20} {offsets:>24} {:>12} {:>12} {:>10} {:>9}  {covered}",
            part.records, part.applied, part.duplicates, part.rejected
        ))?;
        for (what, ranges) in [("gap", &part.gaps), ("overlap", &part.overlaps)] {
            for (start, end) in ranges {
                output::line(&format!("  {what}: [{start}, {end})"))?;
            }
        }
    }
    for (dataset, table) in &report.tables {
        output::line(&format!("{dataset:<20} {} rows in {} files", table.rows, table.files))?;
    }
    if report.records_not_in_tables > 0 {
        output::line(&format!("not yet in tables: {} records", report.records_not_in_tables))?;
    }
    for problem in &report.problems {
        output::line(&format!("PROBLEM: {}", printable(problem)))?;
    }
    if report.problems_omitted > 0 {
        output::line(&format!("and {} more problems", report.problems_omitted))?;
    }
    output::line(if report.is_clean() {
        "ok: every offset is covered exactly once, and the tables agree"
    } else {
        "NOT ok"
    })?;
    Ok(())
}
