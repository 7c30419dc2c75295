//! The arms of one window: sums by ring, and by change x ring of the treated.
//!
//! In: groups (ring x set of changes) with exposure and onsets. Out: for a change, each ring's
//! treated, its untreated, and the untreated of the later rings. Control = whole minus treated,
//! in integers, so arms are exact for any number of overlapping changes.

use std::ops::{AddAssign, Sub};

use schemas::totals::Onsets;
use schemas::{Signal, Timestamp};

use super::ONSETS;

/// Number of a tracked change, in the order of first sight.
pub type ChangeNumber = usize;

/// What was counted of a set of devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    pub at_risk_ms: i64,
    /// At risk at the window's start.
    pub devices: i64,
    /// Newly hit devices by number of the onset signal.
    pub onsets: [i64; ONSETS],
}

impl Sum {
    /// Adds newly hit devices; what is no onset signal is tested elsewhere, or not at all.
    pub const fn count(&mut self, signal: Signal, affected: i64) {
        if signal.is_onset() {
            self.onsets[signal as usize] += affected;
        }
    }
}

impl AddAssign<&Self> for Sum {
    fn add_assign(&mut self, other: &Self) {
        self.at_risk_ms += other.at_risk_ms;
        self.devices += other.devices;
        for (count, more) in self.onsets.iter_mut().zip(&other.onsets) {
            *count += more;
        }
    }
}

impl Sub for &Sum {
    type Output = Sum;
    fn sub(self, other: Self) -> Sum {
        let mut left = *self;
        left.at_risk_ms -= other.at_risk_ms;
        left.devices -= other.devices;
        for (count, less) in left.onsets.iter_mut().zip(&other.onsets) {
            *count -= less;
        }
        left
    }
}

/// One ring of a change: who is treated, and both controls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingArms {
    pub ring: usize,
    pub treated: Sum,
    /// Devices of the same ring without the change.
    pub within: Sum,
    /// Devices of all later rings without the change, pooled: as strata they would share the
    /// treated onsets, and likelihoods that share data do not add.
    pub later: Sum,
}

/// Sums of one window.
#[derive(Clone, Debug)]
pub struct Tally {
    rings: Vec<Sum>,
    /// By number of the change, then by ring; empty for a change that no group has.
    treated: Vec<Vec<Treated>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Treated {
    sum: Sum,
    first_at: [Option<Timestamp>; ONSETS],
}

impl Tally {
    pub fn new(ring_count: usize) -> Self {
        Self { rings: vec![Sum::default(); ring_count], treated: Vec::new() }
    }

    /// Adds exposure, and devices at risk at the window's start, of one group.
    pub fn add_exposure(
        &mut self,
        ring: usize,
        set: &[ChangeNumber],
        at_risk_ms: i64,
        devices: i64,
    ) {
        self.add(ring, set, &Sum { at_risk_ms, devices, ..Sum::default() });
    }

    /// Adds onsets of one group. What is no onset signal is tested elsewhere, or not at all.
    pub fn add_onsets(
        &mut self,
        ring: usize,
        set: &[ChangeNumber],
        signal: Signal,
        onsets: Onsets,
    ) {
        if !signal.is_onset() || onsets.affected == 0 {
            return;
        }
        self.rings[ring].count(signal, onsets.affected);
        for &change in set {
            let treated = self.treated_mut(change, ring);
            treated.sum.count(signal, onsets.affected);
            let first_at = &mut treated.first_at[signal as usize];
            *first_at = first_at.iter().chain(&onsets.first_at).min().copied();
        }
    }

    /// Adds what was counted of one group.
    pub fn add(&mut self, ring: usize, set: &[ChangeNumber], sum: &Sum) {
        self.rings[ring] += sum;
        for &change in set {
            self.treated_mut(change, ring).sum += sum;
        }
    }

    fn treated_mut(&mut self, change: ChangeNumber, ring: usize) -> &mut Treated {
        if self.treated.len() <= change {
            self.treated.resize_with(change + 1, Vec::new);
        }
        let rings = &mut self.treated[change];
        rings.resize(self.rings.len(), Treated::default());
        &mut rings[ring]
    }

    /// Sums over all devices of each ring.
    pub fn rings(&self) -> &[Sum] {
        &self.rings
    }

    /// Every ring's arms for a change, the last ring first.
    pub fn arms(&self, change: ChangeNumber) -> impl Iterator<Item = RingArms> {
        let mut later = Sum::default();
        self.rings.iter().enumerate().rev().map(move |(ring, whole)| {
            let treated = self.treated(change, ring).map_or(Sum::default(), |found| found.sum);
            let within = whole - &treated;
            let arms = RingArms { ring, treated, within, later };
            later += &within;
            arms
        })
    }

    /// Event time of the first treated onset in this window.
    pub fn first_at(&self, change: ChangeNumber, ring: usize, signal: usize) -> Option<Timestamp> {
        self.treated(change, ring)?.first_at[signal]
    }

    fn treated(&self, change: ChangeNumber, ring: usize) -> Option<&Treated> {
        self.treated.get(change)?.get(ring)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arms_follow_from_sets_by_addition() {
        let mut tally = Tally::new(3);
        let groups: [(usize, &[usize], i64, i64); 6] = [
            (0, &[0], 10, 1),
            (0, &[0, 1], 20, 2),
            (0, &[], 30, 3),
            (1, &[1], 40, 4),
            (1, &[0], 50, 5),
            (2, &[], 60, 6),
        ];
        for (ring, set, at_risk_ms, affected) in groups {
            tally.add_exposure(ring, set, at_risk_ms, affected);
            let onsets = Onsets { affected, first_at: Some(Timestamp(affected)) };
            tally.add_onsets(ring, set, Signal::AppCrash, onsets);
            tally.add_onsets(ring, set, Signal::InstallFailure, onsets);
        }
        let exposures = |change| {
            let arms = tally.arms(change);
            arms.map(|a| (a.treated.at_risk_ms, a.within.at_risk_ms, a.later.at_risk_ms)).collect()
        };
        let found: [Vec<_>; 2] = [exposures(0), exposures(1)];
        assert_eq!(found[0], [(0, 60, 0), (50, 40, 60), (30, 30, 100)]);
        assert_eq!(found[1], [(0, 60, 0), (40, 50, 60), (20, 40, 110)]);
        let signal = Signal::AppCrash as usize;
        let first = tally.arms(0).last().map(|arms| arms.treated.onsets[signal]);
        assert_eq!(first, Some(3));
        assert_eq!(tally.first_at(1, 0, signal), Some(Timestamp(2)));
        assert_eq!(tally.first_at(1, 2, signal), None);
    }
}
