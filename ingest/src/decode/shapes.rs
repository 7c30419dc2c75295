//! The shape cache: the few shapes that a fleet's records have, the usual ones first.
//!
//! ```text
//! record ─► matches a shape? ─► yes: its values          no: the parser ─► learn it, maybe
//! ```
//! A stream without shapes (keys in any order, say) must cost little more than the parser alone: a
//! run of misses lets most records pass without a look, and learning has a budget.

use super::scan::{self, BYTES_MIN, Blocks, Work};
use super::shape::{Found, Match, SLOTS, Shape, Slots, learn};
use super::telemetry::{Kind, Rules};
use super::{Arrival, Decoded, decoded};

/// Most shapes: seven types of record from a few generations of senders.
const SHAPES_MAX: usize = 32;

/// After this many misses in a row only one record in [`REST`] is looked at.
const MISSES_MAX: u32 = 32;
const REST: u32 = 32;

/// Shapes that may be learned at once; each [`CREDIT_RECORDS`] records give one back. Learning
/// costs as much as parsing a few records.
const CREDITS_MAX: u32 = 64;
const CREDIT_RECORDS: u32 = 1_024;

#[derive(Debug)]
pub(super) struct Shapes {
    known: Vec<Shape>,
    /// How often each was found, halved when one has to go.
    hits: Vec<u32>,
    slots: Box<Slots>,
    misses: u32,
    resting: u32,
    credits: u32,
    seen: u32,
}

impl Shapes {
    pub(super) fn new() -> Self {
        Self {
            known: Vec::new(),
            hits: Vec::new(),
            slots: Box::new([0; SLOTS]),
            misses: 0,
            resting: 0,
            credits: CREDITS_MAX,
            seen: 0,
        }
    }

    /// The values of a record, if its shape is known.
    #[inline]
    pub(super) fn find<'s, 'a>(&'s mut self, bytes: &'a [u8]) -> Option<Found<'s, 'a>> {
        self.seen += 1;
        if self.seen == CREDIT_RECORDS {
            self.seen = 0;
            self.credits = (self.credits + 1).min(CREDITS_MAX);
        }
        if self.resting > 0 {
            self.resting -= 1;
            return None;
        }
        let Some((at, is)) = first_match(&self.known, bytes, &mut self.slots) else {
            self.misses += 1;
            if self.misses >= MISSES_MAX {
                self.resting = REST - 1;
            }
            return None;
        };
        self.misses = 0;
        let text = std::str::from_utf8(bytes).ok()?;
        let at = self.count_hit(at);
        Some(Found { shape: &self.known[at], slots: &self.slots, text, is })
    }

    /// Counts a find, and moves the shape forward past one that is found less often.
    fn count_hit(&mut self, at: usize) -> usize {
        self.hits[at] = self.hits[at].saturating_add(1);
        if at == 0 || self.hits[at] <= self.hits[at - 1] {
            return at;
        }
        self.hits.swap(at, at - 1);
        self.known.swap(at, at - 1);
        at - 1
    }

    /// Whether a record that no shape fits is worth learning from.
    pub(super) const fn may_learn(&self, bytes: &[u8]) -> bool {
        self.credits > 0 && self.resting == 0 && bytes.len() >= BYTES_MIN
    }

    /// Learns from a record that the parser took. The shape is kept only if it gives of the record
    /// what the parser gave.
    pub(super) fn learn(
        &mut self,
        bytes: &[u8],
        (kind, parsed): (Kind, &Decoded<'_>),
        rules: &Rules,
        arrival: Arrival,
    ) {
        // Records that were looked at together may be the first of one shape.
        if first_match(&self.known, bytes, &mut self.slots).is_some() {
            return;
        }
        self.credits -= 1;
        let Some(shape) = learn(bytes, kind, rules) else { return };
        let slots = &mut self.slots;
        let Some((_, is)) = first_match(std::slice::from_ref(&shape), bytes, slots) else { return };
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let again = decoded(&Found { shape: &shape, slots, text, is }, rules, arrival, &mut None);
        if again.is_ok_and(|again| again == *parsed) {
            self.add(shape);
        }
    }

    fn add(&mut self, shape: Shape) {
        if self.known.len() == SHAPES_MAX {
            self.hits.iter_mut().for_each(|hits| *hits /= 2);
            let least = (0..SHAPES_MAX).min_by_key(|&at| self.hits[at]).unwrap_or(0);
            self.known.remove(least);
            self.hits.remove(least);
        }
        self.known.push(shape);
        self.hits.push(0);
    }
}

/// The first shape that a record has, its values in `slots`.
fn first_match(shapes: &[Shape], bytes: &[u8], slots: &mut Slots) -> Option<(usize, Match)> {
    if bytes.len() < BYTES_MIN {
        return None;
    }
    scan::run(FirstMatch { shapes, bytes, slots })
}

struct FirstMatch<'a> {
    shapes: &'a [Shape],
    bytes: &'a [u8],
    slots: &'a mut Slots,
}

impl Work for FirstMatch<'_> {
    type Output = Option<(usize, Match)>;

    #[expect(clippy::inline_always, reason = "a call would undo the choice of instructions")]
    #[inline(always)]
    fn run(self, blocks: impl Blocks) -> Self::Output {
        let Self { shapes, bytes, slots } = self;
        for (at, shape) in shapes.iter().enumerate() {
            if let Some(found) = shape.matches(blocks, bytes, slots) {
                return Some((at, found));
            }
        }
        None
    }
}
