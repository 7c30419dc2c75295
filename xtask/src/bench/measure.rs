//! What a child process costs: time of the processor, of the clock, and memory at its peak.

use std::fs;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

use crate::Failure;

/// Between two looks at its memory; the high-water mark only grows, so few looks are enough.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// How often `numbers` and `replay` run what they compare, in turn; the middle run counts.
pub(super) const ROUNDS: usize = 3;

/// What a process took, start and end included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    pub cpu: Duration,
    pub wall: Duration,
    pub memory_bytes_max: u64,
}

/// The same command, kept to some cores, as `1` or `0-1`.
pub(super) fn pinned(command: &Command, cores: &str) -> Command {
    let mut pinned = Command::new("taskset");
    pinned.args(["--cpu-list", cores]);
    pinned.arg(command.get_program()).args(command.get_args());
    pinned
}

impl Usage {
    /// CPU seconds for a million of so many messages.
    pub(super) fn cpu_s_per_million(&self, messages: u64) -> f64 {
        self.cpu.as_secs_f64() / messages as f64 * 1e6
    }

    pub(super) const fn memory_mib(&self) -> u64 {
        self.memory_bytes_max >> 20
    }
}

/// The middle run by CPU, with the most memory that any of them took.
///
/// # Panics
/// Where nothing was run.
pub(super) fn middle(mut all: Vec<Usage>) -> Usage {
    all.sort_by_key(|usage| usage.cpu);
    let memory_bytes_max = all.iter().map(|usage| usage.memory_bytes_max).max().unwrap_or(0);
    Usage { memory_bytes_max, ..all[all.len() / 2] }
}

/// Runs a command to its good end on some cores.
///
/// No other child may end meanwhile: the system adds up the CPU of all that have.
pub(super) fn measure(command: &mut Command, cores: &str) -> Result<Usage, Failure> {
    measure_while(command, cores, |_| ())
}

/// The same, with a look at the process by its id every 20 ms.
pub(super) fn measure_while(
    command: &mut Command,
    cores: &str,
    mut look: impl FnMut(u32),
) -> Result<Usage, Failure> {
    let mut pinned = pinned(command, cores);
    let before = children_cpu()?;
    let started = Instant::now();
    // What it prints is no result of ours.
    let mut child = pinned.stdout(Stdio::null()).spawn().map_err(Failure::io("start taskset"))?;
    let mut memory_bytes_max = 0;
    let status = loop {
        if let Some(status) = child.try_wait().map_err(Failure::io("wait for a process"))? {
            break status;
        }
        memory_bytes_max = memory_bytes_max.max(memory_bytes(child.id()));
        look(child.id());
        sleep(LOOK_INTERVAL);
    };
    let wall = started.elapsed();
    if !status.success() {
        return Err(Failure::Unmet(format!("{pinned:?} ended with {status}")));
    }
    Ok(Usage { cpu: children_cpu()?.saturating_sub(before), wall, memory_bytes_max })
}

/// Runs a command to its good end; its output goes to the terminal.
pub(super) fn succeed(command: &mut Command) -> Result<(), Failure> {
    let doing = format!("run {}", command.get_program().display());
    let status = command.status().map_err(Failure::io(doing))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::Unmet(format!("{command:?} ended with {status}")))
}

/// CPU time of all children that have ended.
pub(super) fn children_cpu() -> Result<Duration, Failure> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)
        .map_err(|code| Failure::io("ask for the CPU of processes")(code.into()))?;
    let microseconds =
        usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(microseconds.unsigned_abs()))
}

/// The process's high-water mark of resident memory; 0 once it has ended.
fn memory_bytes(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1_024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_computes_is_seen_to() {
        let loops = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
        let usage = measure(Command::new("sh").args(["-c", loops]), "0").unwrap();
        assert!(usage.cpu > Duration::from_millis(5), "{usage:?}");
        assert!(usage.wall > usage.cpu / 2, "{usage:?}");
        assert!(usage.memory_bytes_max > 100_000, "{usage:?}");
        assert!(measure(&mut Command::new("false"), "0").is_err());
    }
}
