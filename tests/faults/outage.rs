//! Something that ringwatch needs is away for a while, then comes back: it waits without a busy
//! loop, says so in few lines, keeps its memory, and goes on by itself.

use std::thread::sleep;
use std::time::Duration;

use xtask::faults::cluster::Cluster;

use crate::effort::{Effort, say};

/// How soon entries must grow again after the fault is gone: less than a second as a rule; on a
/// busy machine the group, too, has timed out and is joined anew.
const RESUME_MAX: Duration = Duration::from_mins(1);
/// Of one core, while there is nothing to do but wait.
const WAITING_CPU_MAX: f64 = 0.05;
const LOG_LINES_PER_MINUTE_MAX: usize = 20;
const WAITING_MEMORY_BYTES_MAX: u64 = 64 << 20;
/// What was fetched before is still worked off in the first moments of an outage.
const CALM_AFTER: Duration = Duration::from_secs(3);

/// Lets the fault last, then undoes it, and checks the promises; the cluster's first member is
/// watched.
pub(super) fn endure(
    cluster: &mut Cluster,
    what: &str,
    effort: Effort,
    undo: impl FnOnce(&mut Cluster),
) {
    let length = effort.pick(Duration::from_secs(15), Duration::from_mins(1));
    let member = &cluster.members[0];
    let (lines_before, memory_before) = (member.log().len(), member.usage().memory_bytes);
    sleep(CALM_AFTER);
    let calm = member.usage();
    let mut memory_max = 0;
    for _ in 0..length.as_secs() {
        sleep(Duration::from_secs(1));
        memory_max = member.usage().memory_bytes.max(memory_max);
    }
    let after = member.usage();
    cluster.assert_alive();
    let log = cluster.members[0].log();
    let said = &log[lines_before..];
    let cpu = after.cpu.saturating_sub(calm.cpu).as_secs_f64() / length.as_secs_f64();
    let grown = memory_max.saturating_sub(memory_before);
    say(&format!("{what}: while it lasted\n{}", said.join("\n")));
    undo(cluster);
    let resumed = cluster.wait_for_entries(1, RESUME_MAX);
    let log_after = cluster.members[0].log();
    say(&format!("{what}: afterwards\n{}", log_after[lines_before + said.len()..].join("\n")));
    say(&format!(
        "{what}: {:.1} % of a core while waiting, {} lines, memory +{} KiB, resumed in {:.1} s",
        cpu * 100.0,
        said.len(),
        grown >> 10,
        resumed.as_secs_f64(),
    ));
    let said_max = LOG_LINES_PER_MINUTE_MAX * length.as_secs().div_ceil(60) as usize;
    assert!(!said.is_empty(), "{what}: not a word in the log");
    assert!(said.len() < said_max, "{what}: {} lines\n{}", said.len(), said.join("\n"));
    assert!(cpu < WAITING_CPU_MAX, "{what}: {:.1} % of a core while waiting", cpu * 100.0);
    assert!(grown < WAITING_MEMORY_BYTES_MAX, "{what}: memory grew by {} MiB", grown >> 20);
}
