//! Rough fleets and kinds of harm: each part of a scenario does what its name says.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::collections::{BTreeMap, BTreeSet};

use schemas::{Span, StreamKind, Timestamp};
use serde_json::Value;
use sim::{Scenario, Simulation};

const NO_OP: &str = include_str!("../scenarios/no-op.toml");

/// The scenario `no-op` with 2,000 devices, some text replaced, and tables added at its end.
fn scenario(changes: &[(&str, &str)], tables: &str) -> Scenario {
    let small = [("devices = 10_000", "devices = 2_000")];
    let edited = small.iter().chain(changes).fold(NO_OP.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from} is not in the scenario");
        text.replacen(from, to, 1)
    });
    Scenario::parse(&format!("{edited}\n{tables}")).unwrap()
}

/// The same with more said of its change.
fn harmful(fields: &str) -> Scenario {
    scenario(&[("ramp_h = 2.0", &format!("{fields}\nramp_h = 2.0"))], "")
}

/// One telemetry record.
struct Said {
    time: Timestamp,
    arrival: Timestamp,
    device: String,
    value: Value,
}

impl Said {
    fn is(&self, field: &str, value: &str) -> bool {
        self.value[field] == value
    }
}

fn told(scenario: &Scenario) -> Vec<Said> {
    let telemetry = |record: &sim::SimRecord| record.stream.kind == StreamKind::Telemetry;
    let said = Simulation::new(scenario).filter(telemetry).map(|record| {
        let value: Value = serde_json::from_slice(&record.value).unwrap();
        let time = Timestamp::parse_rfc3339(value["time"].as_str().unwrap().as_bytes()).unwrap();
        Said { time, arrival: record.arrival, device: record.key, value }
    });
    said.collect()
}

fn count(said: &[Said], field: &str, value: &str) -> usize {
    said.iter().filter(|record| record.is(field, value)).count()
}

fn faults(said: &[Said]) -> impl Iterator<Item = &Said> {
    said.iter().filter(|record| record.is("type", "fault"))
}

#[test]
fn incidents_repeat_a_fault_on_the_same_device() {
    let plain = told(&scenario(&[], ""));
    let tables = "[life.incidents]\nevents = 4\nwithin_h = 1.0";
    let rough = told(&scenario(&[], tables));
    let (one, four) = (faults(&plain).count() as f64, faults(&rough).count() as f64);
    assert!((3.4..4.6).contains(&(four / one)), "{one} {four}");
    let mut by_device: BTreeMap<(&str, Option<&str>), usize> = BTreeMap::new();
    for fault in faults(&rough) {
        *by_device.entry((&fault.device, fault.value["kind"].as_str())).or_default() += 1;
    }
    let whole = by_device.values().filter(|events| **events % 4 == 0).count();
    assert!(whole * 10 > by_device.len() * 8, "{whole} of {}", by_device.len());
}

#[test]
fn frail_devices_have_most_of_the_faults() {
    let of = |tables| {
        let said = told(&scenario(&[], tables));
        let hit: BTreeSet<_> = faults(&said).map(|fault| fault.device.clone()).collect();
        faults(&said).count() as f64 / hit.len() as f64
    };
    let (even, frail) = (of(""), of("[life]\nfrailty_shape = 0.3"));
    assert!(even < 1.12 && frail > 1.22, "{even} {frail} faults per device hit");
}

#[test]
fn chronic_devices_crash_every_day() {
    let tables = "[life.chronic]\nshare = 0.01\nkind = \"os_crash\"\nper_day = 4.0";
    let said = told(&scenario(&[], tables));
    let mut by_device: BTreeMap<&str, usize> = BTreeMap::new();
    for crash in said.iter().filter(|record| record.is("kind", "os_crash")) {
        *by_device.entry(&crash.device).or_default() += 1;
    }
    let often = by_device.values().filter(|crashes| **crashes >= 5).count();
    assert!((12..30).contains(&often), "{often} of 2,000");
}

#[test]
fn nobody_speaks_in_sleep() {
    let tables = "[life.sleep]\nshare = 1.0\nfrom_h = 18.0\nhours = 12.0\nweekends = true";
    let scenario = scenario(&[("duration_h = 78.0", "duration_h = 174.0")], tables);
    let said = told(&scenario);
    let between = |from: f64, to: f64| {
        let hours = scenario.at(from)..scenario.at(to);
        said.iter().filter(|record| hours.contains(&record.time)).count()
    };
    assert_eq!(between(21.0, 28.0), 0, "a night");
    assert_eq!(between(117.0, 172.0), 0, "a weekend");
    assert!(between(32.0, 40.0) > 2_000, "a day");
}

