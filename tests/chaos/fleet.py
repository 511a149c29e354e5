"""The clients: one process for each, which outlives every kill of the broker. One loop serves them all.

A client speaks in lines (README.md). Publishers are told what to publish while they say that they are connected and
fewer than WINDOW of their messages are open; so a broker's death finds messages in every state.
"""

import os
import pathlib
import random
import selectors
import subprocess
import time

import harness
from broker import Failure
from checker import AWAY, CONNECTED

HERE = pathlib.Path(__file__).resolve().parent
BUILD = harness.BUILD.parent / "chaos"
WINDOW = 8
LIBRARIES = ("paho_c", "paho_py", "mqttjs", "mosquitto")
COMES_AND_GOES = ("paho_c", "paho_py")     # those that can leave without losing their memory
VERSION = {"paho_c": 4, "paho_py": 4, "mqttjs": 5, "mosquitto": 4}
ONE_TOPIC = ("mosquitto",)
GRANTED = {"mosquitto": 1}                  # libmosquitto repeats QoS 2 by itself: habits.py shows it
RETAINED_EVERY = 16
AWAY_S = (0.2, 1.2)


def build_paho_c():
    BUILD.mkdir(parents=True, exist_ok=True)
    program, source = BUILD / "client_paho_c", HERE / "client_paho_c.c"
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        harness.run_client(["cc", "-std=c11", "-D_GNU_SOURCE", "-O1", "-Wall", "-Wextra", "-pthread", str(source), "-o",
                            str(program), "-lpaho-mqtt3c"], timeout=120)
    return str(program)


def command_of(library, folder):
    """What starts a client of that library, its environment, and its extra arguments."""
    if library == "paho_c":
        return [build_paho_c()], {}, [str(folder)]
    if library == "mqttjs":
        return ["node", str(HERE / "client_mqttjs.js")], {"NODE_PATH": str(harness.mqttjs_modules())}, []
    return ["/usr/bin/python3", str(HERE / f"client_{library}.py")], {}, []


class Client:
    def __init__(self, library, role, name, kind=None, qos=2):
        self.library, self.role, self.name, self.kind, self.qos = library, role, name, kind, qos
        self.process, self.rest = None, b""
        self.connected, self.connects, self.sessions_lost, self.told_lost = False, 0, 0, 0
        self.open, self.abandoned, self.next_at, self.completed, self.received = {}, 0, 0.0, 0, 0
        self.is_away, self.unknown, self.refused = False, 0, 0
        self.topics = [f"chaos/{name}/a"] + ([] if library in ONE_TOPIC else [f"chaos/{name}/b"])

    def start(self, port, seed, folder):
        folder = folder / self.name
        folder.mkdir(parents=True)
        command, environment, extra = command_of(self.library, folder)
        version = 5 if self.kind == AWAY and self.library == "paho_py" else VERSION[self.library]
        arguments = [self.role, str(port), self.name, str(seed), str(version), *extra]
        if self.library == "mosquitto":
            arguments += [self.topics[0], str(self.qos)]
        with open(folder / "stderr", "wb") as errors:
            self.process = subprocess.Popen([*command, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                            stderr=errors, cwd=folder, env=dict(os.environ, **environment))
        self.errors = folder / "stderr"

    def tell(self, line):
        try:
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Failure(f"{self.name} ended: {self.errors.read_text()[-1500:]}") from None

    def ask_to_end(self):
        try:
            if self.process:
                self.process.stdin.close()
        except BrokenPipeError:
            pass

    def end(self):
        """Closing its input ends it; killing is for one that does not see it."""
        if not self.process:
            return
        self.ask_to_end()
        try:
            self.process.wait(3)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)
        self.process.stdout.close()


