#!/usr/bin/python3
"""The broker whose power goes away at each of its first writes and syncs; and what it makes of another boot."""

import os
import pathlib
import random
import signal
import subprocess
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "chaos"), str(HERE.parent / "lib")]
sys.dont_write_bytecode = True

import harness  # noqa: E402
from broker import Broker, Failure  # noqa: E402
from newcomers import BROKEN, Sessions  # noqa: E402

COMMAND = os.environ.get("METRINOD") or str(harness.ROOT / "build" / "metrinod")
CUT = -signal.SIGILL    # how the shim ends a process
CUTS = 60               # from the first write of a new folder on
LOSSES = 12
SESSIONS = 6            # that come before each loss


class Power(unittest.TestCase):
    config = ()

    def broker(self, seed):
        broker = Broker(COMMAND, config=self.config, power=random.Random(seed))
        self.addCleanup(broker.finish)
        return broker

    def come(self, broker, sessions, count=SESSIONS):
        """New sessions, until so many came or the broker is dead."""
        for _ in range(count):
            if broker.running():
                sessions.one_comes()

    def up(self, broker, **how):
        broker.start(**how)
        broker.ready()

    def live_until_cut(self, broker, sessions, **how):
        """A start, sessions, and the loss, which may come at any time between."""
        try:
            self.up(broker, **how)
        except Failure:
            self.assertEqual(broker.process.returncode, CUT, broker.tail())
        self.come(broker, sessions)
        broker.kill()


class DurabilityPower(Power):
    def test_a_cut_at_each_write(self):
        for cut in range(1, CUTS):
            with self.subTest(cut=cut):
                broker = self.broker(cut)
                sessions = Sessions(broker.port)
                self.live_until_cut(broker, sessions, cut=cut)
                self.up(broker)
                self.assertEqual(sessions.broken_promises(), [])
                broker.finish()

    def test_losses_in_a_row(self):
        chance = random.Random(5)
        broker = self.broker(5)
        sessions = Sessions(broker.port)
        for loss in range(LOSSES):
            self.live_until_cut(broker, sessions, cut=chance.randrange(1, 200))
            self.up(broker)
            self.assertEqual(sessions.broken_promises(), [], f"after loss {loss}")
            broker.kill()
        self.assertGreater(len(sessions.told), LOSSES)
        self.assertGreater(broker.disk.unsynced, 0)

    def test_a_lying_disk_is_noticed(self):
        broken = 0
        for seed in range(5):
            broker = self.broker(seed)
            sessions = Sessions(broker.port)
            self.live_until_cut(broker, sessions, lies=True)
            try:
                self.up(broker, lies=True)
                broken += len(sessions.broken_promises())
            except (Failure, *BROKEN):
                broken += 1
            broker.finish()
        self.assertGreater(broken, 0)


def knows(key):
    """Does the broker have it?  Until it does, there is nothing to test."""
    broker = Broker(COMMAND, config=(key,))
    try:
        return subprocess.run([*broker.words, "--test-config"], capture_output=True, check=False).returncode == 0
    finally:
        broker.finish()


@unittest.skipUnless(knows("durability process"), "this broker has no key `durability`")
class DurabilityProcess(Power):
    config = ("durability process",)

    def setUp(self):
        self.boots = 0

    def boot(self, broker):
        """The environment of another boot of the machine."""
        self.boots += 1
        path = broker.root / "boot_id"
        path.write_text(f"{self.boots:08x}-0000-4000-8000-000000000000\n")
        return {"METRINO_BOOT_ID": str(path)}

    def lost_power(self, seed, **how):
        """A broker that had sessions, after a loss of power; not started again."""
        broker = self.broker(seed)
        sessions = Sessions(broker.port)
        self.live_until_cut(broker, sessions, **self.boot(broker), **how)
        return broker, sessions

    def test_another_boot_starts_empty_and_says_so(self):
        for seed in range(LOSSES):
            with self.subTest(seed=seed):
                broker, sessions = self.lost_power(seed, cut=random.Random(seed).randrange(30, 300) if seed else 0)
                self.up(broker, **self.boot(broker))
                for name in sessions.told:
                    with sessions.connect(name) as client:
                        self.assertEqual(client.connack.session_present, 0)
                if sessions.told:
                    self.assertRegex(broker.tail(), "warning: .*cannot be trusted.*start empty")
                    aside = {path.name for path in broker.data.iterdir()} - {"data.mdb", "lock.mdb", "control.sock"}
                    self.assertTrue(aside, "the old file is not there any more")
                broker.finish()

    def test_the_same_boot_keeps(self):
        broker = self.broker(1)
        sessions, boot = Sessions(broker.port), self.boot(broker)
        self.up(broker, **boot)
        self.come(broker, sessions)
        broker.process.kill()   # and no loss of power
        broker.process.wait(10)
        self.up(broker, **boot)
        self.assertEqual(sessions.broken_promises(), [])

    def test_an_orderly_stop_keeps(self):
        broker = self.broker(1)
        sessions = Sessions(broker.port)
        self.up(broker, **self.boot(broker))
        self.come(broker, sessions)
        broker.process.terminate()
        self.assertEqual(broker.process.wait(10), 0)
        broker.disk.lose(broker.journal)
        self.up(broker, **self.boot(broker))
        self.assertEqual(sessions.broken_promises(), [])


if __name__ == "__main__":
    unittest.main()
