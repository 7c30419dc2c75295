"""Runs every query of docs/verify.md in a folder that holds `data`: verify_docs.py FOLDER.

Prints a JSON object: by the bold word before each query, how many rows it returns, which is how
many things it finds wrong.
"""

import json
import os
import re
import sys
from pathlib import Path

import duckdb

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "verify.md"


def main() -> None:
    queries = re.findall(r"^\*\*([A-Za-z ]+)\*\*.*?```sql\n(.*?)```", DOCUMENT.read_text(), re.S | re.M)
    os.chdir(sys.argv[1])
    found = {name: len(duckdb.connect().execute(query).fetchall()) for name, query in queries}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
