//! What the publisher shows of itself: written into the view after each step.

use std::sync::Arc;

use super::leader::Leader;

impl Leader {
    /// Brings the view up to date. Tests change with windows only, and making their rows takes
    /// longer than a lock may be held, so they are made before it.
    pub(super) fn show(&mut self) {
        let engine = &self.engine;
        let made = (self.shown_windows != self.windows).then(|| {
            (
                Arc::new(engine.changes()),
                Arc::new(engine.verdicts()),
                Arc::new(engine.clearances()),
                Arc::new(engine.durations()),
                engine.question().map(Arc::new),
            )
        });
        self.shown_windows = self.windows;
        let history = Arc::new(self.history.clone());
        let links = &self.setting.links;
        let alerts = Arc::new(self.episodes.iter().map(|alert| links.linked(alert)).collect());
        let mut view = self.setting.view.lock();
        view.version += 1;
        view.counts = self.counts;
        view.evaluated_until = self.evaluated_until;
        view.windows = self.windows;
        view.files_published = self.published.files;
        view.rows_published = self.published.rows;
        if view.rings.is_empty() {
            view.rings = self.setting.detection.rings.clone().into();
            view.detection = Some(Arc::new(self.setting.detection.clone()));
        }
        if let Some((changes, verdicts, clearances, durations, question)) = made {
            view.changes = changes;
            view.verdicts = verdicts;
            view.clearances = clearances;
            view.durations = durations;
            view.question = question;
        }
        view.history = history;
        view.alerts = alerts;
        view.desk.clone_from(&self.desk);
    }
}
