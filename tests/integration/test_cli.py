"""The `metrino` command: pub and sub beside mosquitto's, and clients."""

import fcntl
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import termios
import time

from harness import BrokerTest, ROOT, eventually, tool

not_under = ("tsan",)

METRINO = shlex.split(os.environ.get("METRINO") or shlex.quote(str(ROOT / "build" / "metrino")))
STAMP = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z?[+-]\d{4}|\d{10}\.\d{9}")
FORMATS = [
    "%t|%p", "%10t|%-10t|%3.3t|%.2t|%-10.3t|%010t|", "%l|%5l|%-5l|%05l|%.3l|", "%m|%q|%r|%05m|%5q",
    "%p|%20p|%-30p|%030p|%4p|%.3p", "%x|%X|%20x|%-60x|%.4x|%060X|", "%A|%C|%D|%E|%F|%P|%R|%S|",
    "%5A|%10C|%D|%5E|%5F|%5P|%10R|%5S|", "%05A|%-12C|%05E|%05F|%-10R|%05S|%-5E|%-5S|%-5A|%10.2R|%.1C|",
    "%U|%I|%30I|%-30I|%.4I|", "@Y-@m-@d @@ @H @Z @%", r"\\ \0 \a \e \n \r \t \v", "%j", "%J", "%%|%5%|", "é",
]
SETTLE_S = 0.5
PROPERTIES = sum((["-D", "publish", *words.split()] for words in (
    "content-type text/plain", "response-topic resp/t", "correlation-data corr", "message-expiry-interval 100",
    "payload-format-indicator 1", "user-property k1 v1", "user-property k2 v2", "user-property k1 v3")), [])
PAYLOADS = [b'{"x": 1.50, "y":[1,{"z":{}}], "e":"\xc3\xa9"}', b"plain \xc3\xa9 \"\\ \x01\t/", b"", b"\xff\x80raw"]


