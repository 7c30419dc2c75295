//! A service under way: started on its cores, asked for its metrics, stopped or killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::measure::pinned;
use super::stand::Configured;
use crate::Failure;
use crate::faults::member::{bound_of, sum_of};
use crate::faults::usage::{Usage, cpu};
use crate::fixture::page;

pub(super) const RECORDS: &str = "ringwatch_ingest_records_total";
pub(super) const PAUSE: &str = "ringwatch_pause_seconds";
pub(super) const SNAPSHOTS: &str = "ringwatch_snapshots_total";
pub(super) const SNAPSHOT_BYTES: &str = "ringwatch_snapshot_bytes_total";
pub(super) const OWNED: &str = "ringwatch_partitions_owned";

/// Between two looks at its pages.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// A stop writes down and publishes what is pending.
const STOP_TIMEOUT: Duration = Duration::from_mins(5);

/// Dropping it kills it.
#[derive(Debug)]
pub(super) struct Service {
    child: Child,
    address: String,
}

impl Service {
    /// Starts `ringwatch run`.
    pub(super) fn start(
        ringwatch: &Path,
        configured: &Configured,
        cores: &str,
    ) -> Result<Self, Failure> {
        let mut command = Command::new(ringwatch);
        command.args(["run", "--quiet", "--config"]).arg(&configured.config);
        let child = pinned(&command, cores)
            .stdout(Stdio::null())
            .spawn()
            .map_err(Failure::io("start ringwatch"))?;
        Ok(Self { child, address: configured.address.clone() })
    }

    /// CPU time so far and resident memory.
    pub(super) fn usage(&self) -> Usage {
        Usage::of(self.child.id())
    }

    /// CPU time so far of its threads of that name.
    pub(super) fn cpu_of_thread(&self, name: &str) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id()));
        let threads = tasks.into_iter().flatten().flatten().map(|task| task.path());
        let read = |path: PathBuf| fs::read_to_string(path).unwrap_or_default();
        let named = threads.filter(|thread| read(thread.join("comm")).trim() == name);
        named.map(|thread| cpu(&read(thread.join("stat")))).sum()
    }

    /// Whether its pages are there.
    pub(super) fn answers(&self) -> bool {
        page(&self.address, "/livez").is_some()
    }

    /// The sum of a metric over its labels, 0 where it is not there yet.
    pub(super) fn metric(&self, name: &str) -> f64 {
        page(&self.address, "/metrics").and_then(|page| sum_of(name, &page)).unwrap_or(0.0)
    }

    /// The bound below which every value of a histogram lies; `None` where it has no value.
    pub(super) fn bound_of(&self, histogram: &str) -> Option<f64> {
        bound_of(histogram, &page(&self.address, "/metrics")?)
    }

    /// Waits until a condition holds, for as long as the process lives.
    pub(super) fn wait_until(
        &mut self,
        what: &str,
        limit: Duration,
        mut condition: impl FnMut(&Self) -> bool,
    ) -> Result<Duration, Failure> {
        let began = Instant::now();
        while !condition(self) {
            let ended = self.child.try_wait().map_err(Failure::io("look at a process"))?;
            if let Some(status) = ended {
                return Err(Failure::Unmet(format!("ringwatch ended with {status} before {what}")));
            }
            if began.elapsed() > limit {
                return Err(Failure::Unmet(format!("not within {limit:?}: {what}")));
            }
            sleep(POLL_INTERVAL);
        }
        Ok(began.elapsed())
    }

    /// Stops it as an operator would.
    pub(super) fn stop(self) -> Result<(), Failure> {
        self.signal(Signal::SIGTERM);
        self.wait()
    }

    /// Waits for the end of one that was told to stop: a second time would be an order to stop now.
    pub(super) fn wait(mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + STOP_TIMEOUT;
        while Instant::now() < deadline {
            let ended = self.child.try_wait().map_err(Failure::io("look at a process"))?;
            match ended {
                Some(status) if status.success() => return Ok(()),
                Some(status) => {
                    return Err(Failure::Unmet(format!("ringwatch ended with {status}")));
                }
                None => sleep(POLL_INTERVAL),
            }
        }
        Err(Failure::Unmet(format!("ringwatch did not stop within {STOP_TIMEOUT:?}")))
    }

    /// Ends it as a power cut would.
    pub(super) fn kill(mut self) -> Result<(), Failure> {
        self.child.kill().map_err(Failure::io("kill ringwatch"))?;
        self.child.wait().map_err(Failure::io("wait for ringwatch")).map(|_| ())
    }

    /// Stops it where it stands, or lets it go on.
    pub(super) fn signal(&self, signal: Signal) {
        // One that has ended is found out by whoever waits for it.
        kill(Pid::from_raw(self.child.id() as i32), signal).ok();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The newest entry of each telemetry partition of a data folder, in order; -1 where it has none.
pub(super) fn newest_entries(data: &Path, partitions: i32) -> Vec<i64> {
    let newest = |partition: i32| {
        let folder = data.join(format!("system/journal/telemetry/{partition}"));
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        numbers.max().unwrap_or(-1)
    };
    (0..partitions).map(newest).collect()
}
