//! A small disk of its own for a data folder: it can be full, or read-only.

#![expect(clippy::expect_used, reason = "a fixture that cannot run must fail the test")]

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::wait_until;
use crate::fixture::finish;

/// A file that is being written forbids the remount; the next moment may do.
const REMOUNT_TIMEOUT: Duration = Duration::from_secs(20);
const BALLAST: &str = "ballast";

/// A tmpfs, unmounted when dropped.
#[derive(Debug)]
pub struct Disk {
    folder: TempDir,
}

impl Disk {
    /// Mounts one.
    #[track_caller]
    pub fn mount(mebibytes: u32) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let size = format!("size={mebibytes}m");
        mount(&["-t", "tmpfs", "-o", &size, "tmpfs"], &[folder.path()]);
        Self { folder }
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    fn ballast(&self) -> PathBuf {
        self.folder.path().join(BALLAST)
    }

    /// Fills it to the last byte.
    #[track_caller]
    pub fn fill(&self) {
        let mut file = File::create(self.ballast()).expect("a file on the disk");
        for size in [1 << 16, 1 << 10, 1] {
            let block = vec![0; size];
            loop {
                match file.write_all(&block) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => panic!("cannot fill the disk: {error}"),
                }
            }
        }
    }

    /// Gives the space back.
    #[track_caller]
    pub fn relieve(&self) {
        fs::remove_file(self.ballast()).expect("the ballast");
    }

    /// Lets nobody write any more, as a disk that was remounted: a second mount lies over it.
    #[track_caller]
    pub fn forbid_writing(&self) {
        mount(&["--bind"], &[self.path(), self.path()]);
        // A file that is being written at this moment forbids it for a moment.
        wait_until("the disk is read-only", REMOUNT_TIMEOUT, || {
            let mut remount = Command::new("mount");
            finish(remount.args(["-o", "remount,bind,ro"]).arg(self.path())).status.success()
        });
    }

    /// Lets everybody write again.
    #[track_caller]
    pub fn allow_writing(&self) {
        finish(Command::new("umount").arg("-l").arg(self.path())).with_code(0);
    }
}

/// Mounts; panics where that is not permitted.
#[track_caller]
fn mount(options: &[&str], paths: &[&Path]) {
    let mounted = finish(Command::new("mount").args(options).args(paths));
    assert!(
        mounted.status.success(),
        "these tests mount small disks and need the right to: run them as root\n{mounted}"
    );
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a process that is still ending may hold a file.
        Command::new("umount").arg("-l").arg(self.folder.path()).status().ok();
    }
}
