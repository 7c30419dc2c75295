//! Strings as small numbers: changes, builds, models, cohort values.

use std::sync::Arc;

use hashbrown::HashTable;
use schemas::OTHER;
use serde::{Deserialize, Serialize};

use crate::hash::text_hash;
use crate::state::{Reader, StateError, Writer};

/// The number of a string; 16 bits, because every device holds several.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub(crate) struct NameId(pub(crate) u16);

impl NameId {
    /// No value known.
    pub(crate) const NONE: Self = Self(0);
    /// Every value beyond the bound.
    pub(crate) const OTHER: Self = Self(1);

    pub(crate) fn is_some(self) -> bool {
        self != Self::NONE
    }

    /// Whether it is one of the first so many names that were met.
    pub(crate) fn is_among_first(self, count: u16) -> bool {
        self.0 > Self::OTHER.0 && self.0 - Self::OTHER.0 <= count
    }
}

/// The strings of one kind, each with its number; never forgets one.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    seed: [u64; 2],
    ids: HashTable<u16>,
    texts: Vec<Arc<str>>,
    count_max: u16,
    refused: u64,
}

impl Names {
    pub(crate) fn new(seed: [u64; 2], count_max: u16) -> Self {
        let mut names = Self {
            seed,
            ids: HashTable::new(),
            texts: vec![Arc::from("")],
            count_max: count_max.min(u16::MAX - 1),
            refused: 0,
        };
        names.add(OTHER);
        names
    }

    /// Stores the names in the order of their numbers, but for the two that always are.
    pub(crate) fn save(&self, out: &mut Writer) {
        out.put(&self.refused);
        out.put_all(self.texts[2..].iter());
    }

    /// Restores what was stored into names that are new.
    pub(crate) fn load(&mut self, from: &mut Reader<'_>) -> Result<(), StateError> {
        self.refused = from.take()?;
        let texts: Vec<&str> = from.take_all(Reader::take)?;
        if self.texts.len() + texts.len() > usize::from(u16::MAX) + 1 {
            return Err(StateError::Damaged);
        }
        for text in texts {
            self.add(text);
        }
        Ok(())
    }

    /// Whether `id` is the number of a name, or of none.
    pub(crate) fn has(&self, id: NameId) -> bool {
        usize::from(id.0) < self.texts.len()
    }

    /// The number of `text`, if it has one of its own.
    pub(crate) fn known_id(&self, text: &str) -> Option<NameId> {
        let same = |&id: &u16| *self.texts[usize::from(id)] == *text;
        let id = NameId(*self.ids.find(text_hash(self.seed, text), same)?);
        (id != NameId::OTHER).then_some(id)
    }

    /// The number of `text`; `hint` is the number it probably has, which spares the hash.
    #[inline]
    pub(crate) fn id(&mut self, text: &str, hint: NameId) -> NameId {
        if is_same(&self.texts[usize::from(hint.0)], text) { hint } else { self.find_or_add(text) }
    }

    fn find_or_add(&mut self, text: &str) -> NameId {
        let found =
            self.ids.find(text_hash(self.seed, text), |&id| *self.texts[usize::from(id)] == *text);
        match found {
            Some(&id) => NameId(id),
            None if self.texts.len() <= usize::from(self.count_max) + 1 => self.add(text),
            None => {
                self.refused += 1;
                NameId::OTHER
            }
        }
    }

    fn add(&mut self, text: &str) -> NameId {
        let id = self.texts.len() as u16;
        self.texts.push(Arc::from(text));
        let (seed, texts) = (self.seed, &self.texts);
        let hash_of = |&id: &u16| text_hash(seed, &texts[usize::from(id)]);
        self.ids.insert_unique(text_hash(seed, text), id, hash_of);
        NameId(id)
    }

    pub(crate) fn text(&self, id: NameId) -> &Arc<str> {
        &self.texts[usize::from(id.0)]
    }

