"""
Every row of bad-inputs.tsv over a socket: the answer, byte for byte where there is one; a pair of clients that is not
disturbed; and memory that is where it was before.
"""

import os
import pathlib
import select
import time
import urllib.request

from harness import COMMAND, OwnBrokerTest, eventually, free_port
from spec import SpecTest, connect_packet, stays
import wire


def h(text):
    """Bytes of "82 0001 'abc'": hexadecimal and quoted text."""
    parts = text.split("'")
    return b"".join(part.encode() if at % 2 else bytes.fromhex(part) for at, part in enumerate(parts))


def packet(first, body):
    body = body if isinstance(body, bytes) else h(body)
    return bytes([first]) + wire.varint(len(body)) + body


def both(first, body):
    """The same packet for 3.1.1 and 5.0; `P` is where the properties of 5.0 stand."""
    return packet(first, body.replace("P", "")), packet(first, body.replace("P", "00"))


CONNECT_4, CONNECT_5 = "0004'MQTT'04 ", "0004'MQTT'05 "

# what is sent by 3.1.1 (closed for it), what by 5.0, and the reason of the DISCONNECT
FRAMING = (
    # [bad-inputs 1]
    *((one, one, 0x81) for one in (h("30FFFFFFFF01"), h("C08080808001"), h("FFFFFFFFFF"), h("8280808080"))),
    # [bad-inputs 2]
    *((one, one, 0x81) for one in (h("C08000"), h("C0808000"), h("308500 0001't' 00"))),
    (None, packet(0x30, "0001't' 8000 'x'"), 0x81), (None, packet(0x82, "0001 828000 0B01 0001't' 00"), 0x81),
    # [bad-inputs 5]
    *((*both(first, body), 0x81) for first, body in (
        (0x80, "0001 P 0001't' 00"), (0x8F, "0001 P 0001't' 00"), (0x60, "0001"), (0x6A, "0001"), (0xC1, ""), (0xE1, ""),
        (0xA0, "0001 P 0001't'"), (0x41, "0001"), (0x52, "0001"), (0x78, "0001"), (0xF1, ""))),
    # [bad-inputs 6]
    *((packet(first, body), packet(first, body), 0x81) for first, body in ((0, ""), (0, "0000"), (0x0F, ""))),
    (packet(0xF0, ""), None, None), (packet(0xF0, "1900"), None, None),
    # [bad-inputs 7]
    *((*both(first, body), 0x82) for first, body in (
        (0x20, "0000 P"), (0x20, ""), (0x90, "0001 P 00"), (0x90, ""), (0xB0, "0001 P 00"), (0xB0, ""), (0xD0, ""), (0xD0, "00"))),
    # [bad-inputs 9]
    *((*both(first, body), 0x81) for first, body in (
        (0x30, ""), (0x30, "00"), (0x30, "0005't'"), (0x32, "0001't' 00"), (0x40, ""), (0x40, "00"), (0x50, "01"), (0x62, "01"),
        (0x70, "01"), (0x82, ""), (0x82, "00"), (0x82, "0001 P 00"), (0x82, "0001 P 0005't' 00"), (0x82, "0001 P 0001't' 00 00"),
        (0xA2, "0001 P 0002't'"), (0xA2, "0001 P 0001't' 00"), (0xC0, "00"))),
    *((None, packet(first, body), 0x81) for first, body in (
        (0x30, "0001't'"), (0x30, "0001't' 05 0101"), (0x40, "0001 00 01"), (0x40, "0001 00 00 00"), (0x50, "0001 00 05 1F"),
        (0xE0, "00 00 00"), (0xE0, "00 05 11 000000"), (0xF0, "18"), (0xF0, "18 04 150001"), (0x82, "0001"), (0xA2, "0001"))),
    (packet(0x40, "000100"), None, None), (packet(0xE0, "00"), None, None),
    # [bad-inputs 12]
    (packet(0x10, CONNECT_4 + "02 003C 0001'x'"), packet(0x10, CONNECT_5 + "02 003C 00 0001'x'"), 0x82),
)

