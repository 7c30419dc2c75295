//! The data dictionary: what each column of each dataset means, as Markdown for people.
//!
//! Written to `docs/data-dictionary.md` by `cargo xtask docs`; a test fails when it is stale.

use crate::SCHEMA_VERSION;
use crate::tables::{Column, Dataset};

const OPENING: &str = "\
# Data dictionary

Generated from the crate `schemas` by `cargo xtask docs`; do not edit.

Every dataset lies in `<data>/tables/<dataset>/date=YYYY-MM-DD/*.parquet`, `date` being the day of
the row's window (UTC). Files are only ever added. Meaning and unit stand in each file's field
metadata, too.

Adds: `sum` = `SUM` over any rows is right, revisions included. `level` = a level at the window's
start: sums over rings and partitions; over time it adds up to device-windows. `no` = part of the
row's key, or a property. NULL means that there is no value, never zero.
";

/// The whole dictionary.
pub fn markdown() -> String {
    let mut text = format!("{OPENING}\nSchema version {SCHEMA_VERSION}.\n");
    for dataset in Dataset::ALL {
        text.push_str(&section(*dataset));
    }
    text
}

fn section(dataset: Dataset) -> String {
    let mut text = format!("\n## {}\n\nOne row is {}.\n\n", dataset.name(), cell(dataset.row()));
    text.push_str("| column | type | NULL | adds | unit | meaning |\n");
    text.push_str("| --- | --- | --- | --- | --- | --- |\n");
    for column in dataset.columns() {
        text.push_str(&line(column));
    }
    text
}

fn line(column: &Column) -> String {
    let null = if column.nullable { "yes" } else { "" };
    let (kind, adds) = (column.kind.sql(), column.adds.name());
    let (unit, meaning) = (column.unit, cell(column.meaning));
    format!("| {} | {kind} | {null} | {adds} | {unit} | {meaning} |\n", column.name)
}

/// Text that ends no cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_of_every_dataset_has_its_line() {
        let text = markdown();
        for dataset in Dataset::ALL {
            let section = text.split("\n## ").find(|part| part.starts_with(dataset.name()));
            let section = section.unwrap_or_else(|| panic!("no section {}", dataset.name()));
            for column in dataset.columns() {
                let start = format!("\n| {} | {} |", column.name, column.kind.sql());
                assert!(section.contains(&start), "{}.{}", dataset.name(), column.name);
            }
        }
    }

    #[test]
    fn a_bar_in_a_meaning_ends_no_cell() {
        assert_eq!(cell("a | b"), "a \\| b");
    }
}
