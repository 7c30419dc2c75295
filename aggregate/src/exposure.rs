//! When a device is at risk, silent or away (detection 1), and in which group.
//!
//! A device is at risk from a sign of life for three of its intervals, or until the next sign,
//! which takes over. Its end is not posted when it is set but when its window closes, by a timer:
//! a device that is heard again costs nothing but a new `until_ms`.
//! ```text
//!   sign      sign (late)   expiry     sign                      closed_ms
//! ───┼───────────┼────────────┤··········├───────────────────────────┼─────►
//!   from       nothing to   until     from, gap to the until before   open windows: Levels
//!              do: covered                                            closed ones: late rows
//! ```
//! Closed windows only ever gain: what changes too late takes effect at `closed_ms`.

use schemas::delta::Place;
use schemas::{Span, Timestamp};

use crate::absence::{Absences, Waiting};
use crate::accumulate::Rows;
use crate::cohorts::{Cohorts, HOUR_MS};
use crate::device::{Device, Gap, Group, Life, NEVER_MS, Sign, SlotNames};
use crate::devices::Devices;
use crate::levels::{Levels, Step};
use crate::measures::HourKey;
use crate::partition::LOOK_AHEAD_MAX;
use crate::state::{Reader, StateError, Writer};
use crate::timers::Timers;

/// Intervals without a sign of life after which a device is no longer at risk.
const INTERVALS_AT_RISK: i64 = 3;

/// A point in time as milliseconds.
pub(crate) fn time_of(at_ms: i64) -> Timestamp {
    Timestamp(at_ms * 1_000)
}

/// How long a sign of life of a device with this interval keeps it at risk.
pub(crate) fn reach_ms(interval_s: u32) -> i64 {
    i64::from(interval_s) * 1_000 * INTERVALS_AT_RISK
}

/// Levels, timers and absences of one partition.
#[derive(Clone, Debug)]
pub(crate) struct Exposure {
    window_ms: i64,
    levels: Levels,
    /// Devices by the window whose close looks at their expiry; may hold outdated entries.
    timers: Timers,
    /// Expired and not heard before that: silence once the lag is over.
    pub(crate) absences: Absences,
    pub(crate) cohorts: Cohorts,
    late_windows_max: usize,
    cut: u64,
}

const JOIN: Step = Step { active: 1, silent: 0 };
const LEAVE: Step = Step { active: -1, silent: 0 };
const EXPIRE: Step = Step { active: -1, silent: 1 };
const RETURN: Step = Step { active: 1, silent: -1 };
const MISS: Step = Step { active: 0, silent: 1 };
const EXCUSE: Step = Step { active: 0, silent: -1 };

impl Exposure {
    pub(crate) fn new(window_length: Span, late_windows_max: usize, cohorts: Cohorts) -> Self {
        let window_ms = window_length.as_millis();
        assert!(window_ms >= 1_000 && window_ms % 1_000 == 0, "a window is whole seconds");
        Self {
            window_ms,
            levels: Levels::new(window_ms),
            timers: Timers::default(),
            absences: Absences::default(),
            cohorts,
            late_windows_max,
            cut: 0,
        }
    }

    /// Stores all but the timers: each device knows its own.
    pub(crate) fn save(&self, out: &mut Writer) {
        self.levels.save(out);
        self.absences.save(out);
        self.cohorts.save(out);
        out.put(&self.cut);
    }

    pub(crate) fn load(
        &mut self,
        from: &mut Reader<'_>,
        devices: &Devices,
    ) -> Result<(), StateError> {
        self.levels.load(from)?;
        self.absences.load(from)?;
        self.cohorts.load(from)?;
        self.cut = from.take()?;
        for (at, device) in (0..).zip(devices.iter()).filter(|(_, device)| device.timer != 0) {
            self.timers.push(device.timer, at);
        }
        Ok(())
    }

    /// A sign of life at `at_ms` that keeps the device at risk for `reach_ms`.
    pub(crate) fn heard(
        &mut self,
        (device, at): (&mut Device, u32),
        at_ms: i64,
        reach_ms: i64,
        rows: &mut Rows,
    ) {
        if at_ms < device.sign_ms() {
            return self.fill_gap((device, at), at_ms, at_ms + reach_ms, rows);
        }
        self.expire_before((device, at), at_ms);
        device.note(at_ms, Sign::OfLife);
        let end_ms = at_ms + reach_ms;
        match device.life {
            // A shorter interval takes back neither closed windows nor time in a group before.
            Life::AtRisk => device.until_ms = end_ms.max(self.closed_ms()).max(device.from_ms),
            Life::Silent | Life::Away => self.begin((device, at), at_ms, end_ms, rows),
        }
        self.settle(device, at);
    }

