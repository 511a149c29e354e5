#!/usr/bin/python3
"""mosquitto_pub and mosquitto_sub as clients of the chaos test; README.md has the protocol.

usage: client_mosquitto.py pub|sub PORT CLIENT_ID SEED VERSION TOPIC QOS

mosquitto_pub reads a message per line and says with -d what it sends and receives. Its packet identifiers count from 1,
so they tell which line was acknowledged. It gives up when it is handed a line while it has no connection; then the
lines that were not acknowledged are abandoned (`X`), and another mosquitto_pub with another client id takes over: a
tool without a memory of its own, as scripts use it.
"""

import collections
import os
import random
import re
import select
import subprocess
import sys
import time

RETURN_DELAY_S = 0.3
DONE = re.compile(rb"received (PUBACK|PUBCOMP) \(Mid: (\d+)")
CONNACK = re.compile(rb"received CONNACK \((\d+)\)")


def say(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


class Tool:
    """One process of the tool, and what of its output is no whole line yet."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT)
        self.rest = b""

    def lines(self):
        """The lines that can be read; None at the end of the output."""
        data = os.read(self.process.stdout.fileno(), 65536)
        if not data:
            return None
        *whole, self.rest = (self.rest + data).split(b"\n")
        return whole

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(5)
        self.process.stdin.close()
        self.process.stdout.close()


class Publisher:
    def __init__(self, port, client_id, seed, topic, qos):
        self.command = ["stdbuf", "-oL", "mosquitto_pub", "-p", port, "-V", "mqttv311", "-c", "-q", qos, "-t", topic,
                        "-k", "30", "-d", "-l"]
        self.client_id, self.random, self.lives = client_id, random.Random(seed), 0
        self.waiting = collections.deque()
        self.connected, self.tool, self.begin_at, self.given = False, None, 0.0, []

    def begin(self):
        self.lives += 1
        self.given = []  # by packet identifier - 1: (number, open)
        self.tool = Tool([*self.command, "-i", f"{self.client_id}-{self.lives}"])

    def line(self, line):
        done = DONE.search(line)
        if done:
            at = int(done.group(2)) - 1
            say("A", self.given[at])
            self.given[at] = None
        elif CONNACK.search(line):
            self.connected = True
            say("C", int(bool(self.given)))
        elif b"sending CONNECT" in line:
            self.lost()

    def lost(self):
        if self.connected:
            say("D")
        self.connected = False

    def ended(self):
        self.lost()
        self.tool.end()
        for number in self.given:
            if number is not None:
                say("X", number)
        self.tool, self.begin_at = None, time.monotonic() + self.random.random() * RETURN_DELAY_S

    def turn(self):
        if not self.tool and time.monotonic() >= self.begin_at:
            self.begin()
        while self.connected and self.waiting:
            number, payload = self.waiting.popleft()
            try:
                self.tool.process.stdin.write(payload.encode() + b"\n")
                self.tool.process.stdin.flush()
            except BrokenPipeError:
                say("X", number)
                return
            self.given.append(number)

    def obey(self, words):
        if words[0] == "P":
            self.waiting.append((int(words[1]), words[5]))


class Subscriber:
    """mosquitto_sub comes back by itself, after a second, and subscribes again each time."""

    def __init__(self, port, client_id, _seed, _topic, qos):
        self.tool = Tool(["stdbuf", "-oL", "mosquitto_sub", "-p", port, "-V", "mqttv311", "-c", "-q", qos,
                          "-t", "chaos/#", "-i", client_id, "-k", "30", "-d", "-F", "|%r|%t|%p"])

    def line(self, line):
        if line.startswith(b"|"):
            say("R", *line.decode().split("|")[1:])
        elif line.startswith(b"Subscribed"):
            say("C", 1)
        elif b"sending CONNECT" in line:
            say("D")

    def ended(self):
        say("E", "mosquitto_sub ended")
        sys.exit(1)

    def turn(self):
        pass

    def obey(self, words):
        pass


def main():
    role, port, client_id, seed, _, topic, qos = sys.argv[1:]
    client = (Publisher if role == "pub" else Subscriber)(port, client_id, seed, topic, qos)
    orders, rest = sys.stdin.fileno(), b""
    try:
        while True:
            client.turn()
            outputs = [client.tool.process.stdout] if client.tool else []
            readable, _, _ = select.select([orders, *outputs], [], [], 0.02)
            for output in readable[:]:
                if output is orders:
                    continue
                lines = client.tool.lines()
                for line in lines or ():
                    client.line(line)
                if lines is None:
                    client.ended()
            if orders in readable:
                data = os.read(orders, 65536)
                if not data:
                    return
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    client.obey(line.decode().split(" ", 5))
    finally:
        if client.tool:
            client.tool.end()


if __name__ == "__main__":
    main()
