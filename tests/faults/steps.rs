//! kill at every step: each call by which an entry, a commit, a table comes to the disk is once
//! the last that never happened.
//!
//! ```text
//! traced run ─► steps (call, number) ─► for each: fresh folder, die there, run to the end
//! ```
//! `strace` counts by thread, so whoever reaches a number first dies. To meet the publisher too,
//! the same is done on a folder whose journal is complete and whose chain is not begun. Files are
//! replayed, which writes no states of devices and publisher; a broker's records are not.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use benches::canonical::CanonicalConfig;
use benches::folder::write_canonical;
use tempfile::TempDir;
use xtask::faults::settings::Settings;
use xtask::faults::strace::{Step, Threads, die_at, steps};
use xtask::fixture::{Finished, finish, oracle};
use xtask::kafka::Broker;
use xtask::produce;

use crate::effort::{Effort, say};
use crate::ringwatch;

/// All by which bytes and names reach the disk; opening alone leaves nothing that counts.
const CALLS: &str = "fsync,fdatasync,write,link,linkat,rename,renameat2,unlink,unlinkat,mkdir";

/// The same without `write`, which a Kafka client calls all the time.
const CALLS_OF_RUN: &str = "fsync,fdatasync,link,linkat,rename,renameat2,unlink,unlinkat,mkdir";

/// Several entries and several commits with tables: what a first one does not meet a later one
/// does.
const SETTINGS: &str = "entry_records_max = 200\npublish_rows_max = 400\n";

/// What `strace` sends.
const SIGKILL: i32 = 9;

/// What stands in a folder when nothing was published yet.
const PUBLISHED: [&str; 6] =
    ["system/chain", "system/checkpoints", "system/cursors", "system/staging", "settled", "tables"];

/// A small input, and the folders that came of it.
struct World {
    folder: TempDir,
    done: Vec<PathBuf>,
}

/// One way to kill at every step.
#[derive(Clone, Copy)]
struct Story<'a> {
    name: &'a str,
    threads: Threads,
    calls: &'a str,
    /// What works on a data folder.
    command: &'a dyn Fn(&Path) -> Command,
    /// What each data folder begins as, if not empty.
    prepared: Option<&'a Path>,
    /// Of how many steps one is tried in the short form.
    stride: usize,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = CanonicalConfig {
            messages: 600,
            devices: 60,
            partitions: 2,
            ..CanonicalConfig::default()
        };
        write_canonical(&folder.path().join("input"), config).expect("the canonical workload");
        Self { folder, done: Vec::new() }
    }

    fn input(&self) -> PathBuf {
        self.folder.path().join("input")
    }

    /// A folder for one run: empty, or a copy of `prepared`.
    fn data(&self, name: &str, prepared: Option<&Path>) -> PathBuf {
        let data = self.folder.path().join(name);
        if let Some(prepared) = prepared {
            finish(Command::new("cp").arg("--archive").args([prepared, &data])).with_code(0);
        }
        data
    }

    /// Dies at each of the steps, each time in a folder of its own, and goes on to the end.
    fn die(&mut self, effort: Effort, story: &Story<'_>) {
        let Story { name, threads, command, prepared, .. } = *story;
        let traced = self.data(&format!("{name}-traced"), prepared);
        let all = steps(&command(&traced), threads, story.calls);
        let chosen: Vec<&Step> = all.iter().step_by(effort.pick(story.stride, 1)).collect();
        let mut died = 0;
        for step in &chosen {
            died += usize::from(self.die_near(story, step));
        }
        let (chosen, all) = (chosen.len(), all.len());
        say(&format!("{name}: died at {died} of {chosen} steps tried, of {all} there are"));
        assert!(chosen >= 3 && died * 10 >= chosen * 8, "{name}: died at {died} of {chosen} only");
    }

    /// Dies at a step and goes on to the end. Where threads take turns, or intervals are short,
    /// its number is not always reached: such a run ended well, counts as one more folder that
    /// must be true, and a lower number is tried. Returns whether any died.
    fn die_near(&mut self, story: &Story<'_>, step: &Step) -> bool {
        let mut step = step.clone();
        loop {
            let name = format!("{}-{}-{}", story.name, step.call, self.done.len());
            let data = self.data(&name, story.prepared);
            let dead = die_at(&(story.command)(&data), story.threads, &step);
            let died = dead.status.signal() == Some(SIGKILL);
            // It died of the step, or it ended well: what ends by itself otherwise is a bug.
            assert!(died || matches!(dead.status.code(), Some(0 | 3)), "{step:?}: {dead}");
            to_the_end(&mut (story.command)(&data));
            let verify = ["verify".as_ref(), "--data".as_ref(), data.as_os_str()];
            ringwatch().run(verify).with_code(0);
            self.done.push(data);
            if died || step.number == 1 {
                return died;
            }
            step.number = step.number * 2 / 3;
        }
    }

    /// The sums of every folder are those of the model.
    fn assert_true(&self) {
        let input = self.input();
        oracle("compare.py", self.done.iter().chain([&input])).with_code(0);
    }
}

fn to_the_end(command: &mut Command) -> Finished {
    let finished = finish(command);
    assert!(matches!(finished.status.code(), Some(0 | 3)), "{finished}");
    finished
}

#[test]
fn a_replay_that_dies_at_any_step_is_mended_by_the_next() {
    let effort = Effort::of("steps of replay");
    let mut world = World::new();
    let config = world.folder.path().join("ringwatch.toml");
    fs::write(&config, format!("[store]\n{SETTINGS}")).expect("a configuration file");
    let input = world.input();
    let replay = |data: &Path| {
        let paths = [("--config", config.as_path()), ("--input", &input), ("--data", data)];
        let options = paths.iter().flat_map(|(name, path)| [OsStr::new(name), path.as_os_str()]);
        ringwatch().command([OsStr::new("replay")].into_iter().chain(options))
    };
    let journalled = world.data("journalled", None);
    to_the_end(&mut replay(&journalled));
    for published in PUBLISHED {
        fs::remove_dir_all(journalled.join(published)).ok();
    }
    let whole = Story {
        name: "whole",
        threads: Threads::All,
        calls: CALLS,
        command: &replay,
        prepared: None,
        stride: 7,
    };
    world.die(effort, &Story { name: "reading", threads: Threads::First, ..whole });
    world.die(effort, &Story { name: "publishing", prepared: Some(&journalled), ..whole });
    world.die(effort, &whole);
    world.assert_true();
}

#[test]
fn a_run_that_dies_at_any_step_is_mended_by_the_next() {
    let effort = Effort::of("steps of run");
    let mut world = World::new();
    let broker = Broker::start().expect("a broker");
    broker.create_topics(2).expect("the topics");
    produce::ndjson_folder(broker.bootstrap(), &world.input()).expect("produced");
    let settings = Settings {
        store: SETTINGS.to_owned(),
        snapshot_interval: "1ms".to_owned(),
        checkpoint_interval: "1ms".to_owned(),
        ..Settings::default()
    };
    let run = |data: &Path| {
        let config = data.with_extension("toml");
        // Under a name: the group does not wait for who died.
        let text = settings.toml(broker.bootstrap(), data, "one", None);
        fs::write(&config, text).expect("a configuration file");
        let options = ["run", "--until-end", "--config"].map(OsStr::new);
        ringwatch().command(options.into_iter().chain([config.as_os_str()]))
    };
    let serving = Story {
        name: "serving",
        threads: Threads::All,
        calls: CALLS_OF_RUN,
        command: &run,
        prepared: None,
        stride: 11,
    };
    world.die(effort, &serving);
    world.assert_true();
}
