//! Learns a shape from a record that the parser has taken, so this only has to tell tokens apart.
//!
//! A value becomes a gap if the next record may have another one: strings but the type, numbers
//! but the version, `true`, `false` and `null`. Everything else is literal: structure and keys.
//!
//! Whether a field is read may depend on values (`from` of a move, `_ts`), so a record that has one
//! twice, or as what it never is, teaches nothing even if the parser never came to read it.

use super::super::fields::Field;
use super::super::telemetry::{Kind, Rules};
use super::{Cohorts, Gap, IGNORED, Segment, Shape, cohort_slot};
use crate::frame::is_of_envelope;

/// Largest shape: a record with more is nothing that a fleet sends all day.
const SEGMENTS_MAX: usize = 64;
const LITERAL_BYTES_MAX: usize = 2_048;
/// Deepest shape: far from what any parser refuses.
const DEPTH_MAX: usize = 64;

/// The shape of `bytes`, which the parser took as a record of this kind; `None` where it has none
/// that is worth keeping.
pub(in crate::decode) fn learn(bytes: &[u8], kind: Kind, rules: &Rules) -> Option<Shape> {
    // Keys may be spelled with escapes, too: the parser's business.
    if bytes.contains(&b'\\') {
        return None;
    }
    let (segments, literals) = (Vec::new(), Vec::new());
    let cohorts = Cohorts::new(rules, 0);
    let shape = Shape { kind, segments, literals, cohorts, texts: 0, numbers: 0 };
    let mut learner = Learner {
        bytes,
        shape,
        rules,
        literal_start: 0,
        depth: 0,
        key: &[],
        is_in_attrs: false,
        seen: 0,
    };
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at = match byte {
            b'"' => learner.string(at)?,
            b'-' | b'0'..=b'9' => learner.number(at)?,
            _ => learner.structure(at)?,
        };
    }
    learner.gap(Gap::End, None, bytes.len(), bytes.len());
    learner.shape.cohorts = Cohorts::new(rules, learner.shape.texts);
    let is_small = learner.shape.segments.len() <= SEGMENTS_MAX
        && learner.shape.literals.len() <= LITERAL_BYTES_MAX;
    is_small.then_some(learner.shape)
}

struct Learner<'a> {
    bytes: &'a [u8],
    shape: Shape,
    rules: &'a Rules,
    literal_start: usize,
    depth: usize,
    /// The last key.
    key: &'a [u8],
    /// Whether the object at depth 2 is `attrs`.
    is_in_attrs: bool,
    /// One bit for each field that has stood at the top.
    seen: u64,
}

impl Learner<'_> {
    fn structure(&mut self, at: usize) -> Option<usize> {
        match self.bytes[at] {
            b'{' | b'[' => {
                self.depth += 1;
                if self.depth > DEPTH_MAX {
                    return None;
                }
                if self.depth == 2 {
                    self.is_in_attrs = self.field() == Some(Field::Attrs);
                    if !self.is_in_attrs {
                        self.no_field(1)?;
                    }
                }
            }
            b'}' | b']' => self.depth -= 1,
            b't' | b'f' | b'n' => return self.word(at),
            _ => {}
        }
        Some(at + 1)
    }

    /// `true`, `false` or `null`.
    fn word(&mut self, at: usize) -> Option<usize> {
        self.no_field(self.depth)?;
        let end = at + if self.bytes[at] == b'f' { 5 } else { 4 };
        self.gap(Gap::Scalar, None, at, end);
        Some(end)
    }

    /// `None` if the last key is that of a field, which is no object, array or truth.
    fn no_field(&self, depth: usize) -> Option<()> {
        let is_field = depth == 1 && self.field().is_some();
        (!is_field).then_some(())
    }

    /// The field that the last key names, if telemetry has one of the name.
    fn field(&self) -> Option<Field> {
        let field = self.rules.names.field(std::str::from_utf8(self.key).ok()?);
        field.filter(|field| Field::TELEMETRY.contains(field))
    }

    /// A key, which stays literal, or a string value.
    fn string(&mut self, at: usize) -> Option<usize> {
        let length = self.bytes[at + 1..].iter().position(|&byte| byte == b'"')?;
        let (start, end) = (at + 1, at + 1 + length);
        let next = self.bytes[end + 1..].iter().find(|byte| !byte.is_ascii_whitespace());
        if next == Some(&b':') {
            self.key = &self.bytes[start..end];
            if self.depth == 1 && is_of_envelope(self.key) {
                return None;
            }
            if self.depth == 1
                && let Some(field) = self.field()
            {
                let bit = 1 << field as u32;
                if self.seen & bit != 0 {
                    return None;
                }
                self.seen |= bit;
            }
            return Some(end + 1);
        }
        let slot = self.slot();
        if slot != Some(Field::Type as usize) {
            self.gap(Gap::Text, slot, start, end);
        }
        Some(end + 1)
    }

    fn number(&mut self, at: usize) -> Option<usize> {
        let rest = &self.bytes[at..];
        let part = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
        let length = rest.iter().take_while(|byte| part(byte)).count();
        let end = at + length;
        let slot = self.slot();
        if slot == Some(Field::V as usize) {
            return Some(end);
        }
        let is_whole = rest[..length].iter().all(u8::is_ascii_digit);
        if !is_whole && self.depth == 1 && self.field().is_some() {
            return None;
        }
        let gap = if slot.is_some() { Gap::Integer } else { Gap::Scalar };
        self.gap(gap, slot, at, end);
        Some(end)
    }

    /// The slot of the value that the last key names.
    fn slot(&self) -> Option<usize> {
        match self.depth {
            1 => self.field().map(|field| field as usize),
            2 if self.is_in_attrs => {
                self.rules.cohort_of_attr(std::str::from_utf8(self.key).ok()?).map(cohort_slot)
            }
            _ => None,
        }
    }

    fn gap(&mut self, gap: Gap, slot: Option<usize>, start: usize, end: usize) {
        let literal = &self.bytes[self.literal_start..start];
        self.shape.literals.extend_from_slice(literal);
        let literal_length = literal.len().min(LITERAL_BYTES_MAX + 1) as u16;
        match (gap, slot) {
            (Gap::Text, Some(slot)) => self.shape.texts |= 1 << slot,
            (Gap::Integer, Some(slot)) => self.shape.numbers |= 1 << slot,
            _ => {}
        }
        let slot = slot.map_or(IGNORED, |slot| slot as u8);
        self.shape.segments.push(Segment { literal_length, gap, slot });
        self.literal_start = end;
    }
}
