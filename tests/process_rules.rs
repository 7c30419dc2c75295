//! The rules of the change process through `replay`: for each a story that breaks it, and one that
//! just does not. Alerts are read from the chain that the replay wrote.
//!
//! `@h:mm` in a record is that time of the story, which begins at midnight and ends before six.

#![expect(clippy::expect_used, reason = "a test that cannot set up its world must fail")]

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;

use schemas::{Span, Timestamp};
use serde_json::Value;
use xtask::fixture::Program;

/// Rings and their devices, each with a heartbeat on the hour.
const FLEET: [(&str, usize); 3] = [("test", 3), ("first", 20), ("last", 3)];

/// Rings are safe to promote after two hours, so that a story takes six.
const CONFIG: &str = "\
[[ring]]
name = 'test'
[[ring]]
name = 'first'
[[ring]]
name = 'last'
[detection]
soak = '2h'
";

const HEARTBEAT: &str = r#""type":"heartbeat","uptime_s":60"#;
const INSTALLED: &str = r#""type":"update","change":"kb1","state":"installed""#;

/// A record, with the file that it stands in before it.
type Line = String;

fn midnight() -> Timestamp {
    Timestamp::parse_rfc3339(b"2026-07-13T00:00:00Z").expect("RFC 3339")
}

/// What the registry says of `kb1`, which was announced in time unless the facts say when.
fn change(facts: &str) -> Line {
    let announced = r#""announced":"@-500:00","#;
    let announced = if facts.contains("announced\":") { "" } else { announced };
    let what = r#""change":"kb1","title":"an update","reversible":true"#;
    format!("changes {{{what},{announced}{facts}}}")
}

/// A ticket in ring `first`, opened at one.
fn ticket(facts: &str) -> Line {
    let ticket = r#""ticket":"T-1","category":"printing","ring":"first","time":"@1:00""#;
    format!("support {{{ticket},{facts}}}")
}

