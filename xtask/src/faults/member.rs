//! One process of the group, or its place while it is not running.
//!
//! What it owns is read from its log, which is JSON here: partitions taken over less those that
//! went again.

#![expect(clippy::expect_used, reason = "a fixture that cannot run must fail the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::usage::Usage;
use super::wait_until;
use crate::fixture::{Finished, Program, Running, page};

/// A clean stop drains, publishes and leaves the group; a busy machine takes its time.
const STOP_TIMEOUT: Duration = Duration::from_mins(1);

/// How the log says that a partition came.
const TAKEN: &str = "partition taken over";
/// How it says that it went.
const GONE: [&str; 2] = ["partition handed over", "partition given up"];

/// A member; dropping it kills its process.
#[derive(Debug)]
pub struct Member {
    name: String,
    program: Program,
    config: PathBuf,
    port: u16,
    running: Option<Running>,
    /// Where the logs of its past lives are kept.
    past: PathBuf,
}

impl Member {
    pub(super) fn new(name: String, program: Program, config: PathBuf, port: u16) -> Self {
        let past = config.with_extension("log");
        Self { name, program, config, port, running: None, past }
    }

    /// Its `group.instance.id`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Starts its process.
    #[track_caller]
    pub fn start(&mut self) {
        assert!(self.running.is_none(), "{} is running", self.name);
        let config = self.config.as_os_str();
        let arguments = ["run".as_ref(), "--json".as_ref(), "--config".as_ref(), config];
        self.running = Some(self.program.spawn(arguments));
    }

    /// Reads to today's end and stops, as a batch.
    #[track_caller]
    pub fn run_until_end(&self, limit: Duration) -> Finished {
        let config = self.config.as_os_str();
        let arguments = ["run", "--until-end", "--json", "--config"].map(AsRef::as_ref);
        self.program.spawn(arguments.into_iter().chain([config])).finish(limit).with_code(0)
    }

    /// Whether it was started and not stopped since.
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Panics if its process has ended by itself.
    #[track_caller]
    pub fn assert_alive(&mut self) {
        let name = &self.name;
        if let Some(running) = &mut self.running {
            let ended = running.ended();
            assert!(ended.is_none(), "{name} ended by itself, {ended:?}:\n{}", running.stderr());
        }
    }

    /// Its process; panics if it is not running.
    #[track_caller]
    pub fn process(&self) -> &Running {
        self.running.as_ref().expect("a member that runs")
    }

    /// Ends it as a power cut would.
    #[track_caller]
    pub fn kill(&mut self) -> Finished {
        let finished = self.running.take().expect("a member that runs").kill();
        self.keep(&finished.stderr, "killed");
        finished
    }

    /// Asks it to stop; it must do so cleanly and in time.
    #[track_caller]
    pub fn terminate(&mut self) -> Finished {
        let running = self.running.take().expect("a member that runs");
        let finished = running.terminate(STOP_TIMEOUT);
        self.keep(&finished.stderr, "terminated");
        finished.with_code(0)
    }

    /// Waits until it ends by itself.
    #[track_caller]
    pub fn wait_for_end(&mut self, limit: Duration) -> Finished {
        let finished = self.running.take().expect("a member that runs").finish(limit);
        self.keep(&finished.stderr, "ended");
        finished
    }

    /// Adds the log of a life to those before, for whoever looks for a cause.
    fn keep(&self, log: &str, end: &str) {
        let file = File::options().append(true).create(true).open(&self.past);
        let written = file.and_then(|mut file| writeln!(file, "{log}--- {end}"));
        written.expect("a file beside the data folder");
    }

    /// What it has cost so far.
    #[track_caller]
    pub fn usage(&self) -> Usage {
        Usage::of(self.process().id())
    }

    /// The lines of its log, in this life.
    pub fn log(&self) -> Vec<String> {
        let text = self.running.as_ref().map_or(String::new(), Running::stderr);
        text.lines().map(str::to_owned).collect()
    }

    /// The partitions of telemetry it holds, by number.
    pub fn owned(&self) -> BTreeSet<i32> {
        owned(self.log().iter().map(String::as_str))
    }

