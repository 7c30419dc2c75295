//! Blocks of 32 bytes on any processor: eight bytes in a word.

use super::{Block, Blocks, Marks, Survey};

const ONES: u64 = u64::MAX / 0xff;
const HIGH: u64 = ONES << 7;

#[derive(Clone, Copy, Debug)]
pub(super) struct Words;

/// The high bit of each byte that is zero, exactly.
fn zeros(word: u64) -> u64 {
    !(((word & !HIGH) + !HIGH) | word) & HIGH
}

/// The high bit of each byte that is `byte`.
fn equal(word: u64, byte: u8) -> u64 {
    zeros(word ^ (ONES * u64::from(byte)))
}

/// The high bit of each byte that is a control character, or DEL.
fn controls(word: u64) -> u64 {
    zeros(word & (ONES * 0xe0)) | equal(word, 0x7f)
}

/// One bit for each byte of a block that has its high bit set in what `of` makes of its word.
fn mask(block: &Block, of: impl Fn(u64) -> u64) -> u32 {
    words(block).enumerate().fold(0, |bits, (number, word)| {
        let high = of(word) >> 7;
        bits | ((high.wrapping_mul(0x0102_0408_1020_4080) >> 56) as u32) << (8 * number)
    })
}

fn words(block: &Block) -> impl Iterator<Item = u64> {
    block.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes))
}

impl Blocks for Words {
    fn survey(self, blocks: &[Block], last: &Block) -> Survey {
        let (mut backslashes, mut odd, mut all) = (0, 0, 0);
        for word in blocks.iter().chain([last]).flat_map(words) {
            backslashes |= equal(word, b'\\');
            odd |= controls(word);
            all |= word;
        }
        match () {
            () if backslashes != 0 => Survey::Escaped,
            () if all & HIGH != 0 => Survey::BeyondAscii,
            () if odd != 0 => Survey::Ascii,
            () => Survey::Plain,
        }
    }

    fn starts(self, block: &Block, literal: &Block, ignored: u32) -> bool {
        // Of the bits only so many that follow each other, from the last byte on, are set.
        let length = ignored.trailing_zeros() as usize;
        block[..length] == literal[..length]
    }

    fn quotes(self, block: &Block) -> u32 {
        mask(block, |word| equal(word, b'"'))
    }

    fn marks(self, block: &Block) -> Marks {
        let others = mask(block, |word| equal(word, b'\\') | controls(word));
        Marks { quotes: self.quotes(block), others }
    }
}
