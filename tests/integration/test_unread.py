"""Who closes with much unread, so that nothing can be written to it any more, or goes wrong, is heard to the end."""

import pathlib
import shutil
import socket
import ssl
import tempfile

from harness import OwnBrokerTest, free_port, own_only
import pki
import wire
import ws


@own_only("other brokers end a connection at the first write that fails")
class Unread(OwnBrokerTest):
    workers = 1

    def setUp(self):
        super().setUp()
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="metrino-pki-"))
        self.addCleanup(shutil.rmtree, self.home, ignore_errors=True)
        authority = pki.Authority(self.home / "ca")
        certificate, key = authority.server()
        self.context = authority.context()
        self.web, self.sealed, self.both = free_port(), free_port(), free_port()
        self.path = self.broker.root / "socket"
        files = f"certfile {certificate}\nkeyfile {key}\n"
        self.broker.folders = [self.home]
        self.broker.config = (f"listener {self.web} 127.0.0.1\nprotocol websockets\n"
                              f"listener {self.sealed} 127.0.0.1\n{files}"
                              f"listener {self.both} 127.0.0.1\nprotocol websockets\n{files}"
                              f"listener 0 {self.path}\nunix_uid_identity true\n")
        self.broker.start()

    def dial(self, port):
        there = socket.create_connection(("127.0.0.1", port), timeout=10)
        there.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # what waits at this end is not sent before a reset
        return there

    def dial_sealed(self, port):
        return self.context.wrap_socket(self.dial(port), server_hostname="localhost")

    def test_what_came_before_a_broken_record(self):
        """Over TLS: it was right, so it counts, although a record with a wrong seal came in the same read."""
        watcher = self.client()
        watcher.subscribe([("last", wire.options()), ("will", wire.options())])
        there = self.dial(self.sealed)
        self.addCleanup(there.close)
        came, said = ssl.MemoryBIO(), ssl.MemoryBIO()
        sealed = self.context.wrap_bio(came, said, server_hostname="localhost")
        while True:
            try:
                sealed.do_handshake()
                break
            except ssl.SSLWantReadError:
                there.sendall(said.read())
                came.write(there.recv(65536))
        sealed.write(wire.connect(self.name(), version=4, will=wire.Will("will", b"x")))
        there.sendall(said.read())
        came.write(there.recv(65536))
        self.assertEqual(sealed.read(4), b"\x20\x02\0\0")
        sealed.write(wire.publish("last", version=4) + wire.disconnect(version=4))
        there.sendall(said.read() + b"\x17\x03\x03\0\x20" + bytes(32))
        self.assertEqual(watcher.message().topic, "last")
        while there.recv(4096):  # an alert, and the end
            pass
        watcher.silent()

    def dial_path(self):
        there = socket.socket(socket.AF_UNIX)
        there.settimeout(10)
        there.connect(str(self.path))
        return there

    def test_heard_to_the_end(self):
        """Its last words are not lost, nor its DISCONNECT [MQTT-3.14.4-3]: no will."""
        dials = {"tcp": lambda: self.dial(self.port), "websocket": lambda: ws.Connection(lambda: self.dial(self.web)),
                 "tls": lambda: self.dial_sealed(self.sealed), "unix": self.dial_path,
                 "both": lambda: ws.Connection(lambda: self.dial_sealed(self.both))}
        watcher = self.client()
        watcher.subscribe([("last", wire.options()), ("will", wire.options())])
        for name, dial in dials.items():
            with self.subTest(name):
                there = wire.Client(0, self.name(), version=4, dial=dial, will=wire.Will("will", name.encode()))
                there.subscribe([("much", 0)])
                for _ in range(200):
                    watcher.send(wire.publish("much", bytes(60000)))
                watcher.ping()
                with self.broker.stopped():
                    there.send(wire.publish("last", name.encode(), version=4))
                    if isinstance(there.socket, ws.Connection):  # whose pong can go nowhere
                        there.socket.socket.sendall(ws.frame(ws.PING))
                    there.send(wire.disconnect(version=4))
                    there.cut()
                message = watcher.message()
                self.assertEqual((message.topic, message.payload), ("last", name.encode()))
        watcher.silent()
