#!/usr/bin/python3
"""Verifies an audit log from the specifications alone; knows nothing of Metrino's code.

usage: verifier.py DIRECTORY [VKEY]      prints `SIZE ROOT`; exit code 1 and a sentence when anything is wrong

c2sp.org/tlog-tiles, c2sp.org/tlog-checkpoint, c2sp.org/signed-note, RFC 6962 section 2.1, RFC 8032, RFC 4648.
"""

import base64
import hashlib
import json
import pathlib
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

WIDTH = 256


class Wrong(Exception):
    pass


def need(condition, words):
    if not condition:
        raise Wrong(words)


def sha256(data):
    return hashlib.sha256(data).digest()


def node(left, right):
    return sha256(b"\x01" + left + right)


def subtree(hashes):
    """MTH over hashes of complete subtrees of one size."""
    if len(hashes) == 1:
        return hashes[0]
    k = 1
    while 2 * k < len(hashes):
        k *= 2
    return node(subtree(hashes[:k]), subtree(hashes[k:]))


def root_of(leaves):
    return subtree(leaves) if leaves else sha256(b"")


def decode(text, length):
    data = base64.b64decode(text, validate=True)
    need(len(data) == length and base64.b64encode(data) == text, f"not base64 of {length} bytes")
    return data


def read_vkey(text):
    name, key_id, key = text.strip().split(b"+", 2)
    typed = decode(key, 33)
    need(typed[0] == 1, "not an Ed25519 key")
    need(sha256(name + b"\n" + typed)[:4].hex().encode() == key_id, "vkey: the id is not that of name and key")
    return name, bytes.fromhex(key_id.decode()), typed[1:]


def open_note(text, vkey):
    name, key_id, key = vkey
    need(b"\n\n" in text and text.endswith(b"\n"), "checkpoint: not a signed note")
    body, signatures = text.split(b"\n\n", 1)
    body += b"\n"
    good = 0
    for line in signatures[:-1].split(b"\n"):
        need(line.startswith("\N{EM DASH} ".encode()), "checkpoint: a signature line without a dash")
        signer, data = line.split(b" ", 1)[1].split(b" ", 1)
        if signer != name:
            continue
        data = decode(data, 68)
        if data[:4] == key_id:
            Ed25519PublicKey.from_public_bytes(key).verify(data[4:], body)
            good += 1
    need(good, "checkpoint: no signature of this key")
    lines = body[:-1].split(b"\n")
    need(lines[0] == name, "checkpoint: another origin")
    need(lines[1] == str(int(lines[1])).encode(), "checkpoint: not a size")
    return int(lines[1]), decode(lines[2], 32)


def path_of(level, number, width):
    groups = [f"{number % 1000:03}"]
    while number >= 1000:
        number //= 1000
        groups.insert(0, f"x{number % 1000:03}")
    return f"tile/{level}/{'/'.join(groups)}" + (f".p/{width}" if width < WIDTH else "")


def entries_of(data):
    entries = []
    while data:
        length = int.from_bytes(data[:2], "big")
        need(len(data) >= 2 + length, "a bundle ends in the middle of an entry")
        entries.append(data[2:2 + length])
        data = data[2 + length:]
    return entries


def read_level(log, level, count):
    """(number, width) of the files of a level with so many hashes."""
    for number in range((count + WIDTH - 1) // WIDTH):
        width = min(WIDTH, count - number * WIDTH)
        path = path_of(level, number, width)
        need((log / path).is_file(), f"{path}: not there")
        yield path, width, (log / path).read_bytes()


def verify(log, vkey=None):
    size, root = open_note((log / "checkpoint").read_bytes(), read_vkey(vkey or (log / "vkey").read_bytes()))
    entries = []
    for path, width, data in read_level(log, "entries", size):
        found = entries_of(data)
        need(len(found) == width, f"{path}: {len(found)} entries, not {width}")
        entries += found
    hashes = leaves = [sha256(b"\x00" + entry) for entry in entries]
    level = 0
    while hashes:
        for path, width, data in read_level(log, level, len(hashes)):
            at = int(path.split(".p/")[0].replace("x", "").split("/", 2)[2].replace("/", "")) * WIDTH
            need(data == b"".join(hashes[at:at + width]), f"{path}: not the hashes of the entries")
        hashes = [subtree(hashes[i:i + WIDTH]) for i in range(0, len(hashes) - WIDTH + 1, WIDTH)]
        level += 1
    need(root_of(leaves) == root, "the root is not that of the entries")
    check_lines(log, entries)
    return size, root


def check_lines(log, entries):
    """What Metrino says of its entries: canonical JSON, each at its place, the same lines in audit.jsonl."""
    for index, entry in enumerate(entries):
        value = json.loads(entry)
        need(json.dumps(value, sort_keys=True, separators=(",", ":")).encode() == entry, f"entry {index}: not canonical")
        need(value["index"] == index and value["time"] % 3600 == 0, f"entry {index}: a wrong index or time")
    lines = (log / "audit.jsonl").read_bytes() if entries else b""
    need(lines == b"".join(entry + b"\n" for entry in entries), "audit.jsonl: not the entries")


if __name__ == "__main__":
    try:
        tree_size, tree_root = verify(pathlib.Path(sys.argv[1]), sys.argv[2].encode() if len(sys.argv) > 2 else None)
    except (Wrong, ValueError, KeyError, IndexError, OSError, InvalidSignature) as wrong:
        sys.exit(f"wrong: {type(wrong).__name__} {wrong}")
    print(tree_size, base64.b64encode(tree_root).decode())
