"""keys.slots after a process that died at any of its steps, after a disk that failed, and after a loss of power: read
by tests/keys/slots.py, which is written from docs/records.md alone."""

import os
import pathlib
import random
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import unittest

from harness import COMMAND, ROOT, own_only
from test_erase import TOOL

sys.path[:0] = [str(ROOT / "tests" / "keys"), str(ROOT / "tests" / "power")]
import image  # noqa: E402
import slots  # noqa: E402

not_under = ("tsan",)

INSTALLATION = {("email-index", 0), ("token", 0), ("device-key", 0), ("recovery", 0)}
SANITIZED = any(f"/{variant}/" in word for word in COMMAND for variant in ("asan", "tsan"))
SHIM = ROOT / "build" / "power.so"


class ToolTest(unittest.TestCase):
    timeout_s = 200

    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="metrino-test-"))
        self.addCleanup(shutil.rmtree, self.root, ignore_errors=True)
        self.secret = secrets.token_bytes(40)
        (self.root / "key").write_bytes(self.secret)
        (self.root / "key").chmod(0o400)
        self.wrapping = slots.wrapping_key(self.secret)
        self.new_folder()

    def new_folder(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="data", dir=self.root))
        self.file = self.folder / "keys.slots"

    def run_tool(self, *words, code=0, wrapped=False, env=None):
        """Gives {(word, epoch): key} of the keys that were told, and all the words."""
        wrap = ["-w", str(self.root / "key")] if wrapped else []
        done = subprocess.run([str(TOOL), *wrap, *map(str, words)], capture_output=True, text=True, check=False,
                              timeout=60, env=dict(os.environ, **env) if env else None)
        if code is not None:
            self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        told = {(word, int(epoch)): bytes.fromhex(key)
                for word, epoch, key in re.findall(r"^key (\S+) (\d+) (\w{64})$", done.stdout, re.M)}
        return told, done.stdout + done.stderr

    def calls(self, *words, wrapped=False):
        """What changes a file, counted on a copy."""
        kept = pathlib.Path(tempfile.mkdtemp(dir=self.root))
        for path in self.folder.iterdir():
            shutil.copy2(path, kept)
        _, said = self.run_tool(kept, *words, wrapped=wrapped)
        return int(re.search(r"calls (\d+)", said).group(1))

    def now(self, wrapped=False):
        """As the tool opens it, which must be what the other reader finds."""
        told, _ = self.run_tool(self.folder, "settle", wrapped=wrapped)
        self.assertEqual(told, slots.keys(self.file, self.wrapping if wrapped else None))
        self.assertEqual([slot.number for slot in slots.read(self.file) if slot.form == slots.DAMAGED], [])
        self.assertEqual(sum(slot.form in (slots.CLEAR, slots.WRAPPED) for slot in slots.read(self.file)), len(told), "twice")
        self.assertLessEqual(INSTALLATION, set(told))
        return told

    def each_death(self, *words, before=(), wrapped=False):
        """Dies at each step of a command; gives what was there before, what was told, what is there now."""
        for setup in before:
            self.run_tool(self.folder, *setup)
        saved = self.folder
        steps = self.calls(*words, wrapped=wrapped)
        self.assertGreater(steps, 1)
        for fault in (("-k",), ("-h", "-k"), ("-f",)):
            for step in range(1, steps + 1):
                self.new_folder()
                for path in saved.iterdir():
                    shutil.copy2(path, self.folder)
                old = slots.keys(self.file) if before else {}
                with self.subTest(fault=fault, step=step):
                    told, said = self.run_tool(*fault, step, self.folder, *words, wrapped=wrapped, code=None)
                    yield old, told, said, self.now(wrapped)
                shutil.rmtree(self.folder)
        self.folder, self.file = saved, saved / "keys.slots"


