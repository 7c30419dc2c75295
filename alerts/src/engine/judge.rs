//! From evidence to levels, drafts and verdicts (design: detection 4).
//!
//! The e-value of a change is the weighted mean of those of its tests: a mean of e-processes is
//! one, whatever their dependence. It is regressed at 1/alpha; named is the test with the largest
//! weighted e-value, and besides it each test whose own reaches 1/alpha.

use std::sync::Arc;

use schemas::{Alert, Timestamp};

use super::Engine;
use super::change::Change;
use crate::book::{Draft, Key};
use crate::config::DetectionConfig;
use crate::detector::log_sum_exp;
use crate::detector::pair::tested;
use crate::detector::verdict::{Limits, Standing, VerdictRow};
use crate::lifecycle::Level;
use crate::metrics;
use crate::policy::{action, harm, rule, summary};

/// One test's part of its change's e-value.
struct Weighted {
    key: Key,
    /// ln(w E).
    log_e: f64,
    /// It counts as it stands, but raises and resolves nothing.
    has_ended: bool,
}

impl Engine {
    /// Steps every test's alert at the end of a window.
    pub(super) fn judge(&mut self, at: Timestamp) -> Vec<Alert> {
        let mut told = Vec::new();
        for (name, &number) in &self.numbers {
            let change = &self.changes[number];
            let (tests, total) = weigh(name, change);
            let is_raised = |key: &Key| self.book.is_raised(key);
            let levels = levels(&self.config, change, &tests, total, is_raised);
            for (test, level) in tests.iter().zip(levels) {
                let draft = || draft(&self.config, change, &test.key);
                told.extend(self.book.step(&test.key, level, at, draft));
            }
        }
        for alert in &told {
            metrics::transitions(alert.state).increment(1);
        }
        told
    }

    /// Every watched change x ring x signal as it stands: rows of the live table.
    pub fn verdicts(&self) -> Vec<VerdictRow> {
        let (line, low_line) = (self.config.line(), self.config.low_line());
        let limits = Limits { line, low_line, no_data_windows: self.config.no_data_windows };
        let mut rows = Vec::new();
        for (name, &number) in &self.numbers {
            let change = &self.changes[number];
            if !change.is_watched() {
                continue;
            }
            for (ring, ring_name) in self.config.rings.iter().enumerate() {
                for signal in tested() {
                    let row = VerdictRow::unexposed(name, ring_name, signal);
                    let row = VerdictRow { partial: self.partial, ..row };
                    let raised = self.book.is_raised(&(Arc::clone(name), ring, signal));
                    let standing = if raised { Standing::Alerting } else { Standing::Quiet };
                    let pair = change.pairs.get(&ring);
                    rows.push(pair.map_or(row.clone(), |pair| row.of(pair, standing, &limits)));
                }
            }
        }
        rows
    }
}

/// ln(w E) of every test of a change that has a weight, and ln E of the change.
fn weigh(name: &Arc<str>, change: &Change) -> (Vec<Weighted>, f64) {
    let mut tests = Vec::new();
    let mut granted = 0.0;
    for (&ring, pair) in &change.pairs {
        for signal in tested().filter(|&signal| pair.weight(signal) > 0.0) {
            let log_e = libm::log(pair.weight(signal)) + pair.log_e(signal);
            let (key, has_ended) = ((Arc::clone(name), ring, signal), pair.has_ended());
            tests.push(Weighted { key, log_e, has_ended });
            granted += pair.weight(signal);
        }
    }
    // Rings not yet exposed, and what is reserved, stand at e = 1.
    let rest = libm::log((1.0 - granted).max(0.0));
    let parts: Vec<f64> = tests.iter().map(|test| test.log_e).chain([rest]).collect();
    (tests, log_sum_exp(&parts))
}

/// Where each test stands against the line of its change.
fn levels(
    config: &DetectionConfig,
    change: &Change,
    tests: &[Weighted],
    total: f64,
    is_raised: impl Fn(&Key) -> bool,
) -> Vec<Level> {
    let (line, low_line) = (config.line(), config.low_line());
    let can_lead = |test: &&Weighted| !test.has_ended;
    let largest =
        tests.iter().filter(can_lead).map(|test| test.log_e).fold(f64::NEG_INFINITY, f64::max);
    let named = tests.iter().any(|test| test.log_e >= line || is_raised(&test.key));
    // Of equals the first: two signals can rise in step, and one name is enough.
    let leader = tests.iter().position(|test| can_lead(&test) && test.log_e >= largest);
    let level = |(at, test): (usize, &Weighted)| {
        let leads = total >= line && leader == Some(at);
        if !change.is_watched() {
            Level::Withdrawn
        } else if test.has_ended {
            Level::Between
        } else if test.log_e >= line || (leads && !named) {
            Level::Above
        } else if test.log_e >= low_line || leads {
            Level::Between
        } else {
            Level::Below
        }
    };
    tests.iter().enumerate().map(level).collect()
}

/// What an alert of this test would say now.
fn draft(config: &DetectionConfig, change: &Change, (name, ring, signal): &Key) -> Draft {
    let ring_name = &config.rings[*ring];
    let evidence = change.pairs[ring].evidence(*signal, config.alpha);
    let ruling = rule(change.change_type(), change.reversal(), harm(*signal, &evidence));
    let later = change.later_rings(*ring, &config.rings);
    Draft {
        change_type: change.change_type(),
        registered: change.registered(),
        ring: ring_name.clone(),
        ruling,
        summary: summary(name, ring_name, *signal, &evidence),
        action: action(&ruling, name, ring_name, &later),
        evidence,
    }
}
