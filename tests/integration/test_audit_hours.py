"""The audit log hour by hour: the same entries whatever happens, what happens when they cannot be written, and what they never hold."""

import hashlib
import hmac
import json
import os
import re
import struct
import time

from harness import OwnBrokerTest, eventually, own_only, preload, tool
from test_audit import METRINO, complaint_of, run
from test_faults import behind

HOUR_S = 3600
DUE_S = 60


class ClockTest(OwnBrokerTest):
    """A broker whose wall clock is set."""

    abstract = True
    workers = 2
    config = "sys_interval 1"

    def setUp(self):
        super().setUp()
        self.log = self.broker.data / "log"

    def start(self):
        self.file = self.broker.root / "offset"
        self.file.write_bytes(bytes(8))
        words = [f"LD_PRELOAD={preload('clock')}", f"CLOCK_FILE={self.file}"]
        asan = os.environ.get("ASAN_OPTIONS", "")
        behind(self.broker, tool("env"), *words, f"ASAN_OPTIONS={asan}:verify_asan_link_order=0")
        self.broker.start()
        self.hour = int(time.time()) // HOUR_S

    def to_hour(self, number, second=DUE_S + 1):
        """So many hours after the start's, at that second."""
        offset = (self.hour + number) * HOUR_S + second - int(time.time())
        with open(self.file, "r+b") as file:
            file.write(struct.pack("q", offset))

    def entries(self):
        return [json.loads(line) for line in (self.log / "audit.jsonl").read_bytes().splitlines()]

    def of_hour(self, number):
        return [entry for entry in self.entries() if entry["time"] == (self.hour + number) * HOUR_S]

    def await_jobs(self, number):
        """The hour has begun and its jobs have run, as they have long before its entries are due."""
        slots = self.broker.data / "keys.slots"
        before = slots.stat().st_mtime_ns
        self.to_hour(number, 1)
        eventually(lambda: slots.stat().st_mtime_ns != before, what=f"the keys of hour {number}")

    def await_hour(self, number):
        self.await_jobs(number)
        return self.await_entries(number)

    def await_entries(self, number):
        self.to_hour(number)
        eventually(lambda: any(entry["event"] == "receipts" for entry in self.of_hour(number)), what=f"hour {number}")
        return self.of_hour(number)


