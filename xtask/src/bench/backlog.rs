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

/// Of the process: memory of what is remembered of devices, which a fleet that was never heard
/// before fills as it is heard, however long the backlog.
const STATE: &str = "ringwatch_state_bytes";

/// Memory at its peak.
#[derive(Clone, Copy, Debug, Default)]
struct Peak {
    bytes: u64,
    /// What was remembered then, as of the entry before: an estimate.
    state_bytes: u64,
}

impl Peak {
    fn look(&mut self, bytes: u64, state_bytes: u64) {
        if bytes > self.bytes {
            *self = Self { bytes, state_bytes };
        }
    }

    const fn rest_bytes(self) -> u64 {
        self.bytes.saturating_sub(self.state_bytes)
    }
}

/// By how far the backlog was drained.
#[derive(Debug, Default)]
struct Memory {
    settling: Peak,
    later: Peak,
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
    let (mut asked, mut drained, mut state_bytes) = (Instant::now(), 0, 0);
    let mut command = to_the_end(&programs.ringwatch, &configured.config);
    let usage = measure_while(&mut command, &settings.cores(), |process| {
        if asked.elapsed() >= ASK_INTERVAL {
            asked = Instant::now();
            let page = page(&configured.address, "/metrics").unwrap_or_default();
            let of = |name: &str| sum_of(name, &page).unwrap_or(0.0) as u64;
            drained = of(RECORDS).max(drained);
            state_bytes = of(STATE).max(state_bytes);
        }
        let peak = if drained < settled_at { &mut memory.settling } else { &mut memory.later };
        peak.look(Now::of(process).memory_bytes, state_bytes);
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
    let Memory { settling, later } = memory;
    let [settling_mib, later_mib] = [settling, later].map(|peak| peak.bytes >> 20);
    let growth = later.bytes as f64 / settling.bytes.max(1) as f64;
    say(&format!(
        "{messages} messages in {:.1} s: {speed:.2} M/s, {:.3} CPU-s a million",
        usage.wall.as_secs_f64(),
        usage.cpu_s_per_million(messages),
    ));
    say(&format!(
        "up to {settling_mib} MiB in the first {}, {later_mib} MiB after: {growth:.2} x",
        messages / SETTLED_SHARE,
    ));
    say(&format!(
        "of which some {} and {} MiB are what is remembered of devices; the rest {:.2} x",
        settling.state_bytes >> 20,
        later.state_bytes >> 20,
        later.rest_bytes() as f64 / settling.rest_bytes().max(1) as f64,
    ));
    if later.bytes == 0 || settling.bytes == 0 {
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
