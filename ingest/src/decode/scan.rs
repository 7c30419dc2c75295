//! Where a value ends: strings 32 bytes at a time, numbers 8 digits at a time.
//!
//! In: the bytes of a record, at least [`BYTES_MIN`], and where a value begins. Out: where it ends,
//! or `None` for what only the parser can judge: escapes, controls, large or odd numbers. Near the
//! end of a record the last whole block is read again and shifted, so nothing behind it is touched.

#![expect(clippy::inline_always, reason = "a call would undo the choice of instructions")]

#[cfg(target_arch = "x86_64")]
mod avx2;

/// A record shorter than this is not scanned: blocks have this length.
pub(super) const BYTES_MIN: usize = 32;

const DIGITS: usize = 8;

/// One bit for each byte of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marks {
    quotes: u32,
    /// Backslashes, control characters and DEL.
    others: u32,
    beyond_ascii: u32,
}

/// Finds what ends a string in a block; every implementation gives the same.
pub(super) trait Blocks: Copy {
    fn marks(self, block: &[u8; BYTES_MIN]) -> Marks;
}

/// What is done with blocks: compiled once for each kind of processor. To be inlined always.
pub(super) trait Work {
    type Output;
    fn run(self, blocks: impl Blocks) -> Self::Output;
}

/// Does it with the best that this processor has.
#[inline]
pub(super) fn run<W: Work>(work: W) -> W::Output {
    #[cfg(target_arch = "x86_64")]
    if let Some(blocks) = avx2::Avx2::detect() {
        return blocks.run(work);
    }
    work.run(Words)
}

/// For any processor: eight bytes in a word.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words;

impl Blocks for Words {
    fn marks(self, block: &[u8; BYTES_MIN]) -> Marks {
        const ONES: u64 = u64::MAX / 0xff;
        const HIGH: u64 = ONES << 7;
        // The high bit of each byte that is zero, exactly; then one bit for each of the eight.
        let zeros = |word: u64| !(((word & !HIGH) + !HIGH) | word) & HIGH;
        let bits = |high: u64| ((high >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u32;
        let mut marks = Marks { quotes: 0, others: 0, beyond_ascii: 0 };
        for (number, bytes) in block.as_chunks::<8>().0.iter().enumerate() {
            let word = u64::from_le_bytes(*bytes);
            let equal = |byte: u8| zeros(word ^ (ONES * u64::from(byte)));
            let controls = zeros(word & (ONES * 0xe0));
            marks.quotes |= bits(equal(b'"')) << (8 * number);
            marks.others |= bits(equal(b'\\') | equal(0x7f) | controls) << (8 * number);
            marks.beyond_ascii |= bits(word & HIGH) << (8 * number);
        }
        marks
    }
}

/// Where the string that begins at `at`, behind its quote, has its closing quote; and, not 0, if
/// it or something near it is beyond ASCII.
#[inline(always)]
pub(super) fn text_end(blocks: impl Blocks, bytes: &[u8], at: usize) -> Option<(usize, u32)> {
    let (mut at, mut beyond_ascii) = (at, 0);
    loop {
        let start = at.min(bytes.len().checked_sub(BYTES_MIN)?);
        let marks = blocks.marks(bytes.get(start..)?.first_chunk()?);
        let shift = (at - start) as u32;
        let quotes = marks.quotes.checked_shr(shift)?;
        let first = (quotes | marks.others >> shift).trailing_zeros();
        beyond_ascii |= marks.beyond_ascii;
        if first < u32::BITS {
            return (quotes >> first & 1 == 1).then_some((at + first as usize, beyond_ascii));
        }
        at = start + BYTES_MIN;
    }
}

/// A whole number without sign and its end, of at most 16 digits.
///
/// A longer one ends in the middle, where no literal of a shape goes on.
#[inline(always)]
pub(super) fn integer(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let (value, count) = eight_digits(bytes, at)?;
    if count == 0 || (count > 1 && bytes[at] == b'0') {
        return None;
    }
    if count < DIGITS {
        return Some((value, at + count));
    }
    let (low, more) = eight_digits(bytes, at + DIGITS)?;
    Some((value * 10_u64.pow(more as u32) + low, at + DIGITS + more))
}

/// The value of the digits at `at`, and how many there are, up to eight.
#[inline(always)]
fn eight_digits(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let start = at.min(bytes.len().checked_sub(DIGITS)?);
    let word = u64::from_le_bytes(*bytes.get(start..)?.first_chunk()?);
    // Zero bytes, which are no digits, come in from above.
    let digits = word.checked_shr(8 * (at - start) as u32)? ^ 0x3030_3030_3030_3030;
    let others = (digits.wrapping_add(0x7676_7676_7676_7676) | digits) & 0x8080_8080_8080_8080;
    let count = (others.trailing_zeros() / 8) as usize;
    if count == 0 {
        return Some((0, 0));
    }
    // As many leading zeros as digits are missing; then pairs, fours and all eight are joined.
    let pairs = digits << (8 * (DIGITS - count));
    let pairs = pairs.wrapping_mul(10).wrapping_add(pairs >> 8);
    let mask = 0x0000_00ff_0000_00ff;
    let high = (pairs & mask).wrapping_mul(100 + (1_000_000 << 32));
    let low = (pairs >> 16 & mask).wrapping_mul(1 + (10_000 << 32));
    Some((high.wrapping_add(low) >> 32, count))
}

/// The end of a number without exponent that nobody reads, of at most 18 digits.
pub(super) fn number_end(bytes: &[u8], at: usize) -> Option<usize> {
    let run = |at: usize| bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let start = at + usize::from(bytes.get(at) == Some(&b'-'));
    let whole = run(start.min(bytes.len()));
    if whole == 0 || (whole > 1 && bytes[start] == b'0') {
        return None;
    }
    let mut end = start + whole;
    let mut digits = whole;
    if bytes.get(end) == Some(&b'.') {
        let decimals = run(end + 1);
        digits += decimals;
        if decimals == 0 {
            return None;
        }
        end += 1 + decimals;
    }
    (digits <= 18).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Each byte by itself.
    fn plain(block: &[u8; BYTES_MIN]) -> Marks {
        let of = |is: fn(u8) -> bool| {
            (0..).zip(block).fold(0, |bits, (at, &byte)| bits | u32::from(is(byte)) << at)
        };
        let others = of(|byte| byte == b'\\' || byte < 0x20 || byte == 0x7f);
        Marks { quotes: of(|byte| byte == b'"'), others, beyond_ascii: of(|byte| byte > 0x7f) }
    }

    /// Every implementation that this processor can run.
    fn check(block: &[u8; BYTES_MIN]) {
        struct Marked<'a>(&'a [u8; BYTES_MIN]);
        impl Work for Marked<'_> {
            type Output = Marks;
            fn run(self, blocks: impl Blocks) -> Marks {
                blocks.marks(self.0)
            }
        }
        assert_eq!(Words.marks(block), plain(block), "{block:?}");
        assert_eq!(run(Marked(block)), plain(block), "{block:?}");
    }

