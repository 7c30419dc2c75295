"""Compares the tables of data folders with the truth of their input: compare.py DATA... INPUT [--json].

Counts must be equal in every window x change x ring x arm (and signal and cohort, and bucket of a
duration), device-seconds within 1 % of their ring's, and the devices of joined sketches within what
their size allows. Prints what differs, most telling first; exit 1 if anything does.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import datasketches
import duckdb
from model import COUNTS, HOUR_US, NOT_MODELLED, WINDOW_US, Model

DEVICE_SECONDS_TOLERANCE = 0.01
# Each row is rounded down to whole seconds: a window x ring of a few devices may lack these.
ROUNDING_S = 2
SHOWN_MAX = 20
LG_K = 12
# Below, a sketch keeps what it was given; above, five times its standard error of 1.6 %.
SKETCH_EXACT_MAX = 384
SKETCH_TOLERANCE = 0.08

HEALTH = """
select epoch_us(window_start) // {window}, change, ring, arm, {sums}, sum(device_seconds)::BIGINT
from read_parquet('{glob}', hive_partitioning = true) group by all
"""
SIGNALS = """
select epoch_us(window_start) // {window}, change, ring, arm, signal, cohort_key, cohort_value,
       sum(affected_devices)::BIGINT, sum(events)::BIGINT
from read_parquet('{glob}', hive_partitioning = true) group by all
"""
DURATIONS = """
select epoch_us(window_start) // {window}, change, ring, arm, '{kind}', le, sum(n)::BIGINT
from (select *, unnest({kind}_le) as le, unnest({kind}_n) as n
      from read_parquet('{glob}', hive_partitioning = true)) group by all
"""
HEARD = """
select epoch_us(hour_start) // {hour}, change, ring, arm, list(devices_hll)
from read_parquet('{glob}', hive_partitioning = true)
where cohort_key is null and devices_hll is not null group by all
"""
REJECTED = """
select stage, field, count(*)
from read_parquet('{glob}', hive_partitioning = true) group by all
"""


def rows(data, dataset, query, **values):
    glob = Path(data) / "tables" / dataset / "**" / "*.parquet"
    if not any(glob.parent.parent.glob("**/*.parquet")):
        return []
    return duckdb.sql(query.format(glob=glob, window=WINDOW_US, **values)).fetchall()


def health_differences(model, data):
    sums = ", ".join(f"sum({name})::BIGINT" for name in COUNTS)
    table = {row[:4]: row[4:] for row in rows(data, "ring_health", HEALTH, sums=sums)}
    nothing = [0] * 10
    for key in sorted({*table, *model.health}, key=str):
        is_, should = table.get(key, nothing), model.health.get(key, nothing)
        for name, seen, truth in zip(COUNTS, is_, should):
            if seen != truth:
                yield "ring_health", key, name, seen, truth
        window, change, ring, _ = key
        whole = model.health.get((window, None, ring, None), nothing)[9]
        tolerance = DEVICE_SECONDS_TOLERANCE * whole + ROUNDING_S
        if abs(is_[9] - should[9]) > tolerance:
            yield "ring_health", key, "device_seconds", is_[9], round(should[9], 3)


def signal_differences(model, data):
    table = {}
    for window, change, ring, arm, signal, name, value, *counts in rows(
        data, "ring_signals", SIGNALS
    ):
        if signal not in NOT_MODELLED:
            cohort = None if name is None else (name, value)
            table[window, change, ring, arm, signal, cohort] = counts
    for key in sorted({*table, *model.signals}, key=str):
        is_, should = table.get(key, [0, 0]), model.signals.get(key, [0, 0])
        for name, seen, truth in zip(("affected_devices", "events"), is_, should):
            if seen != truth:
                yield "ring_signals", key, name, seen, truth


def duration_differences(model, data):
    table = {
        row[:6]: row[6] for kind in ("install_ms", "boot_ms", "signin_ms")
        for row in rows(data, "ring_health", DURATIONS, kind=kind)
    }
    for key in sorted({*table, *model.durations}, key=str):
        if table.get(key, 0) != model.durations.get(key, 0):
            yield "ring_health", key, "n", table.get(key, 0), model.durations.get(key, 0)


def heard_differences(model, data):
    table = {row[:4]: row[4] for row in rows(data, "ring_devices", HEARD, hour=HOUR_US)}
    for key in sorted({*table, *model.heard}, key=str):
        joined = datasketches.hll_union(LG_K)
        for sketch in table.get(key, ()):
            joined.update(datasketches.hll_sketch.deserialize(bytes(sketch)))
        is_, should = joined.get_estimate(), len(model.heard.get(key, ()))
        allowed = 0.5 if should <= SKETCH_EXACT_MAX else SKETCH_TOLERANCE * should
        if abs(is_ - should) > allowed:
            in_windows = (key[0] * HOUR_US // WINDOW_US, *key[1:])
            yield "ring_devices", in_windows, "devices_hll", round(is_, 1), should


def reject_differences(model, data):
    table = {row[:2]: row[2] for row in rows(data, "rejected", REJECTED)}
    for key in sorted({*table, *model.rejects}, key=str):
        if table.get(key, 0) != model.rejects.get(key, 0):
            yield "rejected", key, "rows", table.get(key, 0), model.rejects.get(key, 0)


def shown(key):
    start = time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime(key[0] * WINDOW_US // 1_000_000)) \
        if isinstance(key[0], int) else key[0]
    return " ".join(str(part) for part in (start, *key[1:]) if part is not None)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", help="data folder, the one that holds tables/")
    parser.add_argument("input", help="folder of NDJSON that was read")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    model = Model(arguments.input)
    differences = [
        (f"{data} {dataset}" if len(arguments.data) > 1 else dataset, *difference)
        for data in arguments.data
        for find in (
            reject_differences, health_differences, duration_differences, signal_differences,
            heard_differences,
        )
        for dataset, *difference in find(model, data)
    ]
    checked = {
        "lines": model.lines,
        "ring_health": len(model.health),
        "ring_signals": len(model.signals),
        "durations": len(model.durations),
        "ring_devices": len(model.heard),
        "device_seconds": round(sum(
            sums[9] for (_, change, _, _), sums in model.health.items() if change is None
        )),
        "differences": len(differences),
    }
    if arguments.json:
        first = [
            {"dataset": dataset, "key": shown(key), "column": name, "is": is_, "should": should}
            for dataset, key, name, is_, should in differences[:SHOWN_MAX]
        ]
        print(json.dumps({**checked, "first": first}))
    else:
        print(" ".join(f"{name}={value}" for name, value in checked.items()))
        for dataset, key, name, is_, should in differences[:SHOWN_MAX]:
            print(f"{dataset} {shown(key)}: {name} is {is_}, should be {should}")
    # Tables with nothing to compare prove nothing.
    sys.exit(1 if differences or not model.health else 0)


if __name__ == "__main__":
    main()
