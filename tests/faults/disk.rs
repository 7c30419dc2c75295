//! The disk is full, read-only, or fails to sync: nothing is lost, nothing spins, work goes on.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use xtask::faults::cluster::Cluster;
use xtask::faults::disk::Disk;
use xtask::faults::settings::Settings;
use xtask::faults::strace::attach;
use xtask::fixture::Running;

use crate::effort::Effort;
use crate::load::{Load, Rate};
use crate::outage::endure;
use crate::ringwatch;

const PATIENCE: Duration = Duration::from_mins(1);
/// More temporary files than come in one story.
const FILES_MAX: u32 = 2_000;
const DISK_MEBIBYTES: u32 = 256;

/// Nine times what may be fetched ahead: who does not stop reading is seen to.
const BACKLOG: Rate = Rate { per_second: 100_000, devices: 50_000, records_max: 300_000 };

/// A member whose data folder has a disk of its own.
fn on_a_disk() -> (Cluster, Disk) {
    let disk = Disk::mount(DISK_MEBIBYTES);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = disk.path().join("data");
    let settings = Settings::default();
    (Cluster::with_data(ringwatch(), 4, 1, settings, (folder, data)), disk)
}

/// One member at work under load, until `fault`; `undo` ends it.
fn survive(what: &str, fault: impl FnOnce(&Disk), undo: impl FnOnce(&Disk)) {
    let effort = Effort::of(what);
    let (mut cluster, disk) = on_a_disk();
    cluster.start_all();
    let load = Load::start(&cluster, Rate::steady(500));
    cluster.wait_for_entries(20, PATIENCE);
    fault(&disk);
    endure(&mut cluster, what, effort, |_| undo(&disk));
    let produced = load.stop();
    cluster.end(&produced.input);
}

#[test]
fn a_full_disk_is_waited_out() {
    survive("disk full", Disk::fill, Disk::relieve);
}

#[test]
fn a_disk_that_is_read_only_for_a_while_is_waited_out() {
    survive("disk read-only", Disk::forbid_writing, Disk::allow_writing);
}

#[test]
fn memory_stays_bounded_while_the_disk_is_full_and_records_come() {
    let effort = Effort::of("memory");
    let (mut cluster, disk) = on_a_disk();
    cluster.start_all();
    cluster.wait_until_shared(PATIENCE);
    disk.fill();
    let load = Load::start(&cluster, BACKLOG);
    endure(&mut cluster, "disk full, backlog", effort, |_| disk.relieve());
    let produced = load.wait();
    cluster.end(&produced.input);
}

/// One member at work under load on an ordinary disk.
fn at_work() -> (Cluster, Load) {
    let mut cluster = Cluster::new(ringwatch(), 4, 1, Settings::default());
    cluster.start_all();
    let load = Load::start(&cluster, Rate::steady(500));
    cluster.wait_for_entries(20, PATIENCE);
    (cluster, load)
}

/// Lets the sync of files fail, and of no folder: of the temporary files that come next.
fn fail_files(cluster: &Cluster, injection: &str) -> Running {
    let slot = cluster.data().join("system/tmp/0");
    let names = fs::read_dir(&slot).expect("the folder of temporary files").flatten();
    let numbers = names.filter_map(|name| name.file_name().to_str()?.parse::<u32>().ok());
    // The files of a moment are gone at the next: each entry so far was one, and a few more.
    let next = numbers.max().unwrap_or_else(|| cluster.entry_count() as u32);
    let files: Vec<PathBuf> =
        (next..next + FILES_MAX).map(|number| slot.join(number.to_string())).collect();
    attach(cluster.members[0].process().id(), injection, &files)
}

#[test]
fn one_file_that_does_not_sync_is_written_anew() {
    let (mut cluster, load) = at_work();
    let injected = fail_files(&cluster, "fsync:error=EIO:when=1");
    cluster.wait_for_entries(20, PATIENCE);
    injected.terminate(PATIENCE);
    cluster.assert_alive();
    let produced = load.stop();
    cluster.end(&produced.input);
}

#[test]
fn a_disk_that_syncs_nothing_for_a_while_is_waited_out() {
    let effort = Effort::of("no sync");
    let (mut cluster, load) = at_work();
    let injected = fail_files(&cluster, "fsync:error=EIO");
    endure(&mut cluster, "no sync", effort, |_| drop(injected.terminate(PATIENCE)));
    let produced = load.stop();
    cluster.end(&produced.input);
}

/// Nobody knows what such a disk holds: the only honest end is an end.
#[test]
fn a_folder_that_does_not_sync_ends_the_process_and_a_restart_goes_on() {
    let (mut cluster, load) = at_work();
    let folder = cluster.data().join("system/journal/telemetry/0");
    let process = cluster.members[0].process().id();
    let injected = attach(process, "fsync:error=EIO", &[folder]);
    let ended = cluster.members[0].wait_for_end(PATIENCE);
    drop(injected);
    assert_eq!(ended.status.code(), Some(1), "{ended}");
    let last = ended.stderr.lines().last().unwrap_or_default();
    assert!(last.contains("system/journal/telemetry/0"), "{ended}");
    let errors = ended.stderr.lines().filter(|line| line.starts_with("ringwatch:")).count();
    assert_eq!(errors, 1, "{ended}");
    cluster.start_all();
    cluster.wait_for_entries(8, PATIENCE);
    let produced = load.stop();
    cluster.end(&produced.input);
}
