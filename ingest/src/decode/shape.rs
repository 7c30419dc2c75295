//! A shape: what the records of one kind from one sender have in common, learned from one of them.
//!
//! ```text
//! {"v":1,"type":"boot","device":"     "ring":"   ...    "seq":    ,"boot_ms":    }
//! └────────── literal ─────────┘Text└─literal─┘Text   └literal┘Int └ literal ┘Int└ End
//! ```
//! The literals of a record that the parser took hold its structure, its keys and its type, so a
//! record with the same ones differs from it in values only: these are checked by the same rules
//! as the parser's (`Values`). A shape never refuses: what it does not match, the parser judges.

use schemas::COHORTS_MAX;

use super::fields::Field;
use super::telemetry::{Cohort, Kind, Rules};

mod found;
mod learn;
mod tree;
pub(super) use found::Found;
pub(super) use learn::learn;
pub(super) use tree::Tree;

/// Places of values in a record: one a field, one a cohort dimension in `attrs`, one for the rest.
pub(super) const SLOTS: usize = 64;
/// Of values that nobody reads.
pub(super) const IGNORED: u8 = SLOTS as u8 - 1;

/// The slot of a key of `attrs` that is the cohort dimension at a position.
pub(super) const fn cohort_slot(position: usize) -> usize {
    Field::COUNT + position
}

const _: () = assert!(cohort_slot(COHORTS_MAX) < IGNORED as usize, "slots are enough");

/// Where the values of the cohort dimensions come from, by their position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cohorts {
    /// From the field `model` (0) or `build` (1).
    fields: Vec<(u8, u8)>,
    /// From a key of `attrs` that the record has, by its slot.
    attrs: Vec<(u8, u8)>,
}

impl Cohorts {
    /// `texts` has one bit for each slot that is a text.
    fn new(rules: &Rules, texts: u64) -> Self {
        let (mut fields, mut attrs) = (Vec::new(), Vec::new());
        for (position, cohort) in rules.cohorts.iter().enumerate() {
            let slot = cohort_slot(position);
            match cohort {
                Cohort::Model => fields.push((position as u8, 0)),
                Cohort::Build => fields.push((position as u8, 1)),
                Cohort::Attr(_) if texts >> slot & 1 == 1 => {
                    attrs.push((position as u8, slot as u8));
                }
                Cohort::Attr(_) => {}
            }
        }
        Self { fields, attrs }
    }
}

/// What stands behind a literal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gap {
    Text,
    Integer,
    /// A number or truth that nobody reads, or `null`.
    Scalar,
    /// More of the literal.
    None,
    /// Nothing: the record ends.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) literal_length: u16,
    pub(super) gap: Gap,
    pub(super) slot: u8,
}

/// Start and length of a text in the record, or the value of a number.
pub(super) type Slots = [u64; SLOTS];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) kind: Kind,
    /// The last one's gap is the end.
    pub(super) segments: Vec<Segment>,
    /// All literals.
    pub(super) literals: Vec<u8>,
    pub(super) cohorts: Cohorts,
    /// One bit for each slot that is a text, or a number.
    pub(super) texts: u64,
    pub(super) numbers: u64,
}
