//! A backlog drained at full speed: whether memory stays what it was after its first fifth.

use std::fs;
use std::time::{Duration, Instant};

use super::measure::{Usage, measure_while};
use super::programs::Programs;
use super::say;
use super::service::RECORDS;
use super::stand::{Settings, Stand, Workload, has_room, to_the_end};
use crate::faults::member::sum_of;
use crate::faults::usage::Usage as Now;
use crate::fixture::page;
use crate::{Failure, record};

pub(super) const RECORD_HEADING: &str = "## A backlog";

/// Of the backlog, after which memory is not to grow.
const SETTLED_SHARE: u64 = 5;
const GROWTH_MAX: f64 = 1.1;
/// Files and topic together, for each message; the files go before ringwatch starts.
const DISK_BYTES_EACH: u64 = 400;
/// Between two questions how far it has come.
const ASK_INTERVAL: Duration = Duration::from_millis(250);

/// Memory at its peak so far, by how far the backlog was drained.
#[derive(Debug, Default)]
struct Memory {
    bytes_max_settling: u64,
    bytes_max_later: u64,
}

/// Drains it; prints the speed and both peaks, and fails where the later one is 10 % above.
pub(super) fn run(
    programs: &Programs,
    workload: Workload,
    workers: Option<u32>,
    records: bool,
) -> Result<(), Failure> {
    has_room(workload.messages * DISK_BYTES_EACH)?;
    let stand = Stand::start(programs, workload)?;
    fs::remove_dir_all(stand.files.input()).map_err(Failure::io("remove the files"))?;
    let settings = Settings::workers(workers);
    let configured = stand.configure("backlog", &settings)?;
    let settled_at = workload.messages / SETTLED_SHARE;
    let mut memory = Memory::default();
    let (mut asked, mut drained) = (Instant::now(), 0);
    let mut command = to_the_end(&programs.ringwatch, &configured.config);
    let usage = measure_while(&mut command, &settings.cores(), |process| {
        if asked.elapsed() >= ASK_INTERVAL {
            asked = Instant::now();
            let page = page(&configured.address, "/metrics");
            let count = page.and_then(|page| sum_of(RECORDS, &page)).unwrap_or(0.0) as u64;
            drained = count.max(drained);
        }
        let now = Now::of(process).memory_bytes;
        let peak = if drained < settled_at {
            &mut memory.bytes_max_settling
        } else {
            &mut memory.bytes_max_later
        };
        *peak = now.max(*peak);
    })?;
    stand.files.check_sums(&programs.ringwatch, &configured.data)?;
    report(workload, &usage, &memory, records)
}

fn report(
    workload: Workload,
    usage: &Usage,
    memory: &Memory,
    records: bool,
) -> Result<(), Failure> {
    let messages = workload.messages;
    let speed = messages as f64 / usage.wall.as_secs_f64() / 1e6;
    let [settling_mib, later_mib] =
        [memory.bytes_max_settling, memory.bytes_max_later].map(|bytes| bytes >> 20);
    let growth = memory.bytes_max_later as f64 / memory.bytes_max_settling.max(1) as f64;
    say(&format!(
        "{messages} messages in {:.1} s: {speed:.2} M/s, {:.3} CPU-s a million",
        usage.wall.as_secs_f64(),
        usage.cpu_s_per_million(messages),
    ));
    say(&format!(
        "up to {settling_mib} MiB in the first {}, {later_mib} MiB after: {growth:.2} x",
        messages / SETTLED_SHARE,
    ));
    if memory.bytes_max_later == 0 || memory.bytes_max_settling == 0 {
        return Err(Failure::Unmet("too fast to be looked at: take more --messages".to_owned()));
    }
    if records {
        let cells = [
            messages.to_string(),
            format!("{speed:.2} M"),
            format!("{:.3}", usage.cpu_s_per_million(messages)),
            settling_mib.to_string(),
            later_mib.to_string(),
        ];
        record::row(RECORD_HEADING, &cells)?;
    }
    if growth <= GROWTH_MAX {
        return Ok(());
    }
    Err(Failure::Unmet(format!("memory grew by over {GROWTH_MAX} x")))
}
