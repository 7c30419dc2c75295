"""The model against sums worked out by hand: python -m unittest (from this folder)."""

import json
import tempfile
import unittest
from pathlib import Path

from model import BOOTS, DUPLICATES, EXPOSED, HEARTBEATS, RECORDS, STARTED, Model
from records import micros

WINDOW = micros("2026-07-19T04:00:00.000Z") // 60_000_000


def line(seq, second, record="heartbeat", device="a", ring="first", **fields):
    common = {"type": record, "device": device, "ring": ring, "seq": seq,
              "time": f"2026-07-19T04:{second // 60:02}:{second % 60:02}.000Z"}
    bodies = {"heartbeat": {"uptime_s": 1, "interval_s": 20},
              "boot": {"boot_ms": 1, "signin_ms": 1, "reason": "user"}}
    return {**common, **bodies.get(record, {}), **fields}


def model(*records):
    with tempfile.TemporaryDirectory() as folder:
        text = "".join(json.dumps(record) + "\n" for record in records)
        (Path(folder) / "telemetry-0.ndjson").write_text(text)
        return Model(folder)


class ModelTest(unittest.TestCase):
    def test_time_at_risk_is_the_union_of_three_intervals_cut_at_the_last_window(self):
        # 20 s intervals: [10, 70) and [30, 90) unite to [10, 90); the last window ends at 60.
        whole = model(line(1, 10), line(2, 30)).health
        self.assertEqual(whole[WINDOW, None, "first", None][9], 50)
        # A record at 130 s opens the windows up to 180 s: [10, 90) and [130, 180).
        whole = model(line(1, 10), line(2, 30), line(3, 130)).health
        seconds = [whole[WINDOW + n, None, "first", None][9] for n in range(3)]
        self.assertEqual(seconds, [50, 30, 50])

    def test_what_was_seen_is_a_duplicate_in_its_own_window(self):
        counts = model(line(1, 10), line(1, 10), line(2, 70)).health[WINDOW, None, "first", None]
        self.assertEqual((counts[HEARTBEATS], counts[RECORDS], counts[DUPLICATES]), (1, 1, 1))

    def test_exposure_moves_time_and_counts_to_the_treated_arm(self):
        health = model(
            line(1, 10),
            line(2, 20, "update", change="c", state="installing"),
            line(3, 30, "boot"),
            line(1, 40, device="b"),
        ).health
        treated = health[WINDOW, "c", "first", "treated"]
        control = health[WINDOW, "c", "first", "control"]
        self.assertEqual((treated[EXPOSED], treated[STARTED], treated[BOOTS]), (1, 1, 1))
        self.assertEqual((treated[9], control[9]), (40, 30))
        self.assertEqual((control[HEARTBEATS], control[RECORDS]), (2, 0))

    def test_a_device_is_affected_once_in_a_quiet_period_and_by_cohort(self):
        crash = {"kind": "os_crash", "count": 2}
        signals = model(
            line(1, 10, attrs={"driver": "x"}),
            line(2, 11, "fault", **crash),
            line(3, 12, "fault", **crash),
            line(4, 13, "fault", kind="gremlins"),
        ).signals
        key = (WINDOW, None, "first", None, "os_crash")
        self.assertEqual(signals[*key, None], [1, 4])
        self.assertEqual(signals[*key, ("driver", "x")], [1, 4])
        self.assertEqual(signals[WINDOW, None, "first", None, "other", None], [1, 1])

    def test_durations_stand_in_the_bucket_that_is_named_by_its_greatest_value(self):
        durations = model(
            line(1, 10, "boot", boot_ms=15, signin_ms=1_000),
            line(2, 20, "update", change="c", state="installed", duration_ms=1 << 40),
            line(3, 30, "boot", boot_ms=16, signin_ms=35),
        ).durations
        whole = {key[4:]: count for key, count in durations.items() if key[1] is None}
        self.assertEqual(whole, {
            ("boot_ms", 15): 1, ("boot_ms", 16): 1, ("signin_ms", 1_023): 1, ("signin_ms", 35): 1,
            ("install_ms", (1 << 40) + (1 << 36) - 1): 1,
        })
        treated = {key[4:] for key in durations if key[3] == "treated"}
        self.assertNotIn(("boot_ms", 15), treated)

    def test_a_device_is_heard_in_each_arm_it_is_in(self):
        heard = model(
            line(1, 10), line(2, 20, "update", change="c", state="installing"), line(1, 30, device="b"),
        ).heard
        hour = WINDOW // 60
        self.assertEqual(heard[hour, None, "first", None], {"a", "b"})
        self.assertEqual(heard[hour, "c", "first", "treated"], {"a"})
        self.assertEqual(heard[hour, "c", "first", "control"], {"a", "b"})

    def test_a_ring_that_is_not_configured_has_no_arms(self):
        health = model(line(1, 10, "update", ring="moon", change="c", state="installing")).health
        self.assertEqual({key[1:] for key in health}, {(None, "unmanaged", None)})


if __name__ == "__main__":
    unittest.main()
