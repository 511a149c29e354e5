"""What MQTT 5.0 added, apart from sessions, wills and shared subscriptions, which have files of their own."""

import struct
import time

from harness import ACCEPTED, BrokerTest, for_workers, mqttjs, own_only, paho_c, run_client, STAND_IN
import wire
from wire import options


@for_workers(1, 4)
class Properties(BrokerTest):
    SENT = [("payload_format_indicator", 1), ("content_type", "text/plain"), ("response_topic", "back/here"),
            ("correlation_data", b"\x00\xff"), ("user_property", ("z", "1")), ("user_property", ("a", "2")),
            ("user_property", ("z", "3")), ("user_property", ("", ""))]

    def test_forwarded_as_they_were(self):
        """[MQTT-3.3.2-4], -15 to -20: unchanged, user properties in order."""
        publisher, topic = self.client(), self.name()
        for qos in (0, 1, 2):
            subscriber = self.client()
            subscriber.subscribe(topic, qos)
            publisher.publish(topic, b"p", qos, properties=self.SENT)
            got = subscriber.message()
            self.assertEqual(sorted(map(str, got.properties)), sorted(map(str, self.SENT)))
            self.assertEqual(got.all("user_property"), [v for n, v in self.SENT if n == "user_property"])

    def test_older_clients_get_the_message(self):
        old, topic = self.client(version=4), self.name()
        old.subscribe(topic, 1)
        self.client().publish(topic, b"p", 1, properties=self.SENT)
        self.assertEqual(old.message().payload, b"p")

    def test_other_libraries(self):
        run_client([paho_c(), "properties", str(self.port), "5", self.name()])
        mqttjs("properties", self.port, 5, self.name())

    def test_paho_python(self):
        client, topic = self.paho(), self.name()
        client.subscribe(topic, 1)
        client.publish(topic, "p", 1, UserProperty=[("b", "1"), ("a", "2"), ("b", "3")], ContentType="x/y",
                       ResponseTopic="r", CorrelationData=b"\x00", PayloadFormatIndicator=1)
        got = client.message().properties
        self.assertEqual(got.UserProperty, [("b", "1"), ("a", "2"), ("b", "3")])
        self.assertEqual((got.ContentType, got.ResponseTopic, got.CorrelationData, got.PayloadFormatIndicator),
                         ("x/y", "r", b"\x00", 1))

    def test_message_expiry_counts_down(self):
        """[MQTT-3.3.2-5] and -6."""
        client_id, topic, lasting = self.name(), self.name(), [("session_expiry_interval", 60)]
        client = self.client(client_id, properties=lasting)
        client.subscribe(topic, 1)
        client.disconnect()
        publisher = self.client()
        publisher.publish(topic, b"long", 1, properties=[("message_expiry_interval", 60)])
        publisher.publish(topic, b"short", 1, properties=[("message_expiry_interval", 1)])
        publisher.publish(topic, b"forever", 1)
        time.sleep(2.1)
        client = self.client(client_id, clean=False, properties=lasting)
        first, second = client.messages(2)
        self.assertEqual((first.payload, second.payload), (b"long", b"forever"))
        self.assertIn(first.get("message_expiry_interval"), (57, 58))
        self.assertIsNone(second.get("message_expiry_interval"))
        client.silent(0.2)

    @own_only("mosquitto lets some of them through")
    def test_wrong_properties_end_the_connection(self):
        """A property twice, of another packet, or out of range."""
        topic = self.name()
        for wrong, reason in (([("content_type", "a"), ("content_type", "b")], 0x82),
                              ([("subscription_identifier", 5)], 0x82), ([("topic_alias", 0)], 0x94),
                              ([("payload_format_indicator", 2)], 0x82), ([("response_topic", "a/#")], 0x82)):
            with self.subTest(wrong=wrong):
                client = self.client()
                client.send(wire.publish(topic, b"", 1, 1, properties=wrong))
                self.assertEqual(client.ended(), reason)

    def test_wrong_connect_properties(self):
        for wrong in ([("receive_maximum", 0)], [("maximum_packet_size", 0)], [("request_problem_information", 2)],
                      [("receive_maximum", 9), ("receive_maximum", 9)]):
            with self.subTest(wrong=wrong):
                client = self.client(greet=False)
                client.send(wire.connect(self.name(), properties=wrong))
                try:
                    self.assertIn(client.receive().reason, (0x81, 0x82))
                except wire.Closed:
                    pass


