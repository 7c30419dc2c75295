//! The long forms of tests whose short form runs in CI: the same tests with larger numbers.

use clap::ValueEnum;

use crate::{Failure, repository};

/// What can be run in its long form.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Soak {
    /// A million canonical records through a real broker, compared with the independent model.
    MainJob,
    /// Kills, twenty on each object store, while a service writes its data folder there.
    ObjectStore,
}

impl Soak {
    /// The test's file, and the environment that makes it long.
    const fn test(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::MainJob => ("main_job", "MAIN_JOB_RECORDS", "1000000"),
            Self::ObjectStore => ("object_store", "OBJECT_STORE_ROUNDS", "20"),
        }
    }
}

/// Runs the long form, with the build that `./dev test` made.
pub fn run(soak: Soak) -> Result<(), Failure> {
    let (test, name, value) = soak.test();
    let status = crate::command("cargo")
        .args(["test", "--workspace", "--test", test, "--", "--nocapture"])
        .env(name, value)
        .current_dir(repository())
        .status()
        .map_err(Failure::io("start cargo"))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::Unmet(format!("the test `{test}` failed with {name}={value}")))
}
