//! The main job on a real broker: the canonical workload, compared with an independent model.
//!
//! ```text
//! canonical records ─► NDJSON ─┬─► Kafka ─► run --until-end ─► tables ─┐
//!                              └─► replay ─► tables                    ├─► DuckDB = Python model
//!                                    alerts byte-equal                 ┘
//! ```
//! A short form of 120,000 records; `cargo xtask soak main-job` sends a million.

#![expect(clippy::expect_used, reason = "a test that cannot set up its world must fail")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use benches::canonical::CanonicalConfig;
use benches::folder::write_canonical;
use tempfile::TempDir;
use xtask::fixture::{Finished, Program, files, oracle};
use xtask::kafka::Broker;
use xtask::produce;

/// Long enough for a busy machine; a run takes seconds.
const PATIENCE: Duration = Duration::from_mins(5);

fn ringwatch() -> Program {
    Program::new(env!("CARGO_BIN_EXE_ringwatch"))
}

fn records() -> usize {
    let text = std::env::var("MAIN_JOB_RECORDS").unwrap_or_else(|_| "120000".to_owned());
    text.parse().expect("MAIN_JOB_RECORDS is a number")
}

/// A replay that slept while another did its work ends by name; it does not wait for a turn.
#[test]
fn of_two_replays_into_one_folder_one_ends_and_says_why() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (input, data) = (folder.path().join("input"), folder.path().join("data"));
    let config = CanonicalConfig { messages: 200_000, ..CanonicalConfig::default() };
    write_canonical(&input, config).expect("the canonical workload");
    let replay = ["replay".as_ref(), "--input".as_ref(), input.as_os_str(), "--data".as_ref()];
    let arguments = || replay.into_iter().chain([data.as_os_str()]);
    let mut sleeper = ringwatch().spawn(arguments());
    let entry = data.join("system/journal/telemetry/0/00000000000000000000");
    sleeper.wait_until("it has written an entry", PATIENCE, |_| entry.exists());
    sleeper.freeze();
    ringwatch().run(arguments()).with_code(0);
    sleeper.thaw();
    let ended = sleeper.finish(PATIENCE).with_code(1);
    assert!(ended.stderr.contains("another replay"), "{ended}");
    ringwatch().run(["verify".as_ref(), "--data".as_ref(), data.as_os_str()]).with_code(0);
}

/// One folder of canonical input and a broker that holds the same.
struct World {
    folder: TempDir,
    broker: Broker,
}

impl World {
    fn with_canonical_records() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let input = folder.path().join("input");
        let config = CanonicalConfig { messages: records() as u64, ..CanonicalConfig::default() };
        write_canonical(&input, config).expect("the canonical workload");
        let broker = Broker::start().expect("a broker");
        broker.create_topics(4).expect("the topics");
        produce::ndjson_folder(broker.bootstrap(), &input).expect("records in the broker");
        Self { folder, broker }
    }

    fn input(&self) -> PathBuf {
        self.folder.path().join("input")
    }

    fn data(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a configuration for this broker and a data folder.
    fn config(&self, name: &str, more: &str) -> PathBuf {
        let path = self.folder.path().join(format!("{name}.toml"));
        let text = format!(
            "[kafka]\nbrokers = \"{}\"\ngroup = \"{name}\"\n[store]\ndata = \"{}\"\n{more}\n\
             [http]\nlisten = \"\"\n",
            self.broker.bootstrap(),
            self.data(name).display()
        );
        fs::write(&path, text).expect("a configuration file");
        path
    }

    fn run_until_end(config: &Path) -> Finished {
        ringwatch()
            .spawn([
                "run".as_ref(),
                "--until-end".as_ref(),
                "--json".as_ref(),
                "--config".as_ref(),
                config.as_os_str(),
            ])
            .finish(PATIENCE)
            .with_code(0)
    }

    fn replay(&self, name: &str) -> Finished {
        let (input, data) = (self.input(), self.data(name));
        let arguments = [
            "replay".as_ref(),
            "--json".as_ref(),
            "--input".as_ref(),
            input.as_os_str(),
            "--data".as_ref(),
            data.as_os_str(),
        ];
        let finished = ringwatch().run(arguments);
        assert!(matches!(finished.status.code(), Some(0 | 3)), "{finished}");
        finished
    }

    /// The sums of `DuckDB` over the tables equal those of the model, and `verify` agrees.
    fn assert_true(&self, name: &str) {
        let (data, input) = (self.data(name), self.input());
        oracle("compare.py", [data.as_os_str(), input.as_os_str()]).with_code(0);
        ringwatch().run(["verify".as_ref(), "--data".as_ref(), data.as_os_str()]).with_code(0);
    }
}

#[test]
fn run_and_replay_give_the_truth_and_the_same_alerts() {
    let world = World::with_canonical_records();
    let run = World::run_until_end(&world.config("run", ""));
    world.assert_true("run");
    let replayed = world.replay("replay");
    world.assert_true("replay");
    let (run, replayed) = (run.json(), replayed.json());
    assert_eq!(run["records"], replayed["records"]);
    assert_eq!(run["records"], records());
    assert_eq!(run["alerts"].to_string(), replayed["alerts"].to_string());
    let again = world.replay("again");
    assert_eq!(replayed, again.json());
    let tables = |name| files(&world.data(name).join("tables"));
    assert!(!tables("replay").is_empty());
    assert!(tables("replay") == tables("again"), "two replays wrote different tables");
    verify_with_kafka_agrees(&world);
}

fn verify_with_kafka_agrees(world: &World) {
    let config = world.config("run", "");
    ringwatch()
        .run(["verify".as_ref(), "--kafka".as_ref(), "--config".as_ref(), config.as_os_str()])
        .with_code(0);
}

#[test]
fn sums_are_still_equal_after_sigterm_and_kill() {
    let world = World::with_canonical_records();
    // Small entries, so that there is a middle to be stopped in.
    let config = world.config("stopped", "entry_records_max = 2000\npublish_interval = \"1s\"");
    let journal = world.data("stopped").join("system/journal/telemetry");
    let entries = || {
        let partitions = fs::read_dir(&journal).into_iter().flatten().flatten();
        partitions
            .map(|folder| fs::read_dir(folder.path()).into_iter().flatten().count())
            .sum::<usize>()
    };
    let start = || {
        ringwatch().spawn([
            "run".as_ref(),
            "--until-end".as_ref(),
            "--config".as_ref(),
            config.as_os_str(),
        ])
    };
    let mut running = start();
    running.wait_until("ten entries", PATIENCE, |_| entries() >= 10);
    // A batch that was stopped before its end says so.
    running.terminate(PATIENCE).with_code(1);
    let before = entries();
    assert!(before * 2_000 < records(), "SIGTERM came after the end");
    let mut running = start();
    running.wait_until("ten more entries", PATIENCE, |_| entries() >= before + 10);
    running.kill();
    assert!(entries() * 2_000 < records(), "kill -9 came after the end");
    World::run_until_end(&config);
    world.assert_true("stopped");
    // Once more with nothing new: nothing changes.
    let tables = files(&world.data("stopped").join("tables"));
    World::run_until_end(&config);
    assert!(tables == files(&world.data("stopped").join("tables")), "a run without records wrote");
}
