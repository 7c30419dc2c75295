//! What every measurement stands on: the workload as files and at a broker, and the proof of what
//! came of it.
//!
//! ```text
//! canonical ─► Files (NDJSON) ─► Stand (broker on core 0) ─► ringwatch ─► verify, oracle
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::measure::{Usage, measure, succeed};
use super::programs::Programs;
use super::{BROKER_CORE, MEASURED_CORE, PARTITIONS, say};
use crate::fixture::free_address;
use crate::kafka::Broker;
use crate::{Failure, produce, repository};

/// Size of the canonical workload: its hour holds more messages, not more hours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Workload {
    pub messages: u64,
    pub devices: u32,
}

impl Workload {
    /// The fleet that every recorded number is of.
    pub(super) const fn of(messages: u64) -> Self {
        Self { messages, devices: 200_000 }
    }

    /// What a message is part of: more messages in the same hour mean more for each row.
    pub(super) fn density(self) -> String {
        let Self { messages, devices } = self;
        let (a_second, each) = (messages / 3_600, messages as f64 / f64::from(devices));
        format!("{messages} messages of {devices} devices in an hour: {a_second}/s, {each:.1} each")
    }
}

/// The workload in a temporary folder, which also takes what is made of it.
#[derive(Debug)]
pub(super) struct Files {
    folder: TempDir,
    pub workload: Workload,
}

impl Files {
    /// Writes the workload down.
    pub(super) fn write(programs: &Programs, workload: Workload) -> Result<Self, Failure> {
        let folder = tempfile::tempdir().map_err(Failure::io("make a folder for the benchmark"))?;
        let files = Self { folder, workload };
        let mut generate = Command::new(&programs.canonical);
        generate.arg("--out").arg(files.input());
        generate.args(["--messages", &workload.messages.to_string()]);
        succeed(generate.args(["--devices", &workload.devices.to_string()]))?;
        say(&workload.density());
        Ok(files)
    }

    /// The folder of NDJSON.
    pub(super) fn input(&self) -> PathBuf {
        self.path("input")
    }

    /// A place of that name beside it.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `verify`, then the independent model's comparison of the tables with the input.
    pub(super) fn check(&self, ringwatch: &Path, data: &Path) -> Result<(), Failure> {
        verify(ringwatch, data)?;
        let compare = repository().join("tests/oracle/compare.py");
        succeed(python()?.arg(compare).arg(data).arg(self.input()))
    }

    /// `verify`, then that the tables hold every message once: where the model would take hours.
    pub(super) fn check_sums(&self, ringwatch: &Path, data: &Path) -> Result<(), Failure> {
        verify(ringwatch, data)?;
        let messages = self.workload.messages.to_string();
        succeed(python()?.arg(peers_folder().join("sums.py")).arg(data).arg(messages))
    }
}

/// The proof that every offset is in the tables once.
pub(super) fn verify(ringwatch: &Path, data: &Path) -> Result<(), Failure> {
    succeed(Command::new(ringwatch).args(["verify", "--quiet", "--data"]).arg(data))
}

/// The Python that has what the scripts need.
pub(super) fn python() -> Result<Command, Failure> {
    let python = repository().join(".venv/bin/python");
    if python.is_file() {
        return Ok(Command::new(python));
    }
    Err(Failure::Unmet("no .venv to check the result with: ./dev setup".to_owned()))
}

/// Where the peers and the scripts that check results are.
pub(super) fn peers_folder() -> PathBuf {
    repository().join("benches/peers")
}

/// How a run of ringwatch is configured beyond what all have in common.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    /// `[workers] count`; `None` leaves the key away.
    pub workers: Option<u32>,
    /// Further lines of `[store]`.
    pub store: String,
    /// The `group.instance.id`: whoever starts again under it is not waited for.
    pub instance: Option<String>,
}

impl Settings {
    pub(super) fn workers(count: Option<u32>) -> Self {
        Self { workers: count, ..Self::default() }
    }

