"""PUBLISH and its acknowledgements, statement by statement: sections 3.3 to 3.7, 4.3 to 4.6 and 4.9."""

import time

from spec import SpecTest, stays
import wire


def flags_of(packet):
    return packet.dup, packet.qos, packet.retain


class Messages(SpecTest):
    abstract = False

    def pair(self, version, qos=2, **options):
        """(publisher, subscriber, topic)"""
        topic = self.name("m")
        subscriber = self.client(version=version)
        subscriber.subscribe(topic, qos=qos, **options)
        return self.client(version=version), subscriber, topic

    def test_answers(self):
        """
        [MQTT-3.3.4-1] [MQTT3-3.3.4-1]: nothing, PUBACK, PUBREC; with the identifier of the PUBLISH [MQTT-2.2.1-5]
        [MQTT3-2.3.1-6] [MQTT-4.3.2-4] [MQTT-4.3.3-8] [MQTT-4.3.3-11]; the codes are of the packet's list [MQTT-3.4.2-1]
        [MQTT-3.5.2-1] [MQTT-3.7.2-1]
        """
        for version in self.versions():
            client = self.client(version=version)
            client.send(wire.publish("a", b"", 0, version=version) + wire.publish("a", b"", 1, 0x1234, version=version)
                        + wire.publish("a", b"", 2, 0xFFFF, version=version) + wire.ack(wire.PUBREL, 0xFFFF))
            answers = [client.receive() for _ in range(3)]
            self.assertEqual([(answer.type, answer.flags, answer.packet_id, answer.reason) for answer in answers],
                             [(wire.PUBACK, 0, 0x1234, 0x10 if version == 5 else 0), (wire.PUBREC, 0, 0xFFFF, 0),
                              (wire.PUBCOMP, 0, 0xFFFF, 0)])

    def test_first_send(self):
        """
        DUP 0 and, above QoS 0, an identifier [MQTT-4.3.1-1] [MQTT-4.3.2-2] [MQTT-4.3.3-2] [MQTT3-4.3.1-1] [MQTT3-4.3.2-1]
        [MQTT3-4.3.3-1]; none with QoS 0 [MQTT-2.2.1-2] [MQTT3-2.3.1-5] [MQTT-3.3.1-2] [MQTT3-3.3.1-2]; the DUP that came
        in goes nowhere [MQTT-3.3.1-3] [MQTT3-3.3.1-3]; a message for an old subscription has RETAIN 0 [MQTT3-3.3.1-9]
        """
        for version in self.versions():
            publisher, subscriber, topic = self.pair(version)
            for qos in (0, 1, 2):
                publisher.send(wire.publish(topic, b"x", qos, 7 + qos, retain=True, dup=qos > 0, version=version))
                message = subscriber.expect(wire.PUBLISH)
                self.assertEqual(flags_of(message), (0, qos, 0))
                self.assertEqual(message.packet_id is None, qos == 0)
                self.assertEqual(message.payload, b"x")
                subscriber.accept(message)

    def test_identifiers_of_ours(self):
        """Not 0, and none that is in use: [MQTT-2.2.1-4] [MQTT-4.3.2-1] [MQTT-4.3.3-1] [MQTT3-2.3.1-1] [MQTT3-2.3.1-4]"""
        for version in self.versions():
            publisher, subscriber, topic = self.pair(version)
            for at in range(40):
                publisher.publish(topic, b"x", 1 + at % 2)
            open_ones = [subscriber.expect(wire.PUBLISH) for _ in range(40)]
            self.assertEqual(len({message.packet_id for message in open_ones} - {0}), 40)
            for message in open_ones[1::3]:
                subscriber.accept(message)
            left = {message.packet_id for message in open_ones} - {message.packet_id for message in open_ones[1::3]}
            for _ in range(10):
                publisher.publish(topic, b"x", 1)
                self.assertNotIn(subscriber.message().packet_id, left | {0})

    def test_identifier_is_free_afterwards(self):
        """The same again is a new message: [MQTT-4.3.2-5] [MQTT-4.3.3-12] [MQTT3-4.3.2-2] [MQTT3-4.3.3-2]"""
        for version in self.versions():
            publisher, subscriber, topic = self.pair(version)
            for dup in (False, True, False):
                for qos in (1, 2):
                    publisher.send(wire.publish(topic, b"x", qos, 9, dup=dup, version=version))
                    publisher.expect(wire.PUBACK if qos == 1 else wire.PUBREC)
                    if qos == 2:
                        publisher.send(wire.ack(wire.PUBREL, 9))
                        publisher.expect(wire.PUBCOMP)
                    self.assertEqual(subscriber.message().qos, qos)

    def test_repeated_without_pubrel(self):
        """[MQTT-4.3.3-10] [MQTT3-4.3.3-2]"""
        for version in self.versions():
            publisher, subscriber, topic = self.pair(version)
            for dup in (False, True, True, False):
                publisher.send(wire.publish(topic, b"once", 2, 9, dup=dup, version=version))
                self.assertEqual(publisher.expect(wire.PUBREC).reason, 0)
            publisher.send(wire.ack(wire.PUBREL, 9))
            publisher.expect(wire.PUBCOMP)
            publisher.publish(topic, "then")
            self.assertEqual([subscriber.message().payload for _ in range(2)], [b"once", b"then"])

    def test_resend(self):
        """
        What is not acknowledged goes out again when the session is taken up [MQTT-4.4.0-1] [MQTT3-4.4.0-1], PUBLISH with
        DUP [MQTT-3.3.1-1] [MQTT3-3.3.1-1], in its order [MQTT3-4.6.0-1], and never before. It stays until PUBACK
        [MQTT-4.3.2-3], until PUBREC [MQTT-4.3.3-3], then PUBREL until PUBCOMP [MQTT-4.3.3-5] and no PUBLISH any more
        [MQTT-4.3.3-6]; PUBREC is answered by PUBREL [MQTT-4.3.3-4] with flags 0010 [MQTT-3.6.1-1] [MQTT3-3.6.1-1]
        """
        for version in self.versions():
            topic, name = self.name("m"), self.name()
            subscriber = self.client(name, **stays(version))
            subscriber.subscribe(topic, qos=2)
            publisher = self.client()
            for qos, payload in ((1, "1"), (2, "2"), (2, "3"), (1, "4"), (1, "5")):
                publisher.publish(topic, payload, qos)
            first = [subscriber.expect(wire.PUBLISH) for _ in range(5)]
            subscriber.send(wire.ack(wire.PUBREC, first[1].packet_id))
            release = subscriber.expect(wire.PUBREL)
            self.assertEqual((release.packet_id, release.flags), (first[1].packet_id, 2))
            subscriber.send(wire.ack(wire.PUBACK, first[3].packet_id))
            subscriber.ping()
            subscriber.silent(0.1)
            for _ in range(2):
                subscriber.cut()
                subscriber = self.client(name, **stays(version))
                again = [subscriber.receive() for _ in range(4)]
                published = [packet for packet in again if packet.type == wire.PUBLISH]
                self.assertEqual([(packet.payload, packet.packet_id, *flags_of(packet)) for packet in published],
                                 [(first[at].payload, first[at].packet_id, 1, first[at].qos, 0) for at in (0, 2, 4)])
                released = [packet for packet in again if packet.type == wire.PUBREL]
                self.assertEqual([packet.packet_id for packet in released], [first[1].packet_id])
            subscriber.send(wire.ack(wire.PUBCOMP, first[1].packet_id))
            for packet in published:
                subscriber.accept(packet)
            subscriber.ping()
            subscriber.cut()
            subscriber = self.client(name, **stays(version))
            subscriber.ping()
            self.assertFalse(subscriber.kept)

    def test_errors_are_acknowledgements(self):
        """PUBACK and PUBREC of 0x80 and above: [MQTT-4.4.0-2] done, not sent again, no PUBREL [MQTT-4.3.3-4]"""
        topic, name = self.name("m"), self.name()
        subscriber = self.client(name, **stays(5))
        subscriber.subscribe(topic, qos=2)
        publisher = self.client()
        for qos in (1, 2):
            publisher.publish(topic, "x", qos)
            message = subscriber.expect(wire.PUBLISH)
            subscriber.send(wire.ack(wire.PUBACK if qos == 1 else wire.PUBREC, message.packet_id, 0x83))
        subscriber.ping()
        self.assertFalse(subscriber.kept)
        subscriber.cut()
        subscriber = self.client(name, **stays(5))
        subscriber.ping()
        self.assertFalse(subscriber.kept)

    def test_window(self):
        """
        Receive Maximum of the client: [MQTT-3.3.4-9] [MQTT-4.9.0-1] [MQTT-4.9.0-2]; nothing but PUBLISH waits
        [MQTT-3.3.4-10], and what comes is still answered [MQTT-4.9.0-3]
        """
        topic = self.name("m")
        subscriber = self.client(properties=[("receive_maximum", 2)])
        subscriber.subscribe(topic, qos=2)
        publisher = self.client()
        for at in range(4):
            publisher.publish(topic, str(at), 1 + at % 2)
        first, second = subscriber.expect(wire.PUBLISH), subscriber.expect(wire.PUBLISH)
        subscriber.ping()
        subscriber.subscribe("other/" + topic, qos=1)
        subscriber.publish("elsewhere", "x", 2)
        subscriber.send(wire.ack(wire.PUBREC, second.packet_id))
        subscriber.expect(wire.PUBREL)
        self.assertFalse(subscriber.kept)
        subscriber.silent(0.1)
        subscriber.accept(first)
        third = subscriber.expect(wire.PUBLISH)
        self.assertEqual(third.payload, b"2")
        subscriber.silent(0.1)
        subscriber.send(wire.ack(wire.PUBCOMP, second.packet_id))
        self.assertEqual(subscriber.expect(wire.PUBLISH).payload, b"3")

    def test_order(self):
        """[MQTT-4.6.0-5] [MQTT-4.6.0-6] [MQTT3-4.6.0-5] [MQTT3-4.6.0-6]; acknowledgements too [MQTT3-4.6.0-2]
        [MQTT3-4.6.0-3]; PUBRELs as the PUBRECs came [MQTT3-4.6.0-4]"""
        for version in self.versions():
            publisher, subscriber, topic = self.pair(version)
            for qos in (0, 1, 2):
                publisher.send(b"".join(wire.publish(topic, b"%d" % at, qos, at + 1, version=version) for at in range(100)))
                if qos:
                    answers = [publisher.expect(wire.PUBACK if qos == 1 else wire.PUBREC).packet_id for _ in range(100)]
                    self.assertEqual(answers, list(range(1, 101)))
                messages = [subscriber.expect(wire.PUBLISH) for _ in range(100)]
                self.assertEqual([message.payload for message in messages], [b"%d" % at for at in range(100)])
                if qos == 1:
                    for message in messages:
                        subscriber.accept(message)
                if qos == 2:
                    mixed = [message.packet_id for message in messages[50:] + messages[:50]]
                    subscriber.send(b"".join(wire.ack(wire.PUBREC, one) for one in mixed))
                    self.assertEqual([subscriber.expect(wire.PUBREL).packet_id for _ in mixed], mixed)

    def test_to_every_session(self):
        """[MQTT-4.5.0-1] [MQTT3-4.5.0-1]: connected or not"""
        for version in self.versions():
            topic = self.name("m")
            names = [self.name() for _ in range(4)]
            subscribers = [self.client(name, **stays(version)) for name in names]
            for subscriber in subscribers:
                subscriber.subscribe(topic, qos=1)
            for subscriber in subscribers[:2]:
                subscriber.disconnect()
            self.client().publish(topic, "x", 1)
            subscribers[:2] = [self.client(name, **stays(version)) for name in names[:2]]
            self.assertEqual([subscriber.message().payload for subscriber in subscribers], [b"x"] * 4)

    def test_topics(self):
        """Refused where they must not be: wildcards [MQTT-3.3.2-2] [MQTT3-3.3.2-2] [MQTT-4.7.0-1] [MQTT3-4.7.1-1], U+0000
        [MQTT-4.7.3-2] [MQTT3-4.7.3-2], nothing [MQTT-4.7.3-1] [MQTT3-4.7.3-1], no UTF-8 [MQTT-3.3.2-1] [MQTT3-3.3.2-1]"""
        for version in self.versions():
            for topic, reason in (("#", 0x90), ("+", 0x90), ("a/+/b", 0x90), ("a#", 0x90), ("a+", 0x90), ("", 0x82),
                                  (b"a\0b", 0x81), (b"\0", 0x81), (b"a\xed\xa0\x80", 0x81), (b"\xc0\x80", 0x81), (b"\xff", 0x81)):
                with self.subTest(topic=topic, version=version):
                    client = self.client(version=version)
                    client.send(wire.publish(topic, b"x", version=version))
                    self.ends(client, reason)

    def test_long_topics(self):
        """[MQTT-4.7.3-3] [MQTT3-4.7.3-3]: up to 65535 bytes, in bytes and not in characters"""
        for version in self.versions():
            for topic in ("t" * 65535, "\u20ac" * 21845):
                client = self.client(version=version)
                client.subscribe(topic)
                client.publish(topic, "x")
                self.assertEqual(client.message().topic, topic)

    def test_retained(self):
        """
        RETAIN 1 is kept [MQTT-3.3.1-5] [MQTT3-3.3.1-5], in the place of the one before, with QoS 0 too [MQTT3-3.3.1-7];
        RETAIN 0 changes nothing [MQTT-3.3.1-8] [MQTT3-3.3.1-12]; new subscriptions get it [MQTT-3.3.1-9] [MQTT3-3.3.1-6] with
        RETAIN 1 [MQTT3-3.3.1-8]; an empty one is passed on and takes it away [MQTT-3.3.1-6] [MQTT3-3.3.1-10], and is not
        kept [MQTT-3.3.1-7] [MQTT3-3.3.1-11]
        """
        for version in self.versions():
            topic = self.name("r")
            publisher, living = self.client(version=version), self.client(version=version)
            living.subscribe(topic, qos=1)

            def kept():
                late = self.client(version=version)
                return [(message.payload, message.qos, message.retain) for message in self.retained(late, topic + "/#", qos=2)]

            for qos, payload in ((1, b"first"), (0, b"second"), (2, b"third")):
                publisher.publish(topic, payload, qos, retain=True)
                publisher.publish(topic, "passing", qos)
                self.assertEqual([living.message().payload, living.message().payload], [payload, b"passing"])
                self.assertEqual(kept(), [(payload, qos, 1)])
            publisher.publish(topic, b"", 1, retain=True)
            self.assertEqual(living.message().payload, b"")
            self.assertEqual(kept(), [])

    def test_retain_options(self):
        """Retain Handling [MQTT-3.3.1-9] [MQTT-3.3.1-10] [MQTT-3.3.1-11], Retain As Published [MQTT-3.3.1-12] [MQTT-3.3.1-13]"""
        topic = self.name("r")
        self.client().publish(topic, "kept", 1, retain=True)
        for handling, counts in ((0, (1, 1)), (1, (1, 0)), (2, (0, 0))):
            client = self.client()
            for count in counts:
                client.subscribe(topic, retain_handling=handling)
                client.ping()
                self.assertEqual([client.message().payload for _ in range(count)], [b"kept"] * count)
                self.assertFalse(client.kept)
        for as_published in (False, True):
            client = self.client()
            client.subscribe(topic, retain_as_published=as_published, retain_handling=2)
            for retain in (False, True):
                self.client().publish(topic, "again", retain=retain)
                self.assertEqual(client.message().retain, retain and as_published)
        self.client().publish(topic, b"", retain=True)

    def test_properties_go_on(self):
        """
        [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.2-20], with U+FEFF where it
        stood [MQTT-1.5.4-3] [MQTT3-1.5.3-3]
        """
        user = [("user_property", pair) for pair in (("b", "1"), ("\ufeffa", "2\ufeff"), ("b", "1"), ("", ""))]
        properties = [user[0], ("payload_format_indicator", 0), user[1], ("response_topic", "\ufeffr"), ("content_type", ""),
                      ("correlation_data", b""), *user[2:]]
        publisher, subscriber, topic = self.pair(5)
        publisher.publish(topic, "x", 1, properties=properties)
        got = subscriber.message().properties
        self.assertEqual([pair for pair in got if pair[0] == "user_property"], user)
        self.assertEqual(sorted(map(str, got)), sorted(map(str, properties)))
        for version in self.versions():
            client = self.client(version=version)
            for at in ("\ufeffa/b", "a/\ufeff", "a/\ufeffb"):
                client.subscribe(at + topic)
                client.publish(at + topic, "x")
                self.assertEqual(client.message().topic, at + topic)

    def test_a_packet_without_properties(self):
        """[MQTT-2.2.2-1]: says so in one byte"""
        publisher, subscriber, topic = self.pair(5)
        publisher.publish(topic, "x", 0)
        self.assertEqual(subscriber.message().size, len(wire.publish(topic, b"x")))

    def test_expiry(self):
        """What waited too long is gone [MQTT-3.3.2-5]; what goes says how much is left [MQTT-3.3.2-6]"""
        topic, name = self.name("m"), self.name()
        subscriber = self.client(name, **stays(5))
        subscriber.subscribe(topic, qos=1)
        subscriber.disconnect()
        publisher = self.client()
        for payload, expiry in (("short", 1), ("long", 100)):
            publisher.publish(topic, payload, 1, properties=[("message_expiry_interval", expiry)])
        time.sleep(1.6)
        subscriber = self.client(name, **stays(5))
        message = subscriber.message()
        self.assertEqual(message.payload, b"long")
        self.assertIn(message.get("message_expiry_interval"), (98, 99))
        subscriber.ping()
        self.assertFalse(subscriber.kept)

    def test_expiry_does_not_break_an_exchange(self):
        """Once sent, QoS 2 goes on to its end: [MQTT-4.3.3-7] [MQTT-4.3.3-13]"""
        topic, name = self.name("m"), self.name()
        subscriber = self.client(name, **stays(5))
        subscriber.subscribe(topic, qos=2)
        self.client().publish(topic, "x", 2, properties=[("message_expiry_interval", 1)])
        message = subscriber.expect(wire.PUBLISH)
        time.sleep(1.3)
        subscriber.cut()
        subscriber = self.client(name, **stays(5))
        again = subscriber.expect(wire.PUBLISH)
        self.assertEqual((again.packet_id, again.dup, again.payload), (message.packet_id, 1, b"x"))
        subscriber.accept(again)

    def test_aliases_to_the_broker(self):
        """All from 1 to the maximum [MQTT-3.3.2-12], not 0 [MQTT-3.3.2-8]; they die with the connection [MQTT-3.3.2-7]"""
        publisher, subscriber, topic = self.pair(5)
        maximum = publisher.connack.get("topic_alias_maximum")
        for alias in range(1, maximum + 1):
            publisher.publish(topic, str(alias), properties=[("topic_alias", alias)])
        for alias in range(1, maximum + 1):
            publisher.publish("", str(alias), properties=[("topic_alias", alias)])
        expected = [b"%d" % alias for alias in range(1, maximum + 1)] * 2
        self.assertEqual([subscriber.message().payload for _ in expected], expected)
        for alias, reason in ((0, 0x94), (maximum + 1, 0x94)):
            client = self.client()
            client.send(wire.publish("t", b"", properties=[("topic_alias", alias)]))
            self.assertEqual(client.ended(), reason)
        name = self.name()
        client = self.client(name, **stays(5))
        client.publish("t", "x", properties=[("topic_alias", 1)])
        client.cut()
        client = self.client(name, **stays(5))
        client.send(wire.publish("", b"x", properties=[("topic_alias", 1)]))
        self.assertEqual(client.ended(), 0x82)

    def test_aliases_to_the_client(self):
        """Within its maximum [MQTT-3.1.2-26] [MQTT-3.3.2-11] [MQTT-3.3.2-8]; none where it wants none [MQTT-3.1.2-27]"""
        for maximum in (None, 0, 1, 3):
            topics = [self.name("m") for _ in range(5)]
            client = self.client(properties=[] if maximum is None else [("topic_alias_maximum", maximum)])
            client.subscribe([(topic, 0) for topic in topics])
            aliases, known = [], {}
            for topic in topics * 3:
                self.client().publish(topic, "x")
                message = client.message()
                alias = message.get("topic_alias")
                if alias is not None:
                    aliases.append(alias)
                    if message.topic:
                        known[alias] = message.topic
                self.assertEqual(message.topic or known[alias], topic)
            self.assertTrue(all(1 <= alias <= (maximum or 0) for alias in aliases), aliases)
            self.assertEqual(bool(aliases), bool(maximum))

    def test_too_large_for_the_client(self):
        """Never sent [MQTT-3.1.2-24], and as good as delivered [MQTT-3.1.2-25]: what comes behind it goes on"""
        topic = self.name("m")
        whole = len(wire.publish(topic, b"x" * 50, 1, 1))
        subscriber = self.client(properties=[("maximum_packet_size", whole), ("receive_maximum", 1)])
        subscriber.subscribe(topic, qos=1)
        publisher = self.client()
        for length in (51, 5000, 50, 51, 49):
            publisher.publish(topic, "x" * length, 1)
        self.assertEqual([len(subscriber.message().payload) for _ in range(2)], [50, 49])

    def test_reasons_of_pubrel(self):
        """[MQTT-3.6.2-1]: those of a PUBREL, whoever sends it"""
        for reason, answered in ((0x00, 0x92), (0x92, 0x92), (0x10, None), (0x80, None), (0x91, None), (0xFF, None)):
            client = self.client()
            client.send(wire.ack(wire.PUBREL, 5, reason))
            if answered is None:
                self.assertEqual(client.ended(), 0x82)
            else:
                self.assertEqual(client.expect(wire.PUBCOMP).reason, answered)
        client.cut()
        client = self.client()
        client.send(wire.ack(wire.PUBREC, 5))
        self.assertEqual(client.expect(wire.PUBREL).reason, 0x92)


