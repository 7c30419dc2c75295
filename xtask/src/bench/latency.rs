//! From an event to the alert at a webhook, on a real broker under load, in real time.
//!
//! ```text
//! heartbeats, at a steady rate ─┐
//! 20 crashes of a change, now ──┴─► broker ─► ringwatch run ─► webhook
//! ```
//! Every change crosses its line by what happens in one instant of the schedule. Its latency is the
//! time from that instant to the webhook: whoever is late in sending or in reading is part of it,
//! so that nothing is left out where all wait.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use schemas::{Span, Timestamp};

use super::{MEASURED_CORE, PARTITIONS, say};
use crate::kafka::Broker;
use crate::produce::{Producer, Record};
use crate::{Failure, record};

mod hook;

use hook::Hook;

pub(super) const RECORD_HEADING: &str = "## From an event to the alert";

const DEVICES: u64 = 200_000;
/// Devices that take one change, all in ring first, and crash in one instant.
const TREATED: u64 = 20;
/// One every 1.5 s: not in step with windows, so that every part of a minute is met.
const APART: Duration = Duration::from_millis(1_500);
/// Heartbeats alone, then installations, then time at risk, then harm.
const INSTALLED_AFTER: Duration = Duration::from_secs(45);
const HARM_AFTER: Duration = Duration::from_secs(130);
/// Between two portions of heartbeats: a hundredth of a second's share each.
const TICK: Duration = Duration::from_millis(10);
/// Heartbeats go on after the last harm: a fleet that falls silent is another story.
const GOES_ON: Duration = Duration::from_mins(2);
/// How long alerts may take after that; one that has not come by then never does.
const PATIENCE: Duration = Duration::from_mins(1);

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    /// Heartbeats a second.
    pub rate: u64,
    /// Changes, of which each raises one alert.
    pub changes: u64,
}

/// Runs it, and prints latencies in seconds; with `record` into docs/benchmarks.md, too.
pub(super) fn run(ringwatch: &Path, load: Load, records: bool) -> Result<(), Failure> {
    let folder = tempfile::tempdir().map_err(Failure::io("make a folder for the benchmark"))?;
    let broker = Broker::start()?;
    broker.create_topics(PARTITIONS)?;
    let hook = Hook::start().map_err(Failure::io("listen for alerts"))?;
    let config = folder.path().join("ringwatch.toml");
    let text = format!(
        "[kafka]\nbrokers = \"{}\"\n[store]\ndata = \"{}\"\n[http]\nlisten = \"\"\n\
         [[destination]]\nname = \"hook\"\ntype = \"webhook\"\nurl = \"http://{}/\"\n",
        broker.bootstrap(),
        folder.path().join("data").display(),
        hook.address(),
    );
    fs::write(&config, text).map_err(Failure::io("write the configuration"))?;
    let mut sender = Sender::new(broker.bootstrap(), load)?;
    sender.register()?;
    let mut service = start(ringwatch, &config)?;
    say(&format!("{} heartbeats/s, {} changes; {:.0} min", load.rate, load.changes, {
        sender.length().as_secs_f64() / 60.0
    }));
    let (before, length) = (cpu_s(service.id()), sender.length());
    let sent = sender.send()?;
    let used = cpu_s(service.id()) - before;
    let began = Instant::now();
    while hook.count() < load.changes as usize && began.elapsed() < PATIENCE {
        sleep(TICK);
    }
    kill(Pid::from_raw(service.id() as i32), Signal::SIGTERM).ok();
    service.wait().map_err(Failure::io("wait for ringwatch"))?;
    let share = used / length.as_secs_f64() * 100.0;
    report(load, &sent, &hook.heard(), share, records)
}

fn start(ringwatch: &Path, config: &Path) -> Result<Child, Failure> {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", &MEASURED_CORE.to_string()]).arg(ringwatch);
    command.args(["run", "--quiet", "--config"]).arg(config);
    command.stdout(Stdio::null()).spawn().map_err(Failure::io("start ringwatch"))
}

