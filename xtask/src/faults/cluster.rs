//! A broker, a data folder and the processes that share them.

#![expect(clippy::expect_used, reason = "a fixture that cannot run must fail the test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use super::member::Member;
use super::settings::Settings;
use super::wait_until;
use crate::fixture::{Finished, Program, free_address, oracle};
use crate::kafka::Broker;

/// A run to the end joins a group whose members may have died a moment ago.
const END_TIMEOUT: Duration = Duration::from_mins(5);

/// Everything a story is about.
#[derive(Debug)]
pub struct Cluster {
    pub broker: Broker,
    pub members: Vec<Member>,
    folder: TempDir,
    data: PathBuf,
    program: Program,
    settings: Settings,
    telemetry_partitions: i32,
}

impl Cluster {
    /// A broker with the three topics, and as many members, none of them started.
    #[track_caller]
    pub fn new(program: Program, partitions: i32, members: usize, settings: Settings) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data = folder.path().join("data");
        Self::with_data(program, partitions, members, settings, (folder, data))
    }

    /// The same with the data folder elsewhere, as on a disk of its own.
    #[track_caller]
    pub fn with_data(
        program: Program,
        telemetry_partitions: i32,
        members: usize,
        settings: Settings,
        (folder, data): (TempDir, PathBuf),
    ) -> Self {
        let broker = Broker::start().expect("a broker");
        broker.create_topics(telemetry_partitions).expect("the topics");
        let mut cluster = Self {
            broker,
            members: Vec::new(),
            folder,
            data,
            program,
            settings,
            telemetry_partitions,
        };
        for number in 0..members {
            let member = cluster.member(&format!("member-{number}"));
            cluster.members.push(member);
        }
        cluster
    }

    /// One more place in the group, under a name of its own.
    #[track_caller]
    pub fn member(&self, name: &str) -> Member {
        let port = free_address().port();
        let config = self.folder.path().join(format!("{name}-{port}.toml"));
        let text = self.settings.toml(self.broker.bootstrap(), &self.data, name, Some(port));
        fs::write(&config, text).expect("a configuration file");
        Member::new(name.to_owned(), self.program.clone(), config, port)
    }

    /// The data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// A path beside the data folder.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// How many partitions telemetry has.
    pub const fn telemetry_partitions(&self) -> i32 {
        self.telemetry_partitions
    }

    /// Starts every member that is not running.
    #[track_caller]
    pub fn start_all(&mut self) {
        self.members.iter_mut().filter(|member| !member.is_running()).for_each(Member::start);
    }

    /// Panics if a member has ended by itself.
    #[track_caller]
    pub fn assert_alive(&mut self) {
        self.members.iter_mut().for_each(Member::assert_alive);
    }

    /// Waits until each partition of telemetry has an owner, and each running member has one.
    #[track_caller]
    pub fn wait_until_shared(&mut self, limit: Duration) {
        let wanted = self.telemetry_partitions as usize;
        wait_until("every partition has one owner, every member one at least", limit, || {
            self.assert_alive();
            let running = self.members.iter().filter(|member| member.is_running());
            let owned: Vec<_> = running.map(Member::owned).collect();
            let count: usize = owned.iter().map(std::collections::BTreeSet::len).sum();
            count == wanted && owned.iter().all(|owned| !owned.is_empty())
        });
    }

    /// The newest journal entry of each partition of telemetry that has one.
    pub fn newest_entries(&self) -> BTreeMap<i32, u64> {
        let journal = self.data.join("system/journal/telemetry");
        let newest = |partition: i32| {
            let entries = fs::read_dir(journal.join(partition.to_string())).ok()?;
            entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).max()
        };
        (0..self.telemetry_partitions)
            .filter_map(|partition| Some((partition, newest(partition)?)))
            .collect()
    }

    /// How many journal entries there have been in all.
    pub fn entry_count(&self) -> u64 {
        self.newest_entries().values().map(|newest| newest + 1).sum()
    }

    /// Waits until there are so many more entries than now, and how long that took.
    #[track_caller]
    pub fn wait_for_entries(&mut self, more: u64, limit: Duration) -> Duration {
        let before = self.entry_count();
        wait_until(&format!("{more} more journal entries"), limit, || {
            self.assert_alive();
            self.entry_count() >= before + more
        })
    }

    /// Stops everybody; one process reads to the end; `verify` must agree.
    #[track_caller]
    pub fn close(&mut self) -> Finished {
        for member in self.members.iter_mut().filter(|member| member.is_running()) {
            member.assert_alive();
            member.terminate();
        }
        let finished = self.members[0].run_until_end(END_TIMEOUT);
        self.verify();
        finished
    }

    /// The same, and the tables must hold the truth, no less, no more.
    #[track_caller]
    pub fn end(&mut self, input: &Path) -> Finished {
        let finished = self.close();
        oracle("compare.py", [self.data.as_os_str(), input.as_os_str()]).with_code(0);
        finished
    }

    /// `ringwatch verify` over the data folder: every offset once.
    #[track_caller]
    pub fn verify(&self) {
        let arguments = ["verify".as_ref(), "--data".as_ref(), self.data.as_os_str()];
        self.program.run(arguments).with_code(0);
    }
}

impl Drop for Cluster {
    /// After a failure the folder stays, with the data and the members' logs.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.folder.disable_cleanup(true);
            self.say_where();
        }
    }
}

impl Cluster {
    #[expect(clippy::print_stderr, reason = "a failure is looked into there")]
    fn say_where(&self) {
        eprintln!("kept for a look: {}", self.folder.path().display());
    }
}
