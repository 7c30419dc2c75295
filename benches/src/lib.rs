//! The canonical workload and what is measured on it (docs/benchmarks.md).
//!
//! [`canonical`] makes the messages and knows the sums that must come out; the criterion
//! benchmarks in `benches/` measure the parts, `cargo xtask bench` the whole.

pub mod allocator;
pub mod canonical;
pub mod feed;
pub mod folder;
pub mod hostile;
pub mod settings;
pub mod typed;
