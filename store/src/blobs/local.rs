//! A local folder as a store.
//!
//! ```text
//! put_if_absent   write system/tmp/<slot>/<n> ─► fsync it ─► link to the key ─► fsync the folder
//! replace         write system/tmp/<slot>/<n> ─► fsync it ─► rename to the key ─► fsync the folder
//! publish                                        link staged file to the key ─► fsync the folder
//! ```
//! A link fails if the name exists, which makes it put-if-absent; a reader never sees half an
//! object, and no temporary file ever stands among finished ones (A9). A folder is made durable,
//! with those above it, before the first object in it.
//!
//! After a sync that failed nobody knows what the disk holds: the kernel drops the pages and
//! forgets. A temporary file is then thrown away, so the bytes can be written again to another. A
//! folder cannot be: nothing more is written, and only a start that reads everything goes on.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use metrics::counter;

use super::{Blobs, Put};
use crate::error::StoreError;
use crate::{key, metrics as names};

mod probe;
mod slot;

use slot::Slot;

/// Folders remembered as durable. 4,096: a year of days of every dataset, in half a megabyte;
/// beyond it the memory starts afresh, which costs a few syncs.
const SYNCED_FOLDERS_MAX: usize = 4_096;

/// A data folder.
#[derive(Debug)]
pub struct LocalStore {
    root: PathBuf,
    /// Where this store writes its temporary files; `None` when opened for reading.
    slot: Option<Slot>,
    synced: Mutex<HashSet<PathBuf>>,
    /// The first folder whose sync failed.
    unsynced: OnceLock<PathBuf>,
}

impl LocalStore {
    /// Opens the folder for writing; creates it where there is none, removes what a crash left.
    pub fn open(root: impl AsRef<Path>) -> Result<Self, StoreError> {
        let root = root.as_ref().to_owned();
        probe::probe(&root)?;
        create_folder(&root)?;
        let temporary = root.join("system/tmp");
        fs::create_dir_all(&temporary).map_err(failed("create the folder", &temporary))?;
        let slot = Slot::take(&temporary)?;
        Ok(Self { slot: Some(slot), ..Self::reading(root) })
    }

    /// Opens the folder for reading; nothing is created, and every write is refused.
    pub fn open_read_only(root: impl AsRef<Path>) -> Result<Self, StoreError> {
        let root = root.as_ref();
        fs::read_dir(root).map_err(failed("read the folder", root))?;
        Ok(Self::reading(root.to_owned()))
    }

    /// Whether the folder could hold a store: writable, and on a file system with hard links.
    ///
    /// Leaves nothing behind; a folder that does not exist is judged by where it would stand.
    pub fn probe(root: impl AsRef<Path>) -> Result<(), StoreError> {
        probe::probe(root.as_ref())
    }

    fn reading(root: PathBuf) -> Self {
        Self { root, slot: None, synced: Mutex::default(), unsynced: OnceLock::new() }
    }

    fn path(&self, key: &str) -> PathBuf {
        assert!(key::is_sound(key), "A10: `{key}` is no key");
        self.root.join(key)
    }

    /// The slot, while writing is still allowed.
    fn writing(&self) -> Result<&Slot, StoreError> {
        if let Some(folder) = self.unsynced.get() {
            return Err(StoreError::SyncFailed { path: shown(folder), source: None });
        }
        self.slot.as_ref().ok_or_else(|| StoreError::ReadOnly { path: shown(&self.root) })
    }

    /// Writes a temporary file that is durable when this returns.
    fn write_temporary(&self, bytes: &[u8]) -> Result<PathBuf, StoreError> {
        let (temporary, file) = self.writing()?.write(bytes)?;
        if let Err(source) = file.sync_all() {
            counter!(names::SYNC_FAILURES).increment(1);
            remove(&temporary)?;
            return Err(failed("sync", &temporary)(source));
        }
        Ok(temporary)
    }

    fn sync_folder(&self, folder: &Path) -> Result<(), StoreError> {
        let opened = File::open(folder).map_err(failed("open", folder))?;
        self.synced(opened.sync_all(), folder)
    }

    /// Takes note of a folder's sync that failed: see the module's header.
    fn synced(&self, outcome: io::Result<()>, folder: &Path) -> Result<(), StoreError> {
        outcome.map_err(|source| {
            counter!(names::SYNC_FAILURES).increment(1);
            let folder = shown(self.unsynced.get_or_init(|| folder.to_owned()));
            StoreError::SyncFailed { path: folder, source: Some(source) }
        })
    }

    /// Makes the folder of `path`, and every name on the way to it, durable once in our life:
    /// one that exists may have been made by a process that died before its sync.
    fn prepare_folder_of(&self, path: &Path) -> Result<PathBuf, StoreError> {
        self.writing()?;
        let folder = path.parent().unwrap_or(&self.root).to_owned();
        let mut synced = self.synced.lock().unwrap_or_else(PoisonError::into_inner);
        if synced.contains(&folder) {
            return Ok(folder);
        }
        fs::create_dir_all(&folder).map_err(failed("create the folder", &folder))?;
        for ancestor in folder.ancestors().take_while(|a| a.starts_with(&self.root)) {
            self.sync_folder(ancestor)?;
        }
        if synced.len() >= SYNCED_FOLDERS_MAX {
            synced.clear();
        }
        synced.insert(folder.clone());
        Ok(folder)
    }
}