PUBLISH = (
    # [bad-inputs 31]
    (*both(0x30, "0000 P 'x'"), 0x82), (*both(0x32, "0000 0001 P 'x'"), 0x82), (*both(0x30, "0000 P"), 0x82),
    # [bad-inputs 32]
    *((*both(0x30, f"{len(topic):04x}'{topic}' P 'x'"), 0x90) for topic in ("+", "#", "a/+", "a/#", "a+b", "a#", "+/a", "$SYS/#")),
    # [bad-inputs 33]
    *((*both(0x30, f"{len(h(topic)):04x} {topic} P 'x'"), 0x81) for topic in (
        "'a'00", "00", "C080", "C1BF", "E08080", "EDA080", "EDBFBF", "F4908080", "F8888080", "'a'C3", "C328", "E282", "FF", "FE",
        "'aaaaaaaa'80", "'aaaaaaaaa'C2")),
    (None, packet(0x30, "0001't' 06 08 0003 'a'0000"), 0x81), (None, packet(0x30, "0001't' 07 26 0000 0002 C328"), 0x81),
    # [bad-inputs 34]
    (*both(0x36, "0001't' 0001 P 'x'"), 0x81), (*both(0x3F, "0001't' 0001 P 'x'"), 0x81), (*both(0x36, "0001't' P"), 0x81),
    # [bad-inputs 35]
    (*both(0x38, "0001't' P 'x'"), 0x81), (*both(0x39, "0001't' P 'x'"), 0x81),
    # [bad-inputs 36]
    (*both(0x32, "0001't' 0000 P 'x'"), 0x82), (*both(0x34, "0001't' 0000 P 'x'"), 0x82),
    # [bad-inputs 37]
    (None, packet(0x30, "0001't' 03 23 0000"), 0x94), (None, packet(0x30, "0001't' 03 23 000B"), 0x94),
    (None, packet(0x30, "0001't' 03 23 FFFF"), 0x94), (None, packet(0x30, "0000 03 23 0001"), 0x82),
    (None, packet(0x30, "0000 03 23 0000"), 0x94), (None, packet(0x30, "0000 03 23 000B"), 0x94),
    # [bad-inputs 39]
    (None, packet(0x30, "0001't' 02 0B01"), 0x82), (None, packet(0x32, "0001't' 0001 04 0B01 0B02"), 0x82),
    # [bad-inputs 40]
    *((None, packet(0x30, f"0001't' 04 08 0001'{one}'"), 0x82) for one in "+#"), (None, packet(0x30, "0001't' 03 08 0000"), 0x82),
    (None, packet(0x30, "0001't' 05 08 0002 C080"), 0x81), (None, packet(0x30, "0001't' 06 03 0000 03 0000"), 0x82),
    # [bad-inputs 42]
    *((one, one, 0x95) for one in (b"\x30" + wire.varint(16777216), b"\x30\xff\xff\xff\x7f", b"\x82" + wire.varint(1 << 27))),
)

SUBSCRIBE = (
    # [bad-inputs 50]
    (*both(0x82, "0001 P"), 0x82), (*both(0xA2, "0001 P"), 0x82), (*both(0x82, "0000 P 0001't' 00"), 0x82),
    (*both(0xA2, "0000 P 0001't'"), 0x82), (*both(0x82, "0000 P"), 0x82),
    # [bad-inputs 51]
    (*both(0x82, "0001 P 0001't'"), 0x81), (*both(0x82, "0001 P 0001't' 00 0001'u'"), 0x81), (*both(0x82, "0001 P 0000"), 0x81),
    # [bad-inputs 52]: U+0000; the others have their own test
    (*both(0x82, "0001 P 0002't'00 00"), 0x81), (*both(0xA2, "0001 P 0002't'00"), 0x81),
    # [bad-inputs 53]
    (packet(0x82, "0001 0001't' 03"), packet(0x82, "0001 00 0001't' 03"), 0x82),
    (packet(0x82, "0001 0001't' 30"), packet(0x82, "0001 00 0001't' 30"), 0x82),
    (packet(0x82, "0001 0001't' 40"), packet(0x82, "0001 00 0001't' 40"), 0x81),
    (packet(0x82, "0001 0001't' 80"), packet(0x82, "0001 00 0001't' 82"), 0x81),
    (packet(0x82, "0001 0001't' 00 0001'u' 04"), packet(0x82, "0001 00 0001't' 00 0001'u' 33"), 0x82),
    # [bad-inputs 55]
    (None, packet(0x82, "0001 00 000A'$share/g/t' 04"), 0x82), (None, packet(0x82, "0001 00 0001't' 00 000A'$share/g/t' 05"), 0x82),
    # [bad-inputs 56]
    (None, packet(0x82, "0001 02 0B00 0001't' 00"), 0x82), (None, packet(0x82, "0001 04 0B01 0B01 0001't' 00"), 0x82),
    (None, packet(0x82, "0001 06 0B 8080808001 0001't' 00"), 0x81), (None, packet(0x82, "0001 06 0B FFFFFFFF7F 0001't' 00"), 0x81),
    # [bad-inputs 65]: reasons of a server, an expiry that comes too late
    *((None, packet(0xE0, f"{reason:02X}"), 0x82) for reason in (0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x9A, 0x9C, 0xA2, 0x01, 0xFF)),
    (None, packet(0xE0, "00 05 11 00000001"), 0x82), (None, packet(0xE0, "8E 00"), 0x82),
    # [bad-inputs 27]: AUTH without a method in CONNECT
    *((None, packet(0xF0, body), 0x82) for body in ("", "00 00", "18 04 15 0001'x'", "19 04 15 0001'x'", "18 04 16 0001'x'")),
)

