//! One window in, alert transitions out: the detector, the policy and the lifecycle together.
//!
//! ```text
//! RegistryDelta ─► register ─┐
//!                            ▼
//! WindowTotals ──► evaluate: arms ─► terms of every test ─► levels ─► AlertBook ─► Vec<Alert>
//!                            └─► baseline, past windows: for changes and onsets still to come
//! ```
//! Windows come once each, in order; registry records before the window they take effect in. The
//! engine reads no clock: the same calls give the same bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemas::delta::{ChangeSet, RegistryDelta};
use schemas::totals::{ChangeTotals, Onsets};
use schemas::{Alert, ChangeType, Signal, Timestamp, WindowTotals};

use crate::book::AlertBook;
use crate::config::DetectionConfig;
use crate::detector::ONSETS;
use crate::detector::attempt::Against;
use crate::detector::baseline::Baseline;
use crate::detector::cohort::Spread;
use crate::detector::pair::{Pair, Terms};
use crate::detector::past::{Found, Group, PastWindows};
use crate::detector::signature::KnownSignatures;
use crate::detector::strata::GroupHours;
use crate::detector::tally::{ChangeNumber, RingArms, Sum, Tally};
use crate::lifecycle::Patience;
use crate::metrics;

mod attribution;
mod change;
mod clearance;
mod cohorts;
mod course;
mod durations;
mod judge;
mod process;
mod returns;
mod signatures;
mod stored;

use change::{Change, Status};
pub use clearance::{Clearance, Clearing};
pub use course::{ChangeRow, Hits, Mark, Reached};
pub use durations::DurationRow;
use process::Process;
pub use stored::StateError;

/// Attempts of an earlier change from which it says more than the configured bound.
const ATTEMPTS_MIN: i64 = 30;

/// All state of detection: evidence, history, open alerts.
#[derive(Clone, Debug)]
pub struct Engine {
    config: DetectionConfig,
    rings: BTreeMap<String, usize>,
    numbers: BTreeMap<Arc<str>, ChangeNumber>,
    changes: Vec<Change>,
    baseline: Baseline,
    past: PastWindows,
    group_hours: GroupHours,
    /// How the devices of each ring were spread over cohorts in the last whole hour.
    spreads: Vec<Spread>,
    known: KnownSignatures,
    book: AlertBook,
    process: Process,
    partial: bool,
}

impl Engine {
    /// An engine that has seen nothing. The configuration must have passed its check.
    pub fn new(config: DetectionConfig) -> Self {
        let numbered = config.rings.iter().cloned().zip(0..);
        let patience =
            Patience { pending_for: config.pending_for, resolve_after: config.resolve_after };
        Self {
            rings: numbered.collect(),
            numbers: BTreeMap::new(),
            changes: Vec::new(),
            baseline: Baseline::new(config.baseline, config.rings.len()),
            past: PastWindows::new(config.late_max, config.sets_max),
            group_hours: GroupHours::new(config.baseline, config.rings.len()),
            spreads: vec![Spread::default(); config.rings.len()],
            known: KnownSignatures::default(),
            book: AlertBook::new(patience),
            process: Process::new(),
            partial: false,
            config,
        }
    }

    /// Takes in a registry record: the latest of a change counts.
    pub fn register(&mut self, registry: &RegistryDelta) {
        let status = match &registry.record {
            None => Status::Removed,
            Some(json) => match serde_json::from_str(json) {
                Ok(record) => Status::Registered(record),
                Err(error) => {
                    tracing::error!(offset = registry.offset, %error, "registry record unreadable");
                    return metrics::registry_unreadable().increment(1);
                }
            },
        };
        if let Some(number) = self.track(&Arc::from(registry.change.as_str())) {
            self.changes[number].status = status;
        }
    }

    /// Takes in a window, and returns the alert transitions at its end, by change, ring and signal;
    /// behind them those of the change process.
    pub fn evaluate(&mut self, totals: &WindowTotals) -> Vec<Alert> {
        let seen = totals.groups.keys().flat_map(|(_, set)| set.iter());
        for change in seen.chain(totals.changes.keys().map(|(_, change)| change)) {
            self.track(change);
        }
        if totals.repartitioned {
            self.end_pairs();
        }
        let (tally, groups) = self.tally(totals);
        self.add_spreads(totals);
        self.start_pairs(&tally, totals);
        self.add_cohort_onsets(totals);
        self.add_signatures(&tally, totals);
        self.add_durations(totals);
        self.add_window(totals.start, &tally, &totals.changes);
        self.add_late(&totals.late);
        self.baseline.add(totals.start, tally.rings());
        self.add_returns(totals);
        self.past.push(totals.start, groups);
        self.partial = totals.partial;
        metrics::windows().increment(1);
        let mut told = self.judge(totals.end);
        self.clear(totals.end);
        told.extend(self.watch_process(totals));
        told
    }

