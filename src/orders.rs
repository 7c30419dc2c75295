//! Gives commands: into the data folder, from where the publisher takes them into the chain.

use std::sync::Arc;

use schemas::{Command, Order, SCHEMA_VERSION};
use store::{Blobs, StoreError, commands};

use crate::clock::Clock;
use crate::nonce;

/// Whoever may write the data folder may give commands (docs/decisions/0030).
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "a clock has none")]
pub struct Orders {
    store: Arc<dyn Blobs>,
    clock: Arc<dyn Clock>,
}

impl Orders {
    pub fn new(store: &Arc<dyn Blobs>, clock: &Arc<dyn Clock>) -> Self {
        Self { store: Arc::clone(store), clock: Arc::clone(clock) }
    }

    /// Gives one; durable when this returns, and obeyed by whoever publishes.
    pub fn give(
        &self,
        order: Order,
        author: String,
        reason: Option<String>,
    ) -> Result<Command, StoreError> {
        let command = Command {
            v: SCHEMA_VERSION,
            number: 0,
            nonce: nonce::fresh(),
            at: self.clock.wall().unwrap_or_default(),
            author,
            reason,
            order,
        };
        commands::give(&*self.store, &command)
    }
}
