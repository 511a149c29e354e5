"""The PROXY protocol, versions 1 and 2, and headers that are none."""

import socket
import struct

from harness import eventually, free_port, own_only
from spec import SpecTest
import wire
import ws

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
FOUR = socket.inet_aton("192.0.2.7") + socket.inet_aton("198.51.100.1") + struct.pack("!HH", 50000, 1883)
SIX = socket.inet_pton(socket.AF_INET6, "2001:db8::7") * 2 + struct.pack("!HH", 50000, 1883)


def tlv(kind, value):
    return bytes([kind]) + struct.pack("!H", len(value)) + value


def v2(body=FOUR, pair=0x11, command=0x21, length=None, signature=SIGNATURE):
    return signature + bytes([command, pair]) + struct.pack("!H", len(body) if length is None else length) + body


SSL = tlv(0x20, b"\x01" + bytes(4) + tlv(0x21, b"TLSv1.3"))
NO_SSL = tlv(0x20, b"\x00" + bytes(4))


def shown(name=None, bits=7, verify=0, more=b""):
    """A header of a client that showed its certificate to the balancer."""
    return v2(FOUR + tlv(0x20, struct.pack("!BI", bits, verify) + tlv(0x21, b"TLSv1.3") +
                         (b"" if name is None else tlv(0x22, name)) + more))


V1 = b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 1883\r\n"