class Fleet:
    def __init__(self, checker, libraries, qualities, seed, pace_s, kinds=(CONNECTED, AWAY)):
        self.checker, self.random, self.pace_s = checker, random.Random(seed), pace_s
        self.feeding, self.deliveries, self.acks, self.last_event = False, 0, 0, 0.0
        self.selector = selectors.DefaultSelector()
        self.clients = [Client(library, "sub", f"sub-{library}", CONNECTED, GRANTED.get(library, 2))
                        for library in libraries if CONNECTED in kinds]
        self.clients += [Client(library, "sub", f"away-{library}", AWAY) for library in libraries
                         if library in COMES_AND_GOES and AWAY in kinds]
        self.clients += [Client(library, "pub", f"pub-{library}-q{qos}", qos=qos) for library in libraries
                         for qos in qualities]
        self.subscribers = [c for c in self.clients if c.role == "sub"]
        self.publishers = [c for c in self.clients if c.role == "pub"]
        for client in self.subscribers:
            checker.add_subscriber(client.name, client.kind, client.qos)
        for client in self.publishers:
            checker.add_publisher(client.name, client.qos)

    def start(self, port, subscribers_port, folder):
        """Publishers begin when every subscription is there."""
        for group in (self.subscribers, self.publishers):
            for client in group:
                at = subscribers_port if client.kind == CONNECTED else port
                client.start(at, self.random.getrandbits(31), folder)
                os.set_blocking(client.process.stdout.fileno(), False)
                self.selector.register(client.process.stdout, selectors.EVENT_READ, client)
            if not self.run(30, lambda group=group: all(c.connected for c in group)):
                slow = ", ".join(c.name for c in group if not c.connected)
                raise Failure(f"not connected after 30 s: {slow}")
        for client in self.subscribers:
            client.next_at = time.monotonic() + self.random.uniform(*AWAY_S)

    # --- the loop

    def run(self, seconds, until=lambda: False):
        """Serves the clients for so long, or until the condition holds; tells whether it did."""
        end = time.monotonic() + seconds
        while not until():
            left = end - time.monotonic()
            if left <= 0:
                return False
            for key, _ in self.selector.select(min(left, 0.003)):
                self.read(key.data)
            if self.feeding:
                self.feed()
        return True

    def read(self, client):
        data = os.read(client.process.stdout.fileno(), 1 << 18)
        if not data:
            raise Failure(f"{client.name} ended: {client.errors.read_text()[-1500:]}")
        *lines, client.rest = (client.rest + data).split(b"\n")
        for line in lines:
            self.event(client, line.decode(errors="replace"))

    def event(self, client, line):
        word, _, rest = line.partition(" ")
        self.last_event = time.monotonic()
        if word == "R":
            retained, topic, payload = rest.split(" ", 2)
            self.checker.delivered(client.name, topic, payload, retained != "0")
            client.received += 1
            self.deliveries += 1
        elif word == "A":
            self.completed(client, int(rest))
        elif word == "U":
            client.unknown += 1
            self.completed(client, int(rest))
        elif word == "C":
            client.sessions_lost += client.connects > 0 and rest == "0" and client.role == "sub"
            client.connected, client.connects = True, client.connects + 1
        elif word == "D":
            client.connected = False
        elif word == "N":
            del client.open[int(rest)]
            client.refused += 1
        elif word == "X":
            del client.open[int(rest)]
            client.abandoned += 1
        elif word == "L":
            client.told_lost += int(rest)
        else:
            raise Failure(f"{client.name}: {line[:300]}")

    def completed(self, client, number):
        if not self.checker.acknowledged(client.name, number):
            raise Failure(f"{client.name} reports number {number} as completed, which is not open")
        del client.open[number]
        client.completed += 1
        self.acks += 1

    def feed(self):
        now = time.monotonic()
        for client in self.publishers:
            if client.connected and len(client.open) < WINDOW and now >= client.next_at:
                client.next_at = now + self.pace_s * self.random.uniform(0.2, 1.8)
                topic = self.random.choice(client.topics)
                number, payload = self.checker.next_message(client.name, topic)
                retain = int(number % RETAINED_EVERY == 0 and client.library not in ONE_TOPIC)
                client.open[number] = now
                client.tell(f"P {number} {topic} {client.qos} {retain} {payload}")
        for client in self.subscribers:
            if client.kind == AWAY and now >= client.next_at:
                self.turn_away(client, not client.is_away)
                client.next_at = now + self.random.uniform(*AWAY_S)

    def turn_away(self, client, away):
        if client.is_away != away:
            client.is_away = away
            client.tell("away" if away else "back")

    # --- the end

    def open_messages(self):
        return sum(len(client.open) for client in self.publishers)

    def drain(self, seconds, quiet_s=2.0):
        """No new messages; everybody present. Ends early when nothing is owed, or when nothing has moved for long."""
        self.feeding = False
        for client in self.subscribers:
            if client.kind == AWAY:
                self.turn_away(client, False)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.run(0.2)
            if self.open_messages() or not all(c.connected for c in self.subscribers):
                continue
            quiet = time.monotonic() - self.last_event
            if quiet > quiet_s or (quiet > 0.5 and self.checker.complete()):
                return

    def finish(self):
        for client in self.clients:
            client.ask_to_end()
        for client in self.clients:
            client.end()
        self.selector.close()
