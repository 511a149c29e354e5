"""Publish and subscribe: every QoS, every size, every client library."""

import hashlib
import os

from harness import ACCEPTED, BrokerTest, for_workers, mosquitto_pub, MosquittoSub, mqttjs, own_only, paho_c, run_client
import wire

MIB = 1024 * 1024


@for_workers(1, 4)
class QualityOfService(BrokerTest):
    """The delivered QoS is the smaller of the published and the granted one."""

    def test_mosquitto_every_combination(self):
        for version in (3, 4, 5):
            topics = [f"{self.name()}/{published}" for published in (0, 1, 2)]
            for granted in (0, 1, 2):
                subscriber = MosquittoSub(self.port, *sum((["-t", t] for t in topics), []), "-q", str(granted),
                                          version=version, count=3)
                self.addCleanup(subscriber.end)
                for published, topic in enumerate(topics):
                    mosquitto_pub(self.port, "-t", topic, "-m", f"at {published}", "-q", str(published), version=version)
                wanted = {f"{topic}|{min(published, granted)}|0|at {published}" for published, topic in enumerate(topics)}
                self.assertEqual(set(subscriber.finish()), wanted)

    def test_paho_every_combination(self):
        for version in (3, 4, 5):
            publisher = self.paho(version=version)
            for granted in (0, 1, 2):
                subscriber, topic = self.paho(version=version), self.name()
                self.assertEqual(subscriber.subscribe(topic, granted), [granted])
                for published in (0, 1, 2):
                    publisher.publish(topic, b"\x00\xff binary", published)
                    message = subscriber.message()
                    self.assertEqual((message.qos, message.payload, message.retain),
                                     (min(published, granted), b"\x00\xff binary", False))

    def test_paho_c_every_combination(self):
        for version in (3, 4, 5):
            run_client([paho_c(), "qos", str(self.port), str(version), self.name()])

    def test_mqttjs_every_combination(self):
        for version in (4, 5):
            mqttjs("qos", self.port, version, self.name())

    def test_versions_meet(self):
        topic = self.name()
        clients = {version: self.client(version=version) for version in (3, 4, 5)}
        for client in clients.values():
            client.subscribe(topic, 1)
        for version, client in clients.items():
            client.publish(topic, f"from {version}", 1)
            for other in clients.values():
                self.assertEqual(other.message().payload, f"from {version}".encode())

    @own_only("mosquitto ends the connection at the third repeat")
    def test_qos2_packets_exactly(self):
        """PUBREC, PUBREL, PUBCOMP carry the packet identifier; the same one again before PUBREL is one message."""
        for version in (4, 5):
            topic, publisher, subscriber = self.name(), self.client(version=version), self.client(version=version)
            subscriber.subscribe(topic, 2)
            for dup in (False, True, False):
                publisher.send(wire.publish(topic, b"once", 2, 77, dup=dup, version=version))
            for _ in range(3):
                self.assertEqual(publisher.expect(wire.PUBREC).packet_id, 77)
            publisher.send(wire.ack(wire.PUBREL, 77, version=version))
            self.assertEqual(publisher.expect(wire.PUBCOMP).packet_id, 77)
            self.assertEqual(subscriber.message().payload, b"once")
            subscriber.silent()

    def test_acknowledgements_in_order(self):
        """[MQTT-4.6.0-2] and -3: PUBACK and PUBREC in the order of the publishes."""
        publisher, topic = self.client(), self.name()
        self.client().subscribe(topic, 0)
        publisher.send(b"".join(wire.publish(topic, b"x", 1 + n % 2, 1 + n) for n in range(200)))
        for packet_type, first in ((wire.PUBACK, 1), (wire.PUBREC, 2)):
            got = [publisher.expect(packet_type).packet_id for _ in range(100)]
            self.assertEqual(got, list(range(first, 201, 2)))

    def test_no_matching_subscriber(self):
        publisher = self.client()
        self.assertIn(publisher.publish(self.name(), b"", 1), (0x00, 0x10))
        self.assertIn(publisher.publish(self.name(), b"", 2), (0x00, 0x10))

    def test_one_byte_per_segment(self):
        """A packet cut anywhere works as one sent whole."""
        client, topic = self.client(greet=False), self.name()
        stream = (wire.connect(self.name()) + wire.subscribe(1, [(topic, 2)]) + wire.publish(topic, b"cut", 2, 9)
                  + wire.ack(wire.PUBREL, 9))
        for byte in stream:
            client.send(bytes([byte]))
        client.expect(wire.CONNACK), client.expect(wire.SUBACK), client.expect(wire.PUBCOMP)
        self.assertEqual(client.message().payload, b"cut")

    def test_many_packets_in_one_segment(self):
        client, topic = self.client(greet=False), self.name()
        client.send(wire.connect(self.name()) + wire.subscribe(1, [(topic, 0)])
                    + b"".join(wire.publish(topic, b"%d" % n) for n in range(500)))
        client.expect(wire.CONNACK), client.expect(wire.SUBACK)
        self.assertEqual([int(m.payload) for m in client.messages(500)], list(range(500)))