# what is sent first, and the answer: None to close, else the code of a CONNACK, by version
OPENING = (
    # [bad-inputs 1] [bad-inputs 2] [bad-inputs 3]
    *((one, None) for one in (h("10FFFFFFFF"), h("10FFFFFFFF7F"), h("108D00"), h("10FFFFFF7F"), b"\x10" + wire.varint(262145))),
    # [bad-inputs 4]
    *((packet(kind << 4 | flags, body), None) for kind, flags, body in (
        (0, 0, ""), (2, 0, "0000"), (3, 0, "0001't'"), (3, 2, "0001't' 0001"), (4, 0, "0001"), (5, 0, "0001"), (6, 2, "0001"),
        (7, 0, "0001"), (8, 2, "0001 0001't' 00"), (9, 0, "0001 00"), (10, 2, "0001 0001't'"), (11, 0, "0001"), (12, 0, ""),
        (13, 0, ""), (14, 0, ""), (15, 0, ""), (15, 0, "18 04 15 0001'x'"))),
    # [bad-inputs 5]
    *((packet(0x10 | flags, CONNECT_5 + "02 003C 00 0001'x'"), None) for flags in range(1, 16)),
    # [bad-inputs 13]
    *((packet(0x10, f"0002'MQTT' {level} 02 003C 00 0001'x'"), None) for level in ("04", "05")),
    *((packet(0x10, f"{name} {level} 02 003C {properties} 0001'x'"), answer)
      for name in ("0004'MQTX'", "0004'mqtt'", "0000", "0003'MQT'", "0005'MQTTT'")
      for level, properties, answer in (("04", "", None), ("05", "00", 0x84))),
    (packet(0x10, "0006'MQTT'"), None), (packet(0x10, "FFFF'MQTT'05"), None), (packet(0x10, "00"), None), (packet(0x10, ""), None),
    # [bad-inputs 14]: levels above 5 are told in the form of 5.0, those below in that of 3.1.1
    *((packet(0x10, f"0004'MQTT'{level} 02 003C 0001'x'"), 0x01) for level in ("00", "01", "02", "03", "83")),
    *((packet(0x10, f"0004'MQTT'{level} 02 003C 00 0001'x'"), 0x84) for level in ("06", "7F", "85", "FF")),
    # [bad-inputs 15] [bad-inputs 16] [bad-inputs 17]
    *((packet(0x10, f"{head} {flags} 003C {rest}"), answer) for flags in ("03", "0A", "12", "1A", "22", "3A")
      for head, rest, answer in ((CONNECT_4, "0001'x'", None), (CONNECT_5, "00 0001'x'", 0x81))),
    (packet(0x10, CONNECT_4 + "1E 003C 0001'x' 0001't' 0000"), None), (packet(0x10, CONNECT_5 + "1E 003C 00 0001'x' 00 0001't' 0000"), 0x81),
    # [bad-inputs 18]
    (packet(0x10, CONNECT_4 + "42 003C 0001'x' 0001'p'"), None),
    # [bad-inputs 19]
    *((packet(0x10, f"{head} {flags} 003C {properties} 0001'x' {rest}"), answer)
      for flags, rest in (("06", ""), ("06", "W 0001't'"), ("06", "W 0001't' 0005'x'"), ("82", ""), ("C2", "0001'u'"), ("82", "0002'u'"),
                          ("02", "00"), ("02", "0001'u'"), ("82", "0001'u' 0001'p'"), ("C6", "W 0001't' 0000 0001'u'"))
      for head, properties, answer, rest in ((CONNECT_4, "", None, rest.replace("W", "")), (CONNECT_5, "00", 0x81, rest.replace("W", "00")))),
    # [bad-inputs 20]
    (packet(0x10, CONNECT_4 + "00 003C 0000"), 0x02),
    # [bad-inputs 22]
    *((packet(0x10, f"{CONNECT_4} 06 003C 0001'x' {len(h(topic)):04x} {topic} 0000"), None)
      for topic in ("", "'#'", "'a/+'", "'a'00", "'$SYS/x'", "'$CONTROL/x'")),
    *((packet(0x10, f"{CONNECT_5} 06 003C 00 0001'x' 00 {len(h(topic)):04x} {topic} 0000"), answer)
      for topic, answer in (("", 0x90), ("'#'", 0x90), ("'a/+'", 0x90), ("'a'00", 0x81), ("'$SYS/x'", 0x90), ("'$CONTROL/x'", 0x90))),
    # [bad-inputs 23]
    *((packet(0x10, f"{CONNECT_5} 02 003C {len(h(one)) * 2:02x} {one} {one} 0001'x'"), 0x82) for one in (
        "1100000001", "210001", "2700001000", "220001", "1901", "1701", "150001'm'")),
    (packet(0x10, f"{CONNECT_5} 02 003C 0C 15 0001'm' 160001'd' 160001'd' 0001'x'"), 0x82),
    *((packet(0x10, f"{CONNECT_5} 06 003C 00 0001'x' {len(h(one)) * 2:02x} {one} {one} 0001't' 0000"), 0x82) for one in (
        "1800000001", "0101", "0200000001", "030001'c'", "080001'r'", "090001'd'")),
    # [bad-inputs 24]
    *((packet(0x10, f"{CONNECT_5} 02 003C {len(h(one)):02x} {one} 0001'x'"), 0x81) for one in (
        "0001", "0401", "7F01", "800101", "0101", "0200000001", "030001'c'", "0B01", "120001'x'", "13003C", "1800000001", "1A0001'x'",
        "1C0001'x'", "1F0001'x'", "230001", "2401", "2501", "2801", "2901", "2A01", "11", "110000", "21", "2100", "26", "260001'a'")),
    *((packet(0x10, f"{CONNECT_5} 06 003C 00 0001'x' {len(h(one)):02x} {one} 0001't' 0000"), 0x81) for one in (
        "1100000001", "210001", "1F0001'x'", "0B01", "230001", "0001", "18", "180000", "26000161")),
    *((packet(0x10, f"{CONNECT_5} 02 003C {length} 210001 0001'x'"), 0x81) for length in ("7F", "FF7F", "FFFFFF7F", "FFFFFFFF", "02", "04")),
    # [bad-inputs 25]
    *((packet(0x10, f"{CONNECT_5} 02 003C {len(h(one)):02x} {one} 0001'x'"), 0x82) for one in ("210000", "2700000000", "1702", "19FF", "1902")),
    (packet(0x10, f"{CONNECT_5} 06 003C 00 0001'x' 02 0102 0001't' 0000"), 0x82),
    # [bad-inputs 27]
    (packet(0x10, f"{CONNECT_5} 02 003C 04 16 0001'd' 0001'x'"), 0x82), (packet(0x10, f"{CONNECT_5} 02 003C 04 15 0001'm' 0001'x'"), 0x8C),
    (packet(0x10, f"{CONNECT_5} 02 003C 08 15 0001'm' 16 0001'd' 0001'x'"), 0x8C),
    (packet(0x10, f"{CONNECT_5} 06 003C 04 15 0001'm' 0001'x' 00 0001't' 0400" + "00" * 1024), 0x8C),
)


