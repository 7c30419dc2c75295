//! Rows that pass through the merge as they are: device transitions and rejected records.

use std::collections::BTreeMap;

use schemas::delta::{Delta, Transition};
use schemas::event::UpdateState;
use schemas::reject::RejectedRow;
use schemas::{Pseudonym, Stream, StreamKind};

use crate::batches::Tables;
use crate::batches::rows::{rejected_row, transition_row};
use crate::state::{Reader, StateError, Writer};

#[derive(Debug)]
pub(super) struct Records {
    transitions: Vec<Transition>,
    rejected: Vec<(Stream, RejectedRow)>,
    topics: BTreeMap<StreamKind, String>,
}

impl Records {
    pub(super) const fn new(topics: BTreeMap<StreamKind, String>) -> Self {
        Self { transitions: Vec::new(), rejected: Vec::new(), topics }
    }

    pub(super) fn save(&self, out: &mut Writer) {
        out.put(&(&self.transitions, &self.rejected));
    }

    pub(super) fn load(&mut self, from: &mut Reader<'_>) -> Result<(), StateError> {
        (self.transitions, self.rejected) = from.take()?;
        Ok(())
    }

    pub(super) fn add(&mut self, stream: Stream, delta: &Delta) {
        self.transitions.extend_from_slice(&delta.transitions);
        self.rejected.extend(delta.rejected.iter().map(|row| (stream, row.clone())));
    }

    /// Hands out everything since the last time, each dataset in the order of its files.
    pub(super) fn cut(&mut self, tables: &mut Tables) {
        // By number, as a row is large; stable, as a device belongs to one stream: rows of equal
        // keys stay in their order.
        let transitions = std::mem::take(&mut self.transitions);
        let times = transitions.iter().map(|row| row.event_time);
        let mut sorted: Vec<_> = times.zip(0_usize..).collect();
        sorted.sort_by(|a, b| {
            let others = || order(&transitions[a.1]).cmp(&order(&transitions[b.1]));
            a.0.cmp(&b.0).then_with(others)
        });
        for (_, at) in sorted {
            transition_row(tables, &transitions[at]);
        }
        let mut rejected = std::mem::take(&mut self.rejected);
        let order = |(stream, row): &(Stream, RejectedRow)| (*stream, row.offset);
        rejected.sort_by(|a, b| {
            self.topic(a.0).cmp(self.topic(b.0)).then_with(|| order(a).cmp(&order(b)))
        });
        for (stream, row) in &rejected {
            rejected_row(tables, self.topic(*stream), *stream, row);
        }
    }

    pub(super) const fn pending_count(&self) -> usize {
        self.transitions.len() + self.rejected.len()
    }

    fn topic(&self, stream: Stream) -> &str {
        self.topics.get(&stream.kind).map_or(stream.kind.name(), String::as_str)
    }
}

/// The order of transitions at one time.
fn order(row: &Transition) -> (&Pseudonym, &str, UpdateState) {
    (&row.device, &row.change, row.state)
}
