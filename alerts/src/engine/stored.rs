//! The engine as bytes, so that a restart need not evaluate every window again.
//!
//! A format number, then all that later alerts and verdicts depend on, floats bit by bit. What the
//! configuration says is not in the bytes. Whoever stores them stores their SHA-256 beside them and
//! checks it before it loads. Signals and the like stand by their numbers: one that changes needs a
//! new format.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::change::Change;
use super::process::{Counted, Process, Stored};
use super::{ChangeNumber, DetectionConfig, Engine};
use crate::book::{Key, Page};
use crate::detector::baseline::Hour;
use crate::detector::cohort::Spread;
use crate::detector::past::StoredWindows;
use crate::detector::signature::KnownSignatures;
use crate::detector::strata::GroupHour;
use crate::lifecycle::Flaps;

/// To be raised whenever what is stored, or its order, changes.
const FORMAT: u8 = 4;

/// The same, without rings in which nobody was exposed early: only new exposures were counted.
const FORMAT_OF_NEW_EXPOSURES: u8 = 3;

/// Why stored state cannot be gone on from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    #[error(
        "the state has format {found}, this version reads {FORMAT_OF_NEW_EXPOSURES} and {FORMAT}: \
         evaluate the input anew"
    )]
    Format { found: u8 },
    #[error("the state is cut short or damaged: evaluate the input anew")]
    Damaged,
    #[error("the state was stored under other rings: restore them, or evaluate the input anew")]
    Settings,
}

/// Numbers, changes, history, past windows, hours of groups, spreads and signatures, pages and
/// those that flap, change process, whether the last window was partial.
type State = (
    BTreeMap<Arc<str>, ChangeNumber>,
    Vec<Change>,
    VecDeque<Hour>,
    StoredWindows,
    VecDeque<GroupHour>,
    (Vec<Spread>, KnownSignatures),
    (BTreeMap<Key, Page>, BTreeMap<Key, Flaps>),
    Stored,
    bool,
);

impl Engine {
    /// The state as bytes: an engine loaded from them tells the same from then on, byte by byte.
    pub fn save(&self) -> Vec<u8> {
        let (hours, past) = (self.baseline.hours(), self.past.stored());
        let book = (self.book.pages(), self.book.flaps());
        let (groups, seen) = (self.group_hours.hours(), (&self.spreads, &self.known));
        let (numbers, changes) = (&self.numbers, &self.changes);
        let state = (
            numbers,
            changes,
            hours,
            past,
            groups,
            seen,
            book,
            self.process.stored(),
            self.partial,
        );
        #[expect(clippy::expect_used, reason = "no type here refuses, and a Vec takes any bytes")]
        postcard::to_extend(&state, vec![self.format()]).expect("state is plain data")
    }

    /// What was loaded stays what it was until a window has been evaluated.
    const fn format(&self) -> u8 {
        match self.process.counted() {
            Counted::NewExposures => FORMAT_OF_NEW_EXPOSURES,
            Counted::All => FORMAT,
        }
    }

    /// The engine as it was when it was saved. The configuration must have passed its check.
    ///
    /// The caller has checked the bytes against their SHA-256: what is not state gives an error or
    /// an engine that means nothing.
    pub fn load(config: DetectionConfig, bytes: &[u8]) -> Result<Self, StateError> {
        let (counted, state) = match bytes.split_first() {
            None => return Err(StateError::Damaged),
            Some((&FORMAT, state)) => (Counted::All, state),
            Some((&FORMAT_OF_NEW_EXPOSURES, state)) => (Counted::NewExposures, state),
            Some((&found, _)) => return Err(StateError::Format { found }),
        };
        let (state, rest) =
            postcard::take_from_bytes::<State>(state).map_err(|_| StateError::Damaged)?;
        let (numbers, changes, hours, past, groups, seen, book, process, partial) = state;
        let ((spreads, signatures), (pages, flaps)) = (seen, book);
        let ring_count = config.rings.len();
        let known = |&number: &ChangeNumber| number < changes.len();
        let members_known = past.0.iter().all(|(_, members)| members.iter().all(known));
        if !rest.is_empty() || !numbers.values().all(known) || !members_known {
            return Err(StateError::Damaged);
        }
        let in_pairs = changes.iter().flat_map(|change| change.pairs.keys()).copied();
        let in_past = past.1.iter().flat_map(|(_, groups)| groups).map(|group| group.0);
        let of_other_rings = spreads.len() != ring_count;
        if of_other_rings || in_pairs.chain(in_past).any(|ring| ring >= ring_count) {
            return Err(StateError::Settings);
        }
        let process = Process::with(process, counted, changes.len(), ring_count);
        let engine = Self::new(config);
        let group_hours = engine.group_hours.with(groups, changes.len());
        Ok(Self {
            numbers,
            changes,
            baseline: engine.baseline.with(hours).ok_or(StateError::Settings)?,
            spreads,
            known: signatures,
            group_hours: group_hours.ok_or(StateError::Settings)?,
            past: engine.past.with(past).ok_or(StateError::Damaged)?,
            book: engine.book.with(pages, flaps),
            process: process.ok_or(StateError::Damaged)?,
            partial,
            ..engine
        })
    }
}

/// A value as JSON: for types that leave fields out where they say nothing.
pub(super) mod json {
    use serde::de::{DeserializeOwned, Error as _};
    use serde::ser::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(in crate::engine) fn serialize<T: Serialize, S: Serializer>(
        value: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let json = serde_json::to_string(value).map_err(S::Error::custom)?;
        json.serialize(serializer)
    }

    pub(in crate::engine) fn deserialize<'de, T: DeserializeOwned, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        let json = <&str>::deserialize(deserializer)?;
        serde_json::from_str(json).map_err(D::Error::custom)
    }
}