#[test]
fn a_ring_has_its_own_rate_and_its_own_way_of_uploading() {
    let ring = "name = \"broad\"\nshare = 0.65\nbase_ratio = 3.0\nupload_every_h = 8.0";
    let said = told(&scenario(&[("name = \"broad\"\nshare = 0.65", ring)], ""));
    let rate = |ring: &str, share: f64| {
        faults(&said).filter(|fault| fault.is("ring", ring)).count() as f64 / share
    };
    let ratio = rate("broad", 0.65) / rate("last", 0.20);
    assert!((2.4..3.7).contains(&ratio), "{ratio}");
    let lags = said.iter().filter(|record| record.is("ring", "broad"));
    let lags: Vec<f64> = lags.map(|it| (it.arrival - it.time).as_secs_f64() / 3_600.0).collect();
    let mean = lags.iter().sum::<f64>() / lags.len() as f64;
    assert!((3.5..4.5).contains(&mean), "{mean}");
    assert!(lags.iter().all(|lag| (0.0..8.01).contains(lag)));
}

#[test]
fn a_wave_and_the_hours_of_the_day_move_rates() {
    let wave = "[[life.wave]]\nfrom_h = 20.0\nhours = 10.0\nfactor = { app_crash = 20.0 }";
    let at = |tables: &str, kind: &str, from: i64, to: i64| {
        let scenario = scenario(&[], tables);
        let hours = scenario.at(from as f64)..scenario.at(to as f64);
        let said = told(&scenario);
        let of_kind = faults(&said).filter(|fault| fault.is("kind", kind));
        of_kind.filter(|fault| hours.contains(&fault.time)).count() as f64 / (to - from) as f64
    };
    let ratio = at(wave, "app_crash", 20, 30) / at(wave, "app_crash", 40, 78);
    assert!((14.0..28.0).contains(&ratio), "{ratio}");
    let other = at(wave, "app_hang", 20, 30) / at(wave, "app_hang", 40, 78);
    assert!((0.3..2.5).contains(&other), "{other}");
    let hourly = "[life]\nhourly_pct = [[300]]";
    let ratio = at(hourly, "app_crash", 0, 78) / at("", "app_crash", 0, 78);
    assert!((2.3..3.9).contains(&ratio), "{ratio}");
}

#[test]
fn new_programs_bring_signatures_that_were_never_there() {
    let tables = "[life.new_programs]\nper_day = 2.0\nshare = 0.5\ndays = 2.0";
    let said = told(&scenario(&[], tables));
    let new: BTreeSet<_> = faults(&said)
        .filter_map(|fault| fault.value["signature"].as_str()?.strip_prefix("program-"))
        .collect();
    assert!((5..=7).contains(&new.len()), "{new:?}");
}

#[test]
fn a_feature_update_restarts_four_times_before_it_is_installed() {
    let said = told(&harmful("restarts = 4"));
    let boots = count(&said, "reason", "update");
    let installed = count(&said, "state", "installed");
    let failed = count(&said, "state", "failed");
    assert_eq!(boots, installed * 4 + failed * 3, "{installed} {failed}");
    assert!(installed > 90);
}

#[test]
fn who_updates_and_shuts_down_is_away_and_may_say_so() {
    for (offline_share, expected) in [("1.0", 100), ("0.0", 0)] {
        let away = format!(
            "shut_down = {{ share = 1.0, hours = [10.0, 12.0], offline_share = {offline_share} }}"
        );
        let said = told(&harmful(&away));
        assert_eq!(count(&said, "state", "offline"), expected);
        for install in said.iter().filter(|record| record.is("state", "installing")) {
            let off = install.time + Span::minutes(5);
            let mut own = said.iter().filter(|record| record.device == install.device);
            let next = own.find(|record| record.time > off).unwrap();
            assert!(next.time - install.time >= Span::hours(10), "{}", next.time);
        }
    }
}

