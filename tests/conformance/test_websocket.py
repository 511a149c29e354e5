"""MQTT over WebSocket: section 6 of both specifications, RFC 6455, and what breaks their rules."""

import os
import socket
import time

from harness import free_port, own_only
from spec import SpecTest
import wire
import ws


@own_only("Debian's is built without WebSockets for such tests")
class WebSocket(SpecTest):
    abstract = False

    @classmethod
    def setUpClass(cls):
        cls.ws_port, cls.own_origin_port = free_port(), free_port()
        cls.config = SpecTest.config + f"""
websockets_headers_size 2000
connect_timeout 2
listener {cls.ws_port} 127.0.0.1
protocol websockets
listener {cls.own_origin_port} 127.0.0.1
protocol websockets
websockets_origin https://app.example
websockets_origin https://other.example:8443
"""
        cls.start_broker()

    def open(self, **fields):
        connection = ws.Connection(ws.tcp(fields.pop("port", self.ws_port)), **fields)
        self.addCleanup(connection.close)
        return connection

    def over(self, version=5, **args):
        client = wire.Client(0, self.name(), dial=self.open, version=version, **args)
        self.addCleanup(client.cut)
        return client

    def status(self, ask=None, **fields):
        with self.assertRaises(ws.Refused) as caught:
            self.open(ask=ask, **fields)
        return caught.exception.status

    def test_subprotocol(self):
        """[MQTT-6.0.0-4] [MQTT3-6.0.0-4]"""
        for offered, chosen in (("mqtt", "mqtt"), ("mqttv3.1", "mqttv3.1"), ("chat, mqtt", "mqtt"), ("mqttv3.1, mqtt", "mqttv3.1"),
                                ("soap,mqtt,wamp", "mqtt")):
            answer = self.open(Sec_WebSocket_Protocol=offered).answer
            self.assertEqual(answer["sec-websocket-protocol"], chosen)
            self.assertEqual(answer["sec-websocket-accept"], ws.ACCEPT)
            self.assertEqual(answer["upgrade"].lower(), "websocket")
            self.assertNotIn("sec-websocket-extensions", answer)

    def test_paths(self):
        for path in ("/mqtt", "/", "/mqtt?token=x"):
            self.open(path=path)
        # The absolute-form: RFC 6455 section 4.2.1, RFC 9112 section 3.2.2.  Its authority is not looked at.
        for target in ("http://127.0.0.1/mqtt", "HTTPS://other.example:9/mqtt?token=x", "http://[::1]:80", "http://a/", "http://a?x"):
            self.open(path=target)
        for path in ("/other", "/mqtt/", "mqtt", "//", "/MQTT", "http:///mqtt", "http://", "http:/mqtt", "http://a/other", "http://a//mqtt",
                     "ftp://a/mqtt", "/http://a/mqtt"):
            self.assertEqual(self.status(path=path), 404)

    def test_messages(self):
        for version in (3, 4, 5):
            client = self.over(version)
            client.subscribe("ws", 2)
            for size in (0, 1, 100, 126, 65535, 65536, 1000000):
                payload = os.urandom(size)
                client.publish("ws", payload, 1)
                self.assertEqual(client.message().payload, payload)
            client.socket.close()

    def test_boundaries_mean_nothing(self):
        """[MQTT-6.0.0-2] [MQTT3-6.0.0-2] [bad-inputs 66]: packets and frames are cut independently of each other."""
        packets = wire.connect(self.name()) + b"\xc0\x00" * 3
        expected = b"\x20"
        cuts = {
            "one frame": ws.frame(ws.BINARY, packets),
            "a frame for each byte": b"".join(ws.frame(ws.BINARY, packets[i:i + 1]) for i in range(len(packets))),
            "fragments": ws.frame(ws.BINARY, packets[:5], fin=False) + ws.frame(ws.CONTINUATION, packets[5:9], fin=False) +
                         ws.frame(ws.CONTINUATION, packets[9:]),
            "an empty frame first": ws.frame(ws.BINARY) + ws.frame(ws.BINARY, packets),
            "empty fragments": ws.frame(ws.BINARY, b"", fin=False) + ws.frame(ws.CONTINUATION, packets, fin=False) +
                               ws.frame(ws.CONTINUATION, b""),
            "a ping between fragments": ws.frame(ws.BINARY, packets[:3], fin=False) + ws.frame(ws.PING, b"are you there") +
                                        ws.frame(ws.CONTINUATION, packets[3:]),
            "lengths in long form": ws.frame(ws.BINARY, packets + b"\xc0\x00" * 100),
            "a pong that nobody asked for": ws.frame(ws.PONG, b"x") + ws.frame(ws.BINARY, packets),
        }
        for what, data in cuts.items():
            for step in (len(data), 1):
                with self.subTest(what, step=step):
                    connection = self.open()
                    connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    for at in range(0, len(data), step):
                        connection.socket.sendall(data[at:at + step])
                    got = b""
                    while got.count(b"\xd0\x00") < 3:
                        got += connection.recv(1000)
                    self.assertEqual(got[:1], expected)
                    pings = [payload for opcode, payload in connection.frames if opcode == ws.PONG]
                    self.assertEqual(pings, [b"are you there"] if "ping" in what else [])

    def test_frames_with_the_request(self):
        """Who does not wait for the answer is served, too."""
        connection = self.open(ask=ws.request() + ws.frame(ws.BINARY, wire.connect(self.name())))
        self.assertEqual(connection.recv(1), b"\x20")

    def test_frames_that_break_the_rules(self):
        """[MQTT-6.0.0-1] [MQTT3-6.0.0-1] [bad-inputs 67]"""
        hello = wire.connect(self.name())
        rows = [
            ("a text frame", ws.frame(ws.TEXT, b"hello"), 1003),
            ("text, of MQTT", ws.frame(ws.TEXT, hello), 1003),
            ("no mask", ws.frame(ws.BINARY, hello, mask=b""), 1002),
            ("a reserved bit", ws.frame(ws.BINARY, hello, reserved=4), 1002),
            ("an unknown kind", ws.frame(3, hello), 1002),
            ("an unknown control", ws.frame(11, b""), 1002),
            ("a ping in fragments", ws.frame(ws.PING, b"x", fin=False), 1002),
            ("a ping of 126 bytes", ws.frame(ws.PING, b"x" * 126), 1002),
            ("a continuation of nothing", ws.frame(ws.CONTINUATION, hello), 1002),
            ("a new message inside another", ws.frame(ws.BINARY, hello, fin=False) + ws.frame(ws.BINARY, b"x"), 1002),
            ("a length in too wide a form", ws.frame(ws.BINARY, b"x" * 10, long_form=64), 1002),
            ("2^63 bytes", ws.frame(ws.BINARY, b"x", length=1 << 63, long_form=64), 1002),
            ("more than any packet", ws.frame(ws.BINARY, b"x", length=1 << 40, long_form=64), 1009),
            ("a close frame of one byte", ws.frame(ws.CLOSE, b"x"), 1002),
            ("a close code that is none", ws.frame(ws.CLOSE, b"\x00\x01"), 1002),
        ]
        for what, data, code in rows:
            with self.subTest(what):
                connection = self.open()
                connection.socket.sendall(data)
                self.assertEqual(connection.close_code_of_broker(), code)
        self.over().ping()

    def test_closing_handshake(self):
        connection = self.open()
        connection.socket.sendall(ws.frame(ws.CLOSE, (1000).to_bytes(2, "big") + b"bye"))
        self.assertEqual(connection.close_code_of_broker(), 1000)
        client = self.over()
        client.send(b"\xe0\x00")  # DISCONNECT: the broker ends it
        self.assertEqual(client.socket.close_code_of_broker(), 1000)
        # The end in the same segment as a last message, which counts.
        reader, writer = self.client(), self.over()
        reader.subscribe("last", 1)
        writer.socket.socket.sendall(ws.frame(ws.BINARY, wire.publish("last", b"words", version=5)) + ws.frame(ws.CLOSE, b"\x03\xe8"))
        self.assertEqual(reader.message().payload, b"words")
        self.assertEqual(writer.socket.close_code_of_broker(), 1000)

    def test_a_close_without_disconnect_publishes_the_will(self):
        reader = self.client()
        reader.subscribe("will", 1)
        client = self.over(will=wire.Will("will", b"gone", 1))
        client.socket.socket.sendall(ws.frame(ws.CLOSE, b"\x03\xe8"))
        self.assertEqual(reader.message(timeout=2).payload, b"gone")

    def test_openings_that_are_refused(self):
        """[bad-inputs 68]"""
        good = ws.request()
        rows = [
            ({"drop": ("Sec-WebSocket-Protocol",)}, 400),
            ({"Sec_WebSocket_Protocol": "chat"}, 400),
            ({"Sec_WebSocket_Protocol": "MQTT"}, 400),
            ({"drop": ("Upgrade",)}, 426),
            ({"Upgrade": "h2c"}, 426),
            ({"drop": ("Connection",)}, 426),
            ({"drop": ("Sec-WebSocket-Version",)}, 426),
            ({"Sec_WebSocket_Version": "8"}, 426),
            ({"drop": ("Sec-WebSocket-Key",)}, 400),
            ({"Sec_WebSocket_Key": "c2hvcnQ="}, 400),
            ({"Sec_WebSocket_Key": "!" * 24}, 400),
            ({"drop": ("Host",)}, 400),
            ({"Content_Length": "5"}, 400),
            ({"Transfer_Encoding": "chunked"}, 400),
            ({"line": "POST /mqtt HTTP/1.1"}, 405),
            ({"line": "GET /mqtt HTTP/1.0"}, 400),
            ({"line": "GET  /mqtt HTTP/1.1"}, 400),
            ({"line": "nonsense"}, 400),
            ({"Cookie": "x" * 2000}, 431),
            ({"Bad Name": "x"}, 400),
            ({"Folded": "a\r\n b"}, 400),
            ({"ask": good.replace(b"Host", b"Host: a\r\nHost")}, 400),
            ({"ask": good.replace(b"\r\n", b"\n").replace(b"\n\n", b"\n\r\n\r\n")}, 400),
            ({"ask": b"\x16\x03\x01\x02\x00"}, 400),
            ({"ask": wire.connect("plain")}, 400),
            ({"ask": b"A" * 3000}, 431),
        ]
        for fields, status in rows:
            with self.subTest(fields):
                self.assertEqual(self.status(**fields), status)

    def test_origins(self):
        """[bad-inputs 68]: pages of other origins may not; clients that are no pages may."""
        for origin in ("https://app.example", "https://other.example:8443", "HTTPS://APP.example"):
            self.open(port=self.own_origin_port, Origin=origin)
        self.open(port=self.own_origin_port)
        for origin in ("https://evil.example", "https://app.example.evil", "http://app.example", "null", "https://app", ""):
            self.assertEqual(self.status(port=self.own_origin_port, Origin=origin), 403)
        self.open(Origin="https://anything.example")

    def test_slow_openings(self):
        """[bad-inputs 68]: a request that does not come to its end ends with connect_timeout."""
        with socket.create_connection(("127.0.0.1", self.ws_port), timeout=10) as slow:
            began = time.monotonic()
            slow.sendall(ws.request()[:-2])
            answer = b""
            while data := slow.recv(1000):
                answer += data
            self.assertIn(b" 408 ", answer.split(b"\r\n")[0])
            self.assertGreater(time.monotonic() - began, 1)
        connection = self.open()  # and one that opens, and then says nothing
        self.assertEqual(connection.close_code_of_broker(), 1000)

    def test_pings_that_nobody_reads_the_pongs_of(self):
        """Pongs are bounded: who asks for ever and never reads is cut off, before the broker holds much for it."""
        connection = self.open()
        pings = ws.frame(ws.PING, b"x" * 125) * 500
        before = self.resident()
        with self.assertRaises(ConnectionError):
            for _ in range(2000):  # 130 MB
                connection.socket.sendall(pings)
        self.assertLess(self.resident() - before, 64 << 20)  # the sanitizers keep for a while what was freed
        self.over().ping()

    def resident(self):
        for line in open(f"/proc/{self.broker.process.pid}/status", encoding="ascii"):
            if line.startswith("VmRSS"):
                return int(line.split()[1]) * 1024
        return 0

    def test_big_and_slow(self):
        """More than the socket takes: frames are cut in two by the socket, and come whole."""
        reader = self.over(timeout=30)
        reader.subscribe("big", 0)
        writer = self.client()
        payload = os.urandom(100000)
        for _ in range(100):
            writer.publish("big", payload, 1)
        for _ in range(100):
            self.assertEqual(reader.message(timeout=20).payload, payload)
