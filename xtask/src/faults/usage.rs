//! What a process costs so far, from `/proc`: time of the processor and resident memory.

use std::fs;
use std::time::Duration;

/// Ticks of the processor's clock in a second, as the kernel tells them to every program.
const TICKS_PER_S: u64 = 100;

/// One look at a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub cpu: Duration,
    pub memory_bytes: u64,
}

impl Usage {
    /// Of a process; nothing once it has ended.
    pub fn of(process: u32) -> Self {
        let read =
            |name: &str| fs::read_to_string(format!("/proc/{process}/{name}")).unwrap_or_default();
        Self { cpu: cpu(&read("stat")), memory_bytes: memory_bytes(&read("status")) }
    }
}

/// User and system time, the 14th and 15th field; the 2nd is a name that may hold anything.
pub(crate) fn cpu(stat: &str) -> Duration {
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 =
        after_name.split_whitespace().skip(11).take(2).flat_map(str::parse::<u64>).sum();
    Duration::from_millis(ticks * 1_000 / TICKS_PER_S)
}

fn memory_bytes(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1_024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_those_of_the_manual() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 1 2 3 4 250 50 0 0 20 0 1 0 9 9 9";
        assert_eq!(cpu(stat), Duration::from_secs(3));
        assert_eq!(memory_bytes("VmHWM:\t  9 kB\nVmRSS:\t  12 kB\n"), 12 * 1_024);
        assert!(Usage::of(std::process::id()).memory_bytes > 100_000);
        assert_eq!(Usage::of(0), Usage::default());
    }
}
