"""A reader of data.mdb, written from docs/records.md and the specifications that it names, and nothing else of ours.

Store(folder)   opens every record that lies in its tables; what it does not know is in `unknown`, and route rows without a key, which
                are in the broker's memory only (memory.py), in `sealed_routes`
"""

import dataclasses
import hashlib
import hmac
import struct

import carve
import slots

FORMAT, FORMAT_ROW = 3, b"metrino\0"
HEAD = 6
LEAVES_AWAY = 1 << 32  # the row of `keys` that is none of the tree

ACCOUNT_FLAGS = {1: "disabled", 2: "objected", 4: "restricted", 8: "has_address", 16: "has_password", 32: "has_rights"}
OUTCOMES = ("delivered", "refused", "unacknowledged", "queue_full", "slow_reader", "expired", "too_large", "memory", "qos0_away",
            "denied", "session_ended", "lost_in_crash", "unknown")
RUN = 0x30
RESULTS = ("right", "wrong", "refused")
INBOUND, OUTBOUND, QUEUED = "inbound", "outbound", "queued"
STEPS = {1: (INBOUND, "open"), 2: (INBOUND, "end"), 3: (OUTBOUND, "sent"), 4: (OUTBOUND, "received"), 5: (OUTBOUND, "end"),
         6: (QUEUED, "")}