class BadInputTest(SpecTest):
    """Two clients talk all the time, and the broker says how much memory it has given out."""

    abstract = True
    settings = ""
    REPEATS = 3
    SLACK = 560  # each of the two may have an empty buffer of 280 bytes left, or not

    @classmethod
    def setUpClass(cls):
        cls.admin = free_port()
        cls.config = f"{SpecTest.config}\nadmin_listener {cls.admin}\nsys_interval 0\n" \
            f"route_max_bytes 0\n{cls.settings}"  # rows of deliveries fill a block of 16 kB, and let it go, as time goes
        super().setUpClass()
        cls.talker, cls.listener = (wire.Client(cls.broker.port, name, keep_alive=0) for name in ("talker", "listener"))
        cls.addClassCleanup(cls.talker.cut)
        cls.addClassCleanup(cls.listener.cut)
        cls.listener.subscribe("talk/#", qos=2)
        cls.said, cls.before = 0, None

    def setUp(self):
        self.talk()
        if self.before is None:
            time.sleep(1.5)  # the client that asked whether the broker answers may linger for a second
            self.__class__.before = self.memory()
        self.addCleanup(self.look_around)

    def talk(self):
        for qos in (0, 1, 2):
            self.__class__.said += 1
            self.talker.publish("talk/more", str(self.said), qos)
            self.assertEqual(self.listener.message().payload.decode(), str(self.said))

    def memory(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=10) as reply:
            lines = reply.read().decode().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("metrino_memory_charged_bytes "))

    def look_around(self):
        """After each test: nobody else has noticed, and every byte is back."""
        self.talk()
        self.assertFalse(self.listener.kept)
        self.memory_is_back()

    def memory_is_back(self):
        try:
            eventually(lambda: abs(self.memory() - self.before) <= self.SLACK, 10)
        except AssertionError:
            self.assertEqual(self.memory(), self.before)

    def up_close(self, version, data, reason):
        """A connected client sends this and is closed."""
        client = self.client("hostile", version=version)
        client.send(data)
        try:
            self.ends(client, reason)
        finally:
            client.cut()

    def first_close(self, data, answer):
        """Somebody sends this first: closed without a word, or after CONNACK."""
        client = self.raw(4 if answer in (None, 1, 2) else 5)
        client.send(data)
        try:
            if answer is not None:
                connack = client.receive()
                self.assertEqual((connack.type, connack.session_present, connack.reason), (wire.CONNACK, 0, answer))
            self.assertIsNone(client.ended())
            self.assertFalse(client.kept)
        finally:
            client.cut()

    def all_of(self, table):
        for old, new, reason in table * self.REPEATS:
            for version, data in ((4, old), (5, new)):
                if data is not None:
                    with self.subTest(version=version, data=data.hex(" ")[:200]):
                        self.up_close(version, data, reason)


class Tables(BadInputTest):
    abstract = False

    def test_framing(self):
        self.all_of(FRAMING)

    def test_publish(self):
        self.all_of(PUBLISH)

    def test_subscribe(self):
        self.all_of(SUBSCRIBE)

    def test_opening(self):
        for data, answer in OPENING * self.REPEATS:
            with self.subTest(data=data.hex(" ")[:200]):
                self.first_close(data, answer)

    def test_again_and_again(self):
        """All tables, some thousand times: the process is not larger for it. (With AddressSanitizer, leaks are told at the end.)"""
        watched = b"__asan_init" not in pathlib.Path(COMMAND[0]).read_bytes()
        rows = [(version, data) for old, new, _ in FRAMING + PUBLISH + SUBSCRIBE for version, data in ((4, old), (5, new)) if data]
        rows += [(None, data) for data, _ in OPENING]
        status = pathlib.Path(f"/proc/{self.broker.process.pid}/status")

        def resident_kb():
            return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmRSS"))

        def once():
            clients = []
            for version, data in rows:
                client = wire.Client(self.port, greet=False)
                client.send((wire.connect("", version=version) if version else b"") + data)
                clients.append(client)
                if len(clients) == 20:
                    for client in clients:
                        while client.socket.recv(65536):
                            pass
                        client.cut()
                    clients.clear()
            for client in clients:
                client.cut()
            return len(rows)

        for _ in range(20 if watched else 1):  # until what is remembered of clients that come and go is at its bound
            once()
        self.memory_is_back()
        before, count = resident_kb(), 0
        while count < (4000 if watched else 1000):
            count += once()
        self.memory_is_back()
        if watched:
            self.assertLess(resident_kb() - before, 200, f"kB more after {count} inputs")