@for_workers(1, 4)
class Subscriptions(BrokerTest):
    def test_no_local(self):
        """[MQTT-3.8.3-3]: not to its own client, also when the session returns."""
        client, other, topic = self.client(), self.client(), self.name()
        client.subscribe(topic, 1, no_local=True)
        other.subscribe(topic, 1)
        client.publish(topic, b"own", 1)
        other.publish(topic, b"other's", 1)
        self.assertEqual(client.message().payload, b"other's")
        client.silent(0.2)
        self.assertEqual([m.payload for m in other.messages(2)], [b"own", b"other's"])

    @own_only("mosquitto accepts it")
    def test_no_local_on_shared_is_an_error(self):
        """[MQTT-3.8.3-4]"""
        client = self.client()
        client.send(wire.subscribe(1, [("$share/g/t", options(1, no_local=True))]))
        self.assertEqual(client.ended(), 0x82)

    @own_only("mosquitto sends one copy for each subscription")
    def test_overlapping(self):
        """One copy, at the highest granted QoS, with all identifiers (section 3.3.4)."""
        client, topic = self.client(), self.name()
        client.subscribe(f"{topic}/#", 0, identifier=3)
        client.subscribe(f"{topic}/+", 2, identifier=268435455)
        client.subscribe(f"{topic}/x", 1)
        self.client().publish(f"{topic}/x", b"m", 2)
        message = client.message()
        self.assertEqual(message.qos, 2)
        self.assertEqual(sorted(message.all("subscription_identifier")), [3, 268435455])
        client.silent(0.2)

    def test_identifier(self):
        """[MQTT-3.3.4-3]; a new SUBSCRIBE of the same filter replaces it."""
        client, topic = self.client(), self.name()
        for identifier in (1, 127, 128, 16384, 268435455):
            client.subscribe(topic, 1, identifier=identifier)
            client.publish(topic, b"m", 1)
            self.assertEqual(client.message().all("subscription_identifier"), [identifier])
        client.subscribe(topic, 1)
        client.publish(topic, b"m", 1)
        self.assertEqual(client.message().all("subscription_identifier"), [])

    @own_only("mosquitto sends one copy for each subscription")
    def test_overlapping_in_one_subscribe(self):
        client, topic = self.client(), self.name()
        client.send(wire.subscribe(9, [(topic, options(1)), ("#", options(0)), (f"{topic}/#", options(2))], 5,
                                   [("subscription_identifier", 44)]))
        self.assertEqual(client.expect(wire.SUBACK).reasons, [1, 0, 2])
        self.client().publish(topic, b"m", 2)
        message = client.message()
        self.assertEqual((message.qos, set(message.all("subscription_identifier"))), (2, {44}))

    def test_identifier_zero_is_an_error(self):
        client = self.client()
        client.send(wire.subscribe(1, [("a", 0)], 5, [("subscription_identifier", 0)]))
        self.assertIn(client.ended(), (0x82, 0x81, None))