    pub(crate) fn known(&self, id: NameId) -> Option<Arc<str>> {
        id.is_some().then(|| Arc::clone(self.text(id)))
    }

    pub(crate) const fn refused(&self) -> u64 {
        self.refused
    }

    /// Bytes held, keys of at most 128 bytes taken as 32.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.texts.capacity() * 16 + self.texts.len() * 48 + self.ids.capacity() * 4
    }
}

/// Texts that come again and again, each allocated once; which it forgets changes nothing.
#[derive(Clone, Debug)]
pub(crate) struct Texts {
    known: Vec<Arc<str>>,
}

/// Texts remembered: results of updates, of which a fleet sees a few dozen.
const TEXTS: usize = 64;

impl Texts {
    pub(crate) fn new() -> Self {
        Self { known: vec![Arc::from(""); TEXTS] }
    }

    /// The text, as shared as possible.
    pub(crate) fn shared(&mut self, text: &str) -> Arc<str> {
        let bytes = text.bytes();
        let at = bytes.fold(0, |at: usize, byte| at.wrapping_mul(31).wrapping_add(byte.into()));
        let known = &mut self.known[at % TEXTS];
        if **known != *text {
            *known = Arc::from(text);
        }
        Arc::clone(known)
    }
}

/// Whether two texts are equal, which they nearly always are: names are short, and a call to
/// compare them costs more than the comparison. Which of the cases it is differs from record to
/// record, so the shorter way through them is worth less than few branches.
#[inline]
pub(crate) fn is_same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    if one.len() != other.len() {
        return false;
    }
    if one.len() > 16 {
        return is_same_long(one, other);
    }
    if let (Some(start), Some(end)) = (one.first_chunk::<8>(), one.last_chunk::<8>()) {
        let ends = other.first_chunk().zip(other.last_chunk());
        return ends.is_some_and(|ends| differences::<8>((start, end), ends) == 0);
    }
    if let (Some(start), Some(end)) = (one.first_chunk::<4>(), one.last_chunk::<4>()) {
        let ends = other.first_chunk().zip(other.last_chunk());
        return ends.is_some_and(|ends| differences::<4>((start, end), ends) == 0);
    }
    one.iter().eq(other)
}

/// In blocks of 16 bytes, the last of which overlaps the one before.
fn is_same_long(one: &[u8], other: &[u8]) -> bool {
    let last = one.last_chunk::<16>() == other.last_chunk();
    last && one.as_chunks::<16>().0 == other.as_chunks::<16>().0
}

/// Bits in which two texts differ at their starts or at their ends.
#[inline]
fn differences<const N: usize>(one: (&[u8; N], &[u8; N]), other: (&[u8; N], &[u8; N])) -> u64 {
    let word =
        |bytes: &[u8; N]| bytes.iter().rfold(0_u64, |word, &byte| word << 8 | u64::from(byte));
    (word(one.0) ^ word(other.0)) | (word(one.1) ^ word(other.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_the_same_only_if_every_byte_is() {
        let text = "abcdefghijklmnopqrstuvwxyz";
        for length in 0..text.len() {
            let one = &text[..length];
            assert!(is_same(one, one) && !is_same(one, &text[..=length]));
            for at in 0..length {
                let mut other = one.to_owned();
                other.replace_range(at..=at, "X");
                assert!(!is_same(one, &other), "{other}");
            }
        }
    }

    #[test]
    fn a_name_keeps_its_number_and_the_bound_gives_other() {
        let mut names = Names::new([3, 4], 2);
        let one = names.id("one", NameId::NONE);
        let two = names.id("two", one);
        assert_ne!(one, two);
        assert_eq!(names.id("one", two), one);
        assert_eq!(names.id("three", NameId::NONE), NameId::OTHER);
        assert_eq!((names.refused(), &**names.text(two)), (1, "two"));
        assert_eq!(names.id(OTHER, NameId::NONE), NameId::OTHER);
    }
}