    /// Waits until it holds what `condition` asks for.
    #[track_caller]
    pub fn wait_until_owns(
        &mut self,
        what: &str,
        limit: Duration,
        condition: impl Fn(&BTreeSet<i32>) -> bool,
    ) -> Duration {
        wait_until(&format!("{} owns {what}", self.name), limit, || {
            self.assert_alive();
            condition(&self.owned())
        })
    }

    /// The sum of a metric over its labels; `None` where it does not stand on the page.
    pub fn metric(&self, name: &str) -> Option<f64> {
        sum_of(name, &self.page("/metrics")?)
    }

    /// The bound below which every value of a histogram lies; `None` where it has no value.
    pub fn bound_of(&self, histogram: &str) -> Option<f64> {
        bound_of(histogram, &self.page("/metrics")?)
    }

    /// A page of its HTTP interface, if it answers.
    pub fn page(&self, path: &str) -> Option<String> {
        page(&format!("127.0.0.1:{}", self.port), path)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            self.keep(&running.stderr(), "still running");
        }
    }
}

fn owned<'a>(log: impl Iterator<Item = &'a str>) -> BTreeSet<i32> {
    let mut owned = BTreeSet::new();
    for line in log {
        let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
        let fields = &event["fields"];
        let (message, stream) = (fields["message"].as_str(), fields["stream"].as_str());
        let partition = stream.and_then(|stream| stream.strip_prefix("telemetry/"));
        let (Some(message), Some(partition)) = (message, partition) else { continue };
        let Ok(partition) = partition.parse() else { continue };
        if message.starts_with(TAKEN) {
            owned.insert(partition);
        } else if GONE.iter().any(|gone| message.starts_with(gone)) {
            owned.remove(&partition);
        }
    }
    owned
}

/// The sum of a metric over its labels on a page of them; `None` where it does not stand there.
pub fn sum_of(name: &str, page: &str) -> Option<f64> {
    let values: Vec<f64> = page
        .lines()
        .filter_map(|line| line.strip_prefix(name).filter(|rest| rest.starts_with([' ', '{'])))
        .filter_map(|rest| rest.rsplit_once(' ')?.1.parse().ok())
        .collect();
    (!values.is_empty()).then(|| values.iter().sum())
}

pub(crate) fn bound_of(histogram: &str, page: &str) -> Option<f64> {
    let prefix = format!("{histogram}_bucket{{");
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for line in page.lines().filter_map(|line| line.strip_prefix(&prefix)) {
        let (labels, count) = line.rsplit_once("} ")?;
        let bound = labels.split("le=\"").nth(1)?.split('"').next()?;
        *counts.entry(bound).or_default() += count.parse::<u64>().ok()?;
    }
    let total = counts.values().copied().max().filter(|total| *total > 0)?;
    let full = counts.iter().filter(|(_, count)| **count == total);
    full.filter_map(|(bound, _)| bound.parse().ok()).reduce(f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_of_a_histogram_is_that_of_its_largest_value() {
        let page = "h_bucket{cause=\"a\",le=\"0.1\"} 3\nh_bucket{cause=\"a\",le=\"1\"} 4\n\
            h_bucket{cause=\"a\",le=\"5\"} 4\nh_bucket{cause=\"a\",le=\"+Inf\"} 4\n";
        assert_eq!(bound_of("h", page), Some(1.0));
        assert_eq!(bound_of("h", "h_bucket{le=\"1\"} 0\n"), None);
        assert_eq!(bound_of("other", page), None);
    }

    #[test]
    fn what_a_member_owns_is_what_came_less_what_went() {
        let line = |message: &str, stream: &str| {
            format!(r#"{{"fields":{{"message":"{message}","stream":"{stream}"}}}}"#)
        };
        let log = [
            line("partition taken over", "telemetry/0"),
            line("partition taken over", "telemetry/1"),
            line("partition taken over", "changes/0"),
            line("partition handed over", "telemetry/0"),
            "no JSON".to_owned(),
        ];
        assert_eq!(owned(log.iter().map(String::as_str)), BTreeSet::from([1]));
    }

    #[test]
    fn a_metric_is_summed_over_its_labels() {
        let page = "# HELP a_total x\na_total{k=\"1\"} 2\na_total{k=\"2\"} 3\na_total_b 7\nb 1\n";
        assert_eq!(sum_of("a_total", page), Some(5.0));
        assert_eq!(sum_of("b", page), Some(1.0));
        assert_eq!(sum_of("c", page), None);
    }
}
