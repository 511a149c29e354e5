"""A reader of keys.slots, written from docs/records.md and the specifications it names, and nothing else of ours."""

import dataclasses
import hashlib

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SLOTS, SLOT_SIZE = 256, 4096
FREE, CLEAR, WRAPPED, DAMAGED = range(4)
WORDS = {1: "root", 2: "envelope", 3: "auth-day", 4: "aggregate-day", 5: "email-index", 6: "token", 7: "device-key",
         8: "audit-signing", 9: "recovery"}


def crc32c_of_byte(value):
    for _ in range(8):
        value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)  # 0x1EDC6F41, reflected
    return value


CRC = [crc32c_of_byte(byte) for byte in range(256)]


def crc32c(data):
    value = 0xFFFFFFFF
    for byte in data:
        value = value >> 8 ^ CRC[(value ^ byte) & 255]
    return value ^ 0xFFFFFFFF


def hkdf(secret, info):
    return HKDF(hashes.SHA256(), 32, None, info.encode()).derive(secret)


def derive(key, purpose, word, epoch):
    return hkdf(key, f"metrino/1|{purpose}|{word}|{epoch}")


def wrapping_key(secret):
    """Of all bytes of a key_file."""
    return hkdf(secret, "metrino/1|wrap|keys|0")


def xaes(key, nonce):
    """XAES-256-GCM: the AES-256-GCM of a record, and its nonce."""
    aes = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    encrypt = aes.update
    first = int.from_bytes(encrypt(bytes(16)), "big")
    subkey = first << 1 & (1 << 128) - 1
    if first >> 127:
        subkey ^= 0b10000111
    blocks = [bytes([0, counter]) + b"X\0" + nonce[:12] for counter in (1, 2)]
    record_key = b"".join(encrypt((int.from_bytes(block, "big") ^ subkey).to_bytes(16, "big")) for block in blocks)
    return AESGCM(record_key), nonce[12:]


def seal(key, nonce, text, associated=b""):
    gcm, rest = xaes(key, nonce)
    return gcm.encrypt(rest, text, associated)


def unseal(key, sealed, associated=b""):
    """None: not authentic."""
    gcm, rest = xaes(key, sealed[:24])
    try:
        return gcm.decrypt(rest, sealed[24:], associated)
    except InvalidTag:
        return None


def accumulate(rounds):
    """The accumulated test of C2SP's specification: one hash of many sealed texts, which holds this file to it."""
    stream = hashlib.shake_128(b"").digest(rounds * (32 + 24 + 256 + 256))
    digest, at = hashlib.shake_128(), 0

    def take(count):
        nonlocal at
        at += count
        return stream[at - count:at]

    for _ in range(rounds):
        key, nonce = take(32), take(24)
        text = take(take(1)[0])
        associated = take(take(1)[0])
        digest.update(seal(key, nonce, text, associated))
    return digest.hexdigest(32)


@dataclasses.dataclass
class Slot:
    number: int
    form: int
    word: str = ""
    epoch: int = 0
    generation: int = 0
    field: bytes = b""
    head: bytes = b""

    def key(self, wrapping=None):
        """None: it is wrapped under another key, or has none."""
        if self.form == CLEAR:
            return self.field[:32]
        return unseal(wrapping, self.field, self.head) if self.form == WRAPPED and wrapping else None


def read_slot(number, block):
    if block[:8] != b"metrkey1" or int.from_bytes(block[104:108], "big") != crc32c(block[:104]):
        return Slot(number, DAMAGED)
    if int.from_bytes(block[8:10], "big") != number or block[10] > WRAPPED or block[12:16] != bytes(4):
        raise ValueError(f"slot {number} is of another version, or another place")
    if block[10] == FREE:
        if any(block[11:32]):
            raise ValueError(f"slot {number} is free and says more")
        return Slot(number, FREE)
    return Slot(number, block[10], WORDS[block[11]], int.from_bytes(block[16:24], "big"),
                int.from_bytes(block[24:32], "big"), block[32:104], block[:32])


def read(path):
    """All slots of a file."""
    data = path.read_bytes()
    if len(data) != SLOTS * SLOT_SIZE:
        raise ValueError(f"{len(data)} bytes")
    return [read_slot(i, data[i * SLOT_SIZE:(i + 1) * SLOT_SIZE]) for i in range(SLOTS)]


def keys(path, wrapping=None):
    """{(word, epoch): key} of a file; of two slots with the same, the later counts."""
    found = {}
    for slot in sorted(read(path), key=lambda one: one.generation):
        if slot.form in (CLEAR, WRAPPED):
            found[slot.word, slot.epoch] = slot.key(wrapping)
    return found
