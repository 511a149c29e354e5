"""The tests of test_memory.py over TLS, WebSocket and both: what these layers keep of a payload."""

import pathlib
import shutil
import socket
import tempfile
import time

from harness import free_port
from test_memory import MemoryTest, filled
from test_tls import handshake
import pki
import test_memory
import wire
import ws


class StreamTest(MemoryTest):
    """Every client comes by `dial`, instead of plain TCP."""

    abstract = True
    workers = 2
    protocol = ""

    @classmethod
    def setUpClass(cls):
        cls.home = pathlib.Path(tempfile.mkdtemp(prefix="metrino-pki-"))
        cls.addClassCleanup(shutil.rmtree, cls.home, ignore_errors=True)
        cls.authority = pki.Authority(cls.home / "ca")
        certificate, key = cls.authority.server()
        cls.stream_port = free_port()
        tls = f"certfile {certificate}\nkeyfile {key}\n" if cls.sealed else ""
        cls.config = f"{MemoryTest.config}\nlistener {cls.stream_port} 127.0.0.1\n{cls.protocol}\n{tls}"
        cls.start_broker(folders=[cls.home])

    def dial(self):
        if self.sealed:
            return handshake(self.stream_port, self.authority.context())
        return socket.create_connection(("127.0.0.1", self.stream_port), timeout=10)

    def client(self, client_id=None, **args):
        client = wire.Client(0, self.name("c") if client_id is None else client_id, dial=self.dial, **args)
        self.addCleanup(client.cut)
        return client

    test_delivered = test_memory.Canaries.test_delivered
    test_in_pieces = test_memory.Canaries.test_in_pieces
    test_refused = test_memory.Canaries.test_refused
    test_waits = test_memory.Canaries.test_waits

    def test_a_reader_that_stands_still(self):
        """What its socket does not take waits, and where it waits is payload memory."""
        topic = self.name()
        reader, publisher = self.client(), self.client()
        reader.subscribe(topic, 0)
        for _ in range(40):
            publisher.publish(topic, filled(self.token, 300000), 1)
        self.protected()
        reader.cut()
        publisher.ping()
        self.gone()

    def test_small_ones_at_once(self):
        """Many in one record, and in one frame."""
        topic = self.name()
        reader, publisher = self.client(), self.client()
        reader.subscribe(topic, 0)
        for size in (40, 900, 1700, 4050, 4096):
            publisher.send(b"".join(wire.publish(topic, filled(self.token, size)) for _ in range(20)))
            reader.messages(20)
            publisher.ping()
            reader.ping()
            self.gone()


class Tls(StreamTest):
    abstract = False
    sealed = True


class WebSocket(StreamTest):
    abstract = False
    sealed = False
    protocol = "protocol websockets"

    def dial(self):
        return ws.Connection(super().dial)

    def test_behind_the_opening(self):
        """The request and what follows it in one write, then the rest."""
        topic = self.name()
        reader = self.client()
        reader.subscribe(topic, 0)
        packets = wire.connect(self.name("c")) + wire.publish(topic, filled(self.token, 2000))
        bare = StreamTest.dial(self)
        self.addCleanup(bare.close)
        bare.sendall(ws.request() + ws.frame(ws.BINARY, packets))
        reader.message()
        time.sleep(0.1)
        self.gone()


class SealedWebSocket(WebSocket):
    sealed = True