@for_workers(1, 4)
class Aliases(BrokerTest):
    config = f"max_topic_alias 5\n{ACCEPTED}" if not STAND_IN else ""

    def test_inbound(self):
        """An alias stands for its topic until it is set again, for this connection only."""
        publisher, subscriber, topic = self.client(), self.client(), self.name()
        self.assertGreaterEqual(publisher.connack.get("topic_alias_maximum") or 0, 1)
        subscriber.subscribe(f"{topic}/+", 1)

        def publish(name, payload, qos=1):
            publisher.publish(name, payload, qos, properties=[("topic_alias", 1)])

        publish(f"{topic}/a", b"1"), publish("", b"2"), publish(f"{topic}/b", b"3"), publish("", b"4", 2)
        publish("", b"5", 0)
        got = sorted((m.payload, m.topic[-1]) for m in subscriber.messages(5))
        self.assertEqual(got, [(b"1", "a"), (b"2", "a"), (b"3", "b"), (b"4", "b"), (b"5", "b")])

    def test_inbound_alias_is_not_forwarded(self):
        client, topic = self.client(), self.name()
        client.subscribe(topic)
        client.publish(topic, b"", properties=[("topic_alias", 1)])
        self.assertIsNone(client.message().get("topic_alias"))

    def test_wrong_aliases(self):
        maximum = self.client().connack.get("topic_alias_maximum")
        for topic, alias, reasons in (("t", maximum + 1, (0x94,)), ("", 1, (0x82, 0x94)), ("t", 0, (0x94,))):
            with self.subTest(topic=topic, alias=alias):
                client = self.client()
                client.send(wire.publish(topic, b"", 0, properties=[("topic_alias", alias)]))
                got = client.ended()
                if not STAND_IN:
                    self.assertIn(got, reasons)

    def test_outbound(self):
        """Only up to the client's maximum, always resolvable, and the topic goes once."""
        publisher, topics = self.client(), [self.name() for _ in range(4)]
        subscriber = self.client(properties=[("topic_alias_maximum", 2)])
        subscriber.subscribe([(t, options(1)) for t in topics])
        known, saved = {}, 0
        for n in range(20):
            publisher.publish(topics[n % 4], b"%d" % n, 1)
            message = subscriber.message()
            alias = message.get("topic_alias")
            if alias is not None:
                self.assertIn(alias, (1, 2))
                if message.topic:
                    known[alias] = message.topic
                else:
                    saved += 1
            self.assertEqual(message.topic or known[alias], topics[n % 4])
        if not STAND_IN:
            self.assertGreater(saved, 0)

    def test_none_to_who_did_not_ask(self):
        """[MQTT-3.1.2-27]"""
        client, topic = self.client(), self.name()
        client.subscribe(topic, 1)
        for _ in range(3):
            client.publish(topic, b"", 1)
            message = client.message()
            self.assertEqual((message.topic, message.get("topic_alias")), (topic, None))

    def test_mqttjs(self):
        mqttjs("alias", self.port, 5, self.name())


@for_workers(1, 4)
class FlowOut(BrokerTest):
    def test_client_receive_maximum_is_kept(self):
        """[MQTT-3.3.4-9]: never more than that many unacknowledged."""
        for qos in (1, 2):
            client, topic = self.client(properties=[("receive_maximum", 3)]), self.name()
            client.subscribe(topic, qos)
            publisher = self.client()
            for n in range(10):
                publisher.publish(topic, b"%d" % n, qos)
            time.sleep(0.2)
            window = [client.expect(wire.PUBLISH) for _ in range(3)]
            client.silent(0.3)
            for n in range(10):
                message = window.pop(0)
                self.assertEqual(message.payload, b"%d" % n)
                client.accept(message)
                if n < 7:
                    window.append(client.expect(wire.PUBLISH))
            client.silent(0.1)

    def test_pubrec_error_frees_the_window(self):
        client, topic = self.client(properties=[("receive_maximum", 1)]), self.name()
        client.subscribe(topic, 2)
        publisher = self.client()
        for n in range(2):
            publisher.publish(topic, b"%d" % n, 2)
        first = client.expect(wire.PUBLISH)
        client.send(wire.ack(wire.PUBREC, first.packet_id, 0x97))
        self.assertEqual(client.message().payload, b"1")

    def test_client_maximum_packet_size(self):
        """[MQTT-3.1.2-24] and -25: what does not fit is dropped, without a word; the rest comes."""
        for qos in (0, 1, 2):
            client, topic = self.client(properties=[("maximum_packet_size", 100)]), self.name()
            client.subscribe(topic, qos)
            publisher = self.client()
            self.assertLess(publisher.publish(topic, b"x" * 100, qos), 0x80)
            publisher.publish(topic, b"fits", qos)
            message = client.message()
            self.assertEqual(message.payload, b"fits")
            self.assertLessEqual(message.size, 100)
            client.silent(0.1)

    @own_only("mosquitto sends one byte too many")
    def test_exact_maximum_packet_size(self):
        topic, publisher = self.name(), self.client()
        limit = 64
        client = self.client(properties=[("maximum_packet_size", limit)])
        client.subscribe(topic, 0)
        room = limit - len(wire.publish(topic, b""))
        publisher.publish(topic, b"y" * (room + 1))
        publisher.publish(topic, b"z" * room)
        message = client.message()
        self.assertEqual((message.payload, message.size), (b"z" * room, limit))


