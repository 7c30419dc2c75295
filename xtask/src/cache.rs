//! Programs that tests need and nobody has installed: fetched once, kept in a cache.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::Failure;

/// The folder `name` of the cache; where it is missing, `fetch` fills it.
///
/// The cache is `RINGWATCH_CACHE`, else `~/.cache/ringwatch`. Filled beside its place and then
/// renamed, so that a folder that exists is whole; `name` holds the version.
pub(crate) fn folder(
    name: &str,
    fetch: impl FnOnce(&Path) -> Result<(), Failure>,
) -> Result<PathBuf, Failure> {
    let named = env::var_os("RINGWATCH_CACHE").map(PathBuf::from);
    let cache =
        named.or_else(|| env::home_dir().map(|home| home.join(".cache/ringwatch"))).ok_or_else(
            || Failure::Unmet(format!("no folder for {name}: set RINGWATCH_CACHE or HOME")),
        )?;
    let folder = cache.join(name);
    if folder.is_dir() {
        return Ok(folder);
    }
    fs::create_dir_all(&cache).map_err(Failure::io(format!("make {}", cache.display())))?;
    let partial = tempfile::tempdir_in(&cache)
        .map_err(Failure::io(format!("write into {}", cache.display())))?;
    let whole = partial.path().join(name);
    fs::create_dir(&whole).map_err(Failure::io(format!("make {}", whole.display())))?;
    fetch(&whole)?;
    match fs::rename(whole, &folder) {
        // Another process was faster; what it fetched is the same.
        Err(_) if folder.is_dir() => Ok(folder),
        other => other
            .map(|()| folder.clone())
            .map_err(Failure::io(format!("write {}", folder.display()))),
    }
}