class FullServer(SpecTest):
    """A server that takes one retained message and no more."""

    abstract = False
    config = "max_retained_messages 1\nsys_interval 0"
    workers = 1  # so that the home of every topic is there to refuse

    def test_after_a_refused_publish(self):
        """[MQTT-4.3.3-9]: PUBREC of 0x80 and above frees the identifier"""
        topic = self.name("full")
        client = self.client()
        self.assertLess(client.publish(topic + "/1", "x", 2, retain=True), 0x80)
        client.send(wire.publish(topic + "/2", b"x", 2, 9, retain=True))
        self.assertEqual(client.expect(wire.PUBREC).reason, 0x97)
        subscriber = self.client()
        subscriber.subscribe(topic + "/+", qos=2, retain_handling=2)
        client.send(wire.publish(topic + "/2", b"new", 2, 9))
        self.assertEqual(client.expect(wire.PUBREC).reason, 0)
        self.assertEqual(subscriber.message().payload, b"new")
        client.publish(topic + "/1", b"", retain=True)

    def test_words_stay_away(self):
        """
        No Reason String and no User Property makes an acknowledgement too large: [MQTT-3.4.2-2] [MQTT-3.4.2-3]
        [MQTT-3.5.2-2] [MQTT-3.5.2-3] [MQTT-3.6.2-2] [MQTT-3.6.2-3] [MQTT-3.7.2-2] [MQTT-3.7.2-3] [MQTT-3.9.2-1] [MQTT-3.9.2-2]
        [MQTT-3.11.2-1] [MQTT-3.11.2-2]; nor is there one for who does not want to know [MQTT-3.1.2-29]
        """
        filler, topic = self.client(), self.name("full")
        filler.publish(topic, "x", 1, retain=True)
        for properties in ([("maximum_packet_size", 30)], [("request_problem_information", 0)]):
            client = self.client("c" + str(len(properties[0][0])), properties=properties)
            client.send(wire.publish(topic + "/2", b"x", 1, 1, retain=True) + wire.publish(topic + "/2", b"x", 2, 2, retain=True)
                        + wire.ack(wire.PUBREC, 3) + wire.ack(wire.PUBREL, 4)
                        + wire.subscribe(5, [("a#", 0), ("b+", 0)]) + wire.unsubscribe(6, ["a#", "none"]))
            answers = [client.receive() for _ in range(6)]
            self.assertEqual({answer.type: answer.reason or getattr(answer, "reasons", None) for answer in answers},
                             {wire.PUBACK: 0x97, wire.PUBREC: 0x97, wire.PUBREL: 0x92, wire.PUBCOMP: 0x92,
                              wire.SUBACK: [0x8F, 0x8F], wire.UNSUBACK: [0x8F, 0x11]})
            for answer in answers:
                self.assertLessEqual(answer.size, 30)
                self.assertEqual((answer.get("reason_string"), answer.get("user_property")), (None, None))
        filler.publish(topic, b"", retain=True)


class NoMemory(SpecTest):
    abstract = False
    config = "memory_limit 16777216\nmax_queued_bytes unlimited"

    def test_a_message_that_cannot_be_taken(self):
        """5.0 is told; 3.1.1 has no such answer and is closed, its message not acknowledged [MQTT3-4.8.0-2]"""
        name = self.name()
        away = self.client(name, **stays(5))
        away.subscribe("heavy", qos=1)
        away.disconnect()
        publisher = self.client()
        for at in range(1, 30):
            publisher.send(wire.publish("heavy", b"x" * (1 << 20), 1, at))
            answer = publisher.receive()  # PUBACK, or DISCONNECT when not even the packet could be put together
            if answer.reason:
                break
        self.assertEqual(answer.reason, 0x97)
        old = self.client(version=4)
        old.send(wire.publish("heavy", b"x" * (1 << 20), 1, 1, version=4))
        self.assertIsNone(old.ended())
        self.assertFalse(old.kept)
        self.client(name).disconnect()
        self.assertEqual(self.client().publish("heavy", b"x" * (1 << 20), 1), 0x10)
