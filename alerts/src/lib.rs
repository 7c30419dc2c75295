//! From window totals to decisions worth telling someone, and to the people they are for.
//!
//! ```text
//! WindowTotals ─► Engine::evaluate: detector ─► policy ─► lifecycle (AlertBook) ─► Desk ─► Said
//!                                                                                           │
//!                               destinations ◄── delivery: one bounded loop each ◄── chain ◄┘
//! ```
//! Everything but `delivery` is pure: window totals and registry records in, alerts out, event
//! time only, the same bytes for the same calls.

pub mod book;
pub mod config;
pub mod delivery;
pub mod desk;
pub mod detector;
pub mod engine;
pub mod explain;
pub mod lifecycle;
pub mod links;
pub mod metrics;
pub mod plan;
pub mod policy;
pub mod process;

pub use config::{ConfigError, DetectionConfig};
pub use desk::{Desk, Said, no_evidence};
pub use detector::verdict::{Verdict, VerdictRow};
pub use engine::{
    ChangeRow, Clearance, Clearing, DurationRow, Engine, Hits, Mark, Reached, StateError,
};
pub use links::LinkRule;
