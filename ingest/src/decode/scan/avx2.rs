//! Blocks of 32 bytes in one register, on processors that have AVX2 (most since 2013).
//!
//! The `unsafe` here says one thing only: an [`Avx2`] exists nowhere but where it was detected.

#![expect(unsafe_code, reason = "instructions that the compiler may not take for granted")]

use std::arch::x86_64::{
    __m256i, _mm256_cmpeq_epi8, _mm256_min_epu8, _mm256_movemask_epi8, _mm256_or_si256,
    _mm256_set1_epi8,
};
use std::mem::transmute;

use super::{BYTES_MIN, Blocks, Marks, Work};

/// The proof that this processor has AVX2 and the bit instructions that came with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx2(());

impl Avx2 {
    pub(super) fn detect() -> Option<Self> {
        let has_all = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("lzcnt");
        has_all.then_some(Self(()))
    }

    pub(super) fn run<W: Work>(self, work: W) -> W::Output {
        // SAFETY: the features were detected, or there would be no `self`.
        unsafe { run(self, work) }
    }
}

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
fn run<W: Work>(blocks: Avx2, work: W) -> W::Output {
    work.run(blocks)
}

impl Blocks for Avx2 {
    #[inline(always)]
    fn marks(self, block: &[u8; BYTES_MIN]) -> Marks {
        // SAFETY: AVX2 was detected, or there would be no `self`.
        unsafe { marks(block) }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn marks(block: &[u8; BYTES_MIN]) -> Marks {
    // SAFETY: both are 32 bytes, of which any bits are good.
    let bytes = unsafe { transmute::<[u8; BYTES_MIN], __m256i>(*block) };
    let equal = |byte: u8| _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(byte as i8));
    let controls = _mm256_cmpeq_epi8(_mm256_min_epu8(bytes, _mm256_set1_epi8(0x1f)), bytes);
    let others = _mm256_or_si256(_mm256_or_si256(equal(b'\\'), equal(0x7f)), controls);
    Marks {
        quotes: _mm256_movemask_epi8(equal(b'"')) as u32,
        others: _mm256_movemask_epi8(others) as u32,
        beyond_ascii: _mm256_movemask_epi8(bytes) as u32,
    }
}
