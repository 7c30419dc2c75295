//! A merge that was stored and loaded hands out what it would have handed out.

use super::run::collect_through;
use super::world::{STREAMS, config, entry, minute, stream};
use super::*;
use crate::state::StateError;
use schemas::Grown;
use sha2::{Digest, Sha256};

fn streams() -> Vec<Stream> {
    (0..STREAMS).map(stream).collect()
}

fn reload(merge: &Merge, windows_max: usize) -> Merge {
    let stored = merge.save();
    let loaded = Merge::load(config(windows_max), &streams(), &stored).unwrap();
    assert_eq!(loaded.save(), stored, "loading loses nothing");
    loaded
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn stored_and_loaded_anywhere_it_goes_on_as_before(
        world in world(), scheme in scheme(), windows_max in 1_usize..40, every in 1_usize..9,
    ) {
        let mut turn = 0;
        let restarting = collect_through(&world, &scheme, windows_max, |merge| {
            turn += 1;
            if turn % every == 0 { reload(&merge, windows_max) } else { merge }
        });
        prop_assert_eq!(restarting, collect(&world, &scheme, windows_max));
    }

    #[test]
    fn names_numbered_anew_at_any_cut_are_the_same_names(
        world in world(), scheme in scheme(), windows_max in 1_usize..40, bound in 0_usize..20,
    ) {
        let mut first = true;
        let renumbering = collect_through(&world, &scheme, windows_max, |mut merge| {
            if std::mem::take(&mut first) {
                merge.names.bound(bound);
            }
            merge
        });
        prop_assert_eq!(renumbering, collect(&world, &scheme, windows_max));
    }

    #[test]
    fn bytes_that_are_not_state_are_an_error_or_load_without_a_panic(
        world in world(), at in any::<prop::sample::Index>(), bit in 0_u8..8,
    ) {
        let mut merge = Merge::new(config(WINDOWS_MAX), &streams());
        world.entries(&mut || 1).iter().flatten().for_each(|entry| merge.add(entry));
        let mut stored = merge.save();
        let load = |bytes: &[u8]| Merge::load(config(WINDOWS_MAX), &streams(), bytes);
        for length in 0..stored.len() {
            prop_assert!(load(&stored[..length]).is_err(), "{length} of {} bytes", stored.len());
        }
        let at = at.index(stored.len());
        stored[at] ^= 1 << bit;
        let _either = load(&stored);
    }
}

#[test]
fn streams_that_joined_are_found_again_and_none_may_be_missing() {
    let mut merge = Merge::new(config(WINDOWS_MAX), &streams()[..2]);
    merge.add(&grown(1, 3));
    let stored = merge.save();
    let load = |count| Merge::load(config(WINDOWS_MAX), &streams()[..count], &stored);
    assert_eq!(load(4).err(), Some(StateError::Settings));
    let mut merge = load(2).unwrap();
    merge.add(&entry(stream(2), 0));
    assert_eq!([0, 1, 2].map(|index| merge.next_number(stream(index))), [0, 1, 1]);
}

/// An entry 0 by which telemetry has so many partitions.
fn grown(partition: usize, partition_count: i32) -> Entry {
    let mut entry = entry(stream(partition), 0);
    entry.header.inputs = vec![Input::Grown(Grown { partition_count, at: minute(0) })];
    entry
}

#[test]
fn a_grown_topic_is_waited_for_and_told_of_once() {
    let mut merge = Merge::new(config(100), &streams()[..1]);
    let closed = |mut entry: Entry, until| {
        entry.header.closed_until = minute(until);
        entry.delta = super::cases::health(until - 1, until - 1, "first", 0, 5);
        entry
    };
    let told = |merge: &mut Merge| {
        let windows = std::iter::from_fn(|| merge.next_window());
        windows.map(|(totals, ..)| totals.repartitioned).collect::<Vec<_>>()
    };
    merge.add(&closed(entry(stream(0), 0), 500));
    assert_eq!(told(&mut merge), [false]);
    let mut more = closed(grown(0, 2), 501);
    more.header.number = 1;
    merge.add(&more);
    assert_eq!(told(&mut merge), [false; 0], "the new one has closed nothing yet");
    merge.add(&closed(grown(1, 2), 503));
    assert_eq!(told(&mut merge), [true]);
    let mut next = closed(entry(stream(0), 2), 504);
    next.header.start = 0;
    merge.add(&next);
    assert_eq!(told(&mut merge), [false]);
}

/// A merge of three streams that have closed all before these minutes, one row in each.
fn closed(minutes: [i64; 3]) -> Merge {
    let mut merge = Merge::new(config(100), &streams()[..3]);
    for (index, number) in minutes.into_iter().enumerate() {
        let mut entry = entry(stream(index), 0);
        entry.header.closed_until = minute(number);
        entry.delta = super::cases::health(number, number, "first", 0, 5);
        merge.add(&entry);
    }
    merge
}

