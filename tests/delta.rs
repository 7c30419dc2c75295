//! The Delta Lake log over the tables, as the format's own readers see it. Built with `delta`.

#![expect(clippy::expect_used, reason = "a test that cannot set up its world must fail")]

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use tempfile::TempDir;
use xtask::fixture::{Program, files, finish, oracle, python, spawn};
use xtask::repository;

/// Longer than a busy machine needs.
const PATIENCE: Duration = Duration::from_mins(2);

/// Many small publications, so that there are checkpoints too.
const SETTINGS: &str = "[store]\ndelta = true\nentry_records_max = 500\npublish_rows_max = 150\n";

fn ringwatch() -> Program {
    Program::new(env!("CARGO_BIN_EXE_ringwatch"))
}

struct World {
    folder: TempDir,
}

impl World {
    /// The records of a scenario with an alert, and a configuration that follows them.
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let world = Self { folder };
        let input = world.path("input");
        let simulate = ["simulate", "--scenario", "os-crash-10x", "--out"].map(OsStr::new);
        ringwatch().run(simulate.into_iter().chain([input.as_os_str()])).with_code(0);
        fs::write(world.path("ringwatch.toml"), SETTINGS).expect("a configuration file");
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn replay(&self, data: &Path) -> Command {
        let (input, config) = (self.path("input"), self.path("ringwatch.toml"));
        let paths = [("--config", config.as_path()), ("--input", &input), ("--data", data)];
        let options = paths.iter().flat_map(|(name, path)| [OsStr::new(name), path.as_os_str()]);
        ringwatch().command([OsStr::new("replay")].into_iter().chain(options))
    }
}

/// How many versions the log of `ring_health` has.
fn versions(data: &Path) -> usize {
    let Ok(log) = fs::read_dir(data.join("delta/ring_health/_delta_log")) else { return 0 };
    let is_version = |path: &PathBuf| path.extension() == Some(OsStr::new("json"));
    log.filter_map(Result::ok).map(|entry| entry.path()).filter(is_version).count()
}

#[test]
fn every_dataset_is_read_with_the_sums_of_its_files_and_nobody_else_may_write() {
    let world = World::new();
    let data = world.path("data");
    finish(&mut world.replay(&data)).with_code(3);
    let tables = files(&data.join("tables"));
    let found = oracle("delta.py", [&data]).with_code(0).json();
    assert!(found["ring_health"]["versions"].as_u64() > Some(100), "{found}");
    assert!(found["ring_health"]["checkpoints"].as_u64() > Some(0), "{found}");
    assert!(found["alerts"]["rows"].as_u64() > Some(0), "{found}");
    assert_eq!(files(&data.join("tables")), tables, "nothing under tables/ has changed");
    let verify = ["verify".as_ref(), "--data".as_ref(), data.as_os_str()];
    ringwatch().run(verify).with_code(0);
}

#[test]
fn after_kills_and_made_anew_the_log_is_the_same_byte_for_byte() {
    let world = World::new();
    let data = world.path("data");
    let killed_after = |milliseconds| {
        let replay = spawn(&mut world.replay(&data));
        sleep(Duration::from_millis(milliseconds));
        replay.kill();
    };
    killed_after(150);
    // A start publishes all that it finds journalled as one version, so that many versions are made
    // only where nobody is killed for a while.
    let mut replay = spawn(&mut world.replay(&data));
    replay.wait_until("a hundred versions", PATIENCE, |_| versions(&data) > 100);
    assert!(replay.ended().is_none(), "it is killed in the middle of its work");
    replay.kill();
    [300, 600, 900].into_iter().for_each(killed_after);
    finish(&mut world.replay(&data)).with_code(3);
    let before = files(&data.join("delta"));
    for (what, folders) in [
        ("all of it", &["delta", "system/delta"][..]),
        ("what it was written down from", &["system/delta"]),
    ] {
        for folder in folders {
            fs::remove_dir_all(data.join(folder)).expect("removed");
        }
        finish(&mut world.replay(&data)).with_code(3);
        assert!(files(&data.join("delta")) == before, "other bytes without {what}");
    }
    oracle("delta.py", [&data]).with_code(0);
}

#[test]
fn a_reader_sees_whole_versions_while_they_are_written() {
    let world = World::new();
    let data = world.path("data");
    let script = repository().join("tests/oracle/delta.py");
    let mut reading = spawn(Command::new(python()).arg(script).args(["--follow".as_ref(), &*data]));
    reading.wait_until("the reader is there", PATIENCE, |it| it.stdout().contains("ready"));
    let mut replay = spawn(&mut world.replay(&data));
    replay.go_haltingly(20, Duration::from_millis(100), Duration::from_millis(400));
    replay.finish(PATIENCE).with_code(3);
    reading.terminate(PATIENCE).with_code(0);
    oracle("delta.py", [&data]).with_code(0);
}
