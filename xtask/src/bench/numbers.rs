//! The two numbers: messages per second of one core's time, and the CPU of ringwatch as a multiple
//! of that of a client that only consumes and counts.

use std::process::Command;

use super::measure::{Usage, measure};
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
    let run = |name, settings: &Settings| {
        let (usage, data) = stand.run(&programs.ringwatch, name, settings)?;
        stand.files.check(&programs.ringwatch, &data).map(|()| usage)
    };
    let asked = Settings::workers(workers);
    let whole = run("ringwatch", &asked)?;
    let baseline = counting(programs, &stand)?;
    let single = match workers {
        Some(2..) => Some(run("single", &Settings::workers(Some(1)))?),
        _ => None,
    };
    if let Some(single) = single {
        let count = workers.unwrap_or(1);
        let ratio = |many: f64, one: f64| many / one;
        say(&format!(
            "{count} workers: {:.2} x the CPU of one, {:.2} x its speed",
            ratio(whole.cpu.as_secs_f64(), single.cpu.as_secs_f64()),
            ratio(single.wall.as_secs_f64(), whole.wall.as_secs_f64()),
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
    say(&format!("{ratio:.1} x the CPU of consuming and counting"));
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
        format!("{ratio:.1}"),
        memory_mib.to_string(),
    ];
    record::row(RECORD_HEADING, &cells)
}