#[test]
fn a_stream_far_ahead_of_the_slowest_waits_and_nobody_waits_for_one_that_has_ended() {
    let ahead = |merge: &Merge| [0, 1, 2].map(|index| merge.is_ahead(stream(index)));
    assert_eq!(ahead(&closed([500, 600, 601])), [false, false, true]);
    let mut merge = closed([500, 600, 601]);
    let mut end = entry(stream(0), 1);
    end.header.closed_until = minute(500);
    end.header.ended = true;
    merge.add(&end);
    let windows: Vec<_> = std::iter::from_fn(|| merge.next_window()).collect();
    assert_eq!((windows.len(), ahead(&merge)), (1, [false; 3]));
}

#[test]
fn before_the_slowest_has_an_entry_the_first_rows_are_what_others_are_ahead_of() {
    let mut merge = Merge::new(config(100), &streams()[..3]);
    let mut add = |number, until| {
        let mut entry = entry(stream(0), number);
        entry.header.closed_until = minute(until);
        entry.delta = super::cases::health(until, until, "first", 0, 5);
        merge.add(&entry);
        merge.is_ahead(stream(0))
    };
    assert_eq!([add(0, 500), add(1, 600), add(2, 601)], [false, false, true]);
}

#[test]
fn a_straggler_is_left_out_and_waited_for_again_once_it_has_caught_up() {
    let mut merge = closed([500, 600, 600]);
    let behind = |merge: &Merge, minutes| merge.behind(Span::minutes(minutes));
    assert_eq!(behind(&merge, 99), [stream(0)]);
    assert_eq!(behind(&merge, 100), [], "not more than that");
    let hand_out = |merge: &mut Merge| {
        let windows = std::iter::from_fn(|| merge.next_window());
        windows.map(|(totals, ..)| (totals.start, totals.partial)).collect::<Vec<_>>()
    };
    assert_eq!(hand_out(&mut merge), []);
    merge.leave_out(stream(0));
    assert_eq!((behind(&merge, 99), merge.left_out_count()), (vec![], 1));
    let mut loaded = Merge::load(config(100), &streams()[..3], &merge.save()).unwrap();
    assert_eq!(hand_out(&mut loaded), [(minute(500), true)], "stored with the rest");
    assert_eq!(hand_out(&mut merge), [(minute(500), true)]);
    let step = |merge: &mut Merge, index, number, until| {
        let mut entry = entry(stream(index), number);
        entry.header.closed_until = minute(until);
        entry.delta = super::cases::health(until, until, "first", 0, 5);
        merge.add(&entry);
        merge.left_out_count()
    };
    assert_eq!(step(&mut merge, 0, 1, 500), 1, "501 was evaluated without it");
    assert_eq!(step(&mut merge, 0, 2, 501), 0);
    assert_eq!(hand_out(&mut merge), [], "waited for");
    assert_eq!(step(&mut merge, 0, 3, 600), 0);
    assert_eq!(hand_out(&mut merge), [(minute(501), false)]);
}

#[test]
fn names_that_nothing_is_summed_under_are_forgotten() {
    let mut merge = Merge::new(config(2), &streams()[..1]);
    merge.names.bound(40);
    let mut count_max = 0;
    for number in 0..1_000 {
        let mut entry = entry(stream(0), number);
        let window = 10 + number as i64;
        entry.delta = super::cases::health(window, window, &format!("ring-{number}"), 0, 5);
        entry.header.closed_until = minute(window + 1);
        merge.add(&entry);
        while merge.next_window().is_some() {}
        assert_eq!(merge.cut().len(), 1);
        count_max = count_max.max(merge.names.count());
    }
    assert!(count_max <= 50, "{count_max} names of which two windows name two");
}

/// Drawn once: 400 steps.
fn fixed_world() -> World {
    let mut state = 1_u32;
    let mut draw = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    World::of(&std::array::from_fn::<[u8; 6], 400, _>(|_| std::array::from_fn(|_| draw())))
}

/// Another version of format 3, 68342e5, stored these bytes: length and the first of their SHA-256.
#[test]
fn stored_bytes_are_those_of_the_format() {
    let (world, mut turn) = (fixed_world(), 0_u8);
    let mut merge = Merge::new(config(20), &streams());
    for entry in world.entries(&mut || 1).iter().flatten() {
        merge.add(entry);
        turn = turn.wrapping_add(1);
        if turn % 50 == 0 {
            while merge.next_window().is_some() {}
            merge.cut();
        }
    }
    let stored = reload(&merge, 20).save();
    let digest = Sha256::digest(&stored);
    let first = digest.first_chunk().copied().map(u64::from_be_bytes);
    assert_eq!((stored.len(), first), (16_889, Some(0xd565_5b04_b8b6_30c9)));
}
