"""A storm of wrong logins: others' messages keep their time, right logins get in, everybody gets an answer."""

import collections
import os
import multiprocessing
import statistics
import threading
import time

import harness
import wire
from test_door import DoorTest, knock, metrino_passwd

STORM_S = int(os.environ.get("STORM_S", 8))        # `make hostile`: a minute,
STORM_RATE = int(os.environ.get("STORM_RATE", 0))  # and so many wrong logins in a second; 0: as they come
WATCH_S = max(4, STORM_S - 4)
PROCESSES = 4 if STORM_RATE else 1
KNOCKERS = 24
PAUSE_S = 0.02  # some processor time is to be left for who watches


def storm(port, seconds, answers, part=0):
    """Wrong logins from some addresses, some hundred in a second; runs in a process of its own."""
    counts = collections.Counter()
    until = time.monotonic() + seconds
    pause_s = KNOCKERS * PROCESSES / STORM_RATE if STORM_RATE else 0

    def knock_on(number):
        tries = 0
        while time.monotonic() < until:
            tries += 1
            source = f"127.9.{9 + part}.{number + 1}"
            begin = time.monotonic()
            try:
                connack = knock(port, f"storm{part}-{number}", f"user{tries % 7}", "wrong", 5, source=source, timeout=15)
                counts[connack.reason] += 1
            except (OSError, AssertionError, wire.Closed) as error:
                counts[type(error).__name__] += 1
            counts["slowest"] = max(counts["slowest"], int(1000 * (time.monotonic() - begin)))
            time.sleep(max(0, begin + pause_s - time.monotonic()) if STORM_RATE else PAUSE_S)

    threads = [threading.Thread(target=knock_on, args=(number,)) for number in range(KNOCKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
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

    def latencies(self, seconds):
        """Of messages that go through the broker and back, in milliseconds, sorted."""
        client = self.client(version=5)
        client.subscribe("echo", qos=0)
        found, until = [], time.monotonic() + seconds
        while time.monotonic() < until:
            begin = time.monotonic()
            client.publish("echo", b"x")
            client.expect(wire.PUBLISH)
            found.append(1000 * (time.monotonic() - begin))
            time.sleep(0.002)
        return sorted(found)

    def test_a_storm_disturbs_nobody(self):
        calm = self.latencies(4)
        answers = multiprocessing.Queue()
        processes = [multiprocessing.Process(target=storm, args=(self.port, STORM_S, answers, part))
                     for part in range(PROCESSES)]
        for process in processes:
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
        counts = collections.Counter()
        for process in processes:
            some = answers.get(timeout=STORM_S + 30)
            slowest = max(counts["slowest"], some["slowest"])
            counts += some
            counts["slowest"] = slowest
        for process in processes:
            process.join(30)
        tried = sum(count for what, count in counts.items() if what != "slowest")
        p99 = [found[int(len(found) * 0.99)] for found in (calm, stormy)]
        said = (f"{tried / STORM_S:.0f} wrong logins/s: {dict(counts)}; p99 {p99[0]:.2f} ms calm, {p99[1]:.2f} ms in the "
                f"storm (median {statistics.median(calm):.2f}, {statistics.median(stormy):.2f}); right login {right_s:.1f} s")
        if STORM_RATE:
            print(said)
        self.assertEqual(right, 0, said)
        self.assertGreater(tried / STORM_S, 0.9 * STORM_RATE if STORM_RATE else 200, said)
        self.assertEqual(set(counts) - {"slowest", 0x86, 0x89, 0x97}, set(), said)
        self.assertLess(counts["slowest"], 8000, said)
        # Two processors are shared by the broker, the storm and this test: some milliseconds are theirs.
        self.assertLess(p99[1], 2 * p99[0] + 10, said)
        self.assertLess(right_s, 6, said)
        self.assertLess(rss_after - rss_before, 20000, said)


def rss_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))
