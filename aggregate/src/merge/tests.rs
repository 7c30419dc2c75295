//! Whatever the order of entries and the moments of cuts, the same sums come out.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use schemas::delta::Scope;
use schemas::{Dataset, Histogram};

use super::*;

mod cases;
mod model;
mod restart;
mod run;
mod world;

use run::{Scheme, collect};
use world::World;

fn world() -> impl Strategy<Value = World> {
    proptest::collection::vec(any::<[u8; 6]>(), 1..120).prop_map(|steps| World::of(&steps))
}

fn scheme() -> impl Strategy<Value = Scheme> {
    proptest::collection::vec(any::<u8>(), 600).prop_map(Scheme)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn all_rows_add_up_to_the_expansion_of_all_deltas_at_once(
        world in world(), scheme in scheme(),
    ) {
        let run = collect(&world, &scheme, WINDOWS_MAX);
        prop_assert_eq!(&run.health, &model::health(&world));
        prop_assert_eq!(&run.signals, &model::signals(&world));
        prop_assert_eq!(&run.durations, &model::durations(&world));
        prop_assert_eq!(&run.hours, &model::hours(&world));
        if !run.windows.is_empty() {
            let signatures = run.windows.iter().flat_map(|(totals, ..)| totals.signatures.values());
            let affected: i64 = signatures.map(|onsets| onsets.affected).sum();
            prop_assert_eq!(affected, model::signatures(&world));
            let facts = run.windows.iter().flat_map(|(totals, ..)| totals.facts.values());
            prop_assert_eq!(facts.map(|sum| sum.affected).sum::<i64>(), model::facts(&world));
            let durations = run.windows.iter().flat_map(|(totals, ..)| totals.durations.values());
            let returns = run.windows.iter().flat_map(|(totals, ..)| totals.returns.values());
            let returns = returns.fold([0; 2], |[t, f], sum| [t + sum.trials, f + sum.failed]);
            prop_assert_eq!(returns, model::returns(&world));
            prop_assert_eq!(durations.map(Histogram::count).sum::<i64>(), model::reported(&world));
        }
    }

    #[test]
    fn windows_do_not_depend_on_interleaving_entries_and_cuts(
        world in world(), one in scheme(), other in scheme(),
    ) {
        let one = collect(&world, &one, WINDOWS_MAX);
        let other = collect(&world, &other, WINDOWS_MAX);
        prop_assert_eq!(&one.windows, &other.windows);
        let starts: Vec<_> = one.windows.iter().map(|(totals, ..)| totals.start).collect();
        prop_assert!(starts.is_sorted_by(|a, b| a < b), "{:?}", starts);
    }

    #[test]
    fn every_registry_record_is_handed_out_once_and_in_time(world in world(), scheme in scheme()) {
        let run = collect(&world, &scheme, WINDOWS_MAX);
        let mut handed = Vec::new();
        for (totals, registry, _) in &run.windows {
            let ordered = registry.is_sorted_by_key(|record| (record.takes_effect, record.offset));
            prop_assert!(ordered && registry.iter().all(|record| record.takes_effect < totals.end));
            handed.extend(registry.iter().cloned());
        }
        let mut sent: Vec<_> = world.registry().cloned().collect();
        sent.sort_by_key(|record| (record.takes_effect, record.offset));
        prop_assert!(run.windows.is_empty() || handed == sent, "{handed:?} is not {sent:?}");
    }

    #[test]
    fn each_cut_that_touches_a_window_writes_the_next_revision(
        world in world(), scheme in scheme(),
    ) {
        let run = collect(&world, &scheme, WINDOWS_MAX);
        for (key, revisions) in &run.revisions {
            let expected: Vec<i64> = (0..revisions.len() as i64).collect();
            prop_assert_eq!(revisions, &expected, "{:?}", key);
        }
    }

    #[test]
    fn a_forgotten_window_loses_no_count_and_less_than_a_second_a_row(
        world in world(), scheme in scheme(),
    ) {
        let run = collect(&world, &scheme, 1);
        prop_assert_eq!(&run.signals, &model::signals(&world));
        for (key, truth) in &model::health(&world) {
            let mut cells = run.health.get(key).copied().unwrap_or([0; health::CELLS]);
            let seconds = truth[health::AT_RISK_MS] - cells[health::AT_RISK_MS];
            let lost_max = *run.row_counts.get(key).unwrap_or(&0);
            prop_assert!((0..=lost_max).contains(&seconds), "{:?}: {} s lost", key, seconds);
            cells[health::AT_RISK_MS] = truth[health::AT_RISK_MS];
            prop_assert_eq!(&cells, truth);
        }
    }
}
