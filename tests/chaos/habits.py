"""What client libraries do by themselves in QoS 2 exchanges that a lost connection interrupts.

Subscribers, with a PUBLISH that is sent again after a reconnect, as MQTT asks. A broker of a few lines sends the message, takes the PUBREC, cuts the connection, sends the message again with the same
packet identifier and DUP, and goes on to PUBREL. An application that then gets the message twice got the second copy
from its library: no broker can give such a library each message exactly once.

Publishers, with a message whose PUBREL was sent, when they have to try more than once until they are connected again.
One that then publishes the message anew makes it a new message: the broker has let the packet identifier go.
"""

import contextlib
import os
import pathlib
import select
import socket
import struct
import time

import fleet
import wire
from checker import CONNECTED

TIMEOUT_S = 10
TOPIC = "chaos/habit/a"


class Peer:
    """The broker's side of one connection."""

    def __init__(self, listener, version, session_present):
        listener.settimeout(TIMEOUT_S)
        self.socket, _ = listener.accept()
        self.socket.settimeout(TIMEOUT_S)
        self.version, self.buffer = version, b""
        self.expect(wire.CONNECT)
        self.send(wire.CONNACK, 0, bytes([session_present, 0]) + self.no_properties())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def no_properties(self):
        return b"\0" if self.version == 5 else b""

    def send(self, kind, flags, body):
        self.socket.sendall(wire.frame(kind, flags, body))

    def packet(self):
        while True:
            if len(self.buffer) >= 2 and len(self.buffer) >= 2 + self.buffer[1]:  # all of them are short
                end = 2 + self.buffer[1]
                head, body, self.buffer = self.buffer[0], self.buffer[2:end], self.buffer[end:]
                return head >> 4, body
            data = self.socket.recv(4096)
            if not data:
                raise ConnectionError("the client closed the connection")
            self.buffer += data

    def expect(self, wanted):
        while True:
            kind, body = self.packet()
            if kind == wire.SUBSCRIBE:
                self.send(wire.SUBACK, 0, body[:2] + self.no_properties() + b"\2")
            if kind == wanted:
                return body

    def publish(self, identifier, payload, dup):
        self.socket.sendall(wire.publish(TOPIC, payload, 2, identifier, dup=dup, version=self.version))
        self.expect(wire.PUBREC)

    def release(self, identifier):
        self.send(wire.PUBREL, 2, struct.pack("!H", identifier))
        self.expect(wire.PUBCOMP)


def copies_given(library, folder):
    """How often the application got the message that was sent twice."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = fleet.Client(library, "sub", f"habit-{library}", CONNECTED)
        client.start(listener.getsockname()[1], 1, pathlib.Path(folder))
        try:
            version = fleet.VERSION[library]
            with Peer(listener, version, 0) as peer:
                peer.expect(wire.SUBSCRIBE)
                peer.publish(5, b"once", False)
            with Peer(listener, version, 1) as peer:
                peer.publish(5, b"once", True)
                peer.release(5)
                for identifier in (6, 7, 8, 5):  # 5 again: it may bring a second copy to light
                    peer.publish(identifier, b"last" if identifier == 5 else b"next", False)
                    peer.release(identifier)
                return count(client, f"R 0 {TOPIC} once", f"R 0 {TOPIC} next")
        finally:
            client.end()


def count(client, wanted, follower):
    output, end, text = client.process.stdout.fileno(), time.monotonic() + TIMEOUT_S, ""
    while time.monotonic() < end and text.count(follower) < 3:
        if select.select([output], [], [], 0.1)[0]:
            text += os.read(output, 65536).decode()
    if select.select([output], [], [], 0.3)[0]:
        text += os.read(output, 65536).decode()
    if text.count(follower) != 3:
        raise AssertionError(f"{client.name} gave {text!r}")
    return text.count(wanted)


def sent_after_pubrel(library, folder):
    """The types of packet that a publisher sends, of a message whose PUBREL it had sent before, once it is back."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = fleet.Client(library, "pub", f"habit-{library}")
        client.start(listener.getsockname()[1], 1, pathlib.Path(folder))
        try:
            version = fleet.VERSION[library]
            with Peer(listener, version, 0) as peer:
                client.tell(f"P 0 {client.topics[0]} 2 0 once")
                identifier = packet_id(peer.expect(wire.PUBLISH))
                peer.send(wire.PUBREC, 0, struct.pack("!H", identifier))
                peer.expect(wire.PUBREL)
            for _ in range(3):
                listener.accept()[0].close()  # as a broker that dies again
            with Peer(listener, version, 1) as peer:
                kinds = [peer.packet()[0]]
                if kinds[0] == wire.PUBREL:
                    peer.send(wire.PUBCOMP, 0, struct.pack("!H", identifier))
                with contextlib.suppress(TimeoutError, ConnectionError):
                    peer.socket.settimeout(0.5)
                    kinds.append(peer.packet()[0])
                return kinds
        finally:
            client.end()


def packet_id(publish):
    """Of the body of a PUBLISH with QoS above 0."""
    topic_len, = struct.unpack_from("!H", publish)
    return struct.unpack_from("!H", publish, 2 + topic_len)[0]
