"""CONNECT and CONNACK, statement by statement: MQTT 5.0 and 3.1.1 sections 3.1 and 3.2, 5.0 section 4.12."""

import string
import time

from spec import SpecTest, connect_packet, stays
import wire

CLEAN, WILL, WILL_RETAIN, PASSWORD, USER = 0x02, 0x04, 0x20, 0x40, 0x80


class Opening(SpecTest):
    abstract = False

    def answer(self, packet, version):
        """(CONNACK's code or None, whether the connection ended)"""
        client = self.raw(version)
        client.send(packet)
        try:
            connack = client.receive()
        except wire.Closed:
            return None
        self.assertEqual(connack.type, wire.CONNACK)
        self.assertEqual(connack.session_present, 0)
        if connack.reason:
            with self.assertRaises(wire.Closed):
                client.receive()
        client.cut()
        return connack.reason

    def test_second_connect(self):
        """[MQTT-3.1.0-2] [MQTT3-3.1.0-2]; never a second CONNACK: [MQTT-3.2.0-2]"""
        for version in self.versions():
            client = self.client(version=version)
            client.send(wire.connect("again", version=version))
            self.ends(client, 0x82)
            self.assertFalse([packet for packet in client.kept if packet.type == wire.CONNACK])

    def test_protocol_name(self):
        """[MQTT-3.1.2-1] [MQTT3-3.1.2-1]"""
        for name in (b"MQTX", b"mqtt", b"MQT", b"MQTTT", b"", b"MQIsdp"):
            for version, expected in ((4, 0x01 if name == b"MQIsdp" else None), (5, 0x84)):
                with self.subTest(name=name, version=version):
                    self.assertEqual(self.answer(connect_packet(version, CLEAN, wire.text("a"), name=name), version), expected)

    def test_protocol_level(self):
        """[MQTT-3.1.2-2] [MQTT3-3.1.2-2]"""
        for level, version, expected in ((0, 4, 1), (1, 4, 1), (2, 4, 1), (6, 5, 0x84), (127, 5, 0x84)):
            with self.subTest(level=level):
                self.assertEqual(self.answer(connect_packet(version, CLEAN, wire.text("a"), level=level), version), expected)

    def test_layout(self):
        """
        [MQTT-3.1.4-1] [MQTT3-3.1.4-1]: wrong layouts are refused; 3.1.1 has no code for them [MQTT3-3.2.2-6]. Reserved
        flag [MQTT-3.1.2-3] [MQTT3-3.1.2-3]; a will without its fields [MQTT3-3.1.2-9]
        """
        a, none = wire.text("a"), wire.text("")
        for version in self.versions():
            empty = b"\0" if version == 5 else b""
            for flags, fields in ((CLEAN | 1, (a,)), (CLEAN | 0x08, (a,)), (CLEAN | WILL_RETAIN, (a,)),
                                  (CLEAN | WILL | 0x18, (a, empty, a, none)), (CLEAN | WILL, (a,)), (CLEAN | WILL, (a, empty, a)),
                                  (CLEAN | USER, (a,)), (CLEAN | USER | PASSWORD, (a, a)), (CLEAN, (a, b"\0")), (CLEAN, ())):
                with self.subTest(version=version, flags=flags, fields=fields):
                    self.assertEqual(self.answer(connect_packet(version, flags, *fields), version), 0x81 if version == 5 else None)

    def test_layout_in_full(self):
        """All fields, in their order: accepted."""
        for version in self.versions():
            fields = [wire.text("full"), b"\0" if version == 5 else b"", wire.text("w"), wire.binary(b"\0\xff"), wire.text("u"),
                      wire.binary(b"\0\xff")]
            flags = CLEAN | WILL | 0x10 | WILL_RETAIN | USER | PASSWORD
            self.assertEqual(self.answer(connect_packet(version, flags, *fields), version), 0)

    def test_connack(self):
        """
        Accepted: [MQTT-3.1.4-5] [MQTT3-3.1.4-4]. It comes first [MQTT-3.2.0-1] [MQTT3-3.2.0-1], with reserved bits 0
        [MQTT-3.2.2-1], without a session when there was none [MQTT-3.2.2-2] [MQTT3-3.2.2-1] [MQTT3-3.2.2-3]
        """
        for version in self.versions():
            for clean in (True, False):
                client = self.raw(version)
                client.send(wire.connect(self.name(), version=version, clean=clean) + wire.frame(wire.PINGREQ, 0))
                first = client.receive()
                self.assertEqual((first.type, first.flags, first.session_present, first.reason), (wire.CONNACK, 0, 0, 0))
                self.assertEqual(client.receive().type, wire.PINGRESP)

    def test_client_identifiers(self):
        """[MQTT-3.1.3-5] [MQTT3-3.1.3-5]"""
        letters = string.digits + string.ascii_letters
        for version in self.versions():
            for at in range(0, len(letters), 20):
                for length in (1, 20, 23):
                    self.client((letters[at:] + letters)[:length], version=version).cut()

    def test_empty_client_identifier(self):
        """
        [MQTT-3.1.3-6] [MQTT-3.1.3-7] [MQTT-3.2.2-16] [MQTT3-3.1.3-6]: each gets one of its own, which in 5.0 is told and
        good for coming back
        """
        taken = set()
        for version in (4, 4, 5, 5, 5):
            client = self.client("", version=version)
            client.subscribe("own/" + self.name())
            client.ping()
            if version == 5:
                taken.add(client.connack.get("assigned_client_identifier"))
        self.assertEqual(len(taken - {None}), 3)
        client = self.client("", version=5, properties=[("session_expiry_interval", 60)])
        own = client.connack.get("assigned_client_identifier")
        client.disconnect()
        self.assertEqual(self.client(own, clean=False).connack.session_present, 1)
        self.assertIsNone(self.client("named").connack.get("assigned_client_identifier"))

    def test_refused_client_identifier(self):
        """[MQTT3-3.1.3-8] [MQTT3-3.1.3-9] [MQTT3-3.2.2-4] [MQTT3-3.2.2-5] and [MQTT-3.2.2-6] [MQTT-3.2.2-7]"""
        self.assertEqual(self.answer(wire.connect("", version=4, clean=False), 4), 2)
        self.assertEqual(self.answer(wire.connect("", version=3), 3), 2)
        self.assertEqual(self.answer(wire.connect("a", properties=[("authentication_method", "x")]), 5), 0x8C)

    def test_nothing_is_done_after_a_refusal(self):
        """[MQTT-3.1.4-6] [MQTT3-3.1.4-5]"""
        for version in self.versions():
            topic = self.name()
            watcher = self.client()
            watcher.subscribe(topic)
            refused = self.raw(version)
            bad = wire.connect("", version=4, clean=False) if version == 4 else wire.connect(
                "a", properties=[("authentication_method", "x")])
            refused.send(bad + wire.publish(topic, b"late", version=version))
            self.assertEqual(refused.expect(wire.CONNACK).reason, 2 if version == 4 else 0x8C)
            self.assertIsNone(refused.ended())
            watcher.publish(topic, "first")
            self.assertEqual(watcher.message().payload, b"first")

    def test_authentication(self):
        """
        A method that is not known [MQTT-4.12.0-1] [MQTT-4.12.0-4] [MQTT-3.1.4-2]; without a method none comes back
        [MQTT-4.12.0-6]; the code is one of CONNACK's [MQTT-3.2.2-8]
        """
        client = self.client(expect=0x8C, properties=[("authentication_method", "x"), ("authentication_data", b"y")])
        self.assertEqual(client.connack.type, wire.CONNACK)
        self.assertIsNone(client.ended())
        client = self.client()
        self.assertIsNone(client.connack.get("authentication_method"))

    def test_take_over(self):
        """[MQTT-3.1.4-3] [MQTT3-3.1.4-2], and both are one session [MQTT-3.1.3-2] [MQTT3-3.1.3-2]"""
        for version in self.versions():
            name = self.name()
            old = self.client(name, **stays(version))
            old.subscribe("taken/" + name)
            new = self.client(name, **stays(version))
            self.ends(old, 0x8E)
            self.assertEqual(new.connack.session_present, 1)
            new.publish("taken/" + name, "x")
            self.assertEqual(new.message().payload, b"x")
            other = self.client(name + "x", **stays(version))
            self.assertEqual(other.connack.session_present, 0)

    def test_sessions(self):
        """
        Clean start 0 resumes [MQTT-3.1.2-5] [MQTT-3.2.2-3] [MQTT3-3.1.2-4] [MQTT3-3.2.2-2] or makes one [MQTT-3.1.2-6];
        clean start 1 drops the old one [MQTT-3.1.2-4] [MQTT-3.1.4-4] [MQTT3-3.1.2-6] [MQTT3-3.1.4-3]. It is kept after the
        connection has gone [MQTT-3.1.2-23] [MQTT-4.1.0-1] [MQTT3-4.1.0-1] [MQTT3-4.1.0-2], with messages [MQTT3-3.1.2-5]
        """
        for version in self.versions():
            name, topic, retained = self.name(), self.name(), self.name()
            client = self.client(name, **stays(version))
            self.assertEqual(client.connack.session_present, 0)
            client.subscribe(topic, qos=1)
            client.disconnect()
            publisher = self.client()
            publisher.publish(topic, "kept", qos=1)
            publisher.publish(retained, "retained", qos=1, retain=True)
            client = self.client(name, **stays(version))
            self.assertEqual(client.connack.session_present, 1)
            self.assertEqual(client.message().payload, b"kept")
            client.disconnect()
            client = self.client(name, version=version)
            self.assertEqual(client.connack.session_present, 0)
            publisher.publish(topic, "not wanted", qos=1)
            client.ping()
            self.assertFalse(client.kept)
            client.disconnect()
            # that one ended with its connection; retained messages belong to no session [MQTT3-3.1.2-7]
            client = self.client(name, **stays(version))
            self.assertEqual(client.connack.session_present, 0)
            client.subscribe(retained)
            self.assertEqual(client.message().payload, b"retained")

    def test_end_of_a_session(self):
        """[MQTT-4.1.0-2]: away for longer than its expiry"""
        name = self.name()
        for expiry, present in ((1, 0), (30, 1)):
            self.client(name, properties=[("session_expiry_interval", expiry)]).disconnect()
            time.sleep(1.6)
            client = self.client(name, clean=False, properties=[("session_expiry_interval", 0)])
            self.assertEqual(client.connack.session_present, present)
            client.disconnect()

    def test_keep_alive(self):
        """[MQTT-3.1.2-22] [MQTT-3.2.2-22] [MQTT3-3.1.2-24]: the client's own interval, one and a half times"""
        began = time.monotonic()
        clients = [self.client(version=version, keep_alive=1) for version in (4, 5)]
        lively, lasting = self.client(keep_alive=3), self.client(keep_alive=0)
        self.assertIsNone(clients[1].connack.get("server_keep_alive"))
        time.sleep(0.8)
        lively.ping()
        for client in clients:
            self.ends(client, 0x8D)
            self.assertGreater(time.monotonic() - began, 1.4)
        self.assertLess(time.monotonic() - began, 4)
        lively.ping()
        lasting.ping()

    def test_response_information(self):
        """[MQTT-3.1.2-28]"""
        for asked, told in ((0, None), (None, None), (1, "answers/here")):
            properties = [] if asked is None else [("request_response_information", asked)]
            client = self.client(properties=properties)
            self.assertEqual(client.connack.get("response_information"), told)

    config = "response_information answers/here"


