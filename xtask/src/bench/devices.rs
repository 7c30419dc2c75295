//! A large fleet through the pipeline: memory, speed, the longest pause, then a kill -9 with some
//! of the backlog left, and how long it takes until every partition journals again.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::measure::measure;
use super::programs::Programs;
use super::service::{OWNED, PAUSE, RECORDS, SNAPSHOT_BYTES, SNAPSHOTS, Service, newest_entries};
use super::stand::{Configured, Settings, Stand, Workload, has_room, to_the_end};
use super::{PARTITIONS, say};
use crate::{Failure, record};

pub(super) const RECORD_HEADING: &str = "## A large fleet";

/// Of the backlog, before the kill: snapshots are there, and records to go on with.
const KILLED_AFTER: f64 = 0.8;
const DISK_BYTES_EACH: u64 = 400;
const PATIENCE: Duration = Duration::from_mins(30);
/// An entry at least each second: the next one is waited for.
const STORE_AFTER_KILL: &str = "commit_interval = \"1s\"\n";
const SNAPSHOT_THREAD: &str = "snapshots";

/// What was seen before the kill.
#[derive(Debug)]
struct Drained {
    messages: f64,
    wall: Duration,
    cpu: Duration,
    memory_bytes_max: u64,
    pause_ms: f64,
    snapshots: f64,
    snapshot_bytes: f64,
    snapshot_cpu: Duration,
}

/// Runs it.
pub(super) fn run(
    programs: &Programs,
    workload: Workload,
    workers: Option<u32>,
    records: bool,
) -> Result<(), Failure> {
    has_room(workload.messages * DISK_BYTES_EACH)?;
    let stand = Stand::start(programs, workload)?;
    fs::remove_dir_all(stand.files.input()).map_err(Failure::io("remove the files"))?;
    let settings = Settings { instance: Some("one".to_owned()), ..Settings::workers(workers) };
    let configured = stand.configure("devices", &settings)?;
    let service = Service::start(&programs.ringwatch, &configured, &settings.cores())?;
    let drained = drain(service, workload)?;
    say(&format!(
        "{:.0} messages in {:.1} s: {:.2} M/s, {:.3} CPU-s a million; peak {} MiB, {:.0} B a \
         device",
        drained.messages,
        drained.wall.as_secs_f64(),
        drained.messages / drained.wall.as_secs_f64() / 1e6,
        drained.cpu.as_secs_f64() / drained.messages * 1e6,
        drained.memory_bytes_max >> 20,
        drained.memory_bytes_max as f64 / f64::from(workload.devices),
    ));
    say(&format!(
        "no pause over {:.0} ms; {:.0} snapshots of {:.0} MiB together, {:.1} s of CPU beside",
        drained.pause_ms,
        drained.snapshots,
        drained.snapshot_bytes / f64::from(1 << 20),
        drained.snapshot_cpu.as_secs_f64(),
    ));
    let again = Settings { store: STORE_AFTER_KILL.to_owned(), ..settings };
    let configured = stand.configure("devices", &again)?;
    let recovery = recover(&programs.ringwatch, &configured, &again)?;
    say(&format!("killed; every partition journals again {:.1} s later", recovery.as_secs_f64()));
    let mut rest = to_the_end(&programs.ringwatch, &configured.config);
    measure(&mut rest, &again.cores())?;
    stand.files.check_sums(&programs.ringwatch, &configured.data)?;
    if !records {
        return Ok(());
    }
    let cells = [
        workload.devices.to_string(),
        format!("{:.2} M", drained.messages / drained.wall.as_secs_f64() / 1e6),
        format!("{:.3}", drained.cpu.as_secs_f64() / drained.messages * 1e6),
        (drained.memory_bytes_max >> 20).to_string(),
        format!("{:.0}", drained.pause_ms),
        format!("{:.1}", recovery.as_secs_f64()),
    ];
    record::row(RECORD_HEADING, &cells)
}

/// Reads most of the backlog, then kills the process.
fn drain(mut service: Service, workload: Workload) -> Result<Drained, Failure> {
    let wanted = workload.messages as f64 * KILLED_AFTER;
    let (began, mut memory_bytes_max, mut messages) = (Instant::now(), 0, 0.0);
    service.wait_until("most is read", PATIENCE, |service| {
        memory_bytes_max = service.usage().memory_bytes.max(memory_bytes_max);
        messages = service.metric(RECORDS);
        messages >= wanted
    })?;
    let wall = began.elapsed();
    let pause_s = service.bound_of(PAUSE);
    let drained = Drained {
        messages,
        wall,
        cpu: service.usage().cpu,
        memory_bytes_max,
        pause_ms: pause_s.unwrap_or(f64::NAN) * 1_000.0,
        snapshots: service.metric(SNAPSHOTS),
        snapshot_bytes: service.metric(SNAPSHOT_BYTES),
        snapshot_cpu: service.cpu_of_thread(SNAPSHOT_THREAD),
    };
    service.kill()?;
    if drained.snapshots < f64::from(PARTITIONS) {
        let few = drained.snapshots;
        return Err(Failure::Unmet(format!("only {few} snapshots: take more --messages")));
    }
    Ok(drained)
}

/// Starts it again; from there to an entry of each partition that was not there before.
fn recover(
    ringwatch: &Path,
    configured: &Configured,
    settings: &Settings,
) -> Result<Duration, Failure> {
    let before = newest_entries(&configured.data, PARTITIONS);
    let mut service = Service::start(ringwatch, configured, &settings.cores())?;
    let took = service.wait_until("every partition has a new entry", PATIENCE, |_| {
        let now = newest_entries(&configured.data, PARTITIONS);
        now.iter().zip(&before).all(|(now, before)| now > before)
    })?;
    if service.metric(OWNED) < f64::from(PARTITIONS) {
        return Err(Failure::Unmet("another process journals these partitions".to_owned()));
    }
    service.stop()?;
    Ok(took)
}
