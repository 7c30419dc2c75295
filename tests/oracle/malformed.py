"""Writes 60 malformed records of 30 kinds among good ones: malformed.py --out DIR.

Out: `telemetry-0.ndjson` for `replay` or a producer, and `expected.json`: for each malformed line
(number from 0) its kind, stage, field and a part of the reason, and the counts of the good ones.
"""

import argparse
import json
from pathlib import Path

START_MS = 1_784_433_600_000  # 2026-07-19T04:00:00Z
BETWEEN_GOOD = 4
HOUR_MS = 3_600_000


def stamp(millis):
    seconds, rest = divmod(millis - START_MS, 1_000)
    return f"2026-07-19T04:{seconds // 60:02}:{seconds % 60:02}.{rest:03}Z"


def common(number, kind):
    return {
        "v": 1, "type": kind, "device": f"d-{number % 40:010}",
        "ring": ("first", "fast")[number % 2], "time": stamp(START_MS + number * 500),
        "seq": number,
    }


BODIES = {
    "heartbeat": {"interval_s": 3600, "uptime_s": 86211, "attrs": {"region": "eu-west"}},
    "boot": {"boot_ms": 18230, "signin_ms": 2210, "reason": "user"},
    "update": {"change": "kb5040442", "state": "offered", "code": "0x0"},
    "fault": {"kind": "app_crash", "signature": "outlook.exe!0xc0000005", "count": 1},
    "lifecycle": {"state": "moved", "from": "test"},
}


def edit(kind, **fields):
    """A record with these fields set, those of value `...` left out."""

    def make(number):
        record = {**common(number, kind), **BODIES[kind], **fields}
        record = {name: value for name, value in record.items() if value is not ...}
        return json.dumps(with_arrival(record, number)).encode()

    return make


def with_arrival(record, number):
    return {**record, "_ts": START_MS + number * 500}


def replaced(old, new):
    """The text of a good heartbeat with one part replaced."""

    def make(number):
        record = {**common(number, "heartbeat"), **BODIES["heartbeat"]}
        good = json.dumps(with_arrival(record, number))
        assert old in good, old
        return good.replace(old, new, 1).encode("utf-8", "surrogateescape")

    return make


FAR = START_MS + 26 * HOUR_MS
# (kind, how to make it, stage, field, part of the reason)
KINDS = [
    ("empty", lambda _: b"", "FRAME", None, "is empty"),
    ("registry frame", lambda _: b"\0\0\0\0\x2a{}", "FRAME", None, "schema id 42"),
    ("too large", edit("heartbeat", note="x" * (1 << 20)), "FRAME", None, "larger than 1048576"),
    ("cut off", lambda number: edit("boot")(number)[:-30], "DECODE", None, "not valid JSON"),
    ("no object", lambda _: b"[1,2,3]", "DECODE", None, "not a JSON object"),
    ("not UTF-8", replaced("eu-west", "eu-\udcff"), "DECODE", None, "UTF-8"),
    ("lone surrogate", replaced("eu-west", "eu-\\ud800"), "DECODE", None,
     "no Unicode character"),
    ("too deep", replaced('"seq"', '"deep": ' + "[" * 70 + "]" * 70 + ', "seq"'), "DECODE", None,
     "deeper than 64"),
    ("something behind", lambda number: edit("boot")(number) + b" true", "DECODE", None,
     "not valid JSON"),
    ("no device", edit("heartbeat", device=...), "VALIDATE", "device", "missing"),
    ("long device", edit("heartbeat", device="d" * 129), "VALIDATE", "device", "1..=128"),
    ("control character", edit("heartbeat", ring="fi\nrst"), "VALIDATE", "ring", "control"),
    ("unknown type", edit("boot", type="reboot"), "VALIDATE", "type", "must be one of"),
    ("other version", edit("boot", v=2), "VALIDATE", "v", "1"),
    ("twice", replaced('"seq"', '"ring": "last", "seq"'), "VALIDATE", "ring",
     "more than once"),
    ("no RFC 3339", edit("boot", time="yesterday"), "VALIDATE", "time", "RFC 3339"),
    ("before 2000", edit("boot", time=946_684_799_999), "VALIDATE", "time", "2000"),
    ("too far ahead", edit("boot", time=FAR), "VALIDATE", "time", "24 h"),
    ("negative seq", edit("boot", seq=-1), "VALIDATE", "seq", "integer"),
    ("large seq", edit("boot", seq=2**64), "VALIDATE", "seq", "integer"),
    ("interval 0", edit("heartbeat", interval_s=0), "VALIDATE", "interval_s", "1..=2592000"),
    ("no uptime", edit("heartbeat", uptime_s=...), "VALIDATE", "uptime_s", "missing"),
    ("null for a text", edit("heartbeat", build=None), "VALIDATE", "build", "string"),
    ("33 attrs", edit("heartbeat", attrs={f"k{n}": "v" for n in range(33)}), "VALIDATE", "attrs",
     "32"),
    ("slow boot", edit("boot", boot_ms=2**40 + 1), "VALIDATE", "boot_ms", "integer"),
    ("unknown reason", edit("boot", reason="magic"), "VALIDATE", "reason", "must be one of"),
    ("unknown state", edit("update", state="paused"), "VALIDATE", "state", "must be one of"),
    ("count 0", edit("fault", count=0), "VALIDATE", "count", "1..=1000000"),
    ("long signature", edit("fault", signature="s" * 257), "VALIDATE", "signature", "256 bytes"),
    ("moved from nowhere", edit("lifecycle", **{"from": ...}), "VALIDATE", "from", "missing"),
]
assert len(KINDS) == 30


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    lines, rejected = [], []
    good = dict.fromkeys(BODIES, 0)
    for kind, make, stage, field, error in KINDS * 2:
        for _ in range(BETWEEN_GOOD):
            body = list(BODIES)[sum(good.values()) % len(BODIES)]
            lines.append(edit(body)(len(lines)))
            good[body] += 1
        rejected.append(
            {"line": len(lines), "kind": kind, "stage": stage, "field": field, "error": error}
        )
        lines.append(make(len(lines)))
    (out / "telemetry-0.ndjson").write_bytes(b"".join(line + b"\n" for line in lines))
    expected = {"lines": len(lines), "good": good, "rejected": rejected}
    (out / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