class Wills(SpecTest):
    abstract = False

    def setUp(self):
        self.topic = self.name("w")
        self.watcher = self.client()
        self.watcher.subscribe([(self.topic, wire.options(1, retain_as_published=True))], expect=[1])

    def doomed(self, version, qos=0, retain=False, **args):
        properties = args.pop("will_properties", None)
        return self.client(version=version, will=wire.Will(self.topic, b"gone", qos, retain, properties), **args)

    def will_came(self):
        return self.watcher.message()

    def no_will_came(self):
        self.watcher.publish(self.topic, "nothing before this")
        self.assertEqual(self.watcher.message().payload, b"nothing before this")

    def test_published(self):
        """
        Kept and published when the connection goes [MQTT-3.1.2-7] [MQTT-3.1.2-8] [MQTT3-3.1.2-8], once [MQTT-3.1.2-10]
        [MQTT3-3.1.2-10], with its retain flag [MQTT-3.1.2-14] [MQTT-3.1.2-15] [MQTT3-3.1.2-16] [MQTT3-3.1.2-17]
        """
        for version in self.versions():
            for retain in (False, True):
                self.doomed(version, retain=retain).cut()
                will = self.will_came()
                self.assertEqual((will.payload, will.retain), (b"gone", retain))
                late = self.client()
                self.assertEqual([message.payload for message in self.retained(late, self.topic)], [b"gone"] if retain else [])
            self.no_will_came()
            self.watcher.publish(self.topic, b"", retain=True)
            self.watcher.message()

    def test_discarded(self):
        """DISCONNECT takes it away: [MQTT-3.14.4-3] [MQTT3-3.14.4-3], but not with code 0x04; none was given [MQTT3-3.1.2-12]"""
        for version in self.versions():
            self.doomed(version).disconnect()
            self.client(version=version).cut()
            self.no_will_came()
        client = self.doomed(5)
        client.send(wire.disconnect(4))
        self.assertEqual(self.will_came().payload, b"gone")

    def test_after_a_fault(self):
        """A client that is closed for a fault leaves its will. [MQTT-3.1.2-8] [MQTT3-3.1.2-8]"""
        for version in self.versions():
            client = self.doomed(version)
            client.send(b"\xc1\0")
            self.assertEqual(self.will_came().payload, b"gone")

    def test_delay(self):
        """Not before its delay [MQTT-3.1.2-8]; back within it: not at all [MQTT-3.1.3-9]"""
        delay = [("will_delay_interval", 1)]
        expiry = [("session_expiry_interval", 60)]
        name = self.name()
        began = time.monotonic()
        self.doomed(5, will_properties=delay, properties=expiry).cut()
        self.doomed(5, client_id=name, will_properties=delay, properties=expiry).cut()
        back = self.client(name, clean=False, properties=expiry)
        self.assertEqual(self.will_came().payload, b"gone")
        self.assertGreater(time.monotonic() - began, 0.95)
        time.sleep(0.3)
        back.ping()
        self.no_will_came()

    def test_session_ends_first(self):
        """A delay longer than the session: it ends with the session. [MQTT-3.1.2-8]"""
        self.doomed(5, will_properties=[("will_delay_interval", 60)]).cut()
        self.assertEqual(self.will_came().payload, b"gone")

    def test_properties(self):
        """[MQTT-3.1.3-10]: they go on as they came, in their order"""
        user = [("user_property", pair) for pair in (("b", "1"), ("a", "2"), ("b", "1"), ("", ""))]
        properties = [("content_type", "t"), *user, ("correlation_data", b"\0\1"), ("response_topic", "r"),
                      ("payload_format_indicator", 1)]
        self.doomed(5, qos=1, will_properties=properties).cut()
        will = self.will_came()
        self.assertEqual([pair for pair in will.properties if pair[0] == "user_property"], user)
        self.assertEqual(sorted(map(str, will.properties)), sorted(map(str, properties)))


