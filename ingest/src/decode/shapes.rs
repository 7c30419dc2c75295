//! The shape cache: the few shapes that a fleet's records have, the usual ones first.
//!
//! ```text
//! record ─► matches a shape? ─► yes: its values          no: the parser ─► learn it, maybe
//! ```
//! A stream without shapes (keys in any order, say) must cost little more than the parser alone: a
//! run of misses lets most records pass without a look, and learning has a budget.

#![expect(clippy::inline_always, reason = "a call would undo the choice of instructions")]

use std::cell::Cell;

use schemas::Timestamp;

use super::day::Day;
use super::scan::{self, Blocks, Known, Processor, RECORD_BYTES_MIN, Record, Surveyed, Work};
use super::shape::{Found, SLOTS, Shape, Slots, Tree, learn};
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
    processor: Processor,
    tree: Tree,
    known: Vec<Shape>,
    /// How often each was found lately.
    hits: Vec<u32>,
    slots: Box<Slots>,
    day: Cell<Day>,
    misses: u32,
    resting: u32,
    credits: u32,
    seen: u32,
}

impl Shapes {
    pub(super) fn new() -> Self {
        Self {
            processor: Processor::detect(),
            tree: Tree::default(),
            known: Vec::new(),
            hits: Vec::new(),
            slots: Box::new([0; SLOTS]),
            day: Cell::default(),
            misses: 0,
            resting: 0,
            credits: CREDITS_MAX,
            seen: 0,
        }
    }

    /// None, now and ever.
    pub(super) fn none() -> Self {
        Self { resting: u32::MAX, credits: 0, ..Self::new() }
    }

    pub(super) const fn processor(&self) -> Processor {
        self.processor
    }

    /// The record, if its shape is known and all its values are good.
    #[inline(always)]
    pub(super) fn read<'a>(
        &mut self,
        blocks: impl Blocks,
        bytes: &'a [u8],
        rules: &Rules,
        arrival: Arrival,
        last_ts: &mut Option<Timestamp>,
    ) -> Option<Decoded<'a>> {
        self.seen += 1;
        if self.seen == CREDIT_RECORDS {
            self.seen = 0;
            self.tick();
        }
        if self.resting > 0 {
            // Who never stops resting has no shapes at all.
            self.resting -= u32::from(self.resting != u32::MAX);
            return None;
        }
        let read = match scan::survey(blocks, bytes) {
            Surveyed::Plain(known) => self.decoded(blocks, known, rules, arrival, last_ts),
            Surveyed::Odd(known) => self.decoded(blocks, known, rules, arrival, last_ts),
            Surveyed::None => None,
        };
        if read.is_none() {
            self.miss();
        }
        read
    }

    #[inline(always)]
    fn decoded<'a, const PLAIN: bool>(
        &mut self,
        blocks: impl Blocks,
        known: Known<'a, PLAIN>,
        rules: &Rules,
        arrival: Arrival,
        last_ts: &mut Option<Timestamp>,
    ) -> Option<Decoded<'a>> {
        let Self { known: shapes, hits, tree, slots, day, .. } = self;
        let record = &Record::new(known);
        let number = tree.find(blocks, record, slots)?;
        let found = Found { shape: shapes.get(number)?, slots, record, day };
        let decoded = decoded(&found, rules, arrival, last_ts).ok()?;
        let hits = hits.get_mut(number)?;
        *hits = hits.saturating_add(1);
        self.misses = 0;
        Some(decoded)
    }

    #[cold]
    fn miss(&mut self) {
        self.misses += 1;
        if self.misses >= MISSES_MAX {
            self.resting = REST - 1;
        }
    }

    /// Looks at the next record, whatever the ones before were.
    pub(super) const fn look_again(&mut self) {
        if self.resting != u32::MAX {
            (self.misses, self.resting) = (0, 0);
        }
    }

    /// Whether a record that no shape fits is worth learning from: also one that passed without a
    /// look. Records are looked at in runs, before any of them comes here.
    pub(super) const fn may_learn(&self, bytes: &[u8]) -> bool {
        self.credits > 0 && self.resting != u32::MAX && bytes.len() >= RECORD_BYTES_MIN
    }

    /// Learns from a record that the parser took. The shape is kept only if it gives of the record
    /// what the parser gave.
    #[cold]
    pub(super) fn learn(
        &mut self,
        bytes: &[u8],
        (kind, parsed): (Kind, &Decoded<'_>),
        rules: &Rules,
        arrival: Arrival,
    ) {
        self.credits -= 1;
        let Some(shape) = learn(bytes, kind, rules) else { return };
        // Records that were looked at together may all be the first of one shape. Later ones teach
        // nothing, and cost their credit, because no look would find them.
        if let Some(at) = self.known.iter().position(|known| *known == shape) {
            self.credits += u32::from(self.hits[at] == 0);
            return;
        }
        let mut alone = Self { processor: self.processor, ..Self::new() };
        alone.add(shape);
        let read = Read { shapes: &mut alone, bytes, rules, arrival };
        if self.processor.run(read).is_some_and(|again| again == *parsed) {
            alone.known.drain(..).for_each(|shape| self.add(shape));
        }
    }

    fn add(&mut self, shape: Shape) {
        if self.known.len() == SHAPES_MAX {
            let least = (0..SHAPES_MAX).min_by_key(|&at| self.hits[at]).unwrap_or(0);
            self.known.remove(least);
            self.hits.remove(least);
            self.plant();
        }
        if self.tree.add(&shape, self.known.len() as u16) {
            self.known.push(shape);
            self.hits.push(0);
            (self.misses, self.resting) = (0, 0);
        }
    }

    /// Once in [`CREDIT_RECORDS`].
    #[cold]
    fn tick(&mut self) {
        self.credits = (self.credits + 1).min(CREDITS_MAX);
        let is_overtaken = |pair: &[u32]| pair[1] / 2 > pair[0].max(CREDIT_RECORDS / 16);
        if self.hits.windows(2).any(is_overtaken) {
            self.put_usual_first();
        }
        self.hits.iter_mut().for_each(|hits| *hits /= 2);
    }

    fn put_usual_first(&mut self) {
        let mut order: Vec<usize> = (0..self.known.len()).collect();
        order.sort_by_key(|&at| std::cmp::Reverse(self.hits[at]));
        self.known = order.iter().map(|&at| self.known[at].clone()).collect();
        self.hits = order.iter().map(|&at| self.hits[at]).collect();
        self.plant();
    }

    /// Makes the tree anew.
    fn plant(&mut self) {
        self.tree.clear();
        for (number, shape) in (0..).zip(&self.known) {
            self.tree.add(shape, number);
        }
    }
}

/// What one shape alone makes of a record.
struct Read<'s, 'a> {
    shapes: &'s mut Shapes,
    bytes: &'a [u8],
    rules: &'s Rules,
    arrival: Arrival,
}

impl<'a> Work for Read<'_, 'a> {
    type Output = Option<Decoded<'a>>;

    #[inline(always)]
    fn run(self, blocks: impl Blocks) -> Self::Output {
        self.shapes.read(blocks, self.bytes, self.rules, self.arrival, &mut None)
    }
}
