//! A newcomer's path: the commands of the documents, as they stand there, from an empty folder.

#![allow(clippy::expect_used, reason = "a test that cannot set up its world must fail")]

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use xtask::fixture::{Finished, finish, python};
use xtask::repository;

/// A document's code blocks that say `run`, each with its language, in their order.
fn path_of(document: &str) -> Vec<(String, String)> {
    let text = fs::read_to_string(repository().join(document)).expect(document);
    let mut found = Vec::new();
    let mut rest = &*text;
    while let Some((_, after)) = rest.split_once("\n```") {
        let (opening, after) = after.split_once('\n').expect("a line");
        let (block, after) = after.split_once("\n```").expect("the end of a block");
        if let Some(language) = opening.strip_suffix(" run") {
            found.push((language.to_owned(), block.to_owned()));
        }
        rest = after;
    }
    found
}

/// Runs a block of shell with the binary under test on the path.
fn run(folder: &Path, language: &str, block: &str) -> Finished {
    let binary = Path::new(env!("CARGO_BIN_EXE_ringwatch")).parent().expect("a folder");
    let path = env::var("PATH").expect("a path");
    let mut command = match language {
        "python" => Command::new(python()),
        _ => Command::new("sh"),
    };
    command.args(["-c", block]).current_dir(folder);
    command.env("PATH", format!("{}:{path}", binary.display()));
    finish(&mut command)
}

#[test]
fn from_own_records_to_the_first_answer_by_the_documents_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let started = Instant::now();
    let mut told = String::new();
    for (language, block) in path_of("docs/telemetry.md") {
        told += &run(folder.path(), &language, &block).with_code(0).stdout;
    }
    let took = started.elapsed();
    assert!(took < Duration::from_mins(1), "{took:?}");
    assert!(told.contains("every offset is covered exactly once"), "{told}");
    assert!(told.contains("`time` is missing"), "{told}");
    let refused = told.lines().filter(|line| line.contains("VALIDATE")).count();
    assert_eq!(refused, 1, "only the one that should be: {told}");
    let crash = told.lines().find(|line| line.contains("os_crash")).expect("the crash");
    assert!(crash.contains("test") && crash.contains("treated"), "{told}");
}

#[test]
fn a_scenario_of_ones_own_is_run_as_the_document_says() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::os::unix::fs::symlink(repository().join("scenarios"), folder.path().join("scenarios"))
        .expect("a link");
    let blocks = path_of("docs/scenarios.md");
    let [(_, scenario), (_, commands)] = &blocks[..] else { panic!("{blocks:?}") };
    fs::write(folder.path().join("my-fleet.toml"), scenario).expect("written");
    // `replay` ends with 3: the regression is found.
    for (command, code) in commands.lines().zip([0, 3, 0]) {
        let finished = run(folder.path(), "sh", command).with_code(code);
        if command.contains("evaluate") {
            assert!(finished.stdout.contains("5 of 5 as expected"), "{finished}");
        }
    }
}