    /// A device that is not at risk is heard: `[at_ms, end_ms)`.
    fn begin(
        &mut self,
        (device, at): (&mut Device, u32),
        at_ms: i64,
        end_ms: i64,
        rows: &mut Rows,
    ) {
        let from_ms = at_ms.max(device.until_ms);
        if end_ms <= from_ms {
            return;
        }
        if device.life == Life::Silent && at_ms <= device.until_ms {
            self.absences.take_back((device.until_ms, at));
        } else {
            self.absences.heard((device.until_ms, at), at_ms);
            let gap = match device.life {
                Life::Away if device.until_ms == NEVER_MS => Gap::Unknown,
                Life::Away => Gap::Shut,
                Life::AtRisk | Life::Silent => Gap::Silent,
            };
            device.set_from(from_ms, device.until_ms, gap);
        }
        device.until_ms = end_ms;
        self.add_late(device.group(), from_ms, end_ms, rows);
        let silent = device.life == Life::Silent;
        if end_ms > self.closed_ms() {
            let step = if silent { RETURN } else { JOIN };
            self.post(device, device.group(), from_ms.max(self.closed_ms()), step);
            device.life = Life::AtRisk;
            return;
        }
        if !silent {
            self.post(device, device.group(), self.closed_ms(), MISS);
            device.life = Life::Silent;
        }
        self.miss(device, at, end_ms);
    }

    /// The time at risk of a device ended at `end_ms`, and nothing newer is known of it.
    fn miss(&mut self, device: &Device, at: u32, end_ms: i64) {
        let reach_ms = reach_ms(device.interval_s);
        let holds_ms = device.sign_ms() + device.gaps.silent_after_ms(reach_ms);
        self.absences.miss((end_ms, at), device.group());
        self.absences.miss_learned((end_ms, at), device.group(), holds_ms.max(end_ms));
    }

    /// A sign older than the newest one adds what it covers of the gap before the present time.
    fn fill_gap(
        &mut self,
        (device, at): (&mut Device, u32),
        at_ms: i64,
        end_ms: i64,
        rows: &mut Rows,
    ) {
        let (from_ms, gap_start_ms) = (device.from_ms, device.gap_start_ms());
        let low_ms = at_ms.max(gap_start_ms);
        let high_ms = end_ms.min(from_ms);
        if high_ms <= low_ms || (device.gap == Gap::Shut && at_ms < gap_start_ms) {
            return;
        }
        let silent = device.gap == Gap::Silent;
        self.add_late(device.group(), low_ms, high_ms, rows);
        if high_ms > self.closed_ms() {
            let (start, end) = if silent { (RETURN, EXPIRE) } else { (JOIN, LEAVE) };
            self.post(device, device.group(), low_ms.max(self.closed_ms()), start);
            self.post(device, device.group(), high_ms, end);
        }
        let joined_before = at_ms <= gap_start_ms;
        let [short, learned] = if joined_before {
            self.absences.take_back((gap_start_ms, at))
        } else {
            self.absences.heard((gap_start_ms, at), at_ms);
            [Waiting::Yes; 2]
        };
        if high_ms < from_ms {
            if short == Waiting::Yes {
                self.absences.miss((high_ms, at), device.group());
            }
            let holds_ms = at_ms + device.gaps.silent_after_ms(end_ms - at_ms);
            if learned == Waiting::Yes && holds_ms <= from_ms {
                self.absences.miss_learned((high_ms, at), device.group(), holds_ms);
            }
            // What was not silent before has no silent level to take back from: shut it.
            device.set_from(from_ms, high_ms, if silent { Gap::Silent } else { Gap::Shut });
        } else if joined_before {
            device.set_from(low_ms, low_ms, Gap::Shut);
        } else {
            device.set_from(low_ms, gap_start_ms, device.gap);
        }
    }

    /// Ends the time at risk on purpose: offline, retired, reset. Not silent, not missed.
    pub(crate) fn leave(&mut self, (device, at): (&mut Device, u32), at_ms: i64) {
        self.expire_before((device, at), at_ms);
        let end_ms = at_ms.max(self.closed_ms());
        match device.life {
            Life::AtRisk => {
                device.until_ms = end_ms.max(device.from_ms);
                self.post(device, device.group(), device.until_ms, LEAVE);
            }
            Life::Silent => {
                self.post(device, device.group(), end_ms, EXCUSE);
                if at_ms <= device.until_ms {
                    self.absences.take_back((device.until_ms, at));
                } else {
                    self.absences.heard((device.until_ms, at), at_ms);
                }
            }
            Life::Away => {}
        }
        device.life = Life::Away;
    }

    /// The device belongs to another group from `at_ms` on, or from the first moment still open.
    pub(crate) fn switch(&mut self, device: &mut Device, group: Group, at_ms: i64) {
        let old = device.group();
        device.set_group(group);
        match device.life {
            _ if old == group => {}
            Life::AtRisk => {
                let at_ms = at_ms.max(self.closed_ms()).max(device.from_ms).min(device.until_ms);
                self.post(device, old, at_ms, LEAVE);
                self.post(device, group, at_ms, JOIN);
                device.set_from(at_ms, at_ms, Gap::Shut);
            }
            Life::Silent => {
                // At once: a late sign of life may yet end the silence before `at_ms`.
                self.post(device, old, self.closed_ms(), EXCUSE);
                self.post(device, group, self.closed_ms(), MISS);
            }
            // The gap before was the other group's.
            Life::Away => device.set_from(device.from_ms, device.from_ms, Gap::Shut),
        }
    }

