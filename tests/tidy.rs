//! Checks the tree itself: sizes, headers, layering, purity and the code map.
//!
//! Each check reports every violation as `path:line: what is wrong`, so one run shows all there
//! is to fix.

#![expect(
    clippy::expect_used,
    reason = "a test helper that cannot read the tree must fail the test"
)]

use std::{fs, path::Path, process::Command};

const FILE_LINES_MAX: usize = 500;
const LINE_COLUMNS_MAX: usize = 100;
const BLOB_BYTES_MAX: u64 = 256 * 1024;

/// Workspace crates each crate may depend on: the arrows only point down (A1).
const LAYERS: &[(&str, &[&str])] = &[
    ("schemas", &[]),
    ("ingest", &["schemas"]),
    ("aggregate", &["schemas"]),
    ("alerts", &["schemas"]),
    ("store", &["schemas"]),
    ("sim", &["schemas"]),
    ("benches", &["schemas", "ingest", "aggregate", "alerts", "store", "sim"]),
    ("ringwatch", &["schemas", "ingest", "aggregate", "alerts", "store", "sim"]),
    ("xtask", &["schemas", "ingest", "sim"]),
];

/// Crates that do no I/O and read no clock (A2); of `alerts`, all but `delivery`.
const PURE_CRATES: &[&str] = &["schemas", "aggregate", "sim"];

/// What `clippy.toml` of a pure crate must ban, and what pure files must not name.
const IMPURE: &[&str] = &[
    "std::time::SystemTime::now",
    "std::time::Instant::now",
    "std::thread::spawn",
    "std::fs::File",
    "std::net::TcpStream",
];

/// The only file of the product that asks what time it is.
const CLOCK_FILE: &str = "src/clock.rs";

/// A tracked file, read once.
struct SourceFile {
    path: String,
    text: String,
}

impl SourceFile {
    /// The file before its unit tests, which may be as long as they like.
    fn product(&self) -> impl Iterator<Item = (usize, &str)> {
        let tests = |line: &&str| !line.starts_with("#[cfg(test)]");
        self.text.lines().take_while(tests).enumerate().map(|(index, line)| (index + 1, line))
    }

    /// Not a test, a benchmark or an example.
    fn is_product(&self) -> bool {
        let outside = ["tests/", "benches/", "xtask/"];
        !outside.iter().any(|folder| self.path.starts_with(folder))
            && !self.path.contains("/tests/")
            && !self.path.ends_with("/tests.rs")
    }
}

fn tracked_paths() -> Vec<String> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("git must list the tree");
    let paths = String::from_utf8(output.stdout).expect("paths are UTF-8");
    // A file that was deleted and not yet committed is still listed.
    paths.lines().filter(|path| Path::new(path).is_file()).map(str::to_owned).collect()
}

fn rust_files() -> Vec<SourceFile> {
    let files: Vec<SourceFile> = tracked_paths()
        .into_iter()
        .filter(|path| is_rust(path))
        .map(|path| SourceFile { text: fs::read_to_string(&path).expect("tracked"), path })
        .collect();
    assert!(files.len() > 50, "the tree was not found");
    files
}

fn is_rust(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|extension| extension == "rs")
}

#[track_caller]
fn assert_tidy(violations: &[String]) {
    assert!(violations.is_empty(), "untidy:\n{}", violations.join("\n"));
}

#[test]
fn files_open_with_a_header_and_stay_short() {
    let mut violations = Vec::new();
    for file in rust_files() {
        if !file.text.starts_with("//! ") {
            violations.push(format!("{}:1: missing `//!` header", file.path));
        }
        if file.product().count() > FILE_LINES_MAX {
            violations.push(format!("{}: over {FILE_LINES_MAX} lines", file.path));
        }
        for (index, line) in file.text.lines().enumerate() {
            if line.chars().count() > LINE_COLUMNS_MAX && !line.contains("https://") {
                let path = &file.path;
                violations.push(format!("{path}:{}: over {LINE_COLUMNS_MAX} columns", index + 1));
            }
        }
    }
    assert_tidy(&violations);
}

#[test]
fn leftovers_are_not_committed() {
    let banned = [
        concat!("FIX", "ME"),
        concat!("TO", "DO"),
        concat!("dbg", "!("),
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("XX", "X"),
        concat!("#[", "ignore"),
        concat!("allow(", "dead_code"),
    ];
    let mut violations = Vec::new();
    for file in rust_files() {
        for (index, line) in file.text.lines().enumerate() {
            for word in banned.iter().filter(|word| line.contains(**word)) {
                violations.push(format!("{}:{}: leftover `{word}`", file.path, index + 1));
            }
        }
    }
    assert_tidy(&violations);
}

#[test]
fn modules_are_files_beside_their_folder() {
    let named_mod = |path: &String| path.ends_with("/mod.rs");
    let violations: Vec<String> = tracked_paths().into_iter().filter(named_mod).collect();
    assert_tidy(&violations);
}

