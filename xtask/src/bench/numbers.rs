//! The two numbers: messages per second of one core's time, and the CPU of ringwatch as a multiple
//! of that of a client that only consumes and counts.

use std::process::Command;
use std::time::Duration;

use super::measure::{ROUNDS, Usage, measure, middle};
use super::programs::Programs;
use super::stand::{Settings, Stand, Workload};
use super::{MEASURED_CORE, say};
use crate::{Failure, record};

pub(super) const RECORD_HEADING: &str = "# Benchmarks";

/// Prints them; of several workers also what they take beyond one.
pub(super) fn run(
    programs: &Programs,
    workload: Workload,
    workers: Option<u32>,
    records: bool,
) -> Result<(), Failure> {
    let stand = Stand::start(programs, workload)?;
    let run = |name: &str, round: usize, settings: &Settings| {
        let name = format!("{name}-{round}");
        let (usage, data) = stand.run(&programs.ringwatch, &name, settings)?;
        stand.files.check(&programs.ringwatch, &data).map(|()| usage)
    };
    let several = workers.filter(|&count| count > 1);
    let (mut wholes, mut baselines, mut singles) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        baselines.push(counting(programs, &stand)?);
        wholes.push(run("ringwatch", round, &Settings::workers(workers))?);
        if several.is_some() {
            singles.push(run("single", round, &Settings::workers(Some(1)))?);
        }
    }
    let (whole, baseline) = (middle(wholes), middle(baselines));
    if let Some(count) = several {
        let single = middle(singles);
        let ratio = |one: Duration, other: Duration| one.as_secs_f64() / other.as_secs_f64();
        say(&format!(
            "one worker: {:.3} CPU-s a million, {:.2} x consuming and counting, peak {} MiB",
            single.cpu_s_per_million(workload.messages),
            ratio(single.cpu, baseline.cpu),
            single.memory_mib(),
        ));
        say(&format!(
            "{count} workers: {:.2} x the CPU of one, {:.2} x its speed",
            ratio(whole.cpu, single.cpu),
            ratio(single.wall, whole.wall),
        ));
    }
    report(workload, &whole, &baseline, records)
}

/// Messages a second that ringwatch takes from a backlog.
pub(super) fn capacity(
    programs: &Programs,
    messages: u64,
    settings: &Settings,
) -> Result<f64, Failure> {
    let stand = Stand::start(programs, Workload::of(messages))?;
    let (usage, data) = stand.run(&programs.ringwatch, "capacity", settings)?;
    stand.files.check_sums(&programs.ringwatch, &data)?;
    Ok(messages as f64 / usage.wall.as_secs_f64())
}

/// What it costs only to consume and count the same messages.
pub(super) fn counting(programs: &Programs, stand: &Stand) -> Result<Usage, Failure> {
    let mut counting = Command::new(&programs.xtask);
    counting.args(["count", stand.broker.bootstrap(), "telemetry"]);
    measure(&mut counting, &MEASURED_CORE.to_string())
}

fn report(
    workload: Workload,
    whole: &Usage,
    baseline: &Usage,
    records: bool,
) -> Result<(), Failure> {
    let messages = workload.messages;
    let rate = 1.0 / whole.cpu_s_per_million(messages);
    let ratio = whole.cpu.as_secs_f64() / baseline.cpu.as_secs_f64();
    say(&format!("{rate:.2} M messages/s per core"));
    say(&format!("{ratio:.2} x the CPU of consuming and counting"));
    let memory_mib = whole.memory_mib();
    say(&format!(
        "{messages} messages: {:.2} CPU-s in {:.1} s, peak {memory_mib} MiB; counting {:.2} CPU-s \
         in {:.1} s",
        whole.cpu.as_secs_f64(),
        whole.wall.as_secs_f64(),
        baseline.cpu.as_secs_f64(),
        baseline.wall.as_secs_f64(),
    ));
    if !records {
        return Ok(());
    }
    let cells = [
        messages.to_string(),
        format!("{rate:.2} M"),
        format!("{ratio:.2}"),
        memory_mib.to_string(),
    ];
    record::row(RECORD_HEADING, &cells)
}
