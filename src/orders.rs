//! Gives commands: into the data folder, from where the publisher takes them into the chain.

use std::sync::Arc;

use schemas::{Command, Matcher, Order, SCHEMA_VERSION};
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

/// Whether a silence says what is to be quiet, and why; if not, what is wrong. Those that were
/// given before a reason was asked for are obeyed as they stand.
pub fn may_silence(matcher: &Matcher, reason: Option<&str>) -> Result<(), &'static str> {
    if matcher.is_empty() {
        return Err("a silence names what is to be quiet: change, ring, signal, decision, \
                    severity or alert");
    }
    if matcher.has_blank() {
        return Err("a silence names something by an empty text, which is whatever has no such \
                    name; leave it out");
    }
    match reason {
        Some(reason) if !reason.trim().is_empty() => Ok(()),
        _ => Err("a silence needs a reason: others ask why nobody is told"),
    }
}
