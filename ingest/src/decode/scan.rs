//! Where a value ends: strings 32 bytes at a time, numbers 8 digits at a time.
//!
//! In: a record, and where a value begins. Out: where it ends, or `None` for what only the parser
//! can judge: escapes, controls, large or odd numbers.

#![expect(clippy::inline_always, reason = "a call would undo the choice of instructions")]

#[cfg(target_arch = "x86_64")]
mod avx2;
mod record;
mod words;

pub(super) use record::{Known, RECORD_BYTES_MIN, Record, Surveyed, behind, survey};

/// Bytes that are looked at in one go.
pub(super) const BLOCK: usize = 32;
pub(super) type Block = [u8; BLOCK];

const DIGITS: usize = 8;

/// What a record has in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Survey {
    /// ASCII without controls, DEL and backslashes.
    Plain,
    /// ASCII without backslashes.
    Ascii,
    /// No backslashes.
    BeyondAscii,
    Escaped,
}

/// One bit for each byte of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marks {
    quotes: u32,
    /// Backslashes, control characters and DEL.
    others: u32,
}

/// What is asked of blocks; every implementation says the same.
pub(super) trait Blocks: Copy {
    /// What the blocks have in them all together.
    fn survey(self, blocks: &[Block], last: &Block) -> Survey;

    /// Whether a block begins with a literal; bytes behind it have a bit in `ignored`.
    fn starts(self, block: &Block, literal: &Block, ignored: u32) -> bool;

    /// One bit for each quote.
    fn quotes(self, block: &Block) -> u32;

    /// What may end a string.
    fn marks(self, block: &Block) -> Marks;
}

/// What is done with blocks: compiled once for each kind of processor. To be inlined always.
pub(super) trait Work {
    type Output;
    fn run(self, blocks: impl Blocks) -> Self::Output;
}

/// The best that this processor has, found out once.
#[derive(Clone, Copy, Debug)]
pub(super) enum Processor {
    #[cfg(target_arch = "x86_64")]
    Avx2(avx2::Avx2),
    Any,
}

impl Processor {
    pub(super) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(blocks) = avx2::Avx2::detect() {
            return Self::Avx2(blocks);
        }
        Self::Any
    }

    #[inline]
    pub(super) fn run<W: Work>(self, work: W) -> W::Output {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(blocks) => blocks.run(work),
            Self::Any => work.run(words::Words),
        }
    }
}

/// Where the string that begins at `at`, behind its quote, has its closing quote; its first bytes
/// are `block`.
#[inline(always)]
pub(super) fn text_end<const PLAIN: bool>(
    blocks: impl Blocks,
    record: &Record<'_, PLAIN>,
    block: &Block,
    at: usize,
) -> Option<usize> {
    let (mut block, mut at) = (block, at);
    loop {
        let Marks { quotes, others } = if PLAIN {
            Marks { quotes: blocks.quotes(block), others: 0 }
        } else {
            blocks.marks(block)
        };
        let ends = quotes | others;
        if ends != 0 {
            let first = ends.trailing_zeros();
            let is_quote = PLAIN || quotes >> first & 1 == 1;
            return is_quote.then_some(at + first as usize);
        }
        at += BLOCK;
        if at >= record.len() {
            return None;
        }
        block = behind(record.window(at), 0);
    }
}

/// A whole number without sign, of at most 16 digits, that a block begins with; and how many.
///
/// A longer one ends in the middle, where no literal of a shape goes on.
#[inline(always)]
pub(super) fn integer(block: &Block) -> Option<(u64, usize)> {
    let (words, _) = block.as_chunks::<DIGITS>();
    let (value, count) = eight_digits(words[0]);
    if count == 0 || (count > 1 && block[0] == b'0') {
        return None;
    }
    if count < DIGITS {
        return Some((value, count));
    }
    let (low, more) = eight_digits(words[1]);
    Some((value * 10_u64.pow(more as u32) + low, DIGITS + more))
}

/// The value of the digits that a word begins with, and how many there are.
#[inline(always)]
fn eight_digits(word: [u8; DIGITS]) -> (u64, usize) {
    let digits = u64::from_le_bytes(word) ^ 0x3030_3030_3030_3030;
    let others = (digits.wrapping_add(0x7676_7676_7676_7676) | digits) & 0x8080_8080_8080_8080;
    let count = (others.trailing_zeros() / 8) as usize;
    if count == 0 {
        return (0, 0);
    }
    // As many leading zeros as digits are missing; then pairs, fours and all eight are joined.
    let pairs = digits << (8 * (DIGITS - count));
    let pairs = pairs.wrapping_mul(10).wrapping_add(pairs >> 8);
    let mask = 0x0000_00ff_0000_00ff;
    let high = (pairs & mask).wrapping_mul(100 + (1_000_000 << 32));
    let low = (pairs >> 16 & mask).wrapping_mul(1 + (10_000 << 32));
    (high.wrapping_add(low) >> 32, count)
}

