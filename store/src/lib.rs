//! What is kept: two logs and the tables, as objects in one folder, and the proof that they agree.
//!
//! ```text
//! Delta ─► Journal (log 1)   system/journal/<kind>/<partition>/<number>     put-if-absent
//! Commit ─► Chain  (log 2)   system/chain/<sequence>                        put-if-absent
//! RecordBatch ─► Tables      system/staging/… ─(after the commit)─► tables/<dataset>/date=…/…
//! finished day ─► settle ─(after the commit)─► settled/<dataset>/date=…/…    its rows once more
//! state ─► states            system/{snapshots, checkpoints}/…               named by a log
//!                            system/{identity.json, growth/…, config/0}     world
//! Command ─► commands       system/commands/<number>                       put-if-absent
//!                            system/{cursors, served}/…                     deliveries
//! Chain ─► delta_lake        delta/<dataset>/_delta_log/…                   feature `delta`
//! ```
//! What nothing needs any more goes by [`retention`] and [`collect`]; [`verify()`] proves the rest;
//! [`rebuild`] sets everything aside for a new beginning.
//! All of it goes through [`Blobs`], shaped like an object store; [`LocalStore`] is a folder,
//! [`RemoteStore`] S3 or Azure Blob, [`MemoryStore`] is for simulation. No call returns before
//! what it wrote would survive a power cut. This crate draws no random number, and measures time
//! only to give up on a request.

pub mod blobs;
pub mod chain;
pub mod collect;
pub mod commands;
pub mod cursor;
#[cfg(feature = "delta")]
pub mod delta_lake;
pub mod error;
mod hash;
pub mod journal;
pub mod key;
pub mod metrics;
pub mod rebuild;
pub mod retention;
pub mod rows;
pub mod served;
pub mod settle;
pub mod states;
pub mod tables;
pub mod verify;
pub mod views;
pub mod world;

#[cfg(test)]
mod testing;

pub use blobs::{
    Blobs, LocalStore, MemoryStore, Put, REMOTE_SCHEMES, RemoteStore, check_remote_url, is_remote,
};
pub use chain::{Chain, Grown};
pub use error::StoreError;
pub use journal::{EntryParts, Journal, Prepared, SnapshotChoice, delta_checksum};
pub use rows::{Row, read_rows};
pub use tables::{SourceRange, Tables};
pub use verify::{Extent, VerifyReport, verify, verify_with};
pub use world::{Growth, TopicNames, World, WorldInput, claim_config, look, standing_config};