@for_workers(1, 4)
class Payloads(BrokerTest):
    config = f"max_packet_size {32 * MIB}\nmemory_limit {512 * MIB}\n{ACCEPTED}"

    def test_empty(self):
        for version in (3, 4, 5):
            client, topic = self.client(version=version), self.name()
            client.subscribe(topic, 2)
            for qos in (0, 1, 2):
                client.publish(topic, b"", qos)
                self.assertEqual(client.message().payload, b"")

    def test_every_byte(self):
        subscriber, topic = self.paho(version=4), self.name()
        subscriber.subscribe(topic, 2)
        mosquitto_pub(self.port, "-t", topic, "-q", "2", "-s", stdin=bytes(range(256)))
        self.assertEqual(subscriber.message().payload, bytes(range(256)))

    def big(self, size, version):
        payload = os.urandom(1024) * (size // 1024)
        digest = hashlib.sha256(payload).digest()
        publisher, subscriber, topic = self.client(version=version), self.client(version=version), self.name()
        subscriber.subscribe(topic, 2)
        for qos in (0, 1, 2):
            publisher.publish(topic, payload, qos)
            self.assertEqual(hashlib.sha256(subscriber.message(30).payload).digest(), digest)

    def test_one_mebibyte(self):
        for version in (3, 4, 5):
            self.big(MIB, version)

    def test_ten_mebibytes(self):
        for version in (4, 5):
            self.big(10 * MIB, version)

    def test_one_mebibyte_paho_c(self):
        run_client([paho_c(), "big", str(self.port), "4", self.name()])

    def test_one_mebibyte_mqttjs(self):
        mqttjs("big", self.port, 5, self.name())


@for_workers(1, 4)
class Topics(BrokerTest):
    def arrivals(self, filters, topics):
        """Which topics reach a client with these filters."""
        subscriber, publisher, last = self.client(version=4), self.client(version=4), self.name("last")
        subscriber.subscribe([(f, 0) for f in filters] + [(last, 0)])
        for topic in topics:
            publisher.publish(topic, b"")
        publisher.publish(last, b"")
        got = []
        while True:
            topic = subscriber.message().topic
            if topic == last:
                return got
            got.append(topic)

    def test_wildcards(self):
        base = self.name()
        topics = [f"{base}{tail}" for tail in ("", "/", "/a", "/a/b", "/a/b/c", "//b", "/b")]
        table = {
            "/#": topics,
            "/+": [f"{base}{t}" for t in ("/", "/a", "/b")],
            "/+/b": [f"{base}{t}" for t in ("/a/b", "//b")],
            "/+/#": topics[1:],
            "/a/#": [f"{base}{t}" for t in ("/a", "/a/b", "/a/b/c")],
            "/+/+/+": [f"{base}/a/b/c"],
            "": [base],
        }
        for tail, wanted in table.items():
            with self.subTest(filter=tail):
                self.assertEqual(self.arrivals([base + tail], topics), wanted)

    def test_leading_wildcard_and_slash(self):
        leaf = self.name()
        self.assertEqual(self.arrivals([f"+/{leaf}"], [f"/{leaf}", f"a/{leaf}", leaf, f"a/b/{leaf}"]),
                         [f"/{leaf}", f"a/{leaf}"])

    def test_utf8(self):
        for topic in ("Grüße/日本語/Ω", "🌡️/внутри", "space in topic/ x", "\u00e9/e\u0301"):
            topic = f"{self.name()}/{topic}"
            subscriber = self.paho(version=5)
            subscriber.subscribe(topic, 1)
            mosquitto_pub(self.port, "-t", topic, "-m", "ü", "-q", "1", version=5)
            message = subscriber.message()
            self.assertEqual((message.topic, message.payload), (topic, "ü".encode()))

    def test_byte_order_mark_stays(self):
        """U+FEFF is not stripped [MQTT-1.5.4-3]."""
        client, topic = self.client(), self.name() + "/\ufeffx"
        client.subscribe(topic)
        client.publish(topic, b"")
        self.assertEqual(client.message().topic, topic)

    def test_longest_topic(self):
        for version in (4, 5):
            client, topic = self.client(version=version), self.name() + "/"
            topic += "x" * (65535 - len(topic))
            client.subscribe(topic, 1)
            client.publish(topic, b"long", 1)
            self.assertEqual((client.message().topic), topic)

    def test_deepest_topic_does_no_harm(self):
        """65,535 empty levels are carried or refused; the broker stays."""
        client, witness = self.client(), self.client()
        try:
            client.send(wire.publish("/" * 65535, b"deep", 1, 1) + wire.subscribe(2, [("+/" * 32767 + "+", 0)]))
            client.receive(10)
        except (wire.Closed, ConnectionError):
            pass
        witness.ping()

    @own_only("the stand-in answers with a closed connection only")
    def test_invalid_filters_are_refused(self):
        """[MQTT-4.7.1-1] to -3: the filter, or the connection, with 0x8F."""
        for bad in ("#/a", "a#", "a/#/b", "a+", "+a/b"):
            client = self.client()
            client.send(wire.subscribe(1, [(bad, 0)]))
            answer = client.receive()
            reasons = answer.reasons if answer.type == wire.SUBACK else [answer.reason]
            self.assertEqual((bad, reasons), (bad, [0x8F]))

    def test_dollar_topics_and_leading_wildcards(self):
        """[MQTT-4.7.2-1]: `#` and `+/...` match no topic that begins with `$`."""
        subscriber = self.client(version=4)
        subscriber.subscribe([("#", 0), ("+/broker/version", 0), ("+/+/clients/#", 0)])
        subscriber.ping()
        subscriber.publish("broker/version", b"plain")
        self.assertEqual(subscriber.message().payload, b"plain")
        topics = [packet.topic for packet in subscriber.kept if packet.type == wire.PUBLISH]
        self.assertEqual([topic for topic in topics if topic.startswith("$")], [])


@for_workers(1, 4)
class Sys(BrokerTest):
    config = "sys_interval 1"

    def test_version_is_retained(self):
        for version in (3, 4, 5):
            client = self.client(version=version)
            client.subscribe("$SYS/broker/version", 1)
            message = client.message()
            self.assertTrue(message.payload.decode().isprintable() and message.payload)
            self.assertEqual((message.topic, message.retain), ("$SYS/broker/version", 1))

    def test_connected_clients_are_counted(self):
        """Clients of other tests may still be counted when it begins: what is waited for is the number that stays."""
        watcher = self.client()
        watcher.subscribe("$SYS/broker/clients/connected")
        for count in (1, 6):
            while int(watcher.message(10).payload) != count:
                pass
            if count == 1:
                for _ in range(5):
                    self.client()

    def test_the_tree_is_mosquittos(self):
        client = self.client(version=4)
        client.subscribe("$SYS/broker/#")
        wanted = {"version", "uptime", "clients/connected", "clients/disconnected", "clients/total", "clients/maximum",
                  "clients/expired", "messages/received", "messages/sent", "publish/messages/received",
                  "publish/messages/sent", "publish/messages/dropped", "bytes/received", "bytes/sent",
                  "store/messages/count", "store/messages/bytes", "retained messages/count", "subscriptions/count"}
        seen = set()
        while not wanted <= seen:
            seen.add(client.message(10).topic.removeprefix("$SYS/broker/"))

    def test_clients_cannot_write_it(self):
        liar = self.client()
        try:
            liar.publish("$SYS/broker/version", b"false", 1, retain=True)
        except AssertionError:
            pass  # disconnected: as good
        reader = self.client(version=4)
        reader.subscribe("$SYS/broker/version")
        self.assertNotEqual(reader.message().payload, b"false")
