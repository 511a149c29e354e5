"""
Every row of bad-inputs.tsv over a socket: the answer, byte for byte where there is one; a pair of clients that is not
disturbed; and memory that is where it was before.
"""

import pathlib
import time
import urllib.request

from harness import COMMAND, eventually, free_port
from spec import SpecTest
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
