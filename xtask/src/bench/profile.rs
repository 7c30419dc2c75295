//! Where the time goes: the canonical run, looked at 2,000 times a second of CPU time.
//!
//! ```text
//! run, unobserved ─► CPU seconds ──────────────────────────────┐
//! run under `perf record` ─► stacks ─► stage of each ─► shares ─┴─► ns a message, by stage
//! ```
//! The clock of the processor is sampled, not its counters, so that it works in virtual machines,
//! too. Stacks come from the unwind tables and inlined functions from the line tables that every
//! release build has: what is profiled is the very program that is shipped.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use super::measure::succeed;
use super::programs::Programs;
use super::say;
use super::stand::{Settings, Stand, Workload, to_the_end};
use crate::Failure;

mod stacks;
mod stage;

use stage::Stage;

/// A prime, so as not to beat with anything periodic.
const LOOKS_PER_S: &str = "1999";
/// Of the stack at each look, in bytes: deeper stacks end in `other`.
const STACK_BYTES: &str = "dwarf,16384";
const FUNCTIONS_SHOWN: usize = 15;
/// A profile of less says little: 3 % of so many looks are known to a tenth.
const LOOKS_MIN: usize = 1_000;

/// Prints a table by stage, and the functions that take most.
pub(super) fn run(
    programs: &Programs,
    workload: Workload,
    workers: Option<u32>,
) -> Result<(), Failure> {
    let stand = Stand::start(programs, workload)?;
    let settings = Settings::workers(workers);
    let (plain, data) = stand.run(&programs.ringwatch, "plain", &settings)?;
    stand.files.check(&programs.ringwatch, &data)?;
    let observed = stand.configure("observed", &settings)?;
    let looks = stand.files.path("perf.data");
    let mut command = Command::new("perf");
    command.args(["record", "--quiet", "--no-buildid-cache", "-e", "cpu-clock", "-F", LOOKS_PER_S]);
    command.args(["--call-graph", STACK_BYTES, "-m", "4096", "-o"]).arg(&looks).arg("--");
    command.args(["taskset", "--cpu-list", &settings.cores()]);
    let to_the_end = to_the_end(&programs.ringwatch, &observed.config);
    command.arg(to_the_end.get_program()).args(to_the_end.get_args());
    succeed(&mut command)?;
    stand.files.check_sums(&programs.ringwatch, &observed.data)?;
    let looks = script(&looks)?;
    let stacks = stacks::parse(&looks);
    if stacks.len() < LOOKS_MIN {
        let few = stacks.len();
        return Err(Failure::Unmet(format!("only {few} looks: take more --messages")));
    }
    let ns_a_message = plain.cpu.as_secs_f64() * 1e9 / workload.messages as f64;
    report(&stacks, ns_a_message);
    Ok(())
}

/// The looks as text, names in clear.
fn script(looks: &Path) -> Result<String, Failure> {
    let mut perf = Command::new("perf")
        .args(["script", "-F", "comm,tid,ip,sym", "-i"])
        .arg(looks)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(Failure::io("start perf, which Debian has as linux-perf"))?;
    let mut demangle = Command::new("c++filt");
    if let Some(stdout) = perf.stdout.take() {
        demangle.stdin(stdout);
    }
    let output = demangle.output().map_err(Failure::io("start c++filt, of Debian's binutils"))?;
    let status = perf.wait().map_err(Failure::io("wait for perf"))?;
    if status.success() && output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Failure::Unmet(format!("perf script ended with {status}")))
}

fn report(stacks: &[stacks::Stack<'_>], ns_a_message: f64) {
    let mut stages: BTreeMap<Stage, usize> = BTreeMap::new();
    let mut functions: BTreeMap<&str, usize> = BTreeMap::new();
    let mut others: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for stack in stacks {
        let (stage, function) = (stage::of(stack), stack.frames.first().copied().unwrap_or("?"));
        *stages.entry(stage).or_default() += 1;
        *functions.entry(function).or_default() += 1;
        if stage == Stage::Other {
            *others.entry((stack.thread, function)).or_default() += 1;
        }
    }
    let share = |looks: usize| looks as f64 / stacks.len() as f64;
    say(&format!("{:<28} {:>7} {:>13}", "stage", "share", "ns a message"));
    for (stage, &looks) in &stages {
        let (share, name) = (share(looks), stage.name());
        say(&format!("{name:<28} {:>6.1}% {:>13.0}", share * 100.0, share * ns_a_message));
    }
    say(&format!("{:<28} {:>6.1}% {ns_a_message:>13.0}", "all", 100.0));
    say(&format!("of {} looks, in these functions themselves:", stacks.len()));
    for (function, looks) in most(functions) {
        say(&format!("{:>6.1}% {function}", share(looks) * 100.0));
    }
    say("of those in `other`, by thread:");
    for ((thread, function), looks) in most(others) {
        say(&format!("{:>6.1}% {thread}: {function}", share(looks) * 100.0));
    }
}

/// Those with the most looks, most first.
fn most<K: Ord>(looks: BTreeMap<K, usize>) -> Vec<(K, usize)> {
    let mut most: Vec<_> = looks.into_iter().collect();
    most.sort_by_key(|&(_, looks)| std::cmp::Reverse(looks));
    most.truncate(FUNCTIONS_SHOWN);
    most
}
