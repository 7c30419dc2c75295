//! This tree and another commit in turn, on the same broker: ratios, which hold where times drift.

use std::path::PathBuf;
use std::process::Command;

use super::measure::{Usage, succeed};
use super::programs::{self, Programs};
use super::say;
use super::stand::{Settings, Stand, Workload};
use crate::{Failure, repository};

/// A B A B: what drifts, drifts for both.
const ROUNDS: u32 = 2;

/// Prints each run, and this tree as a multiple of the other.
pub(super) fn run(
    programs: &Programs,
    workload: Workload,
    commit: &str,
    workers: Option<u32>,
) -> Result<(), Failure> {
    let other = programs::build_ringwatch(&check_out(commit)?)?;
    let stand = Stand::start(programs, workload)?;
    let settings = Settings::workers(workers);
    let mut cpu_s = [0.0; 2];
    let mut memory_mib = [0; 2];
    for round in 0..ROUNDS {
        let both = [(commit, &other), ("this tree", &programs.ringwatch)];
        for (side, (name, ringwatch)) in both.into_iter().enumerate() {
            // Only this tree is sure to know the key.
            let settings = if side == 1 { settings.clone() } else { Settings::default() };
            let (usage, data) = stand.run(ringwatch, &format!("run-{side}-{round}"), &settings)?;
            // The tables of another commit need not be those that this tree's model expects.
            match side {
                1 => stand.files.check(ringwatch, &data)?,
                _ => stand.files.check_sums(ringwatch, &data)?,
            }
            show(name, workload, &usage);
            cpu_s[side] += usage.cpu.as_secs_f64();
            memory_mib[side] = usage.memory_mib().max(memory_mib[side]);
        }
    }
    let [cpu_ratio, memory_ratio] =
        [cpu_s[1] / cpu_s[0], memory_mib[1] as f64 / memory_mib[0] as f64];
    say(&format!(
        "this tree: {cpu_ratio:.3} x the CPU of {commit}, {memory_ratio:.2} x its memory"
    ));
    Ok(())
}

fn show(name: &str, workload: Workload, usage: &Usage) {
    let (each, memory_mib) = (usage.cpu_s_per_million(workload.messages), usage.memory_mib());
    say(&format!("{name}: {each:.3} CPU-s a million, peak {memory_mib} MiB"));
}

/// A worktree of the commit below `target/compare`, which keeps its build for the next time.
fn check_out(commit: &str) -> Result<PathBuf, Failure> {
    let tree = repository().join("target/compare/tree");
    let mut git = Command::new("git");
    git.current_dir(repository());
    if tree.is_dir() {
        git.arg("-C").arg(&tree).args(["checkout", "--quiet", "--detach", commit]);
    } else {
        git.args(["worktree", "add", "--quiet", "--force", "--detach"]).arg(&tree).arg(commit);
    }
    succeed(&mut git)?;
    Ok(tree)
}
