"""Will messages: sections 3.1.2.5 and 3.1.3.2 of MQTT 5.0."""

import time

from harness import BrokerTest, for_workers, mqttjs, own_only, paho_c, run_client
import wire
from wire import Will

LATE_S = 0.1  # what the product promises
SCHEDULING_S = 0.15  # what a busy test machine may add on top


@for_workers(1, 4)
class Wills(BrokerTest):
    def watcher(self, topic, version=5, qos=2):
        client = self.client(version=version)
        client.subscribe(topic, qos, **({"retain_as_published": True} if version == 5 else {}))
        return client

    def test_socket_death(self):
        for version in (3, 4, 5):
            for qos in (0, 1, 2):
                topic = self.name()
                watcher = self.watcher(topic, version)
                self.client(version=version, will=Will(topic, b"\x00gone", qos)).cut()
                message = watcher.message()
                self.assertEqual((message.payload, message.qos, message.retain), (b"\x00gone", qos, 0))

    def test_every_library(self):
        for version in (3, 4, 5):
            run_client([paho_c(), "will", str(self.port), str(version), self.name()])
        for version in (4, 5):
            mqttjs("will", self.port, version, self.name())
        for version in (4, 5):
            topic = self.name()
            watcher = self.paho(version=version)
            watcher.subscribe(topic, 1)
            self.paho(version=version, will={"topic": topic, "payload": "py", "qos": 1}).cut()
            self.assertEqual(watcher.message().payload, b"py")

    def test_none_on_disconnect(self):
        """[MQTT-3.14.4-3]"""
        for version in (3, 4, 5):
            topic = self.name()
            watcher = self.watcher(topic, version)
            self.client(version=version, will=Will(topic, b"gone")).disconnect()
            watcher.silent()

    def test_disconnect_with_will(self):
        topic = self.name()
        watcher = self.watcher(topic)
        self.client(will=Will(topic, b"asked for", 1)).disconnect(0x04)
        self.assertEqual(watcher.message().payload, b"asked for")

    @own_only("mosquitto drops the will here")
    def test_protocol_error_publishes_it(self):
        topic = self.name()
        watcher = self.watcher(topic)
        client = self.client(will=Will(topic, b"gone", 1))
        client.send(wire.connect("again"))  # [MQTT-3.1.0-2]
        client.ended()
        self.assertEqual(watcher.message().payload, b"gone")

    def test_empty_payload(self):
        topic = self.name()
        watcher = self.watcher(topic)
        self.client(will=Will(topic, b"", 1)).cut()
        self.assertEqual(watcher.message().payload, b"")

    def test_retained(self):
        """[MQTT-3.1.2-14] and -15: the flag decides, and only then a later subscriber gets it."""
        for retain in (True, False):
            topic = self.name()
            watcher = self.watcher(topic)
            self.client(will=Will(topic, b"gone", 1, retain)).cut()
            self.assertEqual(watcher.message().retain, int(retain))
            late = self.watcher(topic)
            if retain:
                self.assertEqual(late.message().retain, 1)
            late.silent(0.2)

    def test_properties(self):
        topic = self.name()
        watcher = self.watcher(topic)
        sent = [("payload_format_indicator", 1), ("message_expiry_interval", 100), ("content_type", "text/plain"),
                ("response_topic", "back"), ("correlation_data", b"\x00\x01"), ("user_property", ("k", "2")),
                ("user_property", ("k", "1"))]
        self.client(will=Will(topic, b"gone", 1, properties=sent)).cut()
        message = watcher.message()
        for name in ("payload_format_indicator", "content_type", "response_topic", "correlation_data"):
            self.assertEqual(message.get(name), dict(sent)[name])
        self.assertEqual(message.all("user_property"), [("k", "2"), ("k", "1")])
        self.assertIn(message.get("message_expiry_interval"), (99, 100))
        self.assertIsNone(message.get("will_delay_interval"))

    @own_only("mosquitto drops the will here")
    def test_take_over_publishes_it(self):
        """Clean start ends the old session, and with it any delay."""
        topic, client_id = self.name(), self.name()
        watcher = self.watcher(topic)
        for properties in (None, [("will_delay_interval", 100)]):
            self.client(client_id, will=Will(topic, b"gone", 1, properties=properties))
            self.client(client_id)
            self.assertEqual(watcher.message().payload, b"gone")

    def test_no_client_no_will_from_refused_connect(self):
        topic = self.name()
        watcher = self.watcher(topic)
        self.client(expect=0x8C, will=Will(topic, b"gone"), properties=[("authentication_method", "none")])
        watcher.silent()

    def test_reconnect_within_the_delay_cancels(self):
        """[MQTT-3.1.3-9]"""
        topic, client_id = self.name(), self.name()
        watcher = self.watcher(topic)
        lasting = [("session_expiry_interval", 60)]
        will = Will(topic, b"gone", 1, properties=[("will_delay_interval", 1)])
        self.client(client_id, will=will, properties=lasting).cut()
        time.sleep(0.3)
        back = self.client(client_id, clean=False, properties=lasting)
        self.assertEqual(back.connack.session_present, 1)
        watcher.silent(1.4)

    def test_take_over_within_the_delay_cancels(self):
        topic, client_id = self.name(), self.name()
        watcher = self.watcher(topic)
        lasting = [("session_expiry_interval", 60)]
        self.client(client_id, will=Will(topic, b"gone", 1, properties=[("will_delay_interval", 1)]), properties=lasting)
        self.client(client_id, clean=False, properties=lasting)
        watcher.silent(1.4)

    @own_only("mosquitto keeps the delay")
    def test_disconnect_expiry_zero_ends_the_delay(self):
        topic = self.name()
        watcher = self.watcher(topic)
        client = self.client(will=Will(topic, b"gone", 1, properties=[("will_delay_interval", 100)]),
                             properties=[("session_expiry_interval", 100)])
        client.disconnect(0x04, [("session_expiry_interval", 0)])
        self.assertEqual(watcher.message(2).payload, b"gone")


