//! The day that the times of a stream lie in: its date need not be read anew in each record.
//!
//! In: the text of a time. Out: what [`Timestamp::parse_rfc3339`] says of it. Only the form that
//! most senders use is read here, `2026-07-19T04:09:12.345Z`, and only on the day of the last one.

#![expect(clippy::inline_always, reason = "a call would undo the choice of instructions")]

use std::cell::Cell;

use schemas::{Span, Timestamp};

/// A day of which a time was read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Day {
    /// `2026-07-19T` as eight bytes from its start and eight up to its end.
    date: [u64; 2],
    midnight: Timestamp,
}

const LOW: u64 = u64::MAX / 0xff * 0x7f;

#[expect(clippy::expect_used, reason = "`AT` is at most 16")]
fn word<const AT: usize>(text: &[u8; 24]) -> u64 {
    let bytes = text[AT..].first_chunk().expect("eight bytes from `AT` on");
    u64::from_le_bytes(*bytes)
}

/// One high bit or more unless each byte of `digits` is a digit where `form` has a zero, and 0
/// elsewhere.
const fn wrong(digits: u64, form: [u8; 8]) -> u64 {
    let (mut room, mut at) = ([0; 8], 0);
    while at < room.len() {
        room[at] = if form[at] == b'0' { 0x7f - 9 } else { 0x7f };
        at += 1;
    }
    ((digits & LOW) + u64::from_le_bytes(room)) | digits
}

impl Day {
    /// The time, if it is of this day and of the usual form.
    #[inline(always)]
    fn time(self, text: &[u8; 24]) -> Option<Timestamp> {
        const CLOCK: [u8; 8] = *b"00:00:00";
        const REST: [u8; 8] = *b":00.000Z";
        let clock = word::<11>(text) ^ u64::from_le_bytes(CLOCK);
        let rest = word::<16>(text) ^ u64::from_le_bytes(REST);
        let byte = |word: u64, at: u32| (word >> (8 * at) & 0xff) as i64;
        // In each byte ten times its digit and the next one.
        let pairs = (clock & LOW).wrapping_mul(10).wrapping_add(clock >> 8);
        let (hour, minute, second) = (byte(pairs, 0), byte(pairs, 3), byte(pairs, 6));
        let millis = byte(rest, 4) * 100 + byte(rest, 5) * 10 + byte(rest, 6);
        let is_usual = (wrong(clock, CLOCK) | wrong(rest, REST)) & !LOW == 0
            && self.date == [word::<0>(text), word::<3>(text)]
            && hour <= 23
            && minute <= 59
            && second <= 59;
        let seconds = hour * 3_600 + minute * 60 + second;
        is_usual.then_some(self.midnight + Span(seconds * 1_000_000 + millis * 1_000))
    }

    /// The time; `day` becomes that of its text.
    #[inline(always)]
    pub(super) fn read(day: &Cell<Self>, text: &str) -> Option<Timestamp> {
        let usual = text.as_bytes().as_array::<24>();
        match usual.and_then(|text| day.get().time(text)) {
            Some(time) => Some(time),
            None => Self::begin(day, text),
        }
    }

    #[cold]
    #[inline(never)]
    fn begin(day: &Cell<Self>, text: &str) -> Option<Timestamp> {
        let time = Timestamp::parse_rfc3339(text.as_bytes())?;
        if let Some(text) = text.as_bytes().as_array::<24>() {
            let date = [word::<0>(text), word::<3>(text)];
            let next = Self { date, midnight: time.window_start(Span::days(1)) };
            // A leap second is of another day than its text says.
            if next.time(text) == Some(time) {
                day.set(next);
            }
        }
        Some(time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// On a day that was read before, and on another.
        #[test]
        fn a_time_is_what_the_whole_text_says(
            first in "202[0-9]-0[1-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]\\.[0-9]{3}Z",
            clock in "[T ][0-2][0-9]:[0-6][0-9]:[0-6][0-9]\\.[0-9]{3}Z|T[0-9:.Z+\u{e9}-]{12,13}",
            damage in prop::option::of((0_usize..24, any::<char>())),
        ) {
            let mut second = format!("{}{clock}", &first[..10]);
            if let Some((at, char)) = damage && second.is_char_boundary(at) {
                second.insert(at, char);
                second.pop();
            }
            let day = Cell::default();
            for text in [&first, &second, &first, &second] {
                let time = Day::read(&day, text);
                prop_assert_eq!(time, Timestamp::parse_rfc3339(text.as_bytes()), "{}", text);
            }
        }
    }

    #[test]
    fn the_clock_alone_is_read_on_the_same_day() {
        let day = Cell::default();
        assert!(Day::read(&day, "2026-07-19T04:09:12.345Z").is_some());
        let day = day.get();
        let text = b"2026-07-19T23:59:59.999Z";
        assert_eq!(day.time(text), Timestamp::parse_rfc3339(text));
        assert_eq!(day.time(b"2026-07-20T23:59:59.999Z"), None);
        assert_eq!(day.time(b"2026-07-19T23:59:60.000Z"), None);
    }
}
