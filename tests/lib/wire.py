"""MQTT packets made and read by hand, and a client that does exactly what it is told.

Real client libraries hide packet identifiers, DUP flags and reason codes, and refuse to misbehave; the tests
that need those use this module. Versions: 3 (MQTT 3.1), 4 (3.1.1) and 5. Every wait has an end.

Properties are lists of (name, value) pairs, in wire order; names are those of the specification in snake_case.
"""

import collections
import socket
import struct
import time

(CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE,
 SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT, AUTH) = range(1, 16)

TYPE_NAMES = ("", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "SUBSCRIBE",
              "SUBACK", "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH")

PROPERTIES = {  # name: (identifier, type), section 2.2.2.2 of MQTT 5.0
    "payload_format_indicator": (0x01, "byte"),
    "message_expiry_interval": (0x02, "u32"),
    "content_type": (0x03, "string"),
    "response_topic": (0x08, "string"),
    "correlation_data": (0x09, "binary"),
    "subscription_identifier": (0x0B, "varint"),
    "session_expiry_interval": (0x11, "u32"),
    "assigned_client_identifier": (0x12, "string"),
    "server_keep_alive": (0x13, "u16"),
    "authentication_method": (0x15, "string"),
    "authentication_data": (0x16, "binary"),
    "request_problem_information": (0x17, "byte"),
    "will_delay_interval": (0x18, "u32"),
    "request_response_information": (0x19, "byte"),
    "response_information": (0x1A, "string"),
    "server_reference": (0x1C, "string"),
    "reason_string": (0x1F, "string"),
    "receive_maximum": (0x21, "u16"),
    "topic_alias_maximum": (0x22, "u16"),
    "topic_alias": (0x23, "u16"),
    "maximum_qos": (0x24, "byte"),
    "retain_available": (0x25, "byte"),
    "user_property": (0x26, "pair"),
    "maximum_packet_size": (0x27, "u32"),
    "wildcard_subscription_available": (0x28, "byte"),
    "subscription_identifier_available": (0x29, "byte"),
    "shared_subscription_available": (0x2A, "byte"),
}
PROPERTY_NAMES = {identifier: (name, kind) for name, (identifier, kind) in PROPERTIES.items()}


# --- bytes -----------------------------------------------------------------------------------------------------

def varint(value):
    out = bytearray()
    while True:
        value, digit = divmod(value, 128)
        out.append(digit | (0x80 if value else 0))
        if not value:
            return bytes(out)

# In CONNECT: words for what goes wrong are wanted.
WORDS = [("request_problem_information", 1)]


def binary(data):
    return struct.pack("!H", len(data)) + data


def text(value):
    return binary(value if isinstance(value, bytes) else value.encode())


def encode_properties(pairs):
    encoders = {
        "byte": lambda v: bytes([v]), "u16": lambda v: struct.pack("!H", v), "u32": lambda v: struct.pack("!I", v),
        "varint": varint, "string": text, "binary": binary, "pair": lambda v: text(v[0]) + text(v[1]),
    }
    parts = []
    for name, value in pairs or ():
        identifier, kind = PROPERTIES[name]
        parts.append(bytes([identifier]) + encoders[kind](value))
    body = b"".join(parts)
    return varint(len(body)) + body


