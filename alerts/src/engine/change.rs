//! What the engine knows of one change: its record, its budget, its tests by ring.

use std::collections::BTreeMap;

use schemas::{ChangeRecord, ChangeType};
use serde::{Deserialize, Serialize};

use crate::book::Registered;
use crate::detector::budget::Budget;
use crate::detector::pair::Pair;
use crate::detector::signature::NewSignatures;
use crate::metrics;
use crate::policy::Reversal;

/// What the registry says of a change.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Status {
    /// Seen in telemetry only.
    Unregistered,
    Registered(#[serde(with = "super::stored::json")] ChangeRecord),
    /// Announced once, and removed since.
    Removed,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Change {
    pub(super) status: Status,
    budget: Budget,
    /// By ring number, from the first exposure there.
    pub(super) pairs: BTreeMap<usize, Pair>,
    /// Fault signatures first seen after it.
    pub(super) signatures: NewSignatures,
}

impl Change {
    pub(super) fn new() -> Self {
        Self {
            status: Status::Unregistered,
            budget: Budget::whole(),
            pairs: BTreeMap::new(),
            signatures: NewSignatures::default(),
        }
    }

    pub(super) const fn record(&self) -> Option<&ChangeRecord> {
        if let Status::Registered(record) = &self.status { Some(record) } else { None }
    }

    /// Whether it is tested: not once it has been taken back or removed.
    pub(super) fn is_watched(&self) -> bool {
        match &self.status {
            Status::Unregistered => true,
            Status::Registered(record) => !record.status.is_withdrawn(),
            Status::Removed => false,
        }
    }

    pub(super) fn change_type(&self) -> ChangeType {
        self.record().map_or(ChangeType::Unknown, |record| record.change_type)
    }

    pub(super) fn reversal(&self) -> Reversal {
        let reversible = self.record().is_none_or(|record| record.reversible);
        if reversible { Reversal::Possible } else { Reversal::Impossible }
    }

    pub(super) const fn registered(&self) -> Registered {
        match self.status {
            Status::Unregistered => Registered::No,
            Status::Registered(_) | Status::Removed => Registered::Yes,
        }
    }

    /// Ring names in the order of its plan, those that are configured; without one all of them.
    pub(super) fn plan<'a>(&'a self, rings: &'a [String]) -> Vec<&'a str> {
        let planned = self.record().map_or(&[][..], |record| &record.rings);
        let known = planned.iter().map(|start| &start.ring).filter(|ring| rings.contains(ring));
        let known: Vec<&str> = known.map(String::as_str).collect();
        if known.is_empty() { rings.iter().map(String::as_str).collect() } else { known }
    }

    /// The rings that the change has still to reach after this one.
    pub(super) fn later_rings<'a>(&'a self, ring: usize, rings: &'a [String]) -> Vec<&'a str> {
        let plan = self.plan(rings);
        let name = rings[ring].as_str();
        match plan.iter().position(|&planned| planned == name) {
            Some(at) => plan[at + 1..].to_vec(),
            None => rings[ring + 1..].iter().map(String::as_str).collect(),
        }
    }

    /// The weight of a ring, from now on for good.
    pub(super) fn grant(&mut self, ring: usize, rings: &[String]) -> f64 {
        let plan = self.plan(rings);
        let (at, count) = (plan.iter().position(|&name| name == rings[ring]), plan.len());
        let weight = self.budget.grant(at, count);
        if weight <= 0.0 {
            metrics::unbudgeted_rings().increment(1);
        }
        weight
    }
}
