"""Virtual days of traffic, and what can be read of them from raw bytes at every step.

DAYS   how many (3): after the 31st rows of logins end, after the 91st releases of days do. With few days the limits
       are shorter instead, and everything else is the same.

Where the machine lets us, the data directory lies on an ext4 image of its own, and it is the image that is read: what
was deleted and is still there is found. Else the files themselves are.

tests/privacy/broken builds brokers that break a promise: this test has to fail with each of them, with the words that are
looked for there.
"""

import collections
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request

import wire
from account import METRINO, AccountTest
from harness import ROOT, Broker, eventually, free_port, own_only
from raw import Image, carve, hidden, holds, what

sys.path[:0] = [str(ROOT / "tests" / "keys")]
import records  # noqa: E402

DAYS = int(os.environ.get("DAYS") or 3)
DAY_S, MINUTE_S = 86400, 60
LONG = DAYS > 91
AUTH_S, AGGREGATE_S = (30 * DAY_S, 90 * DAY_S) if LONG else (DAY_S, 2 * DAY_S)
STEP_S = 6 * 3600
SESSION_S = 3600  # the sessions of a step are over in the next
CLIENTS = 500  # 251 with noise of scale 40 are wanted: one day in 1,000 is not kept, all of a run one run in a million
CANARY = b"canary-0f3a"


