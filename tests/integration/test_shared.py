"""Shared subscriptions: section 4.8.2 of MQTT 5.0."""

import collections
import time

from harness import ACCEPTED, BrokerTest, for_workers, mqttjs, own_only, paho_c, run_client
import wire

LASTING = [("session_expiry_interval", 300)]


@for_workers(1, 4)
class Shared(BrokerTest):
    config = ACCEPTED

    def drain(self, members, count):
        """Reads `count` messages over all members; gives the payloads of each."""
        got, end = collections.defaultdict(list), time.monotonic() + 10
        while sum(map(len, got.values())) < count:
            self.assertLess(time.monotonic(), end, dict(got))
            for member in members:
                try:
                    got[member].append(int(member.message(0.02).payload))
                except AssertionError:
                    continue
        return [got[member] for member in members]

    def send(self, topic, count, qos=1):
        publisher = self.client()
        for n in range(count):
            publisher.publish(topic, b"%d" % n, qos)

    def test_each_message_once_and_balanced(self):
        for qos in (0, 1, 2):
            topic = self.name()
            members = [self.client() for _ in range(4)]
            for member in members:
                member.subscribe(f"$share/g/{topic}", qos)
            self.send(topic, 80, qos)
            shares = self.drain(members, 80)
            self.assertEqual(sorted(sum(shares, [])), list(range(80)))
            for share in shares:
                self.assertGreaterEqual(len(share), 10)  # 20 each when fair
                self.assertEqual(share, sorted(share))
            for member in members:
                member.silent(0.05)

    def test_other_libraries(self):
        for version in (4, 5):
            run_client([paho_c(), "shared", str(self.port), str(version), self.name()])
            mqttjs("shared", self.port, version, self.name())

    def test_groups_and_plain_are_apart(self):
        topic = self.name()
        one, two, plain = self.client(), self.client(), self.client()
        one.subscribe(f"$share/a/{topic}", 1)
        two.subscribe(f"$share/b/{topic}", 1)
        plain.subscribe(topic, 1)
        self.send(topic, 5)
        for client in (one, two, plain):
            self.assertEqual([int(m.payload) for m in client.messages(5)], list(range(5)))
            client.silent(0.05)

    def test_plain_and_shared_in_one_client(self):
        """Both subscriptions deliver; unsubscribing one leaves the other."""
        client, topic = self.client(), self.name()
        client.subscribe(topic, 1)
        client.subscribe(f"$share/g/{topic}", 1)
        self.send(topic, 1)
        client.messages(2)
        client.unsubscribe(topic)
        self.send(topic, 1)
        client.message()
        client.silent(0.1)
        client.unsubscribe(f"$share/g/{topic}")
        self.send(topic, 1)
        client.silent(0.1)

    @own_only("mosquitto queues for the absent member")
    def test_offline_member_is_skipped(self):
        topic, away_id = self.name(), self.name()
        here, away = self.client(), self.client(away_id, properties=LASTING)
        for client in (here, away):
            client.subscribe(f"$share/g/{topic}", 1)
        away.disconnect()
        self.send(topic, 20)
        self.assertEqual([int(m.payload) for m in here.messages(20)], list(range(20)))
        away = self.client(away_id, clean=False, properties=LASTING)
        self.assertEqual(away.connack.session_present, 1)
        away.silent(0.2)

    def test_returning_member_gets_its_share_again(self):
        topic, away_id = self.name(), self.name()
        here, away = self.client(), self.client(away_id, properties=LASTING)
        for client in (here, away):
            client.subscribe(f"$share/g/{topic}", 1)
        away.disconnect()
        away = self.client(away_id, clean=False, properties=LASTING)
        self.send(topic, 20)
        shares = self.drain([here, away], 20)
        self.assertTrue(all(shares), shares)

    def test_last_member_away_queues(self):
        topic, away_id = self.name(), self.name()
        away = self.client(away_id, properties=LASTING)
        away.subscribe(f"$share/g/{topic}", 1)
        away.disconnect()
        self.send(topic, 5)
        away = self.client(away_id, clean=False, properties=LASTING)
        self.assertEqual([int(m.payload) for m in away.messages(5)], list(range(5)))

    @own_only("mosquitto keeps them for the member that is gone")
    def test_unacknowledged_goes_to_another_when_the_session_ends(self):
        """Section 4.8.2: an unfinished QoS 1 message of a session that ended should go to another member."""
        topic = self.name()
        dying, staying = self.client(), self.client()
        dying.subscribe(f"$share/g/{topic}", 1)
        self.send(topic, 1)
        dying.expect(wire.PUBLISH)
        staying.subscribe(f"$share/g/{topic}", 1)
        dying.cut()
        self.assertEqual(staying.message().payload, b"0")

    def test_wildcards_and_identifiers(self):
        topic, client = self.name(), self.client()
        client.subscribe(f"$share/g/{topic}/+/x", 1, identifier=9)
        self.send(f"{topic}/a/x", 1)
        message = client.message()
        self.assertEqual((message.topic, message.all("subscription_identifier")), (f"{topic}/a/x", [9]))

    @own_only("mosquitto ends the connection instead, and accepts some")
    def test_invalid_filters(self):
        """[MQTT-4.8.2-1] and -2"""
        for bad in ("$share/", "$share/g", "$share//t", "$share/g/", "$share/g+/t", "$share/#/t"):
            client = self.client()
            client.send(wire.subscribe(1, [(bad, 0)]))
            answer = client.receive()
            reasons = answer.reasons if answer.type == wire.SUBACK else [answer.reason]
            self.assertEqual((bad, reasons), (bad, [0x8F]))
