"""`ack_when delivered`: who may hold a publisher's acknowledgement, for how long, and what never waits."""

import contextlib
import select
import time
import unittest

from harness import BrokerTest, for_workers, own_only
import wire
from wire import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL

SOON_S = 2.0            # what a busy machine may take; far less than a hold
HOLD_S = 1.0            # where holds are measured
SLACK_S = 0.6           # what the machine may add there, where nothing else runs
LASTING = [("session_expiry_interval", 300)]
ANSWER = {1: PUBACK, 2: PUBREC}


@contextlib.contextmanager
def took():
    """A list that gets the seconds."""
    began, seconds = time.monotonic(), []
    yield seconds
    seconds.append(time.monotonic() - began)


class Held(BrokerTest):
    abstract = True
    config = "ack_when delivered\nack_hold_max 8"

    def subscriber(self, topic, qos=2, **args):
        """One that acknowledges when it is told to only."""
        client = self.client(**args)
        client.subscribe(topic, qos)
        return client

    def send(self, client, topic, qos, packet_id, payload=b"m", dup=False):
        client.send(wire.publish(topic, payload, qos, packet_id, dup=dup, version=client.version))

    def answered(self, client, qos, packet_id, timeout=10):
        answer = client.expect(ANSWER[qos], timeout)
        self.assertEqual((answer.packet_id, answer.reason < 0x80), (packet_id, True))

    def release(self, client, packet_id):
        client.send(wire.ack(PUBREL, packet_id, version=client.version))
        self.assertEqual(client.expect(PUBCOMP).packet_id, packet_id)

    def take(self, client, payload=b"m", **fields):
        """The next PUBLISH, not acknowledged."""
        message = client.expect(PUBLISH)
        self.assertEqual(message.payload, payload)
        for name, value in fields.items():
            self.assertEqual((name, getattr(message, name)), (name, value))
        return message


