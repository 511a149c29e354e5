"""
Bad inputs that take more than one packet: what a row of bad-inputs.tsv is about is told in steps, with the same pair of
clients that is not disturbed (test_bad_inputs.py).
"""

import os
import select
import time

from harness import OwnBrokerTest
from spec import connect_packet, stays
from test_bad_inputs import CONNECT_5, BadInputTest, packet
import wire


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
        """[bad-inputs 46]: taken; to keep more than 200 levels is refused where that can be told, and else not done"""
        for version in self.versions():
            client = self.client(version=version)
            client.subscribe([("#", 0)])
            for topic, deep in (("t" * 65535, False), ("/" * 65535, True), ("a/" * 32767, True)):
                for retain in (False, True):
                    refused = deep and retain and version == 5
                    self.assertEqual(client.publish(topic, "x", 1, retain=retain), 0x97 if refused else 0)
                    if not refused:
                        self.assertEqual(client.message().topic, topic)
                other = self.client(version=version)
                other.subscribe([("#", 0)])
                if not deep:
                    self.assertEqual(other.message().topic, topic)
                other.ping()
                self.assertFalse(other.kept)
                other.cut()
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
