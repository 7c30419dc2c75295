//! The list of files in ARCHITECTURE.md: each with the first sentence of its own header.

use std::fs;
use std::process::Command;

use crate::{Failure, repository};

pub(super) const PATH: &str = "ARCHITECTURE.md";
const OPENING: &str = "<!-- files: written by cargo xtask docs -->\n";
const CLOSING: &str = "<!-- end of files -->";

/// Crates in the order of the data, as house and readers go through them.
const CRATES: [&str; 9] =
    ["schemas", "ingest", "aggregate", "alerts", "store", "sim", "benches", "src", "xtask"];

/// ARCHITECTURE.md with its list of files as the tree is now.
pub(super) fn document() -> Result<String, Failure> {
    let text =
        fs::read_to_string(repository().join(PATH)).map_err(Failure::io(format!("read {PATH}")))?;
    let parts = text
        .split_once(OPENING)
        .and_then(|(before, rest)| rest.split_once(CLOSING).map(|(_, after)| (before, after)));
    let Some((before, after)) = parts else {
        return Err(Failure::Unmet(format!("{PATH} lacks the line {OPENING}or {CLOSING}")));
    };
    Ok(format!("{before}{OPENING}{}{CLOSING}{after}", map()?))
}

fn map() -> Result<String, Failure> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "*.rs"])
        .current_dir(repository())
        .output()
        .map_err(Failure::io("start git"))?;
    let listed = String::from_utf8_lossy(&output.stdout);
    let mut paths: Vec<&str> = listed.lines().filter(|path| path.contains("src/")).collect();
    paths.sort_by_key(|path| (place(path), path.trim_end_matches(".rs").to_owned()));
    let mut text = String::new();
    let mut last = "";
    for path in paths {
        // A file that was deleted and not yet committed is still listed.
        let Ok(source) = fs::read_to_string(repository().join(path)) else { continue };
        let folder = path.split('/').next().unwrap_or_default();
        if folder != last {
            text.extend(["\n**", folder, "**\n\n"]);
            last = folder;
        }
        text.extend(["- `", path, "`: ", &first_sentence(&source), "\n"]);
    }
    Ok(text + "\n")
}

fn place(path: &str) -> usize {
    let folder = path.split('/').next().unwrap_or_default();
    CRATES.iter().position(|name| *name == folder).unwrap_or(CRATES.len())
}

/// Of the header: up to its first full stop or empty line, without one.
fn first_sentence(source: &str) -> String {
    let header = source.lines().map_while(|line| line.strip_prefix("//! "));
    let text = header.take_while(|line| !line.starts_with("```")).collect::<Vec<_>>().join(" ");
    let end = text.find(". ").unwrap_or(text.len());
    let sentence = text[..end].trim_end_matches(['.', ':']).replace("[`", "`");
    sentence.replace("`]", "`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(source: &str, expected: &str) {
        assert_eq!(first_sentence(source), expected);
    }

    #[test]
    fn the_first_sentence_of_a_header_describes_its_file() {
        check("//! One thing. And more.\n\nuse std;", "One thing");
        check(
            "//! One thing\n//! on two lines, of [`Type`].\n//!\n//! More.",
            "One thing on two lines, of `Type`",
        );
        check("//! A drawing:\n//! ```text\n//! a. b\n//! ```\n", "A drawing");
        check("fn main() {}", "");
    }
}
