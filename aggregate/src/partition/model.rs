//! Time at risk against a model that looks at every tenth of a second of every device.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use schemas::event::{BootReason, Lifecycle, TicketSeverity, UpdateState};
use schemas::{Body, Event, Input, Span, Timestamp};

use super::harness::*;
use super::*;
use crate::config::tests::config;

/// All times of these histories are multiples of this, so that the model can look at each cell.
const TICK_MS: i64 = 100;
const WINDOW_TICKS: i64 = 100;
const DEVICES: [&str; 3] = ["d-0", "d-1", "d-2"];
const RINGS: [&str; 3] = ["first", "fast", "unknown"];
const CHANGES: [&str; 2] = ["kb1", "kb2"];

#[derive(Clone, Copy, Debug)]
enum Kind {
    Heartbeat(u32),
    Boot,
    Ticket,
    Offline,
    Reset,
    Moved(usize),
    Install(usize),
    Remove(usize),
}

#[derive(Clone, Copy, Debug)]
struct Step {
    device: usize,
    tick: i64,
    kind: Kind,
}

fn at(tick: i64) -> Timestamp {
    START + Span(tick * TICK_MS * 1_000)
}

fn small_config() -> FoldConfig {
    let window_length = Span(WINDOW_TICKS * TICK_MS * 1_000);
    FoldConfig { window_length, lateness: Span::seconds(3), ..config() }
}

fn body<'a>(kind: Kind) -> Body<'a> {
    match kind {
        Kind::Heartbeat(interval_s) => heartbeat(interval_s),
        Kind::Boot => boot(BootReason::Update),
        Kind::Ticket => Body::Ticket { ticket: "T", severity: TicketSeverity::B, category: None },
        Kind::Offline => lifecycle(Lifecycle::Offline),
        Kind::Reset => lifecycle(Lifecycle::Reset),
        Kind::Moved(_) => lifecycle(Lifecycle::Moved { from: "somewhere" }),
        Kind::Install(change) => update(CHANGES[change], UpdateState::Installing),
        Kind::Remove(change) => update(CHANGES[change], UpdateState::RolledBack),
    }
}

/// Folds the steps in their order, each device under the ring it was last moved to.
fn fold(partition: &mut Partition, steps: &[Step], mut between: impl FnMut(usize, &mut Partition)) {
    let mut rings = [0; DEVICES.len()];
    for (number, step) in steps.iter().enumerate() {
        between(number, partition);
        if let Kind::Moved(ring) = step.kind {
            rings[step.device] = ring;
        }
        let event = Event {
            ring: RINGS[rings[step.device]],
            ..event(DEVICES[step.device], at(step.tick), body(step.kind))
        };
        partition.apply(&event, Arrived { at: event.time, key: None });
    }
}

/// Window (in windows from the start), ring, set.
type Key = (i64, String, Vec<String>);
/// `at_risk_ms`, devices at risk and silent at the window's start.
type Levels = BTreeMap<Key, [i64; 3]>;

fn folded(steps: &[Step]) -> Levels {
    let mut partition = Partition::new(&small_config());
    fold(&mut partition, steps, |_, _| {});
    partition.input(&Input::End);
    let mut sums = Sums::default();
    sums.add(&partition.take());
    let mut levels = Levels::new();
    for ((place, ring, set), row) in sums.health {
        let window = (place.window - START).as_millis() / TICK_MS / WINDOW_TICKS;
        let level = levels.entry((window, ring, set)).or_default();
        (0..3).for_each(|column| level[column] += row[column]);
    }
    levels.retain(|_, level| *level != [0; 3]);
    levels
}

/// What the steps of one device up to a tick leave: `None` = not there, else its end and group.
fn state(steps: &[Step], device: usize, tick: i64) -> Option<(i64, String, Vec<String>)> {
    let mut steps: Vec<&Step> =
        steps.iter().filter(|step| step.device == device && step.tick <= tick).collect();
    steps.sort_by_key(|step| step.tick);
    let (mut interval_s, mut end, mut ring, mut set) = (3_600, None, 0, Vec::new());
    for step in steps {
        match step.kind {
            Kind::Heartbeat(seconds) => interval_s = seconds,
            Kind::Reset => (interval_s, set) = (3_600, Vec::new()),
            Kind::Moved(to) => ring = to,
            Kind::Install(change) => set.push(CHANGES[change].to_owned()),
            Kind::Remove(change) => set.retain(|name| name != CHANGES[change]),
            Kind::Boot | Kind::Ticket | Kind::Offline => {}
        }
        match step.kind {
            Kind::Ticket => {}
            Kind::Offline => end = None,
            _ => end = Some(step.tick + i64::from(interval_s) * 3 * 1_000 / TICK_MS),
        }
    }
    set.sort();
    set.dedup();
    let ring = if RINGS[ring] == "unknown" { "unmanaged" } else { RINGS[ring] };
    end.map(|end| (end, ring.to_owned(), set))
}