    /// The last transition of every open alert, by change, ring and signal; behind them those of
    /// the change process.
    pub fn open_alerts(&self) -> Vec<&Alert> {
        let mut open = self.book.open_alerts();
        open.extend(self.process.open_alerts());
        open
    }

    /// The number of a change, given now if it is new; `None` beyond the bound.
    fn track(&mut self, change: &Arc<str>) -> Option<ChangeNumber> {
        if let Some(&number) = self.numbers.get(change) {
            return Some(number);
        }
        if self.changes.len() >= self.config.changes_max {
            metrics::changes_refused().increment(1);
            return None;
        }
        self.numbers.insert(Arc::clone(change), self.changes.len());
        self.changes.push(Change::new());
        Some(self.changes.len() - 1)
    }

    /// The window's arms, and its groups to remember. Rings that are not configured are in no arm.
    fn tally(&mut self, totals: &WindowTotals) -> (Tally, Vec<Group>) {
        let mut tally = Tally::new(self.rings.len());
        let mut groups = Vec::with_capacity(totals.groups.len());
        for ((ring, set), group) in &totals.groups {
            let Some(&ring) = self.rings.get(&**ring) else { continue };
            let numbers = &self.numbers;
            let number = |name: &str| numbers.get(name).copied();
            let Some(members) = self.past.members(set, number) else {
                metrics::groups_refused().increment(1);
                continue;
            };
            tally.add_exposure(ring, &members, group.at_risk_ms, group.devices_active);
            let mut sum = Sum { at_risk_ms: group.at_risk_ms, ..Sum::default() };
            for (&signal, &onsets) in &group.onsets {
                tally.add_onsets(ring, &members, signal, onsets);
                sum.count(signal, onsets.affected);
            }
            if !self.group_hours.add(totals.start, ring, &members, &sum) {
                metrics::strata_refused().increment(1);
            }
            groups.push(Group { ring, members, at_risk_ms: group.at_risk_ms });
        }
        (tally, groups)
    }

    /// Ends the tests that have begun: who is exposed to their changes is not known any more.
    fn end_pairs(&mut self) {
        let pairs = self.changes.iter_mut().flat_map(|change| change.pairs.values_mut());
        let ended: u64 = pairs.map(|pair| u64::from(pair.end())).sum();
        metrics::tests_ended().increment(ended);
        tracing::warn!(tests = ended, "devices have moved between partitions: open tests end");
    }

    /// Begins the tests of every change x ring that has its first exposure in this window.
    fn start_pairs(&mut self, tally: &Tally, totals: &WindowTotals) {
        let attempted = totals.changes.iter().filter(|(_, counts)| attempts_ended(counts) > 0);
        let mut begun: Vec<(ChangeNumber, usize)> = attempted
            .filter_map(|((ring, change), _)| {
                Some((*self.numbers.get(change)?, *self.rings.get(&**ring)?))
            })
            .collect();
        for number in 0..self.changes.len() {
            let exposed = tally.arms(number).filter(|arms| arms.treated.at_risk_ms > 0);
            begun.extend(exposed.map(|arms| (number, arms.ring)));
        }
        // In rollout order: what is left of a budget depends on the order of the grants.
        begun.sort_unstable();
        for (number, ring) in begun {
            let change = &self.changes[number];
            if change.is_watched() && !change.pairs.contains_key(&ring) {
                self.start_pair(number, ring, totals.start);
            }
        }
    }

    /// Begins the tests of a change in a ring: weight, r0 and what attempts are held against are
    /// fixed for good.
    fn start_pair(&mut self, number: ChangeNumber, ring: usize, exposed_from: Timestamp) {
        let attempts = self.attempts_against(number, ring);
        let durations = self.earlier_installs(&attempts, ring);
        let change = &mut self.changes[number];
        let terms = Terms {
            ring_weight: change.grant(ring, &self.config.rings),
            within_weight: self.baseline.within_weight(ring),
            margin: self.config.margin,
            attempts,
            exposed_from,
            losses_before: self.baseline.losses(ring),
            spread: self.spreads[ring].clone(),
            durations,
        };
        let pair = Pair::new(terms, |signal| match signal {
            ONSETS => self.baseline.return_ratio(ring),
            onset => self.baseline.ratio(ring, onset),
        });
        change.pairs.insert(ring, pair);
    }

