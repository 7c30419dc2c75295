//! How a change reaches a device, and what it does there.

use schemas::{Signal, Span, Timestamp};

use super::{Simulation, Step};
use crate::scenario::hours_span;

/// A device is offered a change this long before it begins to install it.
const OFFER_LEAD_US: f64 = 900e6;
/// Who updates and shuts down is off between this and this after it began.
const SHUT_DOWN_US: [f64; 2] = [60e6, 240e6];

impl Simulation {
    pub(super) fn plan_installs(&mut self, number: u32) {
        let ring = &self.scenario.rings[usize::from(self.devices[number as usize].ring)].name;
        let mut offers = Vec::new();
        for (change, plan) in self.scenario.changes.iter().enumerate() {
            if let Some(start) = plan.rings.iter().find(|planned| planned.ring == *ring) {
                let begins_h = start.starts_h + plan.ramp_h * self.rng.unit();
                if plan.reach < 1.0 && !self.rng.chance(plan.reach) {
                    continue;
                }
                offers.push((self.scenario.at(begins_h), change as u8));
            }
        }
        for (begins, change) in offers {
            self.after(begins, 0.0, number, Step::Install { change });
            let offered = begins - Span(OFFER_LEAD_US as i64);
            if offered >= self.scenario.start {
                self.after(offered, 0.0, number, Step::Offer { change });
            }
        }
    }

    pub(super) fn is_withdrawn(&self, now: Timestamp, change: u8) -> bool {
        let plan = &self.scenario.changes[usize::from(change)];
        plan.withdrawn_h.is_some_and(|hours| now >= self.scenario.at(hours))
    }

    pub(super) fn install(&mut self, now: Timestamp, device: u32, change: u8) {
        self.update(now, device, change, "installing");
        self.expose(now, device, |exposed| exposed | (1 << change));
        let plan = &self.scenario.changes[usize::from(change)];
        let ([shortest, longest], withdrawn_h) = (plan.install_s, plan.withdrawn_h);
        let (restarts, shut_down) = (plan.restarts, plan.shut_down);
        let ramp_us = hours_span(plan.ramp_h).0 as f64;
        let install_us = self.rng.between(f64::from(shortest), f64::from(longest)) * 1e6;
        self.after(now, install_us, device, Step::Finish { change });
        for boot in 1..restarts {
            let share = f64::from(boot) / f64::from(restarts);
            self.after(now, install_us * share, device, Step::UpdateBoot);
        }
        if shut_down.is_some_and(|away| self.rng.chance(away.share)) {
            let wait_us = self.rng.between(SHUT_DOWN_US[0], SHUT_DOWN_US[1]);
            self.after(now, wait_us, device, Step::ShutDown { change });
        }
        if let Some(hours) = withdrawn_h {
            let begins = self.scenario.at(hours).max(now + Span(install_us as i64));
            let wait_us = self.rng.unit() * ramp_us;
            self.after(begins, wait_us, device, Step::RollBack { change });
        }
    }

    pub(super) fn shut_down(&mut self, now: Timestamp, device: u32, change: u8) {
        let Some(away) = self.scenario.changes[usize::from(change)].shut_down else { return };
        if self.rng.chance(away.offline_share) {
            self.report(now, device, "lifecycle", |line, _| {
                line.text("state", "offline");
            });
        }
        let [shortest, longest] = away.hours;
        let hours = self.rng.between(shortest, longest);
        self.devices[device as usize].away_until = now + hours_span(hours);
    }

    pub(super) fn finish(&mut self, now: Timestamp, device: u32, change: u8) {
        let plan = &self.scenario.changes[usize::from(change)];
        let (brick_share, failure_share) = (plan.brick_share, plan.install_failure_share);
        let loop_share = plan.boot_loop_share;
        let prone = self.devices[device as usize].prone & (1 << change) != 0;
        if self.rng.chance(brick_share) && prone {
            self.devices[device as usize].gone = true;
        } else if self.rng.chance(failure_share) && prone {
            self.update(now, device, change, "failed");
        } else {
            self.boot(now, device, "update");
            self.update(now, device, change, "installed");
            if prone {
                self.harm(now, device, change);
                if loop_share > 0.0 && self.rng.chance(loop_share) {
                    self.devices[device as usize].looping = true;
                    self.loop_boot(now, device, change);
                }
            }
        }
    }

    /// The faults that the installation itself brings.
    fn harm(&mut self, now: Timestamp, device: u32, change: u8) {
        let plan = &self.scenario.changes[usize::from(change)];
        let within_us = hours_span(plan.harm_within_h).0 as f64;
        let kinds = plan.harm.iter();
        let harm: Vec<(Signal, f64)> =
            kinds.filter_map(|(kind, share)| Some((Signal::from_name(kind)?, *share))).collect();
        for (signal, share) in harm {
            if self.rng.chance(share) {
                let wait_us = self.rng.unit() * within_us;
                self.after(now, wait_us, device, Step::Again { signal, left: 0 });
            }
        }
    }

    pub(super) fn loop_boot(&mut self, now: Timestamp, device: u32, change: u8) {
        let state = &self.devices[device as usize];
        if !state.looping || state.exposed & (1 << change) == 0 {
            return;
        }
        self.boot(now, device, "crash");
        let [shortest, longest] = self.scenario.changes[usize::from(change)].boot_loop_s;
        let wait_us = self.rng.between(f64::from(shortest), f64::from(longest)) * 1e6;
        self.after(now, wait_us, device, Step::LoopBoot { change });
    }

    pub(super) fn roll_back(&mut self, now: Timestamp, device: u32, change: u8) {
        self.update(now, device, change, "rolled_back");
        self.expose(now, device, |exposed| exposed & !(1 << change));
        if std::mem::take(&mut self.devices[device as usize].looping) {
            self.heartbeat(now, device);
            self.after(now, self.boot_gap_us(), device, Step::Boot);
        }
    }

    /// Changes what a device is exposed to, and with it the rates of its faults.
    pub(super) fn expose(&mut self, now: Timestamp, device: u32, change: impl Fn(u64) -> u64) {
        let state = &mut self.devices[device as usize];
        state.exposed = change(state.exposed);
        state.rates_drawn += 1;
        self.draw_fault(now, device);
    }
}
