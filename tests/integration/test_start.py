"""What a first user meets: mistakes are told in a sentence, all at once, and the broker ends with 3 when what it was told is wrong, else with 1."""

import os
import pathlib
import re
import socket
import subprocess
import tempfile
import unittest

from harness import COMMAND, Broker, BrokerTest, OwnBrokerTest, answers, free_port, listening_addresses, own_only
import wire

not_under = ("tsan",)

LOOPBACK, LOOPBACK6 = "0100007F", "00000000000000000000000001000000"  # as /proc/net/tcp has them, little endian


@own_only("exit codes and words")
class Mistakes(OwnBrokerTest):
    def refused(self, *phrases, extra=(), code=1):
        """Runs the broker to its end: the exit code, few words, each phrase among them."""
        got, words = self.broker.run_to_end(*extra)
        self.assertEqual(got, code, words)
        for phrase in phrases:
            self.assertRegex(words, phrase)
        self.assertNotIn("Sanitizer", words)
        return words

    def test_unknown_key_names_the_nearest(self):
        self.broker.conf.write_text(f"# first line\nmax_keepalife 30\nlistener {self.broker.port} 127.0.0.1\n")
        self.refused(r"broker\.conf:2", "max_keepalife", r"max_keepalive\b", code=3)

    def test_all_errors_in_one_run(self):
        self.broker.conf.write_text("allow_anonymous perhaps\n\nlistner 1883\nlistener 70000\nmax_qos 7\n"
                                    "sys_interval -3\nworkers 0\nmax_queued_messages 0\n")
        words = self.refused(code=3)
        lines = [line for line in words.splitlines() if "broker.conf:" in line]
        for number, key in ((1, "allow_anonymous"), (3, "listner"), (4, "listener"), (6, "sys_interval"), (7, "workers"),
                            (8, "max_queued_messages")):
            self.assertTrue(any(re.search(rf"broker\.conf:{number}\b.*{key}", line) for line in lines), (number, words))

    def test_test_config(self):
        self.broker.write_config()
        code, words = self.broker.run_to_end("--test-config")
        self.assertEqual(code, 0, words)
        self.broker.conf.write_text("nonsense true\n")
        self.refused("nonsense", r"broker\.conf:1", extra=("--test-config",), code=3)

    def test_a_key_of_a_later_version_is_refused(self):
        """A migrated file never opens a listener that is less protected than it says."""
        self.broker.conf.write_text(f"listener {self.broker.port} 127.0.0.1\nallow_anonymous true\nconnection far\n")
        self.refused(r"broker\.conf:3", "connection", "not in this version", code=3)

    def test_no_configuration_file_of_that_name(self):
        self.refused(re.escape(str(self.broker.conf)), code=3)

    def test_port_in_use(self):
        with socket.create_server(("127.0.0.1", 0)) as other:
            self.broker.port = other.getsockname()[1]
            self.broker.write_config()
            self.refused(str(self.broker.port), "in use")

    def test_second_broker_on_the_same_directory(self):
        self.broker.start()
        second = Broker(root=self.broker.root)
        second.conf, second.log_path = second.root / "second.conf", second.root / "second.log"
        second.write_config()
        code, words = second.run_to_end()
        self.assertEqual(code, 1, words)
        self.assertIn(str(self.broker.data), words)
        wire.Client(self.broker.port, "still there").ping()

    def test_foreign_directory(self):
        letter = self.broker.data / "letter.txt"
        letter.write_text("mine")
        self.broker.write_config()
        self.refused(re.escape(str(self.broker.data)), r"letter\.txt")
        self.refused(re.escape(str(self.broker.data)), r"letter\.txt", extra=("--test-config",), code=3)
        self.assertEqual([path.name for path in self.broker.data.iterdir()], ["letter.txt"])

    def test_foreign_directory_that_others_may_enter(self):
        """Whoever names /tmp is not told to close it."""
        (self.broker.data / "letter.txt").write_text("mine")
        self.broker.data.chmod(0o755)
        self.broker.write_config()
        self.assertNotIn("chmod", self.refused(r"letter\.txt, which is not Metrino's"))

    def test_damaged_file_is_kept(self):
        data = self.broker.data / "data.mdb"
        data.write_bytes(b"this is no database" * 1000)
        self.broker.write_config()
        self.refused(r"data\.mdb")
        self.assertEqual(data.read_bytes(), b"this is no database" * 1000)

    def test_cut_file_is_kept(self):
        self.broker.start()
        for n in range(20):
            wire.Client(self.broker.port, f"c{n}", properties=[("session_expiry_interval", 99)]).subscribe("t", 1)
        self.broker.kill()
        data = self.broker.data / "data.mdb"
        half = data.read_bytes()[:6000]
        data.write_bytes(half)
        self.refused(r"data\.mdb")
        self.assertEqual(data.read_bytes(), half)

    def test_log_file_that_cannot_be_opened(self):
        """Said once, however many places there are to say it."""
        for others in ("", "log_dest stderr\n", "log_dest stdout\n"):
            self.broker.config = f"{others}log_dest file /nowhere/broker.log"
            self.broker.write_config()
            self.assertEqual(self.refused("right would be a file that this user may").count("/nowhere/broker.log"), 1)

    def test_a_silent_broker(self):
        """Nothing is logged, whatever stands above it; but why it does not start is said."""
        for lines in ("log_type all\nlog_type none", "log_dest stderr\nlog_dest none"):
            self.broker.config = lines
            self.broker.start()
            self.refused("another metrinod uses")
            self.assertEqual(self.broker.stop(), 0)
            self.assertEqual(self.broker.log(), "")

    def test_places_that_meet(self):
        """The start would find the port in use, by itself: --test-config knows."""
        self.broker.config = f"listener {self.broker.port} localhost"
        self.broker.write_config()
        for extra in ((), ("--test-config",)):
            self.refused("is opened twice, on 127.0.0.1 and on localhost", extra=extra, code=3)

    def test_directory_that_is_a_file(self):
        self.broker.data.rmdir()
        self.broker.data.write_text("a file")
        self.broker.write_config()
        self.refused(re.escape(str(self.broker.data)))

    def test_directory_that_cannot_be_made(self):
        self.broker.write_config()
        self.broker.conf.write_text(self.broker.conf.read_text().replace(str(self.broker.data), "/proc/no/such"))
        self.refused("/proc/no")

    def test_directory_that_cannot_be_written(self):
        if os.geteuid() == 0:
            self.skipTest("not possible here: root may write everywhere")
        self.broker.data.chmod(0o500)
        self.broker.write_config()
        self.refused(re.escape(str(self.broker.data)))

    def test_directory_that_others_may_enter(self):
        self.broker.data.chmod(0o755)
        self.broker.write_config()
        self.refused(re.escape(str(self.broker.data)), "chmod")

    def test_no_allow_anonymous_admits_nobody(self):
        self.broker.write_config()
        text = self.broker.conf.read_text().replace("allow_anonymous true\n", "")
        self.broker.write_config = lambda: self.broker.conf.write_text(text)
        self.broker.start()
        for version, codes in ((3, (4, 5)), (4, (4, 5)), (5, (0x86, 0x87))):
            self.client(version=version, expect=codes)
            self.client(version=version, user_name="any", password=b"thing", expect=codes)


