"""The broker as it is shipped, with limits of a minute, in real time: what can be read from the raw bytes at every step.

MINUTES   how long (4)

What goes by the hour or at midnight is not shown here, but in virtual days (test_days.py): envelope keys and releases. That
route rows go with their keys, which are in memory only, is shown by tests/integration/test_traffic.py.
"""

import os
import pathlib
import shutil
import tempfile
import time

import wire
from account import AccountTest
from harness import Broker, own_only
from raw import Image, carve, hidden, holds, what

MINUTES = int(os.environ.get("MINUTES") or 4)
STEP_S = 15
LIMIT_S, ENDED_S = 60, 60  # a session's key goes within a minute of its end
LATE_S = 15                # a job in a machine that has other things to do, and the carving
CANARY = b"canary-0f3b"


@own_only("what is forgotten")
class Minutes(AccountTest):
    timeout_s = 60 * MINUTES + 120
    alone = True

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="metrino-minutes-"))
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.folder.chmod(0o755)
        self.image = Image(self.folder)
        self.addCleanup(self.image.finish)
        limits = f"auth_expiry {LIMIT_S}s\nroute_expiry {LIMIT_S}s\nsession_expiry_max {LIMIT_S}s\naggregate_expiry {LIMIT_S}s\n"
        self.broker = Broker(self.config + limits, 2, root=self.image.root)
        self.addCleanup(self.broker.finish)
        self.left = {}  # client identifier: when it disconnected

    def live(self, name, step):
        """An account's session, with an exchange of QoS 2 that is open; a wrong password; an account that comes and goes."""
        client_id = f"{CANARY.decode()}-{step}."
        with self.enter(name, "the password", client_id, properties=[("session_expiry_interval", 3600)]) as client:
            client.subscribe(f"{CANARY.decode()}/t", 1)
            client.send(wire.publish(f"{CANARY.decode()}/t", b"x", 2, client.next_id()))
            client.expect(wire.PUBREC)
        self.left[client_id] = time.time()
        self.assertNotEqual(self.knock(name, "another password"), 0)
        self.account("delete", self.create(f"gone@{CANARY.decode()}.example.org"))

    def sessions(self, found):
        bodies = [bytes.fromhex(line["body"]) for line in found if what(line) == "row session"]
        return {client_id for client_id in self.left for body in bodies if client_id.encode() in body}

    def late(self, found, now):
        """Keys and rows that are past their time."""
        ends = {"key auth-day": lambda line: line["epoch"] * 60 + LIMIT_S,  # of so short a limit the epoch is a minute
                "row auth": lambda line: line["minute"] * 60 + LIMIT_S}
        late = {what(line) for line in found if what(line) in ends and ends[what(line)](line) + LATE_S < now}
        late |= {f"session {one}" for one in self.sessions(found) if self.left[one] + LIMIT_S + ENDED_S + LATE_S < now}
        accounts = {line["number"] for line in found if what(line) == "row account"}
        roots = {line["epoch"] for line in found if what(line) == "key root"}
        return late | {f"{len(some)} {name}" for some, name in ((accounts, "accounts"), (roots, "roots")) if len(some) != 1}

    def test_minutes(self):
        self.broker.start()
        name = self.create(f"{CANARY.decode()}@example.org")
        seen, read, later, end = set(), set(), set(), time.monotonic() + 60 * MINUTES
        while time.monotonic() < end:
            self.live(name, len(self.left))
            time.sleep(STEP_S)  # time passes: that is what is tested
            now = time.time()
            found = carve(self.image.parts())
            self.assertEqual(self.late(found, now), set(), f"after {len(self.left)} steps")
            self.assertEqual(holds(self.image.parts(), hidden(CANARY)), [])
            seen |= self.sessions(found)
            read |= {what(line) for line in found}
            later |= self.late(found, now + 3600)
        self.assertEqual(seen, set(self.left), "the carving does not see")
        self.assertTrue({"row auth", "key auth-day", "row account", "row envelope"} <= read, read)
        over = {one for one, left in self.left.items() if left + LIMIT_S + ENDED_S + LATE_S < now}
        self.assertTrue(over, "no session came to its end: more minutes are needed")
        self.assertTrue({"key auth-day", "row auth"} <= later, "what is late would not be seen")
        self.assertEqual(self.broker.stop(), 0)