class Cursor:
    """Reads fields of one packet; running past its end is an error of the sender and raises."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def left(self):
        return len(self.data) - self.at

    def take(self, count):
        if count > self.left():
            raise ValueError("the packet ends inside a field")
        self.at += count
        return self.data[self.at - count:self.at]

    def byte(self):
        return self.take(1)[0]

    def u16(self):
        return struct.unpack("!H", self.take(2))[0]

    def u32(self):
        return struct.unpack("!I", self.take(4))[0]

    def varint(self):
        value = shift = 0
        while True:
            digit = self.byte()
            value |= (digit & 0x7F) << shift
            shift += 7
            if not digit & 0x80:
                return value
            if shift > 21:
                raise ValueError("a variable byte integer of more than four bytes")

    def binary(self):
        return self.take(self.u16())

    def string(self):
        return self.binary().decode()

    def properties(self):
        part = Cursor(self.take(self.varint()))
        pairs = []
        while part.left():
            name, kind = PROPERTY_NAMES[part.varint()]
            if kind == "pair":
                value = (part.string(), part.string())
            else:
                value = getattr(part, kind)()
            pairs.append((name, value))
        return pairs


class Packet:
    """One received packet; the fields depend on its type."""

    def __init__(self, first, body, version):
        self.type, self.flags, self.size = first >> 4, first & 15, 1 + len(varint(len(body))) + len(body)
        self.properties, self.reason, self.packet_id = [], 0, None
        cursor = Cursor(body)
        reader = getattr(self, "_read_" + TYPE_NAMES[self.type].lower(), None)
        if reader:
            reader(cursor, version)
        if cursor.left():
            raise ValueError(f"{TYPE_NAMES[self.type]} has {cursor.left()} bytes too many")

    def get(self, name):
        """The value of the first property of that name, or None."""
        return next((value for key, value in self.properties if key == name), None)

    def all(self, name):
        return [value for key, value in self.properties if key == name]

    def __repr__(self):
        fields = {key: value for key, value in vars(self).items() if key not in ("type", "flags")}
        if len(fields.get("payload", b"")) > 60:
            fields["payload"] = fields["payload"][:60] + b"..."
        return f"{TYPE_NAMES[self.type]}/{self.flags:04b} {fields}"

    def _read_connack(self, cursor, version):
        self.session_present = cursor.byte()
        self.reason = cursor.byte()
        if version == 5:
            self.properties = cursor.properties()

    def _read_publish(self, cursor, version):
        self.dup, self.qos, self.retain = self.flags >> 3, (self.flags >> 1) & 3, self.flags & 1
        self.topic = cursor.string()
        if self.qos:
            self.packet_id = cursor.u16()
        if version == 5:
            self.properties = cursor.properties()
        self.payload = cursor.take(cursor.left())

    def _read_ack(self, cursor, version):
        self.packet_id = cursor.u16()
        if version == 5 and cursor.left():
            self.reason = cursor.byte()
            if cursor.left():
                self.properties = cursor.properties()

    _read_puback = _read_pubrec = _read_pubrel = _read_pubcomp = _read_ack

    def _read_suback(self, cursor, version):
        self.packet_id = cursor.u16()
        if version == 5:
            self.properties = cursor.properties()
        self.reasons = list(cursor.take(cursor.left()))

    _read_unsuback = _read_suback

    def _read_disconnect(self, cursor, version):
        if cursor.left():
            self.reason = cursor.byte()
            if cursor.left():
                self.properties = cursor.properties()

    _read_auth = _read_disconnect


# --- packets that a client sends -------------------------------------------------------------------------------

def frame(packet_type, flags, body=b""):
    return bytes([packet_type << 4 | flags]) + varint(len(body)) + body


class Will:
    def __init__(self, topic, payload=b"", qos=0, retain=False, properties=None):
        self.topic, self.payload, self.qos, self.retain, self.properties = topic, payload, qos, retain, properties


def connect(client_id, version=5, clean=True, keep_alive=60, will=None, user_name=None, password=None, properties=None):
    flags = 2 if clean else 0
    payload = text(client_id)
    if will:
        flags |= 4 | will.qos << 3 | (32 if will.retain else 0)
        if version == 5:
            payload += encode_properties(will.properties)
        payload += text(will.topic) + binary(will.payload)
    if user_name is not None:
        flags |= 128
        payload += text(user_name)
    if password is not None:
        flags |= 64
        payload += binary(password)
    name = "MQIsdp" if version == 3 else "MQTT"
    head = text(name) + bytes([version, flags]) + struct.pack("!H", keep_alive)
    if version == 5:
        head += encode_properties(properties)
    return frame(CONNECT, 0, head + payload)


def publish(topic, payload=b"", qos=0, packet_id=None, retain=False, dup=False, version=5, properties=None):
    body = text(topic)
    if qos:
        body += struct.pack("!H", packet_id)
    if version == 5:
        body += encode_properties(properties)
    return frame(PUBLISH, (8 if dup else 0) | qos << 1 | (1 if retain else 0), body + payload)


def ack(packet_type, packet_id, reason=0, version=5, properties=None):
    body = struct.pack("!H", packet_id)
    if version == 5 and (reason or properties):
        body += bytes([reason])
        if properties:
            body += encode_properties(properties)
    return frame(packet_type, 2 if packet_type == PUBREL else 0, body)


def options(qos=0, no_local=False, retain_as_published=False, retain_handling=0):
    return qos | (4 if no_local else 0) | (8 if retain_as_published else 0) | retain_handling << 4


def subscribe(packet_id, filters, version=5, properties=None):
    """filters: pairs of (filter, options byte)."""
    body = struct.pack("!H", packet_id)
    if version == 5:
        body += encode_properties(properties)
    return frame(SUBSCRIBE, 2, body + b"".join(text(one) + bytes([byte]) for one, byte in filters))


def unsubscribe(packet_id, filters, version=5):
    body = struct.pack("!H", packet_id)
    if version == 5:
        body += encode_properties(None)
    return frame(UNSUBSCRIBE, 2, body + b"".join(text(one) for one in filters))


def disconnect(reason=0, version=5, properties=None):
    if version < 5 or (not reason and not properties):
        return frame(DISCONNECT, 0)
    body = bytes([reason])
    if properties:
        body += encode_properties(properties)
    return frame(DISCONNECT, 0, body)


# --- a connection ----------------------------------------------------------------------------------------------

class Closed(Exception):
    """The broker closed the connection while a packet was awaited."""


class Client:
    """A connection that has sent CONNECT (unless greet is False). Nothing is acknowledged behind the test's back.

    `dial` gives a connected socket, or what behaves like one, when plain TCP is not what is wanted.
    """

    def __init__(self, port, client_id="", version=5, expect=0, greet=True, host="127.0.0.1", timeout=10, dial=None,
                 source="", **connect_args):
        self.version, self.timeout = version, timeout
        self.buffer, self.kept, self.last_id = bytearray(), collections.deque(), 0
        if dial:
            self.socket = dial()
        else:
            self.socket = socket.create_connection((host, port), timeout=timeout,
                                                   source_address=(source, 0) if source else None)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connack = None
        if greet:
            try:
                self._greet(connect(client_id, version=version, **connect_args), expect)
            except BaseException:
                self.socket.close()
                raise

    def _greet(self, packet, expect):
        self.send(packet)
        self.connack = self.expect(CONNACK)
        if self.connack.reason not in (expect if isinstance(expect, tuple) else (expect,)):
            raise AssertionError(f"CONNACK {self.connack.reason:#04x}, expected {expect}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.cut()

    # bytes
    def send(self, data):
        self.socket.settimeout(self.timeout)
        self.socket.sendall(data)

    def cut(self):
        """Ends the connection without DISCONNECT."""
        self.socket.close()

    def _frame(self):
        """Cuts one packet out of the buffer, or returns None."""
        length = shift = 0
        for at in range(1, 5):
            if at >= len(self.buffer):
                return None
            length |= (self.buffer[at] & 0x7F) << shift
            shift += 7
            if not self.buffer[at] & 0x80:
                break
        else:
            raise ValueError("the broker sent a remaining length of more than four bytes")
        end = at + 1 + length
        if len(self.buffer) < end:
            return None
        body, first = bytes(self.buffer[at + 1:end]), self.buffer[0]
        del self.buffer[:end]
        return Packet(first, body, self.version)

    def receive(self, timeout=None):
        """The next packet from the wire. Raises Closed or TimeoutError."""
        end = time.monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            packet = self._frame()
            if packet:
                return packet
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError("no packet came")
            self.socket.settimeout(left)
            try:
                data = self.socket.recv(1 << 18)
            except ConnectionError:
                data = b""
            if not data:
                raise Closed
            self.buffer += data

    def expect(self, packet_type, timeout=None):
        """The next packet of that type; packets of other types are kept for later."""
        for packet in self.kept:
            if packet.type == packet_type:
                self.kept.remove(packet)
                return packet
        end = time.monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            try:
                packet = self.receive(max(0.0, end - time.monotonic()))
            except (TimeoutError, Closed) as error:
                raise AssertionError(f"no {TYPE_NAMES[packet_type]}: {type(error).__name__} {error}; "
                                     f"kept {list(self.kept)}") from error
            if packet.type == packet_type:
                return packet
            self.kept.append(packet)

    def silent(self, seconds=0.3):
        """Asserts that nothing comes for so long and that nothing was kept."""
        if self.kept:
            raise AssertionError(f"unexpected {list(self.kept)}")
        try:
            packet = self.receive(seconds)
        except TimeoutError:
            return
        raise AssertionError(f"unexpected {packet}")

    def ended(self, timeout=None):
        """Waits for the end of the connection; gives the reason of the DISCONNECT before it, None without one."""
        reason = None
        end = time.monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            try:
                packet = self.receive(max(0.0, end - time.monotonic()))
            except Closed:
                return reason
            except TimeoutError:
                raise AssertionError("the broker keeps the connection open") from None
            if packet.type == DISCONNECT:
                reason = packet.reason
                self.kept.append(packet)

    # exchanges
    def next_id(self):
        self.last_id = self.last_id % 65535 + 1
        return self.last_id

    def ping(self):
        self.send(frame(PINGREQ, 0))
        self.expect(PINGRESP)

    def subscribe(self, filters, qos=0, identifier=None, expect=None, **option_args):
        """filters: one filter, or pairs of (filter, options byte). Gives the reason codes of SUBACK."""
        if isinstance(filters, str):
            filters = [(filters, options(qos, **option_args))]
        packet_id = self.next_id()
        properties = None if identifier is None else [("subscription_identifier", identifier)]
        self.send(subscribe(packet_id, filters, self.version, properties))
        suback = self.expect(SUBACK)
        if suback.packet_id != packet_id:
            raise AssertionError(f"SUBACK for {suback.packet_id}, asked with {packet_id}")
        wanted = [byte & 3 for _, byte in filters] if expect is None else expect
        if suback.reasons != wanted:
            raise AssertionError(f"SUBACK {suback.reasons}, expected {wanted}")
        return suback

    def unsubscribe(self, *filters):
        packet_id = self.next_id()
        self.send(unsubscribe(packet_id, filters, self.version))
        return self.expect(UNSUBACK)

    def publish(self, topic, payload=b"", qos=0, retain=False, properties=None):
        """The whole exchange of one message. Gives the reason code of PUBACK or PUBREC (0 for QoS 0)."""
        if isinstance(payload, str):
            payload = payload.encode()
        packet_id = self.next_id() if qos else None
        self.send(publish(topic, payload, qos, packet_id, retain, version=self.version, properties=properties))
        if qos == 0:
            return 0
        answer = self.expect(PUBACK if qos == 1 else PUBREC)
        if answer.packet_id != packet_id:
            raise AssertionError(f"acknowledgement for {answer.packet_id}, published with {packet_id}")
        if qos == 2 and answer.reason < 0x80:
            self.send(ack(PUBREL, packet_id, version=self.version))
            if self.expect(PUBCOMP).packet_id != packet_id:
                raise AssertionError("PUBCOMP for another packet identifier")
        return answer.reason

    def accept(self, message):
        """Acknowledges a received PUBLISH to the end of its exchange."""
        if message.qos == 1:
            self.send(ack(PUBACK, message.packet_id, version=self.version))
        elif message.qos == 2:
            self.send(ack(PUBREC, message.packet_id, version=self.version))
            release = self.expect(PUBREL)
            if release.packet_id != message.packet_id or release.flags != 2:
                raise AssertionError(f"{release} after PUBREC {message.packet_id}")
            self.send(ack(PUBCOMP, message.packet_id, version=self.version))

    def message(self, timeout=None):
        """The next PUBLISH, acknowledged."""
        packet = self.expect(PUBLISH, timeout)
        self.accept(packet)
        return packet

    def messages(self, count, timeout=None):
        return [self.message(timeout) for _ in range(count)]

    def disconnect(self, reason=0, properties=None):
        self.send(disconnect(reason, self.version, properties))
        self.ended()
        self.socket.close()
