//! What analysts are promised: every snippet of docs/data.md, the notebook, six readers at once.

#![expect(clippy::expect_used, reason = "a test that cannot set up its world must fail")]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use xtask::fixture::{Program, oracle, python, spawn};
use xtask::repository;

/// Longer than a busy machine needs; Spark alone starts in ten seconds.
const PATIENCE: Duration = Duration::from_mins(4);

/// What the sample may weigh, so that nobody minds to make it.
const SAMPLE_BYTES_MAX: u64 = 1 << 20;

fn ringwatch() -> Program {
    Program::new(env!("CARGO_BIN_EXE_ringwatch"))
}

/// The sample, by the commands of the document, in a folder that looks like the repository to them.
fn sample() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    symlink(repository().join("analysts"), folder.path().join("analysts")).expect("a link");
    let document = fs::read_to_string(repository().join("docs/data.md")).expect("docs/data.md");
    let commands: Vec<&str> =
        document.lines().filter_map(|line| line.strip_prefix("ringwatch ")).collect();
    assert_eq!(commands.len(), 2, "docs/data.md makes its sample with two commands");
    for (command, code) in commands.into_iter().zip([0, 3]) {
        let mut command = ringwatch().command(command.split(' '));
        xtask::fixture::finish(command.current_dir(folder.path())).with_code(code);
    }
    folder
}

fn bytes_below(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    entries
        .map(|entry| match entry.metadata().expect("its metadata") {
            of_folder if of_folder.is_dir() => bytes_below(&entry.path()),
            of_file => of_file.len(),
        })
        .sum()
}

#[test]
fn every_snippet_for_analysts_gives_the_same_true_answer_and_the_notebook_draws() {
    let folder = sample();
    let bytes = bytes_below(&folder.path().join("sample/tables"));
    assert!(bytes < SAMPLE_BYTES_MAX, "the sample has {bytes} bytes");
    oracle("analysts.py", [folder.path()]).with_code(0);
    oracle("notebook.py", [folder.path()]).with_code(0);
}

/// The sample's records with some that are refused among them, so that every dataset has rows.
fn spoiled_input(folder: &Path) -> PathBuf {
    let input = folder.join("sample-input");
    let file = input.join("telemetry-000.ndjson");
    let text = fs::read_to_string(&file).expect("records");
    let spoiled = |(number, line): (usize, &str)| match number % 500 {
        7 => format!("{line}\nno JSON\n"),
        _ => format!("{line}\n"),
    };
    fs::write(&file, text.lines().enumerate().map(spoiled).collect::<String>()).expect("written");
    input
}

#[test]
fn six_readers_read_every_dataset_while_it_is_written() {
    let folder = sample();
    let input = spoiled_input(folder.path());
    let (data, config) = (folder.path().join("data"), folder.path().join("ringwatch.toml"));
    let often = "[windows]\nlength = \"1h\"\n\
                 [store]\nentry_records_max = 500\npublish_rows_max = 300\n";
    fs::write(&config, often).expect("a configuration");
    let mut reading =
        spawn(Command::new(python()).arg(repository().join("tests/oracle/reading.py")).arg(&data));
    reading.wait_until("Spark is there", PATIENCE, |reading| reading.stdout().contains("ready"));
    let paths = [("--config", &config), ("--input", &input), ("--data", &data)];
    let options = paths.iter().flat_map(|(name, path)| [OsStr::new(name), path.as_os_str()]);
    let mut replay = ringwatch().spawn([OsStr::new("replay")].into_iter().chain(options));
    replay.go_haltingly(30, Duration::from_millis(100), Duration::from_secs(1));
    replay.finish(PATIENCE).with_code(3);
    reading.terminate(PATIENCE).with_code(0);
}