class Stories(BadInputTest):
    """Rows that need more than one packet."""

    abstract = False

    def test_any_segments(self):
        """[bad-inputs 8]: a byte at a time, all at once, cut anywhere"""
        for version in self.versions():
            topic = self.name("t")
            whole = (wire.connect(self.name(), version=version) + wire.subscribe(1, [(topic, 2)], version)
                     + b"".join(wire.publish(topic, b"x" * size, qos, 10 + qos, version=version) for size, qos in ((0, 0), (1, 1), (200, 2)))
                     + wire.ack(wire.PUBREL, 12) + wire.frame(wire.PINGREQ, 0) + wire.unsubscribe(2, [topic], version))
            cuts = [range(1, len(whole)), []] + [[at] for at in range(1, 90)]
            for cut in cuts:
                client = self.raw(version)
                at = 0
                for end in [*cut, len(whole)]:
                    client.send(whole[at:end])
                    at = end
                kinds = sorted(client.receive().type for _ in range(10))
                self.assertEqual(kinds, [wire.CONNACK, wire.PUBLISH, wire.PUBLISH, wire.PUBLISH, wire.PUBACK, wire.PUBREC, wire.PUBCOMP,
                                         wire.SUBACK, wire.UNSUBACK, wire.PINGRESP])
                client.cut()

    def test_endless_packet(self):
        """[bad-inputs 11]: only whole packets keep a connection alive"""
        clients = [self.client(version=version, keep_alive=1) for version in (4, 5)]
        began = time.monotonic()
        for client in clients:
            client.send(b"\x30\xff\xff\x01")
        for client in clients:
            while not select.select([client.socket], [], [], 0.1)[0]:
                for one in clients:
                    one.send(b"x")
                self.assertLess(time.monotonic() - began, 8)
            self.ends(client, 0x8D)
        self.assertGreater(time.monotonic() - began, 1.4)

    def test_connect_that_is_right(self):
        """[bad-inputs 18] [bad-inputs 20] and the bridge bit of [bad-inputs 14], which is accepted from 3.1.1"""
        for data, version in ((packet(0x10, CONNECT_5 + "42 003C 00 0001'x' 0001'p'"), 5), (packet(0x10, CONNECT_5 + "00 003C 00 0000"), 5),
                              (packet(0x10, "0004'MQTT'84 02 003C 0001'x'"), 4)):
            client = self.raw(version)
            client.send(data)
            connack = client.expect(wire.CONNACK)
            self.assertEqual(connack.reason, 0)
            self.assertEqual(connack.get("assigned_client_identifier") is not None, data.endswith(b"\0\0"))
            client.ping()
            client.cut()

    def test_odd_names(self):
        """[bad-inputs 21]: a name is a name; it opens no file and matches nothing"""
        before = sorted(os.listdir(self.broker.root))
        for version in self.versions():
            for name in ("+", "#", "a/+/b", "../../x", "/etc/passwd", "%c", "%u", "$SYS", "x" * 65535, "\u20ac" * 21845):
                client = self.client(name, version=version, user_name=name, password=b"x")
                client.subscribe("odd")
                client.publish("odd", "x")
                self.assertEqual(client.message().topic, "odd")
                client.disconnect()
        self.assertEqual(sorted(os.listdir(self.broker.root)), before)

    def test_many_user_properties(self):
        """[bad-inputs 26]: at a cost that grows with their number; beyond the size of a CONNECT not even read"""
        pairs = [("user_property", ("", ""))] * 50000
        began = time.monotonic()
        client = self.client(properties=pairs)
        client.subscribe("many")
        client.publish("many", "x", 1, properties=pairs)
        self.assertEqual(len(client.message().properties), 50000)
        self.assertLess(time.monotonic() - began, 5)
        client.cut()
        self.first_close(wire.connect("x", properties=[("user_property", ("", "x" * 60000))] * 5), None)

    def test_pipelined(self):
        """[bad-inputs 28]"""
        for version in self.versions():
            for refused in (False, True):
                client = self.raw(version)
                head = connect_packet(version, 2 | refused, wire.text("pipe"))
                client.send(head + wire.publish("talk/wrong" if refused else "fine", b"x", 1, 7, version=version))
                if not refused:
                    client.expect(wire.CONNACK)
                    self.assertEqual(client.expect(wire.PUBACK).packet_id, 7)
                    client.cut()
                else:
                    self.assertIsNone(client.ended())

    def test_same_name_in_a_loop(self):
        """[bad-inputs 29]: with messages under way and a will that waits"""
        for version in self.versions():
            topic, name, old = self.name("t"), self.name(), None
            will = wire.Will("talk/wrong", b"x", properties=[("will_delay_interval", 60)]) if version == 5 else None
            for at in range(60):
                client = self.client(name, will=will, **stays(version))
                if at == 0:
                    client.subscribe(topic, qos=2)
                if old:
                    self.ends(old, 0x8E)
                    old.cut()
                self.talker.publish(topic, str(at), 2)
                self.assertEqual(client.expect(wire.PUBLISH).payload, b"0")
                old = client
            client.disconnect()
            self.client(name, version=version).disconnect()

    def test_alias_after_reconnect(self):
        """[bad-inputs 37] and none to who takes none [bad-inputs 38]"""
        name = self.name()
        client = self.client(name, **stays(5))
        client.publish("t", "x", properties=[("topic_alias", 1)])
        client.cut()
        client = self.client(name, clean=False)
        client.subscribe("t")
        for _ in range(3):
            client.publish("t", "x")
            self.assertIsNone(client.message().get("topic_alias"))
        client.send(wire.publish("", b"x", properties=[("topic_alias", 1)]))
        self.assertEqual(client.ended(), 0x82)

    def test_payload_that_is_no_text(self):
        """[bad-inputs 41]: passed on; a payload is not looked into"""
        client = self.client()
        client.subscribe("t")
        self.assertEqual(client.publish("t", b"\xff\0\xc0", 1, properties=[("payload_format_indicator", 1)]), 0)
        self.assertEqual(client.message().payload, b"\xff\0\xc0")
        client.cut()

    def test_receive_maximum(self):
        """[bad-inputs 43]: one more than was granted"""
        client = self.client()
        maximum = client.connack.get("receive_maximum")
        client.send(b"".join(wire.publish("t", b"", 2, at) for at in range(1, maximum + 1)))
        for _ in range(maximum):
            client.expect(wire.PUBREC)
        client.ping()
        client.send(wire.publish("t", b"", 2, maximum + 1))
        self.assertEqual(client.ended(), 0x93)

    def test_repeated_qos_2(self):
        """[bad-inputs 44]: the same identifier for ever, and all of them"""
        for version in self.versions():
            client = self.client(version=version)
            client.send(wire.publish("t", b"x" * 1000, 2, 9, version=version) * 3000)
            for _ in range(3000):
                self.assertEqual(client.expect(wire.PUBREC).reason, 0)
            self.assertLess(self.memory() - self.before, 20000)
            client.cut()
        client = self.client(version=4)
        for first in range(1, 65536, 5000):
            numbers = range(first, min(first + 5000, 65536))
            client.send(b"".join(wire.publish("t", b"x" * 100, 2, at, version=4) for at in numbers))
            self.assertEqual([client.expect(wire.PUBREC).packet_id for _ in numbers], list(numbers))
        self.assertLess(self.memory() - self.before, 30000)
        client.cut()

    def test_stray_acknowledgements(self):
        """[bad-inputs 45]"""
        for version in self.versions():
            for sent, answer in ((wire.PUBACK, None), (wire.PUBREC, wire.PUBREL), (wire.PUBREL, wire.PUBCOMP), (wire.PUBCOMP, None)):
                client = self.client(version=version)
                client.send(wire.ack(sent, 77))
                if answer:
                    got = client.receive()
                    self.assertEqual((got.type, got.packet_id, got.reason), (answer, 77, 0x92 if version == 5 else 0))
                client.ping()
                self.assertFalse(client.kept)
                client.cut()
            for qos, wrong in ((2, wire.PUBACK), (2, wire.PUBCOMP), (1, wire.PUBREC), (1, wire.PUBCOMP)):
                client = self.client(version=version)
                client.subscribe("t", qos=2)
                client.publish("t", "x", qos)
                client.send(wire.ack(wrong, client.expect(wire.PUBLISH).packet_id))
                self.ends(client, 0x82)

    def test_long_topics(self):
        """[bad-inputs 46]"""
        for version in self.versions():
            client = self.client(version=version)
            client.subscribe([("#", 0)])
            for topic in ("t" * 65535, "/" * 65535, "a/" * 32767):
                for retain in (False, True):
                    client.publish(topic, "x", 1, retain=retain)
                    self.assertEqual(client.message().topic, topic)
                client.publish(topic, b"", retain=True)
                client.message()
            client.cut()

    def test_dollar(self):
        """[bad-inputs 47]: acknowledged, and goes nowhere"""
        for version in self.versions():
            client = self.client(version=version)
            client.subscribe([("#", 0), ("$SYS/#", 0), ("$foreign/#", 0), ("+/x", 0)])
            for topic in ("$SYS/x", "$SYS", "$share/g/t", "$foreign/x", "$CONTROL/dynamic-security/v1", "$"):
                for qos in (0, 1, 2):
                    self.assertEqual(client.publish(topic, "x", qos, retain=True), 0)
            client.ping()
            self.assertFalse(client.kept)
            client.cut()

    def test_filters(self):
        """[bad-inputs 52] [bad-inputs 54]: refused one by one in 5.0; a 3.1.1 client is closed, and knows no shares"""
        for name in ("", "#/a", "a#", "a/#/b", "a+", "+a/b", "a/+b", "$share/", "$share/g", "$share//t", "$share/g/", "$share/g+/t",
                     "$share/#/t", "$share/g/a#"):
            client = self.client()
            client.subscribe([("a", 1), (name, 1), ("b", 2)], expect=[1, 0x8F, 2])
            self.assertEqual(client.unsubscribe("a", name, "b").reasons, [0, 0x8F, 0])
            client.cut()
            if not name.startswith("$share"):
                self.up_close(4, wire.subscribe(1, [("a", 0), (name, 0)], 4), None)

    def test_many_filters(self):
        """[bad-inputs 57]"""
        for version in self.versions():
            refused = 0x97 if version == 5 else 0x80
            client = self.client(version=version, timeout=30)
            client.send(wire.subscribe(1, [(f"many/{at}", 0) for at in range(60000)], version))
            reasons = client.expect(wire.SUBACK).reasons
            self.assertEqual((len(reasons), set(reasons) - {0, refused}), (60000, set()))
            for _ in range(2):  # a second time, and away with them: none of it stops the others for long
                began = time.monotonic()
                client.send(wire.subscribe(1, [(f"many/{at}", 1) for at in range(60000)], version))
                client.send(wire.unsubscribe(2, [f"many/{at}" for at in range(60000)], version))
                client.expect(wire.UNSUBACK)
                self.assertLess(time.monotonic() - began, 5)
            client.cut()
            client = self.client(version=version)
            client.subscribe([("/" * 32767, 0), ("+/" * 16000 + "+", 0)], expect=[refused, refused])
            deep = "/".join("a" * 100)
            client.subscribe([("/".join("+" * 100), 0), ("+/" * 99 + "#", 0), ("#", 0)])
            began = time.monotonic()
            for _ in range(50):
                client.publish(deep, "x", 1)
            client.publish("/" * 60000, "x", 1)
            self.assertLess(time.monotonic() - began, 3)
            client.cut()

    def test_plain_and_shared(self):
        """[bad-inputs 58]"""
        for version in self.versions():
            client = self.client(version=version)
            for at in range(200):
                names = ["t", "$share/g/t", "$share/h/t"][at % 3:] + ["t"]
                client.subscribe([(name, at % 3) for name in names])
                gone = client.unsubscribe("t", "$share/g/t", "t", "$share/x/t")
                self.assertEqual(gone.reasons[2:], [0x11, 0x11] if version == 5 else [])
            client.unsubscribe("$share/h/t")
            client.publish("t", "x", 1)
            client.ping()
            self.assertFalse(client.kept)
            client.cut()

    def test_whole_retained_store(self):
        """[bad-inputs 59]: asked for again and again by one who reads nothing; what waits is bounded"""
        writer = self.client()
        for at in range(3000):
            writer.send(wire.publish(f"kept/{at}", b"x" * 1000, retain=True))
        writer.ping()
        stored = self.memory()
        reader = self.client()
        reader.send(b"".join(wire.subscribe(at, [("#", 1)]) for at in range(1, 300)))
        time.sleep(0.5)
        self.assertLess(self.memory() - stored, 64 << 20)
        self.talk()
        reader.cut()
        for at in range(3000):
            writer.send(wire.publish(f"kept/{at}", b"", retain=True))
        writer.ping()
        writer.cut()

    def test_never_reads(self):
        """[bad-inputs 60]"""
        reader = self.client()
        reader.subscribe("flood", qos=1)
        flooder = self.client()
        for _ in range(600):
            flooder.send(wire.publish("flood", b"x" * 60000))
        flooder.ping()
        self.assertLess(self.memory() - self.before, 40 << 20)
        self.talk()
        reader.cut()
        flooder.cut()

    def test_small_clients(self):
        """[bad-inputs 62]: nothing above the client's limit, whatever happens"""
        for limit in range(1, 21):
            client = self.raw()
            client.send(wire.connect("small", properties=[("maximum_packet_size", limit), ("topic_alias_maximum", 9)])
                        + wire.subscribe(1, [("small", 2), ("b", 0), ("c", 0), ("d#", 0)]) + wire.publish("small", b"x" * 8, 2, 1)
                        + wire.publish("small", b"", 1, 2) + wire.publish("small", b"") + b"\xc1\0")
            client.ended()
            for got in client.kept:
                self.assertLessEqual(got.size, limit, got)
            client.cut()

    def test_wills(self):
        """[bad-inputs 64]: once, and at its time"""
        def doomed(delay, expiry, name=None, **args):
            properties = [("session_expiry_interval", expiry)] if expiry else []
            return self.client(name, properties=properties, **args,
                               will=wire.Will("talk/will", f"{delay} {expiry}".encode(), properties=[("will_delay_interval", delay)]))
        began = time.monotonic()
        doomed(60, 0).cut()
        self.assertEqual(self.listener.message().payload, b"60 0")
        doomed(60, 1).cut()
        self.assertEqual(self.listener.message().payload, b"60 1")
        self.assertGreater(time.monotonic() - began, 0.95)
        name = self.name()
        for clean, comes in ((False, False), (True, True)):
            doomed(1, 60, name).cut()
            time.sleep(0.2)
            back = self.client(name, clean=clean)
            if comes:  # the session has ended, and the will with it
                self.assertEqual(self.listener.message().payload, b"1 60")
            time.sleep(1.1)
            back.disconnect()
            self.talk()
        first = doomed(0, 0, name)
        second = doomed(0, 0, name)
        self.assertEqual(first.ended(), 0x8E)
        self.assertEqual(self.listener.message().payload, b"0 0")
        second.disconnect()

    def test_bytes_after_disconnect(self):
        """[bad-inputs 65]"""
        for version in self.versions():
            client = self.client(version=version)
            client.send(wire.disconnect(version=version) + wire.publish("talk/wrong", b"x", version=version))
            self.assertIsNone(client.ended())
            client.cut()


