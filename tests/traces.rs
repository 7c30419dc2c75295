//! Traces, as a collector sees them that reads OpenTelemetry's own messages. Built with `otlp`.

#![expect(clippy::expect_used, reason = "a test that cannot set up its world must fail")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use xtask::fixture::{Finished, Program, Running, finish, free_address, python, spawn};
use xtask::repository;

const PATIENCE: Duration = Duration::from_secs(30);

/// A collector, and its port.
fn collector() -> (Running, String) {
    let mut command = Command::new(python());
    command.arg(repository().join("tests/oracle/otlp.py")).stdin(Stdio::piped());
    let mut collector = spawn(&mut command);
    collector.wait_until("a port", PATIENCE, |collector| collector.stdout().contains('\n'));
    let port = collector.stdout().trim().to_owned();
    (collector, port)
}

/// The spans that a collector was sent.
fn spans(collector: &Running) -> Vec<Value> {
    let lines = collector.stdout();
    lines.lines().skip(1).map(|line| serde_json::from_str(line).expect("a span")).collect()
}

/// Runs a verb with its traces sent to that port.
fn traced(port: &str, arguments: &[&Path]) -> Finished {
    let ringwatch = Program::new(env!("CARGO_BIN_EXE_ringwatch"));
    let endpoint = format!("http://127.0.0.1:{port}");
    finish(ringwatch.command(arguments).env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint))
}

/// Records of a scenario, replayed into `folder`.
fn replay(folder: &Path, port: &str) -> Finished {
    let ringwatch = Program::new(env!("CARGO_BIN_EXE_ringwatch"));
    let (input, data) = (folder.join("input"), folder.join("data"));
    let scenario = Path::new("os-crash-10x");
    let simulate = ["simulate".as_ref(), "--scenario".as_ref(), scenario, "--out".as_ref(), &input];
    ringwatch.run(simulate).with_code(0);
    let arguments =
        ["replay".as_ref(), "-v".as_ref(), "--input".as_ref(), &*input, "--data".as_ref(), &*data];
    traced(port, &arguments)
}

#[test]
fn a_replay_tells_each_entry_and_what_a_commit_spent_its_time_on() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (collector, port) = collector();
    let replayed = replay(folder.path(), &port);
    assert!(!replayed.stderr.contains("traces"), "{replayed}");
    let spans = spans(&collector);
    let named = |name: &str| spans.iter().filter(|span| span["name"] == name).collect::<Vec<_>>();
    let journal = folder.path().join("data/system/journal/telemetry");
    let partitions = fs::read_dir(journal).expect("a journal").flatten();
    let files = partitions.flat_map(|partition| fs::read_dir(partition.path()).expect("entries"));
    let entries = named("journal entry").into_iter();
    let of_telemetry = |span: &&Value| {
        span["attributes"]["stream"].as_str().is_some_and(|stream| stream.contains("telemetry"))
    };
    assert_eq!(entries.filter(of_telemetry).count(), files.count(), "one span an entry");
    assert_eq!(named("merge").len(), named("journal entry").len(), "and each is merged once");
    let commits: BTreeMap<_, _> = named("commit")
        .into_iter()
        .map(|span| (span["id"].as_str().expect("an id"), &span["attributes"]["sequence"]))
        .collect();
    assert!(!commits.is_empty(), "{spans:?}");
    for part in ["append to the chain", "stage tables", "publish"] {
        let parts = named(part);
        assert!(!parts.is_empty(), "no span `{part}`");
        for span in parts {
            let parent = span["parent"].as_str().expect("an id");
            assert!(commits.contains_key(parent), "{span} is part of no commit");
        }
    }
    assert_eq!(named("append to the chain").len(), commits.len());
    assert!(spans.iter().all(|span| span["service"] == "ringwatch"), "{spans:?}");
}

#[test]
fn a_delivery_names_where_it_went_and_which_alert() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = folder.path().join("ringwatch.toml");
    let text = "[[destination]]\nname = \"echo\"\ntype = \"command\"\ncommand = [\"/bin/true\"]\n";
    fs::write(&config, text).expect("written");
    let (collector, port) = collector();
    let arguments = ["alerts", "test", "--config"].map(Path::new).into_iter().chain([&*config]);
    traced(&port, &arguments.collect::<Vec<_>>()).with_code(0);
    let spans = spans(&collector);
    let [span] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!((&span["name"], &span["parent"]), (&"delivery".into(), &"".into()));
    assert_eq!(span["attributes"]["destination"], "echo");
    assert!(span["attributes"]["id"].as_str().is_some_and(|id| id.starts_with("rw-test")));
}

#[test]
fn a_collector_that_is_away_is_named_and_changes_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let port = free_address().port().to_string();
    let replayed = replay(folder.path(), &port).with_code(3);
    assert!(replayed.stdout.contains("ROLLBACK") || replayed.stdout.contains("rollback"));
    let lost = replayed.stderr.lines().filter(|line| line.contains("traces are not taken"));
    assert_eq!(lost.count(), 1, "told once: {replayed}");
    assert!(replayed.stderr.contains(&format!("http://127.0.0.1:{port}/v1/traces")), "{replayed}");
}
