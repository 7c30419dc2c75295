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

/// How the program was built that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    /// As it is shipped.
    Release,
    /// As tests are: there already when they run, and a longer way is longer in it, too.
    Test,
}

impl Build {
    const ALL: [Self; 2] = [Self::Release, Self::Test];

    const fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Test => "test",
        }
    }

    /// Enough for the rare types of record to weigh what they weigh; fewer where all is slow.
    const fn records(self) -> u64 {
        match self {
            Self::Release => 100_000,
            Self::Test => 20_000,
        }
    }

    /// More than the layout of code by the compiler changes, less than any change worth a word.
    const fn tolerance_percent(self) -> u64 {
        match self {
            Self::Release => 3,
            Self::Test => 5,
        }
    }
}

/// Another compiler than that of the record finds other ways: then only a blunder shows.
const OTHER_COMPILER_PERCENT: u64 = 25;

/// Records of each device.
const RECORDS_EACH: u64 = 10;

const RECORDED: &str = "benches/stages.txt";

/// Counts, and fails if a stage takes more than is recorded. `program` is the built `stages`.
pub fn check(program: &Path, build: Build) -> Result<(), Failure> {
    let recorded = fs::read_to_string(repository().join(RECORDED))
        .map_err(Failure::io(format!("read {RECORDED}")))?;
    let compiler = compiler()?;
    let percent = if recorded.lines().next() == Some(&*compiler) {
        build.tolerance_percent()
    } else {
        super::say(&format!("{RECORDED} is of another compiler than {compiler}"));
        OTHER_COMPILER_PERCENT
    };
    let mut slower = Vec::new();
    for stage in STAGES {
        let now = count(program, build, stage)?;
        let before = recorded_count(&recorded, build, stage)?;
        super::say(&format!("{stage}: {now} instructions a record, {before} recorded"));
        if now * 100 > before * (100 + percent) {
            slower.push(format!("{stage} ({now} after {before})"));
        }
    }
    if slower.is_empty() {
        return Ok(());
    }
    let stages = slower.join(" and ");
    Err(Failure::Unmet(format!(
        "{stages}: over {percent} % more instructions; `cargo xtask bench --stages --record` \
         accepts that"
    )))
}

/// Writes down what the stages take now, in both builds.
pub(super) fn record(programs: [&Path; 2]) -> Result<(), Failure> {
    let mut lines = vec![compiler()?];
    for (build, program) in Build::ALL.into_iter().zip(programs) {
        for stage in STAGES {
            lines.push(format!("{} {stage} {}", build.name(), count(program, build, stage)?));
        }
    }
    let text = lines.join("\n") + "\n";
    super::say(text.trim_end());
    fs::write(repository().join(RECORDED), text).map_err(Failure::io(format!("write {RECORDED}")))
}

/// Version and target of the compiler.
fn compiler() -> Result<String, Failure> {
    let output = crate::command("rustc").arg("-vV").output();
    let said = output.map_err(Failure::io("ask rustc for its version"))?.stdout;
    let said = String::from_utf8_lossy(&said);
    let of = |key: &str| said.lines().find_map(|line| line.strip_prefix(key)).unwrap_or("?");
    Ok(format!("rustc {} for {}", of("release: "), of("host: ")))
}

/// Instructions of one stage for each record.
fn count(program: &Path, build: Build, stage: &str) -> Result<u64, Failure> {
    let records = build.records();
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(format!("--toggle-collect=*measured_{stage}*"))
        .arg(program)
        .args(["--records", &records.to_string()])
        .args(["--devices", &(records / RECORDS_EACH).to_string()])
        .output()
        .map_err(Failure::io("start valgrind, which Debian has as a package of that name"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    match collected(&said).filter(|_| output.status.success()) {
        Some(all) => Ok(all / records),
        None => Err(Failure::Unmet(format!("valgrind counted nothing in {stage}: {said}"))),
    }
}

/// The number behind `Collected :` in what valgrind says.
fn collected(said: &str) -> Option<u64> {
    let (_, rest) = said.split_once("Collected :")?;
    rest.split_whitespace().next()?.parse().ok().filter(|&all| all > 0)
}

fn recorded_count(recorded: &str, build: Build, stage: &str) -> Result<u64, Failure> {
    let name = format!("{} {stage} ", build.name());
    let of_stage = |line: &str| line.strip_prefix(&name)?.trim().parse().ok();
    recorded
        .lines()
        .find_map(of_stage)
        .ok_or_else(|| Failure::Unmet(format!("{RECORDED} has no line for {name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_from_valgrind_and_from_the_record() {
        let said = "==1== Events    : Ir\n==1== Collected : 92601\n==1== I refs: 92,601";
        assert_eq!(collected(said), Some(92_601));
        assert_eq!(collected("==1== Collected : 0"), None);
        let recorded = "release decode 12\ntest decode 30\n";
        assert_eq!(recorded_count(recorded, Build::Test, "decode").unwrap(), 30);
        assert!(recorded_count(recorded, Build::Test, "apply").is_err());
    }
}
