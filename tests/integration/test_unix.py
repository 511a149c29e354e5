"""Unix sockets: clients on this machine, known by their user if that is asked for; sockets that systemd opened."""

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import unittest

from harness import BROKER_USER, MosquittoSub, OwnBrokerTest, eventually, mosquitto_pub, own_only
import wire

AS_USER = """
import os, socket, sys
os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))
s = socket.socket(socket.AF_UNIX); s.settimeout(10); s.connect(sys.argv[1])
s.sendall(bytes.fromhex(sys.argv[3]))
sys.stdout.write(s.recv(4).hex())
"""


def unix(path):
    def dial():
        plain = socket.socket(socket.AF_UNIX)
        plain.settimeout(10)
        plain.connect(str(path))
        return plain
    return dial


class UnixSocket(OwnBrokerTest):
    workers = 2

    def setUp(self):
        super().setUp()
        self.path = self.broker.root / "mqtt.sock"
        self.broker.config = f"listener 0 {self.path}\n"

    def client_there(self, client_id=None, **args):
        client = wire.Client(0, self.name("u") if client_id is None else client_id, dial=unix(self.path), **args)
        self.addCleanup(client.cut)
        return client

    def test_messages(self):
        self.broker.start()
        for n in range(8):  # at home on both workers
            here, there = self.client(), self.client_there(f"there-{n}")
            here.subscribe(f"t/{n}", 2)
            there.publish(f"t/{n}", b"x" * 100000, 2)
            self.assertEqual(here.message().payload, b"x" * 100000)

    @own_only("of a limit of its own")
    def test_what_came_before_the_end(self):
        """A client that is not read for a while may have gone meanwhile: what it sent counts, DISCONNECT as well."""
        count = 300
        self.broker.config += "rate_publish_messages 200\n"
        self.broker.start()
        here = self.client()
        here.subscribe([("t", wire.options()), ("will", wire.options())])
        there = self.client_there(will=wire.Will("will", b"gone"))
        there.send(wire.publish("t", b"x" * 1000) * count + wire.disconnect())
        there.cut()
        self.assertEqual([here.message().topic for _ in range(count)], ["t"] * count)
        here.silent()

    def test_who_does_not_wait_for_answers(self):
        """Acknowledgements that nobody takes any more do not hide what came before the end."""
        self.broker.start()
        here = self.client()
        here.subscribe([("t", wire.options()), ("will", wire.options())])
        for _ in range(40):
            there = self.client_there(will=wire.Will("will", b"gone"))
            there.send(b"".join(wire.publish("t", b"x" * 1000, 1, i) for i in range(1, 201)) + wire.disconnect())
            there.cut()
            self.assertEqual([here.message().topic for _ in range(200)], ["t"] * 200)
        here.silent()

    def test_a_passed_descriptor(self):
        """MQTT passes none. The kernel ends a read behind one; what follows is read all the same."""
        self.broker.start()
        there = self.client_there()
        with self.broker.stopped(), open(os.devnull, "rb") as file:
            socket.send_fds(there.socket, [wire.publish("t", b"x", 1, 1)], [file.fileno()])
            there.send(wire.publish("t", b"y", 1, 2))
        self.assertEqual([there.expect(wire.PUBACK).packet_id for _ in range(2)], [1, 2])

    @own_only("its clients of this version cannot reach it without --unix")
    def test_mosquitto_clients(self):
        self.broker.start()
        sub = MosquittoSub(1, "--unix", str(self.path), "-t", "t", count=1)
        self.addCleanup(sub.end)
        mosquitto_pub(1, "--unix", str(self.path), "-t", "t", "-m", "x")
        self.assertEqual(sub.finish(), ["t|0|0|x"])

    @own_only("it removes whatever is there")
    def test_what_is_in_the_way(self):
        self.broker.start()
        self.broker.kill()
        self.assertTrue(stat.S_ISSOCK(self.path.stat().st_mode))
        self.broker.start()  # what was left behind does not matter
        self.client_there().ping()
        self.assertEqual(self.broker.stop(), 0)
        self.assertFalse(self.path.exists())
        self.path.write_text("a file of somebody")
        code, said = self.broker.run_to_end()
        self.assertEqual(code, 1)
        self.assertIn("is no socket", said)
        self.assertEqual(self.path.read_text(), "a file of somebody")
        self.path.unlink()
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(self.path))
            other.listen()
            code, said = self.broker.run_to_end()
            self.assertIn("is in use", said)
        self.path.unlink()
        with socket.socket(socket.AF_UNIX) as other, socket.socket(socket.AF_UNIX) as caller:  # nobody there accepts
            other.bind(str(self.path))
            other.listen(0)
            caller.connect(str(self.path))
            self.assertIn("is in use", self.broker.run_to_end()[1])
        self.path.unlink()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:  # alive, though no stream
            other.bind(str(self.path))
            self.assertIn("is in use", self.broker.run_to_end()[1])
        long = self.broker.root / ("x" * 120)
        self.broker.config = f"listener 0 {long}"
        self.broker.write_config()
        self.assertIn("at most 107 bytes", self.broker.run_to_end()[1])

    def test_a_relative_path(self):
        """In the folder in which the broker was started, as other files are; it goes with the broker."""
        self.broker.config = "listener 0 mqtt.sock\n"
        self.broker.start()
        self.client_there().ping()
        self.assertEqual(self.broker.stop(), 0)
        self.assertFalse(self.path.exists())

    @own_only("of its words")
    def test_a_relative_path_of_a_daemon(self):
        pid = self.broker.root / "pid"
        self.broker.config = "listener 0 mqtt.sock\npid_file pid\n"
        self.broker.write_config()
        code, words = self.broker.run_to_end("-d")
        self.assertEqual(code, 0, words)
        try:
            self.client_there().ping()
        finally:
            os.kill(int(pid.read_text()), signal.SIGTERM)
        eventually(lambda: not pid.exists() and not self.path.exists(), timeout=15, what="the end of the daemon")

    @own_only("its reload opens nothing")
    def test_reload_keeps_it(self):
        self.broker.start()
        there = self.client_there()
        self.broker.signal(signal.SIGHUP)
        eventually(lambda: "was read again" in self.broker.log(), what="the reload")
        there.ping()
        self.client_there().ping()
        self.assertNotIn("needs a restart", self.broker.log())

    @own_only("it has no such key")
    @unittest.skipIf(os.geteuid() != 0, "not possible here: only root can be other users")
    def test_users(self):
        self.broker.config += "unix_uid_identity true\nlistener_allow_anonymous false\nuse_username_as_clientid true\n"
        self.broker.start()
        self.path.chmod(0o777)
        first = self.client_there("a", user_name="somebody-else", password=b"x")
        second = self.client_there("b")  # the same user, so the same client identifier
        self.assertEqual(first.ended(), 0x8E)
        hello = wire.connect("c", version=4).hex()
        for uid, answer in ((1234, "20020000"), (65534, "")):  # 65534 stands for all that the kernel does not know
            done = subprocess.run([sys.executable, "-c", AS_USER, str(self.path), str(uid), hello], capture_output=True,
                                  timeout=20, check=False)
            self.assertEqual(done.stdout.decode(), answer, done.stderr.decode()[-500:])
        second.ping()

    @own_only("of the user that it becomes")
    @unittest.skipIf(BROKER_USER is None, "not possible here: only root can become another user")
    def test_whose_it_is(self):
        """Root's broker serves as another user: its socket is that user's, who may connect and take it away, in a
        folder like /tmp, too."""
        folder = self.broker.root.with_suffix(".sticky")
        folder.mkdir()
        self.addCleanup(shutil.rmtree, folder)
        folder.chmod(0o1777)
        self.path = folder / "mqtt.sock"
        self.broker.config = f"listener 0 {self.path}\n"
        for end in (self.broker.kill, self.broker.stop):
            self.broker.start()
            there = self.path.stat()
            self.assertEqual((there.st_uid, there.st_gid), (BROKER_USER, BROKER_USER))
            hello = wire.connect("a", version=4).hex()
            done = subprocess.run([sys.executable, "-c", AS_USER, str(self.path), str(BROKER_USER), hello],
                                  capture_output=True, timeout=20, check=False)
            self.assertEqual(done.stdout.decode(), "20020000", done.stderr.decode()[-500:])
            end()
        self.assertFalse(self.path.exists())

    @own_only("it opens its own")
    def test_socket_of_systemd(self):
        self.broker.write_config()
        program = ("import os, socket, sys\n"
                   "s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(50)\n"
                   "os.dup2(s.fileno(), 3); os.set_inheritable(3, True)\n"
                   "os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()))\n"
                   "os.execv(sys.argv[2], sys.argv[2:])\n")
        log = open(self.broker.log_path, "ab")
        self.addCleanup(log.close)
        self.broker.process = subprocess.Popen([sys.executable, "-c", program, str(self.path), *self.broker.command()],
                                               stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.broker.root)
        eventually(lambda: "is ready" in self.broker.log(), timeout=15, what="the start")
        for n in range(6):
            self.client_there(f"c{n}").ping()
        self.assertEqual(self.broker.stop(), 0)
        self.assertTrue(self.path.exists(), "it is systemd's")
