//! Housekeeping while this process leads: finished days settled, old days dropped, and what no
//! recovery needs deleted.
//!
//! ```text
//! a round: Prepare ─ days to drop; finished days, sorted and staged ─► the next commit names them
//!          Clean   ─ files of dropped days, then entries and states ◄──────────┘
//! ```
//! Both run in a thread of their own, so that no commit waits for them. A settled file carries the
//! sequence of the commit that names it: a round begins right after a commit, and if another was
//! written all the same, what is staged is left over and is staged again. All ages are of event
//! time, which the chain knows: a restart forgets none, and while nothing comes nothing goes.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread;
use std::time::Duration;

use schemas::commit::{DroppedDay, FileRecord};
use schemas::{Span, Timestamp};
use store::collect::{CollectRule, collect, old_until};
use store::settle::{SettleRule, days_due, settle};
use store::{Blobs, Chain, Grown, StoreError, Tables, retention};

use super::leader::{Leader, Setting};
use crate::clock::Clock;
use crate::config::HousekeepingRule;
use crate::pipeline::PipelineError;
use crate::shutdown::Stop;

/// How fresh the last commit is when a round begins. 1 s: most of a lease is left to settle in.
const FRESH: Duration = Duration::from_secs(1);

/// How long days are settled before what is there is handed over. A quarter of a lease.
const SETTLE_FOR: Duration = Duration::from_secs(5);

/// Rounds in which a commit came in between before the next waits for its time.
const OVERTAKEN_MAX: u32 = 3;

/// What a commit names beside its tables.
#[derive(Clone, Debug, Default)]
pub(super) struct Chores {
    pub(super) settled: Vec<FileRecord>,
    pub(super) dropped: Vec<DroppedDay>,
}

impl Chores {
    pub(super) const fn is_empty(&self) -> bool {
        self.settled.is_empty() && self.dropped.is_empty()
    }
}

/// The thread, as the leader sees it. Dropped, it ends by itself: nothing waits for it, and what
/// it leaves half done the next leader's goes on with.
pub(super) struct Housekeeping {
    jobs: SyncSender<Job>,
    done: Receiver<Done>,
    interval: Duration,
    stage: Stage,
    overtaken: u32,
    over: Stop,
}

/// Where the round stands.
enum Stage {
    Waiting {
        due_at: Duration,
    },
    Preparing,
    /// What is to follow: the interval, or at once what this round left.
    Cleaning {
        rest: Rest,
    },
}

/// Whether a round leaves something that is due now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    None,
    Some,
}

enum Job {
    Prepare { chain: Chain, evaluated_until: Timestamp },
    Clean { chain: Chain, evaluated_until: Timestamp, named: Chores },
}

enum Done {
    /// For the commit of that sequence.
    Prepared {
        sequence: u64,
        chores: Chores,
        rest: Rest,
    },
    Cleaned,
}

impl Housekeeping {
    /// Starts the thread; the first round is due at once.
    fn start(setting: &Setting, rule: HousekeepingRule) -> Result<Self, PipelineError> {
        let over = Stop::default();
        let worker = Worker {
            store: Arc::clone(&setting.store),
            tables: Tables::new(Arc::clone(&setting.store)),
            clock: Arc::clone(&setting.clock),
            rule,
            over: over.clone(),
        };
        let (jobs, waiting) = sync_channel(1);
        let (told, done) = sync_channel(1);
        thread::Builder::new()
            .name("housekeeping".to_owned())
            .spawn(move || {
                for job in waiting {
                    if told.send(worker.work(job)).is_err() {
                        return;
                    }
                }
            })
            .map_err(PipelineError::Thread)?;
        let stage = Stage::Waiting { due_at: Duration::ZERO };
        Ok(Self { jobs, done, interval: rule.interval, stage, overtaken: 0, over })
    }

    /// Hands a job over; one is under way at a time, so there is room.
    fn begin(&mut self, job: Job, stage: Stage) {
        if self.jobs.try_send(job).is_ok() {
            self.stage = stage;
        }
    }

    /// Takes note of whether a commit came in between; says what is left to do.
    fn rest(&mut self, is_overtaken: Rest, rest: Rest) -> Rest {
        if is_overtaken == Rest::None {
            self.overtaken = 0;
            return rest;
        }
        self.overtaken += 1;
        if self.overtaken < OVERTAKEN_MAX {
            return Rest::Some;
        }
        self.overtaken = 0;
        tracing::warn!("a finished day takes longer to settle than there is between two commits");
        Rest::None
    }
}

impl Drop for Housekeeping {
    fn drop(&mut self) {
        self.over.ask();
    }
}

impl Leader {
    /// Starts the thread, unless there is to be no housekeeping.
    pub(super) fn start_housekeeping(&mut self) -> Result<(), PipelineError> {
        if let Some(rule) = self.setting.housekeeping {
            self.house = Some(Housekeeping::start(&self.setting, rule)?);
        }
        Ok(())
    }

    /// Begins a round that is due, and commits what one has prepared.
    pub(super) fn keep_house(&mut self) -> Result<(), PipelineError> {
        let Some(mut house) = self.house.take() else { return Ok(()) };
        match house.done.try_recv() {
            Ok(Done::Prepared { sequence, chores, rest }) => {
                self.commit_chores(&mut house, sequence, chores, rest)?;
            }
            Ok(Done::Cleaned) => {
                let now = self.setting.clock.monotonic();
                let Stage::Cleaning { rest } = house.stage else { return Ok(()) };
                let wait = if rest == Rest::Some { Duration::ZERO } else { house.interval };
                house.stage = Stage::Waiting { due_at: now + wait };
            }
            Err(TryRecvError::Empty) => self.begin_round(&mut house),
            Err(TryRecvError::Disconnected) => {
                tracing::error!(
                    "housekeeping failed on a broken invariant, and ends until restart"
                );
                return Ok(());
            }
        }
        self.house = Some(house);
        Ok(())
    }

