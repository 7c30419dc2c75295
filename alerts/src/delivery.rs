//! Delivery: brings alert transitions to people's own tools, each destination by itself.
//!
//! ```text
//! publisher ─ offer ─► Feed (bounded) ─┐
//!                                      ├─► DestinationLoop ─► State::step ─► webhook | … ─► HTTP
//! chain ─ CatchUp::since ──────────────┘        ▲                                         │
//!                                               └──── State::decide ◄── Outcome ◄─────────┘
//! ```
//! In: the alert transitions of each commit. Out: requests, at least once each, in the order of
//! the chain, with the same id whenever one is repeated. A destination that is down delays no
//! other and never the publisher: what does not fit its queue is read again from the chain.
//!
//! [`state`] and [`retry`] decide and are pure; [`worker`] and [`http`] do.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use schemas::text::misleads;
use schemas::{Alert, Command, Commit, Order, Timestamp};

use crate::links::LinkRule;

mod address;
mod alertmanager;
mod circuit;
mod command;
mod config;
mod destination;
mod email;
mod heartbeat;
mod hours;
mod http;
mod jira;
mod kafka;
mod message;
mod metrics;
mod pagerduty;
mod repeat;
mod retry;
mod route;
mod secret;
mod servicenow;
mod slack;
mod state;
mod teams;
mod webhook;
mod worker;

pub use config::{CONFIG_KEYS, DestinationConfig, DestinationError, DestinationKind};
pub use destination::Destination;
pub use hours::OfficeHours;
pub use http::{HttpClient, HttpError, Method, Request, Response, UreqClient};
pub use kafka::RecordFormat;
pub use metrics::describe;
pub use retry::{Backoff, Outcome};
pub use route::{Route, Stay, both_act};
pub use state::{Acting, Notice, Refused, Standing};
pub use worker::{DestinationLoop, Feed, Running, Stopped, Taken, Wiring};

/// What one commit of the chain tells destinations, in the order in which it was raised.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Committed {
    pub sequence: u64,
    /// Shared: every destination holds the same alerts.
    pub alerts: Vec<Arc<Alert>>,
    /// Ids of alerts that are no longer to be repeated to people.
    pub muted: Vec<String>,
    /// Destinations that an operator wants tried at once.
    pub retries: Vec<String>,
}

impl Committed {
    /// What a commit tells: its alerts but the quiet ones, with what they link to here.
    pub fn of(commit: Commit, links: &LinkRule) -> Self {
        let quiet = commit.quiet;
        let told = (0_u32..).zip(commit.alerts).filter(|(at, _)| !quiet.contains(at));
        let retry = |command: Command| match command.order {
            Order::Retry { destination } => Some(destination),
            _ => None,
        };
        Self {
            sequence: commit.sequence,
            alerts: told
                .map(|(_, alert)| Arc::new(Alert { links: links.of(&alert), ..alert }))
                .collect(),
            muted: commit.muted.into_iter().map(|muted| muted.alert).collect(),
            retries: commit.commands.into_iter().filter_map(retry).collect(),
        }
    }
}

/// An alert that stands firing or acknowledged and was told, in its last transition.
#[derive(Clone, Debug)]
pub struct OpenAlert {
    pub alert: Arc<Alert>,
    /// Whether it is kept quiet.
    pub muted: bool,
}

/// A moment on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// UTC, for what receivers compare with their own clocks.
    pub wall: Timestamp,
    /// Time since some fixed moment, for waiting; never goes back.
    pub elapsed: Duration,
}

/// Reads the chain again, for what a queue could not hold.
pub trait CatchUp: Send {
    /// Whole commits from `sequence` on, in order, with or without alerts; empty at the end.
    ///
    /// It may return the first few only and is then asked again: about a thousand alerts at a time
    /// keep the memory of a long catch-up bounded.
    fn since(&self, sequence: u64) -> Result<Vec<Committed>, Box<dyn Error + Send + Sync>>;

    /// The last transition that was told of each of these alerts, however far back.
    fn last(&self, ids: &[String]) -> Result<Vec<Arc<Alert>>, Box<dyn Error + Send + Sync>>;
}

/// `text` without what misleads (`schemas::text`), cut to `bytes_max` with an ellipsis (A10).
fn limited(text: &str, bytes_max: usize) -> String {
    const ELLIPSIS: char = '…';
    let clean = text.replace(misleads, " ");
    if clean.len() <= bytes_max {
        return clean;
    }
    let room = bytes_max - ELLIPSIS.len_utf8();
    let end = (0..=room).rev().find(|&end| clean.is_char_boundary(end)).unwrap_or(0);
    format!("{}{ELLIPSIS}", &clean[..end])
}

#[cfg(test)]
pub(crate) mod examples;
#[cfg(test)]
mod hostile;

#[cfg(test)]
mod tests {
    use super::limited;

    #[test]
    fn text_is_cut_between_characters_and_holds_nothing_that_misleads() {
        assert_eq!(limited("a\u{202e}b\u{2028}c", 10), "a b c");
        assert_eq!(limited("a\nb\u{7f}c", 10), "a b c");
        assert_eq!(limited("ääää", 8), "ääää");
        assert_eq!(limited("äääää", 8), "ää…");
        assert_eq!(limited("äääää", 9), "äää…");
    }
}
