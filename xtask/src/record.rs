//! Figures into docs/benchmarks.md: one dated row at the end of a section's table.

use std::fs;
use std::process::Command;

use crate::{Failure, repository};

const RECORD_FILE: &str = "docs/benchmarks.md";

/// Adds a row with date, processor and commit before the cells to the table under a heading.
pub fn row(heading: &str, cells: &[String]) -> Result<(), Failure> {
    let date = first_line(Command::new("date").args(["--utc", "+%F"]));
    let commit = first_line(Command::new("git").args(["rev-parse", "--short", "HEAD"]));
    let row = format!("| {date} | {} | {commit} | {} |", processor(), cells.join(" | "));
    let path = repository().join(RECORD_FILE);
    let doing = || Failure::io(format!("add a row to {RECORD_FILE}"));
    let text = fs::read_to_string(&path).map_err(doing())?;
    let Some(text) = with_row(&text, heading, &row) else {
        return Err(Failure::Unmet(format!("{RECORD_FILE} has no table under `{heading}`")));
    };
    fs::write(&path, text).map_err(doing())
}

/// The text with a row after the last one of the first table below `heading`.
fn with_row(text: &str, heading: &str, row: &str) -> Option<String> {
    let mut lines: Vec<&str> = text.lines().collect();
    let section = lines.iter().position(|line| *line == heading)?;
    let is_row = |line: &&str| line.starts_with('|');
    let table = section + lines[section..].iter().position(is_row)?;
    let length = lines[table..].iter().take_while(|line| is_row(line)).count();
    lines.insert(table + length, row);
    Some(format!("{}\n", lines.join("\n")))
}

fn first_line(command: &mut Command) -> String {
    let output = command.current_dir(repository()).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    text.unwrap_or_default().lines().next().unwrap_or("?").to_owned()
}

/// The processor's name and how many cores there are.
fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("? ?");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{} x {cores}", name.trim_start_matches([' ', '\t', ':']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_ends_the_table_of_its_section() {
        let text = "# A\n\n| a |\n| - |\n\n# B\n\ntext\n\n| b |\n| - |\n| 1 |\n";
        let expected = "# A\n\n| a |\n| - |\n| 0 |\n\n# B\n\ntext\n\n| b |\n| - |\n| 1 |\n";
        assert_eq!(with_row(text, "# A", "| 0 |").as_deref(), Some(expected));
        assert!(
            with_row(text, "# B", "| 2 |").is_some_and(|text| text.ends_with("| 1 |\n| 2 |\n"))
        );
        assert_eq!(with_row(text, "# C", "| 0 |"), None);
    }
}
