"""What nobody should send: packets cut at every byte, properties where they may not stand, random changes."""

import os
import random
import socket
import struct

import wire
from test_bad_inputs import BadInputTest

# MQTT 5.0 table 2-4: where each property may stand, written down here once more and not read from the broker.
CONNECT, WILL, PUBLISH, SUBSCRIBE, UNSUBSCRIBE, ACK, DISCONNECT, AUTH = "CWPSUADX"
MAY_STAND = {
    0x01: "PW", 0x02: "PW", 0x03: "PW", 0x08: "PW", 0x09: "PW", 0x0B: "S", 0x11: "CD", 0x12: "", 0x13: "", 0x15: "CX", 0x16: "CX",
    0x17: "C", 0x18: "W", 0x19: "C", 0x1A: "", 0x1C: "D", 0x1F: "ADX", 0x21: "C", 0x22: "C", 0x23: "P", 0x24: "", 0x25: "",
    0x26: "CWPSUADX", 0x27: "C", 0x28: "", 0x29: "", 0x2A: "",
}
VALUES = {"byte": b"\x01", "u16": b"\0\x01", "u32": b"\0\0\x10\0", "varint": b"\x01", "string": b"\0\x01v", "binary": b"\0\x01v",
          "pair": b"\0\x01k\0\x01v"}


def property_of(identifier):
    return bytes([identifier]) + VALUES[wire.PROPERTY_NAMES[identifier][1]]


def packet_with(place, properties):
    """A packet that is right, but for these bytes as its properties."""
    block = wire.varint(len(properties)) + properties
    if place in (CONNECT, WILL):
        own, will = (block, b"") if place == CONNECT else (b"\0", block + b"\0\x01t\0\0")
        return wire.frame(wire.CONNECT, 0, b"\0\4MQTT\5" + (b"\6" if will else b"\2") + b"\0\x3c" + own + b"\0\x01p" + will)
    return {
        PUBLISH: wire.frame(wire.PUBLISH, 2, b"\0\x01t\0\x01" + block + b"payload"),
        SUBSCRIBE: wire.frame(wire.SUBSCRIBE, 2, b"\0\x01" + block + b"\0\x01t\0"),
        UNSUBSCRIBE: wire.frame(wire.UNSUBSCRIBE, 2, b"\0\x01" + block + b"\0\x01t"),
        ACK: wire.frame(wire.PUBACK, 0, b"\0\x01\0" + block),
        "REC": wire.frame(wire.PUBREC, 0, b"\0\x01\0" + block),
        "REL": wire.frame(wire.PUBREL, 2, b"\0\x01\0" + block),
        "COMP": wire.frame(wire.PUBCOMP, 0, b"\0\x01\0" + block),
        DISCONNECT: wire.frame(wire.DISCONNECT, 0, b"\0" + block),
        AUTH: wire.frame(wire.AUTH, 0, b"\x18" + block),
    }[place]


PLACES = {CONNECT: CONNECT, WILL: WILL, PUBLISH: PUBLISH, SUBSCRIBE: SUBSCRIBE, UNSUBSCRIBE: UNSUBSCRIBE, ACK: ACK, "REC": ACK, "REL": ACK,
          "COMP": ACK, DISCONNECT: DISCONNECT, AUTH: AUTH}


