//! Seeded fleets for the demo, the tests, the benchmarks and `ringwatch simulate`.
//!
//! ```text
//! scenario (TOML) ─► Scenario ─► Simulation ─► SimRecord, SimRecord, ... in order of arrival
//!                                (queue of coming steps, then of records under way)
//! ```
//! The same scenario and seed give the same bytes on every machine. Nothing here reads a clock
//! or writes a file; memory grows with the number of devices, not with the length of the story.

pub mod device;
pub mod expect;
pub mod life;
pub mod line;
mod queue;
pub mod registry;
pub mod rng;
pub mod scenario;
mod simulation;

pub use line::{Line, write_ndjson};
pub use rng::Rng;
pub use scenario::{Scenario, ScenarioError};
pub use simulation::{SimRecord, Simulation, small_topics};

/// The partition of a device: a fixed function of its id, the same in every run and release.
///
/// FNV-1a, 64 bits, then one multiplication so that ids which differ in the last digit spread.
pub fn partition_of(device: &str, partitions: i32) -> i32 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in device.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    (rng::mix(hash) % partitions.max(1) as u64) as i32
}
