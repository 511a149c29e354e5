"""`metrino compact`: the data file of a broker that does not run, made smaller."""

import os
import subprocess
import unittest

from harness import ROOT, OwnBrokerTest, own_only

not_under = ("tsan",)

METRINO = os.environ.get("METRINO") or str(ROOT / "build" / "metrino")


@own_only("metrino compact")
class Compact(OwnBrokerTest):
    def compact(self):
        return subprocess.run([METRINO, "compact", "--data", str(self.broker.data)], capture_output=True, text=True, timeout=30,
                              check=False)

    def lasting(self, name, clean=False):
        return self.client(name, clean=clean, properties=[("session_expiry_interval", 600)])

    def test_sessions_are_there_afterwards(self):
        self.broker.start()
        for number in range(300):
            self.lasting(f"goes-{number}").disconnect(properties=[("session_expiry_interval", 0)])
        self.lasting("stays", clean=True).disconnect()
        refused = self.compact()
        self.assertEqual(refused.returncode, 1)
        self.assertIn("another metrinod uses", refused.stderr)
        self.assertEqual(self.broker.stop(), 0)
        data = self.broker.data / "data.mdb"
        with open(data, "rb") as old:  # as somebody who has the old file's blocks
            done = self.compact()
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertNotEqual(os.fstat(old.fileno()).st_ino, data.stat().st_ino)
            self.assertEqual(old.read().strip(b"\0"), b"")
        before, now = (int(word) for word in done.stdout.split() if word.isdigit())
        self.assertLess(now, before)
        self.broker.start()
        self.assertTrue(self.lasting("stays").connack.session_present)
        self.assertFalse(self.lasting("goes-7").connack.session_present)

    def test_a_file_that_is_not_trusted_is_left_as_it_is(self):
        self.broker.start()
        self.lasting("stays", clean=True).disconnect()
        self.assertEqual(self.broker.stop(), 0)
        (self.broker.data / "unsynced").write_text("another boot\n")
        before = {path.name: path.stat().st_ino for path in self.broker.data.iterdir()}
        refused = self.compact()
        self.assertEqual(refused.returncode, 1)
        self.assertIn("start the broker first", refused.stderr)
        self.assertEqual({path.name: path.stat().st_ino for path in self.broker.data.iterdir()}, before)

    @unittest.skipUnless(os.geteuid() == 0, "not possible here: only root gives files to another user")
    def test_all_that_it_makes_is_the_broker_users(self):
        self.broker.start()
        self.assertEqual(self.broker.stop(), 0)
        (self.broker.data / "lock.mdb").unlink()
        for path in (self.broker.data, *self.broker.data.iterdir()):
            os.chown(path, 54321, 54321)
        self.assertEqual(self.compact().returncode, 0)
        owners = {path.name: (path.stat().st_uid, path.stat().st_gid) for path in self.broker.data.iterdir()}
        self.assertEqual(owners, dict.fromkeys(owners, (54321, 54321)))
        self.assertIn("lock.mdb", owners)