@own_only("jobs, and a clock that can be set")
class Days(AccountTest):
    timeout_s = 3600 if LONG else 240
    alone = True
    config = "argon2_memory 256\nargon2_time 1\n"

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="metrino-days-"))
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.image = Image(self.folder)
        self.addCleanup(self.image.finish)
        self.clock = self.folder / "clock"
        self.clock.write_bytes(bytes(16))
        self.folder.chmod(0o755)
        self.clock.chmod(0o644)
        os.environ["METRINO_CLOCK"] = str(self.clock)
        self.ahead_s, self.admin = 0, free_port()
        self.pseudonyms = collections.deque(maxlen=4)
        self.broker = Broker(self.config + f"admin_listener {self.admin}\nmax_keepalive unlimited\n"
                             f"auth_expiry {AUTH_S}s\naggregate_expiry {AGGREGATE_S}s\n", 2, root=self.image.root)
        self.addCleanup(self.broker.finish)

    # --- time

    def now_s(self):
        return time.time() + self.ahead_s

    def metrics(self):
        return urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=5).read().decode().splitlines()

    def jobs(self):
        return {line.split('"')[1]: int(line.split()[-1]) for line in self.metrics()
                if line.startswith("metrino_job_last_run")}

    def jump(self, seconds, *jobs):
        """All at once; then these jobs have run."""
        self.ahead_s += seconds
        with open(self.clock, "r+b") as file:  # it is mapped: never shorter
            file.write(struct.pack("<qq", self.ahead_s * 1000, self.ahead_s * 1000))
        due = int(self.now_s()) - 20
        eventually(lambda: all(self.jobs()[job] >= due for job in jobs), 20, f"{jobs} after {seconds} s")

    def becomes_none(self, level):
        eventually(lambda: f"metrino_{level} 0" in self.metrics(), 20, f"the end of all {level}")

    def pass_time(self, seconds):
        """Sessions end; a minute later nothing may be left of them."""
        new_day = int(self.now_s() + seconds) % DAY_S < 300
        self.jump(seconds, "auth", "root", *["aggregate"] * new_day)
        self.becomes_none("sessions")
        with wire.Client(self.port, "witness", keep_alive=0, properties=[("session_expiry_interval", MINUTE_S)]) as client:
            client.disconnect(properties=[("session_expiry_interval", 0)])  # it was committed, and so was what came before
        self.jump(MINUTE_S, "ended")

    # --- what can be read

    def is_late(self, line, now):
        """Of a key or a row: is it past its time?"""
        ends = {"key auth-day": lambda: line["epoch"] * (DAY_S if line["epoch"] < 1000000 else MINUTE_S) + AUTH_S,
                "key aggregate-day": lambda: (line["epoch"] + 1) * DAY_S + AGGREGATE_S,
                "key envelope": lambda: (line["epoch"] + 2) * 3600,
                "row auth": lambda: line["minute"] * MINUTE_S + AUTH_S,
                "row aggregate": lambda: (line["day"] + 1) * DAY_S + AGGREGATE_S,
                "row envelope": lambda: (line["epoch"] + 2) * 3600,
                # All are over when this is asked.
                "row session": lambda: 0 if CANARY in bytes.fromhex(line["body"]) else now,
                "row subscription": lambda: 0 if CANARY in bytes.fromhex(line["body"]) else now}
        return what(line) in ends and ends[what(line)]() < now

    def complaints(self, found):
        """What there is of keys and rows that are past their time, each once."""
        now = self.now_s() - 30  # the carving took a moment
        late = sorted({what(line) for line in found if self.is_late(line, now)})
        for alone, name in (("key root", "epoch"), ("row account", "number")):
            count = len({line[name] for line in found if what(line) == alone})
            late += [f"{count} times {alone}"] * (count != 1)
        return late

    def canaries(self):
        """And pseudonyms, which were shown by `metrino traffic`, and lie on the disk sealed under keys that never do."""
        forms = hidden(CANARY) + [form for one in self.pseudonyms for form in (bytes.fromhex(one), one.encode())]
        return holds(self.image.parts(), forms)

    def check(self, day):
        found = carve(self.image.parts())
        self.assertEqual(self.canaries(), [], f"canaries on day {day}")
        late = self.complaints(found)
        self.assertFalse(late, f"past its time on day {day}: {', '.join(late)}")
        return found

    # --- traffic

    def one_who_stays(self, name, client_id):
        """An account's session that outlives its connection, and in it an exchange of QoS 2 that is open."""
        client = self.enter(name, "the password", client_id, keep_alive=0,
                            properties=[("session_expiry_interval", SESSION_S)])
        client.subscribe(f"{CANARY.decode()}/t", 1)
        client.send(wire.publish(f"{CANARY.decode()}/t", b"x", 2, client.next_id()))
        client.expect(wire.PUBREC)
        return client

    def traffic(self, name, day, step):
        """Of one step: some hundred clients, an account, another that comes and goes."""
        staying = self.one_who_stays(name, f"{CANARY.decode()}-{day}-{step}-account")
        clients = [wire.Client(self.port, f"{CANARY.decode()}-{day}-{i}", keep_alive=0) for i in range(CLIENTS)]
        for client in clients:
            client.publish(f"{CANARY.decode()}/t", b"x", 0)
        for client in clients:
            client.disconnect()
        self.assertNotEqual(self.knock(name, "another password"), 0)
        self.account("delete", self.create(f"gone@{CANARY.decode()}.example.org"))
        busiest = self.listed("traffic", "busiest", "--hours", "1", "--count", "2")
        self.pseudonyms.extend(line["pseudonym"] for line in busiest if "pseudonym" in line)
        staying.cut()
        self.becomes_none("connections")

    def one_day(self, name, day):
        for step in range(DAY_S // STEP_S):
            self.traffic(name, day, step)
            self.assertEqual(self.canaries(), [], f"canaries on day {day}")
            if day + step == 0:  # what may be read is read: the carving sees
                rows = {line["row"] for line in carve(self.image.parts()) if "row" in line}
                self.assertTrue({"envelope", "session", "subscription", "account"} <= rows, rows)
            self.pass_time(STEP_S - int(self.now_s()) % STEP_S + 2)  # just after midnight is soon enough for a release
            found = self.check(day)
        return found

    def listed(self, *words):
        done = subprocess.run([METRINO, *words, "--json", "--data", str(self.broker.data)], capture_output=True, text=True,
                              timeout=30, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def test_days(self):
        self.broker.start()
        name = self.create(f"{CANARY.decode()}@example.org")
        self.jump(DAY_S - int(self.now_s()) % DAY_S + 2, "auth", "aggregate")
        for day in range(DAYS):
            found = self.one_day(name, day)
            rows = {line["row"] for line in found if "row" in line}
            self.assertTrue({"auth", "aggregate"} <= rows, rows)
        days = self.listed("aggregate")[:-1]
        self.assertTrue(any(line["kept"] for line in days), days)
        self.assertLessEqual(len(days), AGGREGATE_S // DAY_S + 1)
        logins = self.listed("logins", name)[:-1]
        self.assertEqual({line["result"] for line in logins}, {"right", "wrong"})
        self.assertEqual(self.broker.stop(), 0)
        self.read_by_another(days, logins)
        holders = [path.name for path in self.image.root.rglob("*") if path.is_file() and CANARY in path.read_bytes()]
        self.assertEqual((self.canaries(), holders), ([], []))
        self.assertTrue(self.pseudonyms)
        self.planted()

    def read_by_another(self, days, logins):
        """A reader written from docs/records.md alone finds what the commands told, and nothing that it does not know."""
        store = records.Store(self.broker.data)
        self.assertEqual(store.unknown, [])
        told = [(line["day"], line["kept"], [line.get(f"qos{i}", 0) for i in range(3)], line.get("accounts", 0)) for line in days]
        self.assertEqual(sorted((time.strftime("%Y-%m-%d", time.gmtime(one["day"] * DAY_S)), one["kept"], one["of_qos"], one["accounts"])
                                for one in store.bodies("aggregates")), sorted(told))
        self.assertEqual(sorted((time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime(one["minute"] * MINUTE_S)), one["result"])
                                for one in store.bodies("auth")),
                         sorted((line["minute"], line["result"]) for line in logins))

    def planted(self):
        """Would it be seen? A key file that was replaced by rename leaves its keys; a row in clear is a row in clear."""
        slots = self.broker.data / "keys.slots"
        old, new = slots.read_bytes(), self.broker.data / "new"
        if self.image.mounted:
            self.assertEqual(self.complaints(carve(self.image.parts())), [])
            new.write_bytes(bytes(len(old)))
            os.sync()
            new.rename(slots)
        else:
            (self.image.root / "data" / "lost").write_bytes(old)
        self.ahead_s += AGGREGATE_S + 2 * DAY_S
        self.assertNotEqual(self.complaints(carve(self.image.parts())), [])
        (self.broker.data / "clear").write_bytes(b"id " + CANARY)
        self.assertNotEqual(self.canaries(), [])