@own_only("it acknowledges what it has accepted")
@for_workers(1, 4)
class WhatNeverWaits(Held):
    def held(self, qos):
        """A publisher whose message 1 a subscriber holds; both, and the topic."""
        topic = self.name()
        silent, publisher = self.subscriber(topic), self.client()
        self.send(publisher, topic, qos, 1)
        self.take(silent)
        return publisher, silent, topic

    def test_it_is_held_until_the_subscriber_acknowledges(self):
        for qos in (1, 2):
            publisher, silent, topic = self.held(qos)
            publisher.silent(0.3)
            silent.send(wire.ack(ANSWER[qos], 1))
            self.answered(publisher, qos, 1, SOON_S)

    def test_any_reason_code_takes_it_over(self):
        for qos in (1, 2):
            publisher, silent, topic = self.held(qos)
            silent.send(wire.ack(ANSWER[qos], 1, 0x83))
            self.answered(publisher, qos, 1, SOON_S)

    def test_pingreq(self):
        for qos in (1, 2):
            publisher, _, topic = self.held(qos)
            for _ in range(5):
                with took() as seconds:
                    publisher.ping()
                self.assertLess(seconds[0], SOON_S)
            self.assertEqual([p.type for p in publisher.kept], [], "it was not held any more")

    def test_other_packets(self):
        publisher, _, topic = self.held(1)
        with took() as seconds:
            publisher.subscribe(self.name(), 1)
            publisher.publish(self.name(), b"zero", 0)
            self.assertEqual(publisher.unsubscribe("none").reasons, [0x11])
        self.assertLess(seconds[0], SOON_S)
        self.assertFalse(publisher.kept)

    def test_qos_1_and_2_do_not_wait_for_each_other(self):
        for held, free in ((1, 2), (2, 1)):
            publisher, _, topic = self.held(held)
            self.send(publisher, self.name(), free, 2)
            self.answered(publisher, free, 2, SOON_S)
            self.assertFalse(publisher.kept)

    def test_qos_0_subscribers_never_hold(self):
        topic = self.name()
        low, publisher = self.subscriber(topic, 0), self.client()
        with took() as seconds:
            publisher.publish(topic, b"m", 1)
            publisher.publish(topic, b"m", 2)
        self.assertLess(seconds[0], SOON_S)
        self.assertEqual([low.message().qos for _ in range(2)], [0, 0])

    def test_who_is_away_never_holds(self):
        topic, name = self.name(), self.name()
        self.subscriber(topic, client_id=name, clean=False, properties=LASTING).disconnect()
        publisher = self.client()
        with took() as seconds:
            publisher.publish(topic, b"one", 1)
            publisher.publish(topic, b"two", 2)
        self.assertLess(seconds[0], SOON_S)
        back = self.client(name, clean=False, properties=LASTING)
        self.assertEqual([m.payload for m in back.messages(2)], [b"one", b"two"])

    def test_the_own_copy_of_qos_1_precedes_its_puback(self):
        topic = self.name()
        client = self.subscriber(topic)
        self.send(client, topic, 1, 1)
        self.assertEqual([client.receive(SOON_S).type for _ in range(2)], [PUBLISH, PUBACK])

    def test_the_pubrec_precedes_the_own_copy_of_qos_2(self):
        topic = self.name()
        client = self.subscriber(topic)
        self.send(client, topic, 2, 1)
        self.assertEqual([client.receive(SOON_S).type for _ in range(2)], [PUBREC, PUBLISH])

    def test_the_own_copy_does_not_excuse_others(self):
        for qos in (1, 2):
            topic = self.name()
            client, other = self.subscriber(topic), self.subscriber(topic)
            self.send(client, topic, qos, 1)
            self.take(other)
            before = [p.type for p in self.packets(client, 0.3)]
            self.assertNotIn(ANSWER[qos], before)
            other.send(wire.ack(ANSWER[qos], 1))
            self.answered(client, qos, 1, SOON_S)

    @staticmethod
    def packets(client, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                yield client.receive(end - time.monotonic())
            except TimeoutError:
                return


@own_only("it acknowledges what it has accepted")
@for_workers(1, 4)
class Order(Held):
    def test_acknowledgements_leave_as_the_publishes_came(self):
        for qos in (1, 2):
            held, free = self.name(), self.name()
            silent, publisher = self.subscriber(held), self.client()
            topics = [held, free, free, held, free]
            for packet_id, topic in enumerate(topics, 11):
                self.send(publisher, topic, qos, packet_id)
            first, second = self.take(silent), self.take(silent)
            publisher.silent(0.2)
            silent.send(wire.ack(ANSWER[qos], second.packet_id))
            publisher.silent(0.2)
            silent.send(wire.ack(ANSWER[qos], first.packet_id))
            for packet_id in range(11, 16):
                self.answered(publisher, qos, packet_id, SOON_S)

    def test_with_many_subscribers_that_answer_in_any_order(self):
        for qos in (1, 2):
            topics = [self.name() for _ in range(6)]
            subscribers, publisher = [self.subscriber(topic) for topic in topics], self.client()
            for packet_id in range(1, 61):
                self.send(publisher, topics[packet_id * 7 % 6], qos, packet_id)
            for subscriber in reversed(subscribers):
                for _ in range(10):
                    subscriber.send(wire.ack(ANSWER[qos], subscriber.expect(PUBLISH).packet_id))
            for packet_id in range(1, 61):
                self.answered(publisher, qos, packet_id, SOON_S)


@own_only("it acknowledges what it has accepted")
@for_workers(1, 4)
class SameIdentifier(Held):
    """While an acknowledgement is held, its packet identifier is the same message. MQTT.js sends again with DUP 0, and
    libmosquitto sends first with DUP 1."""

    def one_copy_only(self, silent, publisher, topic, qos):
        """The subscriber has one copy: what comes next is a later message."""
        self.send(publisher, topic, qos, 99, b"later")
        self.take(silent, b"later")

    def test_on_the_same_connection(self):
        for qos in (1, 2):
            for flags in ((False, True), (False, False), (True, False), (True, True)):
                topic = self.name()
                silent, publisher = self.subscriber(topic), self.client()
                for dup in flags:
                    self.send(publisher, topic, qos, 7, dup=dup)
                message = self.take(silent)
                self.one_copy_only(silent, publisher, topic, qos)
                silent.send(wire.ack(ANSWER[qos], message.packet_id))
                self.answered(publisher, qos, 7, SOON_S)

    def test_on_the_next_connection(self):
        for qos in (1, 2):
            for dup in (False, True):
                topic, name = self.name(), self.name()
                silent = self.subscriber(topic)
                self.send(self.client(name, clean=False, properties=LASTING), topic, qos, 7)
                message = self.take(silent)
                publisher = self.client(name, clean=False, properties=LASTING)  # takes over
                self.send(publisher, topic, qos, 7, dup=dup)
                self.one_copy_only(silent, publisher, topic, qos)
                silent.send(wire.ack(ANSWER[qos], message.packet_id))
                self.answered(publisher, qos, 7, SOON_S)

    def test_nothing_is_answered_before_it_is_sent_again(self):
        """The acknowledgement leaves on a connection that carried the PUBLISH only."""
        for qos in (1, 2):
            topic, name = self.name(), self.name()
            silent = self.subscriber(topic)
            self.send(self.client(name, clean=False, properties=LASTING), topic, qos, 7)
            message = self.take(silent)
            publisher = self.client(name, clean=False, properties=LASTING)
            silent.send(wire.ack(ANSWER[qos], message.packet_id))
            publisher.silent(0.3)
            self.send(publisher, topic, qos, 7, dup=True)
            self.answered(publisher, qos, 7, SOON_S)
            self.one_copy_only(silent, publisher, topic, qos)

    def test_another_message_of_qos_1(self):
        for topic_differs in (False, True):
            topic = self.name()
            silent, publisher = self.subscriber(f"{topic}/#"), self.client()
            self.send(publisher, f"{topic}/a", 1, 7, b"one")
            self.send(publisher, f"{topic}/b" if topic_differs else f"{topic}/a", 1, 7, b"two")
            for payload in (b"one", b"two"):
                silent.send(wire.ack(PUBACK, self.take(silent, payload).packet_id))
            self.answered(publisher, 1, 7, SOON_S)

    def test_an_open_exchange_of_qos_2_is_one_message(self):
        """After PUBREC too, until PUBREL: whatever it carries."""
        topic = self.name()
        subscriber, publisher = self.subscriber(topic), self.client()
        self.send(publisher, topic, 2, 7, b"one")
        subscriber.accept(self.take(subscriber, b"one"))
        self.answered(publisher, 2, 7)
        self.send(publisher, topic, 2, 7, b"two")
        self.answered(publisher, 2, 7)
        self.release(publisher, 7)
        self.send(publisher, topic, 2, 7, b"three")
        self.take(subscriber, b"three")

    def test_clean_start_forgets_what_was_held(self):
        for qos in (1, 2):
            topic, name = self.name(), self.name()
            silent = self.subscriber(topic)
            self.send(self.client(name, clean=False, properties=LASTING), topic, qos, 7, b"old")
            old = self.take(silent, b"old")
            publisher = self.client(name, clean=True)
            self.assertEqual(publisher.connack.session_present, 0)
            silent.send(wire.ack(ANSWER[qos], old.packet_id))
            publisher.silent(0.3)
            self.send(publisher, topic, qos, 7, b"old", dup=True)
            new = self.take(silent, b"old")
            silent.send(wire.ack(ANSWER[qos], new.packet_id))
            self.answered(publisher, qos, 7, SOON_S)


@own_only("it acknowledges what it has accepted")
@for_workers(1, 4)
class SubscriberGoes(Held):
    """What it holds is let go at once; what it had not acknowledged waits for it."""

    def held_by(self, qos, **args):
        topic = self.name()
        silent, publisher = self.subscriber(topic, **args), self.client()
        self.send(publisher, topic, qos, 1)
        self.take(silent, dup=0)
        publisher.silent(0.1)
        return silent, publisher

    def test_orderly_or_not(self):
        for qos in (1, 2):
            for leave in (lambda c: c.disconnect(), lambda c: c.cut()):
                name = self.name()
                silent, publisher = self.held_by(qos, client_id=name, clean=False, properties=LASTING)
                leave(silent)
                self.answered(publisher, qos, 1, SOON_S)
                back = self.client(name, clean=False, properties=LASTING)
                back.accept(self.take(back, dup=1))

    def test_taken_over(self):
        for qos in (1, 2):
            name = self.name()
            _, publisher = self.held_by(qos, client_id=name, clean=False, properties=LASTING)
            again = self.client(name, clean=False, properties=LASTING)
            message = self.take(again, dup=1)
            self.assertEqual(message.packet_id, 1)
            again.send(wire.ack(ANSWER[qos], 1))
            self.answered(publisher, qos, 1, SOON_S)

    def test_clean_start(self):
        for qos in (1, 2):
            name = self.name()
            _, publisher = self.held_by(qos, client_id=name, clean=False, properties=LASTING)
            fresh = self.client(name, clean=True)
            self.answered(publisher, qos, 1, SOON_S)
            fresh.silent(0.2)

    def test_unsubscribed(self):
        """A delivery that was sent stays held: the client has it already."""
        topic = self.name()
        silent, publisher = self.subscriber(topic), self.client()
        self.send(publisher, topic, 1, 1)
        message = self.take(silent)
        silent.unsubscribe(topic)
        publisher.silent(0.3)
        silent.send(wire.ack(PUBACK, message.packet_id))
        self.answered(publisher, 1, 1, SOON_S)


@own_only("it acknowledges what it has accepted")
@for_workers(1, 4)
class Cost(Held):
    """What those who do not acknowledge cost the publishers: time is measured, so nothing else runs."""

    alone = True
    config = "ack_when delivered\nack_hold_max 1"
    MESSAGES = 40

    def publish_all(self, topic, qos, publishers, each):
        """The seconds until every publisher has had all its acknowledgements, one message open at a time."""
        with took() as seconds:
            waiting = {p.socket: p for p in publishers}
            left = {p: each for p in publishers}
            for p in publishers:
                self.send(p, topic, qos, 1)
            while any(left.values()):
                ready, _, _ = select.select(list(waiting), [], [], 5)
                self.assertTrue(ready, f"acknowledgements are missing: {[n for n in left.values() if n]}")
                for p in map(waiting.get, ready):
                    self.step(p, topic, qos, left)
        return seconds[0]

    def step(self, publisher, topic, qos, left):
        """Its PUBACK; or PUBREC, PUBREL and PUBCOMP; then the next message."""
        packet_id = publisher.receive().packet_id
        if qos == 2:
            publisher.send(wire.ack(PUBREL, packet_id))
            self.assertEqual(publisher.expect(PUBCOMP).packet_id, packet_id)
        left[publisher] -= 1
        if left[publisher]:
            self.send(publisher, topic, qos, packet_id + 1)

    def cost_of(self, silent, qos, publishers=3):
        """The seconds with so many silent subscribers, and the seconds of as much again."""
        topic = self.name()
        for _ in range(silent):
            self.subscriber(topic)
        makers = [self.client() for _ in range(publishers)]
        first = self.publish_all(topic, qos, makers, self.MESSAGES)
        return first, self.publish_all(topic, qos, makers, self.MESSAGES)

    def test_one_that_never_acknowledges_costs_one_hold(self):
        for qos in (1, 2):
            plain, _ = self.cost_of(0, qos)
            first, second = self.cost_of(1, qos)
            self.assertGreater(first, HOLD_S * 0.9, f"QoS {qos}: nothing was held")
            self.assertLess(first, HOLD_S + plain + SLACK_S, f"QoS {qos}")
            self.assertLess(second, plain + SLACK_S, f"QoS {qos}: it was waited for again")

    def test_a_hundred_cost_no_more(self):
        for qos in (1, 2):
            first, second = self.cost_of(100, qos)
            self.assertGreater(first, HOLD_S * 0.9)
            self.assertLess(first, HOLD_S + 3 * SLACK_S)
            self.assertLess(second, 3 * SLACK_S)

    def test_others_are_not_stopped_by_a_hundred(self):
        """Those who acknowledge have their messages at once, during the hold too; other topics know nothing of it."""
        topic, other = self.name(), self.name()
        for _ in range(100):
            self.subscriber(topic)
        good, publisher, apart = self.subscriber(topic), self.client(), self.client()
        self.subscriber(other, 0)
        self.send(publisher, topic, 1, 1)
        with took() as seconds:
            good.message(1)
            for _ in range(20):
                apart.publish(other, b"m", 1)
        self.assertLess(seconds[0], SLACK_S)
        self.answered(publisher, 1, 1, HOLD_S + SLACK_S)

    def test_who_catches_up_is_waited_for_again(self):
        topic = self.name()
        slow, publisher = self.subscriber(topic), self.client()
        self.send(publisher, topic, 1, 1)
        self.answered(publisher, 1, 1, HOLD_S + SLACK_S)
        with took() as seconds:
            publisher.publish(topic, b"m", 1)
        self.assertLess(seconds[0], 0.5)
        slow.messages(2)
        slow.ping()
        publisher.last_id = 10
        self.send(publisher, topic, 1, 9)
        publisher.silent(0.5)
        slow.message()
        self.answered(publisher, 1, 9, 0.3)

    def test_order_when_the_hold_is_over(self):
        for qos in (1, 2):
            topic, publisher = self.name(), self.client()
            self.subscriber(topic)
            for packet_id in range(1, 31):
                self.send(publisher, topic if packet_id % 3 else self.name(), qos, packet_id)
            for packet_id in range(1, 31):
                self.answered(publisher, qos, packet_id, HOLD_S + SLACK_S)


class Talker:
    """Publishes to the next one and reads what is meant for it; acknowledges at once, or when its own message is."""

    def __init__(self, test, hears, tells, qos, window, patient):
        self.client = test.client(properties=[("receive_maximum", window)])
        self.client.subscribe(hears, 2)
        self.tells, self.qos, self.window, self.patient = tells, qos, window, patient
        self.sent = self.acked = self.got = 0
        self.owed = []

    def fill(self, total):
        """As many open messages as the window holds."""
        while self.sent < total and self.sent - self.acked < self.window:
            self.sent += 1
            self.client.send(wire.publish(self.tells, b"%d" % self.sent, self.qos, self.sent))

    def one_packet(self):
        packet = self.client.receive()
        if packet.type == PUBLISH:
            self.got += 1
            self.owed.append(packet)
        elif packet.type == PUBREC:
            self.client.send(wire.ack(PUBREL, packet.packet_id))
        elif packet.type == PUBREL:
            self.client.send(wire.ack(PUBCOMP, packet.packet_id))
        elif packet.type == PUBACK or packet.type == PUBCOMP and packet.packet_id > self.acked:
            self.acked += 1
        if not self.patient or self.acked == self.sent:
            for message in self.owed:
                self.client.send(wire.ack(ANSWER[message.qos], message.packet_id))
            self.owed.clear()


@own_only("it acknowledges what it has accepted")
@for_workers(1, 4)
class Circles(Held):
    """Clients that publish to each other with full windows. Nobody may wait for ever for somebody who waits."""

    alone = True
    config = "ack_when delivered\nack_hold_max 1"

    def talk(self, count, qos, total, window, patient):
        """`count` clients in a circle; gives the seconds until all is sent, acknowledged and received."""
        topics = [self.name() for _ in range(count)]
        talkers = [Talker(self, topics[i], topics[(i + 1) % count], qos, window, patient) for i in range(count)]
        by_socket = {t.client.socket: t for t in talkers}
        with took() as seconds:
            for talker in talkers:
                talker.fill(total)
            while any(t.acked < total or t.got < total for t in talkers):
                ready = [s for s, t in by_socket.items() if t.client.buffer]
                ready = ready or select.select(list(by_socket), [], [], 5)[0]
                self.assertTrue(ready, [(t.sent, t.acked, t.got) for t in talkers])
                for talker in map(by_socket.get, ready):
                    with contextlib.suppress(TimeoutError):
                        talker.one_packet()
                    talker.fill(total)
        return seconds[0]

    def test_pairs(self):
        for qos in (1, 2):
            self.assertLess(self.talk(2, qos, 200, 10, patient=False), 3 * SLACK_S, f"QoS {qos}")

    def test_circles_of_three(self):
        for qos in (1, 2):
            self.assertLess(self.talk(3, qos, 200, 10, patient=False), 3 * SLACK_S, f"QoS {qos}")

    def test_who_answers_only_when_answered(self):
        """A circle in which everybody waits for everybody: the hold ends it, again and again."""
        for count in (2, 3):
            for qos in (1, 2):
                seconds = self.talk(count, qos, 4, 2, patient=True)
                self.assertGreater(seconds, HOLD_S * 0.9, f"{count}, QoS {qos}: nobody waited")
                self.assertLess(seconds, 4 * (HOLD_S + SLACK_S), f"{count}, QoS {qos}")