class CommandTest(BrokerTest):
    abstract = True

    def start(self, *args, program="sub", env=None, stdin=subprocess.DEVNULL):
        command = {"mosquitto": [tool("mosquitto_" + program)], "metrino": METRINO + [program]}
        which = args[0] if args[0] in command else "metrino"
        rest = args[1:] if args[0] in command else args
        process = subprocess.Popen(command[which] + ["-p", str(self.port), *rest], stdin=stdin, env=env,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(self.end, process)
        return process

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.kill()
        process.communicate()

    def subscribed(self, *args):
        """A subscriber with time enough to be in place: it prints nothing that would say so."""
        process = self.start(*args)
        time.sleep(SETTLE_S)
        return process

    def pub(self, *args, stdin=b"", program="metrino", env=None):
        command = METRINO + ["pub"] if program == "metrino" else [tool("mosquitto_pub")]
        return subprocess.run(command + ["-p", str(self.port), *args], input=stdin, capture_output=True, timeout=20,
                              env=env, check=False)

    def finish(self, process, code=0):
        out, err = process.communicate(timeout=20)
        self.assertEqual(process.returncode, code, err)
        return out, err


class SameAsMosquitto(CommandTest):
    """Byte for byte what mosquitto_sub prints, at the same messages."""

    abstract = False

    def compare(self, args, payloads, *publish):
        topic = self.name() + "/tail"
        args = ["-t", topic, "-C", str(len(payloads)), *args]
        ours, theirs = self.start("metrino", *args), self.start("mosquitto", *args)
        time.sleep(SETTLE_S)
        for payload in payloads:
            done = self.pub("-t", topic, "-q", "1", "-s" if payload else "-n", *publish, stdin=payload)
            self.assertEqual(done.returncode, 0, done.stderr)
        ours, theirs = self.finish(ours), self.finish(theirs)
        self.assertEqual([STAMP.sub(b"TIME", part) for part in ours], [STAMP.sub(b"TIME", part) for part in theirs])
        self.assertTrue(theirs[0])

    def test_formats_with_properties(self):
        version = ["-V", "5", "-q", "1", "-D", "subscribe", "subscription-identifier", "7"]
        self.each_format(version, PROPERTIES)

    def test_formats_before_5(self):
        self.each_format(["-q", "1"], [])

    def each_format(self, args, publish):
        for text in FORMATS:
            with self.subTest(text):
                self.compare(["-F", text, *args], PAYLOADS[:2] if text == "%J" else PAYLOADS, *publish)

    def test_pretty(self):
        self.compare(["-F", "%J", "--pretty", "-V", "5"], PAYLOADS[:1], *PROPERTIES)
        self.compare(["-F", "%j", "--pretty"], PAYLOADS)

    def test_plain_and_verbose(self):
        for flags in ([], ["-v"], ["-N"], ["-v", "-N"]):
            self.compare(flags, PAYLOADS)


    def test_packets_with_d(self):
        """The same lines; ours acknowledges a message after it was shown, so not at the same places."""
        for version in ("311", "5"):
            for args in (["-q", "1"], ["-q", "2"], ["-q", "2", "--quiet"], ["-q", "1", "--retain-as-published"]):
                with self.subTest(version=version, args=args):
                    topic, lines = self.name(), []
                    for program in ("metrino", "mosquitto"):
                        subscriber = self.subscribed(program, "-t", topic, "-V", version, "-i", "same", "-C", "1", "-d", *args)
                        done = self.pub("-t", topic, "-V", version, "-i", "pub", "-m", "x", "-d", *args[:2], program=program)
                        lines.append((done.stdout, sorted(self.finish(subscriber)[0].splitlines())))
                    self.assertEqual(*lines)


class PublishAndSubscribe(CommandTest):
    abstract = False

    def test_every_qos_and_version(self):
        for version in ("31", "311", "5"):
            for qos in "012":
                topic = self.name()
                subscriber = self.subscribed("-V", version, "-q", qos, "-t", topic, "-C", "200", "-F", "%q %p")
                done = self.pub("-V", version, "-q", qos, "-t", topic, "-l", stdin=b"\n".join(b"%d" % i for i in range(200)))
                self.assertEqual(done.returncode, 0, done.stderr)
                wanted = b"".join(b"%s %d\n" % (qos.encode(), i) for i in range(200))
                self.assertEqual(self.finish(subscriber)[0], wanted)

    def test_lines_in_pieces(self):
        """A line may end in any read."""
        topic = self.name()
        subscriber = self.client()
        subscriber.subscribe(topic, 0)
        publisher = self.start("-t", topic, "-l", program="pub", stdin=subprocess.PIPE)

        def left():
            return int.from_bytes(fcntl.ioctl(publisher.stdin, termios.FIONREAD, bytes(4)), sys.byteorder)

        for piece in (b"on", b"e\n", b"two", b"\n", b"\nfo", b"ur"):
            publisher.stdin.write(piece)
            publisher.stdin.flush()
            eventually(lambda: left() == 0, what="a read")
        self.finish(publisher)
        self.assertEqual([subscriber.message().payload for _ in range(4)], [b"one", b"two", b"", b"four"])

    def test_one_in_flight(self):
        topic = self.name()
        subscriber = self.subscribed("-V", "5", "-D", "connect", "receive-maximum", "1", "-q", "2", "-t", topic, "-C", "50")
        self.assertEqual(self.pub("-q", "2", "-M", "1", "-t", topic, "-m", "x", "--repeat", "50").returncode, 0)
        self.assertEqual(self.finish(subscriber)[0], b"x\n" * 50)

    def test_binary_file_of_2_mib(self):
        topic, payload = self.name(), os.urandom(2 << 20)
        with tempfile.NamedTemporaryFile() as file:
            file.write(payload)
            file.flush()
            subscriber = self.subscribed("-q", "1", "-t", topic, "-C", "1", "-N")
            self.assertEqual(self.pub("-q", "1", "-t", topic, "-f", file.name).returncode, 0)
        self.assertEqual(self.finish(subscriber)[0], payload)

    def test_filters(self):
        topic = self.name()
        subscriber = self.subscribed("-t", topic + "/#", "-T", topic + "/no", "-C", "1", "-v")
        for last in ("no", "yes"):
            self.pub("-t", f"{topic}/{last}", "-m", last)
        self.assertEqual(self.finish(subscriber)[0], f"{topic}/yes yes\n".encode())

    def test_retained(self):
        topic = self.name()
        for last in "ab":
            self.pub("-t", f"{topic}/{last}", "-m", last, "-r", "-q", "1")
        subscriber = self.start("-t", topic + "/#", "-R", "-W", "1")
        self.assertEqual(self.finish(subscriber, 27)[0], b"")
        # The removals themselves come back as empty messages, before or after the second retained one.
        subscriber = self.start("-t", topic + "/#", "-W", "1", "--remove-retained")
        self.assertEqual(sorted(self.finish(subscriber, 27)[0].split()), [b"a", b"b"])
        subscriber = self.start("-t", topic + "/#", "-W", "1")
        out, err = self.finish(subscriber, 27)
        self.assertEqual((out, err), (b"", b"Timed out\n"))

    def test_what_chance_leaves_out_is_counted(self):
        topic = self.name()
        for program in ("metrino", "mosquitto"):
            subscriber = self.subscribed(program, "-t", topic, "-C", "4", "--random-filter", "0.1")
            self.pub("-t", topic, "-l", stdin=b"1\n2\n3\n4\n")
            self.finish(subscriber)

    def test_nothing_on_the_standard_input(self):
        """What failed before a pipe does not clear a retained message."""
        topic = self.name()
        self.pub("-t", topic, "-m", "kept", "-r", "-q", "1")
        for program in ("metrino", "mosquitto"):
            done = self.pub("-t", topic, "-s", "-r", program=program)
            self.assertEqual(done.returncode, 1)
            self.assertIn(b"Error: Zero length input.", done.stderr)
        done = self.finish(self.start("-t", topic, "-e", topic + "/reply", "-s", program="rr"), 1)
        self.assertIn(b"Error: Zero length input.", done[1])
        self.assertEqual(self.finish(self.start("-t", topic, "-C", "1"))[0], b"kept\n")

    def test_retained_only_ends_at_the_first_other(self):
        topic = self.name()
        self.pub("-t", topic, "-m", "old", "-r", "-q", "1")
        subscriber = self.subscribed("-t", topic, "--retained-only")
        self.pub("-t", topic, "-m", "new")
        self.assertEqual(self.finish(subscriber)[0], b"old\n")

    def test_will(self):
        topic = self.name()
        subscriber = self.subscribed("-t", topic, "-C", "1", "-v")
        self.subscribed("-t", "x", "--will-topic", topic, "--will-payload", "gone").kill()
        self.assertEqual(self.finish(subscriber)[0], f"{topic} gone\n".encode())

    def test_session_is_resumed(self):
        topic, name = self.name(), self.name("c")
        for version in (["-V", "311"], ["-V", "5", "-x", "60"]):
            session = ["-i", name, "-c", "-q", "1", "-t", topic, *version]
            self.finish(self.start(*session, "-E"))
            self.pub("-q", "1", "-t", topic, "-m", "kept")
            self.assertEqual(self.finish(self.start(*session, "-C", "1"))[0], b"kept\n")

    def test_keep_alive(self):
        topic = self.name()
        subscriber = self.subscribed("-k", "5", "-t", topic, "-C", "1", "-d")
        time.sleep(8)
        self.pub("-t", topic, "-m", "alive")
        out = self.finish(subscriber)[0]
        self.assertIn(b"sending PINGREQ", out)
        self.assertIn(b"received PINGRESP", out)

    def test_topic_alias_from_the_broker(self):
        topic = self.name()
        subscriber = self.subscribed("-V", "5", "-D", "connect", "topic-alias-maximum", "5", "-t", topic, "-C", "3", "-v")
        self.pub("-t", topic, "-m", "x", "--repeat", "3")
        self.assertEqual(self.finish(subscriber)[0], f"{topic} x\n".encode() * 3)

    def test_options_file(self):
        topic = self.name()
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "mosquitto_sub").write_text(f"# comment\n-C 1\n-t {topic}\n-v\n")
            subscriber = self.start("-q", "1", env=dict(os.environ, XDG_CONFIG_HOME=folder))
            time.sleep(SETTLE_S)
            self.pub("-t", topic, "-m", "x")
            self.assertEqual(self.finish(subscriber)[0], f"{topic} x\n".encode())


