"""SUBSCRIBE, UNSUBSCRIBE and filters, statement by statement: sections 3.8 to 3.11, 4.7 and 4.8.2."""

from spec import SpecTest, stays
import wire


class Subscriptions(SpecTest):
    abstract = False

    def payloads(self, client):
        """What has come for a client by now."""
        client.ping()
        got = [packet.payload for packet in client.kept if packet.type == wire.PUBLISH]
        client.kept.clear()
        return got

    def test_suback(self):
        """
        One answer [MQTT-3.8.4-1] [MQTT3-3.8.4-1] with the identifier asked with [MQTT-3.8.4-2] [MQTT-2.2.1-6] [MQTT3-3.8.4-2]
        [MQTT3-2.3.1-7] and a code for each filter [MQTT-3.8.4-6] [MQTT3-3.8.4-5] in their order [MQTT-3.9.3-1]
        [MQTT3-3.9.3-1]: the QoS granted or a failure [MQTT-3.8.4-7], none but those of the list [MQTT-3.9.3-2]
        [MQTT3-3.9.3-2]. All filters are in force, as if asked for one by one [MQTT-3.8.4-5] [MQTT3-3.8.4-4]
        """
        for version in self.versions():
            topic = self.name("s")
            client = self.client(version=version)
            filters = [(f"{topic}/{at}", at % 3) for at in range(9)]
            if version == 5:
                filters.insert(3, ("a#", 1))
            client.send(wire.subscribe(0xABCD, filters, version))
            answer = client.receive()
            self.assertEqual((answer.type, answer.flags, answer.packet_id), (wire.SUBACK, 0, 0xABCD))
            self.assertEqual(answer.reasons, [0x8F if name == "a#" else qos for name, qos in filters])
            for name, qos in filters:
                if name != "a#":
                    self.client().publish(name, "x", 2)
                    self.assertEqual(client.message().qos, qos)

    def test_unsuback(self):
        """
        [MQTT-3.10.4-4] [MQTT3-3.10.4-4] with its identifier, also where nothing was [MQTT-3.10.4-5] [MQTT3-3.10.4-5]; one
        for many filters [MQTT-3.10.4-6] [MQTT3-3.10.4-6], codes in their order [MQTT-3.11.3-1] and of the list
        [MQTT-3.11.3-2]; the filter is compared exactly [MQTT-3.10.4-1] [MQTT3-3.10.4-1]; nothing comes from then on
        [MQTT-3.10.4-2] [MQTT3-3.10.4-2]
        """
        for version in self.versions():
            topic = self.name("u")
            client = self.client(version=version)
            client.subscribe([(f"{topic}/a", 0), (f"{topic}/+", 0), (f"{topic}/b", 0)])
            self.assertEqual(self.after_publishing(client, topic), [b"a", b"b", b"c"])
            client.send(wire.unsubscribe(0xBCDE, [f"{topic}/A", f"{topic}/+", f"{topic}/#", f"{topic}/b"], version))
            answer = client.receive()
            self.assertEqual((answer.type, answer.flags, answer.packet_id), (wire.UNSUBACK, 0, 0xBCDE))
            self.assertEqual(answer.reasons, [0x11, 0, 0x11, 0] if version == 5 else [])
            self.assertEqual(self.after_publishing(client, topic), [b"a"])

    def after_publishing(self, client, topic):
        """Which of three messages come; each once however many filters match."""
        for name in ("a", "b", "c"):
            client.publish(f"{topic}/{name}", name)
        return sorted(set(self.payloads(client)))

    def test_deliveries_under_way(self):
        """Are completed after UNSUBSCRIBE [MQTT-3.10.4-3] [MQTT3-3.10.4-3]"""
        for version in self.versions():
            topic = self.name("u")
            client = self.client(version=version)
            client.subscribe(topic, qos=2)
            for qos in (1, 2):
                self.client().publish(topic, str(qos), qos)
            under_way = [client.expect(wire.PUBLISH) for _ in range(2)]
            client.unsubscribe(topic)
            for message in under_way:
                client.accept(message)
            client.ping()
            self.assertFalse(client.kept)

    def test_same_filter_again(self):
        """
        Takes the place of the first [MQTT-3.8.4-3] [MQTT3-3.8.4-3]; retained messages come again and none is lost
        meanwhile [MQTT-3.8.4-4]
        """
        for version in self.versions():
            topic = self.name("s")
            self.client().publish(topic, "kept", 1, retain=True)
            client = self.client(version=version)
            for qos in (0, 2, 1):
                client.subscribe(topic, qos=qos)
                self.assertEqual(client.message().payload, b"kept")
                self.client().publish(topic, "x", 2)
                self.assertEqual(client.message().qos, qos)
                self.assertEqual(self.payloads(client), [])
            publisher = self.client()
            for at in range(50):
                publisher.send(wire.publish(topic, b"%d" % at))
                client.send(wire.subscribe(7, [(topic, at % 3)], version))
            publisher.ping()
            got, wanted = [], [b"%d" % at for at in range(50)]
            while got[-1:] != wanted[-1:]:
                message = client.message()
                got += [] if message.retain else [message.payload]
            self.assertEqual(got, wanted)
            self.client().publish(topic, b"", retain=True)

    def test_quality_of_delivery(self):
        """The lower of both [MQTT-3.8.4-8] [MQTT3-3.8.4-6], and with several matches the highest [MQTT-3.3.4-2] [MQTT3-3.3.5-1]"""
        for version in self.versions():
            for granted in (0, 1, 2):
                topic = self.name("s")
                client = self.client(version=version)
                client.subscribe(topic, qos=granted)
                for qos in (0, 1, 2):
                    self.client().publish(topic, "x", qos)
                    self.assertEqual(client.message().qos, min(granted, qos))
            topic = self.name("s")
            client.subscribe([(f"{topic}/a", 0), (f"{topic}/+", 2), (f"{topic}/#", 1)])
            client.publish(topic + "/a", "x", 2)
            client.ping()
            self.assertEqual(max(packet.qos for packet in client.kept), 2)

    def test_subscription_identifiers(self):
        """[MQTT-3.3.4-3] [MQTT-3.3.4-4] [MQTT-3.3.4-5]: those of all subscriptions that match, and of none that does not"""
        topic = self.name("s")
        client = self.client()
        for name, identifier in (("a", 1), ("+", 268435455), ("#", None), ("b", 3)):
            client.subscribe(f"{topic}/{name}", identifier=identifier)
        client.publish(topic + "/a", "x")
        client.ping()
        messages = [packet for packet in client.kept if packet.type == wire.PUBLISH]
        self.assertEqual(sorted(one for message in messages for one in message.all("subscription_identifier")), [1, 268435455])
        for message in messages if len(messages) > 1 else []:
            self.assertLessEqual(len(message.all("subscription_identifier")), 1)

    def test_no_local(self):
        """[MQTT-3.8.3-3]"""
        topic, name = self.name("s"), self.name()
        client = self.client(name)
        client.subscribe(topic, no_local=True)
        for qos in (0, 1, 2):
            client.publish(topic, "mine", qos)
        self.client().publish(topic, "theirs")
        self.assertEqual(client.message().payload, b"theirs")
        self.assertEqual(self.payloads(client), [])

    def test_options(self):
        """Bits that nobody has a use for [MQTT-3.8.3-5] [MQTT3-3.8.3-4]; QoS 3 and Retain Handling 3"""
        for version, byte, reason in ((5, 0x40, 0x81), (5, 0x80, 0x81), (5, 0xC0, 0x81), (5, 0x03, 0x82), (5, 0x30, 0x82),
                                      *((4, byte, None) for byte in (0x03, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80))):
            with self.subTest(version=version, byte=byte):
                client = self.client(version=version)
                client.send(wire.subscribe(1, [("a", byte)], version))
                self.ends(client, reason)

    def test_reserved_flags(self):
        """
        [MQTT-2.1.3-1] [MQTT3-2.2.2-1] [MQTT3-2.2.2-2] for every packet: [MQTT-3.8.1-1] [MQTT-3.10.1-1] [MQTT-3.6.1-1]
        [MQTT-3.14.1-1] [MQTT-3.15.1-1] [MQTT3-3.8.1-1] [MQTT3-3.10.1-1] [MQTT3-3.6.1-1] [MQTT3-3.14.1-1]
        """
        right = {wire.PUBREL: 2, wire.SUBSCRIBE: 2, wire.UNSUBSCRIBE: 2}
        bodies = {wire.SUBSCRIBE: lambda v: wire.subscribe(1, [("a", 0)], v)[2:], wire.UNSUBSCRIBE: lambda v: wire.unsubscribe(1, ["a"], v)[2:],
                  wire.AUTH: lambda v: b"", wire.PINGREQ: lambda v: b"", wire.DISCONNECT: lambda v: b""}
        for version in self.versions():
            for kind in (wire.PUBACK, wire.PUBREC, wire.PUBREL, wire.PUBCOMP, wire.SUBSCRIBE, wire.UNSUBSCRIBE, wire.PINGREQ,
                         wire.DISCONNECT, wire.AUTH):
                for flags in set(range(16)) - {right.get(kind, 0)}:
                    client = self.client(version=version)
                    client.send(wire.frame(kind, flags, bodies.get(kind, lambda v: b"\0\1")(version)))
                    self.ends(client, 0x81)
                    client.cut()

    def test_filters(self):
        """Where wildcards may stand [MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT3-4.7.1-2] [MQTT3-4.7.1-3], and that one is there [MQTT-4.7.3-1]"""
        for name in ("#/a", "a#", "a/#/b", "a+", "+a", "a/b+", "a/+b/c", "##", "++", "a/##", ""):
            with self.subTest(name=name):
                client = self.client()
                client.subscribe([(name, 0), ("b", 1)], expect=[0x8F, 1])
                old = self.client(version=4)
                old.send(wire.subscribe(1, [(name, 0)], 4))
                self.assertIsNone(old.ended())
        for version in self.versions():
            for bad in (b"a\0", b"\0", b"\xed\xa0\x80", b"\xc0\xaf"):
                for packet in (wire.subscribe(1, [(bad, 0)], version), wire.unsubscribe(1, [bad], version)):
                    client = self.client(version=version)
                    client.send(packet)  # [MQTT-1.5.4-1] [MQTT-1.5.4-2] [MQTT3-1.5.3-1] [MQTT3-1.5.3-2] [MQTT3-4.7.3-2]
                    self.ends(client, 0x81)

    def test_matching(self):
        """
        [MQTT-3.3.2-3] [MQTT3-3.3.2-3]: what matches comes and nothing else, byte by byte [MQTT-4.7.3-4] [MQTT3-4.7.3-4]; '+' is
        a level [MQTT-4.7.1-2] [MQTT3-4.7.1-3], '#' stands for the parent too [MQTT-4.7.1-1] [MQTT3-4.7.1-2]
        """
        table = (
            ("{}/a/b", {"a/b"}), ("{}/a/+", {"a/b", "a/"}), ("{}/+/b", {"a/b", "/b", "A/b"}), ("{}/#", {"", "a", "a/b", "a/", "/b", "A/b", "\u00e9", "e\u0301"}),
            ("{}/a/#", {"a", "a/b", "a/"}), ("{}/+", {"", "a", "\u00e9", "e\u0301"}), ("{}/+/+", {"a/b", "a/", "/b", "A/b"}),
            ("{}/\u00e9", {"\u00e9"}), ("{}/e\u0301", {"e\u0301"}), ("{}/A/b", {"A/b"}), ("{}/a/", {"a/"}), ("{}//b", {"/b"}))
        topics = sorted(set().union(*(names for _, names in table)))
        for version in self.versions():
            root = self.name("s")
            for name, matching in table:
                client = self.client(version=version)
                client.subscribe(name.format(root))
                for topic in topics:
                    client.publish(f"{root}/{topic}", topic)
                client.ping()
                got = [(packet.topic, packet.payload.decode()) for packet in client.kept]
                self.assertEqual(got, [(f"{root}/{topic}", topic) for topic in topics if topic in matching], name)
                client.disconnect()

    def test_dollar(self):
        """
        [MQTT-4.7.2-1] [MQTT3-4.7.2-1]: wildcards in front do not match '$'; who publishes there is answered as usual and
        the message goes nowhere [MQTT3-3.3.5-2]
        """
        for version in self.versions():
            client = self.client(version=version)
            client.subscribe([("#", 0), ("+/x", 0), ("+/broker/#", 0), ("$foreign/#", 0)])
            for topic in ("$SYS/x", "$SYS/broker/uptime", "$foreign/x", "$share/g/x", "$"):
                for qos in (0, 1, 2):
                    self.assertEqual(client.publish(topic, "mine", qos), 0)
            self.assertFalse([packet for packet in client.kept if packet.payload == b"mine"])
            self.assertFalse([packet for packet in client.kept if packet.topic.startswith("$")])
            client.kept.clear()
            client.subscribe("$SYS/#")
            self.assertTrue(client.message().topic.startswith("$SYS/"))
            client.disconnect()

    def test_shared(self):
        """
        The granted QoS of who gets it [MQTT-4.8.2-3]; what is refused goes to nobody else [MQTT-4.8.2-6]; QoS 2 that has
        begun is finished with the same member [MQTT-4.8.2-4], or with none [MQTT-4.8.2-5]
        """
        topic = self.name("s")
        shared = f"$share/g/{topic}"
        low, high = self.client(), self.client()
        low.subscribe(shared, qos=0)
        high.subscribe(shared, qos=2)
        publisher = self.client()
        for _ in range(8):
            publisher.publish(topic, "x", 2)
        while len(low.kept) + len(high.kept) < 8:
            low.ping(), high.ping()
        self.assertEqual(({packet.qos for packet in low.kept}, {packet.qos for packet in high.kept}), ({0}, {2}))
        for message in list(high.kept):
            high.kept.remove(message)
            high.send(wire.ack(wire.PUBREC, message.packet_id, 0x80))
        high.ping()
        self.assertFalse(high.kept)
        low.disconnect(), high.disconnect()
        for ends in (False, True):
            topic, name = self.name("s"), self.name()
            shared = f"$share/g/{topic}"
            first = self.client(name, **({"version": 5} if ends else stays(5)))
            first.subscribe(shared, qos=2)
            publisher.publish(topic, "x", 2)
            message = first.expect(wire.PUBLISH)
            second = self.client()
            second.subscribe(shared, qos=2)
            first.cut()
            if not ends:
                first = self.client(name, **stays(5))
                again = first.expect(wire.PUBLISH)
                self.assertEqual((again.packet_id, again.dup), (message.packet_id, 1))
                first.accept(again)
            self.assertEqual(self.payloads(second), [])
            second.disconnect()