/// What a device says that is no part of the fleet above.
fn device(ring: &str, time: &str, facts: &str) -> Line {
    format!(r#"telemetry {{"device":"d-1","ring":"{ring}","time":"@{time}",{facts}}}"#)
}

/// A line with its times written out, and the first of them in minutes.
fn dated(line: &str) -> (i64, String) {
    let mut parts = line.split('@');
    let mut text = parts.next().unwrap_or_default().to_owned();
    let mut first = None;
    for part in parts {
        let (time, rest) = part.split_once('"').expect("a time ends with its string");
        let (hours, minutes) = time.split_once(':').expect("h:mm");
        let number = |text: &str| text.parse::<i64>().expect("a number");
        let sign = if hours.starts_with('-') { -1 } else { 1 };
        let minute = number(hours) * 60 + sign * number(minutes);
        write!(text, "{}\"{rest}", midnight() + Span::minutes(minute)).expect("text");
        first = first.or(Some(minute));
    }
    (first.unwrap_or_default(), text)
}

/// The lines of one file, in order of time.
fn file(name: &str, story: &[Line]) -> String {
    let mut lines = Vec::new();
    if name == "telemetry" {
        for (hour, (ring, count)) in (0..6).flat_map(|hour| FLEET.map(|ring| (hour, ring))) {
            for number in 0..count {
                let whom = format!(r#""device":"{ring}-{number}","ring":"{ring}""#);
                lines.push(dated(&format!(r#"{{{HEARTBEAT},{whom},"time":"@{hour}:00"}}"#)));
            }
        }
    }
    lines.extend(story.iter().filter_map(|line| line.strip_prefix(name)).map(dated));
    lines.sort_by_key(|(minute, _)| *minute);
    lines.into_iter().map(|(_, line)| line + "\n").collect()
}

/// What is told of a story, a line for each alert.
fn told(story: &[Line]) -> Vec<String> {
    let ringwatch = Program::new(env!("CARGO_BIN_EXE_ringwatch"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let [input, data, config] =
        ["input", "data", "ringwatch.toml"].map(|name| folder.path().join(name));
    fs::create_dir(&input).expect("a folder");
    fs::write(&config, CONFIG).expect("a configuration file");
    for name in ["changes", "support", "telemetry"] {
        let path = input.join(name).with_extension("ndjson");
        fs::write(path, file(name, story)).expect("written");
    }
    let replay = ["replay".as_ref(), "--json".as_ref(), "--input".as_ref(), input.as_os_str()];
    let more = ["--data".as_ref(), data.as_os_str(), "--config".as_ref(), config.as_os_str()];
    let summary = ringwatch.run(replay.into_iter().chain(more)).json();
    let list = ["alerts", "list", "--all", "--json", "--data"].map(OsStr::new);
    let alerts = ringwatch.run(list.into_iter().chain([data.as_os_str()])).json();
    assert_eq!(summary["alerts"], alerts);
    assert!(!data.join("tables/rejected").exists(), "{story:?} has a record that is refused");
    alerts.as_array().expect("a list").iter().map(said).collect()
}

/// Signal, change, ring, decision, escalation, owner, channels and when; first and last time.
fn said(alert: &Value) -> String {
    let word = |value: &Value| {
        let text = value.as_str().unwrap_or_default();
        if text.is_empty() { "-".to_owned() } else { text.to_owned() }
    };
    let time = |value: &Value| {
        let time = Timestamp::parse_rfc3339(value.as_str()?.as_bytes()).expect("RFC 3339");
        let minutes = (time - midnight()).as_millis() / 60_000;
        Some(format!("{}:{:02}", minutes / 60, minutes % 60))
    };
    let about = ["signal", "change", "ring", "decision", "escalation"].map(|key| word(&alert[key]));
    let (owner, notice) = (word(&alert["action"]["owner"]), &alert["action"]["notice"]);
    let channels = notice["channels"].as_array().expect("channels").iter().map(word);
    let channels = channels.collect::<Vec<_>>().join("+");
    let when = word(&notice["when"]);
    let [from, to] = ["starts_at", "ends_at"].map(|key| time(&alert[key]).unwrap_or_default());
    format!("{} {owner} {channels} {when} {from}..{to}", about.join(" "))
}

#[track_caller]
fn check(broken: &[Line], expected: &str, kept: &[Line]) {
    assert_eq!(told(broken), [format!("process.{expected}")]);
    assert_eq!(told(kept), [""; 0], "the story that just does not: {kept:?}");
}

#[test]
fn notice_is_short_below_five_days() {
    let announced = |time: &str| {
        let asks = r#""type":"feature","status":"announced","requires_action":true"#;
        let rings = r#""rings":[{"ring":"test","starts":"@70:00"}]"#;
        [change(&format!(r#"{asks},"announced":"@{time}",{rings}"#))]
    };
    let expected = "short_notice kb1 - hold - service email before 0:01..";
    check(&announced("-49:59"), expected, &announced("-50:00"));
}

#[test]
fn an_action_is_due_soon_below_two_days() {
    let due = |rest: &str| {
        let facts = r#""type":"security","status":"announced","action_due":"@50:00""#;
        let rings = r#""rings":[{"ring":"test","starts":"@70:00"}]"#;
        [change(&format!("{facts},{rings}{rest}"))]
    };
    let expected = "action_due_soon kb1 - escalate C customer email+bulletin before 2:01..";
    check(&due(""), expected, &due(r#","acknowledged_at":"@2:01""#));
}

/// An emergency change that starts at one in all rings, with these facts.
fn emergency(facts: &str) -> [Line; 1] {
    let what = r#""type":"emergency","reason":"data_loss","status":"deploying""#;
    let starts =
        ["test", "first", "last"].map(|ring| format!(r#"{{"ring":"{ring}","starts":"@1:00"}}"#));
    [change(&format!(r#"{what},{facts}"rings":[{}]"#, starts.join(",")))]
}

#[test]
fn an_emergency_is_mitigated_within_an_hour() {
    let mitigated =
        |time: &str| emergency(&format!(r#""announced":"@9:00","mitigated_at":"@{time}","#));
    let expected = "emergency_unmitigated kb1 - escalate A service page+email during 2:00..2:01";
    check(&mitigated("2:01"), expected, &mitigated("2:00"));
}

#[test]
fn nobody_is_told_of_an_emergency_before_it_is_mitigated() {
    let told = |time: &str| emergency(&format!(r#""announced":"@{time}","mitigated_at":"@0:30","#));
    let expected = "told_before_mitigated kb1 - escalate C service page+email before 0:29..";
    check(&told("0:29"), expected, &told("0:30"));
}

/// A quality change under way with these starts of rings.
fn quality(starts: &[(&str, &str)]) -> Line {
    let starts = starts.iter().map(|(ring, at)| format!(r#"{{"ring":"{ring}","starts":"@{at}"}}"#));
    let starts = starts.collect::<Vec<_>>().join(",");
    change(&format!(r#""type":"quality","status":"deploying","rings":[{starts}]"#))
}

#[test]
fn rings_start_in_rollout_order() {
    let last = |time| [quality(&[("test", "8:00"), ("first", "9:00"), ("last", time)])];
    let expected = "ring_out_of_order kb1 - hold - service email before 0:01..";
    check(&last("8:59"), expected, &last("9:00"));
}

#[test]
fn a_ring_starts_when_the_one_ahead_is_clear() {
    // Exposed from 0:30 on, clear at the first full hour after 2:30.
    let first =
        |time| [quality(&[("test", "0:00"), ("first", time)]), device("test", "0:30", INSTALLED)];
    let expected = "ring_before_clear kb1 first hold - service email during 2:59..3:00";
    check(&first("2:59"), expected, &first("3:00"));
}

#[test]
fn devices_are_exposed_when_their_ring_has_started() {
    let installed = |time| [quality(&[("test", "2:00")]), device("test", time, INSTALLED)];
    let expected = "early_exposure kb1 test hold - service email during 2:00..2:01";
    check(&installed("1:59"), expected, &installed("2:00"));
}

/// The record came later, at one.
#[test]
fn devices_that_were_exposed_before_the_record_came_are_told_of_with_it() {
    let story = |starts: &str| {
        let rings = format!(r#""rings":[{{"ring":"test","starts":"@{starts}"}}]"#);
        let record =
            change(&format!(r#""type":"quality","status":"deploying","time":"@1:00",{rings}"#));
        [record, device("test", "0:30", INSTALLED)]
    };
    let expected = "early_exposure kb1 test hold - service email before 1:01..2:01";
    check(&story("2:00"), expected, &story("1:00"));
}

#[test]
fn a_change_stays_within_our_groups() {
    // Three hours after its last word a device is there no longer.
    let installed = |ring| [quality(&[("test", "0:00")]), device(ring, "1:30", INSTALLED)];
    let expected = "foreign_group kb1 unmanaged escalate B service email during 1:31..4:31";
    check(&installed("lab"), expected, &installed("test"));
}

#[test]
fn devices_change_their_ring_only_if_they_are_moved() {
    let moved = r#""type":"lifecycle","state":"moved","from":"test""#;
    let came = |first| [device("test", "1:10", HEARTBEAT), device("first", "1:30", first)];
    let expected = "ring_drift - first escalate C customer email - 1:31..";
    check(&came(HEARTBEAT), expected, &came(moved));
}

#[test]
fn tickets_of_severity_a_are_told_from_both_topics() {
    let status = |severity: &str| {
        let facts = r#""status":"opened","change":"kb1""#;
        let severity = format!(r#"{facts},"severity":"{severity}""#);
        [quality(&[("test", "9:00")]), ticket(&severity)]
    };
    let expected = "severity_a_ticket kb1 first escalate A service email before 1:01..";
    check(&status("A"), expected, &status("B"));
    let of_device = |severity: &str| {
        let facts = format!(r#""type":"ticket","ticket":"T-2","severity":"{severity}""#);
        [device("first", "1:30", &facts)]
    };
    let expected = "severity_a_ticket - first escalate A service email - 1:31..";
    check(&of_device("A"), expected, &of_device("B"));
}

#[test]
fn what_is_told_of_a_change_that_is_over_comes_after_it() {
    let told = |status: &str| {
        let facts = format!(r#""status":"{status}","change":"kb1","severity":"A""#);
        let rings = r#""rings":[{"ring":"test","starts":"@-1:00"}]"#;
        let completed = format!(r#""type":"security","status":"completed",{rings}"#);
        [change(&completed), ticket(&facts)]
    };
    let expected = "severity_a_ticket kb1 first escalate A service email+bulletin after 1:01..";
    check(&told("opened"), expected, &told("resolved"));
}

#[test]
fn certificates_expire_soon_within_sixty_days() {
    let expires = |ring: &str, time: &str| {
        let expires = format!(r#"{HEARTBEAT},"cert_expires":"@{time}""#);
        [device(ring, "0:30", HEARTBEAT), device(ring, "1:00", &expires)]
    };
    let expected = "certificate_expiry - first watch - customer email - 1:01..";
    check(&expires("first", "1441:00"), expected, &expires("first", "1441:01"));
    // One of 21 is just less than 5 % of a ring, one of 4 is not.
    let many = told(&expires("last", "1441:00"));
    assert_eq!(many, ["process.certificate_expiry - last escalate B customer email - 1:01.."]);
}

#[test]
fn audit_records_are_told_by_their_kind() {
    let says = |facts: &str| [device("first", "1:30", facts)];
    let audit =
        |kind: &str| says(&format!(r#""type":"audit","kind":"{kind}","actor":"svc-update""#));
    // A policy that does not apply was edited by nobody.
    let failed = says(r#""type":"fault","kind":"policy_failure""#);
    for (kind, owner) in
        [("service_account", "service"), ("group_change", "customer"), ("policy_edit", "customer")]
    {
        let expected = format!("{kind} - first escalate C {owner} email - 1:31..");
        check(&audit(kind), &expected, &failed);
    }
}
