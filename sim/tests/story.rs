//! Scenarios told whole, and what must hold of them.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::collections::{BTreeMap, HashMap};

use schemas::{Span, StreamKind, Timestamp};
use serde_json::Value;
use sim::{Scenario, SimRecord, Simulation};

const OS_CRASH: &str = include_str!("../scenarios/os-crash-10x.toml");
const NO_OP: &str = include_str!("../scenarios/no-op.toml");
const DEMO: &str = include_str!("../scenarios/demo.toml");

fn scenario(text: &str, changes: &[(&str, &str)]) -> Scenario {
    let edited = changes.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from} is not in the scenario");
        text.replacen(from, to, 1)
    });
    Scenario::parse(&edited).unwrap()
}

/// Telemetry records with their JSON.
fn telemetry(scenario: &Scenario) -> Vec<(SimRecord, Value)> {
    Simulation::new(scenario)
        .filter(|record| record.stream.kind == StreamKind::Telemetry)
        .map(|record| {
            let value = serde_json::from_slice(&record.value).unwrap();
            (record, value)
        })
        .collect()
}

fn time_of(value: &Value) -> Timestamp {
    Timestamp::parse_rfc3339(value["time"].as_str().unwrap().as_bytes()).unwrap()
}

/// Distinct devices of a ring that reported `kind`, between two hours of the story.
fn hit(records: &[(SimRecord, Value)], scenario: &Scenario, ring: &str, hours: [f64; 2]) -> usize {
    let [from, to] = hours.map(|hours| scenario.at(hours));
    let crash = |value: &Value| value["kind"] == "os_crash" && value["ring"] == ring;
    let devices: std::collections::BTreeSet<_> = records
        .iter()
        .filter(|(_, value)| crash(value) && (from..to).contains(&time_of(value)))
        .map(|(record, _)| &record.key)
        .collect();
    devices.len()
}

#[test]
fn the_same_seed_tells_the_same_story_and_another_seed_another() {
    let small = [("devices = 10_000", "devices = 200")];
    let told = |text: &str| Simulation::new(&scenario(text, &small)).collect::<Vec<_>>();
    assert_eq!(told(OS_CRASH), told(OS_CRASH));
    assert_ne!(told(OS_CRASH), told(&OS_CRASH.replace("seed = 1", "seed = 2")));
}

#[test]
fn records_come_in_order_of_arrival_after_the_announcements() {
    let scenario = scenario(DEMO, &[("devices = 20_000", "devices = 2_000")]);
    let records: Vec<_> = Simulation::new(&scenario).collect();
    assert!(records.is_sorted_by_key(|record| record.arrival));
    let first: Vec<_> = records.iter().take(3).map(|record| record.stream.kind).collect();
    assert_eq!(first, [StreamKind::Changes, StreamKind::Changes, StreamKind::Telemetry]);
    assert!(records.iter().any(|record| record.stream.kind == StreamKind::Support));
}

#[test]
fn every_device_keeps_its_partition_and_counts_its_records() {
    let scenario = scenario(NO_OP, &[("devices = 10_000", "devices = 1_000")]);
    let mut next: HashMap<String, u64> = HashMap::new();
    let mut sizes = [0_u32; 4];
    let mut records = telemetry(&scenario);
    records.sort_by_key(|(record, value)| (record.key.clone(), value["seq"].as_u64()));
    for (record, value) in records {
        assert_eq!(record.stream.partition, sim::partition_of(&record.key, 4));
        assert_eq!(value["device"], record.key.as_str());
        sizes[record.stream.partition as usize] += 1;
        let seq = next.entry(record.key).or_insert(1);
        assert_eq!(value["seq"].as_u64(), Some(*seq));
        *seq += 1;
    }
    let whole: u32 = sizes.iter().sum();
    assert!(sizes.iter().all(|size| size * 5 > whole), "{sizes:?}");
}

#[test]
fn the_ring_is_exposed_within_its_ramp_and_no_other_ring_is() {
    let scenario = scenario(OS_CRASH, &[]);
    let mut begun: BTreeMap<String, u32> = BTreeMap::new();
    for (_, value) in telemetry(&scenario) {
        if value["state"] == "installing" {
            let after = time_of(&value) - scenario.at(6.0);
            assert!((Span::ZERO..Span::hours(2)).contains(&after), "{after:?}");
            *begun.entry(value["ring"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    assert_eq!(begun, BTreeMap::from([("first".to_owned(), 500)]));
}

#[test]
fn the_effect_is_there_from_exposure_on_and_only_there() {
    let bad = scenario(OS_CRASH, &[]);
    let records = telemetry(&bad);
    // 500 devices, 3 days at 5 % a day but for the ramp: about 68 newly hit; 3 days at 0.5 %: 142.
    let treated = hit(&records, &bad, "first", [6.0, 78.0]);
    let control: usize =
        ["fast", "broad", "last"].map(|ring| hit(&records, &bad, ring, [6.0, 78.0])).iter().sum();
    assert!((48..90).contains(&treated), "{treated}");
    assert!((105..180).contains(&control), "{control}");
    let none = scenario(NO_OP, &[]);
    let treated = hit(&telemetry(&none), &none, "first", [6.0, 78.0]);
    assert!(treated < 19, "{treated} hit by a change that does nothing");
}

#[test]
fn a_withdrawn_change_is_rolled_back_wherever_it_was() {
    let scenario = scenario(
        OS_CRASH,
        &[("devices = 10_000", "devices = 2_000"), ("ramp_h", "withdrawn_h = 30.0\nramp_h")],
    );
    let states = telemetry(&scenario).into_iter().map(|(_, value)| value["state"].clone());
    let count = |state: &str| states.clone().filter(|seen| seen == state).count();
    assert_eq!(count("installing"), 100);
    assert_eq!(count("rolled_back"), 100);
    let registry = Simulation::new(&scenario)
        .filter(|record| record.stream.kind == StreamKind::Changes)
        .map(|record| serde_json::from_slice::<Value>(&record.value).unwrap()["status"].clone());
    assert_eq!(registry.collect::<Vec<_>>(), ["announced", "deploying", "rolled_back"]);
}

#[test]
fn bricked_devices_fall_silent_while_they_install() {
    let scenario = scenario(
        NO_OP,
        &[("devices = 10_000", "devices = 2_000"), ("ramp_h", "brick_share = 1.0\nramp_h")],
    );
    let last = telemetry(&scenario)
        .into_iter()
        .filter(|(_, value)| value["ring"] == "first")
        .map(|(_, value)| time_of(&value))
        .max();
    assert!(last < Some(scenario.at(8.5)), "{last:?}");
}
