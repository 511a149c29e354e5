"""`metrino audit schedule` with a real broker's keys: of hours and days, and of minutes where logins are kept for less than two days."""

import json

from harness import eventually, own_only
from test_audit import METRINO, Signed, complaint_of, run
from test_audit_hours import HOUR_S, ClockTest

not_under = ("tsan",)
MINUTES = 1000000  # epochs of auth keys from there on are minutes: docs/audit.md


@own_only("an audit log")
class Minutes(ClockTest):
    abstract = False

    def schedule(self):
        done = run(METRINO, "audit", "schedule", self.broker.data)
        return done.returncode, done.stdout.decode() + done.stderr.decode()

    def epochs(self, event):
        return {entry["epoch"] for entry in self.entries() if entry["event"] == event and entry["class"] == "auth"}

    def test_keys_of_ten_minutes(self):
        """Logins are kept for twenty minutes: two hours on each key of ten minutes is gone, and the schedule sees it."""
        self.broker.config = "sys_interval 1\nauth_expiry 1200s"
        self.start()
        self.await_hour(1)
        slots = self.broker.data / "keys.slots"
        for second in (601, 1201, 1801):
            before = slots.stat().st_mtime_ns
            self.to_hour(1, second)
            eventually(lambda: slots.stat().st_mtime_ns != before, what=f"the keys of second {second}")  # pylint: disable=W0640
        # On a busy machine a job may come after the entries of its hour: then the next ones tell what it did.
        for number in range(2, 8):
            self.await_hour(number)
            if len(self.epochs("key.gone")) >= 4:
                break
        made, gone = self.epochs("key.new"), self.epochs("key.gone")
        self.assertGreaterEqual(len(gone), 4)
        self.assertEqual({epoch for epoch in made if epoch < MINUTES or epoch % 10}, set())
        self.assertLess(gone, made)
        status, said = self.schedule()
        self.assertEqual(status, 0, said)
        self.assertIn(" 0 late", said)
        self.assertNotIn(" 0 destroyed in time", said)


@own_only("an audit log")
class Forged(Signed):
    """Logs that the holder of the key wrote anew, so that nothing but the schedule is wrong with them."""

    abstract = False
    BEGIN = 490000
    without = None  # the event that is taken out everywhere

    def entries(self, gone_h):
        """Twelve hours, of which each ends the key of the one before; `gone_h` says when, by epoch; None: never."""
        events = [(self.BEGIN, {"event": "start", "config": 0, "version": 0})]
        for hour in range(self.BEGIN, self.BEGIN + 12):
            events.append((hour, {"event": "key.new", "class": "envelope", "epoch": hour}))
            events += [(hour, {"event": "key.gone", "class": "envelope", "epoch": epoch, "level": "clear"})
                       for epoch in range(self.BEGIN, hour) if gone_h(epoch) == hour]
            events.append((hour, {"event": "job", "class": "envelope", "outcome": "done"}))
            events.append((hour, {"event": "receipts", "root": "00" * 32}))
        events = [(hour, event) for hour, event in events if event["event"] != self.without]
        return [json.dumps(dict(event, index=index, time=hour * HOUR_S), sort_keys=True, separators=(",", ":")).encode()
                for index, (hour, event) in enumerate(events)]

    def schedule(self, gone_h):
        self.sign(self.forge(self.width, lambda _: self.entries(gone_h)))
        self.width = len(self.entries(gone_h))
        self.assertIsNone(complaint_of(self.log))
        done = run(METRINO, "audit", "schedule", self.data)
        return done.returncode, done.stdout.decode() + done.stderr.decode()

    def test_key_gone_removed_or_late(self):
        self.width = 3
        self.made(3, 3)
        status, said = self.schedule(lambda epoch: epoch + 1)
        self.assertEqual(status, 0, said)
        self.assertIn("12 keys that end: 11 destroyed in time", said)
        fifth = self.BEGIN + 5
        status, said = self.schedule(lambda epoch: None if epoch == fifth else epoch + 1)
        self.assertEqual(status, 1, said)
        self.assertRegex(said, f"class envelope, epoch {fifth}, made in entry [0-9]+, is not destroyed yet, and is 5 hours late")
        self.without = "receipts"
        status, said = self.schedule(lambda epoch: None if epoch == fifth else epoch + 1)
        self.assertEqual(status, 1, said)
        self.assertRegex(said, f"class envelope, epoch {fifth}, made in entry [0-9]+, is not destroyed yet, and is 5 hours late")
        self.assertIn("the hour of entry 0 has entries and none of its receipts", said)
        status, said = self.schedule(lambda epoch: epoch + 1)
        self.assertEqual(status, 1, said)
        self.assertIn("0 keys did not end as they should, and 12 hours lack entries", said)
        self.without = None
        status, said = self.schedule(lambda epoch: epoch + 1 + 2 * (epoch == fifth))
        self.assertEqual(status, 1, said)
        self.assertRegex(said, f"class envelope, epoch {fifth}, made in entry [0-9]+, was destroyed 2 hours late")
