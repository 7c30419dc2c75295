"""Checks what the peers counted: truth.py INPUT RULE=RESULT...

Counts the NDJSON folder INPUT by window, ring, build and type in plain Python and compares each
RESULT, a Parquet file or a folder of CSV files (window start in ms, ring, build, type, count). A
RULE says what a count is of:

plain      every line that is JSON with these four fields as text
accepted   every record that the contract accepts of the canonical workload
distinct   those without repeated sequence numbers of a device
"""

import json
import sys
from collections import Counter
from datetime import datetime, timezone
from multiprocessing import Pool
from pathlib import Path

import duckdb

RULES = "plain", "accepted", "distinct"
TYPES = frozenset(("heartbeat", "boot", "update", "fault"))
WINDOW_MS = 60_000
minutes = {}  # "YYYY-MM-DDTHH:MM" -> its start in ms


def first_of(pairs):
    """An object in which the first of two fields of one name counts, as it does for DuckDB."""
    return dict(reversed(pairs))


def window(time):
    """The start in ms of the minute of an RFC 3339 text in UTC; None if it is none."""
    start = minutes.get(time[:16])
    if start is None:
        try:
            minute = datetime.strptime(time[:16], "%Y-%m-%dT%H:%M").replace(tzinfo=timezone.utc)
        except ValueError:
            return None
        start = minutes[time[:16]] = int(minute.timestamp()) * 1_000
    return start


def is_accepted(record, start):
    """The rules that the canonical workload breaks, but that no field may stand twice."""
    return (
        record.get("v", 1) == 1 and record["type"] in TYPES and start >= 946_684_800_000
        and type(record.get("device")) is str and type(record.get("seq")) is int
        and record["seq"] >= 0 and record.get("interval_s", 1) >= 1
    )


def count(path):
    """Counts of one file, by rule; a device is in one file only."""
    counts = {rule: Counter() for rule in RULES}
    seen = set()
    with open(path, "rb") as file:
        for line in file:
            try:
                twice = line.count(b'"build":') > 1
                record = json.loads(line, object_pairs_hook=first_of if twice else None)
            except ValueError:
                continue
            if type(record) is not dict:
                continue
            names = [record.get(name) for name in ("time", "ring", "build", "type")]
            if not all(type(name) is str for name in names):
                continue
            start = window(names[0])
            if start is None:
                continue
            key = (start, *names[1:])
            counts["plain"][key] += 1
            if not twice and is_accepted(record, start):
                counts["accepted"][key] += 1
                message = record["device"], record["seq"]
                if message not in seen:
                    seen.add(message)
                    counts["distinct"][key] += 1
    return counts


def result(path):
    """What a peer counted; in several rows for one key, where it wrote so."""
    if path.is_file():
        query = f"select epoch_ms(window_start), ring, build, type, count from '{path}'"
    else:
        files = [str(file) for file in sorted(path.rglob("*")) if file.is_file()]
        query = f"""from read_csv({files}, header = false, columns = {{window_ms: 'BIGINT',
            ring: 'VARCHAR', build: 'VARCHAR', type: 'VARCHAR', count: 'BIGINT'}})"""
    counts = Counter()
    for *key, number in duckdb.sql(query).fetchall():
        counts[tuple(key)] += number
    return counts


def main():
    folder, *results = sys.argv[1:]
    truth = {rule: Counter() for rule in RULES}
    with Pool() as pool:
        for counts in pool.imap(count, sorted(Path(folder).glob("telemetry*.ndjson"))):
            for rule in RULES:
                truth[rule].update(counts[rule])
    wrong = False
    for rule, path in (argument.split("=", 1) for argument in results):
        counted, expected = result(Path(path)), truth[rule]
        differing = [key for key in {*counted, *expected} if counted[key] != expected[key]]
        print(f"{rule}: {sum(expected.values())} in {len(expected)} groups, "
              f"{len(differing)} of them differ")
        for key in sorted(differing)[:5]:
            print(f"  {key}: {counted[key]}, not {expected[key]}")
        wrong = wrong or bool(differing) or not expected
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
