//! Every check of the repository in order, the cheap ones first; stops at the first that fails.
//!
//! Prints each step with its time and at the end one line: `N passed, N failed`. A step of tests
//! counts its tests, another one counts as one.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::Instant;

use crate::{Failure, repository};

/// What a step is called, and the command.
type Step = (&'static str, &'static [&'static str]);

const STEPS: &[Step] = &[
    ("format", &["cargo", "fmt", "--all", "--check"]),
    ("documents are fresh", &["cargo", "xtask", "docs", "--check"]),
    (
        "lints",
        &[
            "cargo",
            "clippy",
            "--workspace",
            "--all-targets",
            "--all-features",
            "--",
            "-D",
            "warnings",
        ],
    ),
    ("tests", &["cargo", "test", "--workspace", "--no-fail-fast"]),
    (
        "optional features",
        &[
            "cargo",
            "test",
            "--workspace",
            "--features",
            "otlp,delta",
            "--test",
            "traces",
            "--test",
            "delta",
        ],
    ),
    ("benchmarks, once", &["cargo", "test", "--workspace", "--bench", "parts"]),
];

/// Passed and failed checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u32,
    failed: u32,
}

/// Runs the steps.
pub fn run() -> Result<(), Failure> {
    let mut total = Tally::default();
    let mut broken = None;
    let started = Instant::now();
    for (name, command) in STEPS {
        say(&format!("=== {name}: {}", command.join(" ")));
        let step_started = Instant::now();
        let tally = run_step(command)?;
        total.passed += tally.passed;
        total.failed += tally.failed;
        say(&format!("=== {name}: {:.0} s", step_started.elapsed().as_secs_f64()));
        if tally.failed > 0 {
            broken = Some(name);
            break;
        }
    }
    say(&format!("=== {:.0} s in all", started.elapsed().as_secs_f64()));
    say(&format!("{} passed, {} failed", total.passed, total.failed));
    match broken {
        Some(name) => Err(Failure::Unmet(format!("the step `{name}` failed"))),
        None => Ok(()),
    }
}

/// Runs one step, its output passed on line by line.
fn run_step(command: &[&str]) -> Result<Tally, Failure> {
    let doing = || format!("run {}", command.join(" "));
    let (program, arguments) = command.split_first().unwrap_or((&"true", &[]));
    let mut child = crate::command(program)
        .args(arguments)
        .current_dir(repository())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(Failure::io(doing()))?;
    let mut tests = Tally::default();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).split(b'\n') {
            let line = line.map_err(Failure::io(doing()))?;
            let line = String::from_utf8_lossy(&line);
            say(&line);
            if let Some(result) = test_result(&line) {
                tests.passed += result.passed;
                tests.failed += result.failed;
            }
        }
    }
    let status = child.wait().map_err(Failure::io(doing()))?;
    Ok(match (status.success(), tests) {
        (true, Tally { passed: 0, .. }) => Tally { passed: 1, failed: 0 },
        (true, tests) => tests,
        // A step that ends badly has failed, even where no test says so: it may not compile.
        (false, tests) => Tally { failed: tests.failed.max(1), ..tests },
    })
}

/// The numbers in `test result: ok. 12 passed; 0 failed; …`.
fn test_result(line: &str) -> Option<Tally> {
    let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    let number = |word: &str| {
        counts.split("; ").find_map(|part| part.strip_suffix(word)?.trim().parse().ok())
    };
    Some(Tally { passed: number("passed")?, failed: number("failed")? })
}

#[expect(clippy::print_stdout, reason = "a task talks to the person who started it")]
fn say(line: &str) {
    println!("{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_line_of_a_test_run_is_read() {
        let line = "test result: FAILED. 12 passed; 3 failed; 0 ignored; 0 measured; 0 filtered \
                    out; finished in 0.02s";
        assert_eq!(test_result(line), Some(Tally { passed: 12, failed: 3 }));
        assert_eq!(test_result("test tests::it ... ok"), None);
    }

    #[test]
    fn a_step_that_fails_without_tests_counts_as_one_failure() {
        assert_eq!(run_step(&["false"]).unwrap(), Tally { passed: 0, failed: 1 });
        assert_eq!(run_step(&["true"]).unwrap(), Tally { passed: 1, failed: 0 });
    }
}
