//! Every small folder: after a collection all that a recovery reads is there, and nothing more.
//!
//! The model says in a few lines what has to stay; the folders differ in what the entries and the
//! commits name, which commits cut, how old they are and how many entries stay anyway.

use std::collections::BTreeSet;

use schemas::commit::MergedRange;
use schemas::{Commit, Counts, Delta};

use super::*;
use crate::blobs::MemoryStore;
use crate::journal::Journal;
use crate::states::{self, Holder};
use crate::testing::parts;
use crate::{EntryParts, chain};

const STREAM: Stream = Stream { kind: StreamKind::Telemetry, partition: 0 };

/// Entries of the journal; the last is not merged yet.
const ENTRIES: u64 = 6;
/// Commits; that of sequence `n` merges entry `n`.
const COMMITS: u64 = 5;

type Objects = Vec<(String, Vec<u8>)>;

/// What the numbers of a log name: bit `n` of the mask = entry or commit `n + 1` is the first to
/// name the state after the one before it; the others repeat what was named.
fn named_by(mask: u64, count: u64) -> Vec<Option<u64>> {
    let mut newest = None;
    let mut named = vec![None];
    for number in 1..count {
        if mask & (1 << (number - 1)) != 0 {
            newest = Some(number - 1);
        }
        named.push(newest);
    }
    named
}

/// The newest two states that a log names.
fn newest_two(named: &[Option<u64>]) -> [Option<u64>; 2] {
    let mut distinct: Vec<u64> = named.iter().flatten().copied().collect();
    distinct.dedup();
    let mut newest = distinct.into_iter().rev();
    [newest.next(), newest.next()]
}

fn objects(blobs: &MemoryStore) -> Objects {
    let keys = blobs.list("system").unwrap();
    keys.into_iter().map(|key| (key.clone(), blobs.get(&key).unwrap().unwrap())).collect()
}

/// A journal and its snapshots: every entry that is named has one, and there are two strays.
fn journal(names: &[Option<u64>]) -> Objects {
    let blobs = Arc::new(MemoryStore::new());
    let store: Arc<dyn Blobs> = Arc::<MemoryStore>::clone(&blobs);
    let mut journal = Journal::open(store, STREAM, "a".to_owned()).unwrap();
    let take = |after, writer| {
        states::write(&*blobs, Holder::Worker(STREAM), after, writer, b"state").unwrap()
    };
    for (number, named) in (0..).zip(names) {
        let snapshot = named.map(|after| take(after, "a"));
        let parts = EntryParts { snapshot, ..parts(number, number + 1) };
        journal.append(parts, Delta::default()).unwrap();
    }
    take(0, "stray");
    take(ENTRIES - 1, "stray");
    objects(&blobs)
}

/// A chain and its checkpoints; bit `n` of `cuts` = commit `n` cuts.
fn chain_of(names: &[Option<u64>], cuts: u64) -> Objects {
    let blobs = Arc::new(MemoryStore::new());
    let mut chain = Chain::open(Arc::<MemoryStore>::clone(&blobs)).unwrap();
    for (sequence, named) in (0..).zip(names) {
        let take = |after| states::write(&*blobs, Holder::Publisher, after, "a", b"state").unwrap();
        let (start, end) = (sequence as i64, sequence as i64 + 1);
        let counts = Counts { received: 1, applied: 1, ..Counts::default() };
        let (first, last) = (sequence, sequence);
        let merged = vec![MergedRange { stream: STREAM, first, last, start, end, counts }];
        let (checkpoint, cut) = (named.map(take), cuts & (1 << sequence) != 0);
        chain
            .append(&Commit { v: 1, sequence, merged, checkpoint, cut, ..<_>::default() })
            .unwrap();
    }
    objects(&blobs)
}

fn folder(parts: [&Objects; 2]) -> Arc<dyn Blobs> {
    let blobs = MemoryStore::new();
    for (key, bytes) in parts.into_iter().flatten() {
        blobs.replace(key, bytes).unwrap();
    }
    Arc::new(blobs)
}