/// Names under `[dependencies]` of a manifest; tests may reach further.
fn dependencies(manifest: &str) -> Vec<&str> {
    let section = manifest.split("\n[dependencies]\n").nth(1).unwrap_or_default();
    let lines = section.lines().take_while(|line| !line.starts_with('['));
    lines.filter_map(|line| line.split(['.', ' ', '=']).next()).collect()
}

#[test]
fn crates_depend_only_downwards() {
    let mut violations = Vec::new();
    for (name, allowed) in LAYERS {
        let path = match *name {
            "ringwatch" => "Cargo.toml".to_owned(),
            name => format!("{name}/Cargo.toml"),
        };
        let manifest = fs::read_to_string(&path).expect("a manifest");
        let found = dependencies(&manifest);
        assert!(!found.is_empty(), "{path}: no dependencies were read");
        for (other, _) in LAYERS {
            if found.contains(other) && !allowed.contains(other) {
                violations.push(format!("{path}: `{name}` must not depend on `{other}`"));
            }
        }
    }
    assert_tidy(&violations);
}

#[test]
fn every_member_of_the_workspace_has_its_layer() {
    let manifest = fs::read_to_string("Cargo.toml").expect("a manifest");
    let members = manifest.lines().find_map(|line| line.strip_prefix("members = "));
    let members = members.expect("a line of members").trim_matches(['[', ']']);
    let layered = |member: &&str| LAYERS.iter().any(|(name, _)| name == member);
    let missing: Vec<String> = members
        .split(", ")
        .map(|member| member.trim_matches('"'))
        .filter(|member| !layered(member))
        .map(|member| format!("LAYERS lacks `{member}`"))
        .collect();
    assert_tidy(&missing);
}

#[test]
fn pure_crates_ban_clock_threads_files_and_sockets() {
    let mut violations = Vec::new();
    for name in PURE_CRATES {
        let path = format!("{name}/clippy.toml");
        let text = fs::read_to_string(&path).unwrap_or_default();
        for banned in IMPURE {
            if !text.contains(&format!("path = \"{banned}\"")) {
                violations.push(format!("{path}: does not ban `{banned}`"));
            }
        }
    }
    assert_tidy(&violations);
}

#[test]
fn detection_does_no_io_and_reads_no_clock() {
    let impure = ["std::fs", "std::net", "std::thread", "SystemTime", "Instant", "ureq"];
    let mut violations = Vec::new();
    for file in rust_files() {
        if !file.path.starts_with("alerts/src/") || file.path.contains("/delivery") {
            continue;
        }
        for (number, line) in file.product() {
            for word in impure.iter().filter(|word| line.contains(**word)) {
                violations.push(format!("{}:{number}: names `{word}`", file.path));
            }
        }
    }
    assert_tidy(&violations);
}

#[test]
fn only_the_clock_asks_for_the_time() {
    let mut violations = Vec::new();
    for file in rust_files().into_iter().filter(SourceFile::is_product) {
        for (number, line) in file.product() {
            if line.contains("SystemTime::now") && file.path != CLOCK_FILE {
                violations.push(format!("{}:{number}: take the time as an argument", file.path));
            }
        }
    }
    assert_tidy(&violations);
}

#[test]
fn the_code_map_names_every_file_and_only_real_ones() {
    let map = fs::read_to_string("ARCHITECTURE.md").expect("ARCHITECTURE.md");
    let paths = tracked_paths();
    let mut violations = Vec::new();
    for path in paths.iter().filter(|path| is_rust(path) && path.contains("src/")) {
        if !map.contains(&format!("`{path}`")) {
            violations.push(format!("ARCHITECTURE.md: code map lacks `{path}`"));
        }
    }
    for named in map.split('`').skip(1).step_by(2).filter(|name| is_rust(name)) {
        if !paths.iter().any(|path| path == named) {
            violations.push(format!("ARCHITECTURE.md: `{named}` does not exist"));
        }
    }
    assert_tidy(&violations);
}

#[test]
fn every_invariant_names_a_test_that_exists() {
    let text = fs::read_to_string("ARCHITECTURE.md").expect("ARCHITECTURE.md");
    let sources: String = rust_files().into_iter().map(|file| file.text).collect();
    let mut violations = Vec::new();
    for number in 1..=10 {
        let start = format!("| A{number} | ");
        let Some(row) = text.lines().find(|line| line.starts_with(&start)) else {
            violations.push(format!("ARCHITECTURE.md: no row A{number}"));
            continue;
        };
        let tests: Vec<&str> = row.split('`').skip(1).step_by(2).collect();
        if tests.is_empty() {
            violations.push(format!("ARCHITECTURE.md: A{number} names no test"));
        }
        for test in tests {
            if !sources.contains(&format!("fn {test}(")) {
                violations.push(format!("ARCHITECTURE.md: A{number}: no test `{test}`"));
            }
        }
    }
    assert_tidy(&violations);
}

#[test]
fn no_large_blobs() {
    let violations: Vec<String> = tracked_paths()
        .into_iter()
        .filter(|path| fs::metadata(path).is_ok_and(|meta| meta.len() > BLOB_BYTES_MAX))
        .map(|path| format!("{path}: over {BLOB_BYTES_MAX} bytes"))
        .collect();
    assert_tidy(&violations);
}