class Slow(BadInputTest):
    abstract = False
    settings = "connect_timeout 1"

    def test_slow_connect(self):
        """[bad-inputs 10]: nothing, or a byte now and then: the same time for both"""
        began = time.monotonic()
        clients = [self.raw(), self.raw()]
        data = wire.connect("slow")
        try:
            for at in range(len(data)):
                clients[0].socket.sendall(data[at:at + 1])
                time.sleep(0.2)
            self.fail("the broker waits for ever")
        except ConnectionError:
            pass
        self.assertLess(time.monotonic() - began, 4)
        for client in clients:
            self.assertIsNone(client.ended())


class Full(BadInputTest):
    """A broker with little room."""

    abstract = False
    workers = 1  # the home of every retained topic is there to refuse
    settings = "max_retained_messages 100\nglobal_max_clients 20\nmax_queued_messages 50"

    def test_flood_of_retained(self):
        """[bad-inputs 48]: beyond the cap 0x97, and for 3.1.1 the message goes to who listens but is not kept"""
        client, old = self.client(), self.client(version=4)
        reasons = [client.publish(f"kept/{at}", "x", 1, retain=True) for at in range(120)]
        self.assertEqual(reasons, [0x10] * 100 + [0x97] * 20)
        client.publish("kept/5", "in its place", 1, retain=True)
        old.subscribe("late/+")
        for qos in (0, 1, 2):
            old.publish("late/1", str(qos), qos, retain=True)
            self.assertEqual(old.message().payload.decode(), str(qos))
        for at in range(120):
            client.publish(f"kept/{at}", b"", 1, retain=True)
        old.subscribe("#")
        old.ping()
        self.assertFalse(old.kept)
        client.cut(), old.cut()

    def test_many_sessions(self):
        """[bad-inputs 61]: caps on sessions, and on what waits for them"""
        names = [self.name() for _ in range(18)]
        for name in names:
            client = self.client(name, **stays(5))
            client.subscribe("#", qos=1)
            client.disconnect()
        for version, code in ((4, 3), (5, 0x97)):
            client = self.client(version=version, expect=code)
            self.assertIsNone(client.ended())
        for _ in range(1000):
            self.talker.send(wire.publish("offline", b"x" * 1000, 1, 1))
            self.talker.expect(wire.PUBACK)
        self.assertLess(self.memory() - self.before, 18 * 50 * 1000 + 300000)
        for name in names:
            self.client(name).disconnect()


