//! The names of objects below the data folder, and what may stand in one.
//!
//! Only kinds of streams, numbers, dataset names, dates and escaped destination names become part
//! of a key (A10): no string that a device or a change controls ever does.

use std::fmt::Write;

use schemas::{Dataset, Stream, StreamKind};

pub(crate) const SYSTEM: &str = "system";
pub(crate) const TEMPORARY: &str = "system/tmp/";
pub(crate) const JOURNAL: &str = "system/journal";
pub(crate) const CHAIN: &str = "system/chain";
pub(crate) const STAGING: &str = "system/staging";
pub(crate) const TABLES: &str = "tables";
pub(crate) const SETTLED: &str = "settled";
pub(crate) const CHECKPOINTS: &str = "system/checkpoints";
pub(crate) const SERVED: &str = "system/served";
const SNAPSHOTS: &str = "system/snapshots";
pub(crate) const IDENTITY: &str = "system/identity.json";
/// Everything of a data folder that was set aside, by number.
pub(crate) const SET_ASIDE: &str = "set-aside";
/// While that is being done: which number.
pub(crate) const SETTING_ASIDE: &str = "system/setting-aside";
pub(crate) const GROWTH: &str = "system/growth";
pub(crate) const COMMANDS: &str = "system/commands";
pub(crate) const CONFIG: &str = "system/config/0";
/// The logs by which readers of Delta Lake see the tables.
pub(crate) const DELTA: &str = "delta";
#[cfg(feature = "delta")]
pub(crate) const DELTA_STATE: &str = "system/delta/state";

/// Digits of a number in a key: all of `u64`, so that names sort as numbers do.
const DIGITS: usize = 20;

/// Digits of its writer in the name of a state: 32 bits, against a mix-up, not an attacker.
const WRITER_DIGITS: usize = 8;

/// Digits of the content hash in a staged name: 64 bits, against a mix-up, not an attacker.
const STAGED_HASH_DIGITS: usize = 16;

/// Says that `telemetry` has grown to so many partitions.
pub(crate) fn growth(partition_count: i32) -> String {
    format!("{GROWTH}/{partition_count:020}")
}

/// How many partitions such a key says.
pub(crate) fn parse_growth(key: &str) -> Option<i32> {
    number(key.rsplit('/').next()?)?.try_into().ok()
}

/// The folder of one partition's journal.
pub(crate) fn journal_folder(stream: Stream) -> String {
    format!("{JOURNAL}/{stream}")
}

pub(crate) fn journal_entry(stream: Stream, number: u64) -> String {
    format!("{JOURNAL}/{stream}/{number:020}")
}

pub(crate) fn commit(sequence: u64) -> String {
    format!("{CHAIN}/{sequence:020}")
}

/// The folder of one partition's snapshots.
pub(crate) fn snapshot_folder(stream: Stream) -> String {
    format!("{SNAPSHOTS}/{stream}")
}

/// Where a state is written: after which entry or commit, and by whom, so that no two meet.
pub(crate) fn state(folder: &str, after: u64, writer: &str) -> String {
    format!("{folder}/{after:020}-{}", writer.get(..WRITER_DIGITS).unwrap_or(writer))
}

/// The entry or commit after which a state was taken.
pub(crate) fn parse_state(key: &str) -> Option<u64> {
    let (after, writer) = key.rsplit('/').next()?.split_once('-')?;
    if writer.is_empty() { None } else { number(after) }
}

/// Whether a log may name a state by this key.
pub(crate) fn is_state(key: &str) -> bool {
    let below = |folder: &str| key.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
    is_sound(key) && (below(SNAPSHOTS) || below(CHECKPOINTS)) && parse_state(key).is_some()
}

/// Where a table file stands for readers.
pub(crate) fn table_file(dataset: Dataset, date: &str, sequence: u64, n: u32) -> String {
    format!("{TABLES}/{}/date={date}/{sequence:020}-{n}.parquet", dataset.name())
}

/// Where a file of a finished day stands for readers; `sequence` is that of the commit naming it.
pub(crate) fn settled_file(dataset: Dataset, date: &str, sequence: u64, n: u32) -> String {
    format!("{SETTLED}/{}/date={date}/{sequence:020}-{n}.parquet", dataset.name())
}

/// One version of a dataset's Delta log.
#[cfg(feature = "delta")]
pub(crate) fn delta_version(dataset: Dataset, version: u64) -> String {
    format!("{DELTA}/{}/_delta_log/{version:020}.json", dataset.name())
}

#[cfg(feature = "delta")]
pub(crate) fn delta_checkpoint(dataset: Dataset, version: u64) -> String {
    format!("{DELTA}/{}/_delta_log/{version:020}.checkpoint.parquet", dataset.name())
}

#[cfg(feature = "delta")]
pub(crate) fn delta_last_checkpoint(dataset: Dataset) -> String {
    format!("{DELTA}/{}/_delta_log/_last_checkpoint", dataset.name())
}

/// The dataset and the date of a file below `tables/` or `settled/`.
pub(crate) fn parse_day(key: &str) -> Option<(Dataset, &str)> {
    let mut parts = key.split('/').skip(1);
    let dataset = Dataset::from_name(parts.next()?)?;
    let date = parts.next()?.strip_prefix("date=").filter(|date| is_date(date))?;
    Some((dataset, date))
}

/// Whether it is `YYYY-MM-DD`, as far as its shape goes.
pub(crate) fn is_date(date: &str) -> bool {
    let dashes = |(at, byte): (usize, u8)| match at {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    };
    date.len() == 10 && date.bytes().enumerate().all(dashes)
}

