//! Which input a data folder belongs to, fixed by the first process that opens it.
//!
//! A second group, a recreated cluster or another folder of files must not continue someone
//! else's journals: sums would be wrong without a word. So each start compares.

use schemas::{Span, StreamKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::blobs::{Blobs, Put, exists};
use crate::error::StoreError;
use crate::key;

/// The layout of `system/` that this version reads and writes.
///
/// 2: entries hold durations, returns, signatures and hours. 3: and facts. 4: they are compressed.
/// What is counted follows from records that may be gone, so a folder of an older layout is refused
/// by name and not gone on with.
pub const LAYOUT: u32 = 4;

/// The name of [`World::partition_counts_other`].
const COUNTS_OTHER: &str = "partition_counts_other";

/// What must be the same each time a data folder is opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct World {
    /// [`LAYOUT`] of the version that made the folder.
    pub layout: u32,
    pub input: WorldInput,
    pub topics: TopicNames,
    /// Partitions of the topic `telemetry` when the folder was made: [`World::claim`] says how many
    /// it has by now.
    pub partition_count: i32,
    /// Partitions of the other two topics; `None` in folders that did not write it down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition_counts_other: Option<[i32; 2]>,
    pub window_length: Span,
    /// Seeds the identities of devices. Drawn once: that of the folder wins.
    pub hash_seed: [u64; 2],
}

/// Where the records come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum WorldInput {
    Kafka {
        /// The id that the cluster gives itself.
        cluster: String,
        group: String,
    },
    Replay {
        /// Names the files (`Source::identity`).
        files: String,
    },
}

/// What the three input topics are called; in replay their own names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicNames {
    pub telemetry: String,
    pub changes: String,
    pub support: String,
}

impl Default for TopicNames {
    fn default() -> Self {
        let name = |kind: StreamKind| kind.name().to_owned();
        Self {
            telemetry: name(StreamKind::Telemetry),
            changes: name(StreamKind::Changes),
            support: name(StreamKind::Support),
        }
    }
}

impl TopicNames {
    /// The name of one topic.
    pub fn of(&self, kind: StreamKind) -> &str {
        match kind {
            StreamKind::Telemetry => &self.telemetry,
            StreamKind::Changes => &self.changes,
            StreamKind::Support => &self.support,
        }
    }
}

/// What to do about a topic with more partitions than the folder knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    /// Stop: devices have moved between partitions, and with them what is known of them.
    Refused,
    /// Write the new number down; every partition begins afresh, and open tests end.
    Accepted,
}

impl World {
    /// Makes the folder this world's, or finds it so; the result is the folder's own, with its hash
    /// seed and the partitions it began with.
    pub fn claim(blobs: &dyn Blobs, world: Self, growth: Growth) -> Result<Self, StoreError> {
        if exists(blobs, key::SETTING_ASIDE)? {
            return Err(StoreError::SettingAside);
        }
        let Some(standing) = claim_json(blobs, key::IDENTITY, &to_value(&world)?)? else {
            return Ok(world);
        };
        // Compared as JSON, so that what a later layout adds has a name in the error too.
        let mut expected = to_value(&world)?;
        expected["hash_seed"] = standing["hash_seed"].clone();
        if standing.get(COUNTS_OTHER).is_none()
            && let Value::Object(expected) = &mut expected
        {
            expected.remove(COUNTS_OTHER);
        }
        let begun = standing["partition_count"].as_i64().unwrap_or_default() as i32;
        let known = grown_to(blobs)?.unwrap_or(begun);
        let mut there = standing.clone();
        there["partition_count"] = known.into();
        expected["partition_count"] = world.partition_count.min(known).into();
        let what = differences(&there, &expected).join(", ");
        if !what.is_empty() {
            return Err(StoreError::OtherWorld { what });
        }
        let found = world.partition_count;
        if found > known && growth == Growth::Refused {
            return Err(StoreError::Grown { known, found });
        }
        from_value(standing)
    }

    /// Writes down how many partitions `telemetry` has grown to; once nothing else speaks against
    /// going on.
    pub fn grow(&self, blobs: &dyn Blobs, partition_count: i32) -> Result<(), StoreError> {
        if partition_count > grown_to(blobs)?.unwrap_or(self.partition_count) {
            // Whoever else puts it says the same.
            blobs.put_if_absent(&key::growth(partition_count), b"{}\n")?;
        }
        Ok(())
    }

    /// The world of a folder; `None` where nothing has been written yet.
    pub fn read(blobs: &dyn Blobs) -> Result<Option<Self>, StoreError> {
        let Some(bytes) = blobs.get(key::IDENTITY)? else {
            return Ok(None);
        };
        from_value(parse(key::IDENTITY, &bytes)?).map(Some)
    }
}

