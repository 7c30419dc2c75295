//! Which stage of the pipeline a stack belongs to.
//!
//! By the module of the innermost function that is one of a stage's own: what a stage calls in
//! libraries, in the allocator or in the kernel is the stage's.

use super::stacks::Stack;

/// The stages in the order of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) enum Stage {
    Consume,
    Files,
    Queue,
    Frame,
    Decode,
    Apply,
    Close,
    Snapshot,
    Journal,
    Merge,
    Detect,
    Tables,
    Chain,
    Other,
}

impl Stage {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Consume => "consume (threads of librdkafka)",
            Self::Files => "read files",
            Self::Queue => "take from the queue",
            Self::Frame => "frame",
            Self::Decode => "decode",
            Self::Apply => "apply",
            Self::Close => "close windows",
            Self::Snapshot => "snapshots",
            Self::Journal => "journal: rows, encode, sync",
            Self::Merge => "merge",
            Self::Detect => "detector, policy, alerts",
            Self::Tables => "tables: rows, Parquet, sync",
            Self::Chain => "chain",
            Self::Other => "other",
        }
    }
}

/// librdkafka's own threads: fetch, check, decompress, split into messages.
const CLIENT_THREADS: &str = "rdk:";

/// Parts of names that say the stage by themselves.
const FUNCTIONS: [(&str, Stage); 24] = [
    ("ingest::kafka", Stage::Queue),
    ("rd_kafka_consume_batch_queue", Stage::Queue),
    ("rd_kafka_message_destroy", Stage::Queue),
    ("rd_kafka_queue_poll", Stage::Queue),
    ("ingest::ndjson", Stage::Files),
    ("ingest::frame", Stage::Frame),
    ("ingest::decode", Stage::Decode),
    ("aggregate::partition::Partition::take", Stage::Journal),
    ("store::journal", Stage::Journal),
    ("aggregate::partition::Partition::close", Stage::Close),
    ("aggregate::partition::Partition::fire_silences", Stage::Close),
    ("aggregate::partition::Partition::save", Stage::Snapshot),
    ("ringwatch::snapshots", Stage::Snapshot),
    ("store::states", Stage::Snapshot),
    ("aggregate::merge", Stage::Merge),
    ("aggregate::batches", Stage::Tables),
    ("store::tables", Stage::Tables),
    ("store::settle", Stage::Tables),
    ("parquet::", Stage::Tables),
    // Deeper than what is kept of a stack: table files are compressed by the one, entries by the
    // other.
    ("ZSTD_compress", Stage::Tables),
    ("lz4_flex", Stage::Journal),
    ("store::chain", Stage::Chain),
    ("alerts::", Stage::Detect),
    ("ringwatch::history", Stage::Detect),
];

/// The crate of the fold: what it does is *apply*, unless a function further out says otherwise.
const FOLD: &str = "aggregate::";

/// The stage of a stack.
pub(in super::super) fn of(stack: &Stack<'_>) -> Stage {
    if stack.thread.starts_with(CLIENT_THREADS) {
        return Stage::Consume;
    }
    let mut in_fold = false;
    for frame in &stack.frames {
        let name = without_arguments(frame);
        match FUNCTIONS.iter().find(|(part, _)| name.contains(part)) {
            // A source hands records out from within: what it calls is not its own.
            Some((part, _)) if in_fold && !part.starts_with(FOLD) => return Stage::Apply,
            Some(&(_, stage)) => return stage,
            None => in_fold |= name.contains(FOLD),
        }
    }
    if in_fold { Stage::Apply } else { Stage::Other }
}

/// A function of a library that was made for one of our types carries the name of that type.
fn without_arguments(name: &str) -> &str {
    name.split_once("::<").map_or(name, |(path, _)| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(thread: &str, frames: &[&str], expected: Stage) {
        assert_eq!(of(&Stack { thread, frames: frames.to_vec() }), expected, "{frames:?}");
    }

    #[test]
    fn the_innermost_function_of_a_stage_decides() {
        check("rdk:broker1", &["LZ4_decompress", "rd_kafka_thrd"], Stage::Consume);
        check("ringwatch", &["memcpy", "ingest::decode::shape::read", "main"], Stage::Decode);
        check("ringwatch", &["aggregate::fold::Fold::count", "main"], Stage::Apply);
        let closing = ["aggregate::levels::Levels::rows", "aggregate::partition::Partition::close"];
        check("ringwatch", &closing, Stage::Close);
        let handed = ["aggregate::fold::Fold::count", "ingest::ndjson::Files::batch", "main"];
        check("ringwatch", &handed, Stage::Apply);
        check("publisher", &["aggregate::intern::x", "aggregate::merge::Merge::add"], Stage::Merge);
        check("publisher", &["[unknown]", "std::thread"], Stage::Other);
        check("publisher", &["std::sync::Mutex::<store::chain::X>::lock"], Stage::Other);
    }
}
