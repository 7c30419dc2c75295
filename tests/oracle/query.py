"""Answers one SQL question about a data folder, as JSON rows: query.py DATA SQL

Each dataset is a view over its plain glob, as an analyst would read it; one without files is absent.
"""

import json
import pathlib
import sys

import duckdb


def main() -> None:
    data, question = pathlib.Path(sys.argv[1]), sys.argv[2]
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    for folder in sorted((data / "tables").iterdir()):
        files = f"{folder}/*/*.parquet"
        connection.execute(f"CREATE VIEW {folder.name} AS SELECT * FROM read_parquet('{files}')")
    rows = connection.execute(question)
    names = [column[0] for column in rows.description]
    print(json.dumps([dict(zip(names, row)) for row in rows.fetchall()], default=str))


if __name__ == "__main__":
    main()
