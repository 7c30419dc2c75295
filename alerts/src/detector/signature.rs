//! Fault signatures that were never seen before a change: each with a test of its own.
//!
//! In: newly hit devices by signature, and both arms' exposure. Out: log e of "it hits the treated
//! more than 1.25 times their share of exposure", against a line of its own.
//!
//! The k-th new signature of a change has the budget alpha/(k(k+1)); these add up to alpha, so a
//! change that does nothing alarms with 2 alpha at most in all (detection 3). k follows from the
//! order of first sight in the fleet, in whatever arm: an order that favours no arm.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemas::alert::{ArmEvidence, Evidence, EvidenceKind};
use schemas::{Signal, Timestamp};
use serde::{Deserialize, Serialize};

use super::Arms;
use super::evidence::rounded;
use super::rate::{Exposure, RateProcess};

/// Signatures remembered: a large fleet has some thousand programs that crash.
const KNOWN_MAX: usize = 65_536;
/// New signatures tested per change; the last one's line is ln(65,792/alpha) = 15.7.
const NEW_MAX: usize = 256;
/// One device may be anybody's.
const DEVICES_MIN: i64 = 2;

/// Signal and signature.
pub type Name = (Signal, Arc<str>);

/// Every signature that was ever seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownSignatures(BTreeSet<Name>);

/// Whether a signature is seen for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    First,
    Again,
    /// Nobody can say any more: too many are known.
    Untold,
}

impl KnownSignatures {
    pub fn see(&mut self, name: &Name) -> Sight {
        if self.0.contains(name) {
            Sight::Again
        } else if self.0.len() >= KNOWN_MAX {
            Sight::Untold
        } else {
            self.0.insert(name.clone());
            Sight::First
        }
    }
}

/// The new signatures of one change, and the exposure of its arms over all rings.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct NewSignatures {
    seen: Exposed,
    signatures: BTreeMap<Name, NewSignature>,
}

/// Device-milliseconds at risk, devices at the last window's start, windows.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Exposed {
    at_risk_ms: Arms,
    devices: Arms,
    windows: u64,
}

/// One signature that came after the change.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NewSignature {
    /// The k in alpha/(k(k+1)).
    rank: u32,
    process: RateProcess,
    treated_by_ring: BTreeMap<usize, i64>,
    first_at: Option<Timestamp>,
    /// What had been seen when it first appeared.
    from: Exposed,
}

/// Newly hit devices of one signature in one window.
#[derive(Clone, Debug, Default)]
pub struct Hits {
    pub affected: Arms,
    pub treated_by_ring: BTreeMap<usize, i64>,
    pub first_at: Option<Timestamp>,
}

impl NewSignatures {
    /// Adds a window's exposure of both arms, before its hits.
    pub fn add_exposure(&mut self, at_risk_ms: Arms, devices: Arms) {
        self.seen.at_risk_ms.treated += at_risk_ms.treated;
        self.seen.at_risk_ms.control += at_risk_ms.control;
        self.seen.devices = devices;
        self.seen.windows += 1;
    }

    /// Begins the test of a signature that is seen for the first time; whether there was room.
    pub fn begin(&mut self, name: &Name, margin: f64) -> bool {
        if self.signatures.len() >= NEW_MAX {
            return false;
        }
        let signature = NewSignature {
            rank: self.signatures.len() as u32 + 1,
            process: RateProcess::new(margin, 1.0),
            treated_by_ring: BTreeMap::new(),
            first_at: None,
            from: self.seen,
        };
        self.signatures.insert(name.clone(), signature);
        true
    }

    /// Adds a window's hits, if the signature is new to this change.
    pub fn add(&mut self, name: &Name, hits: &Hits, exposure: Option<&Exposure>) {
        let Some(signature) = self.signatures.get_mut(name) else { return };
        signature.process.add_some(hits.affected, exposure);
        for (&ring, &count) in &hits.treated_by_ring {
            *signature.treated_by_ring.entry(ring).or_default() += count;
        }
        let earliest = signature.first_at.iter().chain(&hits.first_at).min().copied();
        signature.first_at = earliest;
    }

    /// ln of a signature's e-value; `None` where it is not new to this change.
    pub fn log_e(&self, name: &Name) -> Option<f64> {
        self.signatures.get(name).map(|signature| signature.process.log_e())
    }

    /// Signatures whose own line is crossed.
    pub fn crossed(&self, alpha: f64) -> impl Iterator<Item = (&Name, &NewSignature)> {
        self.signatures.iter().filter(move |(_, signature)| {
            let enough = signature.process.onsets().treated >= DEVICES_MIN;
            enough && signature.process.log_e() >= signature.line(alpha)
        })
    }

    /// The numbers behind a signature's alert.
    pub fn evidence(&self, signature: &NewSignature, alpha: f64) -> Evidence {
        let (seen, from, process) = (&self.seen, &signature.from, &signature.process);
        let (low, high) = process.interval(alpha);
        let arm = |devices, until: i64, since: i64, affected| ArmEvidence {
            devices,
            device_seconds: (until - since) / 1_000,
            affected,
        };
        let (now, then, hit) = (seen.at_risk_ms, from.at_risk_ms, process.onsets());
        Evidence {
            kind: EvidenceKind::Rare,
            log_e: rounded(process.log_e()),
            line: rounded(signature.line(alpha)),
            alpha,
            r0: rounded(process.r0()),
            treated: arm(seen.devices.treated, now.treated, then.treated, hit.treated),
            control: arm(seen.devices.control, now.control, then.control, hit.control),
            ratio: process.ratio().map(rounded),
            ratio_low: low.map(rounded),
            ratio_high: high.map(rounded),
            windows: seen.windows - from.windows,
            first_affected_at: signature.first_at,
            baseline_ratio: None,
            comparison_weight: None,
        }
    }
}

impl NewSignature {
    /// ln(k(k+1)/alpha).
    fn line(&self, alpha: f64) -> f64 {
        let rank = f64::from(self.rank);
        libm::log(rank * (rank + 1.0) / alpha)
    }

    /// The ring with most treated hits; of equals the first.
    pub fn ring(&self) -> Option<usize> {
        let most = self.treated_by_ring.iter().rev().max_by_key(|&(_, &count)| count);
        most.map(|(&ring, _)| ring)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budgets_of_all_new_signatures_add_up_to_alpha() {
        let mut signatures = NewSignatures::default();
        for number in 0..NEW_MAX {
            assert!(signatures.begin(&(Signal::AppCrash, Arc::from(number.to_string())), 1.25));
        }
        assert!(!signatures.begin(&(Signal::AppCrash, Arc::from("one more")), 1.25));
        let each = signatures.signatures.values().map(|of| libm::exp(-of.line(0.01)));
        let all: f64 = each.sum();
        assert!(all < 0.01 && all > 0.0099, "{all}");
    }

    #[test]
    fn a_signature_is_new_once() {
        let mut known = KnownSignatures::default();
        let name = (Signal::AppCrash, Arc::from("a.exe"));
        assert_eq!([known.see(&name), known.see(&name)], [Sight::First, Sight::Again]);
        let other = (Signal::AppHang, Arc::from("a.exe"));
        assert_eq!(known.see(&other), Sight::First);
    }
}
