//! A record that is read a window at a time, from any place in it.
//!
//! Behind its end stand zeros: no text, number or literal goes on there. Whether its bytes are text
//! is found out once, so that a text in it costs its bounds only.

#![expect(clippy::inline_always, reason = "a call would undo the choice of instructions")]
#![expect(unsafe_code, reason = "bytes that are all ASCII are text wherever one begins or ends")]

use super::{BLOCK, Block, Blocks, Survey};

/// Room for a literal and what stands behind it.
pub(in crate::decode) const WINDOW: usize = 2 * BLOCK;
pub(in crate::decode) type Window = [u8; WINDOW];

/// A record shorter than a window is not scanned; no valid one is.
pub(in crate::decode) const RECORD_BYTES_MIN: usize = WINDOW;

/// Bytes of which it is known whether they are `PLAIN`: ASCII without controls and escapes. Those
/// that are not are UTF-8 without escapes.
#[derive(Clone, Copy, Debug)]
pub(in crate::decode) struct Known<'a, const PLAIN: bool> {
    bytes: &'a [u8],
    end: &'a Window,
}

/// What is said of bytes as a record.
#[derive(Clone, Copy, Debug)]
pub(in crate::decode) enum Surveyed<'a> {
    Plain(Known<'a, true>),
    Odd(Known<'a, false>),
    /// They have escapes, are no UTF-8 or too short: the parser's business.
    None,
}

/// Looks at all bytes.
#[inline(always)]
pub(in crate::decode) fn survey(blocks: impl Blocks, bytes: &[u8]) -> Surveyed<'_> {
    let (Some(end), Some(last)) = (bytes.last_chunk(), bytes.last_chunk()) else {
        return Surveyed::None;
    };
    match blocks.survey(bytes.as_chunks().0, last) {
        Survey::Plain => Surveyed::Plain(Known { bytes, end }),
        Survey::Escaped => Surveyed::None,
        Survey::BeyondAscii if std::str::from_utf8(bytes).is_err() => Surveyed::None,
        Survey::Ascii | Survey::BeyondAscii => Surveyed::Odd(Known { bytes, end }),
    }
}

#[derive(Debug)]
pub(in crate::decode) struct Record<'a, const PLAIN: bool> {
    bytes: &'a [u8],
    /// Where the last whole window begins.
    last: usize,
    /// That window, and as many zeros.
    tail: [u8; 2 * WINDOW],
}

/// Of what happens seldom, so that the compiler puts it elsewhere.
#[cold]
const fn seldom() {}

impl<'a, const PLAIN: bool> Record<'a, PLAIN> {
    #[inline(always)]
    pub(in crate::decode) fn new(Known { bytes, end }: Known<'a, PLAIN>) -> Self {
        let mut tail = [0; 2 * WINDOW];
        tail[..WINDOW].copy_from_slice(end);
        Self { bytes, last: bytes.len() - WINDOW, tail }
    }

    pub(in crate::decode) const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The window that begins at a place, zeros where the record has ended.
    #[inline(always)]
    pub(in crate::decode) fn window(&self, at: usize) -> &Window {
        if at <= self.last {
            // SAFETY: `last` is the length less one window, see `new`.
            return unsafe { &*self.bytes.as_ptr().add(at).cast() };
        }
        seldom();
        let at = (at - self.last).min(WINDOW);
        // SAFETY: `tail` has two windows, of which `at` passes one at most.
        unsafe { &*self.tail.as_ptr().add(at).cast() }
    }

    /// The text of so many bytes from a place on; `None` if there is none.
    #[inline(always)]
    pub(in crate::decode) fn text(&self, start: usize, length: usize) -> Option<&'a str> {
        let bytes = self.bytes.get(start..)?.get(..length)?;
        if PLAIN {
            // SAFETY: `survey` has seen all bytes, and they are ASCII.
            return Some(unsafe { std::str::from_utf8_unchecked(bytes) });
        }
        std::str::from_utf8(bytes).ok()
    }
}

/// The block in a window behind so many bytes, of which there are fewer than [`BLOCK`].
#[expect(clippy::expect_used, reason = "a window has two blocks")]
#[inline(always)]
pub(in crate::decode) fn behind(window: &Window, length: usize) -> &Block {
    let rest = &window[length % BLOCK..];
    rest.first_chunk().expect("a window has two blocks")
}
