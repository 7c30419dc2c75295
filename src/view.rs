//! What can be seen of a running pipeline from outside: by HTTP, the demo, a progress bar.
//!
//! The publisher writes it after each step; everyone else only reads.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alerts::{Clearance, DurationRow, VerdictRow};
use schemas::{Alert, Counts, Timestamp};

/// The state of the pipeline after the newest merged entry.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Of telemetry.
    pub counts: Counts,
    /// Every window that ends at or before this has been evaluated.
    pub evaluated_until: Option<Timestamp>,
    pub windows: u64,
    pub verdicts: Vec<VerdictRow>,
    /// How far each change is on its way to `clear`, ring by ring.
    pub clearances: Vec<Clearance>,
    /// Durations of both arms, watched only.
    pub durations: Vec<DurationRow>,
    /// One object per episode, in its last state.
    pub alerts: Vec<Alert>,
    pub files_published: u64,
    pub rows_published: u64,
    /// Why the broker cannot be reached, if so.
    pub down: Option<String>,
    /// Whether the publisher's state of before has been recovered.
    pub recovered: bool,
    /// Whether every journal of this process has been folded again.
    pub is_live: bool,
}

/// A view that threads share.
#[derive(Clone, Debug, Default)]
pub struct SharedView(Arc<Mutex<View>>);

impl SharedView {
    /// The view, for a short look or change.
    pub fn lock(&self) -> MutexGuard<'_, View> {
        // A reader that panicked cannot have left half a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The broker cannot be reached; said once in the log until it comes back.
    pub fn note_down(&self, reason: String) {
        let mut view = self.lock();
        if view.down.is_none() {
            tracing::warn!(reason, "broker out of reach; waiting for it");
        }
        view.down = Some(reason);
    }

    /// Records came in, so the broker is there.
    pub fn note_up(&self) {
        if self.lock().down.take().is_some() {
            tracing::info!("broker reached again");
        }
    }
}