/// What a folder is made of.
#[derive(Debug)]
struct Case<'a> {
    snapshots: &'a [Option<u64>],
    checkpoints: &'a [Option<u64>],
    cuts: u64,
    old_until: Option<u64>,
    keep: u64,
}

impl Case<'_> {
    /// The model: the first entry that has to stay.
    fn first_kept(&self) -> u64 {
        let may_go = |entry: u64| {
            // Merged by the commit of its number; its rows are in tables by the next cut.
            let in_tables = (entry..COMMITS).find(|commit| self.cuts & (1 << commit) != 0);
            let [_, snapshot] = newest_two(self.snapshots);
            let [_, checkpoint] = newest_two(self.checkpoints);
            let covered = |by: Option<u64>, number: Option<u64>| {
                by.zip(number).is_some_and(|(by, number)| number <= by)
            };
            entry + self.keep < ENTRIES
                && covered(snapshot, Some(entry))
                && covered(checkpoint, in_tables)
                && covered(self.old_until, in_tables)
        };
        (0..ENTRIES).find(|entry| !may_go(*entry)).unwrap_or(ENTRIES)
    }

    fn check(&self, blobs: &Arc<dyn Blobs>) {
        let chain = Chain::open(Arc::clone(blobs)).unwrap();
        let one = CollectRule { journal_keep: self.keep, objects_max: 1, commits_max: 256 };
        // One object at a time, so that each stop in between is looked at as after a crash.
        for step in 0..=ENTRIES {
            let collected = collect(blobs, &chain, self.old_until, one).unwrap();
            let expected = u64::from(step < self.first_kept());
            assert_eq!(collected.entries.objects, expected, "step {step} of {self:?}");
            self.check_recovery(blobs, &chain);
        }
        assert_eq!(open(blobs, SnapshotChoice::Use).first_number(), self.first_kept(), "{self:?}");
    }

    /// A worker and a publisher recover, each also without its newest state.
    fn check_recovery(&self, blobs: &Arc<dyn Blobs>, chain: &Chain) {
        let [newest, before] = newest_two(self.snapshots);
        let choices =
            [(SnapshotChoice::Use, newest), (SnapshotChoice::Before(newest.unwrap_or(0)), before)];
        for (choice, expected) in choices {
            let journal = open(blobs, choice);
            assert_eq!(journal.snapshot().map(|named| named.after), expected, "{self:?}");
            if let Some(named) = journal.snapshot() {
                states::read(&**blobs, named).unwrap();
            }
        }
        let newest = chain.newest_checkpoint().unwrap();
        let before = newest.as_ref().and_then(|newest| chain.checkpoint_before(newest).unwrap());
        assert_eq!(
            [&newest, &before].map(|it| it.as_ref().map(|it| it.after)),
            newest_two(self.checkpoints)
        );
        for named in [&newest, &before].into_iter().flatten() {
            states::read(&**blobs, named).unwrap();
        }
        for sequence in before.map_or(0, |named| named.after + 1)..COMMITS {
            let merged = chain::read(&**blobs, sequence).unwrap().merged;
            Journal::read_next(&**blobs, STREAM, merged[0].last).unwrap().unwrap();
        }
    }
}

fn open(blobs: &Arc<dyn Blobs>, snapshots: SnapshotChoice) -> Journal {
    Journal::open_with(Arc::clone(blobs), STREAM, "b".to_owned(), snapshots).unwrap()
}