@own_only("an audit log")
class Cadence(ClockTest):
    abstract = False

    def shape(self, entries):
        """What an onlooker sees of an hour: which entries, and how long each is; not its number, hour and root."""
        # Keys of a day come in its first hour, whatever happens in it.
        entries = [entry for entry in entries if entry.get("class") not in ("auth", "aggregate") or entry["event"] == "job"]
        # An hour that passes in a moment makes jobs late that are due every few seconds: whether one is caught at
        # it is chance, and an alert is no entry of each hour.
        entries = [entry for entry in entries if not (entry["event"] == "alert" and entry["alert"] == "job_late")]
        lines = [json.dumps(dict(entry, index=0, time=0), sort_keys=True, separators=(",", ":")) for entry in entries]
        return [(entry["event"], len(line)) for entry, line in zip(entries, lines)]

    def test_the_same_whatever_happens(self):
        self.start()
        quiet = self.await_hour(1)
        client = self.client("canary-client")
        client.subscribe("canary-topic", 2)
        for number in range(200):
            client.publish("canary-topic", b"canary-payload %d" % number, number % 3)
        for number in range(50):
            self.client(f"canary-{number}").disconnect()
        if "LOAD_S" in os.environ:  # a million messages more, in so many seconds
            done = run(METRINO, "bench", "-p", self.port, "-q", "1", "--duration", os.environ["LOAD_S"], "--json")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertGreater(json.loads(done.stdout)["phases"]["messages"]["count"], 1000000)
        busy = self.await_hour(2)
        self.assertEqual(self.shape(busy), self.shape(quiet))
        self.assertEqual(quiet[-1]["event"], "receipts")
        self.assertNotEqual(quiet[-1]["root"], busy[-1]["root"])
        self.assertEqual(self.shape(self.await_hour(3)), self.shape(quiet))
        self.assertIsNone(complaint_of(self.log))

    def test_the_same_whether_accounts_come_and_go(self):
        """Each deletion turns the root; the log has one turn an hour all the same, and the use of a right once. Who is banned
        meanwhile leaves nothing."""
        self.broker.config = "sys_interval 1\nallow_anonymous true\nauth_fail_ban 3 60s"
        self.start()
        self.await_hour(1)
        quiet = self.await_hour(2)
        for _ in range(int(os.environ.get("ACCOUNTS", "12"))):
            done = run(METRINO, "account", "create", "--no-address", "--no-password", "--data", self.broker.data)
            name = done.stdout.decode().strip()
            self.assertEqual(run(METRINO, "account", "disable", name, "--data", self.broker.data).returncode, 0)
            self.assertEqual(run(METRINO, "account", "delete", name, "--data", self.broker.data).returncode, 0, done.stderr)
        for _ in range(8):
            self.client("x", user_name=name, password=b"wrong", expect=tuple(range(256))).cut()
        self.assertIn(b"127.0.0.1", run(METRINO, "ban", "list", "--data", self.broker.data).stdout)
        busy = self.await_hour(3)
        scheduled = [entry for entry in busy if entry["event"] != "admin"]
        self.assertEqual(self.shape(scheduled), self.shape(quiet))
        self.assertIn(("key.gone", "root", self.hour + 2), [(entry["event"], entry.get("class"), entry.get("epoch")) for entry in busy])
        rights = [entry["right"] for entry in self.entries() if entry["event"] == "admin"]
        self.assertEqual(rights, ["account_create", "account_disable", "account_delete", "bans_list"])
        done = run(METRINO, "audit", "schedule", self.broker.data)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertNotIn(b" 0 destroyed in time", done.stdout)

    def test_not_before_it_is_due(self):
        self.start()
        self.to_hour(1, DUE_S - 20)
        time.sleep(2.5)
        self.assertEqual([entry for entry in self.of_hour(1) if entry["event"] != "alert"], [])
        self.await_entries(1)
        self.to_hour(1, 1800)
        time.sleep(1.5)
        self.assertEqual(len([entry for entry in self.of_hour(1) if entry["event"] == "receipts"]), 1)

    def test_no_new_client_after_an_hour_that_was_missed(self):
        self.start()
        inside = self.client("inside")
        (self.log / "new").mkdir()  # what is written is written there first
        self.to_hour(1)
        eventually(lambda: "administrative changes are refused" in self.broker.log(), what="the failure")
        self.client("let in as yet").disconnect()
        self.to_hour(2, 0)
        eventually(lambda: "new clients are refused until" in self.broker.log(), what="the refusal")
        self.client("v5", expect=0x88)
        self.client("v3", version=4, expect=3)
        inside.subscribe("t", 1)
        inside.publish("t", b"served", 1)
        self.assertEqual(inside.message().payload, b"served")
        (self.log / "new").rmdir()
        self.assertEqual(run(METRINO, "clients", "list", "--data", self.broker.data).returncode, 0)
        eventually(lambda: "let in again" in self.broker.log(), what="the end of it")
        eventually(lambda: self.is_let_in(), what="a client")
        alerts = [entry for entry in self.entries() if entry.get("alert") == "audit_unwritable"]
        self.assertEqual([entry["time"] for entry in alerts], [(self.hour + 1) * HOUR_S])
        self.assertIsNone(complaint_of(self.log))

    def is_let_in(self):
        try:
            self.client("again").disconnect()
            return True
        except AssertionError:
            return False


