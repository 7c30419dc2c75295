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
    /// The same in short, for comparing.
    shorts: Vec<Short>,
    count_max: u16,
    refused: u64,
}

impl Names {
    pub(crate) fn new(seed: [u64; 2], count_max: u16) -> Self {
        let mut names = Self {
            seed,
            ids: HashTable::new(),
            texts: vec![Arc::from("")],
            shorts: vec![Short::of("")],
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
        if self.shorts[usize::from(hint.0)].is(text) { hint } else { self.find_or_add(text, hint) }
    }

    #[inline(never)]
    fn find_or_add(&mut self, text: &str, hint: NameId) -> NameId {
        if text.len() > Short::BYTES && **self.text(hint) == *text {
            return hint;
        }
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
        self.shorts.push(Short::of(text));
        let (seed, texts) = (self.seed, &self.texts);
        let hash_of = |&id: &u16| text_hash(seed, &texts[usize::from(id)]);
        self.ids.insert_unique(text_hash(seed, text), id, hash_of);
        NameId(id)
    }

    pub(crate) fn text(&self, id: NameId) -> &Arc<str> {
        &self.texts[usize::from(id.0)]
    }

    /// Every text, by its number.
    pub(crate) fn all(&self) -> &[Arc<str>] {
        &self.texts
    }

    pub(crate) fn known(&self, id: NameId) -> Option<Arc<str>> {
        id.is_some().then(|| Arc::clone(self.text(id)))
    }

    pub(crate) const fn refused(&self) -> u64 {
        self.refused
    }

    /// Bytes held, keys of at most 128 bytes taken as 32.
    pub(crate) fn memory_bytes(&self) -> usize {
        let texts = self.texts.capacity() * 16 + self.texts.len() * 48;
        texts + self.shorts.capacity() * size_of::<Short>() + self.ids.capacity() * 4
    }
}

/// A text as its length and as much of it as fits three words: equal texts are equal in short, and
/// those that fit the other way round, too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Short {
    length: usize,
    words: [u64; 3],
}

impl PartialEq for Short {
    /// Word by word: as one vector, what was just written as words would have to reach memory
    /// before it could be read.
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        let pairs = self.words.iter().zip(other.words);
        let differing = pairs.fold(0, |bits, (word, other)| bits | (word ^ other));
        differing | (self.length ^ other.length) as u64 == 0
    }
}

impl Eq for Short {}

impl Short {
    /// What fits.
    pub(crate) const BYTES: usize = 24;

    #[inline]
    pub(crate) fn of(text: &str) -> Self {
        let bytes = text.as_bytes();
        let word =
            |at: usize| bytes[at..].first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
        let half =
            |at: usize| bytes[at..].first_chunk().map_or(0, |half| u32::from_le_bytes(*half));
        let words = match bytes.len() {
            17.. => [word(0), word(8), word(bytes.len() - 8)],
            8..17 => [word(0), word(bytes.len() - 8), 0],
            4..8 => [u64::from(half(0)) << 32 | u64::from(half(bytes.len() - 4)), 0, 0],
            _ => [bytes.iter().fold(0, |word, &byte| word << 8 | u64::from(byte)), 0, 0],
        };
        Self { length: bytes.len(), words }
    }

    /// Whether it is short for this text and no other: one that fits.
    #[inline]
    pub(crate) fn is(&self, text: &str) -> bool {
        // Of one that has two words, no more is compared.
        let bytes = text.as_bytes();
        if self.length != bytes.len() {
            return false;
        }
        match (bytes.first_chunk(), bytes.last_chunk()) {
            (Some(first), Some(last)) if bytes.len() <= 16 => {
                let first = u64::from_le_bytes(*first) ^ self.words[0];
                first | (u64::from_le_bytes(*last) ^ self.words[1]) == 0
            }
            _ => bytes.len() <= Self::BYTES && *self == Self::of(text),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_fit_are_the_same_in_short_only_if_every_byte_is() {
        let text = "abcdefghijklmnopqrstuvwxyz";
        for length in 0..=Short::BYTES {
            let (one, copy) = (&text[..length], String::from(&text[..length]));
            assert_eq!(Short::of(one), Short::of(&copy));
            assert!(Short::of(one).is(&copy) && !Short::of(one).is(&text[..=length]));
            assert_ne!(Short::of(one), Short::of(&text[..=length]));
            for at in 0..length {
                let mut other = one.to_owned();
                other.replace_range(at..=at, "X");
                assert_ne!(Short::of(one), Short::of(&other), "{other}");
                assert!(!Short::of(one).is(&other), "{other}");
            }
        }
        for length in Short::BYTES + 1..=text.len() {
            assert!(!Short::of(&text[..length]).is(&text[..length]), "does not fit");
        }
        let (mut names, long) = (Names::new([3, 4], 9), "x".repeat(99) + "0123456789");
        let one = names.id(&long, NameId::NONE);
        assert_eq!(names.id(&long, one), one);
        let other = long.replace("x0", "y0");
        assert_eq!(Short::of(&other), Short::of(&long));
        assert_ne!(names.id(&other, one), one, "the difference lies between what fits");
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