class DamagedFiles(OwnBrokerTest):
    def test_refused_with_a_sentence(self):
        """[bad-inputs 73]: the broker says what is damaged and ends, or starts; it does not die"""
        self.broker.start()
        client = self.client("stays", **stays(5))
        client.subscribe([(f"filter/{at}", 1) for at in range(200)])
        client.disconnect()
        self.broker.stop()
        file = self.broker.data / "data.mdb"
        good = file.read_bytes()
        keys = self.broker.data / "keys.slots"  # one that starts turns the key that the file is sealed under
        slots = keys.read_bytes()
        used = len(good.rstrip(b"\0"))
        for name, bad in (("cut in half", good[:used // 2]), ("cut by a byte", good[:used - 1]), ("a few bytes", good[:20]),
                          ("noise", bytes(at * 7 & 255 for at in range(len(good)))),
                          ("another page", good[:4096] + good[8192:] + good[4096:8192])):
            with self.subTest(name):
                file.write_bytes(bad)
                code, words = self.broker.run_to_end(timeout=10)
                self.assertGreater(code, 0, words)  # and not ended by a signal
                self.assertIn("data.mdb", words)
        for at in range(16, used, used // 6):
            file.write_bytes(good[:at] + bytes([good[at] ^ 0x55]) + good[at + 1:])
            try:
                code, words = self.broker.run_to_end(timeout=1)
                self.assertGreater(code, 0, words)
            except AssertionError as runs:
                self.assertIn("although it should have refused", str(runs))
            keys.write_bytes(slots)
        file.write_bytes(good)
        self.broker.start()
        self.assertEqual(self.client("stays", **stays(5)).connack.session_present, 1)