class SmallServer(SpecTest):
    """A server that cannot do everything."""

    abstract = False
    config = "max_qos 1\nretain_available false\nmax_keepalive 30"

    def test_maximum_qos(self):
        """Told [MQTT-3.2.2-9]; SUBSCRIBE may ask for more [MQTT-3.2.2-10]; wills above are refused [MQTT-3.2.2-12]"""
        client = self.client(keep_alive=20)
        self.assertEqual(client.connack.get("maximum_qos"), 1)
        client.subscribe([("a", 0), ("b", 1), ("c", 2)], expect=[0, 1, 1])
        self.client(keep_alive=20, expect=0x9B, will=wire.Will("w", qos=2))
        client.send(wire.publish("a", b"", 2, 1))
        self.ends(client, 0x9B)

    def test_retain(self):
        """[MQTT-3.2.2-13]"""
        self.assertEqual(self.client(keep_alive=20).connack.get("retain_available"), 0)
        self.assertIsNone(self.client(keep_alive=20, expect=0x9A, will=wire.Will("w", retain=True)).ended())

    def test_server_keep_alive(self):
        """Ours where theirs is too long; else theirs. [MQTT-3.2.2-22]"""
        for asked, told in ((20, None), (31, 30), (0, 30)):
            self.assertEqual(self.client(keep_alive=asked).connack.get("server_keep_alive"), told)

    def test_order_of_properties(self):
        """It says nothing; this one is mosquitto's, byte for byte."""
        names = [name for name, _ in self.client().connack.properties]
        self.assertEqual(names, ["server_keep_alive", "topic_alias_maximum", "retain_available", "maximum_packet_size",
                                 "receive_maximum", "maximum_qos"])


