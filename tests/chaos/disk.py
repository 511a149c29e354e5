"""Looks for payloads where none may be: in the bytes of the data directory, and in what strace saw being written."""

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


def payloads_in(folder, canary):
    """[(file, form, offset)] and the number of bytes that were read."""
    found, size = [], 0
    for path in sorted(p for p in pathlib.Path(folder).rglob("*") if p.is_file()):
        data = path.read_bytes()
        size += len(data)
        for form, pattern in disguises(canary).items():
            at = data.find(pattern)
            if at >= 0:
                found.append((path.name, form, at))
    return found, size


# strace -yy: `123 sendto(9<TCP:[127.0.0.1:1883->127.0.0.1:4711]>, "...", 99, ...`
CALL = re.compile(r"^\d+ +(?:<\.\.\. )?(\w+)\((\d+)<([^>]*)")
SOCKET = re.compile(r"(TCP|TCPv6|UDP|UDPv6|UNIX|UNIX-STREAM|UNIX-DGRAM|socket):")


def payloads_traced(files, canary):
    """([lines that wrote the canary elsewhere than to a socket], number of writes of it to sockets)."""
    elsewhere, to_sockets = [], 0
    for path in files:
        with open(path, encoding="latin-1") as lines:
            for line in lines:
                if canary not in line:
                    continue
                call = CALL.match(line)
                if call and SOCKET.match(call.group(3)):
                    to_sockets += 1
                else:
                    elsewhere.append(line[:200])
    return elsewhere, to_sockets
