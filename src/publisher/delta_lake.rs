//! The Delta log beside the tables, while this process leads (feature `delta`).
//!
//! It follows the chain in small steps and holds up nothing: what fails for want of the store is
//! tried again, and what is not as it should be ends it until the next start, with an error that
//! says what to do. Alerts and tables go on either way.

use std::sync::Arc;
use std::time::Duration;

use store::delta_lake::DeltaLake;
use store::{Chain, StoreError};

use super::leader::{Leader, Setting};
use crate::config::DeltaRule;

/// Commits followed between two looks at the queue: on an object store, a second.
const COMMITS_PER_TICK: u64 = 32;

/// Commits followed at the end of a process: on an object store, half a minute.
const COMMITS_AT_THE_END: u64 = 1_024;

/// How long after a failure it is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// Where it stands.
pub(super) struct Following {
    stage: Stage,
    /// Not tried before: something failed.
    not_before: Duration,
}

enum Stage {
    /// Nobody asked for it, or it ended.
    Off,
    NotOpened,
    Opened(DeltaLake),
}

impl Following {
    pub(super) const fn new(rule: DeltaRule) -> Self {
        let stage = match rule {
            DeltaRule::Off => Stage::Off,
            DeltaRule::Follow => Stage::NotOpened,
        };
        Self { stage, not_before: Duration::ZERO }
    }

    fn step(
        &mut self,
        setting: &Setting,
        chain: &Chain,
        commits_max: u64,
    ) -> Result<(), StoreError> {
        if matches!(self.stage, Stage::NotOpened) {
            let lake = DeltaLake::open(Arc::clone(&setting.store), setting.hash_seed)?;
            self.stage = Stage::Opened(lake);
        }
        match &mut self.stage {
            Stage::Opened(lake) => lake.follow(chain, commits_max),
            Stage::Off | Stage::NotOpened => Ok(()),
        }
    }

    /// Takes note of a step that failed.
    fn note(&mut self, error: &StoreError, now: Duration) {
        if error.is_transient() {
            tracing::warn!(%error, "the Delta log is behind; trying again");
            self.not_before = now + RETRY_AFTER;
        } else {
            tracing::error!(%error, "the Delta log ends here until the next start");
            self.stage = Stage::Off;
        }
    }
}

impl Leader {
    /// Follows the chain a step further, if it is time.
    pub(super) fn follow_in_delta(&mut self) {
        let now = self.setting.clock.monotonic();
        if now < self.following.not_before {
            return;
        }
        if let Err(error) = self.following.step(&self.setting, &self.chain, COMMITS_PER_TICK) {
            self.following.note(&error, now);
        }
    }

    /// Follows the chain to its end if that is near, and writes down how far: there is no later
    /// step in this process, and the next goes on from there.
    pub(super) fn finish_delta(&mut self) {
        let now = self.setting.clock.monotonic();
        if now < self.following.not_before {
            return;
        }
        let step = self.following.step(&self.setting, &self.chain, COMMITS_AT_THE_END);
        let kept = step.and_then(|()| match &mut self.following.stage {
            Stage::Opened(lake) => lake.keep(),
            Stage::Off | Stage::NotOpened => Ok(()),
        });
        if let Err(error) = kept {
            self.following.note(&error, now);
        }
    }
}
