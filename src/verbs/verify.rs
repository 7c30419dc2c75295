//! `ringwatch verify`: the proof, from the files alone, that every offset is in the tables once.
//!
//! What the files cannot say, whether the broker holds more, `--kafka` asks it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ingest::PartitionLog;
use schemas::Stream;
use schemas::commit::DroppedDay;
use store::verify::{BrokerReport, PartitionReport};
use store::{Extent, VerifyReport, verify_with};

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
        let logs = ingest::logs(&config.kafka, &covered(&report), config.connect_timeout)?;
        compare(&mut report, &logs);
    }
    match common.format() {
        Format::Json => output::json(&report)?,
        Format::Text => print(&report)?,
    }
    Ok(if report.is_clean() { Outcome::Fine } else { Outcome::Failed })
}

/// Up to where the journal covers each partition.
fn covered(report: &VerifyReport) -> BTreeMap<Stream, i64> {
    report.partitions.iter().map(|part| (part.place(), part.end)).collect()
}

/// Names what the broker holds, or has let go, beyond what the journal covers.
fn compare(report: &mut VerifyReport, logs: &BTreeMap<Stream, PartitionLog>) {
    for (stream, log) in logs {
        let part = report.partitions.iter_mut().find(|part| part.place() == *stream);
        let covered = part.as_ref().map(|part| part.end);
        let PartitionLog { start, end, first_record: uncovered } = *log;
        if let Some(part) = part {
            part.broker = Some(BrokerReport { start, end, uncovered });
        }
        if let Some(offset) = uncovered {
            let until =
                covered.map_or("nothing".to_owned(), |until| format!("offsets up to {until}"));
            report.problem(format!(
                "{stream}: the broker holds a record at offset {offset}, and its log ends at \
                 {end}; the journal covers {until}"
            ));
        }
        if let Some(covered) = covered.filter(|covered| *covered < start) {
            report.problem(format!(
                "{stream}: offsets {covered} to {start} are gone from the broker, and the journal \
                 never covered them"
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
        print_partition(part)?;
    }
    for (dataset, table) in &report.tables {
        output::line(&format!("{dataset:<20} {} rows in {} files", table.rows, table.files))?;
    }
    for (dataset, table) in &report.settled {
        let (rows, files) = (table.rows, table.files);
        output::line(&format!("{dataset:<20} {rows} of these rows settled in {files} files"))?;
    }
    for days in report.days_dropped.chunk_by(|one, other| one.dataset == other.dataset) {
        let (first, last) = (&days[0], &days[days.len() - 1]);
        let DroppedDay { dataset, date } = first;
        let (count, last) = (days.len(), &last.date);
        output::line(&format!("{dataset:<20} {count} days dropped, from {date} to {last}"))?;
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
        "NOT ok: each PROBLEM above says what is wrong and where"
    })?;
    Ok(())
}

fn print_partition(part: &PartitionReport) -> Result<(), Failure> {
    let name = format!("{}/{}", printable(&part.topic), part.partition);
    let offsets = format!("[{}, {})", part.start, part.end);
    let covered = part.covered_until_in_tables.map_or("-".to_owned(), |offset| offset.to_string());
    output::line(&format!(
        "{name:<20} {offsets:>24} {:>12} {:>12} {:>10} {:>9}  {covered}",
        part.records, part.applied, part.duplicates, part.rejected
    ))?;
    let holes = [
        ("gap", &part.gaps),
        ("overlap", &part.overlaps),
        ("accepted as lost", &part.gaps_accepted),
    ];
    for (what, ranges) in holes {
        for (start, end) in ranges {
            output::line(&format!("  {what}: [{start}, {end})"))?;
        }
    }
    if part.entries_collected > 0 {
        let count = part.entries_collected;
        output::line(&format!(
            "  the first {count} journal entries were collected: proven by the \
            chain"
        ))?;
    }
    if let Some(BrokerReport { start, end, .. }) = part.broker {
        output::line(&format!("  the broker holds [{start}, {end})"))?;
        if part.start < start {
            output::line(&format!(
                "  offsets before {start} are no longer at the broker; proven from the files alone"
            ))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use schemas::StreamKind;

    use super::*;

    #[test]
    fn a_partition_that_expired_before_it_was_ever_read_is_no_problem_and_a_record_is() {
        let stream = Stream { kind: StreamKind::Telemetry, partition: 0 };
        let compared = |first_record| {
            let mut report = VerifyReport::default();
            let log = PartitionLog { start: 7, end: 9, first_record };
            compare(&mut report, &BTreeMap::from([(stream, log)]));
            report.problems
        };
        assert_eq!(compared(None), Vec::<String>::new());
        let said = "telemetry/0: the broker holds a record at offset 8, and its log ends at 9; the \
                    journal covers nothing";
        assert_eq!(compared(Some(8)), [said]);
    }
}
