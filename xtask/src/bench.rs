//! The canonical workload on this machine (docs/benchmarks.md): what it costs, and where.
//!
//! ```text
//! programs (built) ─► stand (files, broker) ─┬─► numbers    two numbers; several workers
//!                                            ├─► profile    the same by stage
//!                                            ├─► compare    the same for two commits, in turn
//!                                            ├─► processes  the same for a group of processes
//!                                            ├─► peers      the same job by other programs
//!                                            ├─► replay     from files, beside DuckDB
//!                                            └─► backlog, devices, latency    at size, in time
//! ```
//! All is measured from outside, over whole processes, start and end included. A run whose tables
//! differ from the truth prints no number.

use clap::{ArgGroup, Args};

use crate::Failure;

mod backlog;
mod compare;
mod count;
mod devices;
mod latency;
mod measure;
mod numbers;
mod peers;
mod processes;
mod profile;
mod programs;
mod replay;
mod service;
pub mod stages;
mod stand;

pub use count::count;
use stand::Workload;

/// The broker has this core to itself, what is measured the next one.
const BROKER_CORE: usize = 0;
const MEASURED_CORE: usize = 1;
const PARTITIONS: i32 = 4;

/// How the benchmark is run; without arguments it prints its two numbers.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("what").multiple(false))]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Options {
    /// Telemetry messages of the workload; what is measured has a default of its own.
    #[arg(long)]
    messages: Option<u64>,
    /// Workers of each process of ringwatch, on as many cores; its default if absent.
    #[arg(long)]
    workers: Option<u32>,
    /// Appends a dated line to docs/benchmarks.md; with `--stages` renews benches/stages.txt.
    #[arg(long)]
    record: bool,
    /// Counts instructions of decode and apply instead, and compares them with the recorded ones.
    #[arg(long, group = "what")]
    stages: bool,
    /// Says instead where the time goes, stage by stage, by looking at the process 2,000 times a
    /// second.
    #[arg(long, group = "what")]
    profile: bool,
    /// Runs this tree and another commit in turn instead, on the same broker: ratios.
    #[arg(long, group = "what", value_name = "COMMIT")]
    compare: Option<String>,
    /// Measures a group of that many processes beside one process instead.
    #[arg(long, group = "what", value_name = "COUNT")]
    processes: Option<u32>,
    /// Runs other programs on the same topic instead: Flink, Kafka Streams, a client that counts.
    #[arg(long, group = "what")]
    peers: bool,
    /// Measures `replay` of files beside `DuckDB` on the same files instead.
    #[arg(long, group = "what")]
    replay: bool,
    /// Drains a backlog of 50 million messages instead, and watches the memory.
    #[arg(long, group = "what")]
    backlog: bool,
    /// Takes a fleet of so many devices through the pipeline instead, with a kill and a recovery.
    #[arg(long, group = "what", value_name = "COUNT")]
    devices: Option<u32>,
    /// Measures instead, in real time, how long an event takes to the journal, to the tables and
    /// to the alert at a webhook.
    #[arg(long, group = "what")]
    latency: bool,
    /// Heartbeats a second while it does; if absent, 10, 50 and 90 % of what can be taken.
    #[arg(long)]
    rate: Option<u64>,
    /// The same as a share of what can be taken, measured just before: 0.5 is half load.
    #[arg(long, requires = "latency", conflicts_with = "rate")]
    load: Option<f64>,
    /// How much of its core ringwatch gets, where nobody can send half of what a core takes.
    #[arg(long, requires = "latency", default_value_t = 1.0)]
    core_share: f64,
    /// Alerts that it measures.
    #[arg(long, default_value_t = 240)]
    changes: u64,
}

/// Runs it.
pub fn run(options: &Options) -> Result<(), Failure> {
    let programs = programs::build()?;
    let &Options { workers, record, changes, rate, load, core_share, .. } = options;
    let workload = |default| Workload::of(options.messages.unwrap_or(default));
    match options {
        Options { stages: true, record: true, .. } => {
            stages::record([&programs.stages, &programs::build_for_tests("stages")?])
        }
        Options { stages: true, .. } => stages::check(&programs.stages, stages::Build::Release),
        Options { profile: true, .. } => profile::run(&programs, workload(2_000_000), workers),
        Options { compare: Some(commit), .. } => {
            compare::run(&programs, workload(2_000_000), commit, workers)
        }
        &Options { processes: Some(count), .. } => {
            processes::run(&programs, workload(2_000_000), count, workers)
        }
        Options { peers: true, .. } => peers::run(&programs, workload(5_000_000), workers, record),
        Options { replay: true, .. } => {
            replay::run(&programs, workload(2_000_000), workers, record)
        }
        Options { backlog: true, .. } => {
            backlog::run(&programs, workload(50_000_000), workers, record)
        }
        &Options { devices: Some(devices), .. } => {
            // Most devices are heard, and a good part of them again.
            let messages = options.messages.unwrap_or(u64::from(devices) * 3);
            devices::run(&programs, Workload { messages, devices }, workers, record)
        }
        Options { latency: true, .. } => {
            let wanted = latency::Wanted { rate, load, core_share, changes, workers };
            latency::run(&programs, wanted, record)
        }
        _ => numbers::run(&programs, workload(1_000_000), workers, record),
    }
}

#[expect(clippy::print_stdout, reason = "the numbers are what the task is run for")]
fn say(line: &str) {
    println!("{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each recorded row begins with date, processor and commit.
    #[track_caller]
    fn check(text: &str, heading: &str, cells: usize) {
        let section = text.split_once(&format!("{heading}\n")).map(|(_, section)| section);
        let section = section.unwrap_or_else(|| panic!("no `{heading}`"));
        let row = section.lines().find(|line| line.starts_with('|')).unwrap_or_default();
        assert_eq!(row.matches('|').count(), cells + 4, "{heading}: {row}");
    }

    #[test]
    fn every_figure_has_its_table() {
        let path = crate::repository().join("docs/benchmarks.md");
        let text = std::fs::read_to_string(path).unwrap();
        check(&text, numbers::RECORD_HEADING, 4);
        check(&text, peers::RECORD_HEADING, 7);
        check(&text, replay::RECORD_HEADING, 5);
        check(&text, backlog::RECORD_HEADING, 5);
        check(&text, devices::RECORD_HEADING, 6);
        check(&text, latency::RECORD_HEADING, 8);
    }
}
