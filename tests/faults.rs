//! Faults on the real thing: a real broker, real processes, real kills.
//!
//! Each story ends with the same oracle: the sums of all tables equal those of an independent
//! model, and `verify` agrees. Short forms; `cargo xtask soak kill` and its like run the long
//! ones, with every random choice from one printed seed. Needs root (small disks) and strace.

#![expect(clippy::expect_used, reason = "a test that cannot set up its world must fail")]

use xtask::fixture::Program;

#[path = "faults/broker.rs"]
mod broker;
#[path = "faults/disk.rs"]
mod disk;
#[path = "faults/effort.rs"]
mod effort;
#[path = "faults/kill.rs"]
mod kill;
#[path = "faults/load.rs"]
mod load;
#[path = "faults/outage.rs"]
mod outage;
#[path = "faults/recovery.rs"]
mod recovery;
#[path = "faults/steps.rs"]
mod steps;
#[path = "faults/truth.rs"]
mod truth;
#[path = "faults/worlds.rs"]
mod worlds;
#[path = "faults/zombie.rs"]
mod zombie;

fn ringwatch() -> Program {
    Program::new(env!("CARGO_BIN_EXE_ringwatch"))
}
