"""Is a destroyed key gone from the disk? File systems are made in files, a key is destroyed on each, and the raw bytes of
the file system are searched for it: they must agree with the erase level that the broker reports."""

import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

from account import METRINO
from harness import BROKER_USER, COMMAND, ROOT, Broker, as_broker, own_only, tool

sys.path[:0] = [str(ROOT / "tests" / "keys")]
import slots  # noqa: E402

not_under = ("tsan",)

TOOL = pathlib.Path(os.environ.get("METRINO") or pathlib.Path(COMMAND[0]).parent / "metrino").parent / "keys_tool"
EPOCH = "123456"


def run(*command, check=True):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=60, check=False)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def keys_tool(directory, *words):
    return run(*as_broker(TOOL, directory, *words))


def holds(image, wanted):
    """Searches all of a file, holes aside."""
    with open(image, "rb") as file:
        end, before = file.seek(0, os.SEEK_END), b""
        at = 0
        while at < end:
            try:
                at = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:
                return False  # the rest is a hole
            stop, before = os.lseek(file.fileno(), at, os.SEEK_HOLE), b""
            while at < stop:
                part = os.pread(file.fileno(), min(1 << 22, stop - at), at)
                if wanted in before + part:
                    return True
                before, at = part[-len(wanted):], at + len(part)
    return False


def image_test(cls):
    """One class for each file system, so that they are made side by side."""
    return own_only("erase level")(unittest.skipIf(os.geteuid() != 0, "not possible here: only root may mount")(cls))


