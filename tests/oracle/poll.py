"""A reader who knows nothing of us: poll.py DATA, until SIGTERM.

Sums every dataset over its plain glob every 100 ms. Each file must be readable at any moment and no
sum may ever be below an earlier one. Prints one JSON object at the end; exit 1 if anything was wrong.
"""

import json
import pathlib
import signal
import sys
import time

import duckdb

INTERVAL_S = 0.1
PROBLEMS_MAX = 20
SUMS = {
    "ring_health": ("records", "duplicates", "heartbeats", "boots", "device_seconds", "installs_started"),
    "ring_signals": ("affected_devices", "events"),
    "ring_devices": ("devices_active",),
    "device_updates": (),
    "rejected": ("size",),
    "alerts": (),
}


def main() -> None:
    tables = pathlib.Path(sys.argv[1]) / "tables"
    asked = []
    signal.signal(signal.SIGTERM, lambda *_: asked.append(True))
    connection = duckdb.connect()
    largest, problems, polls, slowest_s = {}, [], 0, 0.0
    while not asked and len(problems) < PROBLEMS_MAX:
        started = time.monotonic()
        for dataset, columns in SUMS.items():
            problems += poll(connection, tables, dataset, columns, largest)
        polls += 1
        took_s = time.monotonic() - started
        slowest_s = max(slowest_s, took_s)
        time.sleep(max(0.0, INTERVAL_S - took_s))
    said = {"polls": polls, "slowest_s": round(slowest_s, 3), "sums": largest, "problems": problems}
    print(json.dumps(said))
    sys.exit(1 if problems or not polls else 0)


def poll(connection, tables, dataset, columns, largest):
    """What is wrong with one dataset now; `largest` is brought up to date."""
    if not any((tables / dataset).glob("*/*.parquet")):
        return [f"{dataset}: had rows and has none"] if dataset in largest else []
    sums = ", ".join(["count(*)", *(f"sum({column})::BIGINT" for column in columns)])
    try:
        query = f"select {sums} from '{tables}/{dataset}/*/*.parquet'"
        row = connection.execute(query).fetchone()
    except duckdb.Error as error:
        return [f"{dataset}: {error}"]
    before = largest.get(dataset, {})
    now = dict(zip(("rows", *columns), row))
    largest[dataset] = now
    return [
        f"{dataset}: {name} fell from {before[name]} to {now[name]}"
        for name in now
        if now[name] < before.get(name, now[name])
    ]


if __name__ == "__main__":
    main()