impl Blobs for LocalStore {
    fn put_if_absent(&self, key: &str, bytes: &[u8]) -> Result<Put, StoreError> {
        let path = self.path(key);
        let folder = self.prepare_folder_of(&path)?;
        let temporary = self.write_temporary(bytes)?;
        let put = match fs::hard_link(&temporary, &path) {
            Ok(()) => Put::Written,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Put::Taken,
            Err(error) => {
                remove(&temporary)?;
                return Err(failed("link", &path)(error));
            }
        };
        // Also where it was taken: who finds an object goes on as if it were durable.
        self.sync_folder(&folder)?;
        remove(&temporary)?;
        Ok(put)
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.path(key);
        present(fs::read(&path)).map_err(failed("read", &path))
    }

    fn get_start(&self, key: &str, bytes_max: usize) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.path(key);
        let read = || {
            let mut start = Vec::new();
            File::open(&path)?.take(bytes_max as u64).read_to_end(&mut start)?;
            Ok(start)
        };
        present(read()).map_err(failed("read", &path))
    }

    fn size(&self, key: &str) -> Result<Option<u64>, StoreError> {
        let path = self.path(key);
        let found = present(fs::metadata(&path)).map_err(failed("read", &path))?;
        Ok(found.map(|found| found.len()))
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let mut keys = Vec::new();
        collect_keys(&self.path(prefix), prefix, &mut keys)?;
        keys.sort_unstable();
        Ok(keys)
    }

    fn replace(&self, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.path(key);
        let folder = self.prepare_folder_of(&path)?;
        let temporary = self.write_temporary(bytes)?;
        fs::rename(&temporary, &path).map_err(failed("rename a file to", &path))?;
        self.sync_folder(&folder)
    }

    fn publish(&self, staged: &str, key: &str) -> Result<(), StoreError> {
        let (from, to) = (self.path(staged), self.path(key));
        let folder = self.prepare_folder_of(&to)?;
        match fs::hard_link(&from, &to) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(StoreError::Missing { key: staged.to_owned() });
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                if !same_file(&from, &to).map_err(failed("compare", &to))? {
                    let what = format!("it is not the file staged as `{staged}`");
                    return Err(StoreError::damaged(key, what));
                }
            }
            Err(error) => return Err(failed("link", &to)(error)),
        }
        self.sync_folder(&folder)
    }

    fn delete(&self, key: &str) -> Result<(), StoreError> {
        let path = self.path(key);
        self.writing()?;
        remove(&path)
    }

    fn sync(&self, prefix: &str) -> Result<(), StoreError> {
        let folder = self.path(prefix);
        if self.slot.is_none() || !folder.is_dir() {
            return Ok(());
        }
        self.prepare_folder_of(&folder.join("any"))?;
        self.sync_folder(&folder)
    }
}

/// Two names of one file, or two files with the same bytes.
fn same_file(one: &Path, other: &Path) -> io::Result<bool> {
    let (first, second) = (fs::metadata(one)?, fs::metadata(other)?);
    if (first.dev(), first.ino()) == (second.dev(), second.ino()) {
        return Ok(true);
    }
    Ok(first.len() == second.len() && fs::read(one)? == fs::read(other)?)
}

/// Every file below `folder`, as keys; names that are not UTF-8 in a readable form.
fn collect_keys(folder: &Path, prefix: &str, keys: &mut Vec<String>) -> Result<(), StoreError> {
    let Some(entries) = present(fs::read_dir(folder)).map_err(failed("list", folder))? else {
        return Ok(());
    };
    for entry in entries {
        let entry = entry.map_err(failed("list", folder))?;
        let key = format!("{prefix}/{}", entry.file_name().to_string_lossy());
        let kind = entry.file_type().map_err(failed("read", &entry.path()))?;
        if kind.is_dir() {
            collect_keys(&entry.path(), &key, keys)?;
        } else {
            keys.push(key);
        }
    }
    Ok(())
}

/// Creates a folder and those above it; each new name is durable when this returns.
fn create_folder(folder: &Path) -> Result<(), StoreError> {
    let above = folder.parent().filter(|above| !above.as_os_str().is_empty());
    match fs::create_dir(folder) {
        Ok(()) => {
            let above = above.unwrap_or(Path::new("."));
            let synced = File::open(above).and_then(|file| file.sync_all());
            synced.map_err(failed("sync", above))
        }
        Err(error) if error.kind() == ErrorKind::NotFound && above.is_some() => {
            create_folder(above.unwrap_or(folder))?;
            create_folder(folder)
        }
        Err(_) if folder.is_dir() => Ok(()),
        Err(error) => Err(failed("create the folder", folder)(error)),
    }
}

fn remove(path: &Path) -> Result<(), StoreError> {
    present(fs::remove_file(path)).map(|_| ()).map_err(failed("remove", path))
}

/// `None` where there is nothing of that name.
fn present<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = shown(path);
    move |source| StoreError::Io { action, path, source }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests;
