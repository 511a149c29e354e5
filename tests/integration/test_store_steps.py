"""A data directory after a death, or a loss of power, at each step of what its keys go through: the root turns, an account and
sessions end, the envelope key is replaced. One root lives; nothing that was alive is lost; nothing that was destroyed is back.

STORE_STEPS   all: at every step (`make store-steps`); else at some, which are others in each of the situations
"""

import collections
import os
import pathlib
import random
import re
import shutil
import signal
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

SANITIZED = any(f"/{variant}/" in word for word in COMMAND for variant in ("asan", "tsan"))
SHIM = ROOT / "build" / "power.so"
STORE_TOOL = TOOL.parent / "store_tool"
ALL = os.environ.get("STORE_STEPS") == "all"
STRIDE = 1 if ALL else 41
CUT = -signal.SIGILL  # how the shim ends a process
BOOTS = ("1b4e28ba-2fa1-41d2-883f-0016d3cca427", "6ba7b810-9dad-41d1-80b4-00c04fd430c8")


class Told:
    """What the tool said, of one run or of several."""

    def __init__(self, *texts):
        self.alive, self.ending, self.ended = set(), set(), set()
        self.keys, self.gone, self.aside = {}, set(), False
        self.late = set()  # accounts that were told to have ended while there still was the root of before
        for line in "".join(texts).splitlines():
            self.take(*line.split())

    def take(self, word, kind="", number="0", key=""):
        thing = kind, int(number)
        if word == "key":
            self.keys[thing] = bytes.fromhex(key)
        elif word == "aside":
            self.aside = True
        else:
            getattr(self, word).add(thing)
        if word == "ended" and kind == "account" and len(self.roots()) != 1:
            self.late.add(thing)

    def roots(self):
        return {name for name in self.keys if name[0] == "root"} - self.gone

    def certain(self):
        """What has to be there."""
        return self.alive - self.ending


@own_only("keys.slots")
@unittest.skipIf(SANITIZED, "not possible here: a sanitizer wants to be loaded before the model of the disk")
class Steps(unittest.TestCase):
    """abstract: `options` of the tool, whether the power goes, and whether that is another boot"""
    timeout_s = 3000
    abstract = True
    options, power = (), False
    first = 1

    def setUp(self):
        if not SHIM.exists():
            subprocess.run(["make", "-s", "-C", str(ROOT), "build/power.so"], check=True, capture_output=True)
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="metrino-test-"))
        self.addCleanup(shutil.rmtree, self.root, ignore_errors=True)
        self.journal = self.root / "journal"
        for number, boot in enumerate(BOOTS):
            (self.root / f"boot{number}").write_text(boot + "\n")
        self.made = self.root / "made"
        self.made.mkdir(mode=0o700)
        self.filled = self.run_tool(self.made, "fill")
        self.seen = collections.Counter()

    def run_tool(self, folder, command, boot=0, code=0, **environment):
        environment |= {"LD_PRELOAD": str(SHIM), "METRINO_BOOT_ID": str(self.root / f"boot{boot}")}
        done = subprocess.run([str(STORE_TOOL), *self.options, str(folder), command], capture_output=True, text=True, check=False,
                              timeout=60, env=dict(os.environ, **environment))
        if code is not None:
            self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        self.code, self.said = done.returncode, done.stderr
        return done.stdout

    # --- one death

    def live_until(self, cut):
        """A folder whose process died at that step; what it had told."""
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.root)).resolve()
        shutil.copytree(self.made, folder, dirs_exist_ok=True)
        disk = image.Disk(folder, random.Random(cut))
        told = self.run_tool(folder, "live", code=None, **disk.environment(SHIM, self.journal, cut))
        self.assertIn(self.code, (0, CUT), self.said)
        if self.power:
            disk.lose(self.journal)
            self.seen["unsynced"] += disk.unsynced
        return folder, Told(self.filled, told)

    def steps(self):
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.root)).resolve()
        shutil.copytree(self.made, folder, dirs_exist_ok=True)
        self.run_tool(folder, "live", **image.Disk(folder, random.Random(0)).environment(SHIM, self.journal))
        return len(image.notes_in(self.journal))

    # --- what must be so

    def holders(self, folder, keys):
        """Which files hold which of these keys."""
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        return [(name, key) for name, raw in files.items() for key, secret in keys if secret in raw]

    def check_keys(self, folder, told, now, before):
        """One root and one envelope key; of all others that ever were there is nothing."""
        found = slots.read(folder / "keys.slots")
        self.assertEqual([slot.number for slot in found if slot.form == slots.DAMAGED], [])
        words = collections.Counter(slot.word for slot in found if slot.form == slots.CLEAR)
        self.assertEqual((words["root"], words["envelope"]), (1, 1))
        alive = slots.keys(folder / "keys.slots")
        dead = {*before.items(), *told.keys.items(), *now.keys.items()} - set(alive.items())
        self.assertEqual(self.holders(folder, dead), [])
        self.assertEqual([name for name in told.gone if (name, told.keys[name]) not in dead], [], "back")
        self.seen["dead"] += len(dead)

    def check_things(self, told, now):
        self.assertEqual(told.certain() - now.alive, set(), "lost")
        self.assertEqual(told.ended & now.alive, set(), "back")
        self.assertEqual(told.late, set())

    def check(self, folder, told):
        before = slots.keys(folder / "keys.slots")
        now = Told(self.run_tool(folder, "show"))
        self.assertFalse(now.aside)
        self.check_things(told, now)
        self.check_keys(folder, told, now, before)
        self.assertEqual(Told(self.run_tool(folder, "show")).alive, now.alive)

    def test_each_step(self):
        steps = self.steps()
        self.assertGreater(steps, 100)
        for cut in range(self.first, steps + STRIDE, STRIDE):
            with self.subTest(cut=cut):
                folder, told = self.live_until(cut)
                self.seen["half"] += len(told.ending - told.ended)
                gone = {(name, told.keys[name]) for name in told.gone}
                self.assertEqual(self.holders(folder, gone), [], "told to be destroyed, and there")
                self.check(folder, told)
            shutil.rmtree(folder)
        self.assertGreater(self.seen["dead"], 5)
        if ALL:
            self.assertGreater(self.seen["half"], 0)
        if self.power:
            self.assertGreater(self.seen["unsynced"], 0)


class Killed(Steps):
    abstract = False


class KilledProcess(Steps):
    """durability process: the machine runs on."""
    abstract = False
    options, first = ("-p",), 14


class PowerLost(Steps):
    abstract = False
    power, first = True, 27


class PowerLostProcess(Steps):
    """durability process: another boot starts empty, which is what was asked for, and no key opens what was put aside."""
    abstract = False
    options, power, first = ("-p",), True, 7

    def check(self, folder, told):
        before = slots.keys(folder / "keys.slots")
        now = Told(self.run_tool(folder, "show", boot=1))
        self.check_keys(folder, told, now, before)
        if not now.aside:  # it had not begun, or had ended in order
            self.seen["kept"] += 1
            self.check_things(told, now)
            return
        self.assertEqual(now.alive, set())
        (folder / "data.mdb.unsynced").rename(folder / "data.mdb")
        self.run_tool(folder, "show", boot=1, code=1)
        self.assertRegex(self.said, "which is not in keys.slots|is damaged")


if __name__ == "__main__":
    unittest.main()
