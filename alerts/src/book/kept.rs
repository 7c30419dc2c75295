//! An open alert in stored state: as JSON, which leaves fields out where they say nothing, and its
//! numbers bit by bit beside it.

use schemas::Alert;
use schemas::alert::Evidence;
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[expect(clippy::ref_option, reason = "serde hands out a reference to the field")]
pub(super) fn serialize<S: Serializer>(
    alert: &Option<Alert>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let kept = alert.as_ref().map(|alert| Ok((serde_json::to_string(alert)?, &alert.evidence)));
    kept.transpose()
        .map_err(|error: serde_json::Error| S::Error::custom(error))?
        .serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Alert>, D::Error> {
    let kept = Option::<(&str, Evidence)>::deserialize(deserializer)?;
    let alert = |(json, evidence)| Ok(Alert { evidence, ..serde_json::from_str(json)? });
    kept.map(alert).transpose().map_err(|error: serde_json::Error| D::Error::custom(error))
}
