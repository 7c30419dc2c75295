//! What devices say: each record's fields, and its way to the broker.

use schemas::{Signal, Span, Stream, StreamKind, Timestamp};

use super::{DAY_US, SimRecord, Simulation, Step};
use crate::device::{self, Traits};
use crate::line::Line;
use crate::partition_of;
use crate::scenario::hours_span;

/// Records reach the broker within this of their event unless they are late.
const TRANSIT_MAX_US: f64 = 2e6;
/// A record sent twice comes again within this.
const RESEND_MAX_US: f64 = 30e6;
/// Heartbeats of one device wander by this share of their interval.
const HEARTBEAT_JITTER: f64 = 0.02;
/// From a crash to the boot that follows it.
const CRASH_BOOT_US: f64 = 60e6;

/// Its multiples, modulo 1, are spread evenly: so are the devices' times of uploading.
const GOLDEN_RATIO: f64 = 0.618_033_988_749_894_9;

impl Simulation {
    pub(super) fn fault(&mut self, now: Timestamp, device: u32) {
        let Some(kind) = self.pick_fault(now, device) else { return };
        let signal = self.rates[kind].0;
        if signal == Signal::SupportTicket {
            let ticket = format!("T-{device}-{}", self.devices[device as usize].seq);
            return self.report(now, device, "ticket", |line, _| {
                line.text("ticket", &ticket).text("severity", "C");
            });
        }
        let left = self.scenario.life.incidents.map_or(0, |incidents| incidents.events - 1);
        self.again(now, device, signal, left);
    }

    /// One fault record, and after it the rest of its incident.
    pub(super) fn again(&mut self, now: Timestamp, device: u32, signal: Signal, left: u32) {
        let signature = self.signature(now);
        self.report(now, device, "fault", |line, _| {
            line.text("kind", signal.name()).text("signature", &signature).number("count", 1);
        });
        if matches!(signal, Signal::OsCrash | Signal::UnexpectedReboot) {
            self.after(now, CRASH_BOOT_US, device, Step::CrashBoot);
        }
        if let (1.., Some(incidents)) = (left, self.scenario.life.incidents) {
            let gap_h = incidents.within_h / f64::from(incidents.events);
            let wait_us = self.rng.wait(1.0 / hours_span(gap_h).0 as f64);
            self.after(now, wait_us, device, Step::Again { signal, left: left - 1 });
        }
    }

    /// Which program or code is at fault: one of those there always were, or a new one.
    fn signature(&mut self, now: Timestamp) -> String {
        if let Some(programs) = self.scenario.life.new_programs
            && self.rng.chance(programs.share)
        {
            let days = (now - self.scenario.start).0 as f64 / DAY_US;
            let came = self.rng.between(days - programs.days, days).max(0.0);
            return format!("program-{}", (came * programs.per_day) as u64);
        }
        format!("0x{:08x}", 0xc000_0000_u32 + self.rng.below(40))
    }

    pub(super) fn heartbeat(&mut self, now: Timestamp, device: u32) {
        let interval_s = self.scenario.heartbeat_interval_s;
        let role =
            device::role(&self.scenario.roles, self.scenario.seed, device).map(str::to_owned);
        let uptime_s = (now - self.scenario.start).0 as u64 / 1_000_000;
        self.report(now, device, "heartbeat", |line, traits| {
            line.text("build", traits.build).text("model", traits.model);
            line.number("interval_s", u64::from(interval_s)).number("uptime_s", uptime_s);
            match &role {
                Some(role) => line.attrs(&[
                    ("driver", traits.driver),
                    ("region", traits.region),
                    ("role", role),
                ]),
                None => line.attrs(&[("driver", traits.driver), ("region", traits.region)]),
            };
        });
        let jitter = self.rng.between(1.0 - HEARTBEAT_JITTER, 1.0 + HEARTBEAT_JITTER);
        self.after(now, f64::from(interval_s) * 1e6 * jitter, device, Step::Heartbeat);
    }

    pub(super) fn boot(&mut self, now: Timestamp, device: u32, reason: &str) {
        let boot_ms = u64::from(8_000 + self.rng.below(20_000));
        let signin_ms = u64::from(900 + self.rng.below(4_000));
        self.report(now, device, "boot", |line, traits| {
            line.text("build", traits.build).number("boot_ms", boot_ms);
            line.number("signin_ms", signin_ms).text("reason", reason);
        });
    }

    pub(super) fn update(&mut self, now: Timestamp, device: u32, change: u8, state: &str) {
        let id = self.scenario.changes[usize::from(change)].id.clone();
        self.report(now, device, "update", |line, _| {
            line.text("change", &id).text("state", state);
            if state == "failed" {
                line.text("code", "0x80070643");
            }
        });
    }

    pub(super) fn case(&mut self, now: Timestamp, number: u32) {
        if number > 0 {
            let ticket = format!("C-{number}");
            let fields = r#""severity":"C","status":"opened","category":"how-to""#;
            let value = format!(r#"{{"v":1,"ticket":"{ticket}","time":"{now}",{fields}}}"#);
            let stream = Stream { kind: StreamKind::Support, partition: 0 };
            let record = SimRecord { stream, arrival: now, key: ticket, value: value.into_bytes() };
            self.under_way.push(now, record);
        }
        let wait_us = self.rng.wait(self.scenario.support_cases_per_day / DAY_US);
        self.after(now, wait_us, 0, Step::Case { number: number + 1 });
    }

    /// Writes a record of the device and sends it on its way, now and then late or twice.
    pub(super) fn report(
        &mut self,
        now: Timestamp,
        number: u32,
        kind: &str,
        fields: impl FnOnce(&mut Line, &Traits),
    ) {
        let device = &mut self.devices[number as usize];
        let ring = &self.scenario.rings[usize::from(device.ring)].name;
        let key = device::name(number);
        let traits = Traits::of(self.scenario.seed, number);
        self.line.begin(kind, &key, ring, now).number("seq", device.seq);
        device.seq += 1;
        fields(&mut self.line, &traits);
        let value = self.line.end().to_vec();
        let partition = partition_of(&key, self.scenario.partitions);
        let stream = Stream { kind: StreamKind::Telemetry, partition };
        let late_us = if self.rng.chance(self.scenario.late_share) {
            self.rng.unit() * hours_span(self.scenario.late_max_h).0 as f64
        } else {
            0.0
        };
        let sent = now + Span((late_us + self.rng.unit() * TRANSIT_MAX_US) as i64);
        let arrival = self.uploaded(now, number).map_or(sent, |uploaded| uploaded.max(sent));
        if self.rng.chance(self.scenario.duplicate_share) {
            let again = arrival + Span((self.rng.unit() * RESEND_MAX_US) as i64);
            let (key, value) = (key.clone(), value.clone());
            self.under_way.push(again, SimRecord { stream, arrival: again, key, value });
        }
        self.under_way.push(arrival, SimRecord { stream, arrival, key, value });
    }

    /// When a device sends off what it has gathered, oldest first.
    fn uploaded(&self, now: Timestamp, number: u32) -> Option<Timestamp> {
        let ring = usize::from(self.devices[number as usize].ring);
        let every = hours_span(self.scenario.rings[ring].upload_every_h?).0;
        let own = (f64::from(number) * GOLDEN_RATIO).fract() * every as f64;
        let gathered = ((now - self.scenario.start).0 - own as i64).rem_euclid(every);
        let behind = gathered as f64 / every as f64 * TRANSIT_MAX_US;
        Some(now + Span(every - gathered + behind as i64))
    }
}
