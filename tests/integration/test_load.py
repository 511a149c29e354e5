"""Many clients at once: nothing lost, nothing twice, nothing out of order."""

import collections
import selectors
import socket
import time

from harness import BrokerTest, for_workers
import wire

PAIRS = 20
WINDOW = 16
LIMIT_S = 45


class Swarm:
    """Many raw clients in one thread. Each has a function that takes its packets and gives bytes to send."""

    def __init__(self, port):
        self.port, self.selector, self.open = port, selectors.DefaultSelector(), 0

    def add(self, first_bytes, on_packet):
        link = socket.socket()
        link.setblocking(False)
        link.connect_ex(("127.0.0.1", self.port))
        self.selector.register(link, selectors.EVENT_READ | selectors.EVENT_WRITE,
                               [bytearray(), bytearray(first_bytes), on_packet])
        self.open += 1

    def run(self, done):
        """Until done() or the time limit, whichever is first."""
        end = time.monotonic() + LIMIT_S
        while not done():
            if time.monotonic() > end:
                return False
            for key, events in self.selector.select(0.2):
                self._serve(key, events)
        return True

    def _serve(self, key, events):
        received, to_send, on_packet = key.data
        if events & selectors.EVENT_READ:
            data = key.fileobj.recv(1 << 16)
            if not data:
                raise AssertionError("the broker closed a connection")
            received += data
            for first, body in split(received):
                to_send += on_packet(first, body) or b""
        if to_send:
            try:
                del to_send[:key.fileobj.send(to_send)]
            except BlockingIOError:
                pass
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if to_send else 0)
        if key.events != wanted:
            self.selector.modify(key.fileobj, wanted, key.data)

    def close(self):
        for key in list((self.selector.get_map() or {}).values()):
            key.fileobj.close()
        self.selector.close()


def split(data):
    """Takes whole packets out of data: [(first byte, body)]. Only what the load needs, for speed."""
    packets, at = [], 0
    while len(data) - at >= 2:
        length, shift, start = 0, 0, at + 1
        while start < len(data):
            digit = data[start]
            length |= (digit & 127) << shift
            shift += 7
            start += 1
            if digit < 128:
                break
        else:
            break
        if len(data) < start + length:
            break
        packets.append((data[at], bytes(data[start:start + length])))
        at = start + length
    del data[:at]
    return packets


class Publisher:
    """Sends `count` messages, at most WINDOW unfinished, and finishes each exchange."""

    def __init__(self, number, topic, qos, count):
        self.number, self.topic, self.qos, self.count = number, topic, qos, count
        self.sent = self.finished = 0

    def next(self):
        out = b""
        while self.sent < self.count and self.sent - self.finished < WINDOW:
            self.sent += 1
            out += wire.publish(self.topic, b"%d %d" % (self.number, self.sent), self.qos, self.sent, version=4)
        return out

    def on_packet(self, first, body):
        packet_type = first >> 4
        if packet_type == wire.PUBREC:
            return wire.frame(wire.PUBREL, 2, body[:2])
        if packet_type in (wire.PUBACK, wire.PUBCOMP):
            self.finished += 1
        elif packet_type != wire.CONNACK:
            raise AssertionError(f"a publisher got packet type {packet_type}")
        return self.next()


class Subscriber:
    """Acknowledges and remembers the numbers of each publisher, in order of arrival."""

    def __init__(self, topic_filter, qos):
        self.filter, self.qos, self.ready = topic_filter, qos, False
        self.got, self.total = collections.defaultdict(list), 0

    def on_packet(self, first, body):
        packet_type = first >> 4
        if packet_type == wire.CONNACK:
            return wire.subscribe(1, [(self.filter, self.qos)], 4)
        if packet_type == wire.SUBACK:
            self.ready = True
        elif packet_type == wire.PUBREL:
            return wire.frame(wire.PUBCOMP, 0, body)
        elif packet_type == wire.PUBLISH:
            at = 2 + int.from_bytes(body[:2], "big")
            publisher, number = body[at + 2:].split()
            self.got[int(publisher)].append(int(number))
            self.total += 1
            return wire.frame(wire.PUBACK if self.qos == 1 else wire.PUBREC, 0, body[at:at + 2])
        return b""


@for_workers(1, 4)
class Load(BrokerTest):
    alone = True
    config = "max_queued_messages 100000"

    def pairs(self, qos, count, pairs):
        """Publisher n to subscriber n, and one more subscriber that gets everything."""
        swarm, base = Swarm(self.port), self.name()
        self.addCleanup(swarm.close)
        subscribers = [Subscriber(f"{base}/{n}", qos) for n in range(pairs)] + [Subscriber(f"{base}/#", qos)]
        for n, subscriber in enumerate(subscribers):
            swarm.add(wire.connect(f"s{n}-{base}", version=4), subscriber.on_packet)
        self.assertTrue(swarm.run(lambda: all(s.ready for s in subscribers)))
        publishers = [Publisher(n, f"{base}/{n}", qos, count) for n in range(pairs)]
        for publisher in publishers:
            swarm.add(wire.connect(f"p{publisher.number}-{base}", version=4), publisher.on_packet)
        swarm.run(lambda: all(p.finished == count for p in publishers)
                  and sum(s.total for s in subscribers) >= 2 * pairs * count)
        end = time.monotonic() + 0.3  # what comes now is too much
        swarm.run(lambda: time.monotonic() > end)
        self.assertEqual([p.finished for p in publishers], [count] * pairs)
        wanted = list(range(1, count + 1))
        for n, subscriber in enumerate(subscribers[:-1]):
            self.assertEqual((n, dict(subscriber.got) == {n: wanted}, subscriber.total), (n, True, count))
        everything = subscribers[-1].got
        self.assertEqual(sorted(everything), list(range(pairs)))
        for n in range(pairs):
            self.assertTrue(everything[n] == wanted, f"publisher {n}: {len(everything[n])} messages, or out of order")

    def test_qos1_none_lost_in_order(self):
        self.pairs(1, 1000, PAIRS)

    def test_qos2_exactly_once_in_order(self):
        self.pairs(2, 200, PAIRS // 2)

    def test_fan_out(self):
        """One publisher, 200 subscribers, 100 messages each."""
        swarm, topic, count, readers = Swarm(self.port), self.name(), 100, 200
        self.addCleanup(swarm.close)
        subscribers = [Subscriber(topic, 1) for _ in range(readers)]
        for n, subscriber in enumerate(subscribers):
            swarm.add(wire.connect(f"f{n}-{topic}", version=4), subscriber.on_packet)
        self.assertTrue(swarm.run(lambda: all(s.ready for s in subscribers)))
        publisher = Publisher(0, topic, 1, count)
        swarm.add(wire.connect(f"fp-{topic}", version=4), publisher.on_packet)
        swarm.run(lambda: sum(s.total for s in subscribers) >= readers * count)
        self.assertTrue(all(s.got[0] == list(range(1, count + 1)) for s in subscribers))
