//! Whether a folder can hold a store, found out by doing once what the store does.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

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
    // Processes that probe at the same time must not meet.
    let name = format!(".ringwatch-probe-{}", std::process::id());
    let (file, link) = (nearest.join(&name), nearest.join(format!("{name}-link")));
    let outcome = write(&file)
        .map_err(unfit("it is not writable"))
        .and_then(|()| fs::hard_link(&file, &link).map_err(unfit("it lacks hard links")))
        .and_then(|()| sync(nearest).map_err(unfit("folders there cannot be synced")));
    let removed = [&link, &file].map(|path| fs::remove_file(path));
    outcome?;
    removed.into_iter().collect::<io::Result<()>>().map_err(unfit("files cannot be removed"))
}

fn write(path: &Path) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(b"probe")?;
    file.sync_all()
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
