"""`metrino backup`: the audit log and the configuration, of a broker that runs or does not."""

import base64
import re
import shutil
import threading

from harness import ROOT, OwnBrokerTest, own_only
from test_audit import METRINO, LogTest, append, complaint_of, run, verifier

not_under = ("tsan",)


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@own_only("metrino backup")
class OfLog(LogTest):
    abstract = False

    def setUp(self):
        super().setUp()
        self.into = self.data.parent / (self.data.name + "-backup")
        self.addCleanup(shutil.rmtree, self.into, ignore_errors=True)

    def backup(self, *words):
        return run(METRINO, "backup", self.into, "--data", self.data, *words)

    def backed_up(self, *words):
        done = self.backup(*words)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def refused(self, words, *arguments):
        done = self.backup(*arguments)
        self.assertEqual((done.returncode, done.stdout), (1, b""))
        self.assertIn(words, done.stderr.decode())

    def test_the_log_alone(self):
        self.made(300, 100)
        done = self.backed_up()
        self.assertIn(b"300 entries", done.stdout)
        self.assertIn(b"no configuration", done.stdout)
        self.assertEqual((self.into / "backup.txt").read_bytes(), done.stdout)
        self.assertEqual(self.into.stat().st_mode & 0o777, 0o700)
        self.assertEqual(verifier.verify(self.into / "log")[0], 300)
        theirs, ours = contents(self.log), contents(self.into / "log")
        self.assertEqual(ours, {name: theirs[name] for name in theirs if name != "key"})

    def test_an_empty_directory_is_taken(self):
        self.made(3)
        self.into.mkdir(mode=0o755)
        self.backed_up()
        self.assertEqual(self.into.stat().st_mode & 0o777, 0o700)

    def test_a_backup_is_never_overwritten(self):
        self.made(3)
        self.backed_up()
        before = contents(self.into)
        self.made(2)
        self.refused("is not empty")
        self.assertEqual(contents(self.into), before)

    def test_a_directory_with_anything_is_refused(self):
        self.made(3)
        self.into.mkdir()
        (self.into / ".hidden").touch()
        self.refused("is not empty")
        self.assertEqual(list(contents(self.into)), [".hidden"])

    def test_any_flipped_byte_is_refused(self):
        self.made(3, 3)
        for name in ("checkpoint", "tile/entries/000.p/3"):
            right = (self.log / name).read_bytes()
            for at in range(0, len(right), 7):
                (self.log / name).write_bytes(right[:at] + bytes([right[at] ^ 1]) + right[at + 1:])
                self.assertEqual(self.backup().returncode, 1, f"{name} byte {at}")
                self.assertFalse((self.into / "backup.txt").exists())
                shutil.rmtree(self.into, ignore_errors=True)
            (self.log / name).write_bytes(right)
        self.backed_up()

    def test_what_is_left_of_a_failure_is_said(self):
        self.made(3, 3)
        entries = self.log / "tile/entries/000.p/3"
        entries.write_bytes(entries.read_bytes().replace(b"envelope", b"envelopf", 1))
        self.refused("is not a whole backup, remove it")
        self.refused("is not empty")

    def test_another_key(self):
        self.made(3)
        other = self.data.parent / (self.data.name + "-other")
        self.addCleanup(shutil.rmtree, other, ignore_errors=True)
        other.mkdir(mode=0o700)
        append(other, 3)
        self.refused("it is of the log", "--vkey", other / "log" / "vkey")
        self.assertFalse(self.into.exists())
        self.backed_up("--vkey", (self.log / "vkey").read_text().strip())

    def test_where_nothing_is(self):
        self.refused("no audit log there")
        self.assertFalse(self.into.exists())
        self.made(1)
        self.refused("cannot be read", "-c", self.data / "nothing.conf")

    def test_not_into_the_data_directory(self):
        self.made(3)
        for data in (self.data, self.log):
            done = run(METRINO, "backup", self.data / "backup", "--data", data)
            self.assertEqual(done.returncode, 1)
            self.assertIn("lies in the data directory", done.stderr.decode())
            self.assertFalse((self.data / "backup").exists())

    def test_arguments(self):
        for words, phrase in (((), "directory"), (("--data",), "needs a value"), (("a", "b"), "too many"),
                              (("a", "--all"), "Unknown option")):
            done = run(METRINO, "backup", *words)
            self.assertEqual(done.returncode, 1)
            self.assertIn(phrase, done.stderr.decode())
        self.assertIn(b"Usage: metrino backup", run(METRINO, "backup", "--help").stdout)

    def test_while_the_log_grows(self):
        self.made(250, 50)
        writer = threading.Thread(target=append, args=(self.data, 600, 1))
        writer.start()
        try:
            sizes = []
            while writer.is_alive() and len(sizes) < 20:
                self.backed_up()
                sizes.append(verifier.verify(self.into / "log")[0])
                shutil.rmtree(self.into)
        finally:
            writer.join(50)
        self.assertEqual(sizes, sorted(sizes))
        self.assertGreater(len(sizes), 0)
        self.backed_up()
        self.assertEqual(verifier.verify(self.into / "log")[0], 850)