/// The end of what nobody reads and is no string: a truth, `null`, or a number without exponent of
/// at most 16 digits before and as many behind its point.
#[inline(always)]
pub(super) fn scalar_end<const PLAIN: bool>(
    record: &Record<'_, PLAIN>,
    at: usize,
) -> Option<usize> {
    let window = record.window(at);
    match window[0] {
        b't' => window.starts_with(b"true").then_some(at + 4),
        b'f' => window.starts_with(b"false").then_some(at + 5),
        b'n' => window.starts_with(b"null").then_some(at + 4),
        first => {
            let start = at + usize::from(first == b'-');
            let window = record.window(start);
            let (_, count) = integer(behind(window, 0))?;
            if window[count % BLOCK] != b'.' {
                return Some(start + count);
            }
            let decimals = start + count + 1;
            let count = digit_count(behind(record.window(decimals), 0));
            (count > 0).then_some(decimals + count)
        }
    }
}

/// How many digits a block begins with, up to 16.
#[inline(always)]
fn digit_count(block: &Block) -> usize {
    let (words, _) = block.as_chunks::<DIGITS>();
    match eight_digits(words[0]) {
        (_, DIGITS) => DIGITS + eight_digits(words[1]).1,
        (_, count) => count,
    }
}

#[cfg(test)]
mod tests {
    use super::words::Words;
    use super::*;
    use proptest::prelude::*;

    /// Each byte by itself.
    fn plain(block: &Block) -> Marks {
        let of = |is: fn(u8) -> bool| {
            (0..).zip(block).fold(0, |bits, (at, &byte)| bits | u32::from(is(byte)) << at)
        };
        let others = of(|byte| byte == b'\\' || byte < 0x20 || byte == 0x7f);
        Marks { quotes: of(|byte| byte == b'"'), others }
    }

    fn plain_survey(bytes: &[u8]) -> Survey {
        let control = |byte: &u8| *byte < 0x20 || *byte == 0x7f;
        match () {
            () if bytes.contains(&b'\\') => Survey::Escaped,
            () if !bytes.is_ascii() => Survey::BeyondAscii,
            () if bytes.iter().any(control) => Survey::Ascii,
            () => Survey::Plain,
        }
    }