class Hostile(BadInputTest):
    abstract = False

    def refused(self, place, data, reason):
        if place in (CONNECT, WILL):
            self.first_close(data, reason)
        else:
            self.up_close(5, data, reason)

    def test_properties_where_they_may_not_stand(self):
        """[bad-inputs 24]"""
        for place, kind in PLACES.items():
            for identifier, allowed in MAY_STAND.items():
                if kind not in allowed and (kind, identifier) != (PUBLISH, 0x0B):
                    with self.subTest(place=place, identifier=hex(identifier)):
                        self.refused(place, packet_with(place, property_of(identifier)), 0x81)

    def test_properties_twice(self):
        """[bad-inputs 23]: all but the User Property"""
        for place, kind in PLACES.items():
            for identifier, allowed in MAY_STAND.items():
                if kind in allowed and identifier != 0x26:
                    both = property_of(identifier) * 2
                    if identifier == 0x16:
                        both = property_of(0x15) + both
                    with self.subTest(place=place, identifier=hex(identifier)):
                        self.refused(place, packet_with(place, both), 0x82)

    def test_properties_cut_short(self):
        """Every property, with every part of its value missing, and identifiers that are none."""
        for place, kind in PLACES.items():
            for identifier, allowed in MAY_STAND.items():
                if kind in allowed:
                    whole = property_of(identifier)
                    for length in range(1, len(whole)):
                        self.refused(place, packet_with(place, whole[:length]), 0x81)
            for unknown in (b"\0\0", b"\4\1", b"\x10\1", b"\x14\1", b"\x2b\1", b"\x7f\1", b"\xff\x7f\1", b"\x80\1\1", b"\x81\0\1",
                            b"\xff\xff\xff\xff\x7f"):
                self.refused(place, packet_with(place, unknown), 0x81)

    def test_values_out_of_range(self):
        """[bad-inputs 25]"""
        for identifier, places in ((0x01, (PUBLISH, WILL)), (0x17, (CONNECT,)), (0x19, (CONNECT,))):
            for place in places:
                for value in range(2, 256, 23):
                    self.refused(place, packet_with(place, bytes([identifier, value])), 0x82)
        for place, body, reason in ((CONNECT, b"\x21\0\0", 0x82), (CONNECT, b"\x27\0\0\0\0", 0x82), (PUBLISH, b"\x23\0\0", 0x94),
                                    (SUBSCRIBE, b"\x0b\0", 0x82), (PUBLISH, b"\x08\0\1+", 0x82), (WILL, b"\x08\0\1#", 0x82)):
            self.refused(place, packet_with(place, body), reason)

    def test_what_is_right_is_taken(self):
        """The same packets with every property that they may have: so the tests above test what they say."""
        for place, kind in PLACES.items():
            properties = b"".join(property_of(identifier) for identifier, allowed in MAY_STAND.items()
                                  if kind in allowed and identifier not in (0x15, 0x16))
            client = self.raw() if kind in (CONNECT, WILL) else self.client("hostile")
            client.send(packet_with(place, properties + property_of(0x26)))
            if kind in (CONNECT, WILL):
                self.assertEqual(client.expect(wire.CONNACK).reason, 0)
                client.send(wire.disconnect())
            elif kind == AUTH:
                self.assertEqual(client.ended(), 0x82)
            elif kind == DISCONNECT:
                self.assertEqual(client.ended(), 0x82)  # no session expiry after one of 0
            else:
                client.ping()
            client.cut()

    # a whole body, and where it may end: what comes of it there; everywhere else it is malformed
    BODIES = (
        (0x32, b"\0\3a/b\0\1\0payload", {**{at: "ok" for at in range(8, 16)}}),
        (0x30, b"\0\3a/b\x05\2\0\0\0\x09", {11: "ok"}),
        (0x40, b"\0\1\0\3\x1f\0\0", {2: "ok", 3: "ok", 7: "ok"}),
        (0x50, b"\0\1\0\3\x1f\0\0", {2: "ok", 3: "ok", 7: "ok"}),
        (0x62, b"\0\1\0\3\x1f\0\0", {2: "ok", 3: "ok", 7: "ok"}),
        (0x70, b"\0\1\0\3\x1f\0\0", {2: "ok", 3: "ok", 7: "ok"}),
        (0x82, b"\0\1\2\x0b\1\0\1a\0\0\2bc\1", {5: 0x82, 9: "ok", 14: "ok"}),
        (0xA2, b"\0\1\0\0\1a\0\2bc", {3: 0x82, 6: "ok", 10: "ok"}),
        (0xE0, b"\x81\3\x1f\0\0", {0: None, 1: None, 5: None}),
        (0xF0, b"\x18\4\x15\0\1m", {0: 0x82, 6: 0x82}),
    )
    BODIES_3_1_1 = (
        (0x32, b"\0\3a/b\0\1payload", {**{at: "ok" for at in range(7, 15)}}), (0x40, b"\0\1", {2: "ok"}), (0x50, b"\0\1", {2: "ok"}),
        (0x62, b"\0\1", {2: "ok"}), (0x70, b"\0\1", {2: "ok"}), (0x82, b"\0\1\0\1a\0\0\2bc\1", {6: "ok", 11: "ok"}),
        (0xA2, b"\0\1\0\1a\0\2bc", {5: "ok", 9: "ok"}), (0xE0, b"", {}),
    )

    def test_cut_at_every_byte(self):
        """[bad-inputs 9]: with a Remaining Length to match; and every packet with a byte too many"""
        for version, bodies in ((5, self.BODIES), (4, self.BODIES_3_1_1)):
            for first, body, ends in bodies:
                if first >> 4 != wire.PUBLISH and 0x82 != first:
                    ends = {**ends, len(body) + 1: 0x81}
                    body += b"\0" if first != 0xA2 else b"\7"
                for length in range(len(body) + 1):
                    outcome = ends.get(length, 0x81)
                    data = bytes([first, length]) + body[:length]
                    with self.subTest(version=version, data=data.hex(" ")):
                        if outcome == "ok":
                            client = self.client("hostile", version=version)
                            client.send(data)
                            client.ping()
                            client.cut()
                        elif (version, first, length) == (4, 0xE0, 0):
                            continue
                        else:
                            self.up_close(version, data, outcome)

    def test_connect_cut_at_every_byte(self):
        """[bad-inputs 9] [bad-inputs 19]"""
        for version in self.versions():
            whole = wire.connect("client", version, will=wire.Will("t", b"w", 1, properties=[("will_delay_interval", 1)]), user_name="u",
                                 password=b"p", properties=[("receive_maximum", 9)])[2:]
            for length in range(len(whole)):
                self.first_close(b"\x10" + wire.varint(length) + whole[:length], 0x81 if version == 5 and length > 6 else None)
            self.first_close(b"\x10" + wire.varint(len(whole) + 1) + whole + b"\0", 0x81 if version == 5 else None)

    def test_left_in_the_middle(self):
        """The client goes away after every byte of a packet: the part is forgotten."""
        for version in self.versions():
            for data in (wire.publish("talk/wrong", b"x" * 9, 1, 1, version=version), wire.subscribe(1, [("talk/#", 0)], version),
                         wire.connect("again", version, will=wire.Will("talk/wrong", b"x"))):
                for length in range(1, len(data)):
                    client = self.raw() if data[0] == 0x10 else self.client("", version=version)
                    client.send(data[:length])
                    client.cut()

    def test_unexpected_order(self):
        """Packets that are right, at a time when they are not."""
        client = self.client()
        client.send(wire.ack(wire.PUBREL, 1) + wire.ack(wire.PUBREL, 1) + wire.publish("t", b"", 2, 1) + wire.publish("t", b"", 1, 1)
                    + wire.ack(wire.PUBREL, 1) + wire.ack(wire.PUBREL, 1))
        kinds = [(packet.type, packet.reason) for packet in (client.receive() for _ in range(6))]
        self.assertEqual(kinds, [(wire.PUBCOMP, 0x92), (wire.PUBCOMP, 0x92), (wire.PUBREC, 0), (wire.PUBACK, 0x10), (wire.PUBCOMP, 0),
                                 (wire.PUBCOMP, 0x92)])
        client.cut()
        for answer in (wire.PUBACK, wire.PUBREC, wire.PUBCOMP):
            client = self.client()
            client.subscribe("t", qos=2)
            client.publish("t", "x", 2)
            number = client.expect(wire.PUBLISH).packet_id
            client.send(wire.ack(wire.PUBREC, number))
            client.expect(wire.PUBREL)
            client.send(struct.pack("!BBH", answer << 4, 2, number))
            if answer == wire.PUBACK:
                self.assertEqual(client.ended(), 0x82)
            elif answer == wire.PUBREC:
                self.assertEqual(client.expect(wire.PUBREL).packet_id, number)
            client.cut()


