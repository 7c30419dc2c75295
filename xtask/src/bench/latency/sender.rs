//! Sends heartbeats at a steady rate, and the installations and the harm of each change.
//!
//! Every record belongs to an instant of the schedule, whenever it is really sent. What stands in
//! a partition up to which offset belongs to which instant is kept, for whoever finds an offset.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::thread::sleep;
use std::time::{Duration, Instant};

use schemas::registry::{ChangeRecord, ChangeStatus, RingStart};
use schemas::{ChangeType, Span, Timestamp};

use super::{Load, wall};
use crate::Failure;
use crate::bench::PARTITIONS;
use crate::produce::{Producer, Record};

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

/// What was sent, by the schedule.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// The instant of harm of each change.
    pub harm: BTreeMap<String, Timestamp>,
    /// By partition: records up to this offset belong to this instant or one before; ascending.
    pub instants: Vec<Vec<(i64, Timestamp)>>,
    /// How far the sender was behind its schedule at most.
    pub behind_max: Duration,
}

pub(super) struct Sender {
    producer: Producer,
    load: Load,
    line: Vec<u8>,
    /// Heartbeats sent so far: whose turn it is, and its number.
    beats: u64,
    /// Records sent so far, by partition: the offset of the next one.
    offsets: [i64; PARTITIONS as usize],
}

impl Sender {
    pub(super) fn new(bootstrap: &str, load: Load) -> Result<Self, Failure> {
        let producer = Producer::connect(bootstrap)?;
        Ok(Self { producer, load, line: Vec::with_capacity(512), beats: 0, offsets: [0; 4] })
    }

    /// All of it.
    pub(super) fn length(&self) -> Duration {
        HARM_AFTER + APART * self.load.changes as u32 + GOES_ON
    }

    /// The changes, which started in ring first a day ago.
    pub(super) fn register(&mut self) -> Result<(), Failure> {
        let began = wall() - Span::days(1);
        for number in 0..self.load.changes {
            let record = ChangeRecord {
                change: change(number),
                title: Some("measured".to_owned()),
                change_type: ChangeType::Quality,
                reversible: true,
                status: ChangeStatus::Deploying,
                announced: Some(began - Span::days(7)),
                requires_action: false,
                acknowledged_at: None,
                action_due: None,
                mitigated_at: None,
                reason: None,
                supersedes: None,
                rings: vec![RingStart { ring: "first".to_owned(), starts: began }],
                time: Some(began),
            };
            let value = sim::registry::to_json(&record);
            let (key, value) = (Some(record.change.as_bytes()), Some(&*value));
            self.producer.send("changes", 0, Record { key, value, ..Record::default() })?;
        }
        Ok(())
    }

    /// Sends on schedule.
    pub(super) fn send(mut self) -> Result<Sent, Failure> {
        let (began, start) = (Instant::now(), wall());
        let at = |after: Duration| start + Span(after.as_micros() as i64);
        let (mut tick, mut installed, mut harmed) = (0_u32, 0, 0);
        let mut sent = Sent { instants: vec![Vec::new(); PARTITIONS as usize], ..Sent::default() };
        loop {
            let due = TICK * tick;
            if due > self.length() {
                self.producer.finish()?;
                return Ok(sent);
            }
            sleep(due.saturating_sub(began.elapsed()));
            sent.behind_max = began.elapsed().saturating_sub(due).max(sent.behind_max);
            for _ in 0..self.load.rate / 100 {
                self.heartbeat(at(due))?;
            }
            while installed < self.load.changes * TREATED && due >= INSTALLED_AFTER {
                let change = change(installed / TREATED);
                let what = format!(r#""type":"update","change":"{change}","state":"installed""#);
                self.event(installed, at(due), &what)?;
                installed += 1;
            }
            while harmed < self.load.changes && due >= HARM_AFTER + APART * harmed as u32 {
                let now = at(HARM_AFTER + APART * harmed as u32);
                for device in harmed * TREATED..(harmed + 1) * TREATED {
                    self.event(device, now, r#""type":"fault","kind":"os_crash""#)?;
                }
                sent.harm.insert(change(harmed), now);
                harmed += 1;
            }
            for (instants, offset) in sent.instants.iter_mut().zip(self.offsets) {
                instants.push((offset, at(due)));
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
        self.offsets[partition as usize] += 1;
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
