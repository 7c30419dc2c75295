//! A data folder and the one world it belongs to: its input and its settings.

use std::sync::Arc;

use ingest::Topics;
use serde_json::json;
use store::{Blobs, Growth, LocalStore, RemoteStore, TopicNames, World};

use crate::config::{Config, DataLocation};
use crate::failure::Failure;
use crate::nonce;

/// Opens a data folder for writing; makes it where there is none.
pub fn open(data: &DataLocation) -> Result<Arc<dyn Blobs>, Failure> {
    Ok(match data {
        DataLocation::Folder(folder) => Arc::new(LocalStore::open(folder)?),
        DataLocation::Url(url) => {
            Arc::new(RemoteStore::open(url, std::env::vars(), &nonce::fresh())?)
        }
    })
}

/// Opens a data folder for reading; every write is refused.
pub fn open_read_only(data: &DataLocation) -> Result<Arc<dyn Blobs>, Failure> {
    Ok(match data {
        DataLocation::Folder(folder) => Arc::new(LocalStore::open_read_only(folder)?),
        DataLocation::Url(url) => Arc::new(RemoteStore::open_read_only(url, std::env::vars())?),
    })
}

/// Tries whether a data folder can be kept there, and says what was tried; leaves nothing behind.
pub fn probe(data: &DataLocation) -> Result<&'static str, Failure> {
    match data {
        DataLocation::Folder(folder) => {
            LocalStore::probe(folder)?;
            Ok("can be written, and has hard links")
        }
        DataLocation::Url(_) => {
            open(data)?;
            Ok("can be written, and refuses the second put of a key")
        }
    }
}

/// Claims the folder for this input and these settings, or refuses by name.
///
/// The hash seed of the folder goes into `config`: whoever wrote first has chosen it.
pub fn claim(
    store: &dyn Blobs,
    world: World,
    growth: Growth,
    config: &mut Config,
) -> Result<World, Failure> {
    let partition_count = world.partition_count;
    let claimed = World::claim(store, world, growth)?;
    config.fold.hash_seed = claimed.hash_seed;
    store::claim_config(store, &settings(config)?)?;
    claimed.grow(store, partition_count)?;
    Ok(claimed)
}

/// The settings that shape sums, revisions and alerts; of the secret among them a fingerprint.
fn settings(config: &Config) -> Result<serde_json::Value, Failure> {
    let mut fold = serde_json::to_value(&config.fold)?;
    if let Some(object) = fold.as_object_mut() {
        // It stands in the folder's identity.
        object.remove("hash_seed");
    }
    let mut detection = serde_json::to_value(&config.detection)?;
    if let Some(object) = detection.as_object_mut() {
        // It shapes what is shown as clear, no alert.
        object.remove("soak");
    }
    let mut settings =
        json!({ "fold": fold, "windows_max": config.windows_max, "detection": detection });
    let renamed = config.decode.fields.renamed();
    if !renamed.is_empty() {
        settings["telemetry"] = json!({ "fields": renamed });
    }
    Ok(settings)
}

/// The names that tables show for the streams.
pub fn topic_names(topics: &Topics) -> TopicNames {
    TopicNames {
        telemetry: topics.telemetry.clone(),
        changes: topics.changes.clone(),
        support: topics.support.clone(),
    }
}
