"""`metrino audit schedule` with a real broker's keys: of hours and days, and of minutes where logins are kept for less than two days."""

from harness import eventually, own_only
from test_audit import METRINO, run
from test_audit_hours import ClockTest

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
        self.await_hour(2)
        made, gone = self.epochs("key.new"), self.epochs("key.gone")
        self.assertGreaterEqual(len(gone), 4)
        self.assertEqual({epoch for epoch in made if epoch < MINUTES or epoch % 10}, set())
        self.assertLess(gone, made)
        status, said = self.schedule()
        self.assertEqual(status, 0, said)
        self.assertIn(" 0 late", said)
        self.assertNotIn(" 0 destroyed in time", said)
