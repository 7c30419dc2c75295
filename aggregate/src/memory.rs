//! What the device table asks of memory beyond safe Rust: all `unsafe` of this crate.
//!
//! A record's device stands at a random place of a table larger than every cache. A prefetch asks
//! for the place before it is needed and, unlike a read, waits for nothing. And who is the only
//! owner of a chunk may write to it without telling the other cores so.

#![expect(unsafe_code, reason = "an instruction without a safe wrapper; a count of owners")]

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

/// Asks for the cache lines of a value; changes nothing, and does nothing where it cannot.
#[inline]
pub(crate) fn prefetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        const { assert!(size_of::<T>() <= 2 * 64, "a value has two lines, or straddles three") };
        let first = std::ptr::from_ref(value).cast::<i8>();
        let last = size_of::<T>().saturating_sub(1);
        // SAFETY: the addresses lie within a live value, so they may be computed; what stands
        // there is neither read nor written.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(first);
            if size_of::<T>() > 64 {
                _mm_prefetch::<_MM_HINT_T0>(first.add(last / 2));
                _mm_prefetch::<_MM_HINT_T0>(first.add(last));
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _: &T = value;
}

/// Which of the words equal `wanted` in the bits of `mask`, as bits.
#[inline]
pub(crate) fn equal(words: &[u32; 16], wanted: u32, mask: u32) -> u32 {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{
            _mm_and_si128, _mm_cmpeq_epi32, _mm_loadu_si128, _mm_movemask_epi8, _mm_packs_epi16,
            _mm_packs_epi32, _mm_set1_epi32,
        };
        let (four, last) = words.as_chunks::<4>();
        debug_assert!(last.is_empty(), "sixteen are four times four");
        // SAFETY: every processor of this architecture has SSE2; each load is of four words that
        // are there, and needs no alignment.
        unsafe {
            let (wanted, mask) = (_mm_set1_epi32(wanted as i32), _mm_set1_epi32(mask as i32));
            let equal = |at: usize| {
                let words = _mm_loadu_si128(four[at].as_ptr().cast());
                _mm_cmpeq_epi32(_mm_and_si128(words, mask), wanted)
            };
            let low = _mm_packs_epi32(equal(0), equal(1));
            let high = _mm_packs_epi32(equal(2), equal(3));
            _mm_movemask_epi8(_mm_packs_epi16(low, high)) as u32
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    words
        .iter()
        .enumerate()
        .fold(0, |bits, (at, word)| bits | u32::from(word & mask == wanted) << at)
}

/// Items that a clone shares until one of the owners writes to them.
///
/// As `Arc::make_mut`, but without its two locked instructions, a tenth of a record's time: they
/// keep others from taking a `Weak` meanwhile, which here nobody can.
#[derive(Clone, Debug)]
pub(crate) struct Shared<T>(Arc<[T]>);

impl<T> FromIterator<T> for Shared<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self(items.into_iter().collect())
    }
}

impl<T> Deref for Shared<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: Clone> Shared<T> {
    /// The items to write to; a copy of its own, if they had another owner.
    #[inline]
    pub(crate) fn own(&mut self) -> &mut [T] {
        if Arc::strong_count(&self.0) != 1 {
            self.copy();
        }
        // What another owner read before it let go does not come after what is written now.
        fence(Ordering::Acquire);
        // SAFETY: this is the only owner (a count of one does not rise while it is borrowed
        // exclusively), and no `Weak` exists: the field is private and never downgraded.
        unsafe { &mut *Arc::as_ptr(&self.0).cast_mut() }
    }

    #[cold]
    fn copy(&mut self) {
        self.0 = self.0.iter().cloned().collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_compared_in_the_bits_that_are_asked_for() {
        for mask in [u32::MAX, 0xfc00_0000, 0x8000_0001, 0] {
            let words: [u32; 16] = std::array::from_fn(|at| (at as u32 % 5) * 0x1200_0003);
            for wanted in words.map(|word| word & mask) {
                let bits: u32 = (0..16).map(|at| u32::from(words[at] & mask == wanted) << at).sum();
                assert_eq!(equal(&words, wanted, mask), bits, "{wanted:x} in {mask:x}");
            }
        }
    }

    #[test]
    fn what_one_owner_writes_no_other_sees() {
        let mut one: Shared<u32> = (0..100).collect();
        let before = one.as_ptr();
        one.own()[7] = 70;
        assert_eq!(one.as_ptr(), before, "the only owner copies nothing");
        let mut other = one.clone();
        other.own()[8] = 80;
        one.own()[9] = 90;
        assert_eq!([one[7], one[8], one[9]], [70, 8, 90]);
        assert_eq!([other[7], other[8], other[9]], [70, 80, 9]);
        let now = one.as_ptr();
        drop(other);
        one.own()[0] = 1;
        assert_eq!(one.as_ptr(), now);
        prefetch(&one[99]);
        prefetch(&[0_u8; 0]);
    }
}
