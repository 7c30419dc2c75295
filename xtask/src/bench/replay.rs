//! `replay` beside `DuckDB` on the same files: one thread each, in turn.
//!
//! `DuckDB` counts by window, ring, build and type and writes that as Parquet: no device, no
//! duplicate dropped, no journal. It is the least that a reader of these files would run.

use std::path::Path;
use std::process::Command;

use super::measure::{ROUNDS, Usage, measure, middle, succeed};
use super::programs::Programs;
use super::stand::{Files, Settings, Workload, peers_folder, python};
use super::{MEASURED_CORE, say};
use crate::{Failure, record};

pub(super) const RECORD_HEADING: &str = "## Replay beside DuckDB";

/// Prints CPU seconds for a million records, and their ratio.
pub(super) fn run(
    programs: &Programs,
    workload: Workload,
    workers: Option<u32>,
    records: bool,
) -> Result<(), Failure> {
    let files = Files::write(programs, workload)?;
    let more = workers.filter(|&count| count > 1);
    let (mut duckdb, mut ones, mut several) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        duckdb.push(count(&files, &files.input(), round)?);
        ones.push(replay(programs, &files, &format!("one-{round}"), &Settings::default())?);
        if more.is_some() {
            let name = format!("several-{round}");
            several.push(replay(programs, &files, &name, &Settings::workers(more))?);
        }
    }
    // What Python and the library take to start is not `DuckDB`'s work.
    let empty = files.path("empty");
    std::fs::create_dir(&empty).map_err(Failure::io("make an empty folder"))?;
    std::fs::write(empty.join("telemetry-000.ndjson"), "").map_err(Failure::io("write a file"))?;
    let start = count(&files, &empty, ROUNDS)?.cpu;
    check(&files)?;
    // Every run reads the same files in the same way: the first stands for all.
    files.check(&programs.ringwatch, &files.path("one-0"))?;
    if more.is_some() {
        files.check(&programs.ringwatch, &files.path("several-0"))?;
    }

    let million = workload.messages as f64 / 1e6;
    let duckdb_s = middle(duckdb).cpu.saturating_sub(start).as_secs_f64() / million;
    let one = middle(ones);
    let ratio = one.cpu.as_secs_f64() / million / duckdb_s;
    say(&format!("DuckDB: {duckdb_s:.3} CPU-s for a million records, {:.2} to start", {
        start.as_secs_f64()
    }));
    say(&format!(
        "replay: {:.3} CPU-s, {ratio:.2} x DuckDB",
        one.cpu_s_per_million(workload.messages)
    ));
    if let Some(count) = more {
        let many = middle(several);
        say(&format!(
            "replay with {count} workers: {:.3} CPU-s, {:.2} x the speed of one, {:.2} x its CPU",
            many.cpu_s_per_million(workload.messages),
            one.wall.as_secs_f64() / many.wall.as_secs_f64(),
            many.cpu.as_secs_f64() / one.cpu.as_secs_f64(),
        ));
    }
    if !records {
        return Ok(());
    }
    let cells = [
        workload.messages.to_string(),
        format!("{duckdb_s:.3}"),
        format!("{:.3}", one.cpu_s_per_million(workload.messages)),
        format!("{ratio:.2}"),
        one.memory_mib().to_string(),
    ];
    record::row(RECORD_HEADING, &cells)
}

fn replay(
    programs: &Programs,
    files: &Files,
    name: &str,
    settings: &Settings,
) -> Result<Usage, Failure> {
    let config = files.path(&format!("{name}.toml"));
    std::fs::write(&config, settings.sections()).map_err(Failure::io("write the configuration"))?;
    let mut command = Command::new(&programs.ringwatch);
    command.args(["replay", "--quiet", "--config"]).arg(config);
    command.arg("--input").arg(files.input()).arg("--data").arg(files.path(name));
    measure(&mut command, &settings.cores())
}

/// `DuckDB`'s count of a folder, into `counts-<number>.parquet`.
fn count(files: &Files, input: &Path, number: usize) -> Result<Usage, Failure> {
    let mut command = python()?;
    command.arg(peers_folder().join("duckdb_count.py")).arg(input);
    command.arg(files.path(&format!("counts-{number}.parquet")));
    measure(&mut command, &MEASURED_CORE.to_string())
}

/// Compares `DuckDB`'s counts with a count of our own, in Python without `DuckDB`'s reader of JSON.
fn check(files: &Files) -> Result<(), Failure> {
    let mut truth = python()?;
    truth.arg(peers_folder().join("truth.py")).arg(files.input());
    truth.arg(format!("plain={}", files.path("counts-0.parquet").display()));
    succeed(&mut truth)
}
