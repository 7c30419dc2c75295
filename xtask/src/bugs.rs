//! The test of the simulator: eight bugs, each put into a copy of the code, must each be found.
//!
//! ```text
//! repository ─► copy below target/ ─► each bug behind a condition ─► one build ─► one run per bug
//! ```
//! The code itself knows nothing of this. A bug whose place has moved fails here by name.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::{Failure, repository};

/// Seeds within which a bug must be found.
const SEEDS: &str = "500";

/// One bug: in `file`, `before` becomes `after`, in which `BUG` stands for the condition.
struct Bug {
    name: &'static str,
    file: &'static str,
    before: &'static str,
    after: &'static str,
}

const BUGS: [Bug; 8] = [
    Bug {
        name: "skip the put-if-absent",
        file: "store/src/blobs.rs",
        before: "    if blobs.put_if_absent(key, bytes)? == Put::Written {",
        after: "    if BUG { blobs.replace(key, bytes)?; return Ok(Claim::Mine); }\n    \
                if blobs.put_if_absent(key, bytes)? == Put::Written {",
    },
    Bug {
        name: "publish before the chain",
        file: "src/publisher/leader.rs",
        before: "        self.append(&commit)?;",
        after: "        if BUG { self.publish(&commit.files)?; }\n        self.append(&commit)?;",
    },
    Bug {
        name: "forget one delta on recovery",
        file: "src/publisher/recovery.rs",
        before: "            *number += 1;\n            self.take_in(&entry);",
        after: "            *number += 1;\n            if BUG { let header = entry.header.clone(); \
                self.take_in(&schemas::Entry { header, delta: schemas::Delta::default() }); \
                continue; }\n            self.take_in(&entry);",
    },
    Bug {
        name: "commit the wrong end",
        file: "src/worker.rs",
        before: "            end: self.position.max(self.open.start),",
        after: "            end: (self.position - i64::from(BUG)).max(self.open.start),",
    },
    Bug {
        name: "adopt a snapshot that no later entry names",
        file: "src/worker/recovery.rs",
        before: "        let named = journal.snapshot().filter(|_| fold.needs_records()).cloned();",
        after: "        if BUG {\n            \
                let folder = format!(\"system/snapshots/{stream}\");\n            \
                if let Some(path) = store.list(&folder)?.pop() {\n                \
                let bytes = store.get(&path)?.unwrap_or_default();\n                \
                let fold = Fold::with_state(Partition::load(config, &bytes).map_err(|error| \
                StoreError::Damaged { key: path, what: error.to_string() })?);\n                \
                let (first, snapshot) = (0, None);\n                \
                return Ok(Recovered { journal, fold, first, position, snapshot, \
                grown, known });\n            \
                }\n        }\n        \
                let named = journal.snapshot().filter(|_| fold.needs_records()).cloned();",
    },
    Bug {
        name: "do not replay an idle tick",
        file: "src/worker.rs",
        before: "            for input in self.journal.headers()[index].inputs.clone() {",
        after: "            \
                for input in self.journal.headers()[index].inputs.clone() {\n                \
                if BUG && matches!(input, Input::Idle(_)) { continue; }",
    },
    Bug {
        name: "take the own AlreadyExists for a foreign one",
        file: "store/src/blobs.rs",
        before: "        Some(standing) if standing == bytes => Ok(Claim::Mine),",
        after: "        Some(standing) if standing == bytes && !BUG => Ok(Claim::Mine),",
    },
    Bug {
        name: "collect one entry too early",
        file: "store/src/collect.rs",
        before: "    Ok(before.map_or(0, |named| named.after + 1))",
        after: "    if BUG { return Ok(newest.after + 2); }\n    \
                Ok(before.map_or(0, |named| named.after + 1))",
    },
];

