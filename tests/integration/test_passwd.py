"""`metrino passwd`, beside the mosquitto_passwd of Debian."""

import os
import pathlib
import subprocess
import tempfile
import unittest

import harness

not_under = ("tsan",)

METRINO = os.environ.get("METRINO") or str(harness.ROOT / "build" / "metrino")


def passwd(*words, stdin=""):
    """Exit code and words of `metrino passwd`."""
    done = subprocess.run([METRINO, "passwd", *map(str, words)], input=stdin, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=60, check=False, text=True)
    return done.returncode, done.stdout


CHEAP = ("--memory", "64", "--time", "1")


@harness.own_only("its own command")
class Passwd(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="metrino-test-")
        self.addCleanup(folder.cleanup)
        self.file = pathlib.Path(folder.name, "passwords")

    def users(self):
        return dict(line.split(":", 1) for line in self.file.read_text().splitlines())

    def test_the_recommended_parameters_are_the_default(self):
        self.assertEqual(passwd("-c", "-b", self.file, "bob", "secret"), (0, ""))
        self.assertRegex(self.users()["bob"], r"^\$argon2id\$v=19\$m=65536,t=3,p=4\$[^$]{22}\$[^$]{43}$")
        self.assertEqual(self.file.stat().st_mode & 0o7777, 0o600)

    def test_adds_changes_and_deletes(self):
        self.assertEqual(passwd("-c", *CHEAP, self.file, "bob", stdin="secret\n")[0], 0)
        first = self.users()["bob"]
        self.assertEqual(passwd("-b", *CHEAP, self.file, "eve", "-c")[0], 0)
        self.assertEqual(passwd("-b", *CHEAP, self.file, "bob", "secret")[0], 0)
        self.assertEqual(list(self.users()), ["bob", "eve"])
        self.assertNotEqual(self.users()["bob"], first, "the same password has another salt")
        self.assertEqual(passwd("-D", self.file, "bob")[0], 0)
        self.assertEqual(list(self.users()), ["eve"])
        code, words = passwd("-D", self.file, "bob")
        self.assertEqual((code, "no such user" in words), (1, True))

    def test_owner_and_mode_stay(self):
        passwd("-c", "-b", *CHEAP, self.file, "bob", "x")
        self.file.chmod(0o640)
        if os.geteuid() == 0:
            os.chown(self.file, 4711, 815)
        before = self.file.stat()
        self.assertEqual(passwd("-b", *CHEAP, self.file, "bob", "y")[0], 0)
        after = self.file.stat()
        self.assertEqual((after.st_mode, after.st_uid, after.st_gid), (before.st_mode, before.st_uid, before.st_gid))
        self.assertEqual(os.listdir(self.file.parent), ["passwords"])

    def test_hashes_plain_passwords_and_no_others(self):
        self.file.write_text("# users\nbob:secret\neve:$6$YWJjZA==$YWJjZA==\nann:two words\n")
        self.assertEqual(passwd("-U", *CHEAP, self.file), (0, "2 passwords hashed\n"))
        lines = self.file.read_text().splitlines()
        self.assertEqual([lines[0], lines[2]], ["# users", "eve:$6$YWJjZA==$YWJjZA=="])
        for line, user in ((lines[1], "bob"), (lines[3], "ann")):
            self.assertTrue(line.startswith(f"{user}:$argon2id$"), line)
        self.assertEqual(passwd("-U", *CHEAP, self.file), (0, "0 passwords hashed\n"))

    def test_says_what_is_wrong(self):
        for words, said in ((("-H", "sha512", self.file, "bob"), "argon2id"),
                            ((self.file,), "FILE USER"),
                            (("-b", self.file, "bob"), "PASSWORD"),
                            (("-c", "-D", self.file, "bob"), "exclude"),
                            (("-x", self.file, "bob"), "-x"),
                            (("-b", self.file, "bob:", "x"), "colon"),
                            (("-b", self.file, "", "x"), "empty"),
                            (("-b", "-c", self.file, "bob", ""), "1 to 65535"),
                            (("--memory", "31", self.file, "bob"), "32 to"),
                            (("-b", self.file, "bob", "x"), "No such file")):
            code, text = passwd(*words)
            self.assertEqual(code, 1, words)
            self.assertIn(said, text)
        self.assertFalse(self.file.exists())
