"""Reads every dataset of a data folder by its Delta log: delta.py [--follow] DATA.

Rows and the sums of all count columns must be those of the plain files, the types those of the
contract, every version readable, and other writers refused. Prints one JSON object. With `--follow`
it reads again and again until SIGTERM: no version may fail, rows never fall, versions grow.
Exits 1 with what is wrong.
"""

import json
import signal
import sys
import time
from pathlib import Path

import pyarrow
import pyarrow.compute
import pyarrow.dataset
from deltalake import DeltaTable, QueryBuilder

DATASETS = "ring_health ring_signals ring_devices device_updates alerts rejected".split()
NOT_COUNTS = ("revision", "transition", "partition", "offset")


def asked(table, query):
    return pyarrow.table(QueryBuilder().register("t", table).execute(query).read_all())


def rows_of(table):
    return asked(table, "SELECT count(*) AS n FROM t")["n"][0].as_py()


def plain_files(data, dataset):
    folder = Path(data, "tables", dataset)
    if not any(folder.glob("*/*.parquet")):
        return None
    return pyarrow.dataset.dataset(folder, partitioning="hive", format="parquet").to_table()


def check_sums(table, plain, dataset):
    """Problems of the newest version of a dataset that has files."""
    counts = [
        name for name in plain.column_names
        if plain.schema.field(name).type == pyarrow.int64() and name not in NOT_COUNTS
    ]
    sums = ", ".join(f'CAST(coalesce(sum("{name}"), 0) AS BIGINT) AS "{name}"' for name in counts)
    found = asked(table, f"SELECT count(*) AS n{', ' if sums else ''}{sums} FROM t").to_pylist()[0]
    problems = []
    if found["n"] != plain.num_rows:
        problems.append(f"{dataset}: {found['n']} rows, the files have {plain.num_rows}")
    for name in counts:
        exact = pyarrow.compute.sum(plain[name]).as_py() or 0
        if found[name] != exact:
            problems.append(f"{dataset}.{name}: {found[name]}, the files have {exact}")
    days = asked(table, "SELECT date, count(*) AS n FROM t GROUP BY date").to_pylist()
    by_day = {str(row["date"]): row["n"] for row in days}
    exact = plain.group_by("date").aggregate([([], "count_all")]).to_pylist()
    if by_day != {row["date"]: row["count_all"] for row in exact}:
        problems.append(f"{dataset}: days {by_day}, the files have {exact}")
    # Every column, whole.
    everything = asked(table, "SELECT * FROM t")
    if set(everything.column_names) != set(plain.column_names):
        problems.append(f"{dataset}: columns {everything.column_names}")
    return problems


def check_types(table, plain, dataset):
    wanted = {field.name: field.type for field in plain.schema if field.name != "date"}
    spelled = {
        field.name: field.type.type if hasattr(field.type, "type") else str(field.type)
        for field in table.schema().fields
    }
    as_delta = lambda kind: (
        "array" if pyarrow.types.is_list(kind)
        else "string" if pyarrow.types.is_dictionary(kind) or pyarrow.types.is_string(kind)
        else "timestamp" if pyarrow.types.is_timestamp(kind)
        else {"int64": "long", "bool": "boolean"}.get(str(kind), str(kind))
    )
    differing = {
        name: (spelled.get(name), as_delta(kind))
        for name, kind in wanted.items() if spelled.get(name) != as_delta(kind)
    }
    return [f"{dataset}: types {differing}"] if differing else []


def check_writers(table, dataset):
    """Whoever writes, compacts or cleans up must be refused by the protocol, or find nothing to do."""
    attempts = {
        "delete": lambda: table.delete(),
        "compact": lambda: table.optimize.compact(),
        "vacuum": lambda: table.vacuum(
            retention_hours=0, dry_run=False, enforce_retention_duration=False, full=True
        ),
    }
    problems = []
    for name, attempt in attempts.items():
        try:
            done = attempt()
            # A vacuum that finds nothing to delete has nothing to write, either.
            if done != []:
                problems.append(f"{dataset}: somebody else may {name}: {done}")
        except Exception as error:
            if "ringwatch" not in str(error):
                problems.append(f"{dataset}: {name} fails otherwise: {error}")
    return problems


def check(data, dataset):
    root = Path(data, "delta", dataset)
    table, plain = DeltaTable(root), plain_files(data, dataset)
    problems, before = [], -1
    for version in range(0, table.version() + 1, max(1, table.version() // 10)):
        rows = rows_of(DeltaTable(root, version=version))
        if rows < before:
            problems.append(f"{dataset}: {before} rows became {rows} at version {version}")
        before = rows
    if plain is None:
        problems += [f"{dataset}: rows without files"] if rows_of(table) else []
    else:
        problems += check_sums(table, plain, dataset) + check_types(table, plain, dataset)
    problems += check_writers(table, dataset)
    if DeltaTable(root).version() != table.version():
        problems.append(f"{dataset}: somebody has written")
    found = {
        "versions": table.version(),
        "rows": rows_of(table),
        "checkpoints": len(list(root.glob("_delta_log/*.checkpoint.parquet"))),
        "commit": table.transaction_version("ringwatch"),
    }
    return found, problems


def follow(data):
    """Problems seen while somebody writes."""
    asked_to_stop, newest, first, problems = [], {}, {}, []
    signal.signal(signal.SIGTERM, lambda *_: asked_to_stop.append(True))
    print("ready", flush=True)
    while not asked_to_stop:
        for dataset in DATASETS:
            root = Path(data, "delta", dataset)
            if not (root / "_delta_log").exists() or not any(root.glob("_delta_log/*.json")):
                continue
            table = DeltaTable(root)
            state = (table.version(), rows_of(table))
            first.setdefault(dataset, state)
            if any(new < old for new, old in zip(state, newest.get(dataset, state))):
                problems.append(f"{dataset}: {newest[dataset]} became {state}")
            newest[dataset] = state
        time.sleep(0.05)
    if not newest or newest["ring_health"] <= first["ring_health"]:
        problems.append(f"ring_health did not grow: {first} {newest}")
    return newest, problems


def main():
    data = sys.argv[-1]
    if sys.argv[1] == "--follow":
        found, problems = follow(data)
    else:
        checked = {dataset: check(data, dataset) for dataset in DATASETS}
        found = {dataset: one for dataset, (one, _) in checked.items()}
        problems = [problem for _, of_one in checked.values() for problem in of_one]
    print(json.dumps(found))
    for problem in problems:
        print(problem, file=sys.stderr)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
