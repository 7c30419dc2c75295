"""Runs every snippet of docs/data.md and holds the answers against each other: analysts.py FOLDER.

FOLDER has `sample` and `sample-input`, as the document's commands write them, and `analysts`. The answers
of DuckDB, Spark, Polars and pandas must be the same, estimates apart; those to which the raw records
know the truth must be true. Prints one JSON object; exits 1 with what differs.
"""

import datetime
import json
import math
import os
import re
import sys
from collections import defaultdict
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs/data.md"
TOOLS = ("duckdb", "spark", "polars", "pandas")
BLOCK = re.compile(r"^```(sql|python) ([\w -]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
QUESTION = re.compile(r"^## (\d+)\. ", re.MULTILINE)
# A sketch's three standard errors; up to its coupons it is exact.
TOLERANCE, EXACT_MAX = 0.05, 384
DISTINCT, QUANTILES, COVERAGE, INSTALLS = 4, 3, 9, 1


def snippets():
    """The set-ups by tool, and the questions: number -> tool -> (language, text)."""
    text = DOCUMENT.read_text()
    head, *parts = QUESTION.split(text)
    setups = {names.removeprefix("setup-"): body for _, names, body in BLOCK.findall(head)}
    questions = {
        int(number): {
            tool: (language, body)
            for language, names, body in BLOCK.findall(part)
            for tool in names.split()
        }
        for number, part in zip(parts[::2], parts[1::2])
    }
    return setups, questions


def plain(value):
    """A value as every tool would say it."""
    if value is None or value != value:
        return None
    if isinstance(value, datetime.timedelta):
        return round(value.total_seconds(), 6)
    if isinstance(value, (str, datetime.date)):
        return str(value)
    number = float(value)
    return int(number) if number.is_integer() else float(f"{number:.9g}")


def answered(tool, scope, language, body):
    """The rows of an answer, as dictionaries of plain values in a fixed order."""
    if language == "python":
        exec(body, scope)
        answer = scope["answer"]
        rows = answer.to_dicts() if tool == "polars" else answer.to_dict("records")
    elif tool == "spark":
        rows = [row.asDict() for row in scope["spark"].sql(body).collect()]
    else:
        found = scope["db"].execute(body)
        names = [column[0] for column in found.description]
        rows = [dict(zip(names, row)) for row in found.fetchall()]
    rows = [{name: plain(value) for name, value in row.items()} for row in rows]
    return sorted(rows, key=lambda row: [str(value) for value in row.values()])


class Truth:
    """What the raw records say, each device's record once."""

    def __init__(self, folder):
        self.devices, self.boots = defaultdict(set), defaultdict(list)
        self.records, self.lines = defaultdict(int), defaultdict(int)
        self.installs = defaultdict(lambda: [0, 0])
        for path in sorted(Path(folder).glob("telemetry*.ndjson")):
            self.read(path)

    def read(self, path):
        seen = set()
        for line in path.read_text().splitlines():
            record = json.loads(line)
            ring = record["ring"]
            self.lines[ring] += 1
            key = (record["device"], record["seq"])
            if key in seen:
                continue
            seen.add(key)
            self.records[ring] += 1
            self.devices[ring].add(record["device"])
            if "boot_ms" in record:
                self.boots[ring].append(record["boot_ms"])
            if record.get("state") in ("installed", "failed"):
                day = (record["change"], ring, record["time"][:10])
                self.installs[day][record["state"] == "failed"] += 1

    def problems(self, number, rows, bucket):
        """What an answer says otherwise."""
        for row in rows:
            is_, should = self.compare(number, row, bucket)
            if is_ != should:
                yield f"{row}: the records say {should}"

    def compare(self, number, row, bucket):
        ring = row["ring"]
        if number == DISTINCT:
            should = len(self.devices[ring])
            allowed = 0 if should <= EXACT_MAX else TOLERANCE * should
            return abs(row["devices"] - should) <= allowed or row["devices"], True
        if number == QUANTILES:
            if row["who"] != "all":
                return None, None
            values = sorted(self.boots[ring])
            exact = [values[math.ceil(q * len(values)) - 1] for q in (0.5, 0.9, 0.99)]
            return [row["p50"], row["p90"], row["p99"]], [bucket(value) for value in exact]
        if number == COVERAGE:
            lines, records = self.lines[ring], self.records[ring]
            return (row["applied"], row["duplicates"]), (records, lines - records)
        day = (row["change"], ring, row["date"])
        return [row["succeeded"], row["failed"]], self.installs[day]


def same(number, one, other):
    if number != DISTINCT:
        return one == other
    pairs = list(zip(one, other, strict=True))
    near = lambda a, b: abs(a - b) <= 2 * TOLERANCE * max(a, b)
    return all(a["ring"] == b["ring"] and near(a["devices"], b["devices"]) for a, b in pairs)


def check(number, answers, truth, bucket):
    """What is wrong with the answers to one question."""
    first, problems = answers[TOOLS[0]], []
    if not first:
        problems.append(f"question {number}: no row")
    for tool, rows in answers.items():
        if not same(number, first, rows):
            problems.append(f"question {number}: {TOOLS[0]} says {first}\n  {tool} says {rows}")
        if number in (DISTINCT, QUANTILES, COVERAGE, INSTALLS):
            problems += [
                f"question {number}, {tool}: {problem}"
                for problem in truth.problems(number, rows, bucket)
            ]
    return problems


def main():
    os.chdir(sys.argv[1])
    tools = tuple(sys.argv[2].split(",")) if len(sys.argv) > 2 else TOOLS
    setups, questions = snippets()
    scopes = {tool: {} for tool in tools}
    for tool in tools:
        exec(setups[tool], scopes[tool])
    sys.path.append("analysts")
    from ringwatch_tables import bucket

    truth, problems = Truth("sample-input"), []
    assert list(questions) == list(range(1, 11)), list(questions)
    for number, by_tool in questions.items():
        assert set(by_tool) == set(TOOLS), f"question {number} is answered by {sorted(by_tool)}"
        answers = {tool: answered(tool, scopes[tool], *by_tool[tool]) for tool in tools}
        problems += check(number, answers, truth, bucket)
    print(json.dumps({"questions": len(questions), "tools": tools}))
    for problem in problems:
        print(problem, file=sys.stderr)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