    fn begin_round(&self, house: &mut Housekeeping) {
        let now = self.setting.clock.monotonic();
        let is_due = matches!(house.stage, Stage::Waiting { due_at } if due_at <= now);
        let is_fresh = now.saturating_sub(self.last.commit) <= FRESH;
        let has_commits = self.chain.next_sequence() > 0;
        if is_due
            && is_fresh
            && has_commits
            && let Some(evaluated_until) = self.evaluated_until
        {
            let chain = self.chain.clone();
            house.begin(Job::Prepare { chain, evaluated_until }, Stage::Preparing);
        }
    }

    fn commit_chores(
        &mut self,
        house: &mut Housekeeping,
        sequence: u64,
        mut chores: Chores,
        rest: Rest,
    ) -> Result<(), PipelineError> {
        let mut overtaken = Rest::None;
        if sequence != self.chain.next_sequence() {
            // A drop holds whichever commit names it.
            chores.settled.clear();
            overtaken = Rest::Some;
        }
        let named = self.name_chores(chores)?;
        if let Some(evaluated_until) = self.evaluated_until {
            let rest = house.rest(overtaken, rest);
            let chain = self.chain.clone();
            house.begin(Job::Clean { chain, evaluated_until, named }, Stage::Cleaning { rest });
        }
        Ok(())
    }
}

/// What the thread works with.
struct Worker {
    store: Arc<dyn Blobs>,
    tables: Tables,
    clock: Arc<dyn Clock>,
    rule: HousekeepingRule,
    /// Asked once nobody waits for it any more.
    over: Stop,
}

impl Worker {
    /// Does a job. What fails is tried again in the next round: nothing else depends on it.
    fn work(&self, job: Job) -> Done {
        match job {
            Job::Prepare { chain, evaluated_until } => {
                let sequence = chain.next_sequence();
                let (chores, rest) =
                    self.prepare(&chain, evaluated_until).unwrap_or_else(|error| {
                        tracing::warn!(%error, "cannot settle or drop days now");
                        (Chores::default(), Rest::None)
                    });
                Done::Prepared { sequence, chores, rest }
            }
            Job::Clean { chain, evaluated_until, named } => {
                if let Err(error) = self.clean(&chain, evaluated_until, &named) {
                    tracing::warn!(%error, "cannot delete now what is not needed any more");
                }
                Done::Cleaned
            }
        }
    }

    /// The days to drop, and settled files for the next commit of `chain`.
    fn prepare(
        &self,
        chain: &Chain,
        evaluated_until: Timestamp,
    ) -> Result<(Chores, Rest), StoreError> {
        let mut chores = Chores::default();
        if let Some(keep) = self.rule.keep {
            let date = before(evaluated_until, keep).date();
            chores.dropped = retention::days_before(&*self.store, &date)?;
        }
        let mut rest = Rest::None;
        if chores.dropped.len() == retention::DROPPED_DAYS_MAX {
            rest = Rest::Some;
        }
        let date = before(evaluated_until, self.rule.settle_after).date();
        let begun = self.clock.monotonic();
        for day in days_due(&*self.store, &date, SettleRule::default())? {
            let is_dropped = |dropped: &DroppedDay| {
                dropped.date == day.date && dropped.dataset == day.dataset.name()
            };
            if chores.dropped.iter().any(is_dropped) {
                continue;
            }
            if self.over.is_asked() || self.clock.monotonic().saturating_sub(begun) >= SETTLE_FOR {
                return Ok((chores, Rest::Some));
            }
            match settle(&self.tables, chain, &day, SettleRule::default()) {
                Ok(files) => chores.settled.extend(files),
                // It met files of a commit that has come since; the leader sees that too.
                Err(_) if chain.clone().refresh()? == Grown::Yes => return Ok((chores, rest)),
                Err(error) => {
                    let (dataset, date) = (day.dataset.name(), day.date);
                    tracing::warn!(%error, dataset, date, "a finished day cannot be settled");
                }
            }
        }
        Ok((chores, rest))
    }

    /// Deletes the files of dropped days, named by the newest commit, and what is not needed.
    fn clean(
        &self,
        chain: &Chain,
        evaluated_until: Timestamp,
        named: &Chores,
    ) -> Result<(), StoreError> {
        let newest = chain.next_sequence() - 1;
        let deleted = retention::delete_days(&*self.store, &named.dropped, newest)?;
        let old = old_until(chain, before(evaluated_until, self.rule.collect_after))?;
        let rule = CollectRule { journal_keep: self.rule.journal_keep, ..CollectRule::default() };
        let (mut objects, mut bytes) = (0, 0);
        loop {
            let collected = collect(&self.store, chain, old, rule)?;
            objects += collected.entries.objects + collected.states.objects + collected.leftovers;
            bytes += collected.entries.bytes + collected.states.bytes;
            if collected.entries.objects < rule.objects_max || self.over.is_asked() {
                break;
            }
        }
        if !named.is_empty() || objects > 0 {
            tracing::info!(
                settled_files = named.settled.len(),
                dropped_days = named.dropped.len(),
                dropped_files = deleted.objects,
                collected = objects,
                collected_bytes = bytes,
                "housekeeping done"
            );
        }
        Ok(())
    }
}

fn before(moment: Timestamp, span: Span) -> Timestamp {
    moment.saturating_add(Span(-span.0))
}