    /// Further sections of the file.
    pub(super) fn sections(&self) -> String {
        let workers = self.workers.map(|count| format!("[workers]\ncount = {count}\n"));
        let instance = self.instance.as_ref().map(|instance| {
            format!("[kafka.properties]\n\"group.instance.id\" = \"{instance}\"\n")
        });
        [workers, instance].into_iter().flatten().collect()
    }

    /// The cores that it gets: the broker's, too, where there are not enough others.
    pub(super) fn cores(&self) -> String {
        let count = self.workers.unwrap_or(1) as usize;
        let all = std::thread::available_parallelism().map_or(1, usize::from);
        let first = if count < all { MEASURED_CORE } else { BROKER_CORE };
        format!("{first}-{}", (first + count - 1).min(all - 1).max(first))
    }
}

/// The files, and a broker that has them.
#[derive(Debug)]
pub(super) struct Stand {
    pub files: Files,
    pub broker: Broker,
}

/// A run that is configured: its file, its data folder, where its pages are.
#[derive(Debug)]
pub(super) struct Configured {
    pub config: PathBuf,
    pub data: PathBuf,
    pub address: String,
}

impl Stand {
    /// Writes the workload, starts a broker and produces it there.
    pub(super) fn start(programs: &Programs, workload: Workload) -> Result<Self, Failure> {
        let files = Files::write(programs, workload)?;
        let broker = Broker::start_pinned(BROKER_CORE)?;
        broker.create_topics(PARTITIONS)?;
        let produced = produce::ndjson_folder(broker.bootstrap(), &files.input())?;
        say(&format!("{produced} records produced"));
        Ok(Self { files, broker })
    }

    /// Writes the configuration of a run on a data folder of its own.
    pub(super) fn configure(&self, name: &str, with: &Settings) -> Result<Configured, Failure> {
        let config = self.files.path(&format!("{name}.toml"));
        let data = self.files.path(&format!("{name}-data"));
        let address = free_address().to_string();
        let text = format!(
            "[kafka]\nbrokers = \"{}\"\ngroup = \"{name}\"\n[store]\ndata = \"{}\"\n{}\n\
             [http]\nlisten = \"{address}\"\n{}",
            self.broker.bootstrap(),
            data.display(),
            with.store,
            with.sections(),
        );
        fs::write(&config, text).map_err(Failure::io("write the configuration"))?;
        Ok(Configured { config, data, address })
    }

    /// Runs ringwatch over all there is; what it cost, and the data folder.
    pub(super) fn run(
        &self,
        ringwatch: &Path,
        name: &str,
        with: &Settings,
    ) -> Result<(Usage, PathBuf), Failure> {
        let Configured { config, data, .. } = self.configure(name, with)?;
        let usage = measure(&mut to_the_end(ringwatch, &config), &with.cores())?;
        Ok((usage, data))
    }
}

/// The command that reads what is there, publishes it and ends.
pub(super) fn to_the_end(ringwatch: &Path, config: &Path) -> Command {
    let mut command = Command::new(ringwatch);
    command.args(["run", "--until-end", "--quiet", "--config"]).arg(config);
    command
}

/// Whether the disk of temporary folders takes that much and leaves as much again.
pub(super) fn has_room(bytes: u64) -> Result<(), Failure> {
    let folder = std::env::temp_dir();
    let output = Command::new("df")
        .args(["--output=avail", "--block-size=1"])
        .arg(&folder)
        .output()
        .map_err(Failure::io("start df"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let free = said.lines().last().and_then(|line| line.trim().parse::<u64>().ok()).unwrap_or(0);
    if free >= bytes * 2 {
        return Ok(());
    }
    let (needed_gib, free_gib, folder) = (bytes >> 29, free >> 30, folder.display());
    Err(Failure::Unmet(format!("{folder} has {free_gib} GiB free, and this needs {needed_gib}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_of_workers_is_written_and_gets_as_many_cores() {
        let one = Settings::workers(None);
        assert_eq!(one.sections(), "");
        let two = Settings::workers(Some(2));
        assert_eq!(two.sections(), "[workers]\ncount = 2\n");
        let cores = std::thread::available_parallelism().unwrap().get();
        if cores == 2 {
            assert_eq!((one.cores().as_str(), two.cores().as_str()), ("1-1", "0-1"));
        }
    }
}
