//! The long forms of tests whose short form runs in CI: the same tests with larger numbers.

use clap::{Args, ValueEnum};

use crate::{Failure, repository};

/// How it is run.
#[derive(Args, Debug)]
pub struct Options {
    /// What to run.
    what: Soak,
    /// Repeats the random choices of an earlier run, which printed it.
    #[arg(long)]
    seed: Option<u64>,
    /// Rounds, where it has any.
    #[arg(long)]
    rounds: Option<u32>,
    /// Adds what was measured to docs/benchmarks.md.
    #[arg(long)]
    record: bool,
}

/// What can be run in its long form.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Soak {
    /// A million canonical records through a real broker, compared with the independent model.
    MainJob,
    /// Half an hour of the fuzzer and half an hour of records, sound and spoiled, through both ways
    /// to decode.
    Fuzz,
    /// 10,000 seeds of the simulator.
    Sim,
    /// Eight deliberate bugs, each of which the simulator must find.
    Bugs,
    /// Kills, twenty on each object store, while a service writes its data folder there.
    ObjectStore,
    /// 200 rounds of kill -9 with three processes under load.
    Kill,
    /// 200 kills of a publisher during 2,000 alerts.
    Storm,
    /// A kill at each system call by which something comes to the disk.
    Steps,
    /// Processes stopped past their session, then woken.
    Zombie,
    /// The broker dead for a minute, and hung for a minute.
    Broker,
    /// The disk full, read-only, or failing to sync for a minute.
    Disk,
    /// Topics, groups and folders that do not belong together.
    Worlds,
    /// Restarts with 200,000 and with 10 million devices, optimised.
    Recovery,
}

/// A test file, and which of its tests.
struct Tests {
    file: &'static str,
    filter: &'static str,
    profile: &'static str,
}

impl Soak {
    fn tests(self) -> Tests {
        let faults = |filter| Tests { file: "faults", filter, profile: "dev" };
        match self {
            Self::MainJob => Tests { file: "main_job", filter: "", profile: "dev" },
            Self::Fuzz => Tests { file: "paths", filter: "", profile: "dev" },
            Self::ObjectStore => Tests { file: "object_store", filter: "", profile: "dev" },
            // Its bugs are put into a copy: see `crate::bugs`.
            Self::Sim | Self::Bugs => Tests { file: "simulation", filter: "", profile: "dev" },
            Self::Kill => faults("kill::"),
            Self::Storm => Tests { file: "storm", filter: "", profile: "dev" },
            Self::Steps => faults("steps::"),
            Self::Zombie => faults("zombie::"),
            Self::Broker => faults("broker::"),
            Self::Disk => faults("disk::"),
            Self::Worlds => faults("worlds::"),
            Self::Recovery => Tests { file: "faults", filter: "recovery::", profile: "release" },
        }
    }
}

/// Runs the long form, one test at a time, with the build that `./dev test` made.
pub fn run(options: &Options) -> Result<(), Failure> {
    if matches!(options.what, Soak::Bugs) {
        return crate::bugs::run();
    }
    if matches!(options.what, Soak::Fuzz) {
        crate::fuzz::run()?;
    }
    let Tests { file, filter, profile } = options.what.tests();
    let mut cargo = crate::command("cargo");
    cargo.args(["test", "--workspace", "--profile", profile, "--test", file, "--", filter]);
    cargo.args(["--nocapture", "--test-threads=1"]);
    cargo.env("MAIN_JOB_RECORDS", "1000000").env("FAULTS_FULL", "1");
    cargo.env("OBJECT_STORE_ROUNDS", "20").env("SIMULATION_SEEDS", "10000");
    cargo.env("FUZZ_SECONDS", "1800");
    if let Some(seed) = options.seed {
        cargo.env("FAULTS_SEED", seed.to_string());
    }
    if let Some(rounds) = options.rounds {
        cargo.env("FAULTS_ROUNDS", rounds.to_string());
    }
    if options.record {
        cargo.env("FAULTS_RECORD", "1");
    }
    let status = cargo.current_dir(repository()).status().map_err(Failure::io("start cargo"))?;
    if status.success() {
        return Ok(());
    }
    let what = options.what.to_possible_value().map(|value| value.get_name().to_owned());
    Err(Failure::Unmet(format!("the long form of `{}` failed", what.unwrap_or_default())))
}
