//! kill at every step: each call by which an entry, a commit, a table comes to the disk is once
//! the last that never happened.
//!
//! ```text
//! traced run ─► steps (call, number) ─► for each: fresh folder, die there, run to the end
//! ```
//! `strace` counts by thread, so whoever reaches a number first dies. To meet the publisher too,
//! the same is done on a folder whose journal is complete and whose chain is not begun.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use benches::canonical::CanonicalConfig;
use benches::folder::write_canonical;
use tempfile::TempDir;
use xtask::faults::strace::{Step, Threads, die_at, steps};
use xtask::fixture::{Finished, finish, oracle};

use crate::effort::{Effort, say};
use crate::ringwatch;

/// All by which bytes and names reach the disk; opening alone leaves nothing that counts.
const CALLS: &str = "fsync,fdatasync,write,link,linkat,rename,renameat2,unlink,unlinkat,mkdir";

/// Several entries and several commits with tables: what a first one does not meet a later one
/// does.
const SETTINGS: &str = "[store]\nentry_records_max = 200\npublish_rows_max = 400\n";

/// What stands in a folder when nothing was published yet.
const PUBLISHED: [&str; 6] =
    ["system/chain", "system/checkpoints", "system/cursors", "system/staging", "settled", "tables"];

/// A small input, and the folders that came of it.
struct World {
    folder: TempDir,
    done: Vec<PathBuf>,
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
        fs::write(folder.path().join("ringwatch.toml"), SETTINGS).expect("a configuration file");
        Self { folder, done: Vec::new() }
    }

    fn input(&self) -> PathBuf {
        self.folder.path().join("input")
    }

    fn replay(&self, data: &Path) -> Command {
        let (input, config) = (self.input(), self.folder.path().join("ringwatch.toml"));
        ringwatch().command([
            "replay".as_ref(),
            "--config".as_ref(),
            config.as_os_str(),
            "--input".as_ref(),
            input.as_os_str(),
            "--data".as_ref(),
            data.as_os_str(),
        ])
    }

    /// A folder for one run: empty, or a copy of `prepared`.
    fn data(&self, name: &str, prepared: Option<&Path>) -> PathBuf {
        let data = self.folder.path().join(name);
        if let Some(prepared) = prepared {
            finish(Command::new("cp").arg("--archive").args([prepared, &data])).with_code(0);
        }
        data
    }

    /// A folder with a complete journal and nothing that follows from it.
    fn journalled(&self) -> PathBuf {
        let data = self.data("journalled", None);
        to_the_end(&mut self.replay(&data));
        for published in PUBLISHED {
            fs::remove_dir_all(data.join(published)).ok();
        }
        data
    }

    /// Dies at each of the steps, each time in a folder of its own, and goes on to the end.
    fn die(&mut self, effort: Effort, what: &str, threads: Threads, prepared: Option<&Path>) {
        let traced = self.data(&format!("{what}-traced"), prepared);
        let all = steps(&self.replay(&traced), threads, CALLS);
        let chosen: Vec<&Step> = all.iter().step_by(effort.pick(7, 1)).collect();
        let mut died = 0;
        for step in &chosen {
            let data = self.data(&format!("{what}-{}-{}", step.call, step.number), prepared);
            let dead = die_at(&self.replay(&data), threads, step);
            // Where threads take turns a number may not be reached: then it ended well.
            died += usize::from(dead.status.code().is_none());
            to_the_end(&mut self.replay(&data));
            let verify = ["verify".as_ref(), "--data".as_ref(), data.as_os_str()];
            ringwatch().run(verify).with_code(0);
            self.done.push(data);
        }
        let (chosen, all) = (chosen.len(), all.len());
        say(&format!("{what}: died at {died} of {chosen} steps tried, of {all} there are"));
        assert!(chosen >= 3 && died * 10 >= chosen * 9, "{what}: died at {died} of {chosen} only");
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
fn a_process_that_dies_at_any_step_leaves_nothing_that_a_restart_does_not_mend() {
    let effort = Effort::of("steps");
    let mut world = World::new();
    let journalled = world.journalled();
    world.die(effort, "reading", Threads::First, None);
    world.die(effort, "whole", Threads::All, None);
    world.die(effort, "publishing", Threads::All, Some(&journalled));
    world.assert_true();
}
