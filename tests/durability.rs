//! The order of system calls behind "durable": synced, then linked, then the folder synced.

use std::collections::HashMap;
use std::fs;
use std::process::Command;

use serde_json::json;
use xtask::fixture::{Program, finish};

/// One traced call: its name and the path, or paths, it is about.
#[derive(Debug, PartialEq, Eq)]
enum Call {
    Sync(String),
    Link(String, String),
}

/// Reads `fsync(5</path>) = 0` and `linkat(…, "/from", …, "/to", 0) = 0`.
fn parse(line: &str) -> Option<Call> {
    let call = line.split_once(' ').map_or(line, |(_, call)| call).trim_start();
    if !line.ends_with("= 0") {
        return None;
    }
    if call.starts_with("fsync(") || call.starts_with("fdatasync(") {
        let path = call.split_once('<')?.1.split_once('>')?.0;
        return Some(Call::Sync(path.to_owned()));
    }
    if call.starts_with("link") {
        let paths: Vec<&str> = call.split('"').skip(1).step_by(2).collect();
        return Some(Call::Link((*paths.first()?).to_owned(), (*paths.last()?).to_owned()));
    }
    None
}

/// The lines of a trace, each call whole where it ended: those of two threads may overlap.
fn whole_lines(trace: &str) -> Vec<String> {
    let mut begun: HashMap<&str, &str> = HashMap::new();
    let mut lines = Vec::new();
    for line in trace.lines() {
        let (thread, call) = line.split_once(' ').unwrap_or(("", line));
        if let Some(start) = call.strip_suffix(" <unfinished ...>") {
            begun.insert(thread, start);
        } else if let Some((_, end)) = call.split_once(" resumed>") {
            lines.push(format!("{thread} {}{end}", begun.remove(thread).unwrap_or_default()));
        } else {
            lines.push(line.to_owned());
        }
    }
    lines
}

#[test]
fn every_entry_commit_and_table_is_synced_before_it_is_linked_and_its_folder_after() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (input, data) = (folder.path().join("input"), folder.path().join("data"));
    fs::create_dir(&input).expect("the input folder");
    let line = json!({"type": "heartbeat", "device": "a", "ring": "first", "uptime_s": 5,
        "time": "2026-07-19T04:00:00Z"});
    fs::write(input.join("telemetry-0.ndjson"), line.to_string()).expect("the input");
    let trace = folder.path().join("trace");
    let program = Program::new(env!("CARGO_BIN_EXE_ringwatch"));
    let replay = program.command([
        "replay".as_ref(),
        "--input".as_ref(),
        input.as_os_str(),
        "--data".as_ref(),
        data.as_os_str(),
    ]);
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-e", "trace=fsync,fdatasync,link,linkat", "-o"]).arg(&trace);
    strace.arg(replay.get_program()).args(replay.get_args());
    finish(&mut strace).with_code(0);
    let trace = fs::read_to_string(&trace).expect("what was traced");
    let calls: Vec<Call> = whole_lines(&trace).iter().filter_map(|line| parse(line)).collect();
    let root = fs::canonicalize(&data).expect("the data folder").to_string_lossy().into_owned();
    let mut kept = 0;
    for (at, call) in calls.iter().enumerate() {
        let Call::Link(from, to) = call else { continue };
        let full = |path: &str| path.replace(&*data.to_string_lossy(), &root);
        let (from, to) = (full(from), full(to));
        if !["system/journal", "system/chain", "tables"].iter().any(|kept| to.contains(kept)) {
            continue;
        }
        kept += 1;
        // A table is linked from where it was staged, which itself was linked from a synced file.
        let written = |call: &Call| match call {
            Call::Sync(path) => *path == from,
            Call::Link(_, staged) => staged.ends_with(from.strip_prefix(&root).unwrap_or(&from)),
        };
        assert!(calls[..at].iter().any(written), "{from} was not synced before {to}\n{trace}");
        let parent = to.rsplit_once('/').expect("a folder").0;
        let synced = calls[at + 1..].iter().any(|call| *call == Call::Sync(parent.to_owned()));
        assert!(synced, "{parent} was not synced after {to}\n{trace}");
    }
    // An entry with the record and one with its END, a commit, a table.
    assert!(kept >= 4, "only {kept} links\n{trace}");
}