    #[test]
    fn every_byte_is_marked_right_beside_every_other() {
        for byte in 0..=u8::MAX {
            for other in 0..=u8::MAX {
                let mut block = [other; BYTES_MIN];
                block.iter_mut().step_by(3).for_each(|it| *it = byte);
                check(&block);
            }
        }
    }

    proptest! {
        #[test]
        fn a_whole_number_is_read_as_the_standard_library_reads_it(
            number in prop_oneof![any::<u64>(), 0..10_000_u64, 0..1_u64 << 53],
            before in 0_usize..40, after in 0_usize..40,
        ) {
            let digits = number.to_string();
            let text = format!("{}{digits}{}", "x".repeat(before + 32), ",".repeat(after));
            let found = integer(text.as_bytes(), before + 32);
            if digits.len() <= 16 {
                prop_assert_eq!(found, Some((number, before + 32 + digits.len())));
            } else {
                prop_assert_eq!(found.map(|it| it.1), Some(before + 48));
            }
        }

        #[test]
        fn a_string_ends_at_its_first_quote_unless_it_needs_the_parser(
            text in "[ -~\u{e9}\u{4e2d}\\x00-\\x1f]{0,90}",
            before in 0_usize..40, after in 0_usize..40,
        ) {
            let whole = format!("{}{text}\"{}", " ".repeat(before + 32), " ".repeat(after));
            let start = before + 32;
            let end = whole.as_bytes()[start..].iter().position(|&byte| byte == b'"').unwrap();
            let odd = |&byte: &u8| byte < 0x20 || byte == b'\\' || byte == 0x7f;
            let plain = !whole.as_bytes()[start..start + end].iter().any(odd);
            let found = text_end(Words, whole.as_bytes(), start);
            prop_assert_eq!(found.map(|it| it.0), plain.then_some(start + end));
            prop_assert!(found.is_none_or(|it| it.1 != 0 || text.is_ascii()));
        }
    }

    #[test]
    fn a_number_that_nobody_reads_is_json_or_the_parser_judges() {
        for (text, length) in [("0,", 1), ("-0.50,", 5), ("-12]", 3), ("1.25}", 4)] {
            assert_eq!(number_end(text.as_bytes(), 0), Some(length), "{text}");
        }
        for text in ["", "-", "01", "-01", ".5", "1.", "1.x", "1234567890.123456789", "x"] {
            assert_eq!(number_end(text.as_bytes(), 0), None, "{text}");
        }
        assert_eq!(integer(&[b'7'; 40], 40), None, "a number behind the end");
        assert_eq!(text_end(Words, &[b'7'; 40], 40), None, "a string without an end");
        assert_eq!(text_end(Words, &[b'7'; 40], 3), None);
    }
}
