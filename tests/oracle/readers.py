"""Reads every dataset of a data folder with DuckDB, PyArrow and Polars: readers.py DATA.

Types must be those of the contract in each reader and the sums of all count columns the same;
prints what is not, and exits 1 then.
"""

import sys
from pathlib import Path

import duckdb
import polars
import pyarrow
import pyarrow.compute
import pyarrow.dataset

TIMES = "window_start window_end hour_start event_time starts_at updated_at ends_at time".split()
NOT_COUNTS = ("revision", "transition", "partition", "offset")
DATASETS = "ring_health ring_signals ring_devices device_updates alerts rejected".split()


def duckdb_sums(glob, counts):
    sums = ", ".join(f"coalesce(sum({name}), 0)::BIGINT" for name in counts)
    return list(duckdb.sql(f"select {sums} from read_parquet('{glob}')").fetchall()[0])


def check(data, dataset):
    """Problems of one dataset."""
    folder = Path(data) / "tables" / dataset
    if not any(folder.glob("*/*.parquet")):
        return [f"{dataset}: no file"]
    glob = str(folder / "*" / "*.parquet")
    problems = []
    types = dict(
        row[:2] for row in duckdb.sql(f"describe select * from read_parquet('{glob}')").fetchall()
    )
    for name in TIMES:
        if name in types and types[name] != "TIMESTAMP WITH TIME ZONE":
            problems.append(f"{dataset}.{name} is {types[name]}, not TIMESTAMP WITH TIME ZONE")
    unsigned = [name for name, kind in types.items() if kind.startswith("U")]
    problems += [f"{dataset}.{name} is unsigned" for name in unsigned]
    arrow = pyarrow.dataset.dataset(folder, partitioning="hive", format="parquet")
    schema = arrow.schema
    for name in TIMES:
        if name in schema.names:
            kind = schema.field(name).type
            if kind != pyarrow.timestamp("us", tz="UTC"):
                problems.append(f"{dataset}.{name} is {kind} in PyArrow")
    counts = [
        name for name in schema.names
        if schema.field(name).type == pyarrow.int64() and name not in NOT_COUNTS
    ]
    not_bigint = [name for name in counts if types.get(name) != "BIGINT"]
    problems += [f"{dataset}.{name} is {types.get(name)}, not BIGINT" for name in not_bigint]
    if not counts:
        return problems
    table = arrow.to_table(columns=counts)
    of_arrow = [pyarrow.compute.sum(table[name]).as_py() or 0 for name in counts]
    frame = polars.scan_parquet(glob, hive_partitioning=True)
    of_polars = list(frame.select(polars.col(counts).sum()).collect().row(0))
    of_duckdb = duckdb_sums(glob, counts)
    for name, one, two, three in zip(counts, of_duckdb, of_arrow, of_polars):
        if not one == two == three:
            problems.append(f"{dataset}.{name}: DuckDB {one}, PyArrow {two}, Polars {three}")
    print(f"{dataset}: {table.num_rows} rows, {len(counts)} count columns agree in three readers")
    return problems


def main():
    problems = [problem for dataset in DATASETS for problem in check(sys.argv[1], dataset)]
    for problem in problems:
        print(problem)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
