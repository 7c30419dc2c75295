//! How the demo ends: what happened, the proof, the folder, a query to paste and its result.

use std::collections::BTreeMap;

use schemas::alert::EvidenceKind;
use schemas::{Alert, Dataset};
use store::Blobs;

use crate::config::Config;
use crate::datafolder;
use crate::failure::Failure;
use crate::output::{self, printable};
use crate::summary::Summary;

/// Prints the end.
pub(super) fn print(config: &Config, summary: &Summary) -> Result<(), Failure> {
    let store = datafolder::open_read_only(&config.data)?;
    output::line("")?;
    output::line(&format!(
        "{} records: {} applied, {} duplicates dropped, {} rejected; {} windows evaluated",
        summary.records, summary.applied, summary.duplicates, summary.rejected, summary.windows
    ))?;
    let report = store::verify(&*store)?;
    let proof =
        if report.is_clean() { "every offset is in the tables exactly once" } else { "PROBLEMS" };
    output::line(&format!("ringwatch verify: {proof}"))?;
    output::line(&format!("data folder: {}", config.data))?;
    let counted = |alert: &&Alert| alert.evidence.kind != EvidenceKind::Process;
    if let Some(alert) = summary.alerts.iter().find(counted) {
        query(&*store, alert, &format!("{}/tables", config.data))?;
    }
    Ok(())
}

/// A query about the alert, and what it answers, read from the same files.
fn query(store: &dyn Blobs, alert: &Alert, tables: &str) -> Result<(), Failure> {
    let (change, signal) = (printable(&alert.change), printable(&alert.signal));
    output::line("")?;
    output::line("Ask the tables yourself, e.g. in DuckDB:")?;
    for line in [
        "  SELECT ring, arm, sum(affected_devices)::BIGINT AS affected".to_owned(),
        format!("  FROM read_parquet('{tables}/ring_signals/*/*.parquet')"),
        format!("  WHERE change = '{change}' AND signal = '{signal}' AND cohort_key IS NULL"),
        "  GROUP BY ALL ORDER BY ALL;".to_owned(),
    ] {
        output::line(&line)?;
    }
    output::line("")?;
    output::line(&format!("  {:<10} {:<8} {:>8}", "ring", "arm", "affected"))?;
    let mut sums: BTreeMap<(String, String), i64> = BTreeMap::new();
    let columns = ["change", "signal", "cohort_key", "ring", "arm", "affected_devices"];
    store::read_rows(store, Dataset::RingSignals, &columns, &mut |row| {
        let about = row.text(0) == Some(&alert.change) && row.text(1) == Some(&alert.signal);
        if about && row.text(2).is_none() {
            let key = (row.text(3).unwrap_or("").to_owned(), row.text(4).unwrap_or("").to_owned());
            *sums.entry(key).or_default() += row.count(5);
        }
    })?;
    for ((ring, arm), affected) in sums {
        output::line(&format!("  {:<10} {arm:<8} {affected:>8}", printable(&ring)))?;
    }
    Ok(())
}
