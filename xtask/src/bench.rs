//! The canonical workload through a real broker (docs/benchmarks.md): prints two numbers.
//!
//! ```text
//! canonical (benches) ─► NDJSON ─► broker on core 0 ─┬─► ringwatch on core 1 ─► verify, oracle
//!                                                    └─► count on core 1
//! ```
//! Messages per second of one core's time, and the CPU of ringwatch as a multiple of that of a
//! client that only consumes and counts. Both are measured from outside, over whole processes,
//! start and end included. A run whose tables differ from the truth prints no number.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;

use crate::kafka::Broker;
use crate::{Failure, produce, record, repository};

mod count;
mod latency;
mod measure;
mod stages;

pub use count::count;
use measure::{Usage, measure, succeed};

/// The broker has this core to itself, what is measured the next one.
const BROKER_CORE: usize = 0;
const MEASURED_CORE: usize = 1;
const PARTITIONS: i32 = 4;
const RECORD_HEADING: &str = "# Benchmarks";

/// How the benchmark is run.
#[derive(Args, Debug)]
pub struct Options {
    /// Telemetry messages of the workload.
    #[arg(long, default_value_t = 1_000_000)]
    messages: u64,
    /// Appends a dated line to docs/benchmarks.md; with `--stages` renews benches/stages.txt.
    #[arg(long)]
    record: bool,
    /// Counts instructions of decode and apply instead, and compares them with the recorded ones.
    #[arg(long)]
    stages: bool,
    /// Measures the time from an event to the alert at a webhook instead, in real time
    #[arg(long)]
    latency: bool,
    /// Heartbeats a second while it does.
    #[arg(long, default_value_t = 150_000)]
    rate: u64,
    /// Alerts that it measures.
    #[arg(long, default_value_t = 240)]
    changes: u64,
}

/// What was built for it, optimised.
struct Programs {
    ringwatch: PathBuf,
    canonical: PathBuf,
    xtask: PathBuf,
    stages: PathBuf,
}

/// Runs it.
pub fn run(options: &Options) -> Result<(), Failure> {
    let programs = build()?;
    match options {
        Options { stages: true, record: true, .. } => return stages::record(&programs.stages),
        Options { stages: true, .. } => return stages::check(&programs.stages),
        &Options { latency: true, rate, changes, record, .. } => {
            let load = latency::Load { rate, changes };
            return latency::run(&programs.ringwatch, load, record);
        }
        _ => {}
    }
    let folder = tempfile::tempdir().map_err(Failure::io("make a folder for the benchmark"))?;
    let input = folder.path().join("input");
    let data = folder.path().join("data");
    let messages = options.messages.to_string();
    let mut generate = Command::new(&programs.canonical);
    succeed(generate.arg("--out").arg(&input).args(["--messages", &messages]))?;

    let broker = Broker::start_pinned(BROKER_CORE)?;
    broker.create_topics(PARTITIONS)?;
    let produced = produce::ndjson_folder(broker.bootstrap(), &input)?;
    say(&format!("{produced} records produced; ringwatch on core {MEASURED_CORE}"));

    let config = folder.path().join("ringwatch.toml");
    let text = format!(
        "[kafka]\nbrokers = \"{}\"\n\n[store]\ndata = \"{}\"\n",
        broker.bootstrap(),
        data.display()
    );
    fs::write(&config, text).map_err(Failure::io("write the configuration"))?;
    let mut ringwatch = Command::new(&programs.ringwatch);
    ringwatch.args(["run", "--until-end", "--quiet", "--config"]).arg(&config);
    let whole = measure(&mut ringwatch, MEASURED_CORE)?;
    let mut counting = Command::new(&programs.xtask);
    let baseline =
        measure(counting.args(["count", broker.bootstrap(), "telemetry"]), MEASURED_CORE)?;

    check_truth(&programs.ringwatch, &data, &input)?;
    report(options, &whole, &baseline)
}

/// Builds the programs for release and says where they are.
fn build() -> Result<Programs, Failure> {
    let mut cargo = crate::command("cargo");
    cargo.args(["build", "--release", "--message-format=json-render-diagnostics"]);
    cargo.args(["--package", "ringwatch", "--package", "benches", "--package", "xtask", "--bins"]);
    let output = cargo
        .current_dir(repository())
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(Failure::io("start cargo"))?;
    if !output.status.success() {
        return Err(Failure::Unmet("the release build failed".to_owned()));
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let program = |name: &str| executable(&messages, name);
    Ok(Programs {
        ringwatch: program("ringwatch")?,
        canonical: program("canonical")?,
        xtask: program("xtask")?,
        stages: program("stages")?,
    })
}

/// The path of a program in cargo's messages.
fn executable(messages: &str, name: &str) -> Result<PathBuf, Failure> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == name)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .ok_or_else(|| Failure::Unmet(format!("cargo built no program `{name}`")))
}

/// `verify`, then the independent model's comparison of the tables with the input.
fn check_truth(ringwatch: &Path, data: &Path, input: &Path) -> Result<(), Failure> {
    succeed(Command::new(ringwatch).arg("verify").arg("--data").arg(data))?;
    let python = repository().join(".venv/bin/python");
    if !python.is_file() {
        return Err(Failure::Unmet("no .venv to check the result with: ./dev setup".to_owned()));
    }
    let compare = repository().join("tests/oracle/compare.py");
    succeed(Command::new(python).arg(compare).arg(data).arg(input))
}

fn report(options: &Options, whole: &Usage, baseline: &Usage) -> Result<(), Failure> {
    let messages = options.messages as f64;
    let rate = messages / whole.cpu.as_secs_f64() / 1e6;
    let ratio = whole.cpu.as_secs_f64() / baseline.cpu.as_secs_f64();
    say(&format!("{rate:.2} M messages/s per core"));
    say(&format!("{ratio:.1} x the CPU of consuming and counting"));
    let memory_mib = whole.memory_bytes_max / (1 << 20);
    let detail = format!(
        "{} messages: {:.2} CPU-s in {:.1} s, peak {memory_mib} MiB; counting {:.2} CPU-s in \
         {:.1} s",
        options.messages,
        whole.cpu.as_secs_f64(),
        whole.wall.as_secs_f64(),
        baseline.cpu.as_secs_f64(),
        baseline.wall.as_secs_f64(),
    );
    say(&detail);
    if !options.record {
        return Ok(());
    }
    let cells = [
        options.messages.to_string(),
        format!("{rate:.2} M"),
        format!("{ratio:.1}"),
        memory_mib.to_string(),
    ];
    record::row(RECORD_HEADING, &cells)
}

#[expect(clippy::print_stdout, reason = "the numbers are what the task is run for")]
fn say(line: &str) {
    println!("{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_found_in_what_cargo_says() {
        let messages = "noise\n\
            {\"target\":{\"name\":\"ringwatch\"},\"executable\":null}\n\
            {\"target\":{\"name\":\"ringwatch\"},\"executable\":\"/t/release/ringwatch\"}\n";
        let found = executable(messages, "ringwatch").unwrap();
        assert_eq!(found, Path::new("/t/release/ringwatch"));
        assert!(executable(messages, "canonical").is_err());
    }
}