def mac(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def pseudonym(key, identity):
    return mac(key, identity)[:16]


class Body:
    """Takes one field after the other; nothing may be left, nothing may be missing."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        if self.at + count > len(self.data):
            raise ValueError("it is cut short")
        self.at += count
        return self.data[self.at - count:self.at]

    def number(self, count, signed=False):
        return int.from_bytes(self.take(count), "big", signed=signed)

    def text(self):
        return self.take(self.number(2))

    def varint(self):
        value = shift = 0
        while True:
            byte = self.number(1)
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    @property
    def left(self):
        return len(self.data) - self.at

    def version(self, expected):
        if (found := self.number(1)) != expected:
            raise ValueError(f"its version is {found}")


def flags_of(value):
    if value & ~sum(ACCOUNT_FLAGS):
        raise ValueError(f"flags {value:#x}")
    return {word for bit, word in ACCOUNT_FLAGS.items() if value & bit}


def rights(text):
    """[(access, filter)] of lines of acl_file."""
    lines = [line.split(" ", 2) for line in text.decode().splitlines()]
    if any(line[0] != "pattern" for line in lines):
        raise ValueError("rights that are no patterns")
    return [(access, topic_filter) for _, access, topic_filter in lines]


# --- bodies

def session(body):
    found = {"realm": body.number(4), "expiry_s": body.number(4)}
    flags = body.number(1)
    if flags & ~3:
        raise ValueError(f"flags {flags:#x}")
    found.update(connected=bool(flags & 1), since_s=body.number(8), owner=body.number(8) if flags & 2 else 0,
                 client_id=body.text().decode(), token=None)
    if body.left:
        found["token"] = {"made_s": body.number(8), "latest": body.take(32), "before": body.take(32)}
    return found


def subscription(body):
    return {"session": body.number(8), "identifier": body.number(4), "options": body.number(1), "filter": body.text().decode()}


def step(body):
    kind = body.number(1)
    with_group, (what, state) = kind & 128, STEPS[kind & 127]
    if with_group and what != OUTBOUND:
        raise ValueError("a group where none can be")
    found = {"what": what, "state": state, "session": body.number(8)}
    if what == QUEUED:
        return {**found, "count": body.number(4)}
    return {**found, "packet_id": body.number(2), "envelope": body.number(8), "group": body.number(8) if with_group else 0}


def steps(body):
    found = []
    while body.left:
        found.append(step(body))
    return found


def account(body):
    body.version(1)
    return {"flags": flags_of(body.number(1)), "secret": body.take(32), "address": body.take(32), "name": body.text().decode(),
            "password": body.text().decode(), "rights": rights(body.text())}


def device_key(body):
    body.version(1)
    return {"flags": flags_of(body.number(1)), "account": body.number(8), "ends_s": body.number(8),
            "iterations": body.number(4), "salt": body.take(16), "stored_key": body.take(32), "server_key": body.take(32),
            "id": body.text().decode(), "rights": rights(body.text())}


def login(body):
    body.version(1)
    return {"account": body.number(8), "minute": body.number(8), "result": RESULTS[body.number(1)]}


def day(body):
    body.version(1)
    return {"day": body.number(8), "kept": bool(body.number(1)), "of_qos": [body.number(8, signed=True) for _ in range(3)],
            "accounts": body.number(8, signed=True)}


def route(body):
    """The rows of a block: milliseconds since 1970, names of source and destination (None: nobody), QoS, outcome."""
    at_ms, count, name_count, length = body.number(8) * 1000, body.number(4), body.number(2), body.number(2)
    names = [None] + [body.take(16) for _ in range(name_count)]
    if body.left != length:
        raise ValueError("its length does not fit")
    found, source, destination = [], 0, 0
    while body.left:
        first = body.number(1)
        if first == RUN:
            run = body.varint()
            for _ in range(run // 2):
                destination += run & 1
                found.append({**found[-1], "destination": names[destination]})
            continue
        at_ms += body.varint() if first & 64 else 0
        source = body.varint() if first & 128 else source
        destination = body.varint()
        found.append({"at_ms": at_ms, "source": names[source], "destination": names[destination], "qos": first >> 4 & 3,
                      "outcome": OUTCOMES[first & 15]})
    if len(found) != count:
        raise ValueError("there are not as many rows as it says")
    return {"names": names[1:], "rows": found}


# class: (table, body, the word of the key that it is under; None: see Store)
CLASSES = {1: ("session", session, None), 2: ("subscription", subscription, None), 3: ("envelope", steps, "envelope"),
           5: ("accounts", account, None), 6: ("device keys", device_key, None), 8: ("auth", login, "auth-day"),
           9: ("aggregates", day, "aggregate-day"), 10: ("route", route, "route")}


@dataclasses.dataclass
class Record:
    table: str
    row: int
    key_number: int
    body: object


# --- the file

class Store:
    """The records of a data directory; `routes` are the keys of route rows, by epoch."""

    def __init__(self, folder, wrapping=None, routes=None):
        self.keys = slots.keys(folder / "keys.slots", wrapping)
        self.keys.update({("route", epoch): key for epoch, key in (routes or {}).items()})
        self.nodes, self.records, self.unknown, self.sealed_routes = {}, [], [], []
        raw = (folder / "data.mdb").read_bytes()
        self.rows = [(table, key, value) for table, key, value in carve.rows(raw) if not self.is_meta(table, key, value)]
        self.open_tree()
        for table, key, value in self.rows:
            if table != "keys":
                self.open_row(table, int.from_bytes(key, "big"), value)

    @staticmethod
    def is_meta(table, key, value):
        return table == "meta" and (key, value) == (b"format", FORMAT_ROW + struct.pack(">I", FORMAT))

    @staticmethod
    def unseal(key, row, value):
        return slots.unseal(key, value[HEAD:], value[:HEAD] + row.to_bytes(8, "big")) if key else None

    def open_tree(self):
        """Top down: a node that does not open leaves those below it shut."""
        kept = {int.from_bytes(key, "big"): value for table, key, value in self.rows if table == "keys"}
        if kept.pop(LEAVES_AWAY, b"\0") != b"\0":
            self.unknown.append(("keys", LEAVES_AWAY, "is another row"))
        for row in sorted(kept):
            value = kept[row]
            generation = int.from_bytes(value[2:HEAD], "big")
            text = self.unseal(self.key_above(row, generation), row, value)
            if value[:2] != b"\2\4" or (row and generation) or text is None or len(text) != 256 * 32:
                self.unknown.append(("keys", row, "does not open"))
            else:
                self.nodes[row] = [text[i:i + 32] for i in range(0, len(text), 32)]

    def key_above(self, row, generation):
        if row == 0:
            return self.keys.get(("root", generation))
        above, place = (0, row - 1) if row <= 256 else (1 + (row - 257) // 256, (row - 257) % 256)
        return self.nodes[above][place] if above in self.nodes else None

    def leaf(self, number):
        bottom = self.nodes.get(257 + number // 256)
        return bottom[number % 256] if bottom else None

    def open_row(self, table, row, value):
        kind, number = value[1], int.from_bytes(value[2:HEAD], "big")
        name, decode, word = CLASSES.get(kind, ("", None, None))
        if value[0] != 2 or name != table:
            self.unknown.append((table, row, f"version {value[0]}, class {kind}"))
            return
        key = self.keys.get((word, number)) if word else self.leaf(number)
        text = self.unseal(key, row, value)
        if text is None and word == "route" and key is None:
            self.sealed_routes.append((row, number, value))
            return
        try:
            if text is None:
                raise ValueError("does not open")
            body = Body(text)
            self.records.append(Record(table, row, number, decode(body)))
            if body.left:
                raise ValueError("has bytes behind its end")
        except (ValueError, KeyError, IndexError) as error:
            self.unknown.append((table, row, str(error)))

    def of(self, table):
        return [record for record in self.records if record.table == table]

    def bodies(self, table):
        return [record.body for record in self.of(table)]

    # --- what follows from several

    def owner(self, kind, name):
        """Of a session, where it is not an account's."""
        key = slots.derive(self.keys["token", 0], "owner", "session", 0)
        number = struct.unpack("=Q", mac(mac(key, bytes([kind])), name.encode())[:8])[0]
        return kind << 61 | number & (1 << 61) - 1

    def token_hash(self, owner, credential, client_id, token):
        key = slots.derive(self.keys["token", 0], "token", "session", 0)
        parts = [mac(key, part) for part in (credential, client_id.encode(), token.encode())]
        return mac(key, struct.pack("=Q", owner) + b"".join(parts))

    def exchanges(self):
        """What is open: {(session, inbound or outbound, packet identifier): step}, and {session: deliveries that wait}."""
        latest, queued = {}, {}
        for record in sorted(self.of("envelope"), key=lambda one: one.row):
            for one in record.body:
                if one["what"] == QUEUED:
                    queued[one["session"]] = one["count"]
                else:
                    latest[one["session"], one["what"], one["packet_id"]] = one
        alive = {record.row for record in self.of("session")}
        return ({name: one for name, one in latest.items() if one["state"] != "end" and name[0] in alive},
                {row: count for row, count in queued.items() if row in alive and count})
