"""The sums that the tables must show for a folder of NDJSON, straight from contracts.md 3.

In: `telemetry*.ndjson` (each one partition, in name order; the order of lines is the order of
arrival) and `changes.ndjson`. Out: `Model.health`, `Model.durations` and `Model.signals`, sums by
key, and `Model.heard`, devices by key. An independent statement of the rules, one record at a time,
that shares nothing with the product.

Left out: what waits for a lag that only the product knows (`NOT_MODELLED`), and levels.
"""

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from records import FAULT_KINDS, Rejected, check, micros

RINGS = ("test", "first", "fast", "broad", "last")
COHORTS = ("model", "build", "driver", "region")
WINDOW_US = 60_000_000
QUIET_US = 7 * 86_400_000_000
LATENESS_US = 10_000_000
BOOT_LOOP_US = 30 * 60_000_000
INTERVAL_S = 3_600
RISK_INTERVALS = 3
NOT_MODELLED = ("silence", "silence_learned", "no_return")
HOUR_US = 3_600_000_000

COUNTS = (
    "heartbeats", "boots", "records", "duplicates", "devices_exposed",
    "installs_started", "installs_succeeded", "installs_failed", "rollbacks",
)
(HEARTBEATS, BOOTS, RECORDS, DUPLICATES, EXPOSED, STARTED, SUCCEEDED, FAILED, ROLLBACKS) = range(9)
BY_STATE = {
    "installing": STARTED, "installed": SUCCEEDED, "failed": FAILED, "rolled_back": ROLLBACKS,
}
NONE = frozenset()


class Mark(NamedTuple):
    """Something in a device's life that bears on its time at risk."""

    time: int
    ring: str = None  # None: as before
    changes: frozenset = None  # None: as before
    risk_end: int = 0  # 0: as before; None: the risk ends here
    is_newest: bool = True


class Device:
    """What is remembered of one device; a factory reset makes a new one."""

    __slots__ = (
        "ring", "newest", "interval", "changes", "attempt", "cohorts", "seen", "boots", "hits",
        "marks",
    )

    def __init__(self):
        self.ring = None
        self.newest = 0
        self.interval = INTERVAL_S
        self.changes = NONE
        self.attempt = None
        self.cohorts = {}
        self.seen = set()
        self.boots = []
        self.hits = {}
        self.marks = []  # Mark


