#!/usr/bin/python3
"""Asks for one page over HTTP at a fixed rate, by a few connections that stay open.

usage: asker.py PORT PATH RATE SECONDS

Prints how many answers of each status came, as JSON, and how late the schedule was at its end: who asks for more than is
answered in time falls behind. An answer that lacks a byte ends it with status 1.
"""

import collections
import json
import re
import socket
import sys
import time

CONNECTIONS = 4
HEAD = re.compile(rb"HTTP/1\.1 (\d{3}) .*?\r\nContent-Length: (\d+)\r\n(?:.*?\r\n)?\r\n", re.DOTALL)


def answer(connection, rest):
    """Gives the status, and what was read behind the answer."""
    while True:
        head = HEAD.match(rest)
        if head and len(rest) >= head.end() + int(head.group(2)):
            return int(head.group(1)), rest[head.end() + int(head.group(2)):]
        more = connection.recv(65536)
        if not more:
            raise SystemExit("the server ended the connection")
        rest += more


def main(port, path, rate, seconds):
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    connections = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(CONNECTIONS)]
    rests = [b""] * CONNECTIONS
    statuses = collections.Counter()
    began = time.monotonic()
    count = int(rate * seconds)
    for number in range(count):
        due = began + number / rate
        if (wait := due - time.monotonic()) > 0:
            time.sleep(wait)
        which = number % CONNECTIONS
        connections[which].sendall(request)
        status, rests[which] = answer(connections[which], rests[which])
        statuses[status] += 1
    print(json.dumps({"statuses": statuses, "behind_s": max(0.0, time.monotonic() - began - count / rate)}))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), float(sys.argv[4]))