class Chance(BadInputTest):
    """Nothing stays for long, so that what is left over is a leak."""

    abstract = False
    settings = "session_expiry_max 1s\nretain_available false"

    def test_random_changes(self):
        """Packets in which something was changed, many to a connection: an answer or the end, but nothing else."""
        seed = int(os.environ.get("METRINO_TEST_SEED") or random.randrange(1 << 32))
        chance = random.Random(seed)
        for round_number in range(700):
            version = chance.choice((4, 5, 5))
            good = [wire.publish("hostile/t", b"x" * chance.randrange(300), qos, 1 + qos, version=version) for qos in (0, 1, 2)]
            good += [wire.ack(kind, 3, version=version) for kind in (wire.PUBACK, wire.PUBREC, wire.PUBREL, wire.PUBCOMP)]
            good += [wire.subscribe(1, [("hostile/#", 1), ("$share/g/hostile", 2)], version), wire.unsubscribe(2, ["hostile/#"], version),
                     wire.frame(wire.PINGREQ, 0), wire.connect("h", version, properties=[("receive_maximum", 9)])]
            if version == 5:
                good += [packet_with(place, b"".join(property_of(one) for one in chance.sample(sorted(MAY_STAND), 2))) for place in PLACES]
            data = bytearray(b"".join(chance.choices(good, k=8)))
            for _ in range(chance.randrange(1, 6)):
                at = chance.randrange(len(data))
                how = chance.randrange(4)
                if how == 0:
                    data[at] = chance.randrange(256)
                elif how == 1:
                    data[at] ^= 1 << chance.randrange(8)
                elif how == 2:
                    del data[at:at + chance.randrange(1, 9)]
                else:
                    data[at:at] = chance.randbytes(chance.randrange(1, 9))
                if not data:
                    break
            client = self.raw(version) if round_number % 5 == 0 else self.client("", version=version)
            try:
                client.send(bytes(data))
                client.socket.shutdown(socket.SHUT_WR)
                while client.socket.recv(65536):
                    pass
            except ConnectionError:
                pass
            except TimeoutError:
                self.fail(f"METRINO_TEST_SEED={seed}, round {round_number}: not closed")
            finally:
                client.cut()
