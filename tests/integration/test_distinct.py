"""No key and no nonce comes twice: in two runs, in copies of a data directory that go on by themselves, in several workers."""

import pathlib
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import unittest

from account import LASTING, AccountTest
from harness import ROOT, Broker, own_only
from test_erase import TOOL

sys.path[:0] = [str(ROOT / "tests" / "keys")]
import carve  # noqa: E402
import slots  # noqa: E402

not_under = ("tsan",)

COPIES = 3


class Seen:
    """Nonces with what was sealed with each: the same nonce may only be seen with the same bytes, which were copied."""

    def __init__(self):
        self.sealed, self.twice = {}, 0

    def see(self, nonces):
        for nonce, sealed in nonces:
            self.twice += self.sealed.setdefault(nonce, sealed) != sealed


@own_only("keys.slots")
class Keys(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="metrino-test-"))
        self.addCleanup(shutil.rmtree, self.root, ignore_errors=True)
        (self.root / "key").write_bytes(secrets.token_bytes(32))
        (self.root / "key").chmod(0o400)

    def churn(self, folder, day, seen):
        """The keys that were made, of the same days in each folder."""
        done = subprocess.run([str(TOOL), "-w", str(self.root / "key"), str(folder), "churn", "auth-day", str(day), "8"],
                              capture_output=True, text=True, timeout=60, check=True)
        seen.see((slot.field[:24], slot.head + slot.field) for slot in slots.read(folder / "keys.slots")
                 if slot.form == slots.WRAPPED)
        return re.findall(r"^key auth-day \d+ (\w{64})$", done.stdout, re.M)

    def test_runs_and_copies(self):
        first, seen = self.root / "0", Seen()
        first.mkdir()
        keys = self.churn(first, 20000, seen)
        folders = [first] + [self.root / str(i) for i in range(1, COPIES)]
        for folder in folders[1:]:
            shutil.copytree(first, folder)
        for day in (20008, 20016, 20024):
            for folder in folders:
                keys += self.churn(folder, day, seen)
        self.assertEqual(len(keys), 8 + 3 * COPIES * 8)
        self.assertEqual(len(set(keys)), len(keys))
        self.assertEqual(seen.twice, 0)
        self.assertGreater(len(seen.sealed), 4 + COPIES)


@own_only("sealed records")
class Records(AccountTest):
    workers = 4

    def work(self, number):
        """Accounts, keys and sessions, on all workers."""
        for i in range(4):
            name = self.create(f"person{i}@number{number}.example.org")
            self.add_key(name)
            for j in range(4):
                with self.enter(name, "the password", f"{number}-{i}-{j}", properties=LASTING) as client:
                    client.subscribe(f"t/{i}/{j}", 1)

    def look(self, seen):
        found = carve.nonces((self.broker.data / "data.mdb").read_bytes())
        seen.see(found.items())
        return found

    def test_runs_and_copies(self):
        seen = Seen()
        original = self.broker
        for run in range(2):
            original.start()
            self.work(run)
            self.assertGreater(len(self.look(seen)), 8, "the search finds no records")
            original.stop()
        before = len(seen.sealed)
        copies = [original]
        for _ in range(COPIES - 1):
            copy = Broker(original.config, self.workers)
            self.addCleanup(copy.finish)
            shutil.rmtree(copy.data)
            shutil.copytree(original.data, copy.data)
            copies.append(copy)
        for self.broker in copies:
            self.broker.start()
        for self.broker in copies:
            self.work("x")  # the same in each
            self.account("delete", self.create("gone@example.org"))  # and the root is another one
        for self.broker in copies:
            self.broker.stop()
            self.look(seen)
        self.assertEqual(seen.twice, 0)
        self.assertGreaterEqual(len(seen.sealed), before + COPIES * 8)
        keys = [set(slots.keys(copy.data / "keys.slots").items()) for copy in copies]
        common = set.intersection(*keys)
        self.assertFalse([name for name, _ in common if name[0] == "root"], "roots that were made apart are the same")


if __name__ == "__main__":
    unittest.main()
