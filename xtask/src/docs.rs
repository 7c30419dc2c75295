//! The documents that follow from the code: written by `docs`, compared by `docs --check`.

use std::fs;

use schemas::{dictionary, json_schema};

use crate::{Failure, repository};

mod code_map;

/// Path in the repository, and what must stand there.
pub fn documents() -> Result<Vec<(String, String)>, Failure> {
    let mut documents = vec![
        ("docs/data-dictionary.md".to_owned(), dictionary::markdown()),
        (code_map::PATH.to_owned(), code_map::document()?),
    ];
    for (name, schema) in json_schema::all() {
        documents.push((format!("schemas/json/{name}.schema.json"), format!("{schema:#}\n")));
    }
    Ok(documents)
}

/// Paths of the documents that are not what the code says.
pub fn stale() -> Result<Vec<String>, Failure> {
    let current = |path: &str| fs::read_to_string(repository().join(path)).unwrap_or_default();
    let stale = documents()?.into_iter().filter(|(path, text)| current(path) != *text);
    Ok(stale.map(|(path, _)| path).collect())
}

/// Writes those that are stale.
pub fn write() -> Result<(), Failure> {
    for (path, text) in documents()? {
        let target = repository().join(&path);
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder)
                .map_err(Failure::io(format!("make {}", folder.display())))?;
        }
        fs::write(&target, text).map_err(Failure::io(format!("write {path}")))?;
    }
    Ok(())
}

/// Fails if one is stale.
pub fn check() -> Result<(), Failure> {
    match stale()?.as_slice() {
        [] => Ok(()),
        stale => {
            let names = stale.join(", ");
            Err(Failure::Unmet(format!("stale, run `cargo xtask docs`: {names}")))
        }
    }
}
