//! What order and batching must not change: when counts come, in which parts, under which names.

use alerts::VerdictRow;
use proptest::prelude::*;
use schemas::totals::Onsets;
use schemas::{Signal, WindowTotals};

use crate::windows::{engine, row, start, window};

const WINDOWS: i64 = 12;

/// Windows with exposure only, and what was hit in each: treated, control within, control later.
fn exposure(number: i64) -> WindowTotals {
    let groups = [
        ("first", &["kb1"][..], 40 + 9 * number, &[][..]),
        ("first", &[], 500 - 9 * number, &[]),
        ("last", &[], 5_000, &[]),
    ];
    window(number, &groups)
}

/// The row after all windows, where each hit comes `late` windows after its own.
fn after(hits: &[(i64, usize, i64, i64)]) -> VerdictRow {
    let mut engine = engine(9);
    for number in 0..2 * WINDOWS {
        let mut totals = exposure(number);
        for &(own, group, affected, late) in hits {
            if own + late != number {
                continue;
            }
            let groups = exposure(own).groups;
            let Some(((ring, set), _)) = groups.into_iter().nth(group) else { continue };
            let onsets = Onsets { affected, first_at: Some(start(own)) };
            if late == 0 {
                let group = totals.groups.entry((ring, set)).or_default();
                let standing = group.onsets.entry(Signal::AppHang).or_default();
                standing.add(onsets.affected, onsets.first_at);
            } else {
                let key = (start(own), ring, set, Signal::AppHang);
                let standing = totals.late.entry(key).or_default();
                standing.add(onsets.affected, onsets.first_at);
            }
        }
        engine.evaluate(&totals);
    }
    row(&engine, "first", Signal::AppHang)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn hits_count_in_their_own_window_whenever_and_in_whatever_parts_they_come(
        hits in prop::collection::vec((0..WINDOWS, 0..3_usize, 1..4_i64), 1..12),
        lateness in prop::collection::vec(0..WINDOWS, 36),
    ) {
        let on_time: Vec<_> =
            hits.iter().map(|&(own, group, affected)| (own, group, affected, 0)).collect();
        // Every device by itself, each as late as it likes.
        let single = hits.iter().flat_map(|&(own, group, affected)| {
            (0..affected).map(move |_| (own, group, 1))
        });
        let scattered: Vec<_> = single
            .zip(lateness.iter().cycle())
            .map(|((own, group, affected), &late)| (own, group, affected, late))
            .collect();
        let (one, other) = (after(&on_time), after(&scattered));
        prop_assert!((one.log_e - other.log_e).abs() <= 1e-5 * one.log_e.abs().max(1.0));
        prop_assert_eq!((one.treated, one.control), (other.treated, other.control));
        prop_assert_eq!(one.ratio, other.ratio);
    }
}