#[test]
fn in_every_small_folder_a_recovery_finds_what_it_needs_and_nothing_else_is_left() {
    let mut first_kept = BTreeSet::new();
    for snapshot_mask in 0..1 << (ENTRIES - 1) {
        let snapshots = named_by(snapshot_mask, ENTRIES);
        let journal = journal(&snapshots);
        for checkpoint_mask in 0..1 << (COMMITS - 1) {
            let checkpoints = named_by(checkpoint_mask, COMMITS);
            for cuts in [0b00000, 0b11111, 0b01010, 0b00001] {
                let chain = chain_of(&checkpoints, cuts);
                for old_until in [None, Some(1), Some(COMMITS - 1)] {
                    let (snapshots, checkpoints) = (&snapshots[..], &checkpoints[..]);
                    let keep = 1 + (snapshot_mask + checkpoint_mask) % 5;
                    let case = Case { snapshots, checkpoints, cuts, old_until, keep };
                    case.check(&folder([&journal, &chain]));
                    first_kept.insert(case.first_kept());
                }
            }
        }
    }
    assert_eq!(first_kept.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3], "every depth is reached");
}

#[test]
fn states_that_no_log_names_go_and_those_about_to_be_named_stay() {
    let snapshots = named_by(0b01101, ENTRIES);
    let blobs = folder([&journal(&snapshots), &chain_of(&named_by(0b1101, COMMITS), 0b11111)]);
    let chain = Chain::open(Arc::clone(&blobs)).unwrap();
    let collected = collect(&blobs, &chain, None, CollectRule::default()).unwrap();
    let names = |folder: &str| -> Vec<String> {
        let name = |key: String| key.rsplit('/').next().map(str::to_owned).unwrap();
        blobs.list(folder).unwrap().into_iter().map(name).collect()
    };
    let of = |after: u64, writer: &str| format!("{after:020}-{writer}");
    assert_eq!(names("system/snapshots"), [of(2, "a"), of(3, "a"), of(5, "stray")]);
    assert_eq!(names("system/checkpoints"), [of(2, "a"), of(3, "a")]);
    assert_eq!((collected.states.objects, collected.entries.objects), (3, 0));
}

#[test]
fn registry_journals_need_no_snapshot_and_keep_their_newest_entries() {
    let changes = Stream { kind: StreamKind::Changes, partition: 0 };
    let blobs: Arc<dyn Blobs> = Arc::new(MemoryStore::new());
    let mut journal = Journal::open(Arc::clone(&blobs), changes, "a".to_owned()).unwrap();
    let mut chain = Chain::open(Arc::clone(&blobs)).unwrap();
    for number in 0..10_u64 {
        let (start, end) = (number as i64, number as i64 + 1);
        journal.append(parts(start, end), Delta::default()).unwrap();
        let (first, last, counts) = (number, number, Counts::default());
        let merged = vec![MergedRange { stream: changes, first, last, start, end, counts }];
        let take = |after| states::write(&*blobs, Holder::Publisher, after, "a", b"s").unwrap();
        let checkpoint = number.checked_sub(1).map(take);
        let commit =
            Commit { v: 1, sequence: number, merged, checkpoint, cut: true, ..<_>::default() };
        chain.append(&commit).unwrap();
    }
    let rule = CollectRule { journal_keep: 4, ..CollectRule::default() };
    let collected = collect(&blobs, &chain, Some(9), rule).unwrap();
    assert_eq!((collected.entries.objects, collected.states.objects), (6, 7));
    assert!(collected.entries.bytes > 6 * 100);
    assert_eq!(collect(&blobs, &chain, Some(9), rule).unwrap(), Collected::default());
}

#[test]
fn staged_files_go_only_once_their_sequence_is_committed() {
    let blobs = folder([&chain_of(&named_by(0, COMMITS), 0), &Objects::new()]);
    let staged =
        [COMMITS - 1, COMMITS].map(|sequence| key::staged_file(sequence, 0, &"ab".repeat(32)));
    for key in &staged {
        blobs.replace(key, b"x").unwrap();
    }
    let chain = Chain::open(Arc::clone(&blobs)).unwrap();
    assert_eq!(collect(&blobs, &chain, None, CollectRule::default()).unwrap().leftovers, 1);
    assert_eq!(blobs.list(key::STAGING).unwrap(), staged[1..]);
}