    /// The device goes by other names from `at_ms` on.
    pub(crate) fn rename(&mut self, device: &mut Device, names: SlotNames, at_ms: i64) {
        if device.life == Life::AtRisk {
            let at_ms = at_ms.max(self.closed_ms()).max(device.from_ms).min(device.until_ms);
            self.cohorts.rename(device, &names, at_ms);
        }
        device.names = names;
    }

    fn post(&mut self, device: &Device, group: Group, at_ms: i64, step: Step) {
        self.levels.post(group, at_ms, step);
        if step.active != 0 {
            self.cohorts.post(device, group, at_ms, step.active);
        }
    }

    /// Expires a device whose timer has not fired although a record tells of a later time.
    fn expire_before(&mut self, (device, at): (&mut Device, u32), at_ms: i64) {
        if device.life == Life::AtRisk && at_ms > device.until_ms {
            self.expire(device, at);
        }
    }

    fn expire(&mut self, device: &mut Device, at: u32) {
        self.post(device, device.group(), device.until_ms, EXPIRE);
        device.life = Life::Silent;
        self.miss(device, at, device.until_ms);
    }

    /// Sees to it that some timer looks at the device no later than its expiry.
    fn settle(&mut self, device: &mut Device, at: u32) {
        if device.life != Life::AtRisk {
            return;
        }
        if device.until_ms <= self.closed_ms() {
            return self.expire(device, at);
        }
        // The window of the expiry is not before that of the timer: no division to find it.
        if device.timer != 0 && device.until_ms > i64::from(device.timer) * self.window_ms {
            return;
        }
        device.timer = (self.levels.bucket(device.until_ms) / self.window_ms) as u32;
        self.timers.push(device.timer, at);
    }

    /// Closes every window that ends at or before `target_ms`.
    pub(crate) fn close_until(&mut self, target_ms: i64, devices: &mut Devices, rows: &mut Rows) {
        while self.closed_ms() < target_ms {
            self.levels.skip_empty(target_ms);
            let window = self.closed_ms();
            if window >= target_ms {
                break;
            }
            self.fire_timers(window, devices);
            let place = Place { window: time_of(window), evaluated: time_of(window) };
            self.begin_hour(place, rows);
            self.levels.close(|group, closed| {
                let health = rows.health(place, group);
                health.at_risk_ms += closed.at_risk_ms;
                health.devices_active += closed.active;
                health.devices_silent += closed.silent;
            });
        }
    }

    /// Counts who is there where a window is the first of an hour.
    fn begin_hour(&mut self, place: Place, rows: &mut Rows) {
        let window = place.window.as_millis();
        let hour_ms = window.div_euclid(HOUR_MS) * HOUR_MS;
        if window - self.window_ms >= hour_ms {
            return;
        }
        let hour = time_of(hour_ms);
        for ((group, cohort), devices) in self.cohorts.begin(window) {
            let key = HourKey { hour, evaluated: place.evaluated, group, cohort };
            rows.measures.hour(key, devices);
        }
    }

    fn fire_timers(&mut self, window: i64, devices: &mut Devices) {
        let number = u32::try_from(window / self.window_ms).unwrap_or(u32::MAX);
        while let Some((fired, due)) = self.timers.next(number) {
            for block in due.blocks() {
                for (place, &at) in block.iter().enumerate() {
                    if let Some(&soon) = block.get(place + LOOK_AHEAD_MAX) {
                        devices.prefetch(soon);
                    }
                    let device = devices.get_mut(at);
                    if device.timer == fired {
                        self.fire(device, at, window);
                    }
                }
            }
            self.timers.reuse(due);
        }
    }

    fn fire(&mut self, device: &mut Device, at: u32, window: i64) {
        device.timer = 0;
        if device.life == Life::AtRisk && self.levels.bucket(device.until_ms) <= window {
            self.expire(device, at);
        } else {
            self.settle(device, at);
        }
    }

    /// Time at risk in windows that are closed: rows of their own, evaluated now.
    fn add_late(&mut self, group: Group, from_ms: i64, until_ms: i64, rows: &mut Rows) {
        let until_ms = until_ms.min(self.closed_ms());
        let evaluated = time_of(self.closed_ms());
        let mut start = from_ms;
        for _ in 0..self.late_windows_max {
            if start >= until_ms {
                return;
            }
            let window = start.div_euclid(self.window_ms) * self.window_ms;
            let end = until_ms.min(window + self.window_ms);
            let place = Place { window: time_of(window), evaluated };
            rows.health(place, group).at_risk_ms += end - start;
            start = end;
        }
        self.cut += u64::from(start < until_ms);
    }

    pub(crate) const fn closed_ms(&self) -> i64 {
        self.levels.closed_ms()
    }

    /// Late stretches that were cut at the bound.
    pub(crate) const fn cut(&self) -> u64 {
        self.cut
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.timers.memory_bytes()
            + self.absences.memory_bytes()
            + self.cohorts.memory_bytes()
            + self.levels.memory_bytes()
    }
}
