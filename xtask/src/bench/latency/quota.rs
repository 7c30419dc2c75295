//! A part of a core, for machines on which nobody can send half of what a whole core takes.
//!
//! The kernel's bandwidth control holds what runs in a control group to so much of each 100 ms
//! (<https://docs.kernel.org/scheduler/sched-bwc.html>): waiting for the next 100 ms is then part
//! of every latency.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::Failure;

const PERIOD_US: u64 = 100_000;
const FOLDER: &str = "/sys/fs/cgroup";

/// A control group, and a program that joins it before it becomes ringwatch. Dropping it removes
/// the group, once nobody is in it.
#[derive(Debug)]
pub(super) struct Quota {
    group: PathBuf,
    folder: TempDir,
}

impl Quota {
    /// One of `share` of a core; only root may make it.
    pub(super) fn of(share: f64, ringwatch: &Path) -> Result<Self, Failure> {
        let first = Path::new(FOLDER).join("cpu");
        let first = first.is_dir().then_some(first);
        let name = format!("ringwatch-bench-{}", std::process::id());
        let group = first.as_deref().unwrap_or_else(|| Path::new(FOLDER)).join(name);
        let doing = || format!("make the control group {}, as root only may", group.display());
        fs::create_dir(&group).map_err(Failure::io(doing()))?;
        let folder = tempfile::tempdir().map_err(Failure::io("make a folder for the benchmark"))?;
        let quota = Self { group, folder };
        let us = (share * PERIOD_US as f64) as u64;
        let limits = match first {
            Some(_) => vec![
                ("cpu.cfs_period_us", PERIOD_US.to_string()),
                ("cpu.cfs_quota_us", us.to_string()),
            ],
            None => vec![("cpu.max", format!("{us} {PERIOD_US}"))],
        };
        for (file, text) in limits {
            let path = quota.group.join(file);
            fs::write(&path, text).map_err(Failure::io(format!("write {}", path.display())))?;
        }
        let (procs, program) = (quota.group.join("cgroup.procs"), quota.program());
        let script = format!(
            "#!/bin/sh\nset -e\necho $$ > {}\nexec {} \"$@\"\n",
            procs.display(),
            ringwatch.display()
        );
        fs::write(&program, script).map_err(Failure::io("write a script"))?;
        fs::set_permissions(&program, Permissions::from_mode(0o755))
            .map_err(Failure::io("write a script"))?;
        Ok(quota)
    }

    /// Runs as ringwatch does, in the group.
    pub(super) fn program(&self) -> PathBuf {
        self.folder.path().join("ringwatch")
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        // One that stays is empty, and costs nothing.
        fs::remove_dir(&self.group).ok();
    }
}
