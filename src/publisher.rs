//! The publishing half: journal entries in; windows evaluated, commits, tables, alerts out.
//!
//! ```text
//! leads ─► Waiting ─► recover: checkpoint, chain, journals ─► Leading ─► last commit ─► Standby
//!             ▲                                                 │
//!             └───── a sequence was taken: drop the state ◄─────┘
//! ```
//! Whoever owns partition 0 of `telemetry` leads. A second leader is harmless: the chain's next
//! sequence is given once, and whoever does not get it starts again from what it says.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use alerts::delivery::{Acting, Stopped};
use schemas::{Entry, Stream};
use store::{Blobs, StoreError, TopicNames};

mod commands;
#[cfg(feature = "delta")]
mod delta_lake;
mod housekeeping;
mod leader;
mod office;
mod ranges;
mod recovery;
mod shown;
mod stragglers;

use leader::Leader;
use office::Waits;

use crate::clock::Clock;
use crate::config::Config;
use crate::deliveries::Deliveries;
use crate::metrics;
use crate::patience::{Losses, patiently};
use crate::pipeline::PipelineError;
use crate::shutdown::Stop;
use crate::summary::Summary;
use crate::view::{PublisherRole, SharedView};

/// How long one wait for entries may last, so that the lease and the interval are kept.
const WAIT: Duration = Duration::from_millis(200);

/// What a publisher is made of.
#[expect(missing_debug_implementations, reason = "made of parts that have none")]
pub struct PublisherParts<'a> {
    pub store: Arc<dyn Blobs>,
    /// Whether this process owns [`crate::reader::LEADING_STREAM`]; the reader says so.
    pub leads: Arc<AtomicBool>,
    pub clock: Arc<dyn Clock>,
    pub stop: Stop,
    pub streams: Vec<Stream>,
    /// Those of them that were there when the data folder was made.
    pub streams_begun: Vec<Stream>,
    pub topics: TopicNames,
    pub config: &'a Config,
    pub writer: String,
    pub view: SharedView,
    pub deliveries: Deliveries,
}

/// Follows every journal and writes the chain and the tables, while this process leads.
#[expect(missing_debug_implementations, reason = "made of parts that have none")]
pub struct Publisher {
    setting: leader::Setting,
    leads: Arc<AtomicBool>,
    deliveries: Deliveries,
    role: Role,
    losses: Losses,
    /// For every lead: what one had to wait for is not over because it left.
    waits: Waits,
    /// Of the time as leader that has ended.
    summary: Summary,
}

enum Role {
    /// Another process leads.
    Standby,
    /// This one is to lead, once it has recovered.
    Waiting {
        retry_at: Duration,
        /// What an earlier lead was lost by.
        lost: Option<StoreError>,
    },
    Leading(Box<Leader>),
}

impl Publisher {
    pub fn new(parts: PublisherParts<'_>) -> Self {
        let setting = leader::Setting::new(&parts);
        let PublisherParts { deliveries, leads, .. } = parts;
        Self {
            setting,
            leads,
            deliveries,
            role: Role::Standby,
            losses: Losses::default(),
            waits: Waits::default(),
            summary: Summary::default(),
        }
    }

    /// Follows the workers until they are gone; then publishes what is left.
    pub fn follow(mut self, entries: &Receiver<Arc<Entry>>) -> Result<Summary, PipelineError> {
        loop {
            match entries.recv_timeout(WAIT) {
                Ok(entry) => self.take(Some(&entry))?,
                Err(RecvTimeoutError::Timeout) => self.take(None)?,
                Err(RecvTimeoutError::Disconnected) => return self.finish(),
            }
        }
    }

    /// Takes an entry that is durable, if there is one, and a step of what time brings.
    ///
    /// An entry is only a hint: every one can be read from its journal.
    pub fn take(&mut self, entry: Option<&Entry>) -> Result<(), PipelineError> {
        match (&self.role, self.leads.load(Ordering::Acquire)) {
            (Role::Standby, true) => {
                self.role = Role::Waiting { retry_at: Duration::ZERO, lost: None };
            }
            (Role::Waiting { lost, .. }, false) => {
                if lost.is_some() {
                    self.losses.forgive();
                }
                self.stand_by()?;
            }
            (Role::Leading(_), false) => self.stand_by()?,
            _ => {}
        }
        self.show_role();
        self.recover_if_due()?;
        self.show_role();
        if let Some(entry) = entry {
            self.lead(|leader| leader.merge_entry(entry))?;
        }
        self.lead(Leader::tick)?;
        self.lead(Leader::begin_to_send)?;
        // A step may have lost the lead.
        self.show_role();
        if let Role::Leading(leader) = &mut self.role {
            leader.deliver(&mut self.deliveries)?;
        }
        Ok(())
    }

    /// Probes wait for whoever is to publish and cannot yet.
    fn show_role(&self) {
        self.setting.view.note_role(match self.role {
            Role::Waiting { .. } => PublisherRole::Recovering,
            Role::Standby => PublisherRole::Standby,
            Role::Leading(_) => PublisherRole::Leading,
        });
    }

    /// Whether this process publishes now.
    pub const fn is_leading(&self) -> bool {
        matches!(self.role, Role::Leading(_))
    }

