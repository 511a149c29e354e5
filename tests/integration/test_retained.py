"""Retained messages: section 3.3.1.3 of MQTT 5.0."""

import time

from harness import ACCEPTED, BrokerTest, for_workers, mosquitto_pub, MosquittoSub, mqttjs, own_only, paho_c, run_client


@for_workers(1, 4)
class Retained(BrokerTest):
    config = ACCEPTED

    def read(self, topic, version=5, qos=2, **options):
        """What a new subscriber gets at once: [(payload, QoS, retain)]."""
        client, last = self.client(version=version), self.name("last")
        client.subscribe(last)
        client.subscribe(topic, qos, **options)
        time.sleep(0.1)  # retained messages may come from another worker
        client.publish(last, b"")
        got = []
        while True:
            message = client.message()
            if message.topic == last:
                return got
            got.append((message.payload, message.qos, message.retain))

    def test_set_replace_clear(self):
        for version in (3, 4, 5):
            topic = self.name()
            mosquitto_pub(self.port, "-t", topic, "-m", "first", "-r", "-q", "1", version=version)
            self.assertEqual(self.read(topic, version), [(b"first", 1, 1)])
            mosquitto_pub(self.port, "-t", topic, "-m", "second", "-r", "-q", "2", version=version)
            self.assertEqual(self.read(topic, version), [(b"second", 2, 1)])
            mosquitto_pub(self.port, "-t", topic, "-n", "-r", "-q", "1", version=version)
            self.assertEqual(self.read(topic, version), [])

    def test_every_library(self):
        for version in (4, 5):
            run_client([paho_c(), "retained", str(self.port), str(version), self.name()])
            mqttjs("retained", self.port, version, self.name())

    def test_delivered_qos_is_the_smaller(self):
        publisher = self.client()
        for published in (0, 1, 2):
            topic = self.name()
            publisher.publish(topic, b"r", published, retain=True)
            publisher.ping()
            for granted in (0, 1, 2):
                self.assertEqual(self.read(topic, qos=granted), [(b"r", min(published, granted), 1)])

    def test_live_message_has_no_retain_flag(self):
        """[MQTT-3.3.1-12]: with Retain As Published 0 the flag is cleared; [MQTT-3.3.1-13] with 1 it is kept."""
        plain, kept, publisher, topic = self.client(), self.client(), self.client(), self.name()
        plain.subscribe(topic, 1)
        kept.subscribe(topic, 1, retain_as_published=True)
        for flag in (True, False):
            publisher.publish(topic, b"live", 1, retain=flag)
            self.assertEqual(plain.message().retain, 0)
            self.assertEqual(kept.message().retain, int(flag))

    def test_retain_handling(self):
        """[MQTT-3.3.1-9] to -11: 0 always, 1 only for a new subscription, 2 never."""
        topic = self.name()
        self.client().publish(topic, b"r", 1, retain=True)
        for handling, first, again in ((0, 1, 1), (1, 1, 0), (2, 0, 0)):
            client = self.client()
            for wanted in (first, again):
                client.subscribe(topic, 1, retain_handling=handling)
                if wanted:
                    self.assertEqual(client.message().payload, b"r")
                client.silent(0.2)

    def test_subscribing_again_replaces_and_sends_again(self):
        """[MQTT3-3.8.4-3]"""
        client, topic = self.client(version=4), self.name()
        client.publish(topic, b"r", 1, retain=True)
        for qos in (0, 1):
            client.subscribe(topic, qos)
            self.assertEqual(client.message().qos, qos)
        client.publish(topic, b"live", 1)
        self.assertEqual(client.message().qos, 1)
        client.silent(0.2)

    def test_wildcards_gather(self):
        base, publisher = self.name(), self.client()
        for n in range(50):
            publisher.publish(f"{base}/{n % 5}/{n}", b"%d" % n, 1, retain=True)
        for topic_filter, wanted in ((f"{base}/#", range(50)), (f"{base}/3/+", range(3, 50, 5)), (f"{base}/+", ())):
            got = sorted(int(payload) for payload, _, _ in self.read(topic_filter, qos=0))
            self.assertEqual(got, list(wanted))

    def test_dollar_retained_not_under_wildcard(self):
        self.assertEqual(self.read("+/broker/version"), [])

    @own_only("mosquitto 2.0.11 sends them")
    def test_shared_subscription_gets_none(self):
        """Section 4.8.2: no retained messages at a shared subscription."""
        topic = self.name()
        self.client().publish(topic, b"r", 1, retain=True)
        self.assertEqual(self.read(f"$share/g/{topic}"), [])

    def test_expiry(self):
        topic, publisher = self.name(), self.client()
        publisher.publish(topic, b"short", 1, retain=True, properties=[("message_expiry_interval", 2)])
        early = self.client()
        early.subscribe(topic, 1)
        self.assertIn(early.message().get("message_expiry_interval"), (1, 2))
        time.sleep(2.2)
        self.assertEqual(self.read(topic), [])

    def test_properties_are_kept(self):
        topic = self.name()
        wanted = [("content_type", "text/plain"), ("user_property", ("a", "1")), ("user_property", ("a", "2"))]
        self.client().publish(topic, b"r", 1, retain=True, properties=wanted)
        client = self.client()
        client.subscribe(topic, 1, identifier=7)
        message = client.message()
        self.assertEqual(sorted(map(str, message.properties)),
                         sorted(map(str, wanted + [("subscription_identifier", 7)])))
        self.assertEqual(message.all("user_property"), [("a", "1"), ("a", "2")])

    def test_mosquitto_sub_sees_the_flag(self):
        topic = self.name()
        mosquitto_pub(self.port, "-t", topic, "-m", "r", "-r", "-q", "1")
        subscriber = MosquittoSub(self.port, "-t", topic, "-q", "1", count=1)
        self.addCleanup(subscriber.end)
        self.assertEqual(subscriber.finish(), [f"{topic}|1|1|r"])

    def test_retain_survives_its_publisher(self):
        topic, publisher = self.name(), self.client(version=4)
        publisher.publish(topic, b"r", 0, retain=True)
        publisher.disconnect()
        self.assertEqual(self.read(topic), [(b"r", 0, 1)])
