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
    names: BTreeSet<Arc<str>>,
    sets: BTreeSet<ChangeSet>,
}

impl Names {
    /// The shared copy of a ring's or a change's name.
    pub(super) fn name(&mut self, name: &Arc<str>) -> Arc<str> {
        shared(&mut self.names, name)
    }

    /// The shared copy of a set.
    pub(super) fn set(&mut self, set: &ChangeSet) -> ChangeSet {
        shared(&mut self.sets, set)
    }

    /// The shared copy of a scope.
    pub(super) fn scope(&mut self, scope: &Scope) -> Scope {
        match scope {
            Scope::Set(set) => Scope::Set(self.set(set)),
            Scope::Change(change) => Scope::Change(self.name(change)),
        }
    }
}

fn shared<T: ?Sized + Ord>(known: &mut BTreeSet<Arc<T>>, wanted: &Arc<T>) -> Arc<T> {
    if let Some(found) = known.get(wanted) {
        return Arc::clone(found);
    }
    if known.len() >= NAMES_MAX {
        known.clear();
    }
    known.insert(Arc::clone(wanted));
    Arc::clone(wanted)
}