    /// What failed attempts of a change in a ring are held against: those of the newest earlier
    /// change of its type there that was not taken back and fails no more than it should; the
    /// configured bound where there is none with enough of them.
    fn attempts_against(&self, number: ChangeNumber, ring: usize) -> Against {
        let change_type = self.changes[number].change_type();
        let names = self.numbers.iter().filter(|&(_, &earlier)| earlier < number);
        let comparable = names.filter_map(|(name, &earlier)| {
            let change = &self.changes[earlier];
            let ended = change.pairs.get(&ring)?.attempts();
            let raised = self.book.is_raised(&(Arc::clone(name), ring, Signal::InstallFailure));
            let alike = change_type != ChangeType::Unknown && change.change_type() == change_type;
            let usable = alike && change.is_watched() && !raised;
            (usable && ended.total() >= ATTEMPTS_MIN).then_some((earlier, name, ended))
        });
        match comparable.max_by_key(|&(earlier, ..)| earlier) {
            Some((_, change, ended)) => {
                Against::Earlier { change: Arc::clone(change), ended, margin: self.config.margin }
            }
            None => Against::Bound { share: self.config.install_failure_bound },
        }
    }

    /// Adds the window to every pair of a change that is still watched.
    fn add_window(&mut self, window: Timestamp, tally: &Tally, totals: &Attempts) {
        for_each_pair(&mut self.changes, tally, |number, pair, arms| {
            pair.add_exposure(arms);
            pair.add_onsets(window, arms, |signal| tally.first_at(number, arms.ring, signal));
        });
        for ((ring, change), counts) in totals {
            let ring = self.rings.get(&**ring);
            let change = self.numbers.get(change).map(|&number| &mut self.changes[number]);
            if let (Some(ring), Some(change)) = (ring, change)
                && change.is_watched()
                && let Some(pair) = change.pairs.get_mut(ring).filter(|pair| !pair.has_ended())
            {
                pair.add_attempts(counts);
            }
        }
    }

    /// Adds late onsets, each window of event time as one term with its own exposure.
    fn add_late(&mut self, late: &BTreeMap<(Timestamp, Arc<str>, ChangeSet, Signal), Onsets>) {
        let mut rest = late.iter().peekable();
        while let Some(((window, ..), _)) = rest.peek() {
            let window = *window;
            let (mut tally, found) = self.past.exposure(window, self.rings.len());
            if found == Found::Elsewhere {
                metrics::late_elsewhere().increment(1);
            }
            let of_window = |(key, _): &(&(Timestamp, _, _, _), _)| key.0 == window;
            while let Some(((_, ring, set, signal), onsets)) = rest.next_if(of_window) {
                let Some(&ring) = self.rings.get(&**ring) else { continue };
                let numbers = &self.numbers;
                let members: Vec<_> =
                    set.iter().filter_map(|name| numbers.get(name).copied()).collect();
                tally.add_onsets(ring, &members, *signal, *onsets);
                let mut sum = Sum::default();
                sum.count(*signal, onsets.affected);
                if !self.group_hours.add_to(window, ring, &members, &sum) {
                    metrics::strata_refused().increment(1);
                }
                if signal.is_onset() {
                    self.baseline.add_late(window, ring, *signal as usize, onsets.affected);
                }
            }
            for_each_pair(&mut self.changes, &tally, |number, pair, arms| {
                pair.add_onsets(window, arms, |signal| tally.first_at(number, arms.ring, signal));
            });
        }
    }
}

/// Visits every pair of a watched change with the arms of its ring.
fn for_each_pair(
    changes: &mut [Change],
    tally: &Tally,
    mut visit: impl FnMut(ChangeNumber, &mut Pair, &RingArms),
) {
    for (number, change) in changes.iter_mut().enumerate() {
        if change.is_watched() && !change.pairs.is_empty() {
            for arms in tally.arms(number) {
                let pair = change.pairs.get_mut(&arms.ring);
                if let Some(pair) = pair.filter(|pair| !pair.has_ended()) {
                    visit(number, pair, &arms);
                }
            }
        }
    }
}

type Attempts = BTreeMap<(Arc<str>, Arc<str>), ChangeTotals>;

const fn attempts_ended(counts: &ChangeTotals) -> i64 {
    counts.attempts_failed + counts.attempts_succeeded
}