@own_only("its own options")
class Options(unittest.TestCase):
    def run_broker(self, *args):
        return subprocess.run([*COMMAND, *args], capture_output=True, text=True, timeout=15, check=False)

    def test_version_and_help(self):
        done = self.run_broker("--version")
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stdout, r"\d+\.\d+")
        done = self.run_broker("--help")
        self.assertEqual(done.returncode, 0)
        self.assertIn("--config-file", done.stdout)

    def test_unknown_option(self):
        done = self.run_broker("--no-such-option")
        self.assertEqual(done.returncode, 3)
        self.assertIn("no-such-option", done.stderr)

    def test_without_a_file_loopback_and_anonymous(self):
        """The embedded default: 127.0.0.1 only, data in the state directory of the user, and a line that says so."""
        ports = free_port(), free_port()
        with tempfile.TemporaryDirectory(prefix="metrino-test-") as home:
            log = pathlib.Path(home) / "log"
            env = {k: v for k, v in os.environ.items() if k != "STATE_DIRECTORY"}
            env.update(HOME=home, XDG_STATE_HOME=str(pathlib.Path(home) / "state"))
            command = [*COMMAND, "-p", str(ports[0]), "--port", str(ports[1])]
            with open(log, "wb") as out:
                process = subprocess.Popen(command, env=env, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
            try:
                for port in ports:
                    self.assertTrue(answers(process, port), log.read_text())
                    addresses = listening_addresses(port)
                    self.assertLessEqual(addresses, {LOOPBACK, LOOPBACK6})
                    self.assertIn(LOOPBACK, addresses)
                self.assertRegex(log.read_text().lower(), "loopback")
            finally:
                process.terminate()
                self.assertEqual(process.wait(15), 0)


class Ipv6(BrokerTest):
    @classmethod
    def setUpClass(cls):
        try:
            free_port("::1")
        except (OSError, RuntimeError):
            raise unittest.SkipTest("not possible here: no IPv6 loopback") from None
        cls.start_broker(host="::1")

    def test_messages(self):
        for version in (3, 4, 5):
            client = wire.Client(self.port, self.name(), version=version, host="::1")
            client.subscribe("six", 2)
            for qos in (0, 1, 2):
                client.publish("six", b"over IPv6", qos)
                self.assertEqual(client.message().payload, b"over IPv6")
            client.disconnect()


class SeveralListeners(OwnBrokerTest):
    def test_two_ports_one_broker(self):
        other = free_port()
        self.broker.config = f"listener {other} 127.0.0.1"
        self.broker.start()
        here, there = self.client(), wire.Client(other, "there")
        self.addCleanup(there.cut)
        here.subscribe("t", 1)
        there.publish("t", b"x", 1)
        self.assertEqual(here.message().payload, b"x")