/// Whether the folder is still the one that was claimed with this hash seed: an error if it was set
/// aside since, or made anew; else how many partitions `telemetry` has grown to.
pub fn look(blobs: &dyn Blobs, hash_seed: [u64; 2]) -> Result<Option<i32>, StoreError> {
    if exists(blobs, key::SETTING_ASIDE)? {
        return Err(StoreError::SettingAside);
    }
    match World::read(blobs)? {
        Some(world) if world.hash_seed == hash_seed => grown_to(blobs),
        _ => Err(StoreError::MadeAnew),
    }
}

/// How many partitions `telemetry` has grown to as far as the folder knows; `None`: it has not.
fn grown_to(blobs: &dyn Blobs) -> Result<Option<i32>, StoreError> {
    Ok(blobs.list(key::GROWTH)?.last().and_then(|key| key::parse_growth(key)))
}

/// Fixes the settings that shape the fold, or refuses others by name.
///
/// The settings stand in the folder as given: a secret among them must be a fingerprint.
pub fn claim_config(blobs: &dyn Blobs, settings: &Value) -> Result<(), StoreError> {
    let Some(standing) = claim_json(blobs, key::CONFIG, settings)? else {
        return Ok(());
    };
    let what = differences(&standing, settings).join(", ");
    if what.is_empty() { Ok(()) } else { Err(StoreError::OtherSettings { what }) }
}

/// The settings that a folder was claimed with; `None` in a folder that nobody has claimed.
pub fn standing_config(blobs: &dyn Blobs) -> Result<Option<Value>, StoreError> {
    blobs.get(key::CONFIG)?.map(|bytes| parse(key::CONFIG, &bytes)).transpose()
}

/// Writes the object if there is none, else says what stands there.
fn claim_json(blobs: &dyn Blobs, key: &str, value: &Value) -> Result<Option<Value>, StoreError> {
    let mut bytes = serde_json::to_vec_pretty(value)
        .map_err(|error| StoreError::encode("settings")(error.into()))?;
    bytes.push(b'\n');
    if blobs.put_if_absent(key, &bytes)? == Put::Written {
        return Ok(None);
    }
    let missing = || StoreError::Missing { key: key.to_owned() };
    parse(key, &blobs.get(key)?.ok_or_else(missing)?).map(Some)
}

fn parse(key: &str, bytes: &[u8]) -> Result<Value, StoreError> {
    serde_json::from_slice(bytes).map_err(|error| StoreError::damaged(key, error.to_string()))
}

fn to_value(world: &World) -> Result<Value, StoreError> {
    serde_json::to_value(world).map_err(|error| StoreError::encode("the identity")(error.into()))
}

fn from_value(value: Value) -> Result<World, StoreError> {
    serde_json::from_value(value)
        .map_err(|error| StoreError::damaged(key::IDENTITY, error.to_string()))
}

/// One clause for each leaf that differs: `input.group is "a" there and "b" here`.
fn differences(there: &Value, here: &Value) -> Vec<String> {
    let mut clauses = Vec::new();
    compare("", there, here, &mut clauses);
    clauses
}

