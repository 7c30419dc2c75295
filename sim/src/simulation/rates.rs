//! When a device has its next fault, and of which kind.
//!
//! A rate that changes with the hour is drawn at its greatest and then thinned (P. A. W. Lewis and
//! G. S. Shedler, "Simulation of nonhomogeneous Poisson processes by thinning", 1979).

use schemas::{Signal, Span, Timestamp};

use super::{DAY_US, Simulation, Step};
use crate::life::gamma;
use crate::rng::{Rng, mix};
use crate::scenario::{ChangePlan, Scenario};

/// How rates vary with time, for all devices alike.
#[derive(Clone, Debug, Default)]
pub(super) struct Hours {
    /// Factor on all rates, hour by hour from the start, over and over; empty: always 1.
    series: Vec<f64>,
    greatest: f64,
    /// Whether anything varies at all.
    varies: bool,
}

impl Hours {
    pub(super) fn of(scenario: &Scenario) -> Self {
        let series = scenario.life.hours(scenario.seed, scenario.start);
        let greatest = series.iter().copied().fold(0.0, f64::max);
        let limited = scenario.changes.iter().any(|plan| plan.effect_hours.is_some());
        let varies = !series.is_empty() || !scenario.life.waves.is_empty() || limited;
        Self { greatest: if series.is_empty() { 1.0 } else { greatest }, series, varies }
    }

    fn at(&self, since_start: Span) -> f64 {
        let hour = since_start.0.div_euclid(Span::hours(1).0) as usize;
        if self.series.is_empty() { 1.0 } else { self.series[hour % self.series.len()] }
    }
}

impl Simulation {
    /// The factor on all rates of a device: its ring's, and what makes it frailer than others.
    pub(super) fn frailty(&self, number: u32, ring: u8) -> f64 {
        let base = self.scenario.rings[usize::from(ring)].base_ratio;
        let Some(shape) = self.scenario.life.frailty_shape else { return base };
        let mut draws = Rng::new(mix(self.scenario.seed ^ 0x6672_6169_6c00) ^ u64::from(number));
        base * gamma(&mut draws, shape)
    }

    /// The rates of a device at their greatest, and at `now` the part of them that holds.
    pub(super) fn fault_rates(&self, device: u32) -> Vec<f64> {
        self.rates_at(device, None)
    }

    fn rates_at(&self, device: u32, now: Option<Timestamp>) -> Vec<f64> {
        let state = &self.devices[device as usize];
        let exposed = state.exposed & state.prone;
        let changes: Vec<usize> =
            (0..self.effects.len()).filter(|change| exposed & (1 << change) != 0).collect();
        let hour = now.map_or(self.hours.greatest, |now| self.hours.at(now - self.scenario.start));
        let of_signal = |(position, (signal, base)): (usize, &(Signal, f64))| {
            let own = self.own_rate(device, *signal).unwrap_or(*base * state.frailty);
            let harmed =
                changes.iter().fold(own, |rate, &change| rate * self.effect(change, position, now));
            harmed * hour * self.wave(*signal, now)
        };
        self.rates.iter().enumerate().map(of_signal).collect()
    }

    /// The rate of a device that crashes for a reason of its own.
    fn own_rate(&self, device: u32, signal: Signal) -> Option<f64> {
        let chronic = self.scenario.life.chronic.as_ref()?;
        let mut rng = Rng::new(mix(self.scenario.seed ^ 0x6368_726f_6e00) ^ u64::from(device));
        (chronic.kind == signal.name() && rng.chance(chronic.share))
            .then_some(chronic.per_day / DAY_US)
    }

    /// What a change multiplies a rate by: at `now`, or at most.
    fn effect(&self, change: usize, position: usize, now: Option<Timestamp>) -> f64 {
        let factor = self.effects[change][position];
        match (self.scenario.changes[change].effect_hours, now) {
            (None, _) => factor,
            (Some(_), None) => factor.max(1.0),
            (Some(hours), Some(now)) if is_working(now, hours) => factor,
            (Some(_), Some(_)) => 1.0,
        }
    }

    /// What disturbs the whole fleet: at `now`, or at most.
    fn wave(&self, signal: Signal, now: Option<Timestamp>) -> f64 {
        let factor = |wave: &crate::life::Wave| {
            let factor = wave.factor.get(signal.name()).copied().unwrap_or(1.0);
            let Some(now) = now else { return factor.max(1.0) };
            let begins = self.scenario.at(wave.from_h);
            let ends = self.scenario.at(wave.from_h + wave.hours);
            if (begins..ends).contains(&now) { factor } else { 1.0 }
        };
        self.scenario.life.waves.iter().map(factor).product()
    }

    pub(super) fn draw_fault(&mut self, from: Timestamp, device: u32) {
        let rate: f64 = self.fault_rates(device).iter().sum();
        let wait_us = self.rng.wait(rate);
        let rates_drawn = self.devices[device as usize].rates_drawn;
        self.after(from, wait_us, device, Step::Fault { rates_drawn });
    }

    /// The kind of fault that happens now; none if the rates are not at their greatest and chance
    /// wants it so.
    pub(super) fn pick_fault(&mut self, now: Timestamp, device: u32) -> Option<usize> {
        let rates = self.fault_rates(device);
        let kind = self.rng.pick(&rates);
        if self.hours.varies {
            let actual = self.rates_at(device, Some(now))[kind];
            if !self.rng.chance(actual / rates[kind]) {
                return None;
            }
        }
        Some(kind)
    }
}

/// Whether a moment lies in these hours of a day from Monday to Friday.
fn is_working(now: Timestamp, [from, to]: [f64; 2]) -> bool {
    let day = now.0.div_euclid(Span::days(1).0);
    let hour = now.0.rem_euclid(Span::days(1).0) as f64 / Span::hours(1).0 as f64;
    (day + crate::life::MONDAY_OF_1970).rem_euclid(7) <= crate::life::FRIDAY
        && (from..to).contains(&hour)
}

/// Whether a change can harm the device of those traits.
pub(super) fn can_harm(plan: &ChangePlan, value_of: impl Fn(&str) -> Option<String>) -> bool {
    plan.only.iter().all(|(dimension, wanted)| value_of(dimension).as_deref() == Some(wanted))
}
