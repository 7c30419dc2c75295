//! The contract of the inputs, record by record: what is refused, what counts where.

#![expect(clippy::expect_used, reason = "a test that cannot set up its world must fail")]

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use xtask::fixture::{Program, oracle};

fn ringwatch() -> Program {
    Program::new(env!("CARGO_BIN_EXE_ringwatch"))
}

/// Replays `lines` as one partition; the folder, the summary.
fn replay(lines: &[Value]) -> (TempDir, Value) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let input = folder.path().join("input");
    fs::create_dir(&input).expect("the input folder");
    let text: Vec<String> = lines.iter().map(Value::to_string).collect();
    fs::write(input.join("telemetry-0.ndjson"), text.join("\n")).expect("the input");
    let summary = replay_folder(&input, &folder.path().join("data"));
    (folder, summary)
}

fn replay_folder(input: &Path, data: &Path) -> Value {
    let arguments = [
        "replay".as_ref(),
        "--json".as_ref(),
        "--input".as_ref(),
        input.as_os_str(),
        "--data".as_ref(),
        data.as_os_str(),
    ];
    let summary = ringwatch().run(arguments).json();
    ringwatch().run(["verify".as_ref(), "--data".as_ref(), data.as_os_str()]).with_code(0);
    summary
}

/// Rows of a question about the tables.
fn ask(folder: &TempDir, question: &str) -> Value {
    let data = folder.path().join("data");
    oracle("query.py", [data.as_os_str(), question.as_ref()]).with_code(0).json()
}

fn heartbeat(device: &str, ring: &str, minute: u32, seq: u64) -> Value {
    json!({
        "v": 1, "type": "heartbeat", "device": device, "ring": ring, "seq": seq,
        "time": format!("2026-07-19T04:{minute:02}:00Z"), "interval_s": 3600, "uptime_s": 5,
    })
}

fn update(device: &str, ring: &str, minute: u32, seq: u64, state: &str) -> Value {
    json!({
        "v": 1, "type": "update", "device": device, "ring": ring, "seq": seq,
        "time": format!("2026-07-19T04:{minute:02}:30Z"), "change": "kb1", "state": state,
    })
}

#[test]
fn malformed_records_are_refused_by_name_and_the_good_ones_count() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let input = folder.path().join("input");
    oracle("malformed.py", ["--out".as_ref(), input.as_os_str()]).with_code(0);
    let expected = fs::read_to_string(input.join("expected.json")).expect("what is expected");
    let story: Value = serde_json::from_str(&expected).expect("JSON");
    let summary = replay_folder(&input, &folder.path().join("data"));
    let question = "SELECT \"offset\", stage, field, error FROM rejected ORDER BY ALL";
    let rejected = ask(&folder, question);
    let rejected = rejected.as_array().expect("rows");
    let expected = story["rejected"].as_array().expect("a list");
    assert!(expected.len() >= 60, "only {} malformed records", expected.len());
    assert_eq!(rejected.len(), expected.len());
    for (row, expected) in rejected.iter().zip(expected) {
        assert_eq!(row["offset"], expected["line"], "{row}");
        assert_eq!(
            (&row["stage"], &row["field"]),
            (&expected["stage"], &expected["field"]),
            "{row}"
        );
        let fragment = expected["error"].as_str().expect("a fragment");
        let error = row["error"].as_str().expect("an error");
        assert!(error.contains(fragment), "{fragment:?} is not in {row}");
    }
    let lines = story["lines"].as_u64().expect("a count");
    assert_eq!(summary["records"], lines);
    assert_eq!(summary["applied"], lines - expected.len() as u64, "{summary}");
}