@own_only("keys.slots")
class Deaths(ToolTest):
    def test_the_first_open_and_a_key(self):
        for _, told, _, now in self.each_death("make", "envelope", 7):
            for name, key in told.items():
                self.assertEqual(now[name], key, "a key that was told is gone")

    def test_make(self):
        for old, told, _, now in self.each_death("make", "root", 8, before=[("make", "root", 7)]):
            self.assertEqual({name: now.get(name) for name in old}, old)
            for name, key in told.items():
                self.assertEqual(now[name], key)

    def test_destroy(self):
        kept = gone = 0
        for old, _, said, now in self.each_death("destroy", "root", 7, before=[("make", "root", 7), ("make", "root", 8)]):
            victim = old.pop(("root", 7))
            self.assertEqual({name: now.get(name) for name in old}, old)
            there = ("root", 7) in now
            self.assertEqual(victim in self.file.read_bytes(), there, "half a key")
            if there:
                self.assertEqual(now["root", 7], victim)
                self.assertNotIn("destroyed", said)
            kept, gone = kept + there, gone + (not there)
        self.assertTrue(kept and gone)


@own_only("keys.slots")
class DeathsWhileWrapping(ToolTest):
    def test_wrapping(self):
        """All keys are there whenever it dies, and none of them in clear in the end."""
        before = [("make", "root", 7), ("make", "auth-day", 20000)]
        for old, _, _, now in self.each_death("open", before=before, wrapped=True):
            self.assertEqual(now, old)
            raw = self.file.read_bytes()
            self.assertEqual([name for name, key in old.items() if key in raw], [])


@own_only("keys.slots")
class DeathsInARow(ToolTest):
    def test_churn(self):
        for _, told, _, now in self.each_death("churn", "auth-day", 20000, 3, before=[("open",)]):
            days = [epoch for word, epoch in now if word == "auth-day"]
            self.assertLessEqual(len(days), 2)
            if told:
                last = max(told)
                self.assertEqual(now[last], told[last])


@own_only("keys.slots")
@unittest.skipIf(SANITIZED, "not possible here: a sanitizer wants to be loaded before the model of the disk")
class LossesOfPower(ToolTest):
    FOLDERS, LOSSES = 12, 4

    def setUp(self):
        super().setUp()
        if not SHIM.exists():
            subprocess.run(["make", "-s", "-C", str(ROOT), "build/power.so"], check=True, capture_output=True)

    def broken_promises(self, told, said, gone):
        """Of a run of churn that told these keys before the power went away: the last one is durable, and those that it
        said are gone are not in the file; `gone` holds all that ever were."""
        raw = self.file.read_bytes() if self.file.exists() else b""
        try:
            now = slots.keys(self.file) if raw else {}
        except ValueError:
            return 1
        gone += [told[word, int(epoch)] for word, epoch in re.findall(r"^gone (\S+) (\d+)$", said, re.M)]
        return sum(now.get(name) != told[name] for name in sorted(told)[-1:]) + sum(key in raw for key in gone)

    def live(self, seed, lies=False):
        """One folder, from its first start through some losses; gives how often a promise was broken, and the disk."""
        chance, journal = random.Random(seed), self.root / "journal"
        self.new_folder()
        disk = image.Disk(self.folder, chance)
        gone, broken = [], 0
        for day in range(20000, 20000 + 4 * self.LOSSES, 4):
            env = disk.environment(SHIM, journal, chance.randrange(1, 48), lies)
            told, said = self.run_tool(self.folder, "churn", "auth-day", day, 4, code=None, env=env)
            disk.lose(journal)
            broken += self.broken_promises(told, said, gone)
            self.run_tool(self.folder, "settle", code=None if lies else 0)
            for word, epoch in slots.keys(self.file) if not lies else ():
                if word == "auth-day":
                    self.run_tool(self.folder, "destroy", word, epoch)
            disk.remember()
        return broken, disk

    def test_promises_are_kept(self):
        unsynced = 0
        for seed in range(self.FOLDERS):
            broken, disk = self.live(seed)
            self.assertEqual(broken, 0, f"seed {seed}")
            unsynced += disk.unsynced
        self.assertGreater(unsynced, 0)

    def test_a_disk_that_lies_is_noticed(self):
        self.assertGreater(sum(self.live(seed, lies=True)[0] for seed in range(4)), 0)


@own_only("keys.slots")
class Reader(unittest.TestCase):
    def test_it_is_xaes_256_gcm(self):
        """The accumulated vectors of C2SP hold the other reader to the specification."""
        self.assertEqual(slots.accumulate(10000), "e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939")


if __name__ == "__main__":
    unittest.main()
