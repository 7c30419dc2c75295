"""Runs analysts/notebook.ipynb in a folder that holds `sample`: notebook.py FOLDER [PICTURES].

Every section must draw its picture; with PICTURES they are kept there. Exits 1 if a cell fails.
"""

import base64
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "analysts/notebook.ipynb"
CELL_S_MAX = 60


def main():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    kept = [cell for cell in notebook.cells if cell.get("outputs")]
    assert not kept, "the notebook is kept without output"
    NotebookClient(
        notebook, timeout=CELL_S_MAX, resources={"metadata": {"path": sys.argv[1]}}
    ).execute()
    pictures = [
        base64.b64decode(output["data"]["image/png"])
        for cell in notebook.cells if cell.cell_type == "code"
        for output in cell.outputs if "image/png" in output.get("data", {})
    ]
    sections = [cell for cell in notebook.cells if cell.source.startswith("## ")]
    assert len(pictures) == len(sections), f"{len(pictures)} pictures, {len(sections)} sections"
    for number, picture in enumerate(pictures):
        assert picture.startswith(b"\x89PNG"), f"picture {number} is none"
        if len(sys.argv) > 2:
            Path(sys.argv[2], f"{number}.png").write_bytes(picture)
    print(f"{len(pictures)} pictures")


if __name__ == "__main__":
    main()
