#!/usr/bin/python3
"""Stands between the broker and subscribers and plants faults, so that the harness can be seen to find them.

usage: proxy.py PORT_OF_BROKER SEED FAULT[,FAULT] [FILE]       FAULT: none, lose, duplicate, reorder

Writes its port, then a line with the fault's name and the QoS for each that it planted. The broker sees a client that
acknowledges everything; the client sees what a faulty broker would send.
  lose       a PUBLISH of QoS 1 or 2 is not passed on
  duplicate  a PUBLISH of QoS 2 comes once more, with a packet identifier of its own
  reorder    a PUBLISH of QoS 1 or 2 comes after the next one of its topic
Upon SIGUSR1 it cuts every connection, as a network does. FILE gets a line for each packet, for who looks for the
reason of a fault: the time, the client, the direction, and what the packet says.
"""

import asyncio
import contextlib
import pathlib
import random
import signal
import struct
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import wire  # noqa: E402

ONE_IN = 25
OWN_IDENTIFIERS = 60000      # above what a broker gives in so short a run


async def packet(reader):
    """(first byte, body) of the next packet."""
    first = (await reader.readexactly(1))[0]
    length = shift = 0
    while True:
        digit = (await reader.readexactly(1))[0]
        length |= (digit & 0x7F) << shift
        shift += 7
        if not digit & 0x80:
            return first, await reader.readexactly(length)


def frame(first, body):
    return bytes([first]) + wire.varint(len(body)) + body


def identifier_in(body):
    return struct.unpack("!H", body[:2])[0]


def short_ack(kind, identifier):
    return wire.ack(kind, identifier, version=4)


class Watch:
    """Writes down what passes on one connection."""

    def __init__(self, output):
        self.output, self.name, self.version = output, "?", 4

    def __call__(self, arrow, first, body):
        if not self.output:
            return
        kind = first >> 4
        if kind == wire.CONNECT:
            cursor = wire.Cursor(body)
            cursor.string()
            self.version = cursor.byte()
            cursor.take(3)
            words = cursor.properties() if self.version == 5 else ""
            self.name = cursor.string()
        else:
            try:
                words = vars(wire.Packet(first, body, self.version))
            except (ValueError, KeyError):
                words = body[:40]  # SUBSCRIBE: only what a broker sends is understood
        self.output.write(f"{time.monotonic():.4f} {self.name} {arrow} {wire.TYPE_NAMES[kind]} {words}\n")
        self.output.flush()


class Link:
    """One client's connection and the one to the broker."""

    def __init__(self, faults, chance, client, broker):
        self.faults, self.random, self.client, self.broker = faults, chance, client, broker
        self.lost, self.held, self.own = set(), {}, OWN_IDENTIFIERS
        self.twins, self.ripe = {}, set()   # the copy's identifier by the original's; copies half ready for PUBREL

    def planted(self, fault, qos):
        print(fault, qos, flush=True)

    def from_broker(self, first, body):
        kind, qos = first >> 4, first >> 1 & 3
        if kind == wire.PUBLISH and qos and not first & 1:
            self.publish(first, body, qos)
        elif kind == wire.PUBREL and identifier_in(body) in self.lost:
            self.lost.discard(identifier_in(body))
            self.broker.write(short_ack(wire.PUBCOMP, identifier_in(body)))
        else:
            self.client.write(frame(first, body))
            if kind == wire.PUBREL and identifier_in(body) in self.twins:
                self.release(self.twins.pop(identifier_in(body)))

    def release(self, own):
        """PUBREL for a copy: not before that of the original, or the copy would overtake; nor before its PUBREC."""
        if own in self.ripe:
            self.client.write(short_ack(wire.PUBREL, own))
        self.ripe ^= {own}

    def publish(self, first, body, qos):
        end = 2 + struct.unpack("!H", body[:2])[0]
        topic, identifier = body[2:end], identifier_in(body[end:])
        fault = self.random.choice(self.faults) if self.random.randrange(ONE_IN) == 0 and topic else None
        if fault == "lose":
            if qos == 2:
                self.lost.add(identifier)
            self.broker.write(short_ack(wire.PUBACK if qos == 1 else wire.PUBREC, identifier))
            self.planted(fault, qos)
            return
        if fault == "reorder" and topic not in self.held:
            self.held[topic] = frame(first, body)
            return
        self.client.write(frame(first, body))
        if topic in self.held:
            self.client.write(self.held.pop(topic))
            self.planted("reorder", qos)
        elif fault == "duplicate" and qos == 2:
            self.own += 1
            self.twins[identifier] = self.own
            self.client.write(frame(first, body[:end] + struct.pack("!H", self.own) + body[end + 2:]))
            self.planted(fault, qos)

    def from_client(self, first, body):
        kind = first >> 4
        if kind in (wire.PUBREC, wire.PUBCOMP) and identifier_in(body) > OWN_IDENTIFIERS:
            if kind == wire.PUBREC:
                self.release(identifier_in(body))
        else:
            self.broker.write(frame(first, body))


async def pump(reader, handle, other, watch, arrow):
    """Until either end is gone."""
    try:
        while not other.is_closing():
            one = await packet(reader)
            watch(arrow, *one)
            handle(*one)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass


async def release_when_quiet(link):
    """A held packet waits for the next of its topic for a second at most."""
    before = {}
    while True:
        await asyncio.sleep(1.0)
        for topic in [t for t, held in link.held.items() if before.get(t) is held]:
            link.client.write(link.held.pop(topic))
        before = dict(link.held)


async def serve(port, seed, faults, output):
    chance, writers = random.Random(seed), set()

    async def connection(reader, writer):
        try:
            broker_reader, broker_writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.close()
            return
        link = Link(faults, chance, writer, broker_writer)
        writers.update((writer, broker_writer))
        watch = Watch(output)
        tasks = [asyncio.ensure_future(pump(reader, link.from_client, broker_writer, watch, "->")),
                 asyncio.ensure_future(pump(broker_reader, link.from_broker, writer, watch, "<-")),
                 asyncio.ensure_future(release_when_quiet(link))]
        await asyncio.wait(tasks[:2], return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        writers.difference_update((writer, broker_writer))
        writer.close()
        broker_writer.close()

    def cut():
        for each in writers:
            each.transport.abort()

    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, cut)
    server = await asyncio.start_server(connection, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    try:
        with contextlib.ExitStack() as stack:
            watched = stack.enter_context(open(sys.argv[4], "a")) if sys.argv[4:] else None
            asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3].split(","), watched))
    except KeyboardInterrupt:
        pass
