//! The fold and the merge: records to delta rows, delta rows to window totals and table rows.
//!
//! ```text
//! Event ─► Partition::apply ─► Delta ─► (journal) ─► Merge::add ─► WindowTotals, TableRows
//!          device table, windows                      all partitions
//! changes, support ─► RecordLog ─► Delta
//! ```
//! Pure: time arrives in events and inputs; the same records with the same inputs give the same
//! sums, wherever the deltas are taken in between.

mod absence;
mod accumulate;
pub mod batches;
mod cohorts;
mod config;
mod device;
mod devices;
mod exposure;
mod facts;
mod fold;
mod gaps;
mod hash;
mod hll;
mod index;
mod intern;
mod lag;
mod levels;
mod measures;
mod memory;
pub mod merge;
pub mod metrics;
mod onset;
mod order;
mod partition;
mod progress;
mod pseudonym;
mod recent;
mod record_log;
mod returns;
mod sequence;
mod sets;
mod state;
mod timers;
mod update;

pub use config::{FoldConfig, FoldLimits};
pub use device::Identity;
pub use metrics::Refused;
pub use partition::{Applied, Arrived, LOOK_AHEAD_MAX, Partition};
pub use record_log::RecordLog;
pub use state::StateError;
