//! The canonical workload: the one fleet-hour on which every number of this project is measured.
//!
//! ```text
//! seed ─► fleet of machines ─► message, message, ... ─► Kafka or NDJSON files
//!                                 └─► Truth: the sums that the tables must show
//! ```
//! 80 % heartbeat, 12 % boot, 5 % update, 3 % fault of random devices, about 240 bytes each;
//! event times ascend with 20 s of jitter, arrivals without; 0.5 % come twice, 0.1 % are
//! rejects. A message is made in under a microsecond, so that generating never is the bottleneck.

use schemas::event::UpdateState;
use schemas::{Span, Stream, StreamKind, Timestamp};
use sim::{Line, Rng};

mod fleet;
mod registry;
mod spoil;
mod truth;

use fleet::Machine;
pub use fleet::{CHANGES, RINGS};
pub use registry::registry;
pub use truth::{Cell, Truth};

/// Seed of the workload that is recorded.
pub const SEED: u64 = 7;

/// Event times lie at most this far before their message's arrival.
pub const JITTER: Span = Span::seconds(20);

const BOOT_SHARE: f64 = 0.12;
const UPDATE_SHARE: f64 = 0.05;
const FAULT_SHARE: f64 = 0.03;
const DUPLICATE_SHARE: f64 = 0.005;
const REJECT_SHARE: f64 = 0.001;
/// Share of faults of a kind that the contract does not name.
const UNKNOWN_KIND_SHARE: f64 = 0.02;

/// A duplicate repeats one of this many messages, each remembered one chance in
/// [`REMEMBER_EVERY`]: it comes seconds later, as a retry does.
const REMEMBERED: usize = 1_024;
const REMEMBER_EVERY: u64 = 8;

/// Updates go to one device in this many, so that devices get through an installation.
const ROLLOUT_EVERY: u32 = 8;

const KINDS: [&str; 9] = [
    "app_crash",
    "app_hang",
    "os_crash",
    "unexpected_reboot",
    "signin_failure",
    "network_failure",
    "recovery_prompt",
    "policy_failure",
    "data_loss",
];
const KIND_WEIGHTS: [f64; 9] = [50.0, 20.0, 8.0, 6.0, 6.0, 6.0, 2.0, 1.9, 0.1];
const UNKNOWN_KIND: &str = "gpu_reset";
const REASONS: [&str; 4] = ["user", "update", "power", "crash"];
const REASON_WEIGHTS: [f64; 4] = [70.0, 15.0, 10.0, 5.0];

/// Size and seed of the workload.
#[derive(Clone, Debug)]
pub struct CanonicalConfig {
    pub messages: u64,
    pub devices: u32,
    pub partitions: i32,
    pub seed: u64,
    /// Arrival of the first message; a whole minute.
    pub start: Timestamp,
    /// From the first arrival to the last.
    pub span: Span,
}

impl Default for CanonicalConfig {
    fn default() -> Self {
        // 2026-07-19T04:00:00Z, the day of the contract's examples.
        let start = Timestamp(1_784_433_600_000_000);
        let span = Span::hours(1);
        Self { messages: 1_000_000, devices: 200_000, partitions: 4, seed: SEED, start, span }
    }
}

/// One message, borrowed until the next one is made.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    pub partition: i32,
    pub arrival: Timestamp,
    /// The device id.
    pub key: &'a str,
    pub value: &'a [u8],
}

impl Message<'_> {
    /// The telemetry partition it belongs to.
    pub const fn stream(&self) -> Stream {
        Stream { kind: StreamKind::Telemetry, partition: self.partition }
    }
}

/// The generator.
#[derive(Debug)]
pub struct Canonical {
    config: CanonicalConfig,
    rng: Rng,
    fleet: Vec<Machine>,
    made: u64,
    line: Line,
    /// Recent good messages: device, event time and bytes.
    remembered: Vec<(u32, Timestamp, Vec<u8>)>,
    spoiled: Vec<u8>,
    truth: Truth,
}

/// Which of the buffers holds the message just made.
enum Made {
    Line,
    Remembered(usize),
    Spoiled,
}