/// Builds the copy once and runs the simulator without a bug and with each.
pub fn run() -> Result<(), Failure> {
    let copy = repository().join("target/bugs");
    copy_repository(&copy)?;
    for (number, bug) in BUGS.iter().enumerate() {
        put_in(&copy, number, bug)?;
    }
    let program = build(&copy)?;
    let mut missed = Vec::new();
    for (number, name) in [(None, "no bug")]
        .into_iter()
        .chain(BUGS.iter().enumerate().map(|(n, bug)| (Some(n), bug.name)))
    {
        let mut simulation = Command::new(&program);
        simulation.current_dir(&copy).env("SIMULATION_SEEDS", SEEDS);
        simulation.stdout(Stdio::null()).stderr(Stdio::null());
        if let Some(number) = number {
            simulation.env("RINGWATCH_BUG", number.to_string());
        }
        let passed = simulation.status().map_err(Failure::io("run the simulator"))?.success();
        let is_right = passed == number.is_none();
        say(&format!(
            "{name}: {}",
            match (number, passed) {
                (None, true) => "clean, as it should be",
                (None, false) => "FAILED without a bug",
                (Some(_), false) => "found",
                (Some(_), true) => "NOT found",
            }
        ));
        if !is_right {
            missed.push(name);
        }
    }
    if missed.is_empty() {
        return Ok(());
    }
    Err(Failure::Unmet(format!("the simulator failed its test: {}", missed.join(", "))))
}

/// Copies what the build needs; a copy that is there is brought up to date.
fn copy_repository(to: &Path) -> Result<(), Failure> {
    let doing = "copy the repository";
    let listed = crate::command("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(repository())
        .output()
        .map_err(Failure::io("list the repository"))?;
    for name in String::from_utf8_lossy(&listed.stdout).split_terminator('\0') {
        let (source, target) = (repository().join(name), to.join(name));
        let Ok(bytes) = fs::read(&source) else { continue };
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder).map_err(Failure::io(doing))?;
        }
        fs::write(&target, bytes).map_err(Failure::io(doing))?;
    }
    Ok(())
}

fn put_in(copy: &Path, number: usize, bug: &Bug) -> Result<(), Failure> {
    let path = copy.join(bug.file);
    let text = fs::read_to_string(&path).map_err(Failure::io("read the copy"))?;
    if text.matches(bug.before).count() != 1 {
        let what = format!("the place of the bug `{}` in {} has moved", bug.name, bug.file);
        return Err(Failure::Unmet(what));
    }
    let condition = format!("(std::env::var(\"RINGWATCH_BUG\").as_deref() == Ok(\"{number}\"))");
    let text = text.replacen(bug.before, &bug.after.replace("BUG", &condition), 1);
    fs::write(&path, text).map_err(Failure::io("write the copy"))
}

/// Builds the simulator of the copy: the path of its program.
///
/// In a target folder of its own, for which the libraries are copied: in ours it would pass for
/// the code without bugs.
fn build(copy: &Path) -> Result<String, Failure> {
    say("building a copy with the bugs");
    let target = copy.join("target");
    if !target.join("debug").exists() {
        let made = repository().join("target/debug");
        fs::create_dir_all(target.join("debug")).map_err(Failure::io("make a target folder"))?;
        for part in ["deps", "build", ".fingerprint"].map(|part| made.join(part)) {
            let copied = Command::new("cp").arg("-a").arg(part).arg(target.join("debug")).status();
            copied.map_err(Failure::io("copy the libraries"))?;
        }
    }
    let built = crate::command("cargo")
        .args(["test", "--workspace", "--test", "simulation", "--no-run"])
        .env("CARGO_TARGET_DIR", target)
        .current_dir(copy)
        .output()
        .map_err(Failure::io("start cargo"))?;
    let said = String::from_utf8_lossy(&built.stderr);
    let program = said.lines().rfind(|line| line.contains("Executable tests/simulation.rs"));
    let program = program.and_then(|line| line.split(['(', ')']).nth(1));
    match program {
        Some(program) if built.status.success() => Ok(program.to_owned()),
        _ => Err(Failure::Unmet(format!("the copy does not build:\n{said}"))),
    }
}

#[expect(clippy::print_stderr, reason = "a task talks to the person who started it")]
fn say(line: &str) {
    eprintln!("{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bug_has_its_place() {
        for bug in &BUGS {
            let text = fs::read_to_string(repository().join(bug.file)).unwrap_or_default();
            assert_eq!(text.matches(bug.before).count(), 1, "{}: {}", bug.file, bug.name);
        }
    }
}
