"""Six readers of a data folder that is being written: reading.py DATA, until SIGTERM.

Each reads every dataset again and again, whole: every column of every file. None may fail, and the
number of rows may never fall. Prints `ready`, then one JSON object; exits 1 if anything was wrong, or if a reader
saw no growth of ring_health or no row of any dataset.
"""

import json
import logging
import signal
import sys
from pathlib import Path

import datafusion
import duckdb
import pandas
import polars
import pyarrow.dataset
from pyspark.sql import SparkSession


DATASETS = "ring_health ring_signals ring_devices device_updates alerts rejected".split()


def with_duckdb(folder):
    rows = duckdb.sql(f"SELECT * FROM read_parquet('{folder}/*/*.parquet')").to_arrow_table()
    return rows.num_rows


def with_polars(folder):
    return polars.read_parquet(f"{folder}/*/*.parquet", hive_partitioning=True).height


def with_pyarrow(folder):
    return pyarrow.dataset.dataset(folder, partitioning="hive", format="parquet").to_table().num_rows


def with_pandas(folder):
    return len(pandas.read_parquet(folder))


def with_datafusion(folder):
    frame = datafusion.SessionContext().read_parquet(
        str(folder), table_partition_cols=[("date", pyarrow.string())]
    )
    return sum(batch.num_rows for batch in frame.collect())


def spark_reader():
    session = (
        SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")

    def with_spark(folder):
        rows = session.read.parquet(str(folder))
        # What a column is not asked for, it does not read.
        return rows.selectExpr("xxhash64(*) % 7 AS print").selectExpr("count(*)", "sum(print)").first()[0]

    return with_spark


def main():
    tables, asked = Path(sys.argv[1]) / "tables", []
    signal.signal(signal.SIGTERM, lambda *_: asked.append(True))
    logging.getLogger("py4j").setLevel(logging.ERROR)
    readers = [with_duckdb, with_polars, with_pyarrow, with_pandas, with_datafusion, spark_reader()]
    print("ready", flush=True)
    first, newest, problems, rounds = {}, {}, [], 0
    last_round = False
    while not last_round and not problems:
        # Once more after the end, so that nothing is left unread.
        last_round = bool(asked)
        for folder in sorted(tables.iterdir() if tables.exists() else []):
            if not any(folder.glob("*/*.parquet")):
                continue
            for reader in readers:
                key = f"{folder.name} {reader.__name__}"
                try:
                    rows = reader(folder)
                except Exception as error:
                    problems.append(f"{key}: {error}")
                    continue
                if rows < newest.get(key, 0):
                    problems.append(f"{key}: {newest[key]} rows became {rows}")
                first.setdefault(key, rows)
                newest[key] = rows
            rounds += 1
    grown = sorted({key for key in newest if newest[key] > first[key]})
    for reader in readers:
        problems += [
            f"{reader.__name__} never saw {dataset}" for dataset in DATASETS
            if f"{dataset} {reader.__name__}" not in newest
        ]
        if f"ring_health {reader.__name__}" not in grown:
            problems.append(f"{reader.__name__} saw ring_health not grow: {first} {newest}")
    print(json.dumps({"rounds": rounds, "grown": grown, "rows": newest}))
    for problem in problems:
        print(problem, file=sys.stderr)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
