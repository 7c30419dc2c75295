//! A data folder and the one world it belongs to: its input and its settings.

use ingest::Topics;
use serde_json::json;
use store::{Blobs, TopicNames, World};

use crate::config::Config;
use crate::failure::Failure;

/// Claims the folder for this input and these settings, or refuses by name.
///
/// The hash seed of the folder goes into `config`: whoever wrote first has chosen it.
pub fn claim(store: &dyn Blobs, world: World, config: &mut Config) -> Result<World, Failure> {
    let world = World::claim(store, world)?;
    config.fold.hash_seed = world.hash_seed;
    store::claim_config(store, &settings(config)?)?;
    Ok(world)
}

/// The settings that shape sums, revisions and alerts; of the secret among them a fingerprint.
fn settings(config: &Config) -> Result<serde_json::Value, Failure> {
    let mut fold = serde_json::to_value(&config.fold)?;
    if let Some(object) = fold.as_object_mut() {
        // It stands in the folder's identity.
        object.remove("hash_seed");
    }
    let detection = serde_json::to_value(&config.detection)?;
    Ok(json!({ "fold": fold, "windows_max": config.windows_max, "detection": detection }))
}

/// The names that tables show for the streams.
pub fn topic_names(topics: &Topics) -> TopicNames {
    TopicNames {
        telemetry: topics.telemetry.clone(),
        changes: topics.changes.clone(),
        support: topics.support.clone(),
    }
}
