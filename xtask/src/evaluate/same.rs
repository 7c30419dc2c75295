//! That the evaluation in memory is the product: the same seeds through files and `replay`.

use std::path::Path;

use serde_json::Value;

use super::{CONFIG, Family, SCENARIOS, results};
use crate::{Failure, repository};

/// Compares the alerts of the first seeds of each family with those of `replay`.
pub(super) fn check(program: &Path, families: &[Family], seeds: u64) -> Result<(), Failure> {
    for family in families {
        for seed in 1..=seeds {
            let told = results::told(program, family, seed)?;
            if replayed(program, family, seed)?["alerts"] != told["alerts"] {
                let name = &family.name;
                return Err(Failure::Unmet(format!(
                    "{name} seed {seed}: `replay` gives other alerts than `evaluate`"
                )));
            }
        }
    }
    Ok(())
}

/// What `replay` says of a seed that was written to files.
pub fn replayed(program: &Path, family: &Family, seed: u64) -> Result<Value, Failure> {
    let folder = tempfile::tempdir().map_err(Failure::io("make a temporary folder"))?;
    let [input, data] = ["input", "data"].map(|name| folder.path().join(name));
    let run = |arguments: &[&str]| {
        let mut command = crate::command(&program.to_string_lossy());
        let output = command.args(arguments).current_dir(repository()).output();
        output.map_err(Failure::io(format!("start {}", program.display())))
    };
    let scenario = format!("{SCENARIOS}/{}.toml", family.name);
    let (input, data) = (input.to_string_lossy(), data.to_string_lossy());
    let seed = seed.to_string();
    run(&["simulate", "--quiet", "--scenario", &scenario, "--seed", &seed, "--out", &input])?;
    let output =
        run(&["replay", "--json", "--config", CONFIG, "--input", &input, "--data", &data])?;
    serde_json::from_slice(&output.stdout).map_err(|_| {
        let said = String::from_utf8_lossy(&output.stderr);
        Failure::Unmet(format!("replay of {} seed {seed}: {}", family.name, said.trim()))
    })
}
