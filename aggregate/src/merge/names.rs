//! One allocation for each ring, change and set of changes, however many entries name it.
//!
//! In: names as they stand in an entry, each with memory of its own. Out: the shared ones. This is
//! a cache, nothing more: what it forgets costs memory, never a wrong sum.

use std::collections::BTreeSet;
use std::sync::Arc;

use schemas::delta::{ChangeSet, Scope};

/// Names kept of a kind before the cache starts afresh: far above the rings and sets that a fleet
/// has at once, and 10 MB at most.
const NAMES_MAX: usize = 65_536;

#[derive(Debug, Default)]
pub(super) struct Names {
    rings: Cache<str>,
    changes: Cache<str>,
    sets: Cache<[Arc<str>]>,
}

impl Names {
    /// The shared copy of a ring's name.
    pub(super) fn ring(&mut self, name: &Arc<str>) -> Arc<str> {
        self.rings.copy_of(name)
    }

    /// The shared copy of a change's name.
    pub(super) fn change(&mut self, name: &Arc<str>) -> Arc<str> {
        self.changes.copy_of(name)
    }

    /// The shared copy of a set.
    pub(super) fn set(&mut self, set: &ChangeSet) -> ChangeSet {
        self.sets.copy_of(set)
    }

    /// The shared copy of a scope.
    pub(super) fn scope(&mut self, scope: &Scope) -> Scope {
        match scope {
            Scope::Set(set) => Scope::Set(self.set(set)),
            Scope::Change(change) => Scope::Change(self.change(change)),
        }
    }
}

/// The shared copies of one kind.
#[derive(Debug)]
struct Cache<T: ?Sized> {
    known: BTreeSet<Arc<T>>,
    /// Rows are sorted, so a row's name is mostly that of the row before.
    last: Option<Arc<T>>,
}

impl<T: ?Sized + Ord> Default for Cache<T> {
    fn default() -> Self {
        Self { known: BTreeSet::new(), last: None }
    }
}

impl<T: ?Sized + Ord> Cache<T> {
    fn copy_of(&mut self, wanted: &Arc<T>) -> Arc<T> {
        if let Some(last) = self.last.as_ref().filter(|last| **last == *wanted) {
            return Arc::clone(last);
        }
        let found = self.known.get(wanted).map(Arc::clone);
        let shared = found.unwrap_or_else(|| {
            if self.known.len() >= NAMES_MAX {
                self.known.clear();
            }
            self.known.insert(Arc::clone(wanted));
            Arc::clone(wanted)
        });
        self.last = Some(Arc::clone(&shared));
        shared
    }
}