class ImageTest(unittest.TestCase):
    abstract = True
    make, size_mib, options = ("mkfs.ext4", "-q", "-F"), 64, ""

    def setUp(self):
        self.broker = None
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="metrino-test-"))
        self.folder.chmod(0o755)
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.image, self.mounted = self.folder / "image", []
        self.addCleanup(self.unmount)
        self.place = self.mount_image()

    # --- file systems

    def mount_image(self):
        maker = self.make[0]
        if not shutil.which(maker):
            tool(maker)
        with open(self.image, "wb") as file:
            file.truncate(self.size_mib << 20)
        run(*self.make, self.image)
        return self.mount(self.image, "fs", *(["-o", "loop," + self.options] if self.options else ["-o", "loop"]))

    def mount(self, what, name, *options):
        place = self.folder / name
        place.mkdir()
        done = subprocess.run(["mount", *options, str(what), str(place)], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            self.skipTest(f"not possible here: mount {' '.join(options)}: {done.stderr.strip()}")
        self.mounted.append(place)
        place.chmod(0o755)
        return place

    def unmount(self):
        """What was written is in the image then."""
        while self.mounted:
            run("umount", self.mounted.pop())

    # --- the broker, and what became of a key

    def level(self, place):
        """As the broker tells it at start; its data directory stays."""
        self.broker = Broker(root=place)
        self.data = self.broker.data
        with contextlib.ExitStack() as stack:
            stack.callback(self.broker.finish)
            self.broker.start()
            words = self.broker.log()
        return re.findall(r"erase level (clear|none)([^\n]*)", words)[-1]

    def make_key(self):
        key = bytes.fromhex(re.search(r"key \S+ \S+ (\w{64})", keys_tool(self.data, "make", "envelope", EPOCH)).group(1))
        run("sync", "-f", self.data)
        self.assertTrue(holds(self.image, key), "the search finds nothing, although the key is there")
        return key

    def destroy(self, how="destroy"):
        """Gives the level that the keyring tells afterwards."""
        return re.search(r"level (clear|none)", keys_tool(self.data, how, "envelope", EPOCH)).group(1)

    def confirm(self, level, key):
        """The raw image holds the key when, and only when, the level is none."""
        self.unmount()
        self.assertEqual(holds(self.image, key), level == "none", f"reported {level}")

    def check(self, wanted, phrase=""):
        level, why = self.level(self.place)
        self.assertEqual(level, wanted, why)
        self.assertIn(phrase, why)
        key = self.make_key()
        self.assertEqual(self.destroy(), wanted)
        self.confirm(level, key)


class Accounts:
    """A broker with accounts, by `metrino account`."""

    def __init__(self, root, config=""):
        self.broker = Broker(root=root, config="allow_anonymous false\nargon2_memory 256\nargon2_time 1\n" + config)

    def ask(self, *words, lines=()):
        done = subprocess.run([METRINO, "account", *words, "--data", str(self.broker.data)], timeout=30, text=True,
                              input="".join(line + "\n" for line in lines), capture_output=True, check=False)
        if done.returncode != 0:
            raise AssertionError(done.stderr)
        return done.stdout.strip()

    def create(self, address):
        self.name = self.ask("create", lines=(address, "the password"))

    def delete(self):
        self.ask("delete", self.name)


@image_test
class Ext4(ImageTest):
    abstract = False

    def test_overwritten(self):
        self.check("clear")

    def test_root_of_a_broker(self):
        """Deleting an account destroys the root that its key was wrapped under."""
        accounts = Accounts(self.place)
        self.addCleanup(accounts.broker.finish)
        accounts.broker.start()
        accounts.create("ann@example.org")
        before = self.root_key(accounts)
        accounts.broker.start()
        accounts.delete()
        after = self.root_key(accounts)
        self.assertNotEqual(before, after)
        self.unmount()
        self.assertEqual([holds(self.image, key) for key in (before, after)], [False, True])

    def root_key(self, accounts):
        accounts.broker.stop()
        found = [key for (word, _), key in slots.keys(accounts.broker.data / "keys.slots").items() if word == "root"]
        self.assertEqual(len(found), 1)
        run("sync", "-f", accounts.broker.data)
        self.assertTrue(holds(self.image, found[0]))
        return found[0]

    def test_many_keys(self):
        """None of those that were destroyed, one after another."""
        self.level(self.place)
        words = keys_tool(self.data, "churn", "auth-day", "20000", "60")
        self.assertIn("level clear", words)
        keys = [bytes.fromhex(key) for key in re.findall(r"key \S+ \d+ (\w{64})", words)]
        self.assertEqual(len(keys), 60)
        self.unmount()
        raw = self.image.read_bytes()
        self.assertEqual([key in raw for key in keys], 59 * [False] + [True])

    def test_renaming_is_seen(self):
        """What the search is for: a key file that is replaced by another one leaves its keys on the disk."""
        level, _ = self.level(self.place)
        key = self.make_key()
        self.assertEqual(self.destroy("rename"), "clear")  # it believes so
        self.assertNotIn(key.hex(), keys_tool(self.data, "settle"))
        with self.assertRaises(AssertionError):
            self.confirm(level, key)

    def test_small_blocks(self):
        """A slot of four blocks."""
        self.unmount()
        shutil.rmtree(self.folder / "fs")
        run("mkfs.ext4", "-q", "-F", "-b", "1024", self.image)
        self.place = self.mount(self.image, "fs", "-o", "loop")
        self.check("clear")

    def test_file_with_its_data_in_the_journal(self):
        self.level(self.place)
        if subprocess.run(["chattr", "+j", str(self.data / "keys.slots")], capture_output=True, check=False).returncode:
            self.skipTest("not possible here: chattr +j needs CAP_SYS_RESOURCE")
        level, why = self.level(self.place)
        self.assertEqual(level, "none")
        self.assertIn("journal", why)
        key = self.make_key()
        self.assertEqual(self.destroy(), "none")
        self.confirm(level, key)


@image_test
class Ext4Journal(ImageTest):
    abstract, options = False, "data=journal"

    def test_journal_keeps_it(self):
        self.check("none", "data=journal")

    def test_required(self):
        broker = Broker(root=self.place, config="erase_level_required clear")
        broker.write_config()
        code, words = broker.run_to_end()
        self.assertEqual(code, 1)
        self.assertRegex(words, "erase_level_required clear: the erase level is none.*data=journal")


class Overlay(ImageTest):
    """As containers have it: the file is made in the upper layer."""

    abstract = True

    def mount_image(self):
        below = super().mount_image()
        for name in ("lower", "upper", "work"):
            (below / name).mkdir()
        return self.mount("overlay", "over", "-t", "overlay", "-o",
                          f"lowerdir={below}/lower,upperdir={below}/upper,workdir={below}/work")


@image_test
class OverlayExt4(Overlay):
    abstract = False

    def test_overwritten(self):
        self.check("clear")


@image_test
class OverlayExt4Journal(Overlay):
    abstract, options = False, "data=journal"

    def test_journal_keeps_it(self):
        self.check("none", "journal")


@image_test
class Xfs(ImageTest):
    abstract, make, size_mib = False, ("mkfs.xfs", "-q", "-f", "-m", "reflink=1"), 320

    def test_overwritten(self):
        self.check("clear")

    def test_reflinked(self):
        self.level(self.place)
        key = self.make_key()
        run("cp", "--reflink=always", self.data / "keys.slots", self.place / "copy")
        level, why = self.level(self.place)
        self.assertEqual(level, "none")
        self.assertIn("shares its blocks", why)
        self.assertEqual(self.destroy(), "none")
        self.confirm(level, key)

    def test_reflinked_while_it_runs(self):
        """A broker that requires clear stops when a destruction shows that it is not."""
        accounts = Accounts(self.place, "erase_level_required clear")
        broker = accounts.broker
        self.addCleanup(broker.finish)
        broker.start()
        accounts.create("ann@example.org")
        self.assertIsNone(broker.process.poll())
        run("cp", "--reflink=always", broker.data / "keys.slots", self.place / "copy")
        with contextlib.suppress(AssertionError):  # it may end before it answers
            accounts.delete()
        self.assertEqual(broker.wait(), 1)
        self.assertRegex(broker.log(), "error: keys: erase_level_required clear: the erase level is none: .*: stopping")


@image_test
class Btrfs(ImageTest):
    abstract, make, size_mib = False, ("mkfs.btrfs", "-q"), 256

    def test_made_without_copies(self):
        self.check("clear")

    def test_file_that_was_copied_here(self):
        """It has no FS_NOCOW_FL."""
        self.level(self.place)
        slots = self.data / "keys.slots"
        run("cp", "--reflink=never", slots, self.folder / "slots")
        slots.unlink()
        run("cp", self.folder / "slots", slots)
        slots.chmod(0o600)
        os.chown(slots, BROKER_USER, BROKER_USER)
        level, why = self.level(self.place)
        self.assertEqual(level, "none")
        self.assertIn("wrote to another place", why)
        key = self.make_key()
        self.assertEqual(self.destroy(), "none")
        self.confirm(level, key)

    def test_snapshot(self):
        run("btrfs", "subvolume", "create", self.place / "volume")
        self.place = self.place / "volume"
        self.level(self.place)
        key = self.make_key()
        run("btrfs", "subvolume", "snapshot", self.place, self.place.parent / "snapshot")
        level, why = self.level(self.place)
        self.assertEqual(level, "none")
        self.assertIn("shares its blocks", why)
        self.assertEqual(self.destroy(), "none")
        self.confirm(level, key)


if __name__ == "__main__":
    unittest.main()
