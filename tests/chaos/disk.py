"""Looks for payloads and topics where none may be: in the bytes of files, and in what strace saw being written."""

import base64
import pathlib
import re


def disguises(canary):
    """The canary and the forms in which something might have written it."""
    plain = canary.encode()
    forms = {"clear": plain, "hex": plain.hex().encode(), "HEX": plain.hex().upper().encode(),
             "reversed": plain[::-1], "utf-16": canary.encode("utf-16-le")}
    for shift in range(3):  # where the canary begins within a group of three bytes
        encoded = base64.b64encode(b"\0" * shift + plain)
        whole = encoded[(0, 2, 3)[shift]:len(encoded) - 4]  # without what its neighbours decide
        forms[f"base64+{shift}"] = whole
        forms[f"base64url+{shift}"] = whole.replace(b"+", b"-").replace(b"/", b"_")
    return forms


def secrets_in(paths, secrets):
    """[(file, form, offset)] and the number of bytes that were read. `paths`: files, and folders with all in them."""
    files = [f for p in map(pathlib.Path, paths) for f in (sorted(p.rglob("*")) if p.is_dir() else [p]) if f.is_file()]
    patterns = [pair for secret in secrets for pair in disguises(secret).items()]
    found, size = [], 0
    for path in files:
        data = path.read_bytes()
        size += len(data)
        for form, pattern in patterns:
            at = data.find(pattern)
            if at >= 0:
                found.append((path.name, form, at))
    return found, size


# strace -yy: `123 sendto(9<TCP:[127.0.0.1:1883->127.0.0.1:4711]>, "...", 99, ...`
CALL = re.compile(r"^\d+ +(?:<\.\.\. )?(\w+)\((\d+)<((?:->|[^>])*)>")
SHARED_MAP = re.compile(r"^\d+ +mmap\([^,]*, \d+, [A-Z_|]*PROT_WRITE[A-Z_|]*, MAP_SHARED[A-Z_|]*, \d+<([^>]*)>")
ESCAPE = re.compile(rb"\\(x[0-9a-f]{2}|[0-7]{1,3}|.)")
PLAIN = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"v": b"\v", b"f": b"\f"}
MAPPED = "/lock.mdb"    # holds process ids, and is written through a map: the one file that may be
# Ways to write that strace -e cannot show the bytes of: nothing may use them.
BLIND = ("splice", "tee", "vmsplice", "sendfile", "copy_file_range", "io_uring_setup", "io_uring_enter",
         "process_vm_writev")


def unescaped(line):
    """The bytes of a traced line, as they were before strace made them printable."""
    def one(match):
        word = match.group(1)
        if word[:1] == b"x":
            return bytes([int(word[1:], 16)])
        return bytes([int(word, 8) & 255]) if word.isdigit() else PLAIN.get(word, word)
    return ESCAPE.sub(one, line)


def is_street(descriptor, port):
    """The broker's end of a client's connection; one that is closing has no addresses any more."""
    ends = re.match(r"TCP(?:v6)?:\[(.*)\]$", descriptor)
    return bool(ends) and (ends.group(1).isdigit() or re.search(rf":{port}->", ends.group(1)) is not None)


def payloads_traced(files, canary, port):
    """([lines that wrote the canary, in any form, elsewhere than to a client of that port, or may have], number of
    writes of it to clients)."""
    elsewhere, to_clients = [], 0
    patterns = disguises(canary).values()
    for path in files:
        with open(path, "rb") as lines:
            for raw in lines:
                line = raw.decode("latin-1")
                call = CALL.match(line)
                if call and is_street(call.group(3), port):
                    to_clients += canary.encode() in raw
                    continue
                mapped = SHARED_MAP.match(line)
                if (mapped and not mapped.group(1).endswith(MAPPED)
                        or line.split(None, 1)[-1].startswith(tuple(f"{name}(" for name in BLIND))):
                    elsewhere.append(line[:200])
                elif "mmap(" not in line and any(p in unescaped(raw) or p in raw for p in patterns):
                    elsewhere.append(line[:200])
    return elsewhere, to_clients
