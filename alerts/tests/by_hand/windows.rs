//! Windows written by hand, registry records, and the rows that come of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use alerts::{DetectionConfig, Engine, VerdictRow};
use schemas::delta::{ChangeSet, RegistryDelta};
use schemas::totals::{GroupTotals, Onsets};
use schemas::{Signal, Span, Timestamp, WindowTotals};

pub(crate) fn set(names: &[&str]) -> ChangeSet {
    names.iter().map(|&name| Arc::from(name)).collect()
}

pub(crate) fn start(window: i64) -> Timestamp {
    Timestamp::YEAR_2000 + Span::minutes(window)
}

pub(crate) fn engine(changes_max: usize) -> Engine {
    let rings = ["test", "first", "last"].map(str::to_owned).to_vec();
    Engine::new(DetectionConfig { changes_max, ..DetectionConfig::new(rings) })
}

/// A window with these groups: ring, set, devices, onsets.
pub(crate) type Onset = (Signal, i64);
pub(crate) fn window(number: i64, groups: &[(&str, &[&str], i64, &[Onset])]) -> WindowTotals {
    let group = |&(ring, names, devices, onsets): &(&str, &[&str], i64, &[Onset])| {
        let onset =
            |&(signal, affected)| (signal, Onsets { affected, first_at: Some(start(number)) });
        let onsets: BTreeMap<_, _> = onsets.iter().map(onset).collect();
        let (at_risk_ms, devices_active) = (devices * 60_000, devices);
        let group = GroupTotals { at_risk_ms, devices_active, onsets, ..GroupTotals::default() };
        ((Arc::from(ring), set(names)), group)
    };
    let groups = groups.iter().map(group).collect();
    let (start, end) = (start(number), start(number + 1));
    WindowTotals { start, end, groups, ..WindowTotals::default() }
}

pub(crate) fn register(engine: &mut Engine, change: &str, facts: &str) {
    let record = format!(r#"{{"change":"{change}","status":"deploying",{facts}}}"#);
    let (change, takes_effect) = (change.to_owned(), Timestamp::YEAR_2000);
    engine.register(&RegistryDelta { offset: 0, takes_effect, change, record: Some(record) });
}

pub(crate) fn row(engine: &Engine, ring: &str, signal: Signal) -> VerdictRow {
    let mut rows = engine.verdicts().into_iter();
    rows.find(|row| row.ring == ring && row.signal == signal).expect("every test has a row")
}