class WillTiming(BrokerTest):
    alone = True

    def wait_for_will(self, delay_s, expiry_s):
        topic = self.name()
        watcher = self.client()
        watcher.subscribe(topic, 1)
        client = self.client(will=Will(topic, b"gone", 1, properties=[("will_delay_interval", delay_s)]),
                             properties=[("session_expiry_interval", expiry_s)])
        client.ping()
        began = time.monotonic()
        client.cut()
        watcher.message(10)
        return time.monotonic() - began

    @own_only("mosquitto counts delays in whole seconds")
    def test_delay_is_kept(self):
        """Never early, and at most 100 ms late."""
        for delay_s, expiry_s, wanted in ((1, 100, 1.0), (2, 100, 2.0), (100, 1, 1.0), (1, 0, 0.0)):
            with self.subTest(delay=delay_s, expiry=expiry_s):
                took = self.wait_for_will(delay_s, expiry_s)
                self.assertGreaterEqual(took, wanted)
                self.assertLessEqual(took, wanted + LATE_S + SCHEDULING_S)

    @own_only("mosquitto looks once every few seconds")
    def test_keep_alive(self):
        """[MQTT-3.1.2-22]: no packet for one and a half times the keep alive ends the connection, with 0x8D."""
        for version in (3, 4, 5):
            topic = self.name()
            watcher = self.client()
            watcher.subscribe(topic, 1)
            began = time.monotonic()
            client = self.client(version=version, keep_alive=1, will=Will(topic, b"gone", 1))
            self.assertEqual(client.ended(5), 0x8D if version == 5 else None)
            took = time.monotonic() - began
            self.assertGreaterEqual(took, 1.5)
            self.assertLessEqual(took, 1.9)
            self.assertEqual(watcher.message(1).payload, b"gone")

    @own_only("as above")
    def test_half_a_packet_does_not_keep_alive(self):
        client = self.client(keep_alive=1)
        began = time.monotonic()
        for byte in wire.publish("half", b"x" * 50)[:8]:
            client.send(bytes([byte]))
            time.sleep(0.1)
        self.assertEqual(client.ended(5), 0x8D)
        self.assertLess(time.monotonic() - began, 2.0)

    def test_ping_and_publish_keep_alive(self):
        client = self.client(keep_alive=1)
        for _ in range(3):
            time.sleep(0.9)
            client.ping()
        for _ in range(2):
            time.sleep(0.9)
            client.publish("alive", b"", 1)