/// Where the same file waits for its commit. It is named by its content as well, so that two
/// publishers at one sequence, of whom one will lose, cannot overwrite each other.
pub(crate) fn staged_file(sequence: u64, n: u32, sha256: &str) -> String {
    format!("{STAGING}/{sequence:020}-{n}-{}.parquet", &sha256[..STAGED_HASH_DIGITS])
}

pub(crate) fn command(number: u64) -> String {
    format!("{COMMANDS}/{number:020}")
}

pub(crate) fn served(destination: &str) -> String {
    format!("{SERVED}/{}", escape(destination))
}

/// The destination that a key of [`SERVED`] is about.
pub(crate) fn parse_served(key: &str) -> Option<String> {
    let mut rest = key.strip_prefix(SERVED)?.strip_prefix('/')?;
    let mut name = Vec::with_capacity(rest.len());
    while let Some(byte) = rest.bytes().next() {
        let (value, length) = match byte {
            b'%' => (u8::from_str_radix(rest.get(1..3)?, 16).ok()?, 3),
            _ => (byte, 1),
        };
        name.push(value);
        rest = rest.get(length..)?;
    }
    let name = String::from_utf8(name).ok()?;
    (served(&name) == key).then_some(name)
}

pub(crate) fn cursor(destination: &str) -> String {
    format!("system/cursors/{}", escape(destination))
}

/// The number that a 20-digit name says.
pub(crate) fn number(name: &str) -> Option<u64> {
    let all_digits = name.len() == DIGITS && name.bytes().all(|byte| byte.is_ascii_digit());
    if all_digits { name.parse().ok() } else { None }
}

/// The stream and the number of a journal key.
pub(crate) fn parse_journal_entry(key: &str) -> Option<(Stream, u64)> {
    let mut parts = key.strip_prefix(JOURNAL)?.strip_prefix('/')?.split('/');
    let kind = StreamKind::from_name(parts.next()?)?;
    let partition: i32 = parts.next()?.parse().ok()?;
    let number = number(parts.next()?)?;
    let stream = Stream { kind, partition };
    (journal_entry(stream, number) == key).then_some((stream, number))
}

/// The sequence and the `n` of a file `<sequence>-<n>.parquet` or `<sequence>-<n>-<hash>.parquet`.
pub(crate) fn parse_file(key: &str) -> Option<(u64, u32)> {
    let name = key.rsplit('/').next()?.strip_suffix(".parquet")?;
    let mut parts = name.split('-');
    Some((number(parts.next()?)?, parts.next()?.parse().ok()?))
}

/// Whether a key stays inside the data folder and is the same on every file system.
pub(crate) fn is_sound(key: &str) -> bool {
    key.split('/')
        .all(|part| !part.is_empty() && !part.starts_with('.') && part.bytes().all(is_plain_in_key))
}

const fn is_plain_in_key(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'=' | b'%')
}

/// A name with every byte but letters, digits, `-` and `_` as `%XX`: never two for one.
fn escape(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            escaped.push(char::from(byte));
        } else {
            write!(escaped, "%{byte:02X}").unwrap_or_default();
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_key_of_how_a_destination_stands_says_its_name(name in ".{1,40}") {
            prop_assert_eq!(parse_served(&served(&name)), Some(name));
        }
    }

    #[test]
    fn a_journal_key_says_its_stream_and_number_and_nothing_else_does() {
        let stream = Stream { kind: StreamKind::Telemetry, partition: 12 };
        let key = journal_entry(stream, 7);
        assert_eq!(key, "system/journal/telemetry/12/00000000000000000007");
        assert_eq!(parse_journal_entry(&key), Some((stream, 7)));
        for foreign in [
            "system/journal/telemetry/12/7",
            "system/journal/telemetry/012/00000000000000000007",
            "system/journal/telemetry/12/00000000000000000007/x",
            "system/journal/other/12/00000000000000000007",
            "system/journal/telemetry/12/0000000000000000000x",
        ] {
            assert_eq!(parse_journal_entry(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn a_state_says_after_what_it_was_taken_and_nothing_else_is_one() {
        let stream = Stream { kind: StreamKind::Telemetry, partition: 3 };
        let snapshot = state(&snapshot_folder(stream), 7, &"ab".repeat(16));
        assert_eq!(snapshot, "system/snapshots/telemetry/3/00000000000000000007-abababab");
        assert_eq!(parse_state(&snapshot), Some(7));
        assert!(is_state(&snapshot) && is_state(&state(CHECKPOINTS, 9, "ab")));
        for foreign in [
            "system/snapshots/telemetry/3/00000000000000000007",
            "system/snapshots/telemetry/3/00000000000000000007-",
            "system/snapshots/telemetry/3/7-abababab",
            "system/chain/00000000000000000007-abababab",
            "system/snapshots/../00000000000000000007-abababab",
        ] {
            assert!(!is_state(foreign), "{foreign}");
        }
    }

    #[test]
    fn keys_that_leave_the_folder_are_unsound() {
        for key in ["", "/a", "a//b", "a/../b", "a/.hidden", "a\\b", "a b", "a\0", "ä", "a/"] {
            assert!(!is_sound(key), "{key:?}");
        }
        assert!(is_sound(&table_file(Dataset::RingHealth, "2026-07-19", 3, 0)));
        assert!(is_sound(&staged_file(3, 0, &"ab".repeat(32))));
    }

    proptest! {
        #[test]
        fn any_destination_name_gives_a_sound_key_of_its_own(one in ".{1,40}", two in ".{1,40}") {
            prop_assert!(is_sound(&cursor(&one)));
            prop_assert_eq!(cursor(&one) == cursor(&two), one == two);
        }
    }
}
