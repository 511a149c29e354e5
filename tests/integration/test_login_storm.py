"""A storm of wrong logins: others' messages keep their time, right logins get in, everybody gets an answer."""

import collections
import os
import multiprocessing
import selectors
import socket
import statistics
import sys
import time

import harness
import wire
from test_door import DoorTest, metrino_passwd

STORM_S = int(os.environ.get("STORM_S", 8))        # `make hostile`: a minute,
STORM_RATE = int(os.environ.get("STORM_RATE", 0))  # and 2,000 wrong logins in a second
RATE = STORM_RATE or 400
WATCH_S = max(4, STORM_S - 4)
KNOCKERS = 96   # addresses
UNDER_WAY = 400  # connections at a time


class Knock:
    """One wrong login, without waiting: connect, CONNECT, the reason of CONNACK."""

    def __init__(self, port, number, source):
        self.begin = time.monotonic()
        self.packet = wire.connect(f"storm{number % KNOCKERS}", user_name=f"user{number % 7}", password=b"wrong")
        self.got = b""
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.bind((source, 0))
        self.socket.connect_ex(("127.0.0.1", port))

    def fileno(self):
        return self.socket.fileno()

    def goes_on(self):
        """What it is ready for; None while more is to come, else what became of it."""
        try:
            if self.packet:
                self.packet = self.packet[self.socket.send(self.packet):]
                return None
            data = self.socket.recv(4096)
        except OSError as error:
            return type(error).__name__
        self.got += data
        if len(self.got) > 3:
            return self.got[3]
        return None if data else "Closed"


def storm(port, seconds, answers):
    """So many wrong logins in a second, from some addresses; runs in a process of its own."""
    # A storm comes over the network: it takes no processor away from the broker, nor from who watches.
    if STORM_RATE:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    else:
        os.nice(10)
    counts = collections.Counter()
    selector = selectors.DefaultSelector()
    begin, number = time.monotonic(), 0
    while (now := time.monotonic()) < begin + seconds or selector.get_map():
        due = RATE * (now - begin) if now < begin + seconds else 0
        if number < due and len(selector.get_map()) < UNDER_WAY:
            selector.register(Knock(port, number, f"127.9.9.{number % KNOCKERS + 1}"), selectors.EVENT_WRITE)
            number += 1
        for key, _ in selector.select(0 if number < due else 0.0005):
            became = key.fileobj.goes_on()
            if became is None:
                if not key.fileobj.packet:
                    selector.modify(key.fileobj, selectors.EVENT_READ)
                continue
            counts[became] += 1
            counts["slowest"] = max(counts["slowest"], int(1000 * (time.monotonic() - key.fileobj.begin)))
            selector.unregister(key.fileobj)
            key.fileobj.socket.close()
    answers.put(counts)


@harness.own_only("it looks at passwords on threads of their own")
class Storm(DoorTest):
    """With the parameters of Argon2 that are the default, and nobody banned: the worst that can come."""

    alone = True
    timeout_s = 60 + 2 * STORM_S

    def setUp(self):
        super().setUp()
        metrino_passwd("-c", "-b", self.passwords, "bob", "secret")
        self.broker.config = self.broker.config.replace("argon2_memory 256", "argon2_memory 65536").replace(
            "argon2_time 1", "argon2_time 3") + "allow_anonymous true\nauth_fail_ban never\nauth_threads 1\n"
        self.broker.start()
        self.spared = harness.Broker("allow_anonymous true\n")
        self.addCleanup(self.spared.finish)
        self.spared.start()

    def latencies(self, seconds):
        """
        Of messages that go through the broker and back, and in turn with them through one that has no storm, in
        milliseconds: of each the half and the slowest hundredth.
        """
        watched = []
        for broker in (self.broker, self.spared):
            client = wire.Client(broker.port, self.name("watcher"), version=5)
            self.addCleanup(client.cut)
            client.subscribe("echo", qos=0)
            watched.append((client, []))
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for client, found in watched:
                begin = time.monotonic()
                client.publish("echo", b"x")
                client.expect(wire.PUBLISH)
                found.append(1000 * (time.monotonic() - begin))
                time.sleep(0.002)
        return [(statistics.median(found), sorted(found)[int(len(found) * 0.99)]) for _, found in watched]

    def test_a_storm_disturbs_nobody(self):
        calm = self.latencies(4)
        answers = multiprocessing.Queue()
        process = multiprocessing.Process(target=storm, args=(self.port, STORM_S, answers))
        process.start()
        self.addCleanup(process.kill)
        time.sleep(1)
        rss_before = rss_kib(self.broker.process.pid)
        stormy = self.latencies(WATCH_S)
        begin = time.monotonic()
        right = self.comes_in("bob", "secret", version=5)
        while right == 0x89 and time.monotonic() - begin < 6:  # told to try again, on a machine that is slow today
            time.sleep(0.2)
            right = self.comes_in("bob", "secret", version=5)
        right_s = time.monotonic() - begin
        rss_after = rss_kib(self.broker.process.pid)
        counts = answers.get(timeout=STORM_S + 30)
        process.join(30)
        tried = sum(count for what, count in counts.items() if what != "slowest")
        shown = [", ".join(f"{half:.2f} and {last:.2f}" for half, last in found) for found in (calm, stormy)]
        said = (f"{tried / STORM_S:.0f} wrong logins/s: {dict(counts)}; p50 and p99 in ms, here and of a broker that has no "
                f"storm: {shown[0]} in the calm, {shown[1]} in the storm; right login {right_s:.1f} s")
        if STORM_RATE:
            print(said, file=sys.stderr)
        self.assertEqual(right, 0, said)
        self.assertGreater(tried / STORM_S, 0.9 * STORM_RATE if STORM_RATE else 200, said)
        self.assertEqual(set(counts) - {"slowest", 0x86, 0x89, 0x97}, set(), said)
        self.assertLess(counts["slowest"], 8000, said)
        # Two processors are shared by the broker, the storm and this test: some milliseconds are theirs.
        self.assertLess(stormy[0][1], 2 * calm[0][1] + 10, said)
        if STORM_RATE:
            self.assertLess(stormy[0][1], 2 * stormy[1][1] + 1, said)
        self.assertLess(right_s, 6, said)
        self.assertLess(rss_after - rss_before, 20000, said)


def rss_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))
