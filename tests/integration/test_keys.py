"""keys.slots beside a running broker: where it is, what wraps it, and what is said about destroying keys."""

import json
import os
import pathlib
import secrets
import shutil
import tempfile
import unittest

from harness import BROKER_USER, OwnBrokerTest, eventually, free_port, own_only
from test_household import get, metric

not_under = ("tsan",)

CLEAR = "erase level clear: a key that is destroyed is overwritten where it lies"
NONE = "erase level none: what was deleted may still be read"
REQUIRED = "erase_level_required clear: the erase level is none"


class KeysTest(OwnBrokerTest):
    abstract = True

    def setUp(self):
        super().setUp()
        self.admin = free_port()
        self.elsewhere = pathlib.Path(tempfile.mkdtemp(prefix="metrino-test-"))
        self.addCleanup(shutil.rmtree, self.elsewhere, ignore_errors=True)
        self.elsewhere.chmod(0o755)
        self.slots = self.broker.data / "keys.slots"

    def start(self, config=""):
        self.broker.config = f"admin_listener {self.admin}\n{config}"
        self.broker.start()

    def refused(self, config, *phrases):
        self.broker.config = config
        self.broker.write_config()
        code, words = self.broker.run_to_end()
        self.assertEqual(code, 1, words)
        for phrase in phrases:
            self.assertIn(phrase, words)

    def number(self, name):
        return metric(get(self.admin, "/metrics")[1], f"metrino_{name}")

    def configs(self):
        """What the audit log says of settings."""
        lines = (self.broker.data / "log" / "audit.jsonl").read_bytes().splitlines()
        return [entry for entry in map(json.loads, lines) if entry["event"] == "config"]

    def key_file(self, name="wrapping", content=None, mode=0o400):
        path = self.elsewhere / name
        path.write_bytes(secrets.token_bytes(32) if content is None else content)
        path.chmod(mode)
        return path


@own_only("keys.slots")
class Wrapping(KeysTest):
    abstract = False

    def test_without_a_key_it_is_erasure_only(self):
        self.start()
        self.assertIn("at rest: erasure only", self.broker.log())
        self.assertEqual(self.number("keys_wrapped"), 0)
        self.assertEqual(self.slots.stat().st_size, 256 * 4096)
        self.assertEqual(self.slots.stat().st_mode & 0o7777, 0o600)

    def test_keys_are_wrapped_when_a_key_comes(self):
        self.start()
        self.broker.stop()
        before = self.slots.read_bytes()
        key = self.key_file()
        self.start(f"key_file {key}")
        self.assertIn("at rest: keys are wrapped under key_file", self.broker.log())
        self.assertEqual(self.number("keys_wrapped"), 1)
        self.assertEqual([entry["keys_wrapped"] for entry in self.configs()], ["none", "key_file"])
        self.broker.stop()
        after = self.slots.read_bytes()
        clear = [before[at + 32:at + 64] for at in range(0, len(before), 4096) if before[at + 10] == 1]
        self.assertGreaterEqual(len(clear), 4)
        for one in clear:
            self.assertNotIn(one, after)
        self.assertEqual(sum(after[at + 10] == 2 for at in range(0, len(after), 4096)), len(clear))

    def test_another_key_or_none_changes_nothing(self):
        self.start(f"key_file {self.key_file()}")
        self.broker.stop()
        before = self.slots.read_bytes()
        self.refused(f"key_file {self.key_file('other')}", "wrapped under another key than that of key_file",
                     "nothing was changed")
        self.refused("", "key_file must name the file")
        self.assertEqual(self.slots.read_bytes(), before)

    def test_unfit_files(self):
        self.refused(f"key_file {self.key_file(mode=0o644)}", "key_file", "(mode 0644): chmod 0400")
        self.refused(f"key_file {self.key_file('short', b'password')}", "has fewer bytes", "head -c 32 /dev/urandom")
        self.refused(f"key_file {self.elsewhere}/none", "cannot be read", f"{self.elsewhere}/none")
        self.assertFalse(self.slots.exists())

    def test_credential(self):
        key = self.key_file("metrino-keys")
        os.environ["CREDENTIALS_DIRECTORY"] = str(self.elsewhere)
        self.addCleanup(os.environ.pop, "CREDENTIALS_DIRECTORY")
        self.start()
        self.assertIn("at rest: keys are wrapped under the credential metrino-keys", self.broker.log())
        self.assertEqual(self.configs()[-1]["keys_wrapped"], "credential")
        self.broker.stop()
        self.refused(f"key_file {key}", "and so is the credential", "take the other away")

    @unittest.skipIf(BROKER_USER is None, "not possible here: only root reads what the broker's user may not")
    def test_key_that_only_root_can_read(self):
        key = self.key_file()
        self.assertEqual(key.stat().st_uid, 0)
        self.start(f"key_file {key}")
        self.assertIn("at rest: keys are wrapped", self.broker.log())

    def test_reload_needs_a_restart(self):
        self.start()
        self.broker.config += f"\nkey_file {self.key_file()}"
        self.broker.write_config()
        self.broker.signal(1)
        eventually(lambda: "keys_location, key_file and erase_level_required: a change needs a restart"
                   in self.broker.log())


