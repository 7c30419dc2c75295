//! Half an hour of the fuzzer: records of any bytes through both ways to decode.
//!
//! ```text
//! ingest/fuzz/corpus ─► cargo fuzz (built with its own flags) ─► target/fuzz-corpus: what it found
//! ```

use std::fs;
use std::process::Command;

use crate::{Failure, repository};

const TARGET: &str = "paths";
const SECONDS: &str = "-max_total_time=1800";
/// Long enough for a dozen records.
const INPUT_BYTES_MAX: &str = "-max_len=4096";

/// Fails where the two ways differ; the input stands in `ingest/fuzz/artifacts` then.
pub(crate) fn run() -> Result<(), Failure> {
    install()?;
    let found = repository().join("target/fuzz-corpus");
    fs::create_dir_all(&found).map_err(Failure::io("create a folder for what is found"))?;
    let mut cargo = crate::command("cargo");
    cargo.args(["fuzz", "run", "--fuzz-dir", "ingest/fuzz", TARGET]).arg(&found);
    cargo.arg(format!("ingest/fuzz/corpus/{TARGET}"));
    cargo.args(["--", SECONDS, INPUT_BYTES_MAX, "-dict=ingest/fuzz/records.dict"]);
    // The sanitizer of addresses is a flag that a stable compiler has, but hides.
    succeed(cargo.env("RUSTC_BOOTSTRAP", "1"), "the fuzzer found a difference")
}

/// Installs cargo-fuzz where it is missing.
fn install() -> Result<(), Failure> {
    let asked = crate::command("cargo").args(["fuzz", "--version"]).output();
    if asked.map_err(Failure::io("start cargo"))?.status.success() {
        return Ok(());
    }
    say("cargo-fuzz is not here: installing it");
    let mut cargo = crate::command("cargo");
    succeed(cargo.args(["install", "cargo-fuzz", "--locked"]), "cargo-fuzz cannot be installed")
}

fn succeed(command: &mut Command, otherwise: &str) -> Result<(), Failure> {
    let status = command.current_dir(repository()).status().map_err(Failure::io("start cargo"))?;
    if status.success() { Ok(()) } else { Err(Failure::Unmet(otherwise.to_owned())) }
}

#[expect(clippy::print_stderr, reason = "a task talks to the person who started it")]
fn say(line: &str) {
    eprintln!("{line}");
}