/// CPU time that a running process has taken: fields 14 and 15 of `/proc/PID/stat`, in 1/100 s.
fn cpu_s(process: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = after_name.split_whitespace().skip(11).take(2);
    ticks.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn report(
    load: Load,
    sent: &BTreeMap<String, Timestamp>,
    heard: &BTreeMap<String, Timestamp>,
    share: f64,
    records: bool,
) -> Result<(), Failure> {
    let missing = sent.keys().filter(|change| !heard.contains_key(*change)).count();
    if missing > 0 {
        return Err(Failure::Unmet(format!("{missing} of {} alerts never came", sent.len())));
    }
    let mut latencies: Vec<f64> =
        sent.iter().map(|(change, at)| (heard[change] - *at).as_secs_f64()).collect();
    latencies.sort_by(f64::total_cmp);
    let cells: Vec<String> =
        [0.5, 0.9, 0.99, 1.0].map(|share| format!("{:.1}", rank(&latencies, share))).into();
    let [p50, p90, p99, most] = [0, 1, 2, 3].map(|at| &cells[at]);
    say(&format!("seconds from event to webhook: p50 {p50}, p90 {p90}, p99 {p99}, max {most}"));
    say(&format!("ringwatch took {share:.0} % of its core; {} alerts", latencies.len()));
    if !records {
        return Ok(());
    }
    let load_cells = [load.rate.to_string(), format!("{share:.0} %"), latencies.len().to_string()];
    record::row(RECORD_HEADING, &[&load_cells[..], &cells].concat())
}

/// The least value that `share` of all do not exceed.
fn rank<T: Copy>(sorted: &[T], share: f64) -> T {
    let at = (share * sorted.len() as f64).ceil() as usize;
    sorted[at.clamp(1, sorted.len()) - 1]
}

struct Sender {
    producer: Producer,
    load: Load,
    line: Vec<u8>,
    /// Heartbeats sent so far: whose turn it is, and its number.
    beats: u64,
}

impl Sender {
    fn new(bootstrap: &str, load: Load) -> Result<Self, Failure> {
        let producer = Producer::connect(bootstrap)?;
        Ok(Self { producer, load, line: Vec::with_capacity(512), beats: 0 })
    }

    /// All of it.
    fn length(&self) -> Duration {
        HARM_AFTER + APART * self.load.changes as u32 + GOES_ON
    }

    /// The changes, which started in ring first a day ago.
    fn register(&mut self) -> Result<(), Failure> {
        let began = wall() - Span::days(1);
        for number in 0..self.load.changes {
            let change = change(number);
            let value = serde_json::json!({
                "change": change, "type": "quality", "reversible": true, "status": "deploying",
                "rings": [{"ring": "first", "starts": began}], "time": began,
            })
            .to_string();
            let (key, value) = (Some(change.as_bytes()), Some(value.as_bytes()));
            self.producer.send("changes", 0, Record { key, value, ..Record::default() })?;
        }
        Ok(())
    }

    /// Sends on schedule; the instant of harm of each change.
    fn send(mut self) -> Result<BTreeMap<String, Timestamp>, Failure> {
        let (began, start) = (Instant::now(), wall());
        let at = |after: Duration| start + Span(after.as_micros() as i64);
        let (mut tick, mut installed, mut harmed) = (0_u32, 0, 0);
        let mut harm = BTreeMap::new();
        loop {
            let due = TICK * tick;
            if due > self.length() {
                self.producer.finish()?;
                return Ok(harm);
            }
            sleep(due.saturating_sub(began.elapsed()));
            for _ in 0..self.load.rate / 100 {
                self.heartbeat(at(due))?;
            }
            while installed < self.load.changes * TREATED && due >= INSTALLED_AFTER {
                self.event(
                    installed,
                    at(due),
                    &format!(
                        r#""type":"update","change":"{}","state":"installed""#,
                        change(installed / TREATED)
                    ),
                )?;
                installed += 1;
            }
            while harmed < self.load.changes && due >= HARM_AFTER + APART * harmed as u32 {
                let now = at(HARM_AFTER + APART * harmed as u32);
                for device in harmed * TREATED..(harmed + 1) * TREATED {
                    self.event(device, now, r#""type":"fault","kind":"os_crash""#)?;
                }
                harm.insert(change(harmed), now);
                harmed += 1;
            }
            tick += 1;
        }
    }

    fn heartbeat(&mut self, at: Timestamp) -> Result<(), Failure> {
        let device = self.beats % DEVICES;
        let uptime_s = 1_000 + self.beats / DEVICES;
        self.beats += 1;
        let what = r#""type":"heartbeat","build":"10.0.22631.3880","model":"Latitude-5440""#;
        self.event(device, at, &format!(r#"{what},"interval_s":3600,"uptime_s":{uptime_s}"#))
    }

    fn event(&mut self, device: u64, at: Timestamp, rest: &str) -> Result<(), Failure> {
        let ring = ring(device, self.load.changes * TREATED);
        self.line.clear();
        write!(
            self.line,
            r#"{{"v":1,"device":"d-{device:010}","ring":"{ring}","time":"{at}",{rest}}}"#
        )
        .map_err(Failure::io("write a record to memory"))?;
        let key = &self.line[16..28];
        let partition = (device % PARTITIONS as u64) as i32;
        let record = Record { key: Some(key), value: Some(&self.line), ..Record::default() };
        self.producer.send("telemetry", partition, record)
    }
}

fn change(number: u64) -> String {
    format!("kb{number:05}")
}

/// Who is treated is in ring first, and as many others; most are in broad.
fn ring(device: u64, treated: u64) -> &'static str {
    match device {
        _ if device < treated * 2 => "first",
        _ if device.is_multiple_of(100) => "test",
        _ if device % 10 == 1 => "fast",
        _ if device % 10 == 2 => "last",
        _ => "broad",
    }
}

fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(since.as_micros() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rank_is_a_value_that_was_measured() {
        let sorted: Vec<u32> = (1..=200).collect();
        assert_eq!([0.5, 0.99, 1.0].map(|share| rank(&sorted, share)), [100, 198, 200]);
        assert_eq!(rank(&[7], 0.99), 7);
    }
}
