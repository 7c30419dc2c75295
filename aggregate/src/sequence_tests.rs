//! Duplicates against a model that keeps every `seq` it ever saw.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::device::{Group, Identity, Sign};

const RANGES_MAX: usize = 3;

/// The contract, spelled out over plain sets.
#[derive(Default)]
struct Model {
    seen: BTreeSet<u64>,
    /// Evicted: never remembered again.
    forgotten: BTreeSet<u64>,
    first: u64,
    newest_ms: i64,
}

impl Model {
    fn start(&mut self, seq: u64) {
        *self =
            Self { seen: [seq].into(), first: seq, newest_ms: self.newest_ms, ..Self::default() };
    }

    /// First of the last 64.
    fn low(&self) -> i128 {
        self.seen.last().map_or(0, |&last| i128::from(last) - 63)
    }

    /// Maximal runs of what is missing between the first of the sequence and the last 64.
    fn runs(&self) -> Vec<Vec<u64>> {
        let mut runs: Vec<Vec<u64>> = Vec::new();
        for seq in (self.first..).take_while(|&seq| i128::from(seq) < self.low()) {
            if self.seen.contains(&seq) || self.forgotten.contains(&seq) {
                continue;
            }
            match runs.last_mut() {
                Some(run) if run.last() == Some(&(seq - 1)) => run.push(seq),
                _ => runs.push(vec![seq]),
            }
        }
        runs
    }

    fn offer(&mut self, seq: u64, at_ms: i64) -> Seen {
        let verdict = self.verdict(seq, at_ms);
        match verdict {
            Seen::New if self.seen.is_empty() => self.start(seq),
            Seen::Restarted => self.start(seq),
            Seen::New => drop(self.seen.insert(seq)),
            Seen::Duplicate | Seen::Stale => {}
        }
        let runs = self.runs();
        for run in &runs[..runs.len().saturating_sub(RANGES_MAX)] {
            self.forgotten.extend(run);
        }
        self.newest_ms = self.newest_ms.max(at_ms);
        verdict
    }

    fn verdict(&self, seq: u64, at_ms: i64) -> Seen {
        if self.seen.is_empty() || i128::from(seq) >= self.low() {
            return if self.seen.contains(&seq) { Seen::Duplicate } else { Seen::New };
        }
        let runs = self.runs();
        if runs.first().is_none_or(|run| seq < run[0]) {
            return if at_ms > self.newest_ms { Seen::Restarted } else { Seen::Stale };
        }
        if runs.iter().flatten().any(|&missing| missing == seq) {
            Seen::New
        } else {
            Seen::Duplicate
        }
    }
}

fn check(offers: &[(u64, i64)]) {
    let mut model = Model { newest_ms: i64::MIN, ..Model::default() };
    let mut sequences = Sequences::new(NumberHash::new([1, 2]), RANGES_MAX);
    let mut device = Device::new(Identity::default(), Group::default());
    for (step, &(seq, at_ms)) in offers.iter().enumerate() {
        let seen = sequences.offer(&mut device, 7, seq, at_ms);
        device.note(at_ms, Sign::None);
        assert_eq!(seen, model.offer(seq, at_ms), "step {step} of {offers:?}");
        let ranges = sequences.missing.get(&7).map_or(0, Vec::len);
        assert_eq!(ranges, model.runs().len(), "ranges after step {step} of {offers:?}");
    }
}

#[test]
fn every_short_history_agrees_with_the_model() {
    const SEQS: [u64; 7] = [0, 1, 2, 63, 64, 66, 131];
    for code in 0..SEQS.len().pow(5) {
        let digit = |place: u32| SEQS[code / SEQS.len().pow(place) % SEQS.len()];
        for clock in [[1, 2, 3, 4, 5], [5, 4, 3, 2, 1]] {
            check(&std::array::from_fn::<_, 5, _>(|place| (digit(place as u32), clock[place])));
        }
    }
}

#[test]
fn the_end_of_the_range_of_seq_is_no_special_case() {
    let mut sequences = Sequences::new(NumberHash::new([1, 2]), RANGES_MAX);
    let mut device = Device::new(Identity::default(), Group::default());
    for (seq, expected) in [
        (u64::MAX - 200, Seen::New),
        (u64::MAX, Seen::New),
        (u64::MAX, Seen::Duplicate),
        (u64::MAX - 100, Seen::New),
        (u64::MAX - 100, Seen::Duplicate),
        (u64::MAX - 201, Seen::Stale),
    ] {
        assert_eq!(sequences.offer(&mut device, 7, seq, 0), expected, "{seq}");
        device.note(0, Sign::None);
    }
}

fn step() -> impl Strategy<Value = (u64, i64)> {
    // Mostly near the front, with jumps, late buffers and restarts.
    (prop_oneof![3 => 0_u64..80, 2 => 60_u64..400, 1 => 0_u64..2_000], 0_i64..50)
}

proptest! {
    #[test]
    fn any_history_agrees_with_the_model(offers in prop::collection::vec(step(), 1..120)) {
        check(&offers);
    }

    #[test]
    fn a_climbing_history_with_gaps_agrees_with_the_model(
        steps in prop::collection::vec((1_u64..90, 0_u64..200), 1..80)
    ) {
        let mut front = 300;
        let mut offers = Vec::new();
        for (ahead, behind) in steps {
            front += ahead;
            offers.push((front, front as i64));
            offers.push((front - behind, (front - behind) as i64));
        }
        check(&offers);
    }
}
