"""Framing, strings, PINGREQ, DISCONNECT and AUTH, statement by statement: chapters 1, 2 and 4, sections 3.12 to 3.15."""

import struct

from spec import SpecTest, connect_packet, stays
import wire


class Rest(SpecTest):
    abstract = False

    def test_plain_client(self):
        """A stream of bytes and MQTT is all that is needed. [MQTT-4.2-1] [MQTT3-7.1.1-1] [MQTT3-7.0.0-2]"""
        for version in self.versions():
            client = self.client(version=version)
            client.subscribe("plain/" + self.name(), qos=2)
            client.publish("plain/" + self.name(), "x", 2)
            client.ping()
            client.send(wire.disconnect(version=version))
            self.assertIsNone(client.ended())

    def test_ping(self):
        """[MQTT-3.12.4-1] [MQTT3-3.12.4-1]"""
        for version in self.versions():
            client = self.client(version=version)
            client.send(wire.frame(wire.PINGREQ, 0) * 3)
            answers = [client.receive() for _ in range(3)]
            self.assertEqual([(answer.type, answer.flags, answer.size) for answer in answers], [(wire.PINGRESP, 0, 2)] * 3)
            client.silent(0.1)

    def test_lengths(self):
        """[MQTT-1.5.5-1]: in the shortest form, wherever a length or an identifier of that form stands"""
        for packet in (b"\xc0\x80\0", b"\xc0\x80\x80\0", b"\xc0\xff\xff\xff\xff\x01", b"\x30\x85\0\0\1t\0x",
                       wire.frame(wire.PUBLISH, 0, b"\0\1t\x80\0x"), wire.frame(wire.PUBLISH, 0, b"\0\1t\x03\x8b\0\x01x"),
                       wire.frame(wire.SUBSCRIBE, 2, b"\0\1\x03\x0b\x81\0\0\1t\0"), wire.frame(wire.DISCONNECT, 0, b"\0\x80\0")):
            client = self.client()
            client.send(packet)
            self.ends(client, 0x81)
        for version in self.versions():
            client = self.client(version=version)
            client.send(b"\xc0\x80\0")
            self.ends(client, 0x81)

    def test_strings(self):
        """
        [MQTT-1.5.4-1] [MQTT-1.5.4-2] [MQTT-1.5.7-1] [MQTT3-1.5.3-1] [MQTT3-1.5.3-2]: strict UTF-8 without U+0000 wherever a
        string stands: topics, Response Topic [MQTT-3.3.2-13], Content Type [MQTT-3.3.2-19], pairs, identifiers of clients
        """
        user = lambda key, value: wire.frame(wire.PUBLISH, 0, wire.text("t") + self.properties(0x26, wire.text(key) + wire.text(value)))
        places = {
            "topic": lambda bad: wire.publish(bad),
            "response topic": lambda bad: wire.publish("t", properties=[("response_topic", bad)]),
            "content type": lambda bad: wire.publish("t", properties=[("content_type", bad)]),
            "key": lambda bad: user(bad, b"x"),
            "value": lambda bad: user(b"x", bad),
            "filter": lambda bad: wire.subscribe(1, [(bad, 0)]),
            "unsubscribed": lambda bad: wire.unsubscribe(1, [bad]),
            "reason string": lambda bad: wire.ack(wire.PUBACK, 1, properties=[("reason_string", bad)]),
            "disconnect": lambda bad: wire.disconnect(properties=[("reason_string", bad)]),
        }
        none = (b"\0", b"a\0b", b"\xc0\x80", b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xf4\x90\x80\x80", b"\xc3", b"\xff",
                b"x" * 9 + b"\x80")
        unwanted = (b"\x01", b"\x7f", b"\xc2\x9f", b"\xef\xbf\xbf", b"\xef\xb7\x90")  # strings that a receiver may refuse
        # [MQTT-3.3.2-13] [MQTT-3.3.2-19]
        for bad in none + unwanted:
            for place, packet in places.items():
                with self.subTest(bad=bad, place=place):
                    client = self.client()
                    client.send(packet(bad))
                    self.ends(client, 0x81)
                    client.cut()
            for version in self.versions():
                client = self.raw(version)
                client.send(connect_packet(version, 2, wire.text(bad)))
                if version == 5:
                    self.assertEqual(client.expect(wire.CONNACK).reason, 0x81 if bad in none else 0x85)
                self.assertIsNone(client.ended())
                client.cut()

    @staticmethod
    def properties(*parts):
        body = b"".join(bytes([part]) if isinstance(part, int) else part for part in parts)
        return wire.varint(len(body)) + body

    def test_response_topic_has_no_wildcards(self):
        """[MQTT-3.3.2-14]"""
        for bad in ("#", "a/+", "a/#", "+", ""):
            client = self.client()
            client.send(wire.publish("t", properties=[("response_topic", bad)]))
            self.ends(client, 0x82)

    def test_qos_and_dup(self):
        """[MQTT-3.3.1-4] [MQTT3-3.3.1-4] and [MQTT-3.3.1-2] [MQTT3-3.3.1-2]"""
        for version in self.versions():
            for flags in (6, 7, 14, 15, 8, 9):
                client = self.client(version=version)
                body = wire.text("t") + (b"\0\1" if flags & 6 else b"") + (b"\0" if version == 5 else b"")
                client.send(wire.frame(wire.PUBLISH, flags, body + b"x"))
                self.ends(client, 0x81)

    def test_identifier_0(self):
        """[MQTT-2.2.1-5] [MQTT3-2.3.1-1]: no packet has it"""
        for version in self.versions():
            for packet in (wire.publish("t", b"", 1, 0, version=version), wire.publish("t", b"", 2, 0, version=version),
                           wire.subscribe(0, [("t", 0)], version), wire.unsubscribe(0, ["t"], version),
                           *(wire.ack(kind, 0, version=version) for kind in (wire.PUBACK, wire.PUBREC, wire.PUBREL, wire.PUBCOMP))):
                client = self.client(version=version)
                client.send(packet)
                self.ends(client, 0x82)

    def test_disconnect(self):
        """
        The broker closes after a fault [MQTT-4.13.1-1] [MQTT-3.14.4-2] [MQTT-4.13.2-1] [MQTT3-4.8.0-1], with one DISCONNECT
        and nothing behind it [MQTT-3.14.4-1]; no session expiry in it [MQTT-3.14.2-2]; a client's reason has to be of the
        list [MQTT-3.14.2-1]
        """
        for version in self.versions():
            client = self.client(version=version)
            client.subscribe("t")
            client.send(wire.publish("t", b"1", version=version) + wire.frame(wire.SUBACK, 0, b"\0\1\0\0")
                        + wire.publish("t", b"2", version=version) + wire.frame(wire.PINGREQ, 0))
            self.ends(client, 0x82)
            kinds = [packet.type for packet in client.kept]
            self.assertNotIn(wire.PINGRESP, kinds)
            self.assertEqual(kinds.count(wire.DISCONNECT), 1 if version == 5 else 0)
            for packet in client.kept:
                self.assertIsNone(packet.get("session_expiry_interval"))
        for reason in range(256):
            allowed = reason in (0, 4, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99)
            client = self.client()
            client.send(wire.frame(wire.DISCONNECT, 0, bytes([reason])))
            self.assertEqual(client.ended(), None if allowed else 0x82, hex(reason))
            client.cut()

    def test_before_connack(self):
        """No DISCONNECT [MQTT-3.14.0-1], nothing but CONNACK or the end [MQTT-3.2.0-1]"""
        for version in self.versions():
            client = self.raw(version)
            client.send(wire.frame(wire.PINGREQ, 0))
            self.assertIsNone(client.ended())
            client = self.raw(version)
            client.send(connect_packet(version, 3, wire.text("a")) + b"\xc1\0")
            self.assertIsNone(client.ended())
            self.assertFalse(client.kept)

    def test_words_only_where_they_fit(self):
        """[MQTT-3.14.2-3] [MQTT-3.14.2-4]: a Reason String as long as there is room for it, and if it was asked for"""
        def words(*properties):
            client = self.client(properties=list(properties))
            client.send(b"\xc1\0")
            self.ends(client, 0x81)
            packet = client.expect(wire.DISCONNECT)
            self.assertIsNone(packet.get("user_property"))
            return packet.size
        asked, = wire.WORDS
        whole = words(asked)
        self.assertGreater(whole, 10)
        self.assertEqual(words(), 3)
        self.assertEqual(words(("request_problem_information", 0)), 3)
        self.assertEqual(words(asked, ("maximum_packet_size", whole)), whole)
        self.assertEqual(words(asked, ("maximum_packet_size", whole - 1)), 3)

    def test_auth(self):
        """Flags [MQTT-3.15.1-1] and reasons [MQTT-3.15.2-1]; without a method in CONNECT always an error [MQTT-4.12.0-6]"""
        body = lambda reason: bytes([reason]) + wire.encode_properties([("authentication_method", "x")])
        for flags, content, reason in ((1, b"", 0x81), (0, b"", 0x82), (0, body(0), 0x82), (0, body(0x18), 0x82), (0, body(0x19), 0x82),
                                       (0, body(0x1A), 0x82), (0, body(0x87), 0x82), (0, b"\x18\0", 0x82), (0, b"\x18", 0x81)):
            client = self.client()
            client.send(wire.frame(wire.AUTH, flags, content))
            self.ends(client, reason)
            self.assertFalse([packet for packet in client.kept if packet.type == wire.AUTH])

    def test_reasons_of_acknowledgements(self):
        """[MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.6.2-1] [MQTT-3.7.2-1]: every code that is not of the packet's list"""
        replies = {0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99}
        for kind, good in ((wire.PUBACK, replies), (wire.PUBREC, replies), (wire.PUBREL, {0, 0x92}), (wire.PUBCOMP, {0, 0x92})):
            client = self.client()
            for reason in sorted(good):
                client.send(wire.frame(kind, 2 if kind == wire.PUBREL else 0, struct.pack("!HB", 7, reason)))
            client.ping()
            client.cut()
            for reason in sorted(set(range(256)) - good):
                client = self.client()
                client.send(wire.frame(kind, 2 if kind == wire.PUBREL else 0, struct.pack("!HB", 7, reason)))
                self.assertEqual(client.ended(), 0x82, (kind, reason))
                client.cut()

    def test_session_of_a_connection(self):
        """It lasts as long as the connection at least. [MQTT-4.1.0-1] [MQTT3-4.1.0-2]"""
        for version in self.versions():
            client = self.client(version=version, keep_alive=0)
            topic = self.name("t")
            client.subscribe(topic)
            for _ in range(3):
                self.client(**stays(version)).publish(topic, "x")
                self.assertEqual(client.message().payload, b"x")

    def test_mqtt_3_1(self):
        """What its document leaves open does not end a connection: flags of CONNECT, DUP on what is sent again."""
        client = self.raw(3)
        whole = wire.connect("old", version=3)
        client.send(bytes([0x1B]) + whole[1:])
        self.assertEqual(client.expect(wire.CONNACK).reason, 0)
        client.send(wire.publish("t", b"", 2, 9, dup=True, version=3))
        client.expect(wire.PUBREC)
        for kind, body in ((wire.PUBREL, b"\0\x09"), (wire.SUBSCRIBE, b"\0\1\0\1t\1"), (wire.UNSUBSCRIBE, b"\0\2\0\1t")):
            client.send(wire.frame(kind, 0x0A, body))
            client.expect({wire.PUBREL: wire.PUBCOMP, wire.SUBSCRIBE: wire.SUBACK, wire.UNSUBSCRIBE: wire.UNSUBACK}[kind])
        self.client("", version=3, expect=2)

    def test_an_error_for_nothing(self):
        """A PUBREC that is an error ends an exchange; there is none, and nothing to say. [MQTT-4.3.3-4]"""
        client = self.client()
        client.send(wire.ack(wire.PUBREC, 77, 0x80) + wire.ack(wire.PUBACK, 78, 0x80))
        client.ping()
        self.assertFalse(client.kept)
