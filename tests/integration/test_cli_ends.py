"""The `metrino` command where its surroundings are unusual: closed descriptors, interrupted prompts, a broker that says odd things."""

import os
import pty
import signal
import socket
import subprocess
import tempfile
import termios
import threading
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


@own_only("our own command, and a broker of a few lines")
class Ends(unittest.TestCase):
    def near(self, *answers_):
        """The port of one that sends each answer when something has come, and then waits for the end."""
        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)

        def serve():
            connection = listening.accept()[0]
            connection.settimeout(20)
            with connection:
                for answer in answers_:
                    connection.recv(65536)
                    connection.sendall(answer)
                while connection.recv(65536):
                    pass
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