@own_only("2.0 has no PROXY protocol")
class Proxy(SpecTest):
    abstract = False

    @classmethod
    def setUpClass(cls):
        cls.one, cls.two, cls.sealed, cls.elsewhere, cls.web, cls.here, cls.verified, cls.named = (free_port() for _ in range(8))
        cls.config = SpecTest.config + f"""
connect_timeout 2
connection_messages true
ip_logging full
log_type all
listener {cls.one} 127.0.0.1
enable_proxy_protocol 1
proxy_protocol_from 10.0.0.0/8
proxy_protocol_from 127.0.0.0/30
listener {cls.two} 127.0.0.1
enable_proxy_protocol 2
proxy_protocol_from 127.0.0.1
listener {cls.sealed} 127.0.0.1
enable_proxy_protocol 2
proxy_protocol_v2_require_tls true
proxy_protocol_from 127.0.0.1
listener {cls.elsewhere} 127.0.0.1
enable_proxy_protocol 2
proxy_protocol_from 192.0.2.0/24
listener {cls.web} 127.0.0.1
protocol websockets
enable_proxy_protocol 2
proxy_protocol_from ::ffff:127.0.0.1
listener {cls.here} 127.0.0.1
enable_proxy_protocol 1
listener {cls.verified} 127.0.0.1
enable_proxy_protocol 2
require_certificate true
listener {cls.named} 127.0.0.1
protocol websockets
enable_proxy_protocol 2
require_certificate true
use_identity_as_username true
use_username_as_clientid true
listener_allow_anonymous false
listener 0 balancer.sock
enable_proxy_protocol 2
require_certificate true
use_identity_as_username true
use_username_as_clientid true
listener_allow_anonymous false
listener 0 plain.sock
enable_proxy_protocol 1
"""
        cls.start_broker()

    def after(self, port, header, step=None):
        """A connection that begins with this header, in pieces of `step` bytes."""
        plain = socket.create_connection(("127.0.0.1", port), timeout=10)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(header), step or len(header)):
            plain.sendall(header[at:at + (step or len(header))])
        return plain

    def serves(self, port, header, step=None):
        client = wire.Client(0, self.name(), dial=lambda: self.after(port, header, step))
        client.ping()
        client.cut()

    def closes(self, port, header):
        with self.after(port, header + wire.connect(self.name())) as plain:
            try:
                self.assertEqual(plain.recv(100), b"")
            except ConnectionError:
                pass

    def test_version_1(self):
        for header in (V1, b"PROXY TCP6 2001:db8::7 ::1 50000 1883\r\n", b"PROXY UNKNOWN\r\n",
                       b"PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"):
            for step in (None, 1, 7):
                self.serves(self.one, header, step)

    def test_version_2(self):
        for header in (v2(), v2(SIX, 0x21), v2(bytes(216), 0x31), v2(b"", 0, 0x20), v2(FOUR, 0x11, 0x20), v2(FOUR + SSL),
                       v2(b"", 0x11, 0x20), v2(b"", 0xFF, 0x20), v2(b"\x01\x00\x05no", 0x21, 0x20),  # LOCAL: whatever stands there
                       v2(b"", 0x00), v2(FOUR + tlv(0x04, bytes(300)) + tlv(0x01, b"mqtt")), v2(FOUR + tlv(0xEE, b""))):
            for step in (None, 1, 7):
                self.serves(self.two, header, step)

    def test_header_and_packets_in_one_segment(self):
        for port, header in ((self.one, V1), (self.two, v2())):
            with self.after(port, header + wire.connect(self.name()) + b"\xc0\x00") as plain:
                got = b""
                while b"\xd0\x00" not in got:
                    got += plain.recv(100)
                self.assertEqual(got[:1], b"\x20")

    def test_websocket_behind_a_header(self):
        connection = ws.Connection(lambda: self.after(self.web, v2()))
        client = wire.Client(0, self.name(), dial=lambda: connection)
        client.ping()
        client.cut()

    def test_the_clients_address(self):
        """It is the client's that the log shows, where it may, beside the balancer's."""
        header = v2(socket.inet_aton("203.0.113.99") + FOUR[4:])
        self.serves(self.two, header)
        eventually(lambda: "a connection from 203.0.113.99" in self.broker.log(), what="the address in the log")

    def test_only_over_tls(self):
        self.serves(self.sealed, v2(FOUR + SSL))
        for header in (v2(), v2(FOUR + NO_SSL), v2(b"", 0, 0x20)):
            self.closes(self.sealed, header)

    def test_headers_that_are_none(self):
        """[bad-inputs 69]"""
        ones = (b"", b"proxy TCP4 192.0.2.7 198.51.100.1 50000 1883\r\n", V1[:-2] + b"\n", V1.replace(b"TCP4", b"TCP5"),
                V1.replace(b"192.0.2.7", b"192.0.2.256"), V1.replace(b"192.0.2.7", b"::1"), V1.replace(b"50000", b"65536"),
                V1.replace(b"50000", b"050"), V1.replace(b" 50000", b""), V1.replace(b"\r", b" \r"), V1.replace(b"PROXY ", b"PROXY  "),
                b"PROXY UNKNOWN " + b"x" * 200 + b"\r\n", b"PROXY\r\n", V1.replace(b"192.0.2.7", b"192.0.2.7\0"), v2())
        for header in ones:
            with self.subTest(header):
                self.closes(self.one, header)
        twos = (b"", V1, v2(command=0x11), v2(command=0x22), v2(pair=0x13), v2(pair=0x41), v2(FOUR[:-1]), v2(SIX[:-1], 0x21),
                v2(FOUR + b"\x01\x00"), v2(FOUR + b"\x01\x00\x05abc"), v2(FOUR + tlv(0x20, b"\x01")), v2(length=60000),
                v2(FOUR + bytes(3000)), v2(signature=b"\r\n\r\n\0\r\nQUIT\r"))
        for header in twos:
            with self.subTest(header):
                self.closes(self.two, header)
        # One that promises more than it sends waits for connect_timeout.
        self.closes(self.two, v2(length=200))

    def test_from_elsewhere(self):
        """[bad-inputs 69]: whoever is no balancer is closed, with a header and without."""
        for header in (b"", v2(), V1):
            self.closes(self.elsewhere, header)
        plain = socket.socket()
        plain.bind(("127.0.0.9", 0))  # outside of 127.0.0.0/30
        plain.settimeout(10)
        plain.connect(("127.0.0.1", self.one))
        with plain:
            try:
                plain.sendall(V1 + wire.connect("x"))
                self.assertEqual(plain.recv(10), b"")
            except ConnectionError:
                pass

    def test_of_this_machine(self):
        """Without proxy_protocol_from, from any address of loopback, and over a Unix socket."""
        self.serves(self.here, V1)
        with socket.socket() as plain:
            plain.bind(("127.0.0.9", 0))
            plain.settimeout(10)
            plain.connect(("127.0.0.1", self.here))
            plain.sendall(V1 + wire.connect(self.name()))
            self.assertEqual(plain.recv(1), b"\x20")
        self.closes(self.here, b"")
        for step in (None, 1):
            client = wire.Client(0, self.name(), dial=lambda step=step: self.on_path("plain.sock", V1, step))
            client.publish("t", b"x" * 100000, 1)
            client.cut()

    def on_path(self, name, header, step=None):
        plain = socket.socket(socket.AF_UNIX)
        plain.settimeout(10)
        plain.connect(str(self.broker.root / name))
        for at in range(0, len(header), step or len(header)):
            plain.sendall(header[at:at + (step or len(header))])
        return plain

    def test_certificates_that_the_balancer_verified(self):
        for header in (shown(), shown(bits=3), shown(bits=5), shown(b"\0")):
            self.serves(self.verified, header, 1)
        for header in (v2(), v2(FOUR + SSL), shown(bits=1), shown(bits=6), shown(verify=1), shown(verify=1 << 24),
                       v2(FOUR + tlv(0x20, struct.pack("!BI", 7, 0)), command=0x20)):
            with self.subTest(header):
                self.closes(self.verified, header)

    def named_client(self, header, unix, **args):
        def dial():
            return self.on_path("balancer.sock", header) if unix else ws.Connection(lambda: self.after(self.named, header))
        client = wire.Client(0, "anything", dial=dial, user_name="nobody", password=b"none", **args)
        self.addCleanup(client.cut)
        return client

    def test_names_in_them(self):
        """The name is the user's, whatever CONNECT says, and here the client identifier: so one takes over the other."""
        for unix in (False, True):
            name = f"device {unix} ö".encode()
            first, other = self.named_client(shown(name), unix), self.named_client(shown(name + b"2"), unix)
            second = self.named_client(shown(name), unix)
            self.assertEqual(first.ended(), 0x8E)
            second.ping()
            other.ping()

    def test_names_that_are_none(self):
        """[bad-inputs 70]"""
        for header in (shown(), shown(b""), shown(b"a\0b"), shown(b"a\nb"), shown(b"\xff"), shown(b"\xed\xa0\x80"), shown(b"a", bits=1),
                       shown(b"a", verify=7), shown(b"a", more=tlv(0x22, b"b")), shown(b"a", more=b"\x23\x00"),
                       v2(shown(b"a")[16:] + shown(b"b")[28:])):
            with self.subTest(header):
                for unix in (False, True):
                    with self.on_path("balancer.sock", header) if unix else self.after(self.named, header) as plain:
                        try:
                            plain.sendall(wire.connect("x") if unix else b"GET /mqtt HTTP/1.1\r\n")
                            self.assertEqual(plain.recv(100), b"")
                        except ConnectionError:
                            pass
