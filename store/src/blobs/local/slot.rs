//! The temporary folder of one open store: `system/tmp/<slot>/`, held by a file lock.
//!
//! A slot whose lock is free belongs to a process that is gone: its files are leftovers. Slots are
//! given out under one lock of the whole folder, so that none is taken for a leftover while it
//! is being made. The locks go with their process, however it ends.

use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::counter;

use super::{failed, remove};
use crate::error::StoreError;
use crate::metrics as names;

/// The name of the lock file, in a slot and of all slots together.
const LOCK: &str = "lock";

#[derive(Debug)]
pub(super) struct Slot {
    folder: PathBuf,
    next: AtomicU64,
    /// Locked as long as it is open.
    _lock: File,
}

impl Slot {
    /// Removes what dead processes left, then takes the first free slot.
    pub(super) fn take(temporary: &Path) -> Result<Self, StoreError> {
        let gate_path = temporary.join(LOCK);
        let gate = create(&gate_path)?;
        gate.lock().map_err(failed("lock", &gate_path))?;
        for number in 0_u64.. {
            let folder = temporary.join(number.to_string());
            fs::create_dir_all(&folder).map_err(failed("create the folder", &folder))?;
            let lock_path = folder.join(LOCK);
            let lock = create(&lock_path)?;
            match lock.try_lock() {
                Ok(()) => {
                    remove_leftovers(&folder)?;
                    return Ok(Self { folder, next: AtomicU64::new(0), _lock: lock });
                }
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(failed("lock", &lock_path)(error)),
            }
        }
        unreachable!("as many slots are held as there are numbers")
    }

    /// Writes a new file of this slot; not yet synced.
    pub(super) fn write(&self, bytes: &[u8]) -> Result<(PathBuf, File), StoreError> {
        let path = self.folder.join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        let mut file = create(&path)?;
        if let Err(error) = file.write_all(bytes) {
            // A full disk is no reason to keep half a file on it.
            remove(&path)?;
            return Err(failed("write", &path)(error));
        }
        Ok((path, file))
    }
}

fn create(path: &Path) -> Result<File, StoreError> {
    File::create(path).map_err(failed("create", path))
}

fn remove_leftovers(folder: &Path) -> Result<(), StoreError> {
    for entry in fs::read_dir(folder).map_err(failed("list", folder))? {
        let entry = entry.map_err(failed("list", folder))?;
        if entry.file_name() != LOCK {
            remove(&entry.path())?;
            counter!(names::LEFTOVERS).increment(1);
        }
    }
    Ok(())
}