#[test]
fn a_ring_that_is_not_configured_is_counted_but_in_no_arm() {
    let (folder, summary) = replay(&[
        update("a", "lab-7", 0, 1, "installing"),
        heartbeat("a", "lab-7", 1, 2),
        heartbeat("b", "first", 1, 1),
        update("b", "first", 2, 2, "installing"),
    ]);
    assert_eq!(summary["applied"], 4);
    let rows = ask(
        &folder,
        "SELECT ring, change, arm, sum(records)::INT AS records FROM ring_health \
         WHERE ring NOT IN ('fast', 'broad', 'last', 'test') GROUP BY ALL ORDER BY ALL",
    );
    let unmanaged: Vec<&Value> =
        rows.as_array().expect("rows").iter().filter(|row| row["ring"] == "unmanaged").collect();
    assert_eq!(
        unmanaged,
        [&json!({"ring": "unmanaged", "change": null, "arm": null, "records": 2})]
    );
    let rings = ask(&folder, "SELECT DISTINCT ring FROM ring_health WHERE ring LIKE 'lab%'");
    assert_eq!(rings, json!([]));
}

#[test]
fn a_device_that_changes_its_ring_unannounced_drifts_and_a_moved_one_does_not() {
    let moved = json!({
        "type": "lifecycle", "state": "moved", "from": "fast", "device": "b", "ring": "first",
        "time": "2026-07-19T04:02:00Z", "seq": 2,
    });
    let (folder, summary) = replay(&[
        heartbeat("a", "first", 0, 1),
        heartbeat("a", "broad", 1, 2),
        heartbeat("a", "broad", 2, 3),
        heartbeat("b", "fast", 1, 1),
        moved,
        heartbeat("b", "first", 3, 3),
    ]);
    assert_eq!(summary["ring_drift"], 1, "{summary}");
    let rows = ask(
        &folder,
        "SELECT ring, sum(events)::INT AS events FROM ring_signals WHERE signal = 'ring_drift' \
         AND change IS NULL AND cohort_key IS NULL GROUP BY ALL",
    );
    assert_eq!(rows, json!([{"ring": "broad", "events": 1}]));
}

#[test]
fn after_a_factory_reset_nothing_joins_to_the_device_before() {
    let reset = json!({
        "type": "lifecycle", "state": "reset", "device": "a", "ring": "first",
        "time": "2026-07-19T04:05:00Z", "seq": 0,
    });
    let (folder, summary) = replay(&[
        update("a", "first", 1, 7, "installing"),
        update("a", "first", 2, 8, "installed"),
        reset,
        heartbeat("a", "first", 6, 1),
        update("a", "first", 10, 2, "installing"),
    ]);
    assert_eq!((&summary["duplicates"], &summary["applied"]), (&json!(0), &json!(5)), "{summary}");
    let devices = ask(
        &folder,
        "SELECT device, count(*)::INT AS n FROM device_updates GROUP BY ALL \
         ORDER BY min(event_time)",
    );
    let devices = devices.as_array().expect("rows");
    let counts: Vec<&Value> = devices.iter().map(|row| &row["n"]).collect();
    assert_eq!(counts, [2, 1], "{devices:?}");
    assert_ne!(devices[0]["device"], devices[1]["device"]);
    // What the device was exposed to before is forgotten, and begins anew.
    let exposed = ask(
        &folder,
        "SELECT window_start::VARCHAR AS at, sum(devices_exposed)::INT AS n FROM ring_health \
         WHERE change = 'kb1' GROUP BY ALL HAVING n > 0 ORDER BY ALL",
    );
    assert_eq!(exposed.as_array().map(Vec::len), Some(2), "{exposed}");
}

#[test]
fn another_input_is_not_written_into_the_same_folder() {
    let (folder, _) = replay(&[heartbeat("a", "first", 0, 1)]);
    let other = folder.path().join("other");
    fs::create_dir(&other).expect("another input folder");
    fs::write(other.join("telemetry-0.ndjson"), "{}\n{}\n").expect("another input");
    let data = folder.path().join("data");
    let finished = ringwatch()
        .run([
            "replay".as_ref(),
            "--input".as_ref(),
            other.as_os_str(),
            "--data".as_ref(),
            data.as_os_str(),
        ])
        .with_code(1);
    assert!(finished.stderr.contains("ringwatch: "), "{finished}");
}
