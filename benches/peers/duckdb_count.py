"""DuckDB: counts by window, ring, build and type of a folder of NDJSON into a Parquet file.

duckdb_count.py INPUT OUT, in one thread. Only the four fields that it needs are read, lines that
are no JSON are stepped over, nothing else is checked and no duplicate is dropped.
"""

import sys

import duckdb

QUERY = """
copy (
    select time_bucket(interval '1 minute', time) as window_start, ring, build, type,
        count(*) as count
    from read_json('{folder}/telemetry*.ndjson', format = 'newline_delimited', ignore_errors = true,
        columns = {{time: 'TIMESTAMP', ring: 'VARCHAR', build: 'VARCHAR', type: 'VARCHAR'}})
    where time is not null and ring is not null and build is not null and type is not null
    group by all order by all
) to '{out}' (format parquet, compression zstd)
"""


def main():
    folder, out = sys.argv[1:]
    connection = duckdb.connect(config={"threads": 1})
    connection.execute(QUERY.format(folder=folder, out=out))


if __name__ == "__main__":
    main()