@own_only("keys.slots")
class Location(KeysTest):
    abstract = False

    def test_keys_elsewhere(self):
        place = self.elsewhere / "keys"
        place.mkdir(mode=0o700)
        self.broker.folders.append(place)
        self.start(f"keys_location {place}")
        self.assertEqual([path.name for path in place.iterdir()], ["keys.slots"])
        self.assertFalse(self.slots.exists())
        self.assertEqual(self.configs()[-1]["keys_location"], "elsewhere")
        self.broker.stop()
        self.start(f"keys_location {place}")

    def test_folder_is_made(self):
        self.broker.folders.append(self.broker.root)
        place = self.broker.root / "keys"
        self.start(f"keys_location {place}")
        self.assertEqual(place.stat().st_mode & 0o7777, 0o700)
        self.assertTrue((place / "keys.slots").exists())

    def test_the_data_directory_may_be_named(self):
        self.start(f"keys_location {self.broker.data}/.")
        self.assertTrue(self.slots.exists())

    def test_keys_are_not_left_behind(self):
        self.start()
        self.broker.stop()
        before = self.slots.read_bytes()
        self.refused(f"keys_location {self.broker.root}/keys", "the keys are in the data directory", "shred -u")
        self.assertEqual(self.slots.read_bytes(), before)

    def test_folder_of_others(self):
        place = self.elsewhere / "keys"
        place.mkdir(mode=0o700)
        (place / "letter.txt").write_text("mine")
        self.broker.folders.append(place)
        self.refused(f"keys_location {place}", "keys_location", "letter.txt")


@own_only("erase level")
class Level(KeysTest):
    """What a disk would do is in test_erase.py; memory is none."""

    abstract = False

    def test_said_and_counted(self):
        self.start()
        log = self.broker.log()
        self.assertEqual((CLEAR in log) + (NONE in log), 1)
        self.assertEqual(self.number("erase_level_clear"), int(CLEAR in log))
        self.assertLess(log.index("erase level"), log.index("is ready"))

    def in_memory(self):
        if not os.path.ismount("/dev/shm"):
            self.skipTest("not possible here: no /dev/shm")
        place = pathlib.Path(tempfile.mkdtemp(prefix="metrino-test-", dir="/dev/shm"))
        self.addCleanup(shutil.rmtree, place, ignore_errors=True)
        self.broker.folders.append(place)
        return place

    def test_none_is_said(self):
        self.start(f"keys_location {self.in_memory()}")
        self.assertIn(NONE, self.broker.log())
        self.assertIn("does not say where a file lies", self.broker.log())
        self.assertEqual(self.number("erase_level_clear"), 0)

    def test_none_is_fatal_where_clear_is_required(self):
        self.refused(f"keys_location {self.in_memory()}\nerase_level_required clear", REQUIRED,
                     "does not say where a file lies", "keys_location on such a file system")


if __name__ == "__main__":
    unittest.main()