class ShutDoor(SpecTest):
    """A server that turns clients away for reasons of its own."""

    abstract = False
    config = "clientid_prefixes sensor-\nallow_zero_length_clientid false"

    def test_refused(self):
        """[MQTT-3.1.3-8] [MQTT-3.1.4-2] [MQTT-3.2.2-7] [MQTT3-3.1.3-9]; too small for words: none [MQTT-3.2.2-19] [MQTT-3.2.2-20]"""
        self.client("sensor-1")
        self.client("sensor-2", version=4)
        for version, name, code in ((5, "", 0x85), (4, "", 2), (5, "thing", 0x87), (4, "thing", 5)):
            client = self.client(name, version=version, expect=code)
            self.assertIsNone(client.ended())
        words = self.client("", expect=0x85, properties=wire.WORDS)
        self.assertTrue(words.connack.get("reason_string"))
        for unasked in ([], [("request_problem_information", 0)]):
            self.assertIsNone(self.client("", expect=0x85, properties=unasked).connack.get("reason_string"))
        # as large as the CONNACK with words is, and one byte less: then it goes without them
        whole = words.connack.size
        for limit, size in ((whole, whole), (whole - 1, 5), (5, 5)):
            client = self.client("", expect=0x85, properties=[*wire.WORDS, ("maximum_packet_size", limit)])
            self.assertEqual(client.connack.size, size)
            self.assertIsNone(client.connack.get("user_property"))