class ExitStatus(CommandTest):
    abstract = False
    config = "allow_anonymous false"

    def test_refused(self):
        for version, code, text in (("31", 5, b"Connection Refused: not authorised."),
                                    ("311", 5, b"Connection Refused: not authorised."),
                                    ("5", 135, b"Not authorized: a user name and a password are needed here.")):
            done = self.pub("-V", version, "-t", "a", "-m", "x")
            self.assertEqual((done.returncode, done.stderr), (code, b"Connection error: " + text + b"\n"))
            self.assertEqual(self.finish(self.start("-V", version, "-t", "a"), code)[0], b"")

    def test_no_broker(self):
        done = self.pub("-p", "1", "-t", "a", "-m", "x")
        self.assertEqual((done.returncode, done.stderr), (1, b"Error: Connection refused\n"))
        self.assertEqual(self.pub("-p", "1", "-t", "a", "-m", "x", "--quiet").stderr, b"")

    def test_usage(self):
        done = self.pub("-t", "a", "-m", "x", "--proxy", "socks5h://localhost")
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"not in this version", done.stderr)
        done = self.pub("-t", "a", "--mesage", "x")
        self.assertIn(b"Did you mean '--message'?", done.stderr)


class Clients(CommandTest):
    abstract = False

    def clients(self, *args, code=0):
        if not hasattr(self.broker, "data") or not (pathlib.Path(self.broker.data) / "control.sock").exists():
            self.skipTest("not possible here: the stand-in has no control socket")
        done = subprocess.run(METRINO + ["clients", *args, "--data", str(self.broker.data)], capture_output=True,
                              timeout=20, check=False)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stdout.decode()

    def test_count_list_kick(self):
        name = self.name("c")
        subscriber = self.subscribed("-i", name, "-t", self.name())
        self.assertRegex(self.clients("count"), r"^\d+ connected, \d+ sessions\n$")
        shown = self.clients("list")
        self.assertIn(name + "\n", shown)
        lines = [json.loads(line) for line in self.clients("list", "--json").splitlines()]
        mine = [line for line in lines if line.get("client_id") == name]
        self.assertEqual([(m["connected"], m["version"], m["subscriptions"]) for m in mine], [(True, 4, 1)])
        self.assertTrue(lines[-1]["ok"])
        self.assertEqual(self.clients("kick", name), "1 disconnected\n")
        self.finish(subscriber, 1)

    def test_somebody_else_is_told_whom_to_be(self):
        if os.geteuid() != 0 or not hasattr(self.broker, "data"):
            self.skipTest("not possible here: only root can be somebody else")
        done = subprocess.run([tool("setpriv"), "--reuid=1", "--regid=1", "--clear-groups", *METRINO, "clients", "--data",
                               str(self.broker.data)], capture_output=True, timeout=20, check=False, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("Permission denied; ask as root or as the broker's own user.", done.stderr)

    def test_nothing_to_show_is_said(self):
        """Who sees an empty screen cannot tell it from a mistake."""
        if not hasattr(self.broker, "data") or not (pathlib.Path(self.broker.data) / "control.sock").exists():
            self.skipTest("not possible here: the stand-in has no control socket")
        def ask(*words, **more):
            return subprocess.run([*METRINO, *words, "--data", str(self.broker.data)], capture_output=True, timeout=20, check=True,
                                  text=True, **more).stdout
        self.assertRegex(ask("aggregate"), "^No day is kept")
        name = ask("account", "create", "--no-address", input="a password\n").strip()
        self.assertRegex(ask("logins", name), "^No logins are kept")

    def test_no_broker(self):
        done = subprocess.run(METRINO + ["clients", "--data", "/nonexistent"], capture_output=True, timeout=20,
                              check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"is the broker running there?", done.stderr)