@own_only("an audit log")
class Settings(ClockTest):
    abstract = False

    def configs(self):
        return [entry for entry in self.entries() if entry["event"] == "config"]

    def test_privacy_settings_and_policy(self):
        self.start()
        first = self.configs()[0]
        self.assertEqual((first["tls"], first["region"], first["memory_protection"], first["allow_anonymous"]),
                         ("all", "EU", "wanted", "on"))
        self.assertEqual((first["keys_location"], first["keys_wrapped"], first["erase_level_required"], first["route_expiry"],
                          first["route_rows"]), ("data", "none", "none", 86400, "on"))
        self.assertIn(first["erase_level"], ("clear", "none"))
        self.assertEqual(self.broker.stop(), 0)
        self.broker.config = "sys_interval 1\nregion DE\npolicy_version 7\nallow_cleartext_password true"
        self.broker.start()
        self.assertEqual(self.configs()[1], dict(first, index=self.configs()[1]["index"], region="DE",
                                                 allow_cleartext_password="on"))
        start = [entry for entry in self.entries() if entry["event"] == "start"][1]
        policy = self.entries()[start["policy"]]
        self.assertEqual((policy["event"], policy["version"]), ("policy", 7))
        self.assertEqual(self.broker.stop(), 0)
        self.broker.start()
        start = [entry for entry in self.entries() if entry["event"] == "start"][2]
        self.assertEqual(start["policy"], policy["index"])
        self.assertEqual(len(self.configs()), 2)


HEX = re.compile(rb"[0-9a-f]{32,}")


@own_only("an audit log")
class Silence(ClockTest):
    """No entry holds a canary, nor a hash of one, plain or under a key that lives."""

    abstract = False
    CANARIES = ("canary-client-7f3a", "canary/topic/91bd", "canary-payload-c04e", "canary-user-55aa", "127.0.0.1")

    def keys(self):
        """Everything in the data directory that may be a key: 16 and 32 bytes at each multiple of 8."""
        keys = {b""}
        for path in (self.log / "key", self.broker.data / "keys.slots"):
            if path.exists():
                data = path.read_bytes()
                if path.name == "key":
                    keys.add(bytes.fromhex(data.decode()))
                keys.update(data[at:at + 32] for at in range(0, min(len(data), 1 << 20), 8) if any(data[at:at + 32]))
        return keys

    def hashes(self):
        found = set()
        words = [canary.encode() for canary in self.CANARIES] + [str(self.broker.data).encode()]
        for word in words:
            for name in ("md5", "sha1", "sha256", "sha512", "blake2b"):
                found.add(hashlib.new(name, word).hexdigest()[:32])
            for key in self.keys():
                found.add(hmac.new(key, word, "sha256").hexdigest()[:32])
                if 0 < len(key) <= 64:
                    found.add(hashlib.blake2b(word, key=key, digest_size=32).hexdigest()[:32])
                    found.add(hashlib.sha256(key + word).hexdigest()[:32])
        return found

    def lives(self):
        client, user = self.CANARIES[0], self.CANARIES[3]
        session = self.client(client, clean=False, properties=[("session_expiry_interval", 1000)])
        session.subscribe(self.CANARIES[1], 2)
        session.publish(self.CANARIES[1], self.CANARIES[2].encode(), 2)
        session.publish(self.CANARIES[1], self.CANARIES[2].encode(), 1, retain=True)
        self.client("x", user_name=user, password=b"wrong").disconnect()
        for words in (("clients", "list"), ("clients", "kick", client), ("ban", "list")):
            run(METRINO, *words, "--data", self.broker.data)

    def test_of_nothing_that_a_client_said(self):
        self.start()
        self.lives()
        self.await_hour(1)
        self.assertEqual(self.broker.stop(), 0)
        text = b"".join(path.read_bytes() for path in self.log.rglob("*") if path.is_file() and path.name != "key")
        for canary in (*self.CANARIES, str(self.broker.data)):
            self.assertNotIn(canary.encode(), text)
        hashes = self.hashes()
        for match in HEX.finditer(text):
            run_of_digits = match.group().decode()
            for at in range(len(run_of_digits) - 31):
                self.assertNotIn(run_of_digits[at:at + 32], hashes)
