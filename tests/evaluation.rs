//! The evaluation in short: the document is what its lines say, and some of them told again.

#![expect(clippy::expect_used, reason = "a test that cannot set up its world must fail")]

use std::fs;
use std::path::Path;

use xtask::evaluate::results::{Line, Results};
use xtask::evaluate::{DOCUMENT, Family, Group, document, families, replayed, told};

/// Stories that are told again, the first seed of each: quick ones, one of every kind.
const TOLD_AGAIN: [&str; 4] = [
    "null/shutdown-offline",
    "harm/os-crash-30x-plain",
    "incidents/two-changes-one-guilty",
    "incidents/2024-01-install-failure",
];

fn family(name: &str) -> Family {
    let all = Group::ALL.into_iter().flat_map(|group| families(group).expect("scenario files"));
    all.into_iter().find(|family| family.name == name).expect("a family of that name")
}

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_ringwatch"))
}

#[test]
fn the_document_is_what_the_lines_give() {
    let standing = fs::read_to_string(DOCUMENT).expect("the document");
    let wanted = document::text().expect("scenarios and results");
    assert!(standing == wanted, "stale: run `cargo xtask evaluate --document`");
}

#[test]
fn a_story_told_again_ends_as_its_committed_line_says() {
    for name in TOLD_AGAIN {
        let family = family(name);
        let told = Line::of(program(), &family, 1).expect("a story");
        assert!(told.met, "{name}: {told:?}");
        if let Some(line) = Results::read(&family).lines.get(&1) {
            assert_eq!(told.rounded(), line.rounded(), "{name}: run `cargo xtask evaluate`");
        }
    }
}

#[test]
fn replay_of_the_same_records_gives_the_same_alerts() {
    let family = family("incidents/2024-01-install-failure");
    let told = told(program(), &family, 2).expect("a story");
    let summary = replayed(program(), &family, 2).expect("a replay");
    assert!(!told["alerts"].as_array().expect("a list").is_empty(), "there is harm to be found");
    assert_eq!(summary["alerts"], told["alerts"]);
    assert_eq!(summary["records"], told["records"]);
}
