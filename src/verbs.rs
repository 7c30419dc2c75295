//! One file per verb of the command line.

pub mod alerts;
pub mod check;
pub mod completions;
pub mod deliveries;
pub mod demo;
pub mod evaluate;
pub mod explain;
pub mod operate;
pub mod plan;
pub mod rebuild;
pub mod replay;
pub mod run;
pub mod schema;
pub mod simulate;
pub mod top;
pub mod verify;
