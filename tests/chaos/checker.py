"""Judges from the outside what became of every message: lost, duplicated, out of order.

It is told what was handed to a publisher's library, what that library reported as completed, and what a subscriber's
library handed out. It knows nothing of the broker, of kills, or of time.

A message is (publisher, number). A publisher writes to topics of its own, and order is judged per subscriber,
publisher and topic, by the first time each message came (MQTT 4.6: a repetition may come late, the first copy not).
  lost         acknowledged to the publisher, never given to the subscriber
  duplicated   QoS 2: given to the subscriber more than once. Allowed with QoS 1, and then counted as `repeated`
  disordered   QoS 1 and 2: the first copy came after that of a later message
  foreign      nobody sent it, or its topic or payload differs from what was sent
A copy with the RETAIN flag answers a subscription and counts for nothing, except that it must not be foreign.
"""

import array
import collections

CONNECTED, AWAY = "connected", "away"  # kinds of subscriber: one returns after each kill, the other comes and goes


class Stream:
    """What one subscriber got of one publisher."""

    def __init__(self):
        self.copies = array.array("B")      # by number, stops at 255
        self.highest = {}                   # topic -> highest number whose first copy came
        self.disordered = 0
        self.late = []

    def take(self, number, topic):
        if number >= len(self.copies):
            self.copies.extend(bytes(number + 1 - len(self.copies)))
        if self.copies[number] == 0:
            if number < self.highest.get(topic, -1):
                self.disordered += 1
                self.late.append(number)
            self.highest[topic] = max(number, self.highest.get(topic, -1))
        self.copies[number] = min(255, self.copies[number] + 1)

    def more(self):
        """Copies beyond the first of each message."""
        return sum(copies - 1 for copies in self.copies if copies > 1)

    def count(self, number):
        return self.copies[number] if number < len(self.copies) else 0


class Publisher:
    def __init__(self, qos):
        self.qos = qos
        self.topics = []                    # by number
        self.acked = bytearray()            # by number


class Row:
    """The sums of one QoS and one kind of subscriber."""

    FIELDS = ("owed", "delivered", "lost", "duplicated", "disordered", "repeated")

    def __init__(self):
        self.owed = self.delivered = self.lost = self.duplicated = self.disordered = self.repeated = 0

    def __repr__(self):
        return ", ".join(f"{name} {getattr(self, name)}" for name in self.FIELDS)


class Checker:
    def __init__(self, canary):
        self.canary = canary
        self.publishers = {}
        self.subscribers = {}               # name -> (kind, granted QoS)
        self.streams = collections.defaultdict(Stream)
        self.foreign = []
        self.received = 0

    # --- what is said to it

    def add_publisher(self, name, qos):
        self.publishers[name] = Publisher(qos)

    def add_subscriber(self, name, kind, qos=2):
        self.subscribers[name] = (kind, qos)

    def next_message(self, name, topic):
        """The number and the payload of the next message, which counts as sent from now on."""
        publisher = self.publishers[name]
        number = len(publisher.topics)
        publisher.topics.append(topic)
        publisher.acked.append(0)
        return number, self.payload(name, number)

    def payload(self, name, number):
        return f"{self.canary}/{name}/{number}/{'.' * (number * 7 % 60)}"

    def acknowledged(self, name, number):
        """False when that message is not open: an acknowledgement of nothing, or a second one."""
        acked = self.publishers[name].acked
        if not 0 <= number < len(acked) or acked[number]:
            return False
        acked[number] = 1
        return True

    def delivered(self, subscriber, topic, payload, retained=False):
        """Gives (publisher, number) of a live copy."""
        self.received += 1
        parts = payload.split("/")
        publisher = self.publishers.get(parts[1]) if len(parts) == 4 and parts[2].isdigit() else None
        number = int(parts[2]) if publisher else -1
        if (not publisher or number >= len(publisher.topics) or publisher.topics[number] != topic
                or payload != self.payload(parts[1], number)):
            self.foreign.append((subscriber, topic, payload[:80]))
        elif not retained:
            self.streams[subscriber, parts[1]].take(number, topic)
            return parts[1], number
        return None

    # --- what it answers

    def missing(self, subscriber, name):
        """Numbers that were acknowledged and did not come."""
        stream = self.streams[subscriber, name]
        return [n for n, acked in enumerate(self.publishers[name].acked) if acked and not stream.count(n)]

    def complete(self):
        """True when every subscriber has every acknowledged message."""
        return not any(self.missing(s, p) for s in self.subscribers for p in self.publishers)

    def quality(self, subscriber, name):
        """The QoS of deliveries: that of the publish, or the granted one where that is lower."""
        return min(self.publishers[name].qos, self.subscribers[subscriber][1])

    def row(self, qos, kind):
        row = Row()
        for name, publisher in self.publishers.items():
            for subscriber, (its_kind, _) in self.subscribers.items():
                if its_kind != kind or self.quality(subscriber, name) != qos:
                    continue
                stream = self.streams[subscriber, name]
                row.owed += sum(publisher.acked)
                row.delivered += sum(1 for copies in stream.copies if copies)
                row.lost += len(self.missing(subscriber, name))
                row.disordered += stream.disordered
                if qos == 2:
                    row.duplicated += stream.more()
                else:
                    row.repeated += stream.more()
        return row

    def cells(self):
        """(subscriber, publisher, lost, duplicated, disordered) wherever one of them is not 0."""
        for (subscriber, name), stream in sorted(self.streams.items()):
            twice = stream.more() if self.quality(subscriber, name) == 2 else 0
            found = (len(self.missing(subscriber, name)), twice, stream.disordered)
            if any(found):
                yield (subscriber, name, *found)

    def named(self, most=3):
        """Some of the messages that were lost, came twice or late: (subscriber, publisher, number, copies)."""
        for (subscriber, name), stream in sorted(self.streams.items()):
            if self.quality(subscriber, name) == 2:
                twice = [n for n, copies in enumerate(stream.copies) if copies > 1]
                yield from ((subscriber, name, n, stream.copies[n]) for n in twice[:most])
            if self.subscribers[subscriber][0] == CONNECTED:
                yield from ((subscriber, name, n, 0) for n in self.missing(subscriber, name)[:most])
            yield from ((subscriber, name, n, "late") for n in stream.late[:most])

    def kinds(self):
        return sorted({kind for kind, _ in self.subscribers.values()}, reverse=True)

    def qualities(self):
        return sorted({self.quality(s, p) for s in self.subscribers for p in self.publishers})
