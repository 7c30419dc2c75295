//! State as bytes, so that a restart need not fold the input from its beginning again.
//!
//! ```text
//! format number │ section │ section │ ...      one after the other, no lengths but of lists
//! ```
//! Whoever stores the bytes stores their SHA-256 beside them and checks it before it loads: here
//! only what is cut short, too long or impossible is noticed, by an error and never by a panic.
//! What the configuration says is not in the bytes: it never changes within a data folder. Signals
//! and the like stand by their numbers, so a number that changes needs a new format, too.

use serde::{Deserialize, Serialize};

/// Why stored state cannot be gone on from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    #[error("the state has format {found}, this version reads {known}: fold the input anew")]
    Format { found: u8, known: u8 },
    #[error("the state is cut short or damaged: fold the input anew")]
    Damaged,
    #[error("the state was stored under other settings: restore them, or fold the input anew")]
    Settings,
}

/// Sections in the making.
#[derive(Debug)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn new(format: u8) -> Self {
        Self(vec![format])
    }

    /// Appends a value.
    pub(crate) fn put<T: Serialize + ?Sized>(&mut self, value: &T) {
        let so_far = std::mem::take(&mut self.0);
        #[expect(clippy::expect_used, reason = "no type here refuses, and a Vec takes any bytes")]
        let longer = postcard::to_extend(value, so_far).expect("state is plain data");
        self.0 = longer;
    }

    /// Appends the length of a list, and its items.
    pub(crate) fn put_all<T: Serialize>(&mut self, items: impl ExactSizeIterator<Item = T>) {
        self.put(&items.len());
        items.for_each(|item| self.put(&item));
    }

    /// Makes room for `count` bytes more.
    pub(crate) fn reserve(&mut self, count: usize) {
        self.0.reserve(count);
    }

    /// Appends bytes as they are.
    pub(crate) fn put_bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// What is left to read.
#[derive(Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8], known: u8) -> Result<Self, StateError> {
        match bytes.split_first() {
            None => Err(StateError::Damaged),
            Some((&found, _)) if found != known => Err(StateError::Format { found, known }),
            Some((_, rest)) => Ok(Self(rest)),
        }
    }

    /// Takes the next value.
    pub(crate) fn take<T: Deserialize<'a>>(&mut self) -> Result<T, StateError> {
        let (value, rest) = postcard::take_from_bytes(self.0).map_err(|_| StateError::Damaged)?;
        self.0 = rest;
        Ok(value)
    }

    /// Takes a list item by item. Each takes a byte at least, so no length asks for much memory.
    pub(crate) fn take_all<T, C: FromIterator<T>>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, StateError>,
    ) -> Result<C, StateError> {
        let count: usize = self.take()?;
        (0..count).map(|_| item(self)).collect()
    }

    /// Takes `count` rows of `length` bytes each.
    pub(crate) fn take_rows(
        &mut self,
        count: usize,
        length: usize,
    ) -> Result<&'a [u8], StateError> {
        let size = count.checked_mul(length).ok_or(StateError::Damaged)?;
        let (rows, rest) = self.0.split_at_checked(size).ok_or(StateError::Damaged)?;
        self.0 = rest;
        Ok(rows)
    }

    /// Makes sure that nothing follows.
    pub(crate) const fn end(self) -> Result<(), StateError> {
        if self.0.is_empty() { Ok(()) } else { Err(StateError::Damaged) }
    }
}
