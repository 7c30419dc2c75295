//! The SQL that joins settled days and table files for `DuckDB`, no row twice.
//!
//! ```text
//! one listing of each folder ─► the files that count ─► a view over these
//! ```
//! What is read is what was listed, so a day that is settled meanwhile counts once; running the
//! script again takes in what has come since.

use std::fmt::Write;

use schemas::Dataset;

use crate::blobs::Blobs;
use crate::error::StoreError;
use crate::key;

/// A script that makes a view of each dataset that has files.
///
/// `data` is the data folder as the reader reaches it: a path or a URL.
pub fn views_sql(blobs: &dyn Blobs, data: &str) -> Result<String, StoreError> {
    let mut script = String::from(HEADER);
    let data = data.trim_end_matches('/').replace('\'', "''");
    for dataset in Dataset::ALL {
        let name = dataset.name();
        let folders = [key::TABLES, key::SETTLED].map(|folder| format!("{folder}/{name}"));
        let mut has_files = false;
        for folder in &folders {
            has_files |= !blobs.list(folder)?.is_empty();
        }
        if has_files {
            let view = VIEW.replace("{name}", name).replace("{data}", &data);
            write!(script, "\n{view}").unwrap_or_default();
        }
    }
    Ok(script)
}

const HEADER: &str = "\
-- Each dataset with its finished days from `settled/` and the rest from `tables/`, no row twice.
-- Run it again to see files written since.
";

/// A settled file repeats the table files of its day with smaller sequences than its own.
const VIEW: &str = "\
SET VARIABLE {name}_files = (
    WITH listed AS (
        SELECT file,
               regexp_extract(file, 'date=([0-9-]+)', 1) AS date,
               regexp_extract(file, '([0-9]{20})-[0-9]+[.]parquet$', 1)::UBIGINT AS sequence,
               is_settled
        FROM (
            SELECT file, true AS is_settled FROM glob('{data}/settled/{name}/*/*.parquet')
            UNION ALL
            SELECT file, false FROM glob('{data}/tables/{name}/*/*.parquet')
        )
    ), marked AS (
        SELECT *, max(sequence) FILTER (is_settled) OVER (PARTITION BY date) AS settled_until
        FROM listed
    )
    SELECT list(file ORDER BY file) FROM marked
    WHERE is_settled OR settled_until IS NULL OR sequence >= settled_until
);
CREATE OR REPLACE VIEW {name} AS
    SELECT * FROM read_parquet(getvariable('{name}_files'), hive_partitioning = true);
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blobs::MemoryStore;

    #[test]
    fn only_datasets_with_files_get_a_view_and_no_path_ends_its_literal() {
        let blobs = MemoryStore::new();
        assert_eq!(views_sql(&blobs, "a").unwrap(), HEADER);
        let file = key::settled_file(Dataset::Alerts, "2026-07-19", 3, 0);
        blobs.replace(&file, b"x").unwrap();
        let sql = views_sql(&blobs, "it's/").unwrap();
        assert!(sql.contains("glob('it''s/tables/alerts/*/*.parquet')"), "{sql}");
        assert!(!sql.contains("ring_health"), "{sql}");
    }
}