@own_only("metrino backup")
class OfBroker(OwnBrokerTest):
    def setUp(self):
        super().setUp()
        self.into = self.broker.root / "backup"

    def backup(self, *words):
        return run(METRINO, "backup", self.into, "--data", self.broker.data, *words)

    def test_while_it_runs(self):
        self.broker.start()
        client = self.client("canary-client-7141", clean=False, properties=[("session_expiry_interval", 600)])
        client.subscribe("canary-topic-7141", 1)
        client.publish("canary-topic-7141", b"canary-payload-7141", 1)
        done = self.backup("-c", self.broker.conf)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertEqual(run(METRINO, "audit", "verify", self.into).returncode, 0)
        self.assertIsNone(complaint_of(self.into / "log"))
        found = contents(self.into)
        self.assertEqual(found["config/broker.conf"], self.broker.conf.read_bytes())
        for name, data in found.items():
            for word in (b"canary-client-7141", b"canary-topic-7141", b"canary-payload-7141"):
                for form in (word, word.hex().encode(), base64.b64encode(word)[:-4]):
                    self.assertNotIn(form, data, name)
            if name.startswith("log/"):
                self.assertNotIn(b"127.0.0.1", data, name)
        self.assertEqual(self.broker.stop(), 0)
        shutil.rmtree(self.into)
        self.assertEqual(self.backup().returncode, 0)


@own_only("metrino backup")
class OfConfiguration(LogTest):
    abstract = False

    def setUp(self):
        super().setUp()
        self.made(1)
        self.etc = self.data / "etc"
        self.into = self.data / "kept" / "backup"
        (self.etc / "conf.d").mkdir(parents=True)
        self.into.parent.mkdir()

    def backup(self, text):
        (self.etc / "metrino.conf").write_bytes(text)
        shutil.rmtree(self.into, ignore_errors=True)
        return run(METRINO, "backup", self.into, "--data", self.data, "-c", self.etc / "metrino.conf")

    def names(self):
        return sorted(name for name in contents(self.into) if name.startswith("config/"))

    def test_included_files(self):
        for name in ("a.conf", "b.conf", "notes.txt"):
            (self.etc / "conf.d" / name).write_text(f"# {name}\npassword_file /etc/secret-of-{name}\n")
        (self.etc / "target").write_text("max_qos 1\n")
        (self.etc / "conf.d" / "link.conf").symlink_to("../target")
        done = self.backup(f"\N{BOM}include_dir\t{self.etc}/conf.d \r\n#psk_file /none\n".encode())
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(b"4 files", done.stdout)
        self.assertEqual(self.names(), ["config/include_dir/a.conf", "config/include_dir/b.conf",
                                        "config/include_dir/link.conf", "config/metrino.conf"])
        self.assertEqual((self.into / "config/include_dir/link.conf").read_text(), "max_qos 1\n")
        said = re.findall(r"Left out: (\w+) (\S+) \(", done.stderr.decode())
        self.assertEqual(said, [("password_file", f"/etc/secret-of-{name}") for name in ("a.conf", "b.conf")])

    def test_every_key_that_names_a_secret(self):
        """Held against the table of keys, so that a new one is not forgotten."""
        table = (ROOT / "broker" / "config.def").read_text()
        keys = set(re.findall(r'^(?:EACH|SHARED|GLOBAL)\("(\w*(?:file|path))"', table, re.M)) - {"pid_file"}
        self.assertGreater(len(keys), 8)
        lines = []
        for key in sorted(keys):
            (self.etc / key).write_text("canary-secret-7141")
            lines.append(f"  {key}  {self.etc}/{key}\n")
        done = self.backup("".join(lines).encode())
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(re.findall(r"Left out: (\w+) ", done.stderr.decode()), sorted(keys))
        self.assertEqual(self.names(), ["config/metrino.conf"])
        for name, data in contents(self.into).items():
            self.assertNotIn(b"canary-secret", data, name)

    def test_what_is_no_configuration(self):
        long = self.etc / "conf.d" / ("n" * 120 + ".conf")
        long.touch()
        for text, words in ((b"include_dir /nowhere/at/all\n", "include_dir /nowhere/at/all"), (b"a\0b", "NUL byte"),
                            (f"include_dir {self.etc}/conf.d\n".encode(), "longer than 100"),
                            (b"#" * (2 << 20), "at most")):
            done = self.backup(text)
            self.assertEqual((done.returncode, done.stdout), (1, b""))
            self.assertIn(words, done.stderr.decode())
            self.assertFalse((self.into / "backup.txt").exists())