    /// Every implementation that this processor can run.
    fn check(block: &Block) {
        struct Asked<'a>(&'a Block);
        impl Work for Asked<'_> {
            type Output = (Marks, u32, Survey, Survey);
            fn run(self, blocks: impl Blocks) -> Self::Output {
                let spaces = [b' '; BLOCK];
                let first = blocks.survey(&[*self.0], &spaces);
                let last = blocks.survey(&[spaces], self.0);
                (blocks.marks(self.0), blocks.quotes(self.0), first, last)
            }
        }
        let (marks, survey) = (plain(block), plain_survey(block));
        let expected = (marks, marks.quotes, survey, survey);
        assert_eq!(Asked(block).run(Words), expected, "{block:?}");
        assert_eq!(Processor::detect().run(Asked(block)), expected, "{block:?}");
    }

    #[test]
    fn every_byte_is_marked_right_beside_every_other() {
        for byte in 0..=u8::MAX {
            for other in 0..=u8::MAX {
                let mut block = [other; BLOCK];
                block.iter_mut().step_by(3).for_each(|it| *it = byte);
                check(&block);
                let mut block = [b'x'; BLOCK];
                (block[7], block[31]) = (byte, other);
                check(&block);
            }
        }
    }

    #[test]
    fn a_block_starts_with_a_literal_if_no_byte_of_it_differs() {
        struct Starts<'a>(&'a Block, &'a Block, u32);
        impl Work for Starts<'_> {
            type Output = bool;
            fn run(self, blocks: impl Blocks) -> bool {
                blocks.starts(self.0, self.1, self.2)
            }
        }
        let literal: Block = std::array::from_fn(|at| at as u8 * 7);
        for length in 1..=BLOCK {
            for wrong in 0..BLOCK {
                let mut block = literal;
                block[wrong] ^= 0x20;
                let ignored = u32::MAX.checked_shl(length as u32).unwrap_or(0);
                let starts = || Starts(&block, &literal, ignored);
                assert_eq!(starts().run(Words), wrong >= length);
                assert_eq!(Processor::detect().run(starts()), wrong >= length);
            }
        }
    }

    /// What is asked of a record, whichever it is.
    macro_rules! of {
        ($bytes:expr, $record:ident => $asked:expr) => {
            match survey(Words, $bytes) {
                Surveyed::Plain(known) => {
                    let $record = Record::new(known);
                    $asked
                }
                Surveyed::Odd(known) => {
                    let $record = Record::new(known);
                    $asked
                }
                Surveyed::None => panic!("no record"),
            }
        };
    }

    fn integer_at(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
        of!(bytes, record => integer(behind(record.window(at), 0)))
    }

    fn text_end_at(bytes: &[u8], at: usize) -> Option<usize> {
        of!(bytes, record => text_end(Words, &record, behind(record.window(at), 0), at))
    }

    fn scalar_end_at(bytes: &[u8], at: usize) -> Option<usize> {
        of!(bytes, record => scalar_end(&record, at))
    }

    fn text_at(bytes: &[u8], start: usize, length: usize) -> Option<&str> {
        of!(bytes, record => record.text(start, length))
    }

    proptest! {
        #[test]
        fn a_window_is_what_stands_there_and_then_zeros(
            bytes in prop::collection::vec(b' '..b'\\', 64..200), at in 0_usize..300,
        ) {
            let mut padded = bytes.clone();
            padded.resize(400, 0);
            let window = of!(&bytes, record => *record.window(at));
            prop_assert_eq!(&window[..], &padded[at..at + 64]);
        }

        #[test]
        fn a_whole_number_is_read_as_the_standard_library_reads_it(
            number in prop_oneof![any::<u64>(), 0..10_000_u64, 0..1_u64 << 53],
            before in 64_usize..100, after in 0_usize..40,
        ) {
            let digits = number.to_string();
            let text = format!("{}{digits}{}", "x".repeat(before), ",".repeat(after));
            let found = integer_at(text.as_bytes(), before);
            if digits.len() <= 16 {
                prop_assert_eq!(found, Some((number, digits.len())));
            } else {
                prop_assert_eq!(found.map(|it| it.1), Some(16));
            }
        }

        #[test]
        fn a_string_ends_at_its_first_quote_unless_it_needs_the_parser(
            text in "[ -\\[\\]-~\u{e9}\u{4e2d}]{0,90}[ -\\[\\]-~\\x00-\\x1f]{0,9}",
            before in 64_usize..100, after in 0_usize..40,
        ) {
            let whole = format!("{}{text}\"{}", " ".repeat(before), " ".repeat(after));
            let end = whole.as_bytes()[before..].iter().position(|&byte| byte == b'"').unwrap();
            let odd = |&byte: &u8| byte < 0x20 || byte == 0x7f;
            let is_sound = !whole.as_bytes()[before..before + end].iter().any(odd);
            let found = text_end_at(whole.as_bytes(), before);
            prop_assert_eq!(found, is_sound.then_some(before + end));
        }

        /// Against another parser, wherever the record ends.
        #[test]
        fn what_nobody_reads_is_json_or_the_parser_judges(
            text in "-?[0-9]{0,18}[.]?[0-9]{0,18}[eE]?|true|false|null|[a-z]{1,5}",
            after in 0_usize..40,
        ) {
            let whole = format!("{}{text}{}", " ".repeat(64), ",".repeat(after));
            if let Some(end) = scalar_end_at(whole.as_bytes(), 64)
                && end == 64 + text.len()
            {
                let read = serde_json::from_str::<serde_json::Value>(&text);
                prop_assert!(read.is_ok(), "{}", text);
            }
        }
    }

    #[test]
    fn the_usual_scalars_need_no_parser() {
        let pad = " ".repeat(64);
        for text in ["0", "-0.50", "-12", "1.25", "1234567890.123456789", "true", "false", "null"] {
            let whole = format!("{pad}{text}}}");
            let end = scalar_end_at(whole.as_bytes(), 64);
            assert_eq!(end, Some(64 + text.len()), "{text}");
        }
        for text in ["", "-", "01", "-01", ".5", "1.", "1.x", "x", "nul", "--1", "\"\""] {
            let whole = format!("{pad}{text}");
            assert_eq!(scalar_end_at(whole.as_bytes(), 64), None, "{text}");
        }
        let digits = "7".repeat(70);
        assert_eq!(integer_at(digits.as_bytes(), 70), None, "a number behind the end");
        assert_eq!(text_end_at(digits.as_bytes(), 70), None, "a string without end");
        assert_eq!(text_end_at(digits.as_bytes(), 3), None);
    }

    #[test]
    fn what_only_the_parser_can_judge_is_no_record() {
        let with = |bytes: &[u8]| [&[b' '; 70], bytes].concat();
        for bytes in [&b"\\"[..], b"\xff", b"\xed\xa0\x80"] {
            assert!(matches!(survey(Words, &with(bytes)), Surveyed::None), "{bytes:?}");
        }
        assert!(matches!(survey(Words, &[b' '; 63]), Surveyed::None));
        assert!(matches!(survey(Words, &with(b"x")), Surveyed::Plain(_)));
        let bytes = with("\u{e4}".as_bytes());
        assert_eq!(text_at(&bytes, 70, 2), Some("\u{e4}"));
        assert_eq!(text_at(&bytes, 71, 1), None);
        assert_eq!(text_at(&bytes, 70, 3), None);
        assert_eq!(text_at(&bytes, 90, 0), None);
    }
}
