//! Instructions that each stage of the hot path takes for a record, compared with what is recorded.
//!
//! ```text
//! stages (benches) ─► valgrind, counting one function ─► instructions a record ─► stages.txt
//! ```
//! Counts do not depend on what else the machine does, so a regression of a few per cent shows, as
//! no time would show it. They do depend on the compiler: a new one means new records.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{Failure, repository};

const STAGES: [&str; 2] = ["decode", "apply"];

/// Enough for the rare types of record to weigh what they weigh.
const RECORDS: u64 = 100_000;
const DEVICES: u64 = 10_000;

/// More than the layout of code by the compiler changes, less than any change worth a word.
const TOLERANCE_PERCENT: u64 = 3;

const RECORDED: &str = "benches/stages.txt";

/// Counts, and fails if a stage takes more than is recorded. `program` is the built `stages`.
pub(super) fn check(program: &Path) -> Result<(), Failure> {
    let recorded = fs::read_to_string(repository().join(RECORDED))
        .map_err(Failure::io(format!("read {RECORDED}")))?;
    let mut slower = Vec::new();
    for stage in STAGES {
        let (now, before) = (count(program, stage)?, recorded_count(&recorded, stage)?);
        super::say(&format!("{stage}: {now} instructions a record, {before} recorded"));
        if now * 100 > before * (100 + TOLERANCE_PERCENT) {
            slower.push(stage);
        }
    }
    if slower.is_empty() {
        return Ok(());
    }
    let stages = slower.join(" and ");
    Err(Failure::Unmet(format!(
        "{stages} took over {TOLERANCE_PERCENT} % more instructions; `--record` accepts that"
    )))
}

/// Writes down what the stages take now.
pub(super) fn record(program: &Path) -> Result<(), Failure> {
    let line = |stage| Ok(format!("{stage} {}\n", count(program, stage)?));
    let text = STAGES.into_iter().map(line).collect::<Result<String, Failure>>()?;
    super::say(text.trim_end());
    fs::write(repository().join(RECORDED), text).map_err(Failure::io(format!("write {RECORDED}")))
}

/// Instructions of one stage for each record.
fn count(program: &Path, stage: &str) -> Result<u64, Failure> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(format!("--toggle-collect=*measured_{stage}*"))
        .arg(program)
        .args(["--records", &RECORDS.to_string(), "--devices", &DEVICES.to_string()])
        .output()
        .map_err(Failure::io("start valgrind, which Debian has as a package of that name"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    match collected(&said).filter(|_| output.status.success()) {
        Some(all) => Ok(all / RECORDS),
        None => Err(Failure::Unmet(format!("valgrind counted nothing in {stage}: {said}"))),
    }
}

/// The number behind `Collected :` in what valgrind says.
fn collected(said: &str) -> Option<u64> {
    let (_, rest) = said.split_once("Collected :")?;
    rest.split_whitespace().next()?.parse().ok().filter(|&all| all > 0)
}

fn recorded_count(recorded: &str, stage: &str) -> Result<u64, Failure> {
    let of_stage = |line: &str| line.strip_prefix(stage)?.trim().parse().ok();
    recorded
        .lines()
        .find_map(of_stage)
        .ok_or_else(|| Failure::Unmet(format!("{RECORDED} has no line for {stage}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_from_valgrind_and_from_the_record() {
        let said = "==1== Events    : Ir\n==1== Collected : 92601\n==1== I refs: 92,601";
        assert_eq!(collected(said), Some(92_601));
        assert_eq!(collected("==1== Collected : 0"), None);
        assert_eq!(recorded_count("decode 12\napply 7\n", "apply").unwrap(), 7);
        assert!(recorded_count("decode 12\n", "apply").is_err());
    }
}
