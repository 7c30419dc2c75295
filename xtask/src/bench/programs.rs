//! What is measured, built with optimisation: from this tree, or from another one.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Failure, repository};

/// The programs of one tree.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    pub ringwatch: PathBuf,
    pub canonical: PathBuf,
    pub xtask: PathBuf,
    pub stages: PathBuf,
}

/// Builds this tree's for release and says where they are.
pub(super) fn build() -> Result<Programs, Failure> {
    let packages = ["--package", "ringwatch", "--package", "benches", "--package", "xtask"];
    let messages = cargo(&repository(), &packages)?;
    let program = |name: &str| executable(&messages, name);
    Ok(Programs {
        ringwatch: program("ringwatch")?,
        canonical: program("canonical")?,
        xtask: program("xtask")?,
        stages: program("stages")?,
    })
}

/// Builds `ringwatch` of another tree.
pub(super) fn build_ringwatch(tree: &Path) -> Result<PathBuf, Failure> {
    executable(&cargo(tree, &["--package", "ringwatch"])?, "ringwatch")
}

/// Builds this tree's tests and says where a program is that comes with them.
pub(super) fn build_for_tests(name: &str) -> Result<PathBuf, Failure> {
    let mut cargo = crate::command("cargo");
    cargo.args(["test", "--workspace", "--no-run", "--test", "instructions"]);
    executable(&messages(&mut cargo, &repository())?, name)
}

/// Builds packages of a tree; what cargo says of it, line by line in JSON.
fn cargo(tree: &Path, packages: &[&str]) -> Result<String, Failure> {
    let mut cargo = crate::command("cargo");
    cargo.args(["build", "--release", "--bins"]).args(packages);
    messages(&mut cargo, tree)
}

/// Lets cargo build something in a tree; what it says, line by line in JSON.
fn messages(cargo: &mut Command, tree: &Path) -> Result<String, Failure> {
    let output = cargo
        .arg("--message-format=json-render-diagnostics")
        .current_dir(tree)
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(Failure::io("start cargo"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Failure::Unmet(format!("the build of {} failed", tree.display())))
}

/// The path of a program in cargo's messages.
fn executable(messages: &str, name: &str) -> Result<PathBuf, Failure> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == name)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .ok_or_else(|| Failure::Unmet(format!("cargo built no program `{name}`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_found_in_what_cargo_says() {
        let messages = "noise\n\
            {\"target\":{\"name\":\"ringwatch\"},\"executable\":null}\n\
            {\"target\":{\"name\":\"ringwatch\"},\"executable\":\"/t/release/ringwatch\"}\n";
        let found = executable(messages, "ringwatch").unwrap();
        assert_eq!(found, Path::new("/t/release/ringwatch"));
        assert!(executable(messages, "canonical").is_err());
    }
}
