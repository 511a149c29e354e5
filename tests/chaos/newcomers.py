"""Clients that come while the broker dies: one that leaves a will behind, one whose session is new and shall last."""

import wire

LASTING = [("session_expiry_interval", 3600)]
BROKEN = (OSError, AssertionError, wire.Closed)  # the broker died, or does not listen yet


class Wills:
    """A client that dies with a will, over and over. Nobody acknowledges a will, so none can be lost; but each may come
    once only, and its payload may not be written."""

    def __init__(self, checker, port, qualities):
        self.checker, self.port, self.qualities, self.sent = checker, port, qualities, 0
        for qos in qualities:
            checker.add_publisher(f"will-q{qos}", qos)

    def leave_one(self):
        qos = self.qualities[self.sent % len(self.qualities)]
        name = f"will-q{qos}"
        topic = f"chaos/{name}/a"
        _, payload = self.checker.next_message(name, topic)
        try:
            will = wire.Will(topic, payload.encode(), qos)
            wire.Client(self.port, name, version=4, will=will, timeout=1).cut()
        except BROKEN:
            return  # no will
        self.sent += 1

    def delivered(self):
        return sum(sum(map(bool, stream.copies)) for (_, name), stream in self.checker.streams.items()
                   if name.startswith("will-"))


class Sessions:
    """What CONNACK and SUBACK said of a new session must still be so after any number of deaths."""

    def __init__(self, port):
        self.port, self.came = port, 0
        self.told = {}              # client id -> the last that the broker said: "CONNACK" or "SUBACK"

    def connect(self, name):
        return wire.Client(self.port, name, clean=False, properties=LASTING, timeout=1)

    def one_comes(self):
        name = f"new-{self.came}"
        self.came += 1
        try:
            with self.connect(name) as client:
                self.told[name] = "CONNACK"
                client.subscribe(f"new/{name}", 1)
                self.told[name] = "SUBACK"
                client.disconnect()
        except BROKEN:
            pass  # it was told no more than that

    def broken_promises(self):
        """[client ids whose session, or subscription, is not there although the broker had said so]"""
        return [name for name, word in self.told.items() if not self.is_kept(name, word)]

    def is_kept(self, name, word):
        with self.connect(name) as client:
            if not client.connack.session_present:
                return False
            if word == "CONNACK":
                return True
            client.send(wire.publish(f"new/{name}", b"own", 1, 1))
            try:
                return client.expect(wire.PUBLISH, 2).payload == b"own"
            except AssertionError:
                return False
