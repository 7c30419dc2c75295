//! The hot path takes no more instructions for a record than `benches/stages.txt` says.

use std::path::Path;

use xtask::bench::stages::{Build, check};

#[test]
fn no_stage_takes_more_instructions_than_are_recorded() {
    let outcome = check(Path::new(env!("CARGO_BIN_EXE_stages")), Build::Test);
    assert!(outcome.is_ok(), "{}", outcome.unwrap_err());
}
