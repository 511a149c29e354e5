"""Sessions: clean start, expiry, resume, take-over, resend. Sections 3.1.2.4, 4.1 and 4.4 of MQTT 5.0."""

import time

from harness import STAND_IN, BrokerTest, MosquittoSub, for_workers, mosquitto_pub, mqttjs, own_only, paho_c, run_client
import wire

LASTING = [("session_expiry_interval", 300)]


@for_workers(1, 4)
class Sessions(BrokerTest):
    def lasting(self, client_id, version=5, clean=False, present=None, **args):
        """A client whose session outlives the connection."""
        if version == 5:
            args.setdefault("properties", LASTING)
        client = self.client(client_id, version=version, clean=clean, **args)
        if present is not None and version > 3:
            self.assertEqual(client.connack.session_present, present)
        return client

    def test_queue_in_order(self):
        for version in (3, 4, 5):
            for qos in (1, 2):
                client_id, topic = self.name(), self.name()
                client = self.lasting(client_id, version, present=0)
                client.subscribe(topic, qos)
                client.disconnect()
                publisher = self.client(version=version)
                for n in range(100):
                    publisher.publish(topic, b"%d" % n, qos)
                client = self.lasting(client_id, version, present=1)
                self.assertEqual([int(m.payload) for m in client.messages(100)], list(range(100)))
                client.silent(0.1)

    def test_every_library(self):
        for version in (3, 4, 5):
            run_client([paho_c(), "session", str(self.port), str(version), self.name()])
        for version in (4, 5):
            mqttjs("session", self.port, version, self.name())

    def test_mosquitto_sub_resumes(self):
        for version, extra in ((4, ()), (5, ("-x", "300"))):
            topic, flags = self.name(), ("-i", self.name(), "-c", "-q", "2", *extra)
            run_client(["mosquitto_sub", "-p", str(self.port), "-V", "mqttv5" if version == 5 else "mqttv311",
                        "-t", topic, "-E", *flags])
            for n in range(10):
                mosquitto_pub(self.port, "-t", topic, "-m", str(n), "-q", "2", version=version)
            subscriber = MosquittoSub(self.port, "-t", topic, *flags, version=version, count=10)
            self.addCleanup(subscriber.end)
            self.assertEqual(subscriber.finish(), [f"{topic}|2|0|{n}" for n in range(10)])

    def test_paho_python_resumes(self):
        for version in (4, 5):
            client_id, topic = self.name(), self.name()
            args = {"SessionExpiryInterval": 300} if version == 5 else {}
            client = self.paho(client_id, version=version, clean=False, **args)
            self.assertFalse(client.session_present)
            client.subscribe(topic, 2)
            client.cut()
            publisher = self.paho(version=version)
            for n in range(20):
                publisher.publish(topic, str(n), 2)
            client = self.paho(client_id, version=version, clean=False, **args)
            self.assertTrue(client.session_present)
            self.assertEqual([int(client.message().payload) for _ in range(20)], list(range(20)))

    def test_clean_start_discards(self):
        """[MQTT-3.1.2-4]"""
        for version in (3, 4, 5):
            client_id, topic = self.name(), self.name()
            client = self.lasting(client_id, version)
            client.subscribe(topic, 1)
            client.disconnect()
            self.client().publish(topic, b"queued", 1)
            self.lasting(client_id, version, clean=True, present=0).disconnect()
            client = self.lasting(client_id, version, present=1 if version == 5 else 0)
            self.client().publish(topic, b"later", 1)
            client.silent(0.2)

    def test_qos0_is_not_queued(self):
        client_id, topic = self.name(), self.name()
        client = self.lasting(client_id)
        client.subscribe(topic, 0)
        client.disconnect()
        self.client().publish(topic, b"x", 1)
        self.lasting(client_id, present=1).silent(0.2)

    def test_expiry(self):
        """0 ends with the connection; N after N seconds; DISCONNECT may change it, but not from 0."""
        ids = [self.name() for _ in range(4)]
        self.client(ids[0], properties=[("session_expiry_interval", 0)]).disconnect()
        self.client(ids[1], properties=[("session_expiry_interval", 1)]).disconnect()
        self.client(ids[2], properties=LASTING).disconnect()
        self.client(ids[3], properties=LASTING).disconnect(0, [("session_expiry_interval", 1)])
        time.sleep(2.2)
        for client_id, present in zip(ids, (0, 0, 1, 0)):
            client = self.client(client_id, clean=False, properties=LASTING)
            self.assertEqual((client_id, client.connack.session_present), (client_id, present))

    def test_expiry_cannot_rise_from_zero(self):
        client = self.client(properties=[("session_expiry_interval", 0)])
        client.send(wire.disconnect(0, 5, LASTING))
        self.assertIn(client.ended(), (0x82, None))

    @own_only("mosquitto ends the connection only")
    def test_expiry_cannot_rise_from_zero_is_told(self):
        """[MQTT-3.14.2-2]"""
        client = self.client(properties=[("session_expiry_interval", 0)])
        client.send(wire.disconnect(0, 5, LASTING))
        self.assertEqual(client.ended(), 0x82)

    def test_take_over(self):
        """[MQTT-3.1.4-3]: the old connection ends, with 0x8E in 5.0; the session goes on."""
        for version in (3, 4, 5):
            client_id, topic = self.name(), self.name()
            old = self.lasting(client_id, version)
            old.subscribe(topic, 1)
            new = self.lasting(client_id, version, present=1)
            if version == 5 and not STAND_IN:  # mosquitto 2.0.11 closes without a word
                self.assertEqual(old.ended(), 0x8E)
            else:
                self.assertIsNone(old.ended())
            self.client().publish(topic, b"to the new one", 1)
            self.assertEqual(new.message().payload, b"to the new one")

    def test_take_over_again_and_again(self):
        client_id, topic = self.name(), self.name()
        self.lasting(client_id).subscribe(topic, 1)
        for _ in range(50):
            last = self.lasting(client_id, present=1)
        self.client().publish(topic, b"x", 1)
        self.assertEqual(last.message().payload, b"x")
        last.silent(0.2)

    def test_unacknowledged_publish_again(self):
        """[MQTT-4.4.0-1], [MQTT-3.3.1-1]: same packet identifier, DUP, in the old order."""
        for version in (4, 5):
            for qos in (1, 2):
                client_id, topic = self.name(), self.name()
                client = self.lasting(client_id, version)
                client.subscribe(topic, qos)
                publisher = self.client()
                for n in range(5):
                    publisher.publish(topic, b"%d" % n, qos)
                first = [client.expect(wire.PUBLISH) for _ in range(5)]
                self.assertEqual([m.dup for m in first], [0] * 5)
                client.cut()
                client = self.lasting(client_id, version, present=1)
                again = [client.expect(wire.PUBLISH) for _ in range(5)]
                self.assertEqual([(m.dup, m.packet_id, m.payload) for m in again],
                                 [(1, m.packet_id, m.payload) for m in first])
                for message in again:
                    client.accept(message)
                client.disconnect()
                self.lasting(client_id, version, present=1).silent(0.2)

    def test_take_over_sends_again(self):
        client_id, topic = self.name(), self.name()
        client = self.lasting(client_id)
        client.subscribe(topic, 1)
        self.client().send(wire.publish(topic, b"x", 1, 1))
        first = client.expect(wire.PUBLISH)
        again = self.lasting(client_id, present=1).message()
        self.assertEqual((again.dup, again.packet_id), (1, first.packet_id))

    def test_pubrel_again_after_pubrec(self):
        """After PUBREC the message is never sent again; PUBREL is [MQTT-4.4.0-1]."""
        for version in (4, 5):
            client_id, topic = self.name(), self.name()
            client = self.lasting(client_id, version)
            client.subscribe(topic, 2)
            self.client().publish(topic, b"x", 2)
            message = client.expect(wire.PUBLISH)
            client.send(wire.ack(wire.PUBREC, message.packet_id, version=version))
            self.assertEqual(client.expect(wire.PUBREL).packet_id, message.packet_id)
            client.cut()
            client = self.lasting(client_id, version, present=1)
            release = client.receive()
            self.assertEqual((release.type, release.flags, release.packet_id), (wire.PUBREL, 2, message.packet_id))
            client.send(wire.ack(wire.PUBCOMP, message.packet_id, version=version))
            client.disconnect()
            self.lasting(client_id, version, present=1).silent(0.2)

    def test_inbound_qos2_over_reconnect(self):
        """The publisher's identifier stays open over a reconnect: a resend is no second message."""
        for version in (4, 5):
            client_id, topic = self.name(), self.name()
            subscriber = self.client()
            subscriber.subscribe(topic, 2)
            client = self.lasting(client_id, version)
            client.send(wire.publish(topic, b"once", 2, 5, version=version))
            client.expect(wire.PUBREC)
            client.cut()
            client = self.lasting(client_id, version, present=1)
            client.send(wire.publish(topic, b"once", 2, 5, dup=True, version=version))
            self.assertEqual(client.expect(wire.PUBREC).packet_id, 5)
            client.send(wire.ack(wire.PUBREL, 5, version=version))
            client.expect(wire.PUBCOMP)
            self.assertEqual(subscriber.message().payload, b"once")
            subscriber.silent(0.2)

    def test_nothing_is_sent_again_while_connected(self):
        """[MQTT-4.4.0-1]: only a reconnect sends again."""
        client, topic = self.client(), self.name()
        client.subscribe(topic, 1)
        client.send(wire.publish(topic, b"x", 1, 1))
        client.expect(wire.PUBLISH)
        client.expect(wire.PUBACK, 3)
        client.silent(1.5)

    def test_unsubscribe(self):
        client, topic = self.client(), self.name()
        client.subscribe(topic, 1)
        self.assertEqual(client.unsubscribe(topic).reasons, [0])
        self.assertEqual(client.unsubscribe(topic, "never/there").reasons, [0x11, 0x11])
        self.client().publish(topic, b"x", 1)
        client.silent(0.2)

    def test_assigned_client_identifier(self):
        """[MQTT-3.1.3-6] and -7: unique, told, and usable."""
        first, second = self.client(""), self.client("", properties=LASTING)
        names = [c.connack.get("assigned_client_identifier") for c in (first, second)]
        self.assertTrue(all(names))
        self.assertNotEqual(*names)
        second.disconnect()
        self.assertEqual(self.lasting(names[1]).connack.session_present, 1)
        self.assertIsNone(self.client("named").connack.get("assigned_client_identifier"))

    def test_empty_client_identifier_in_3_1_1(self):
        self.client("", version=4, clean=True)
        refused = self.client("", version=4, clean=False, expect=2)  # [MQTT-3.1.3-8]
        self.assertIsNone(refused.ended())

    def test_paho_python_and_empty_client_identifier(self):
        client = self.paho("", version=4)
        client.subscribe(self.name(), 0)

    def test_second_connect(self):
        """[MQTT-3.1.0-2]"""
        for version in (4, 5):
            client = self.client(version=version)
            client.send(wire.connect("again", version=version))
            self.assertIn(client.ended(), (0x82, None))

    def test_first_packet_must_be_connect(self):
        """[MQTT-3.1.0-1]: closed, and nothing is answered."""
        for packet in (wire.frame(wire.PINGREQ, 0), wire.publish("a", b"b"), b"\x00\x00", b"\xff\xff\xff\xff\x7f"):
            client = self.client(greet=False)
            client.send(packet)
            self.assertIsNone(client.ended())

    def test_unknown_protocol_level(self):
        for level in (1, 6, 127):
            packet = bytearray(wire.connect("level", version=4))
            packet[8] = level
            client = wire.Client(self.port, version=4, greet=False)
            self.addCleanup(client.cut)
            client.send(bytes(packet))
            try:
                data = client.socket.recv(100)
            except ConnectionError:
                data = b""
            # 3.1.1 says return code 1, 5.0 reason code 0x84; closing is allowed.
            self.assertIn(data[:4] and data[3:4], (b"", b"\x01", b"\x84"))
