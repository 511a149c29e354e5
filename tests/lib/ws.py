"""WebSocket by hand (RFC 6455): what a client sends, frame by frame, and what comes back."""

import base64
import hashlib
import os
import socket
import struct

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
KEY = base64.b64encode(bytes(range(16))).decode()
ACCEPT = base64.b64encode(hashlib.sha1((KEY + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()


def request(path="/mqtt", line=None, drop=(), **fields):
    """An opening handshake; fields with _ for - replace those of a good one, `drop` leaves some out."""
    headers = {"Host": "localhost", "Upgrade": "websocket", "Connection": "keep-alive, Upgrade", "Sec-WebSocket-Key": KEY,
               "Sec-WebSocket-Version": "13", "Sec-WebSocket-Protocol": "mqtt"}
    headers.update({name.replace("_", "-"): value for name, value in fields.items()})
    lines = [line or f"GET {path} HTTP/1.1"] + [f"{name}: {value}" for name, value in headers.items() if name not in drop]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def frame(opcode, payload=b"", fin=True, mask=b"\x12\x34\x56\x78", reserved=0, length=None, long_form=None):
    """One frame. `length` lies about the payload; `long_form` 16 or 64 makes the length that wide."""
    n = len(payload) if length is None else length
    bit = 0x80 if mask else 0
    form = long_form or (64 if n > 65535 else 16 if n > 125 else 7)
    head = bytes([(0x80 if fin else 0) | reserved << 4 | opcode])
    head += {7: bytes([bit | n & 127]), 16: bytes([bit | 126]) + struct.pack("!H", n & 65535), 64: bytes([bit | 127]) + struct.pack("!Q", n)}[form]
    if mask:
        payload = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload)) if len(payload) < 100000 else masked(payload, mask)
    return head + mask + payload


def masked(payload, mask):
    key = int.from_bytes(mask * (len(payload) // 4 + 1), "big") >> 8 * (4 - len(payload) % 4 if len(payload) % 4 else 4)
    return (int.from_bytes(payload, "big") ^ key).to_bytes(len(payload), "big")


class Refused(Exception):
    """The answer to the opening handshake was no; `status` says which."""

    def __init__(self, status, text):
        super().__init__(f"HTTP {status}")
        self.status, self.text = status, text


class Connection:
    """A connection after its opening handshake; behaves like a socket for wire.Client, and lets frames be seen."""

    def __init__(self, dial, ask=None, **fields):
        self.socket = dial()
        self.buffer, self.payload, self.frames, self.close_code = bytearray(), bytearray(), [], None
        try:
            self.socket.settimeout(10)
            self.socket.sendall(request(**fields) if ask is None else ask)
            self.answer = self._answer()
        except BaseException:
            self.socket.close()
            raise

    def _more(self):
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("the end")
        self.buffer += data

    def _answer(self):
        while b"\r\n\r\n" not in self.buffer:
            self._more()
        head, _, rest = bytes(self.buffer).partition(b"\r\n\r\n")
        self.buffer = bytearray(rest)
        status = int(head.split()[1])
        if status != 101:
            raise Refused(status, head.decode())
        return {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in head.decode().split("\r\n")[1:])}

    def _cut(self):
        """One frame out of the buffer: (opcode, payload), or None."""
        if len(self.buffer) < 2:
            return None
        assert not self.buffer[1] & 0x80, "the broker masks"
        assert self.buffer[0] & 0x70 == 0, "reserved bits"
        n, at = self.buffer[1] & 127, 2
        if n >= 126:
            size = 2 if n == 126 else 8
            if len(self.buffer) < 2 + size:
                return None
            n, at = int.from_bytes(self.buffer[2:2 + size], "big"), 2 + size
        if len(self.buffer) < at + n:
            return None
        found = self.buffer[0] & 15, bytes(self.buffer[at:at + n])
        del self.buffer[:at + n]
        return found

    def next_frame(self):
        while True:
            found = self._cut()
            if found:
                return found
            self._more()

    def close_code_of_broker(self):
        """Reads up to a close frame; gives its code. The connection has to end after it, without an error."""
        opcode, payload = self.next_frame()
        while opcode != CLOSE:
            opcode, payload = self.next_frame()
        assert not self.buffer
        assert self.socket.recv(10) == b"", "the end after a close frame"
        return int.from_bytes(payload[:2], "big") if payload else None

    # as a socket
    def settimeout(self, seconds):
        self.socket.settimeout(seconds)

    def sendall(self, data):
        self.socket.sendall(frame(BINARY, data))

    def recv(self, room):
        while not self.payload:
            opcode, payload = self.next_frame()
            if opcode == CLOSE:
                self.close_code = int.from_bytes(payload[:2], "big")
                return b""
            if opcode == BINARY:
                self.payload += payload
            else:
                self.frames.append((opcode, payload))
        data = bytes(self.payload[:room])
        del self.payload[:room]
        return data

    def setsockopt(self, *args):
        self.socket.setsockopt(*args)

    def close(self):
        self.socket.close()


def tcp(port):
    return lambda: socket.create_connection(("127.0.0.1", port), timeout=10)


def random_mask():
    return os.urandom(4)
