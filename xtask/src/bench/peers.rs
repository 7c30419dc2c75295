//! The same topic by other programs, one core each, the broker on the other.
//!
//! ```text
//! benches/peers (Java, by Maven) ─► on an empty topic: the start ─┐
//!                                └► on the canonical topic ───────┴─► net CPU, memory ─► truth.py
//! ```
//! Flink drops duplicates and remembers when each device was last seen, Kafka Streams only counts;
//! ringwatch does all it always does, and its start is not taken off.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::measure::{Usage, measure, succeed};
use super::numbers::counting;
use super::programs::Programs;
use super::stand::{Settings, Stand, Workload, peers_folder, python};
use super::{MEASURED_CORE, PARTITIONS, say};
use crate::{Failure, record, repository};

pub(super) const RECORD_HEADING: &str = "## Peers";

/// A topic with nothing in it: what a program takes to start and to end.
const EMPTY_TOPIC: &str = "empty";
/// Room for the state and the windows several times over.
const HEAP: &str = "-Xmx1g";
/// Flink reads fields of the Java library by reflection.
const OPENED: [&str; 3] = ["java.lang", "java.util", "java.time"];

/// What may be spent against Flink, and how much memory.
const FLINK_SHARE_MAX: f64 = 1.0 / 8.0;
const MEMORY_MIB_MAX: u64 = 400;

/// A Java program of `benches/peers`.
struct Job {
    name: &'static str,
    class: &'static str,
    /// What its counts are compared with, see truth.py.
    rule: &'static str,
}

const JOBS: [Job; 2] = [
    Job {
        name: "Flink 2.2, duplicates dropped, last seen per device",
        class: "FlinkJob",
        rule: "distinct",
    },
    Job { name: "Kafka Streams 4.2, counts only", class: "StreamsJob", rule: "accepted" },
];

/// A line of the table.
struct Row {
    name: &'static str,
    usage: Usage,
    start: Duration,
}

impl Row {
    fn net(&self) -> Duration {
        self.usage.cpu.saturating_sub(self.start)
    }

    fn cpu_s_per_million(&self, workload: Workload) -> f64 {
        self.net().as_secs_f64() / workload.messages as f64 * 1e6
    }
}

/// Runs all, checks what each counted, prints the table.
pub(super) fn run(
    programs: &Programs,
    workload: Workload,
    workers: Option<u32>,
    records: bool,
) -> Result<(), Failure> {
    let class_path = build()?;
    let stand = Stand::start(programs, workload)?;
    stand.broker.create_topic(EMPTY_TOPIC, PARTITIONS, &[])?;
    let (usage, data) = stand.run(&programs.ringwatch, "ringwatch", &Settings::workers(workers))?;
    let mut rows = vec![
        Row { name: "ringwatch", usage, start: Duration::ZERO },
        Row {
            name: "consume and count",
            usage: counting(programs, &stand)?,
            start: Duration::ZERO,
        },
    ];
    let mut results = Vec::new();
    for Job { name, class, rule } in JOBS {
        let nothing = stand.files.path(&format!("{class}-empty"));
        let start = java(&class_path, class, &stand, EMPTY_TOPIC, &nothing)?.cpu;
        let folder = stand.files.path(class);
        let usage = java(&class_path, class, &stand, "telemetry", &folder)?;
        rows.push(Row { name, usage, start });
        results.push(format!("{rule}={}", folder.join("counts").display()));
    }
    let mut truth = python()?;
    succeed(truth.arg(peers_folder().join("truth.py")).arg(stand.files.input()).args(results))?;
    stand.files.check(&programs.ringwatch, &data)?;
    report(workload, &rows, records)
}

/// Builds the Java programs; the class path. Maven keeps what it fetched.
fn build() -> Result<OsString, Failure> {
    let out = repository().join("target/peers");
    let libraries = out.join("lib");
    let mut maven = Command::new("mvn");
    maven.args(["--quiet", "--batch-mode", "package", "dependency:copy-dependencies"]);
    maven.arg("-DincludeScope=runtime");
    maven.arg(format!("-DoutputDirectory={}", libraries.display()));
    succeed(maven.current_dir(peers_folder()))?;
    std::env::join_paths([out.join("peers-1.jar"), libraries.join("*")]).map_err(|error| {
        Failure::Unmet(format!("no class path can hold {}: {error}", out.display()))
    })
}

/// Runs a program over a topic; its counts go below `folder`.
fn java(
    class_path: &OsString,
    class: &str,
    stand: &Stand,
    topic: &str,
    folder: &Path,
) -> Result<Usage, Failure> {
    std::fs::create_dir_all(folder).map_err(Failure::io("make a folder"))?;
    let mut command = Command::new("java");
    command.arg(HEAP);
    for package in OPENED {
        command.arg(format!("--add-opens=java.base/{package}=ALL-UNNAMED"));
    }
    command.arg("-cp").arg(class_path).arg(class).arg(stand.broker.bootstrap()).arg(topic);
    measure(command.arg(folder), &MEASURED_CORE.to_string())
}

fn report(workload: Workload, rows: &[Row], records: bool) -> Result<(), Failure> {
    let [ringwatch, _, flink, ..] = rows else { return Ok(()) };
    let own = ringwatch.cpu_s_per_million(workload);
    let head = ["CPU-s/million", "start, CPU", "x ringwatch", "M/s", "peak MiB"];
    say(&format!("{:<52} {}", "", head.map(|cell| format!("{cell:>13}")).join(" ")));
    for row in rows {
        let cells = cells(row, workload, own);
        let shown: Vec<String> = cells.iter().map(|cell| format!("{cell:>13}")).collect();
        say(&format!("{:<52} {}", row.name, shown.join(" ")));
        if records {
            let named = [&[workload.messages.to_string(), row.name.to_owned()], &cells[..]];
            record::row(RECORD_HEADING, &named.concat())?;
        }
    }
    let share = own / flink.cpu_s_per_million(workload);
    let memory_mib = ringwatch.usage.memory_mib();
    say(&format!("ringwatch takes 1/{:.1} of Flink's CPU, and {memory_mib} MiB", 1.0 / share));
    if share <= FLINK_SHARE_MAX && memory_mib <= MEMORY_MIB_MAX {
        return Ok(());
    }
    let most = 1.0 / FLINK_SHARE_MAX;
    Err(Failure::Unmet(format!("that is over 1/{most:.0}, or over {MEMORY_MIB_MAX} MiB")))
}

/// Net CPU seconds for a million, the start, the multiple of ours, the speed, the memory.
fn cells(row: &Row, workload: Workload, own: f64) -> [String; 5] {
    let net = row.cpu_s_per_million(workload);
    let million = workload.messages as f64 / 1e6;
    [
        format!("{net:.2}"),
        format!("{:.1} s", row.start.as_secs_f64()),
        format!("{:.1}", net / own),
        format!("{:.2}", million / row.usage.wall.as_secs_f64()),
        row.usage.memory_mib().to_string(),
    ]
}
