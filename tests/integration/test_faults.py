"""Hostile clients, a clumsy operator and a bad machine: the broker serves on, and ends when it is told to."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import time

from harness import OwnBrokerTest, eventually, free_port, own_only, tool
from test_household import get, try_to_connect
import wire


def behind(broker, *words):
    """The broker's command behind another one, as `prlimit`."""
    command = broker.command
    broker.command = lambda *extra: [*words, *command(*extra)]


@own_only("its own ways")
class Links(OwnBrokerTest):
    workers = 1
    READ_SIZE = 65536  # LOOP_READ_SIZE of broker/net/loop.h

    def flooded(self, client_id, count):
        """A connection with a small window whose client does not read."""
        sock = socket.socket()
        self.addCleanup(sock.close)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", self.port))
        sock.sendall(wire.connect(client_id) + wire.subscribe(1, [("flood", 0)]))
        self.flooder.ping()
        self.flooder.send(wire.publish("flood", b"x" * 32768) * count)
        self.flooder.ping()
        return sock

    @staticmethod
    def drain(sock):
        """Reads until nothing has come for a while."""
        sock.settimeout(0.02)
        try:
            while sock.recv(1 << 20):
                pass
        except TimeoutError:
            pass

    def test_end_and_last_bytes_in_one_turn(self):
        """
        The last bytes to a client leave in the same turn of the loop in which its own end is read and another
        connection is accepted. Its number must not be given out before the shard has heard of the end.
        """
        self.broker.config = "max_queued_messages 100000"
        self.broker.start()
        self.flooder = self.client()
        for count in range(60, 120):  # one of these fills the socket and leaves little for the last turn
            old = self.flooded("taken over", count)
            with self.client("taken over"):
                time.sleep(0.01)
                self.broker.signal(signal.SIGSTOP)
                self.drain(old)
                old.settimeout(1)
                old.sendall(wire.frame(wire.PINGREQ, 0) * (self.READ_SIZE // 2))
                old.shutdown(socket.SHUT_WR)
                next_one = socket.create_connection(("127.0.0.1", self.port))
                self.broker.signal(signal.SIGCONT)
                next_one.close()
            self.flooder.ping()
            old.close()

    def test_all_cut_at_once(self):
        """A crowd whose connections end by RST, in every state: greeted, half a CONNECT, nothing said."""
        self.broker.start()
        crowd = []
        for n in range(600):
            sock = socket.create_connection(("127.0.0.1", self.port))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            whole = wire.connect(f"crowd {n}")
            sock.sendall((whole, whole[:7], b"")[n % 3])
            crowd.append(sock)
        for sock in crowd:
            sock.close()
        with self.client() as client:
            client.ping()


@own_only("control socket")
class ControlSocket(OwnBrokerTest):
    workers = 2

    def ask(self, command):
        sock = socket.socket(socket.AF_UNIX)
        self.addCleanup(sock.close)
        sock.settimeout(10)
        sock.connect(str(self.broker.data / "control.sock"))
        sock.sendall(json.dumps({"command": command}).encode() + b"\n")
        return sock

    def test_asks_and_does_not_read(self):
        """The answer does not fit into the socket; the next one gets its own, and the broker can stop."""
        self.broker.start()
        for n in range(30):
            self.client(f"{n:02}" + "n" * 65000)
        self.ask("clients.list")
        time.sleep(0.2)
        self.assertIn(b'"connected":30', self.ask("clients.count").recv(1000))
        self.ask("clients.list")
        time.sleep(0.2)
        begin = time.monotonic()
        self.assertEqual(self.broker.stop(), 0)
        self.assertLess(time.monotonic() - begin, 4)


@own_only("its own log")
class Log(OwnBrokerTest):
    workers = 2

    def test_nobody_reads_the_log(self):
        """A pipe that is full loses lines, not clients, and TERM is heard."""
        self.broker.config = "log_type all\nconnection_messages true"
        self.broker.write_config()
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        with open(writer, "wb") as pipe:
            self.broker.process = subprocess.Popen(self.broker.command(), stdin=subprocess.DEVNULL, stderr=pipe)
        eventually(lambda: try_to_connect(self), what="a start")
        for _ in range(600):  # more lines than a pipe holds
            self.client("again").disconnect()
        self.assertEqual(self.broker.stop(), 0)

    def test_file_size_limit(self):
        """The log file may not grow: lines are lost, and the broker serves on."""
        file = self.broker.root / "log"
        file.write_bytes(b"\n" * 4096)
        self.broker.config = f"log_dest file {file}\npersistence false"
        behind(self.broker, tool("prlimit"), "--fsize=4096:4096")
        self.broker.start()
        self.broker.signal(signal.SIGUSR1)
        self.client().ping()
        self.assertEqual(file.stat().st_size, 4096)
        self.assertEqual(self.broker.stop(), 0)


@own_only("admin listener")
class DescriptorsLeft(OwnBrokerTest):
    workers = 1

    def test_operator_is_answered(self):
        """However many connections there are, some descriptors are left: for health, the control socket, HUP."""
        admin_port = free_port()
        self.broker.config = f"admin_listener {admin_port}"
        behind(self.broker, tool("prlimit"), "--nofile=64:64")
        self.broker.start()
        while try_to_connect(self):
            pass
        before = self.cpu_s()
        self.assertEqual(get(admin_port, "/health")[0], 200)
        self.broker.signal(signal.SIGHUP)
        eventually(lambda: "was read again" in self.broker.log(), what="a reload")
        time.sleep(0.5)
        self.assertLess(self.cpu_s() - before, 0.3)

    def cpu_s(self):
        usage = pathlib.Path(f"/proc/{self.broker.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(usage[11]) + int(usage[12])) / os.sysconf("SC_CLK_TCK")
