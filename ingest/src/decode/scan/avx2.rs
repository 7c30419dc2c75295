//! Blocks of 32 bytes in one register, on processors that have AVX2 (most since 2013).
//!
//! The `unsafe` here says one thing only: an [`Avx2`] exists nowhere but where it was detected.

#![expect(clippy::inline_always, reason = "a call would undo the choice of instructions")]
#![expect(unsafe_code, reason = "instructions that the compiler may not take for granted")]

use std::arch::x86_64::{
    __m256i, _mm256_cmpeq_epi8, _mm256_max_epu8, _mm256_min_epu8, _mm256_movemask_epi8,
    _mm256_or_si256, _mm256_set1_epi8,
};
use std::mem::transmute;

use super::{BLOCK, Block, Blocks, Marks, Survey, Work};

/// The proof that this processor has AVX2 and the bit instructions that came with it.
#[derive(Clone, Copy, Debug)]
pub(in crate::decode) struct Avx2(());

impl Avx2 {
    pub(super) fn detect() -> Option<Self> {
        let has_all = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("lzcnt");
        has_all.then_some(Self(()))
    }

    #[inline]
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
    fn survey(self, blocks: &[Block], last: &Block) -> Survey {
        // SAFETY: AVX2 was detected, or there would be no `self`.
        unsafe { survey(blocks, last) }
    }

    #[inline(always)]
    fn starts(self, block: &Block, literal: &Block, ignored: u32) -> bool {
        // SAFETY: AVX2 was detected, or there would be no `self`.
        unsafe { starts(block, literal, ignored) }
    }

    #[inline(always)]
    fn quotes(self, block: &Block) -> u32 {
        // SAFETY: AVX2 was detected, or there would be no `self`.
        unsafe { quotes(block) }
    }

    #[inline(always)]
    fn marks(self, block: &Block) -> Marks {
        // SAFETY: AVX2 was detected, or there would be no `self`.
        unsafe { marks(block) }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(block: &Block) -> __m256i {
    // SAFETY: both are 32 bytes, of which any bits are good.
    unsafe { transmute::<[u8; BLOCK], __m256i>(*block) }
}

/// One bit for each byte that is `byte`.
#[inline]
#[target_feature(enable = "avx2")]
fn equal(block: __m256i, byte: u8) -> __m256i {
    _mm256_cmpeq_epi8(block, _mm256_set1_epi8(byte as i8))
}

/// Whether any bit is set.
#[inline]
#[target_feature(enable = "avx2")]
fn any(bytes: __m256i) -> bool {
    _mm256_movemask_epi8(bytes) != 0
}

#[inline]
#[target_feature(enable = "avx2")]
fn survey(blocks: &[Block], last: &Block) -> Survey {
    let end = load(last);
    let (mut low, mut high, mut backslashes) = (end, end, equal(end, b'\\'));
    for block in blocks {
        let block = load(block);
        low = _mm256_min_epu8(low, block);
        high = _mm256_max_epu8(high, block);
        backslashes = _mm256_or_si256(backslashes, equal(block, b'\\'));
    }
    let controls = _mm256_cmpeq_epi8(_mm256_min_epu8(low, _mm256_set1_epi8(0x1f)), low);
    // DEL and all beyond ASCII.
    let beyond = _mm256_cmpeq_epi8(_mm256_max_epu8(high, _mm256_set1_epi8(0x7f)), high);
    let odd = _mm256_or_si256(_mm256_or_si256(controls, beyond), backslashes);
    match () {
        () if !any(odd) => Survey::Plain,
        () if any(backslashes) => Survey::Escaped,
        () if any(high) => Survey::BeyondAscii,
        () => Survey::Ascii,
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn starts(block: &Block, literal: &Block, ignored: u32) -> bool {
    let equal = _mm256_cmpeq_epi8(load(block), load(literal));
    _mm256_movemask_epi8(equal) as u32 | ignored == u32::MAX
}

#[inline]
#[target_feature(enable = "avx2")]
fn quotes(block: &Block) -> u32 {
    _mm256_movemask_epi8(equal(load(block), b'"')) as u32
}

#[inline]
#[target_feature(enable = "avx2")]
fn marks(block: &Block) -> Marks {
    let bytes = load(block);
    let least = _mm256_min_epu8(bytes, _mm256_set1_epi8(0x1f));
    let controls = _mm256_or_si256(_mm256_cmpeq_epi8(least, bytes), equal(bytes, 0x7f));
    let others = _mm256_or_si256(controls, equal(bytes, b'\\'));
    let mask = |bytes: __m256i| _mm256_movemask_epi8(bytes) as u32;
    Marks { quotes: mask(equal(bytes, b'"')), others: mask(others) }
}
