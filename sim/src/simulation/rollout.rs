//! How a change reaches a device, and what it does there.

use schemas::{Signal, Span, Timestamp};

use super::{Simulation, Step};
use crate::scenario::hours_span;

/// A device is offered a change this long before it begins to install it.
const OFFER_LEAD_US: f64 = 900e6;

impl Simulation {
    pub(super) fn plan_installs(&mut self, number: u32) {
        let ring = &self.scenario.rings[usize::from(self.devices[number as usize].ring)].name;
        let mut offers = Vec::new();
        for (change, plan) in self.scenario.changes.iter().enumerate() {
            if let Some(start) = plan.rings.iter().find(|planned| planned.ring == *ring) {
                let begins_h = start.starts_h + plan.ramp_h * self.rng.unit();
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
        let ramp_us = hours_span(plan.ramp_h).0 as f64;
        let install_us = self.rng.between(f64::from(shortest), f64::from(longest)) * 1e6;
        self.after(now, install_us, device, Step::Finish { change });
        if let Some(hours) = withdrawn_h {
            let begins = self.scenario.at(hours).max(now + Span(install_us as i64));
            let wait_us = self.rng.unit() * ramp_us;
            self.after(begins, wait_us, device, Step::RollBack { change });
        }
    }

    pub(super) fn finish(&mut self, now: Timestamp, device: u32, change: u8) {
        let plan = &self.scenario.changes[usize::from(change)];
        let (brick_share, failure_share) = (plan.brick_share, plan.install_failure_share);
        if self.rng.chance(brick_share) {
            self.devices[device as usize].gone = true;
        } else if self.rng.chance(failure_share) {
            self.update(now, device, change, "failed");
        } else {
            self.boot(now, device, "update");
            self.update(now, device, change, "installed");
        }
    }

    /// Changes what a device is exposed to, and with it the rates of its faults.
    pub(super) fn expose(&mut self, now: Timestamp, device: u32, change: impl Fn(u64) -> u64) {
        let state = &mut self.devices[device as usize];
        state.exposed = change(state.exposed);
        state.rates_drawn += 1;
        self.draw_fault(now, device);
    }

    pub(super) fn fault_rates(&self, device: u32) -> Vec<f64> {
        let exposed = self.devices[device as usize].exposed;
        let taken = |change: &usize| exposed & (1 << change) != 0;
        let of_signal = |(position, (_, base)): (usize, &(Signal, f64))| {
            let changes = (0..self.effects.len()).filter(taken);
            changes.fold(*base, |rate, change| rate * self.effects[change][position])
        };
        self.rates.iter().enumerate().map(of_signal).collect()
    }

    pub(super) fn draw_fault(&mut self, now: Timestamp, device: u32) {
        let rate: f64 = self.fault_rates(device).iter().sum();
        let wait_us = self.rng.wait(rate);
        let rates_drawn = self.devices[device as usize].rates_drawn;
        self.after(now, wait_us, device, Step::Fault { rates_drawn });
    }
}