class FlowIn(BrokerTest):
    config = "max_packet_size 4096\n" + ("max_inflight_messages 4" if STAND_IN else "receive_maximum 4")

    def test_limits_are_told(self):
        connack = self.client().connack
        self.assertEqual(connack.get("maximum_packet_size"), 4096)
        self.assertEqual(connack.get("receive_maximum"), 4)

    @own_only("mosquitto does not end it at the first one too many")
    def test_receive_maximum_exceeded(self):
        """[MQTT-3.3.4-7]"""
        client = self.client()
        client.send(b"".join(wire.publish("flow", b"", 2, n) for n in range(1, 6)))
        self.assertEqual(client.ended(), 0x93)

    def test_receive_maximum_used_fully(self):
        client = self.client()
        for _ in range(3):
            client.send(b"".join(wire.publish("flow", b"", 2, n) for n in range(1, 5)))
            for n in range(1, 5):
                self.assertEqual(client.expect(wire.PUBREC).packet_id, n)
            client.send(b"".join(wire.ack(wire.PUBREL, n) for n in range(1, 5)))
            for n in range(1, 5):
                self.assertEqual(client.expect(wire.PUBCOMP).packet_id, n)

    def test_packet_too_large(self):
        """[MQTT-3.2.2-15]: decided on the header alone."""
        client = self.client()
        client.send(b"\x30" + wire.varint(5000))
        self.assertEqual(client.ended(), 0x95)
        old = self.client(version=4)
        old.send(b"\x30" + wire.varint(5000))
        self.assertIsNone(old.ended())

    def test_packet_just_fits(self):
        client, topic = self.client(), self.name()
        room = 4096 - len(wire.publish(topic, b"x" * 4000, 1, 1)) + 4000
        self.assertIn(client.publish(topic, b"x" * room, 1), (0, 0x10))