impl Canonical {
    /// A generator at its first message.
    pub fn new(config: CanonicalConfig) -> Self {
        Self {
            rng: Rng::new(config.seed),
            fleet: fleet::build(&config),
            made: 0,
            line: Line::default(),
            remembered: Vec::with_capacity(REMEMBERED),
            spoiled: Vec::new(),
            truth: Truth::new(config.start),
            config,
        }
    }

    /// The sums over all messages made so far.
    pub const fn truth(&self) -> &Truth {
        &self.truth
    }

    /// Makes the next message; `None` after the last.
    pub fn next_message(&mut self) -> Option<Message<'_>> {
        if self.made == self.config.messages {
            return None;
        }
        let arrival = self.arrival(self.made);
        self.made += 1;
        let luck = self.rng.unit();
        let (device, made) = if luck < REJECT_SHARE {
            self.reject(arrival)
        } else if luck < REJECT_SHARE + DUPLICATE_SHARE && !self.remembered.is_empty() {
            self.repeat()
        } else {
            self.report(arrival)
        };
        let value = match made {
            Made::Line => self.line.bytes(),
            Made::Remembered(position) => &self.remembered[position].2,
            Made::Spoiled => &self.spoiled,
        };
        let machine = &self.fleet[device as usize];
        Some(Message { partition: machine.partition, arrival, key: &machine.name, value })
    }

    /// Arrivals ascend evenly over the span.
    fn arrival(&self, number: u64) -> Timestamp {
        let past = i128::from(self.config.span.0) * i128::from(number);
        self.config.start + Span((past / i128::from(self.config.messages)) as i64)
    }

    fn report(&mut self, arrival: Timestamp) -> (u32, Made) {
        let time = arrival - Span((self.rng.unit() * JITTER.0 as f64) as i64);
        let luck = self.rng.unit();
        let device = if luck < UPDATE_SHARE {
            self.update(time)
        } else {
            let device = self.rng.below(self.config.devices);
            if luck < UPDATE_SHARE + FAULT_SHARE {
                self.fault(device, time);
            } else if luck < UPDATE_SHARE + FAULT_SHARE + BOOT_SHARE {
                self.boot(device, time);
            } else {
                self.heartbeat(device, time);
            }
            device
        };
        let machine = &mut self.fleet[device as usize];
        machine.seq += 1;
        self.truth.cell(time, machine.ring).records += 1;
        if self.made.is_multiple_of(REMEMBER_EVERY) {
            self.remember(device, time);
        }
        (device, Made::Line)
    }

    fn remember(&mut self, device: u32, time: Timestamp) {
        let position = (self.made / REMEMBER_EVERY) as usize % REMEMBERED;
        if self.remembered.len() <= position {
            self.remembered.push((device, time, Vec::new()));
        }
        let slot = self.remembered.len().min(position + 1) - 1;
        let (of, at, bytes) = &mut self.remembered[slot];
        (*of, *at) = (device, time);
        bytes.clear();
        bytes.extend_from_slice(self.line.bytes());
    }

    fn repeat(&mut self) -> (u32, Made) {
        let position = self.rng.below(self.remembered.len() as u32) as usize;
        let (device, time, _) = self.remembered[position];
        let ring = self.fleet[device as usize].ring;
        self.truth.cell(time, ring).duplicates += 1;
        (device, Made::Remembered(position))
    }

    /// A heartbeat with something wrong; it takes no number of the device's sequence.
    fn reject(&mut self, arrival: Timestamp) -> (u32, Made) {
        let device = self.rng.below(self.config.devices);
        self.write_heartbeat(device, arrival);
        let (stage, field) = spoil::spoil(self.rng.bits(), self.line.bytes(), &mut self.spoiled);
        self.truth.reject(stage, field);
        (device, Made::Spoiled)
    }

    fn heartbeat(&mut self, device: u32, time: Timestamp) {
        self.write_heartbeat(device, time);
        let ring = self.fleet[device as usize].ring;
        self.truth.cell(time, ring).heartbeats += 1;
    }

    fn write_heartbeat(&mut self, device: u32, time: Timestamp) {
        let machine = &self.fleet[device as usize];
        machine.begin(&mut self.line, "heartbeat", time);
        let uptime_s = (time.0 / 1_000_000 + i64::from(device)) as u64 % 1_000_000;
        self.line.number("interval_s", 3_600).number("uptime_s", uptime_s);
        machine.end(&mut self.line);
    }

    fn boot(&mut self, device: u32, time: Timestamp) {
        let machine = &self.fleet[device as usize];
        machine.begin(&mut self.line, "boot", time);
        self.line
            .number("boot_ms", u64::from(8_000 + self.rng.below(20_000)))
            .number("signin_ms", u64::from(900 + self.rng.below(4_000)))
            .text("reason", REASONS[self.rng.pick(&REASON_WEIGHTS)]);
        machine.end(&mut self.line);
        self.truth.cell(time, machine.ring).boots += 1;
    }

    fn fault(&mut self, device: u32, time: Timestamp) {
        let machine = &self.fleet[device as usize];
        let unknown = self.rng.chance(UNKNOWN_KIND_SHARE);
        let kind = if unknown { UNKNOWN_KIND } else { KINDS[self.rng.pick(&KIND_WEIGHTS)] };
        machine.begin(&mut self.line, "fault", time);
        self.line
            .text("kind", kind)
            .text("signature", fleet::SIGNATURES[self.rng.below(8) as usize])
            .number("count", u64::from(1 + self.rng.below(8) / 7));
        machine.end(&mut self.line);
    }

    fn update(&mut self, time: Timestamp) -> u32 {
        let device = self.rng.below(self.config.devices.div_ceil(ROLLOUT_EVERY)) * ROLLOUT_EVERY;
        let change = self.rng.below(CHANGES.len() as u32) as usize;
        let luck = self.rng.unit();
        let machine = &mut self.fleet[device as usize];
        let state = machine.advance(change, luck);
        let machine = &self.fleet[device as usize];
        machine.begin(&mut self.line, "update", time);
        self.line.text("change", CHANGES[change].0).text("state", state.name());
        if matches!(state, UpdateState::Installed | UpdateState::Failed) {
            let code = if state == UpdateState::Installed { "0x0" } else { "0x80070643" };
            self.line.text("code", code);
            self.line.number("duration_ms", u64::from(200_000 + self.rng.below(2_000_000)));
        }
        machine.end(&mut self.line);
        self.truth.cell(time, machine.ring).updates[state as usize] += 1;
        device
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn config() -> CanonicalConfig {
        CanonicalConfig { messages: 50_000, devices: 5_000, ..CanonicalConfig::default() }
    }

    #[test]
    fn the_seed_gives_the_same_bytes_and_the_shares_of_the_contract() {
        let (mut one, mut other) = (Canonical::new(config()), Canonical::new(config()));
        let mut bytes = 0;
        let mut types: BTreeMap<String, u32> = BTreeMap::new();
        while let Some(message) = one.next_message() {
            bytes += message.value.len();
            assert_eq!(message.value, other.next_message().unwrap().value);
            if let Ok(value) = serde_json::from_slice::<serde_json::Value>(message.value) {
                *types.entry(value["type"].to_string()).or_default() += 1;
            }
        }
        assert!(other.next_message().is_none());
        assert!((225..265).contains(&(bytes / 50_000)), "{} bytes each", bytes / 50_000);
        for (name, expected) in
            [("heartbeat", 0.8), ("boot", 0.12), ("update", 0.05), ("fault", 0.03)]
        {
            let share = f64::from(types[&format!("\"{name}\"")]) / 50_000.0;
            assert!((share - expected).abs() < 0.01, "{name} {share}");
        }
    }

    #[test]
    fn every_message_stands_in_the_truth_once() {
        let mut canonical = Canonical::new(config());
        while canonical.next_message().is_some() {}
        let truth = canonical.truth();
        let (mut records, mut duplicates, mut by_type) = (0, 0, 0);
        for (_, _, cell) in truth.cells() {
            records += cell.records;
            duplicates += cell.duplicates;
            by_type += cell.heartbeats + cell.boots + cell.updates.iter().sum::<i64>();
        }
        let rejects: i64 = truth.rejects().values().sum();
        assert_eq!(records + duplicates + rejects, 50_000);
        assert!((30..80).contains(&rejects), "{rejects} rejects");
        assert!((200..300).contains(&duplicates), "{duplicates} duplicates");
        let faults = records - by_type;
        assert!((1_300..1_700).contains(&faults), "{faults} faults");
    }
}
