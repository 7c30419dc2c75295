"""Compares the views of a script with the plain tables, row for row: views.py DATA SCRIPT.

Prints a JSON object: by dataset, how many files the view reads and how many of them are settled.
Exits 1 if a view holds other rows than the tables, or a settled file is not sorted.
"""

import json
import sys
from pathlib import Path

import duckdb

# The first columns that a dataset is sorted by.
ORDER = {
    "ring_health": "window_start, change, ring, arm",
    "ring_signals": "window_start, change, ring, arm, signal",
    "ring_devices": "hour_start, change, ring, arm, cohort_key, cohort_value",
    "device_updates": "event_time, device, change",
    "alerts": "updated_at, id, transition",
    "rejected": "topic, partition, \"offset\"",
}


def is_sorted(connection, file, columns):
    """Whether the rows of a file stand in the order of those columns, NULL first."""
    names = columns.split(", ")
    row = ", ".join(f"{name} IS NOT NULL, {name}" for name in names)
    steps = f"SELECT row({row}) AS this, lag(row({row})) OVER (ORDER BY file_row_number) AS before"
    table = f"read_parquet('{file}', file_row_number = true)"
    wrong = connection.execute(f"SELECT count(*) FROM ({steps} FROM {table}) WHERE this < before")
    return wrong.fetchone()[0] == 0


def main() -> None:
    data, script = Path(sys.argv[1]), Path(sys.argv[2]).read_text()
    connection = duckdb.connect()
    connection.execute(script)
    problems, found = [], {}
    for folder in sorted((data / "tables").iterdir()):
        name = folder.name
        if not any(folder.glob("*/*.parquet")):
            continue
        glob = f"{folder}/*/*.parquet"
        plain = f"SELECT * FROM read_parquet('{glob}', hive_partitioning = true)"
        view = f"SELECT * FROM {name}"
        for one, other in ((plain, view), (view, plain)):
            more = connection.execute(f"SELECT count(*) FROM ({one} EXCEPT ALL {other})").fetchone()[0]
            if more:
                problems.append(f"{name}: {more} rows of ({one}) are not in ({other})")
        files = connection.execute(f"SELECT getvariable('{name}_files')").fetchone()[0]
        settled = [file for file in files if "/settled/" in file]
        found[name] = {"files": len(files), "settled": len(settled)}
        problems += [
            f"{file} is not sorted" for file in settled
            if not is_sorted(connection, file, ORDER[name])
        ]
    print(json.dumps(found))
    for problem in problems:
        print(problem, file=sys.stderr)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