fn modelled(steps: &[Step]) -> Levels {
    let newest = steps.iter().map(|step| step.tick).max().unwrap_or(0);
    let mut levels = Levels::new();
    for window in 0..=newest / WINDOW_TICKS {
        let mut rows = Levels::new();
        for tick in window * WINDOW_TICKS..(window + 1) * WINDOW_TICKS {
            for device in 0..DEVICES.len() {
                let Some((end, ring, set)) = state(steps, device, tick) else { continue };
                let level = rows.entry((window, ring, set)).or_default();
                let at_risk = i64::from(tick < end);
                level[0] += at_risk * TICK_MS;
                if tick == window * WINDOW_TICKS {
                    level[1] += at_risk;
                    level[2] += 1 - at_risk;
                }
            }
        }
        if rows.values().any(|level| level[0] > 0) {
            levels.extend(rows.into_iter().filter(|(_, level)| *level != [0; 3]));
        }
    }
    levels
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        6 => (1_u32..20).prop_map(Kind::Heartbeat),
        1 => Just(Kind::Boot),
        1 => Just(Kind::Ticket),
        1 => Just(Kind::Offline),
        1 => Just(Kind::Reset),
        1 => (0..RINGS.len()).prop_map(Kind::Moved),
        2 => (0..CHANGES.len()).prop_map(Kind::Install),
        1 => (0..CHANGES.len()).prop_map(Kind::Remove),
    ]
}

fn steps(kind: impl Strategy<Value = Kind>) -> impl Strategy<Value = Vec<Step>> {
    let step = (0..DEVICES.len(), 0_i64..900, kind).prop_map(|(device, tick, kind)| Step {
        device,
        tick,
        kind,
    });
    prop::collection::vec(step, 1..40)
}

/// Heartbeats of one interval per device, which make the order of arrival irrelevant.
fn steady() -> impl Strategy<Value = Vec<Step>> {
    steps(Just(Kind::Boot)).prop_map(|mut steps| {
        let interval = |device: usize| Kind::Heartbeat([1, 4, 9][device]);
        for step in &mut steps {
            step.kind = interval(step.device);
        }
        steps
    })
}

fn at_risk(levels: &Levels) -> BTreeMap<i64, i64> {
    levels.iter().fold(BTreeMap::new(), |mut sums, ((window, ..), level)| {
        *sums.entry(*window).or_default() += level[0];
        sums
    })
}

proptest! {
    #[test]
    fn in_order_every_level_is_exact(mut steps in steps(kind())) {
        steps.sort_by_key(|step| step.tick);
        prop_assert_eq!(folded(&steps), modelled(&steps));
    }

    #[test]
    fn records_out_of_order_within_the_lateness_lose_no_time(
        steps in steady(), jitter in prop::collection::vec(0_i64..30, 40)
    ) {
        let mut jittered: Vec<_> = steps.iter().zip(jitter).collect();
        jittered.sort_by_key(|(step, late)| step.tick + late);
        let arrived: Vec<Step> = jittered.into_iter().map(|(step, _)| *step).collect();
        prop_assert_eq!(at_risk(&folded(&arrived)), at_risk(&modelled(&steps)));
    }

    #[test]
    fn however_late_records_come_no_window_holds_more_than_the_truth(steps in steady()) {
        let truth = at_risk(&modelled(&steps));
        for (window, at_risk_ms) in at_risk(&folded(&steps)) {
            let most = truth.get(&window).copied().unwrap_or(0);
            prop_assert!((0..=most).contains(&at_risk_ms), "window {}: {}", window, at_risk_ms);
        }
    }

    #[test]
    fn late_records_of_all_kinds_leave_no_negative_sum(steps in steps(kind())) {
        for (key, level) in folded(&steps) {
            prop_assert!(level.iter().all(|&value| value >= 0), "{key:?}: {level:?}");
        }
    }

    #[test]
    fn where_deltas_are_taken_and_how_ids_are_hashed_changes_no_sum(
        steps in steps(kind()),
        cuts in prop::collection::btree_set(0_usize..40, 0..8),
        idle in 0_usize..40,
    ) {
        let run = |config: &FoldConfig, cuts: &dyn Fn(usize) -> bool| {
            let mut partition = Partition::new(config);
            let mut sums = Sums::default();
            fold(&mut partition, &steps, |number, partition| {
                if number == idle {
                    partition.input(&Input::Idle(at(500)));
                }
                if cuts(number) {
                    sums.add(&partition.take());
                }
            });
            partition.input(&Input::End);
            sums.add(&partition.take());
            sums
        };
        let whole = run(&small_config(), &|_| false);
        let other = FoldConfig { hash_seed: [77, 78], ..small_config() };
        prop_assert_eq!(&run(&small_config(), &|number| cuts.contains(&number)), &whole);
        let counted = |sums: &Sums| sums.heard.values().map(BTreeSet::len).collect::<Vec<_>>();
        let hashed = run(&other, &|_| true);
        prop_assert_eq!(counted(&hashed), counted(&whole));
        let heard = whole.heard.clone();
        prop_assert_eq!(&Sums { heard, ..hashed }, &whole);
    }
}