class Model:
    """Sums by key over a folder."""

    def __init__(self, folder, rings=RINGS, window_us=WINDOW_US):
        self.rings, self.window_us = frozenset(rings), window_us
        self.by_set = defaultdict(lambda: [0] * 9)  # (window, ring, changes)
        self.by_change = defaultdict(lambda: [0] * 9)  # (window, ring, change)
        self.hits = defaultdict(lambda: [0, 0])  # (window, ring, scope, signal, cohort)
        self.lasted = defaultdict(int)  # (window, ring, scope, kind, bucket) -> records
        self.present = defaultdict(set)  # (hour, ring, changes) -> devices
        self.risk = defaultdict(int)  # (window, ring, changes) -> device-microseconds
        self.rejects = defaultdict(int)  # (stage, field)
        self.closed_until = 0  # of the partition being read
        self.lines = 0
        self.tracked = self.registry(Path(folder) / "changes.ndjson")
        for path in sorted(Path(folder).glob("telemetry*.ndjson")):
            self.partition(path)
        self.health = self.expand_health()
        self.signals = self.expand_signals()
        self.durations = self.expand_durations()
        self.heard = self.expand_heard()

    def registry(self, path):
        """Window from which each announced change has a control arm."""
        tracked = {}
        for line in path.read_text().splitlines() if path.exists() else ():
            record = json.loads(line)
            time = micros(record.get("time", record.get("_ts", 0)))
            window = time // self.window_us
            tracked[record["change"]] = min(window, tracked.get(record["change"], window))
        return tracked

    def partition(self, path):
        devices, past = {}, []
        newest = watermark = 0
        with open(path, "rb") as lines:
            for line in lines:
                self.lines += 1
                try:
                    record = check(line.rstrip(b"\r\n"), COHORTS)
                except Rejected as why:
                    self.rejects[why.args] += 1
                    continue
                time = record["time"]
                newest = max(newest, time)
                arrival = record["_ts"] * 1_000 if "_ts" in record else time
                watermark = max(watermark, min(time, arrival) - LATENESS_US)
                self.closed_until = watermark // self.window_us * self.window_us
                self.record(record, devices, past)
        end = (newest // self.window_us + 1) * self.window_us
        covered = defaultdict(lambda: defaultdict(int))  # (ring, changes) -> window -> +-devices
        for marks in past + [device.marks for device in devices.values()]:
            self.at_risk(marks, end, covered)
        for (ring, changes), steps in covered.items():
            devices_whole = 0
            for window in range(min(steps), end // self.window_us):
                devices_whole += steps.get(window, 0)
                if devices_whole:
                    self.risk[window, ring, changes] += devices_whole * self.window_us

    def record(self, record, devices, past):
        name, kind, time = record["device"], record["type"], record["time"]
        device = devices.get(name)
        if device is None:
            device = devices[name] = Device()
        window = time // self.window_us
        named = record["ring"]
        ring = named if named in self.rings else "unmanaged"
        counts = self.by_set[window, ring, device.changes]
        seq = record.get("seq")
        if seq is not None and not (kind == "lifecycle" and record["state"] == "reset"):
            if seq in device.seen:
                counts[DUPLICATES] += 1
                return
            device.seen.add(seq)
        counts[RECORDS] += 1
        hour = time // HOUR_US
        self.present[hour, ring, device.changes].add(name)
        if kind == "lifecycle" and record["state"] == "reset":
            self.end_risk(device, time)
            past.append(device.marks)
            device = devices[name] = Device()
            device.seen.add(seq)
            self.present[hour, ring, NONE].add(name)
        is_newest, before = time >= device.newest, device.changes
        cohorts = self.cohorts_of(record, device, is_newest)
        is_move = kind == "lifecycle" and record["state"] == "moved"
        if is_newest:
            if device.ring not in (None, named) and not is_move:
                self.hit(device, "ring_drift", time, window, ring, device.changes, cohorts, 1)
            device.newest, device.ring = time, named
        if kind == "heartbeat":
            counts[HEARTBEATS] += 1
            if is_newest:
                device.interval = record.get("interval_s", INTERVAL_S)
        elif kind == "boot":
            counts[BOOTS] += 1
            self.lasts(window, ring, device.changes, "boot_ms", record["boot_ms"])
            self.lasts(window, ring, device.changes, "signin_ms", record["signin_ms"])
            self.boot(device, record, time, window, ring, cohorts)
        elif kind == "update":
            self.update(device, record, window, ring, cohorts)
            if device.changes is not before:
                stands_in = device.ring if device.ring in self.rings else "unmanaged"
                self.present[hour, stands_in, device.changes].add(name)
        elif kind == "fault":
            signal = record["kind"] if record["kind"] in FAULT_KINDS else "other"
            count = record.get("count", 1)
            self.hit(device, signal, time, window, ring, device.changes, cohorts, count)
        elif kind == "ticket":
            self.hit(device, "support_ticket", time, window, ring, device.changes, cohorts, 1)
        if kind in ("ticket", "audit"):
            return
        if kind == "lifecycle" and record["state"] in ("offline", "retired"):
            self.end_risk(device, time)
            return
        interval = record.get("interval_s", device.interval)
        risk_end = time + RISK_INTERVALS * interval * 1_000_000
        device.marks.append(Mark(time, ring, None, risk_end, is_newest))
        if device.changes is not before:
            # Reported late: exposure changes no window that is closed.
            device.marks.append(Mark(max(time, self.closed_until), None, device.changes))

    @staticmethod
    def end_risk(device, time):
        device.marks.append(Mark(time, risk_end=None))

    @staticmethod
    def cohorts_of(record, device, is_newest):
        """Its cohort values: those of the record, else the last known."""
        attrs = record.get("attrs") or {}
        own = {}
        for name in COHORTS:
            value = record.get(name) if name in ("model", "build") else attrs.get(name)
            if value is not None:
                own[name] = value
        if not own:
            return device.cohorts
        if own.items() <= device.cohorts.items():
            return device.cohorts
        merged = {**device.cohorts, **own}
        if is_newest:
            device.cohorts = merged
        return merged

    def lasts(self, window, ring, scope, kind, value):
        """Counts a duration: exact below 16, then 16 equal buckets per power of two."""
        width = 1 << max(value.bit_length() - 5, 0)
        self.lasted[window, ring, scope, kind, value // width * width + width - 1] += 1

    def hit(self, device, signal, time, window, ring, scope, cohorts, events):
        """Counts events, and the device as affected after a quiet period."""
        last = device.hits.get(signal)
        affected = int(last is None or time >= last + QUIET_US)
        if last is None or time > last:
            device.hits[signal] = time
        self.count_hit(signal, window, ring, scope, cohorts, affected, events)

    def count_hit(self, signal, window, ring, scope, cohorts, affected, events):
        for cohort in (None, *cohorts.items()):
            sums = self.hits[window, ring, scope, signal, cohort]
            sums[0] += affected
            sums[1] += events

    def boot(self, device, record, time, window, ring, cohorts):
        """Three boots within half an hour; one older than the last boot known tells nothing."""
        if record["reason"] == "update" or (device.boots and time < device.boots[-1]):
            return
        device.boots = [*device.boots[-2:], time]
        if len(device.boots) == 3 and device.boots[2] - device.boots[0] <= BOOT_LOOP_US:
            device.boots = []
            self.hit(device, "boot_loop", time, window, ring, device.changes, cohorts, 1)

    def update(self, device, record, window, ring, cohorts):
        change, state = record["change"], record["state"]
        counts = self.by_change[window, ring, change]
        if state in BY_STATE:
            counts[BY_STATE[state]] += 1
        if state == "installed" and record.get("duration_ms") is not None:
            self.lasts(window, ring, change, "install_ms", record["duration_ms"])
        if state == "installing" and device.attempt != (change, "ended"):
            device.attempt = (change, "open")
        elif state in ("installed", "failed", "rolled_back") and device.attempt == (change, "open"):
            device.attempt = (change, "ended")
            if state != "installed":
                self.count_hit("install_failure", window, ring, change, cohorts, 1, 1)
        if state in ("installing", "installed") and change not in device.changes:
            device.changes = shared(device.changes | {change})
            counts[EXPOSED] += 1
        elif state in ("rolled_back", "uninstalled"):
            device.changes = shared(device.changes - {change})

    def at_risk(self, marks, end, covered):
        """Adds the union of the times at risk of one device, cut at `end`."""
        until, since, ring, changes = 0, 0, None, NONE
        for mark in sorted(marks, key=lambda mark: mark.time):
            if ring:
                self.add_span(since, min(until, mark.time, end), (ring, changes), covered)
            since = mark.time
            until = since if mark.risk_end is None else max(until, mark.risk_end)
            if mark.is_newest or not ring:
                ring = mark.ring or ring
            changes = changes if mark.changes is None else mark.changes
        if ring:
            self.add_span(since, min(until, end), (ring, changes), covered)

    def add_span(self, since, until, owner, covered):
        """Whole windows go to `covered` as differences, the ends straight to the sums."""
        if until <= since:
            return
        ring, changes = owner
        first, last = since // self.window_us, until // self.window_us
        if first == last:
            self.risk[first, ring, changes] += until - since
            return
        self.risk[first, ring, changes] += (first + 1) * self.window_us - since
        if until > last * self.window_us:
            self.risk[last, ring, changes] += until - last * self.window_us
        steps = covered[owner]
        steps[first + 1] += 1
        steps[last] -= 1

    def expand_health(self):
        """(window start, change, ring, arm) -> counts and device-seconds."""
        health = defaultdict(lambda: [0] * 10)
        for window, _, change in self.by_change:
            self.tracked[change] = min(window, self.tracked.get(change, window))
        whole = defaultdict(lambda: [0] * 10)
        for key in {*self.by_set, *self.risk}:
            counts = [*self.by_set.get(key, [0] * 9), self.risk.get(key, 0) / 1e6]
            window, ring, changes = key
            add(health[window, None, ring, None], counts)
            add(whole[window, ring], counts)
            for change in changes if ring in self.rings else ():
                add(health[window, change, ring, "treated"], counts)
        for (window, ring), counts in whole.items():
            for change, first in self.tracked.items() if ring in self.rings else ():
                if window >= first:
                    treated = health.get((window, change, ring, "treated"), [0] * 10)
                    rest = [all_ - part for all_, part in zip(counts, treated)]
                    add(health[window, change, ring, "control"], rest)
        for (window, ring, change), counts in self.by_change.items():
            add(health[window, None, ring, None], [*counts, 0])
            if ring in self.rings:
                add(health[window, change, ring, "treated"], [*counts, 0])
        for (_, change, _, _), counts in health.items():
            if change is not None:
                counts[RECORDS] = counts[DUPLICATES] = 0
        return health

    def arms(self, window, ring, scope):
        """(change, arm) of all rows that a count of one change, or of one set, belongs to."""
        yield None, None
        if ring not in self.rings:
            return
        if isinstance(scope, str):
            yield scope, "treated"
            return
        for change, first in self.tracked.items():
            if change in scope:
                yield change, "treated"
            elif window >= first:
                yield change, "control"

    def expand_durations(self):
        """(window start, change, ring, arm, kind, greatest value of a bucket) -> records."""
        durations = defaultdict(int)
        for (window, ring, scope, kind, bucket), count in self.lasted.items():
            for change, arm in self.arms(window, ring, scope):
                durations[window, change, ring, arm, kind, bucket] += count
        return durations

    def expand_heard(self):
        """(hour start, change, ring, arm) -> devices with an applied record in the hour."""
        heard = defaultdict(set)
        for (hour, ring, changes), devices in self.present.items():
            last_window = ((hour + 1) * HOUR_US - 1) // self.window_us
            for change, arm in self.arms(last_window, ring, changes):
                heard[hour, change, ring, arm] |= devices
        return heard

    def expand_signals(self):
        """(window start, change, ring, arm, signal, cohort) -> affected devices, events."""
        signals = defaultdict(lambda: [0, 0])
        for (window, ring, scope, signal, cohort), counts in self.hits.items():
            for change, arm in self.arms(window, ring, scope):
                add(signals[window, change, ring, arm, signal, cohort], counts)
        return signals


sets = {}


def shared(changes):
    """One object per distinct set of changes: less memory, faster keys."""
    return sets.setdefault(changes, changes)


def add(sums, more):
    for position, value in enumerate(more):
        sums[position] += value


def main():
    model = Model(sys.argv[1])
    whole = [0] * 10
    for (_, change, _, _), counts in model.health.items():
        if change is None:
            add(whole, counts)
    print(json.dumps({
        "lines": model.lines,
        **dict(zip((*COUNTS, "device_seconds"), whole)),
        "rejected": {f"{stage} {field}": count for (stage, field), count in model.rejects.items()},
    }, indent=1))


if __name__ == "__main__":
    main()
