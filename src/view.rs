//! What can be seen of a running pipeline from outside: by HTTP, the demo, a progress bar.
//!
//! The publisher writes it after each step; everyone else only reads. A clone is a snapshot: what
//! is large is shared and never changed, so that a reader holds the lock for a moment only.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alerts::plan::Question;
use alerts::{ChangeRow, Clearance, Desk, DetectionConfig, DurationRow, VerdictRow};
use schemas::{Alert, Counts, Timestamp};

use crate::history::History;

/// What this process is to the publishing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PublisherRole {
    /// It is to publish, and the state of before has not been recovered yet.
    #[default]
    Recovering,
    /// Another process publishes: nothing is known here of changes and alerts.
    Standby,
    Leading,
}

impl PublisherRole {
    /// As the HTTP interface has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Recovering => "recovering",
            Self::Standby => "standby",
            Self::Leading => "leading",
        }
    }
}

/// The state of the pipeline after the newest merged entry.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Goes up whenever anything here has changed.
    pub version: u64,
    /// Where the HTTP interface listens, if there is one.
    pub address: Option<SocketAddr>,
    /// Of telemetry.
    pub counts: Counts,
    /// Every window that ends at or before this has been evaluated.
    pub evaluated_until: Option<Timestamp>,
    pub windows: u64,
    /// In rollout order.
    pub rings: Arc<[String]>,
    /// Changes that are watched.
    pub changes: Arc<Vec<ChangeRow>>,
    pub verdicts: Arc<Vec<VerdictRow>>,
    /// How far each change is on its way to `clear`, ring by ring.
    pub clearances: Arc<Vec<Clearance>>,
    /// Durations of both arms, watched only.
    pub durations: Arc<Vec<DurationRow>>,
    /// Ring sizes and usual rates, for the plan; and what the plan goes by.
    pub question: Option<Arc<Question>>,
    pub detection: Option<Arc<DetectionConfig>>,
    pub history: Arc<History>,
    /// One object per episode, in its last state.
    pub alerts: Arc<Vec<Alert>>,
    /// Silences, what is muted, whether anything may act.
    pub desk: Desk,
    pub files_published: u64,
    pub rows_published: u64,
    /// Why the broker cannot be reached, if so.
    pub down: Option<String>,
    /// Whether that has lasted: a connection that is lost and made again is no outage.
    pub is_away: bool,
    pub publisher: PublisherRole,
    /// Whether every journal of this process has been folded again.
    pub is_live: bool,
}

/// A view that threads share.
#[derive(Clone, Debug, Default)]
pub struct SharedView(Arc<Mutex<View>>);

impl View {
    /// Forgets what the publisher had shown: another process publishes, and knows better.
    fn forget(&mut self) {
        *self = Self {
            version: self.version,
            address: self.address,
            rings: Arc::clone(&self.rings),
            detection: self.detection.clone(),
            down: self.down.take(),
            is_away: self.is_away,
            publisher: self.publisher,
            is_live: self.is_live,
            ..Self::default()
        };
    }
}

impl SharedView {
    /// The view, for a short look or change.
    pub fn lock(&self) -> MutexGuard<'_, View> {
        // A reader that panicked cannot have left half a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The view as it stands, for a long look.
    pub fn snapshot(&self) -> View {
        self.lock().clone()
    }

    /// What this process is to the publishing now.
    pub fn note_role(&self, role: PublisherRole) {
        let mut view = self.lock();
        if view.publisher == role {
            return;
        }
        if view.publisher == PublisherRole::Leading {
            view.forget();
        }
        view.publisher = role;
        view.version += 1;
    }

    /// The broker cannot be reached; said once in the log until it comes back.
    pub fn note_down(&self, reason: String) {
        let mut view = self.lock();
        if view.down.is_none() {
            tracing::warn!(reason, "broker out of reach; waiting for it");
            view.version += 1;
        }
        view.down = Some(reason);
    }

    /// The broker has been out of reach for longer than a reconnection takes.
    pub fn note_away(&self) {
        let mut view = self.lock();
        view.version += u64::from(!view.is_away);
        view.is_away = true;
    }

    /// Records came in, so the broker is there.
    pub fn note_up(&self) {
        let mut view = self.lock();
        view.is_away = false;
        if view.down.take().is_some() {
            tracing::info!("broker reached again");
            view.version += 1;
        }
    }
}
