"""The `metrino` command where its surroundings are unusual: closed descriptors, interrupted prompts, a broker that says odd things."""

import contextlib
import fcntl
import os
import pty
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import threading
import time
import unittest

from harness import OwnBrokerTest, answers, eventually, own_only
from test_cli import METRINO
import wire

not_under = ("tsan",)

CONNACK = wire.frame(wire.CONNACK, 0, b"\x00\x00\x00")
SUBACK = wire.frame(wire.SUBACK, 0, b"\x00\x01\x00\x00")


def without_descriptors(*numbers):
    def close():
        for number in numbers:
            os.close(number)
    return close


def as_from_a_terminal():
    """What starts us in the background may have us ignore these."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def as_in_the_background():
    """So does a shell that is no terminal's to what it starts with &."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@own_only("our own command, and a broker of a few lines")
class Ends(unittest.TestCase):
    def near(self, *answers_):
        """The port of one that sends each answer when something has come (the last is `asked`), and then waits for the end; `heard` is what came then."""
        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)
        self.heard, self.answered, self.gone = bytearray(), threading.Event(), threading.Event()

        def serve():
            connection = listening.accept()[0]
            connection.settimeout(20)
            with connection, contextlib.suppress(ConnectionError):
                for answer in answers_:
                    self.asked = connection.recv(65536)
                    connection.sendall(answer)
                self.answered.set()
                while came := connection.recv(65536):
                    self.heard += came
            self.gone.set()
        threading.Thread(target=serve, daemon=True).start()
        return str(listening.getsockname()[1])

    def run_to_end(self, program, port, *args, code, **more):
        done = subprocess.run([*METRINO, program, "-p", port, "-V", "5", *args], stderr=subprocess.PIPE, timeout=20, check=False, **more)
        self.assertEqual(done.returncode, code, done.stderr)
        return done

    def test_no_standard_output(self):
        """A connection does not take its place: the message would go to the broker."""
        port = self.near(CONNACK, SUBACK + wire.publish("t", b"x"))
        done = self.run_to_end("sub", port, "-t", "t", "-C", "1", code=1, preexec_fn=without_descriptors(1))
        self.assertIn(b"standard output: Bad file descriptor", done.stderr)

    def test_no_standard_input(self):
        done = self.run_to_end("pub", self.near(CONNACK), "-t", "t", "-l", code=1, preexec_fn=without_descriptors(0))
        self.assertIn(b"standard input: Bad file descriptor", done.stderr)

    def test_a_line_without_end(self):
        """What is too long already is not waited for."""
        small = wire.frame(wire.CONNACK, 0, b"\x00\x00" + wire.encode_properties([("maximum_packet_size", 1000)]))
        reading, writing = os.pipe()
        self.addCleanup(os.close, writing)
        self.addCleanup(os.close, reading)
        os.write(writing, b"x" * 5000)
        done = self.run_to_end("pub", self.near(small), "-t", "t", "-l", code=1, stdin=reading)
        self.assertIn(b"larger than the broker accepts", done.stderr)

    def test_what_connack_says_is_not_taken(self):
        """[MQTT-3.2.2-11] [MQTT-3.2.2-14] [MQTT-3.2.2-15], and sections 3.2.2.3.11 to 3.2.2.3.13: it is not sent, and named."""
        publish, subscribe = ("pub", "-t", "t", "-m", "x"), ("sub", "-t", "t")
        rows = [
            (("maximum_qos", 0), (*publish, "-q", "1"), b"takes no messages of QoS 1, 0 at most", None),
            (("maximum_qos", 1), (*publish, "-q", "2"), b"takes no messages of QoS 2, 1 at most", None),
            (("retain_available", 0), (*publish, "-r"), b"takes no retained messages", None),
            (("maximum_packet_size", 6), publish, b"The message is larger than the broker accepts", None),
            (("maximum_packet_size", 8), subscribe, b"The subscription is larger than the broker accepts", b"\xe0\x00"),
            (("maximum_packet_size", 9), (*subscribe, "-U", "other"), b"The request to unsubscribe is larger than the broker accepts",
             wire.subscribe(1, [("t", 0)]) + b"\xe0\x00"),
            (("maximum_packet_size", 8), ("rr", "-t", "t", "-e", "r", "-m", "x"), b"The subscription is larger than the broker accepts",
             b"\xe0\x00"),
            (("wildcard_subscription_available", 0), (*subscribe, "-t", "a/+"), b"takes no wildcards in subscriptions: a/+", b"\xe0\x00"),
            (("shared_subscription_available", 0), (*subscribe, "-t", "$share/g/t"), b"takes no shared subscriptions: $share/g/t", b"\xe0\x00"),
            (("subscription_identifier_available", 0), (*subscribe, "-D", "subscribe", "subscription-identifier", "5"),
             b"takes no subscription identifiers", b"\xe0\x00"),
        ]
        for limit, (program, *args), words, heard in rows:
            with self.subTest(limit=limit, program=program, args=args):
                port = self.near(wire.frame(wire.CONNACK, 0, b"\x00\x00" + wire.encode_properties([limit])))
                done = self.run_to_end(program, port, *args, *(["-W", "10"] if program != "pub" else []), code=1)
                self.assertIn(words, done.stderr)
                self.assertTrue(self.gone.wait(20))
                self.assertEqual(bytes(self.heard), heard or b"")

    def test_what_connack_says_is_taken(self):
        """[MQTT-3.2.2-15]: of that very size; a subscription may ask for more than Maximum QoS, and $share is no wildcard."""
        def connack(*limits):
            return wire.frame(wire.CONNACK, 0, b"\x00\x00" + wire.encode_properties(limits))
        self.run_to_end("pub", self.near(connack(("maximum_packet_size", 7))), "-t", "t", "-m", "x", "-D", "disconnect", "reason-string", "done", code=0)
        self.assertTrue(self.gone.wait(20))
        self.assertEqual(bytes(self.heard), wire.publish("t", b"x") + b"\xe0\x00")
        limits = [("maximum_qos", 0), ("wildcard_subscription_available", 0), ("retain_available", 0)]
        self.run_to_end("sub", self.near(connack(*limits), SUBACK), "-t", "$share/g/t", "-q", "2", "-E", code=0)
        self.assertEqual(self.asked, wire.subscribe(1, [("$share/g/t", 2)]))

    def test_an_alias_that_is_given_again(self):
        """Between PUBLISH and PUBREL: the message keeps its topic, and the alias its new one."""
        def alias(topic, payload, **more):
            return wire.publish(topic, payload, properties=[("topic_alias", 1)], **more)
        port = self.near(CONNACK, SUBACK + alias("first", b"1", qos=2, packet_id=1) + alias("", b"2", qos=2, packet_id=2) +
                           alias("second", b"3"), wire.ack(wire.PUBREL, 1) + wire.ack(wire.PUBREL, 2) + alias("", b"4"))
        done = self.run_to_end("sub", port, "-t", "#", "-q", "2", "-v", "-C", "4", "-D", "connect", "topic-alias-maximum", "1",
                               code=0, stdout=subprocess.PIPE)
        self.assertEqual(done.stdout, b"second 3\nfirst 1\nfirst 2\nsecond 4\n")

    def test_why_the_broker_ends_it(self):
        why = "because " * 32
        port = self.near(CONNACK, SUBACK + wire.disconnect(0x98, properties=[("reason_string", why)]))
        done = self.run_to_end("sub", port, "-t", "t", code=1)
        self.assertIn(why.encode(), done.stderr)

    def start_sub(self, *args, **more):
        process = subprocess.Popen([*METRINO, "sub", "-t", "t", *args], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                   start_new_session=True, **more)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def test_signals_say_goodbye(self):
        """As mosquitto_sub, and also where a shell has SIGINT ignored; in 5.0 DISCONNECT asks for the will."""
        before_5 = (wire.frame(wire.CONNACK, 0, b"\x00\x00"), wire.frame(wire.SUBACK, 0, b"\x00\x01\x00"), b"\xe0\x00")
        for version, (connack, suback, goodbye) in (("311", before_5), ("5", (CONNACK, SUBACK, b"\xe0\x01\x04"))):
            for number, prepare in ((signal.SIGINT, as_from_a_terminal), (signal.SIGTERM, as_from_a_terminal), (signal.SIGINT, as_in_the_background)):
                with self.subTest(version=version, number=number, prepare=prepare.__name__):
                    port = self.near(connack, suback)
                    process = self.start_sub("-p", port, "-V", version, "--will-topic", "w", "-d", stdout=subprocess.PIPE, preexec_fn=prepare)
                    self.assertTrue(self.answered.wait(20))
                    process.send_signal(number)
                    err = process.communicate(timeout=20)[1]
                    self.assertEqual((process.returncode, err), (0, b""))
                    self.assertTrue(self.gone.wait(20))
                    self.assertEqual(bytes(self.heard)[-len(goodbye):], goodbye)

    def stuck(self, payload):
        """A subscriber whose messages nobody reads, when its pipe is full."""
        process = self.start_sub("-p", self.near(CONNACK, SUBACK + wire.publish("t", payload) * 50), "-V", "5",
                                 stdout=subprocess.PIPE, preexec_fn=as_from_a_terminal)

        def full():
            waits = int.from_bytes(fcntl.ioctl(process.stdout, termios.FIONREAD, bytes(4)), sys.byteorder)
            return waits == fcntl.fcntl(process.stdout, fcntl.F_GETPIPE_SZ)
        eventually(full, what="a full pipe")
        return process

    def test_a_signal_while_nobody_reads(self):
        """A full pipe does not keep it; where a message is in it in part, whoever insists ends it."""
        process = self.stuck(b"x" * 4095)
        process.send_signal(signal.SIGTERM)
        self.assertIn(process.wait(20), (0, 1))  # 1: it says that not all was printed
        self.assertTrue(self.gone.wait(20))
        self.assertIn(b"\xe0", self.heard)
        process = self.stuck(b"x" * 100000)
        process.send_signal(signal.SIGTERM)
        time.sleep(1.5)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(20), -signal.SIGTERM)

    def test_a_broker_that_does_not_answer(self):
        """-W is for all of it: TCP, TLS, WebSocket and CONNACK."""
        silent = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(silent.close)
        port = str(silent.getsockname()[1])
        for program, args in (("sub", ["-t", "t"]), ("rr", ["-t", "t", "-e", "r", "-m", "x"])):
            for way in ([], ["--psk", "aa", "--psk-identity", "i"], ["--ws"]):
                with self.subTest(program=program, way=way):
                    begin = time.monotonic()
                    done = self.run_to_end(program, port, *args, *way, "-W", "1", code=27)
                    self.assertEqual(done.stderr, b"Timed out\n")
                    self.assertLess(time.monotonic() - begin, 10)

    def test_no_time_left(self):
        """In 5.0 DISCONNECT asks for the will, as mosquitto's do."""
        for program, args in (("sub", ["-t", "t"]), ("rr", ["-t", "t", "-e", "r", "-m", "x"])):
            with self.subTest(program=program):
                self.run_to_end(program, self.near(CONNACK, SUBACK), *args, "-W", "1", "--will-topic", "w", code=27)
                self.assertTrue(self.gone.wait(20))
                self.assertEqual(bytes(self.heard)[-3:], b"\xe0\x01\x04")

    def test_words_of_its_own(self):
        """What DISCONNECT says may be long."""
        words = "because " * 8000
        self.run_to_end("sub", self.near(CONNACK, SUBACK), "-t", "t", "-E", "-D", "Disconnect", "Reason-String", words, code=0)
        self.assertTrue(self.gone.wait(20))
        self.assertEqual(bytes(self.heard), wire.disconnect(0, properties=[("reason_string", words)]))

    def test_an_interrupted_prompt(self):
        """The terminal shows again what is typed."""
        folder = tempfile.TemporaryDirectory(prefix="metrino-test-")
        self.addCleanup(folder.cleanup)
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        self.addCleanup(os.close, theirs)

        def shows():
            return bool(termios.tcgetattr(theirs)[3] & termios.ECHO)
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(number=number):
                self.assertTrue(shows())
                process = subprocess.Popen([*METRINO, "passwd", "-c", folder.name + "/passwords", "bob"], stdin=theirs,
                                           stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
                                           preexec_fn=as_from_a_terminal)
                self.addCleanup(process.kill)
                eventually(lambda: not shows(), what="a prompt that hides what is typed")
                process.send_signal(number)
                process.communicate(timeout=20)
                self.assertEqual(process.returncode, -number)
                self.assertTrue(shows())


@own_only("its descriptors are its own affair")
class Broker(OwnBrokerTest):
    @unittest.skipIf(os.geteuid() != 0, "not possible here: only root sees what the broker has open")
    def test_no_standard_files(self):
        """No file or socket of the broker takes a place where words would be written into it."""
        self.broker.write_config()
        self.broker.hand_over()
        process = subprocess.Popen(self.broker.command(), cwd=self.broker.root, preexec_fn=without_descriptors(0, 1, 2))
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.assertTrue(answers(process, self.broker.port))
        self.assertEqual([os.readlink(f"/proc/{process.pid}/fd/{number}") for number in range(3)], ["/dev/null"] * 3)