fn compare(path: &str, there: &Value, here: &Value, clauses: &mut Vec<String>) {
    let (Value::Object(one), Value::Object(other)) = (there, here) else {
        if there != here {
            clauses.push(format!("{path} is {there} there and {here} here"));
        }
        return;
    };
    let added = other.keys().filter(|name| !one.contains_key(*name));
    for name in one.keys().chain(added) {
        let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        compare(&below, &there[name], &here[name], clauses);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;
    use crate::blobs::MemoryStore;

    pub(crate) fn kafka(cluster: &str, group: &str, seed: u64) -> World {
        World {
            layout: LAYOUT,
            input: WorldInput::Kafka { cluster: cluster.to_owned(), group: group.to_owned() },
            topics: TopicNames::default(),
            partition_count: 12,
            partition_counts_other: Some([1, 1]),
            window_length: Span::seconds(60),
            hash_seed: [seed, 2],
        }
    }

    fn check_refused(world: World, expected: &str) {
        let blobs = MemoryStore::new();
        World::claim(&blobs, kafka("c", "ringwatch", 1), Growth::Refused).unwrap();
        match World::claim(&blobs, world, Growth::Refused) {
            Err(StoreError::OtherWorld { what }) => assert_eq!(what, expected),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_seed_of_the_folder_wins() {
        let blobs = MemoryStore::new();
        assert_eq!(World::read(&blobs).unwrap(), None);
        let first = World::claim(&blobs, kafka("c", "g", 1), Growth::Refused).unwrap();
        assert_eq!(World::claim(&blobs, kafka("c", "g", 9), Growth::Refused).unwrap(), first);
        assert_eq!(World::read(&blobs).unwrap(), Some(first));
    }

    #[test]
    fn another_world_is_refused_with_both_values() {
        check_refused(kafka("c", "g", 1), r#"input.group is "ringwatch" there and "g" here"#);
        check_refused(kafka("d", "ringwatch", 1), r#"input.cluster is "c" there and "d" here"#);
        let fewer = World { partition_count: 11, ..kafka("c", "ringwatch", 1) };
        check_refused(fewer, "partition_count is 12 there and 11 here");
        let more = World { partition_counts_other: Some([2, 1]), ..kafka("c", "ringwatch", 1) };
        check_refused(more, "partition_counts_other is [1,1] there and [2,1] here");
        let longer = World { window_length: Span::seconds(90), ..kafka("c", "ringwatch", 1) };
        check_refused(longer, "window_length is 60000000 there and 90000000 here");
        let replay = WorldInput::Replay { files: "f".to_owned() };
        check_refused(
            World { input: replay, ..kafka("c", "ringwatch", 1) },
            "input.cluster is \"c\" there and null here, input.group is \"ringwatch\" there and \
             null here, input.kind is \"kafka\" there and \"replay\" here, input.files is null \
             there and \"f\" here",
        );
    }

    #[test]
    fn a_grown_topic_needs_a_word_once_and_never_shrinks() {
        let blobs = MemoryStore::new();
        let claim = |partition_count, growth| {
            let world = World { partition_count, ..kafka("c", "g", 1) };
            let claimed = World::claim(&blobs, world, growth)?;
            claimed.grow(&blobs, partition_count)?;
            Ok::<World, StoreError>(claimed)
        };
        let first = claim(9, Growth::Refused).unwrap();
        let refused = claim(12, Growth::Refused).unwrap_err().to_string();
        assert!(refused.contains('9') && refused.contains("12"), "{refused}");
        assert_eq!(grown_to(&blobs).unwrap(), None);
        for growth in [Growth::Accepted, Growth::Refused] {
            assert_eq!(claim(12, growth).unwrap(), first, "it began with 9");
            assert_eq!(grown_to(&blobs).unwrap(), Some(12));
        }
        for fewer in [9, 11] {
            let refused = claim(fewer, Growth::Accepted).unwrap_err();
            assert!(matches!(refused, StoreError::OtherWorld { .. }), "{refused}");
        }
        assert!(claim(100, Growth::Accepted).is_ok());
        assert_eq!(grown_to(&blobs).unwrap(), Some(100));
    }

    #[test]
    fn a_folder_that_was_set_aside_or_made_anew_is_told_from_the_one_that_was_claimed() {
        let blobs = MemoryStore::new();
        let claim = |seed| World::claim(&blobs, kafka("c", "g", seed), Growth::Refused).unwrap();
        let ours = claim(1).hash_seed;
        assert_eq!(look(&blobs, ours).unwrap(), None);
        crate::rebuild::set_aside(&blobs, &mut |step| {
            let met = look(&blobs, ours).unwrap_err();
            assert!(matches!(met, StoreError::SettingAside), "{step:?}: {met}");
        })
        .unwrap();
        assert!(matches!(look(&blobs, ours), Err(StoreError::MadeAnew)));
        claim(2);
        assert!(matches!(look(&blobs, ours), Err(StoreError::MadeAnew)));
    }

    #[test]
    fn a_folder_that_did_not_write_a_count_down_is_gone_on_with() {
        let blobs = MemoryStore::new();
        let older = World { partition_counts_other: None, ..kafka("c", "g", 1) };
        World::claim(&blobs, older.clone(), Growth::Refused).unwrap();
        let claimed = World::claim(&blobs, kafka("c", "g", 1), Growth::Refused).unwrap();
        assert_eq!(claimed, older);
    }

    #[test]
    fn other_settings_are_refused_by_the_name_of_each_key() {
        let blobs = MemoryStore::new();
        let settings = json!({ "windows": { "lateness": 10, "length": 60 }, "rings": ["test"] });
        claim_config(&blobs, &settings).unwrap();
        claim_config(&blobs, &settings).unwrap();
        let other = json!({ "windows": { "lateness": 20, "length": 60 }, "rings": ["test", "x"] });
        let refused = claim_config(&blobs, &other).unwrap_err().to_string();
        assert!(refused.contains(r#"rings is ["test"] there and ["test","x"] here"#), "{refused}");
        assert!(refused.contains("windows.lateness is 10 there and 20 here"), "{refused}");
        assert!(!refused.contains("length"), "{refused}");
    }
}
