"""Everybody comes back at once, by token: no password is hashed, and it takes what TLS takes.

`make bench-storm` does it with ten thousand: docs/performance.md.
"""

import asyncio
import collections
import os
import pathlib
import resource
import shutil
import sys
import tempfile
import time

import harness
import pki
import wire
from test_door import metrino_passwd
from test_token import TokenTest, TOPIC, token_of

CLIENTS = 300
AT_ONCE = 200   # handshakes under way: what one process of Python can keep up with
PATIENCE_S = 300
ASKING = [("session_expiry_interval", 3600), ("user_property", ("metrino-token", "1"))]


class Visitor:
    """A client over TLS. Even ones are clean sessions of 3.1.1, odd ones of 5.0 last."""

    def __init__(self, number, user="bob"):
        self.number, self.user, self.secret = number, user, "secret"
        self.version = 5 if number % 2 else 4
        self.writer = None

    def connect_packet(self):
        return wire.connect(f"visitor{self.number}", version=self.version, clean=self.version == 4,
                            user_name=self.user, password=self.secret.encode() if self.user else None,
                            properties=ASKING if self.version == 5 and self.user else None)

    async def packet(self, reader):
        first = (await reader.readexactly(1))[0]
        length = shift = 0
        while True:
            byte = (await reader.readexactly(1))[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return wire.Packet(first, await reader.readexactly(length), self.version)

    async def come(self, port, context):
        reader, self.writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
        self.writer.write(self.connect_packet())
        connack = await self.packet(reader)
        if connack.reason == 0 and self.version == 5:
            self.secret = token_of(connack) or self.secret
        elif connack.reason == 0 and self.user:
            self.writer.write(wire.subscribe(1, [(TOPIC, 0)], version=4))
            await self.packet(reader)
            self.secret = (await self.packet(reader)).payload.decode()
        return connack.reason

    def cut(self):
        if self.writer:
            self.writer.transport.abort()
        self.writer = None


async def cut(visitors):
    for visitor in visitors:
        visitor.cut()
    await asyncio.sleep(0.1)  # now they are


async def all_of(visitors, port, context, at_once=AT_ONCE):
    """They come; gives how often each reason was the answer."""
    turn = asyncio.Semaphore(at_once)
    reasons = collections.Counter()

    async def one(visitor):
        async with turn:
            try:
                reasons[await visitor.come(port, context)] += 1
            except (OSError, asyncio.IncompleteReadError) as error:
                reasons[type(error).__name__] += 1

    await asyncio.wait_for(asyncio.gather(*map(one, visitors)), PATIENCE_S)
    return reasons


@harness.own_only("session tokens")
class Storm(TokenTest):
    alone = True

    def setUp(self):
        super().setUp()
        harness.raise_descriptor_limit()
        self.runner = asyncio.Runner()
        self.addCleanup(self.runner.close)
        home = pathlib.Path(tempfile.mkdtemp(prefix="metrino-pki-"))
        home.chmod(0o755)
        self.addCleanup(shutil.rmtree, home, ignore_errors=True)
        authority = pki.Authority(home / "ca")
        certificate, key = authority.server()
        self.context = authority.context()
        self.secure, self.anonymous = harness.free_port(), harness.free_port()
        keys = f"certfile {certificate}\nkeyfile {key}\n"
        self.broker.folders = [home]
        self.broker.config += (f"connect_timeout 60\nlistener {self.secure} 127.0.0.1\n{keys}"
                               f"listener {self.anonymous} 127.0.0.1\n{keys}listener_allow_anonymous true\n")
        self.broker.start()

    def cpu_s(self):
        fields = pathlib.Path(f"/proc/{self.broker.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def storm(self, visitors, port, **args):
        """Who was in is gone, and all come: (answers, seconds, the broker's processor time for each in ms)."""
        self.runner.run(cut(visitors))
        begun, cpu = time.monotonic(), self.cpu_s()
        reasons = self.runner.run(all_of(visitors, port, self.context, **args))
        return reasons, time.monotonic() - begun, 1000 * (self.cpu_s() - cpu) / len(visitors)

    def test_everybody_comes_back(self):
        self.assertGreater(resource.getrlimit(resource.RLIMIT_NOFILE)[0], CLIENTS + 500)
        visitors = [Visitor(number) for number in range(CLIENTS)]
        reasons, _, _ = self.storm(visitors, self.secure, at_once=1)
        self.assertEqual(reasons, {0: CLIENTS})
        hashed = self.passwords_hashed()
        self.assertEqual(hashed, CLIENTS)
        rows = []
        for _ in range(2):
            reasons, seconds, by_token = self.storm(visitors, self.secure)
            self.assertEqual(reasons, {0: CLIENTS})
            strangers = [Visitor(number, user=None) for number in range(CLIENTS, 2 * CLIENTS)]
            reasons, plain_seconds, by_nothing = self.storm(strangers, self.anonymous)
            self.assertEqual(reasons, {0: CLIENTS})
            self.runner.run(cut(strangers))
            rows.append((by_token, by_nothing, seconds, plain_seconds))
        self.assertEqual(self.passwords_hashed(), hashed)
        by_token, by_nothing, seconds, plain_seconds = map(min, zip(*rows))
        print(f"{CLIENTS} clients over TLS: by token {seconds:.1f} s, {by_token:.2f} ms of the broker each; without a "
              f"user {plain_seconds:.1f} s, {by_nothing:.2f} ms", file=sys.stderr)
        self.assertLess(by_token, 1.5 * by_nothing + 0.2)

    def test_after_a_crash_the_lasting_ones_come_back(self):
        visitors = [Visitor(number) for number in range(1, 201, 2)]
        self.assertEqual(self.storm(visitors, self.secure, at_once=1)[0], {0: 100})
        self.broker.kill()
        self.broker.start()
        self.assertEqual(self.storm(visitors, self.secure)[0], {0: 100})
        self.assertEqual(self.passwords_hashed(), 0)