class Asking(BrokerTest):
    """Server keep alive, request/response information, problem information, authentication."""

    config = "max_keepalive 30" + ("" if STAND_IN else "\nresponse_information replies/")

    def test_server_keep_alive(self):
        """[MQTT-3.1.2-21]"""
        self.assertEqual(self.client(keep_alive=60).connack.get("server_keep_alive"), 30)
        self.assertEqual(self.client(keep_alive=0).connack.get("server_keep_alive"), 30)
        self.assertIn(self.client(keep_alive=20).connack.get("server_keep_alive"), (None, 20))

    @own_only("response_information")
    def test_response_information(self):
        """[MQTT-3.1.2-28]: only to who asked."""
        asked = self.client(properties=[("request_response_information", 1)])
        self.assertTrue(asked.connack.get("response_information").startswith("replies/"))
        self.assertIsNone(self.client().connack.get("response_information"))
        declined = self.client(properties=[("request_response_information", 0)])
        self.assertIsNone(declined.connack.get("response_information"))

    def test_no_problem_information(self):
        """[MQTT-3.1.2-29]: neither reason string nor user property but on PUBLISH, CONNACK, DISCONNECT."""
        client = self.client(properties=[("request_problem_information", 0)])
        client.send(wire.subscribe(1, [("$share/x", 0), ("ok", 0)]))
        try:
            answers = [client.receive()]
            client.send(wire.unsubscribe(2, ["never"]))
            answers.append(client.expect(wire.UNSUBACK))
            client.send(wire.ack(wire.PUBREL, 99))
            answers.append(client.expect(wire.PUBCOMP))
        except (AssertionError, ConnectionError):
            pass  # a filter like that may also end the connection
        for answer in answers:
            if answer.type != wire.DISCONNECT:
                self.assertEqual((answer.get("reason_string"), answer.get("user_property")), (None, None))

    @own_only("mosquitto sends no reason strings")
    def test_errors_are_explained(self):
        client = self.client(properties=wire.WORDS)
        client.send(wire.publish("a/#", b"", 0))
        self.assertEqual(client.ended(), 0x90)
        words = client.expect(wire.DISCONNECT).get("reason_string")
        self.assertTrue(words)
        self.assertNotIn("a/#", words)

    def test_unknown_packet_identifiers(self):
        """PUBREL and PUBREC of what never was: 0x92."""
        client = self.client()
        client.send(wire.ack(wire.PUBREL, 99))
        answer = client.expect(wire.PUBCOMP)
        self.assertEqual(answer.packet_id, 99)
        if not STAND_IN:
            self.assertEqual(answer.reason, 0x92)
            client.send(wire.ack(wire.PUBREC, 98))
            answer = client.expect(wire.PUBREL)
            self.assertEqual((answer.packet_id, answer.reason), (98, 0x92))

    def test_authentication_method_is_refused(self):
        """[MQTT-4.12.0-1]"""
        client = self.client(expect=0x8C, properties=[("authentication_method", "SCRAM-SHA-1")])
        self.assertIsNone(client.ended())

    @own_only("mosquitto lets it in")
    def test_authentication_data_without_method(self):
        client = self.client(greet=False)
        client.send(wire.connect(self.name(), properties=[("authentication_data", b"x")]))
        try:
            self.assertIn(client.receive().reason, (0x82, 0x81))
        except wire.Closed:
            pass

    @own_only("mosquitto closes without a word")
    def test_auth_packet_without_method(self):
        """[MQTT-4.12.0-6] and -7"""
        client = self.client()
        client.send(wire.frame(wire.AUTH, 0, b"\x19" + wire.encode_properties([("authentication_method", "x")])))
        self.assertEqual(client.ended(), 0x82)

    def test_auth_packet_in_3_1_1(self):
        client = self.client(version=4, keep_alive=20)
        client.send(wire.frame(wire.AUTH, 0))
        self.assertIsNone(client.ended())

    def test_malformed(self):
        """Overlong lengths, missing fields, bytes left over, bad flags: closed, in 5.0 with 0x81."""
        bad = [b"\xc0\x80\x00", b"\x30\xff\xff\xff\xff\x01", wire.frame(wire.SUBSCRIBE, 0, b"\0\1\0\0\1a\0"),
               wire.frame(wire.SUBSCRIBE, 2, b"\0\1\0\0\1a"), b"\x36" + wire.publish("q", b"", 1, 1)[1:],
               wire.publish(b"\xed\xa0\x80", b""), wire.publish(b"a\0b", b""), wire.publish(b"\xc0\xaf", b""),
               b"\x38" + wire.publish("dup", b"")[1:], struct.pack("!BBH", 0x40, 1, 0)[:3]]
        for packet in bad:
            with self.subTest(packet=packet):
                client = self.client()
                client.send(packet)
                if STAND_IN:
                    continue  # mosquitto 2.0.11 takes some of them
                self.assertEqual(client.ended(), 0x81)
        self.client().ping()


@own_only("server_reference")
class Redirect(BrokerTest):
    """A broker that sends everyone elsewhere."""

    config = "server_reference other.example:1883"

    def test_redirect(self):
        client = self.client(expect=0x9D)
        self.assertEqual(client.connack.get("server_reference"), "other.example:1883")
        self.assertIsNone(client.ended())
        for version in (3, 4):
            self.client(version=version, expect=3)
