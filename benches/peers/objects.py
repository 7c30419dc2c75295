"""What a data folder's own objects weigh, for docs/scale.md: objects.py DATA.

Prints, for each kind of object below system/, how many there are and their bytes; for journal
entries of telemetry also the rows and bytes of each section, and the bytes of a commit for each
range of entries that it names.
"""

import json
import struct
import sys
from collections import defaultdict
from pathlib import Path

import pyarrow.ipc

# Name and version of the layout, then the header's length; a checksum ends header and entry.
MAGIC = b"RINGWJ01"
HASH_BYTES = 32
SECTIONS = {
    1: "health", 2: "changes", 3: "signals", 4: "transitions", 5: "rejected", 6: "registry",
    7: "support", 8: "durations", 9: "returns", 10: "signatures", 11: "cohorts", 12: "sketches",
    13: "facts",
}


def sections(content):
    """Tag, rows and bytes of each section of an entry, and how many records it is of."""
    if not content.startswith(MAGIC):
        sys.exit("this is no journal entry of the layout that the script knows")
    start = len(MAGIC) + 4
    length, = struct.unpack_from("<I", content, len(MAGIC))
    header = json.loads(content[start:start + length])["header"]
    at, found = start + length + HASH_BYTES, []
    while at < len(content) - HASH_BYTES:
        tag, size = struct.unpack_from("<BQ", content, at)
        at += 9
        rows = pyarrow.ipc.open_stream(content[at:at + size]).read_all().num_rows
        found.append((tag, rows, size))
        at += size
    return header["end"] - header["start"], found


def journal(folder):
    entries = records = 0
    rows, sizes = defaultdict(int), defaultdict(int)
    for path in sorted((folder / "journal" / "telemetry").rglob("*")):
        if path.is_file():
            of_entry, found = sections(path.read_bytes())
            entries, records = entries + 1, records + of_entry
            for tag, count, size in found:
                rows[tag] += count
                sizes[tag] += size
    print(f"telemetry: {entries} entries of {records / max(entries, 1):.0f} records")
    for tag in sorted(rows):
        print(f"  {SECTIONS[tag]:12} {rows[tag] / entries:10.1f} rows {sizes[tag] / entries:12.0f} B"
              f" {sizes[tag] / rows[tag]:8.1f} B a row")
    print(f"  {'all':12} {sum(rows.values()) / entries:10.1f} rows"
          f" {sum(sizes.values()) / entries:12.0f} B")


def chain(folder):
    commits = [path.read_bytes().split(b"\n")[0] for path in (folder / "chain").glob("*")]
    merged = sum(len(json.loads(commit)["merged"]) for commit in commits)
    ranges = sum(len(json.dumps(json.loads(commit)["merged"], separators=(",", ":")))
                 for commit in commits)
    print(f"chain: {len(commits)} commits, {sum(map(len, commits)) / len(commits):.0f} B each; "
          f"{ranges / max(merged, 1):.0f} B a range of entries")


def main():
    system = Path(sys.argv[1]) / "system"
    for kind in sorted(path for path in system.iterdir() if path.is_dir()):
        files = [path.stat().st_size for path in kind.rglob("*") if path.is_file()]
        print(f"{kind.name:12} {len(files):6} objects {sum(files):14} B")
    journal(system)
    chain(system)


if __name__ == "__main__":
    main()
