"""What waits in a socket when the broker comes back to it: epoll tells of it once (broker/net/loop_arm.c)."""

import contextlib
import socket

from harness import OwnBrokerTest, own_only
import wire
from wire import Will

READ = 65536  # what the broker reads at once
ROOM = 4 << 20  # more than the kernel keeps of a connection that nobody reads


@own_only("its own ways")
class Sockets(OwnBrokerTest):
    """The broker is stopped while bytes come or go, so that it finds all of them at once."""

    workers = 1
    config = "max_queued_messages 100000\nmax_queued_bytes 67108864\n"

    def setUp(self):
        super().setUp()
        self.broker.start()

    def fill(self, client, packet):
        """Sends whole packets, as many as the kernel keeps; how many."""
        client.socket.setblocking(False)
        rest, sent = b"", 0
        try:
            while sent < ROOM:
                rest = rest or packet
                n = client.socket.send(rest)
                sent, rest = sent + n, rest[n:]
        except BlockingIOError:
            pass
        finally:
            client.socket.setblocking(True)
            client.socket.settimeout(10)
        return sent, rest

    def warm(self, client, packet):
        """The kernel gives a connection as much room as was made use of."""
        for _ in range(64):
            client.send(packet * (READ // len(packet)))
        client.ping()

    def test_more_than_one_read_takes(self):
        client = self.client()
        packet = wire.publish("warm", bytes(4096))
        self.warm(client, packet)
        with self.broker.stopped():
            waiting, rest = self.fill(client, packet)
        self.assertGreater(waiting, 2 * READ)
        client.send(rest)
        client.ping()

    def test_last_bytes_and_the_end(self):
        watcher = self.client()
        watcher.subscribe("#", 1)
        for count in (1, 2 * READ // 1100):  # the end behind one read, and behind several
            client = self.client(will=Will("will", b"gone", 1))
            self.warm(client, wire.publish("$warm", bytes(4096)))
            with self.broker.stopped():
                client.send(b"".join(wire.publish("said", bytes(1024)) for _ in range(count)))
                client.socket.shutdown(socket.SHUT_WR)
            for _ in range(count):
                self.assertEqual(watcher.message().topic, "said")
            self.assertEqual(watcher.message().topic, "will")

    def test_more_than_some_writes_take(self):
        """A subscriber who reads all at once what lay in the kernel: the rest has to follow."""
        reader, writer = self.client(), self.client()
        reader.subscribe("t", 0)
        count = 20000  # more than the kernel keeps of them
        for _ in range(count):
            writer.send(wire.publish("t", bytes(1024)))
        writer.ping()
        got = b""
        with self.broker.stopped(), contextlib.suppress(TimeoutError):
            reader.socket.settimeout(0.5)
            while more := reader.socket.recv(1 << 20):
                got += more
        size = len(wire.publish("t", bytes(1024)))
        self.assertLess(len(got), count * size)
        reader.socket.settimeout(10)
        while len(got) < count * size:
            got += reader.socket.recv(1 << 20)
        self.assertEqual(len(got), count * size)
        reader.ping()

    def test_urgent_data(self):
        """MQTT has none.  Whoever sends it is read on, although a read stops there."""
        watcher, client = self.client(), self.client()
        watcher.subscribe("t", 0)
        with self.broker.stopped():
            client.send(wire.publish("t", b"before"))
            client.socket.send(b"\x00", socket.MSG_OOB)
            client.send(wire.publish("t", b"behind") + wire.frame(wire.PINGREQ, 0))
        client.expect(wire.PINGRESP)
        self.assertEqual([watcher.message().payload for _ in range(2)], [b"before", b"behind"])
        client.socket.send(b"\x00", socket.MSG_OOB)
        client.ping()
