//! Whether a folder can hold a store, found out by doing once what the store does.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::shown;
use crate::error::StoreError;

/// Tries the folder, or the nearest one above it that exists; leaves nothing behind.
pub(super) fn probe(root: &Path) -> Result<(), StoreError> {
    let unfit = |what| move |source| StoreError::Unfit { path: shown(root), what, source };
    let nearest = root.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    let nearest = if nearest.as_os_str().is_empty() { Path::new(".") } else { nearest };
    if !nearest.is_dir() {
        return Err(unfit("it is not a folder")(io::ErrorKind::NotADirectory.into()));
    }
    let (file, link) = write_new(nearest).map_err(unfit("it is not writable"))?;
    let outcome = fs::hard_link(&file, &link)
        .map_err(unfit("it lacks hard links"))
        .and_then(|()| sync(nearest).map_err(unfit("folders there cannot be synced")));
    // The link first, so that a number whose file is gone has no link either.
    drop(fs::remove_file(&link));
    let removed = fs::remove_file(&file);
    outcome?;
    removed.map_err(unfit("files cannot be removed"))
}

/// Writes a file that no other probe of the same folder uses; with the name for its link.
fn write_new(folder: &Path) -> io::Result<(PathBuf, PathBuf)> {
    let mut number = 0_u64;
    loop {
        let path = folder.join(format!(".ringwatch-probe-{number}"));
        match File::create_new(&path) {
            Ok(mut file) => {
                if let Err(error) = file.write_all(b"probe").and_then(|()| file.sync_all()) {
                    drop(fs::remove_file(&path));
                    return Err(error);
                }
                return Ok((path, folder.join(format!(".ringwatch-probe-{number}-link"))));
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error),
        }
    }
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