#[test]
fn a_boot_loop_is_all_that_its_device_does_until_the_change_is_taken_back() {
    let fields = "boot_loop_share = 1.0\nboot_loop_s = [300, 600]\nwithdrawn_h = 30.0";
    let scenario = harmful(fields);
    let said = told(&scenario);
    let in_loop = |record: &&Said| {
        record.is("ring", "first") && (scenario.at(12.0)..scenario.at(30.0)).contains(&record.time)
    };
    let boots = said.iter().filter(in_loop).filter(|record| record.is("reason", "crash")).count();
    let others = said.iter().filter(in_loop).filter(|record| record.is("type", "heartbeat"));
    assert!(boots > 90 * 18 * 6, "{boots}");
    // Two of a hundred do not install at all.
    assert!(others.count() < 20);
    let after = |record: &&Said| record.is("ring", "first") && record.time > scenario.at(34.0);
    // A hundred devices still crash now and then.
    let crashed = said.iter().filter(after).filter(|record| record.is("reason", "crash"));
    assert!(crashed.count() < 10);
    assert!(said.iter().filter(after).any(|record| record.is("type", "heartbeat")));
}

#[test]
fn harm_is_confined_to_the_devices_that_are_named() {
    let only = "only = { driver = \"nv-551.23\" }";
    let scenario = harmful(&format!("{only}\nharm = {{ data_loss = 1.0 }}\nharm_within_h = 1.0"));
    let said = told(&scenario);
    let named: BTreeSet<&str> = said
        .iter()
        .filter(|record| record.value["attrs"]["driver"] == "nv-551.23")
        .map(|record| record.device.as_str())
        .collect();
    let hit: Vec<&str> =
        faults(&said).filter(|it| it.is("kind", "data_loss")).map(|it| &*it.device).collect();
    assert!((8..35).contains(&hit.len()), "{hit:?}");
    assert!(hit.iter().all(|device| named.contains(device)));
}

#[test]
fn an_effect_of_office_hours_is_not_there_at_night() {
    let scenario = harmful("effect = { os_crash = 200.0 }\neffect_hours = [8.0, 18.0]");
    let said = told(&scenario);
    let of_ring = |record: &&Said| record.is("ring", "first") && record.is("kind", "os_crash");
    let between = |from: f64, to: f64| {
        let hours = scenario.at(from)..scenario.at(to);
        said.iter().filter(of_ring).filter(|record| hours.contains(&record.time)).count()
    };
    assert!(between(9.0, 18.0) > 20 && between(32.0, 42.0) > 20);
    assert!(between(18.0, 32.0) < 4);
}

#[test]
fn roles_are_reported_and_what_is_wrong_is_named() {
    let roles = [("boots_per_day", "roles = { member = 0.9, dc = 0.1 }\nboots_per_day")];
    let said = told(&scenario(&roles, ""));
    let dc: BTreeSet<_> = said.iter().filter(|it| it.value["attrs"]["role"] == "dc").collect_ids();
    assert!((150..250).contains(&dc.len()), "{}", dc.len());
    for (fields, named) in [
        ("reach = 2.0", "change.reach"),
        ("boot_loop_share = 0.5", "change.boot_loop_s"),
        ("harm = { support_ticket = 0.5 }", "change.harm"),
        ("only = { colour = \"red\" }", "change.only"),
    ] {
        let text = NO_OP.replacen("ramp_h = 2.0", &format!("{fields}\nramp_h = 2.0"), 1);
        let error = Scenario::parse(&text).unwrap_err().to_string();
        assert!(error.contains(named), "{fields}: {error}");
    }
    for (tables, named) in [
        ("[life]\nfrailty_shape = 0.0", "life.frailty_shape"),
        ("[life]\nhourly_pct = [[]]", "life.hourly_pct"),
        ("[life.sleep]\nshare = 1.0\nfrom_h = 30.0\nhours = 8.0", "life.sleep"),
        ("[expect]\nchange = \"kb1\"", "expect.change"),
        ("[expect]\ndecision = \"panic\"", "expect.decision"),
    ] {
        let error = Scenario::parse(&format!("{NO_OP}\n{tables}")).unwrap_err().to_string();
        assert!(error.contains(named), "{tables}: {error}");
    }
}

/// Distinct devices of some records.
trait Devices<'a> {
    fn collect_ids(self) -> BTreeSet<&'a str>;
}

impl<'a, I: Iterator<Item = &'a Said>> Devices<'a> for I {
    fn collect_ids(self) -> BTreeSet<&'a str> {
        self.map(|record| record.device.as_str()).collect()
    }
}
