"""Finds sealed records in the raw bytes of a data.mdb. LMDB is not asked, only its layout is used (data version 1, 64 bits,
little endian): pages of 4 KiB begin with page number (64 bits), 16 bits, flags, and the bounds of free space (16 bits each)
or, for an overflow page, a count of pages; a node is lo, hi, flags and key length (16 bits each), key, data. A sealed record
is version 2, class, number of the key (32 bits), nonce, text, tag (storage/sealed_record.h).

rows()     what is there, by walking the tree
records()  what is there, and what was deleted and is not written over, also in anything else that once held the file"""

import re
import struct
import typing

PAGE, NONCE, TAG = 4096, 24, 16
HEAD = 6
CLASSES = range(1, 11)
# A node with a key of 8 bytes whose data begin as a sealed record does.
NODE = re.compile(rb"(?s)(?=(..)(..)\x00\x00\x08\x00(.{8})\x02([\x01-\x0a])(.{4}))")
# An overflow page that begins so.
OVERFLOW = re.compile(rb"(?s)(?=.{8}\x00\x00\x04\x00(.{4})\x02([\x01-\x0a])(.{4}))")


class Record(typing.NamedTuple):
    row: typing.Optional[int]   # None: the node that knows it is somewhere else
    kind: int                   # the class
    key_number: int
    at: int                     # where in the raw bytes
    sealed: bytes               # nonce, text, tag; for an overflow page more may follow

    @property
    def nonce(self):
        return self.sealed[:NONCE]


def records(raw):
    """What looks like one; what only looks like one does not open."""
    for found in NODE.finditer(raw):
        length = int.from_bytes(found[1], "little") | int.from_bytes(found[2], "little") << 16
        at = found.start() + 16
        if HEAD + NONCE + TAG <= length <= PAGE and at + length <= len(raw):
            yield Record(int.from_bytes(found[3], "little"), found[4][0], int.from_bytes(found[5], "big"), at,
                         raw[at + HEAD:at + length])
    for found in OVERFLOW.finditer(raw):
        pages, at = int.from_bytes(found[1], "little"), found.start() + 16
        if found.start() % PAGE == 0 and 0 < pages <= 32:
            yield Record(None, found[2][0], int.from_bytes(found[3], "big"), at,
                         raw[at + HEAD:found.start() + pages * PAGE])


def u16(raw, at):
    return int.from_bytes(raw[at:at + 2], "little")


def u64(raw, at):
    return int.from_bytes(raw[at:at + 8], "little")


def nodes(raw, page):
    """(flags, key, data or page of the data, length) of all nodes below a page."""
    at = page * PAGE
    leaf = u16(raw, at + 10) & 2
    for slot in range((u16(raw, at + 12) - 16) // 2):
        node = at + u16(raw, at + 16 + 2 * slot)
        low, high, flags, key_len = struct.unpack_from("<4H", raw, node)
        key = raw[node + 8:node + 8 + key_len]
        if not leaf:
            yield from nodes(raw, low | high << 16 | flags << 32)
        else:
            yield flags, key, node + 8 + key_len, low | high << 16


def table(raw, description):
    """(key, value) of a table by its MDB_db."""
    root = u64(raw, description + 40)
    for flags, key, at, length in nodes(raw, root) if root != (1 << 64) - 1 else ():
        if flags & 1:  # on overflow pages
            at = u64(raw, at) * PAGE + 16
        yield flags, key, at, length


def rows(raw):
    """(table, key, value) of all that is there; what lies beside the tables is in the table ''."""
    meta = max((0, PAGE), key=lambda at: u64(raw, at + 16 + 128))
    for flags, name, at, length in table(raw, meta + 16 + 24 + 48):
        if flags & 2:  # a table of that name
            for _, key, value, size in table(raw, at):
                yield name.decode(), key, raw[value:value + size]
        else:
            yield "", name, raw[at:at + length]


def nonces(raw):
    """{nonce: what was sealed with it}, of the rows that are there."""
    return {value[HEAD:HEAD + NONCE]: value[:HEAD] + value[HEAD + NONCE:] for _, _, value in rows(raw)
            if len(value) >= HEAD + NONCE + TAG and value[0] == 2}