    /// Publishes what is left and ends. Unless somebody asks us to stop, what destinations lack is
    /// sent first: the next run may be as short as this one.
    pub fn finish(mut self) -> Result<Summary, PipelineError> {
        if self.leads.load(Ordering::Acquire) && !self.is_leading() {
            self.role = Role::Waiting { retry_at: Duration::ZERO, lost: None };
            self.recover_if_due()?;
        }
        while self.is_sent_later() && !self.setting.stop.is_asked() {
            self.setting.clock.sleep(WAIT);
            self.take(None)?;
        }
        self.stand_by()?;
        Ok(self.summary)
    }

    /// Whether there are destinations to which this lead may not yet send.
    fn is_sent_later(&self) -> bool {
        let Role::Leading(leader) = &self.role else { return false };
        !leader.sends && self.deliveries.has_destinations()
    }

    /// Does a step as leader; a lost sequence ends the lead for a while.
    fn lead(
        &mut self,
        step: impl FnOnce(&mut Leader) -> Result<(), PipelineError>,
    ) -> Result<(), PipelineError> {
        let Role::Leading(leader) = &mut self.role else { return Ok(()) };
        match step(leader) {
            Err(PipelineError::Store(error @ StoreError::Lost { .. })) => {
                if self.setting.rule.lease.is_none() {
                    return Err(PipelineError::NotAlone(error));
                }
                let now = self.setting.clock.monotonic();
                let retry_at = now + self.losses.note(now);
                tracing::warn!(%error, "another process publishes; recovering");
                self.leave(Role::Waiting { retry_at, lost: Some(error) });
                Ok(())
            }
            outcome => outcome,
        }
    }

    fn recover_if_due(&mut self) -> Result<(), PipelineError> {
        let now = self.setting.clock.monotonic();
        match &mut self.role {
            Role::Waiting { retry_at, lost } if *retry_at <= now => {
                // It is ours to publish, and yet another does.
                if self.losses.are_too_many()
                    && let Some(error) = lost.take()
                {
                    return Err(PipelineError::ChainLostAgain(error));
                }
            }
            _ => return Ok(()),
        }
        let leader = Leader::recover(&self.setting, self.waits)?;
        self.waits = leader.waits;
        metrics::publisher().set(1.0);
        self.deliveries.place_cursors(leader.chain.next_sequence());
        self.role = Role::Leading(Box::new(leader));
        // At once: from here on nobody else's commit can follow.
        self.lead(Leader::take_office)
    }

    /// Leaves the lead to others, with everything committed that can be.
    fn stand_by(&mut self) -> Result<(), PipelineError> {
        self.last_step(Leader::commit_rest)?;
        self.last_step(Leader::begin_to_send)?;
        if self.is_sent_later() {
            // It stands in the chain, and every cursor before it.
            tracing::warn!(
                "another process may still be sending; what destinations lack goes out at the next \
                 start"
            );
        }
        if let Role::Leading(leader) = &mut self.role {
            leader.deliver(&mut self.deliveries)?;
        }
        // Whoever reads that we have left sends at once, so no request of ours may be under way.
        if self.stop_deliveries() == Stopped::Finished {
            self.last_step(Leader::resign)?;
        }
        #[cfg(feature = "delta")]
        if let Role::Leading(leader) = &mut self.role {
            // Alerts first: the log may be far behind.
            leader.finish_delta();
        }
        self.leave(Role::Standby);
        Ok(())
    }

    /// Does a step before the lead ends. Whoever leads by now has read the same journals.
    fn last_step(
        &mut self,
        step: impl FnOnce(&mut Leader) -> Result<(), PipelineError>,
    ) -> Result<(), PipelineError> {
        let Role::Leading(leader) = &mut self.role else { return Ok(()) };
        match step(leader) {
            Err(PipelineError::Store(StoreError::Lost { .. })) => Ok(()),
            outcome => outcome,
        }
    }

    fn leave(&mut self, role: Role) {
        self.stop_deliveries();
        metrics::publisher().set(0.0);
        metrics::stragglers().set(0.0);
        if let Role::Leading(leader) = std::mem::replace(&mut self.role, role) {
            self.summary = leader.summary();
        }
    }

    /// After a request that hangs we wait as after another publisher that was killed, or longer.
    fn stop_deliveries(&mut self) -> Stopped {
        let stopped = self.deliveries.stop();
        if stopped == Stopped::Abandoned {
            let at_most = self.deliveries.request_longest();
            self.waits = self.waits.after_request(self.setting.clock.monotonic(), at_most);
        }
        stopped
    }
}

impl Leader {
    /// Repeats what an outage of the store holds up.
    fn patiently<T>(
        &self,
        what: &'static str,
        attempt: impl FnMut() -> Result<T, StoreError>,
    ) -> Result<T, PipelineError> {
        let setting = &self.setting;
        Ok(patiently(what, &*setting.clock, &setting.stop, attempt)?)
    }

    /// Hands on what destinations are to be told, once anything may be sent.
    fn deliver(&mut self, deliveries: &mut Deliveries) -> Result<(), PipelineError> {
        if !self.sends && deliveries.has_destinations() {
            // Loops that start later read it from the chain.
            self.undelivered.clear();
            return Ok(());
        }
        let paused = self.desk.paused().is_some();
        deliveries.set_acting(if paused { Acting::Paused } else { Acting::Allowed });
        deliveries.start(&self.desk)?;
        for committed in self.undelivered.drain(..) {
            deliveries.offer(&committed);
        }
        deliveries.renew(self.last.commit);
        Ok(())
    }
}
