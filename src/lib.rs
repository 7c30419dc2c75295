//! The shell of ringwatch: command line, configuration, clock, threads, HTTP.
//!
//! Start with [`pipeline`]: the whole flow, top to bottom.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub mod allocator;
pub mod cli;
pub mod clock;
pub mod config;
pub mod datafolder;
pub mod deliveries;
pub mod evaluation;
#[cfg(test)]
#[path = "../alerts/src/delivery/examples.rs"]
#[expect(dead_code, reason = "other tests use more of it")]
mod examples;
pub mod failure;
pub mod history;
pub mod http;
pub mod lanes;
pub mod log;
pub mod metrics;
pub mod nonce;
pub mod orders;
pub mod output;
pub mod patience;
pub mod pipeline;
pub mod produce;
pub mod progress;
pub mod publisher;
pub mod reader;
pub mod rejected;
pub mod scenarios;
pub mod shutdown;
pub mod snapshots;
pub mod summary;
pub mod traces;
pub mod verbs;
pub mod view;
pub mod worker;
