"""Reads NDJSON telemetry and says of each record what contracts.md 2 makes of it.

In: the lines of one partition. Out: a checked record as a dict with `time` in microseconds, or
the stage and the field that refuse it. Shares no code with the product, on purpose.
"""

import calendar
import json
import re

FAULT_KINDS = frozenset(
    "os_crash unexpected_reboot app_crash app_hang signin_failure network_failure "
    "recovery_prompt policy_failure data_loss".split()
)
STATES = frozenset(
    "offered downloading downloaded installing restart_pending installed failed rolled_back "
    "uninstalled".split()
)
YEAR_2000_US = 946_684_800_000_000
DAY_US = 86_400_000_000
RECORD_BYTES_MAX = 1 << 20
DEPTH_MAX = 64
KEY_BYTES_MAX = 128

RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d\d):(\d\d))"
)
minutes = {}  # "YYYY-MM-DDTHH:MM" -> microseconds since 1970


class Rejected(Exception):
    """Carries stage and field."""


class Twice(dict):
    """An object in which a name stands twice; `names` are those names."""

    names = ()


def object_of(pairs):
    record = dict(pairs)
    if len(record) != len(pairs):
        seen, again = set(), set()
        for name, _ in pairs:
            (again if name in seen else seen).add(name)
        record = Twice(record)
        record.names = again
    return record


def no_constant(name):
    raise ValueError(name)


decode = json.JSONDecoder(object_pairs_hook=object_of, parse_constant=no_constant).decode


def micros(value):
    """A `time` field as microseconds since 1970; None if it is none."""
    if type(value) is int:
        return value * 1_000
    if type(value) is not str:
        return None
    if len(value) == 24 and value[23] == "Z" and value[19] == ".":
        start = minutes.get(value[:16])
        if start is not None:
            return start + int(value[17:19]) * 1_000_000 + int(value[20:23]) * 1_000
    found = RFC3339.fullmatch(value)
    if not found:
        return None
    year, month, day, hour, minute, second = map(int, found.group(1, 2, 3, 4, 5, 6))
    try:
        last_day = calendar.monthrange(year, month)[1]
    except (calendar.IllegalMonthError, ValueError):
        return None
    if not 1 <= day <= last_day or hour > 23 or minute > 59 or second > 60:
        return None
    seconds = calendar.timegm((year, month, day, hour, minute, 0))
    if found[8]:
        if int(found[9]) > 23 or int(found[10]) > 59:
            return None
        offset = int(found[9]) * 3_600 + int(found[10]) * 60
        seconds -= offset if found[8] == "+" else -offset
    else:
        minutes[value[:16]] = seconds * 1_000_000
    fraction = int((found[7] or "0").ljust(9, "0")) // 1_000
    return (seconds + second) * 1_000_000 + fraction


def is_key(value):
    return (
        type(value) is str
        and 1 <= len(value.encode()) <= KEY_BYTES_MAX
        and not any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in value)
    )


known_keys = set()  # texts that have been seen to be valid keys


def key(value):
    if type(value) is str and value in known_keys:
        return True
    if is_key(value):
        known_keys.add(value)
        return True
    return False


def whole(low, high):
    return lambda value: type(value) is int and low <= value <= high


def text(value):
    return type(value) is str


def short(value):
    return type(value) is str and len(value.encode()) <= 256


def one_of(*names):
    return lambda value: type(value) is str and value in names


def attrs(value):
    return isinstance(value, dict) and len(value) <= 32 and all(map(text, value.values()))


U64 = whole(0, 2**64 - 1)
MILLIS = whole(0, 2**40)
# (field, check, required) by type, after the common fields
COMMON = [
    ("device", key, True), ("ring", key, True), ("seq", U64, False),
    ("build", key, False), ("model", key, False), ("attrs", attrs, False),
]
FIELDS = {
    "heartbeat": [
        ("interval_s", whole(1, 2_592_000), False), ("uptime_s", U64, True),
        ("cert_expires", lambda value: micros(value) is not None, False),
    ],
    "boot": [
        ("boot_ms", MILLIS, True), ("signin_ms", MILLIS, True),
        ("reason", one_of("update", "user", "crash", "power"), True),
    ],
    "update": [
        ("change", key, True), ("state", one_of(*STATES), True),
        ("code", short, False), ("duration_ms", MILLIS, False),
    ],
    "fault": [
        ("kind", key, True), ("signature", short, False), ("count", whole(1, 1_000_000), False),
    ],
    "ticket": [
        ("ticket", text, True), ("severity", one_of("A", "B", "C", "informational"), True),
        ("category", text, False),
    ],
    "audit": [
        ("kind", one_of("service_account", "group_change", "policy_edit"), True),
        ("actor", text, True), ("detail", text, False),
    ],
    "lifecycle": [
        ("state", one_of("enrolled", "moved", "offline", "reset", "retired"), True),
        ("from", key, False),
    ],
}
ALL_FIELDS = {
    kind: tuple((name, check, required) for name, check, required in COMMON + fields)
    for kind, fields in FIELDS.items()
}


def depth(record):
    deepest, level = 0, [record]
    while level:
        deepest += 1
        level = [
            inner
            for value in level
            for inner in (value.values() if isinstance(value, dict) else value)
            if isinstance(inner, (dict, list))
        ]
    return deepest


def check(line, cohorts):
    """The record of one line, `time` replaced by microseconds; raises Rejected."""
    if not line:
        raise Rejected("FRAME", None)
    if len(line) > RECORD_BYTES_MAX or line[0] == 0:
        raise Rejected("FRAME", None)
    try:
        record = decode(line.decode())
        if b"\\u" in line:
            json.dumps(record, ensure_ascii=False).encode()  # a lone surrogate is no text
    except (ValueError, RecursionError):
        raise Rejected("DECODE", None) from None
    brackets = line.count(b"[") + line.count(b"{")
    if not isinstance(record, dict) or (brackets > DEPTH_MAX and depth(record) > DEPTH_MAX):
        raise Rejected("DECODE", None)
    kind = record.get("type")
    fields = ALL_FIELDS.get(kind) if type(kind) is str else None
    if type(record) is Twice:
        known = {"v", "type", "time"} | {name for name, _, _ in fields or ()}
        for name in record.names & known:
            raise Rejected("VALIDATE", name)
    version = record.get("v", 1)
    if version != 1 or type(version) is not int:
        raise Rejected("VALIDATE", "v")
    if fields is None:
        raise Rejected("VALIDATE", "type")
    for name, is_valid, required in fields:
        if name in record:
            if not is_valid(record[name]):
                raise Rejected("VALIDATE", name)
        elif required:
            raise Rejected("VALIDATE", name)
    if kind == "lifecycle" and record["state"] == "moved" and "from" not in record:
        raise Rejected("VALIDATE", "from")
    own = record.get("attrs")
    if type(own) is Twice and own.names & set(cohorts):
        raise Rejected("VALIDATE", "attrs")
    time = micros(record.get("time"))
    arrival = record.get("_ts")
    if time is None or time < YEAR_2000_US:
        raise Rejected("VALIDATE", "time")
    if arrival is not None and time > arrival * 1_000 + DAY_US:
        raise Rejected("VALIDATE", "time")
    record["time"] = time
    return record
