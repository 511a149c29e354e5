"""What lies in data.mdb of a broker that was used, read by a reader written from docs/records.md alone: each field is what was put in,
and there is no record that it does not know."""

import base64
import contextlib
import hashlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import wire
from account import BAD_PASSWORD, LASTING, METRINO, AccountTest
from harness import ROOT, eventually, own_only, run_client
from test_traffic import disguises

sys.path[:0] = [str(ROOT / "tests" / "keys")]
import memory  # noqa: E402
import records  # noqa: E402

not_under = ("tsan",)

TOKEN = ("user_property", ("metrino-token", "1"))
ACCOUNT, FILE = 1, 2  # kinds of owners
DAY_S = 86400


def flush_routes(broker):
    """A question that all workers answer with the rows that they have not given away yet."""
    subprocess.run([METRINO, "traffic", "--data", str(broker.data)], capture_output=True, timeout=30, check=True)


@contextlib.contextmanager
def stopped(broker):
    """The broker does nothing meanwhile; gives a copy of its files, which go on saying what they said."""
    with tempfile.TemporaryDirectory(prefix="metrino-test-") as folder:
        copy = pathlib.Path(folder)
        os.kill(broker.process.pid, signal.SIGSTOP)
        try:
            for name in ("keys.slots", "data.mdb"):
                shutil.copy(broker.data / name, copy / name)
            yield copy
        finally:
            os.kill(broker.process.pid, signal.SIGCONT)


def look(broker):
    with stopped(broker) as copy:
        return records.Store(copy)


class StoreTest(AccountTest):
    """Two accounts, a user of password_file, sessions of all three, and what is between them."""
    abstract = True

    def setUp(self):
        super().setUp()
        passwords = self.broker.root / "passwords"
        run_client([METRINO, "passwd", "--memory", "256", "--time", "1", "-c", "-b", passwords, "carol", "her password"])
        self.broker.config += f"password_file {passwords}\n"
        self.began_s = int(time.time())
        self.broker.start()
        self.ann, self.bob = self.create("Ann@Example.org"), self.create("bob@example.org")
        for access, topic_filter in (("readwrite", "home/#"), ("read", "jobs/+"), ("deny", "home/secret with blanks/#")):
            self.account("grant", self.ann, access, topic_filter)

    def lasting(self, user, client_id, password="the password", properties=()):
        return self.enter(user, password, client_id, properties=[*LASTING, *properties])


@own_only("sealed records")
class Records(StoreTest):
    abstract = False

    def fill(self):
        """Sessions, subscriptions, a token, open exchanges of each state, what waits, logins."""
        self.phone = self.lasting(self.ann, "ann-phone", properties=[TOKEN])
        self.token = next(value for name, (word, value) in
                          ((name, value) for name, value in self.phone.connack.properties if name == "user_property")
                          if word == "metrino-token")
        self.phone.subscribe("home/+/lamp", 1, identifier=7, no_local=True, retain_as_published=True, retain_handling=2)
        self.phone.subscribe("$share/workers/jobs/+", 2)
        self.lasting("carol", "carol's", "her password").subscribe("carol/été", 0)
        self.away = self.lasting(self.bob, "bob-away")
        self.away.subscribe("home/wait", 1)
        self.away.cut()
        self.exchange()
        self.key, self.secret = self.add_key(self.ann, "--expires", "2d", "--read", "home/1/#")
        self.assertEqual(self.knock(self.ann, "another password"), BAD_PASSWORD)
        self.account("disable", self.bob)
        self.assertNotEqual(self.knock(self.bob, "the password"), 0)

    def exchange(self):
        """One that came and has no subscriber; one that went, one of which PUBREC came: they are open at both ends. Two that wait."""
        lamp = self.lasting(self.bob, "bob-lamp")
        lamp.subscribe("home/1/lamp", 2)
        self.phone.send(wire.publish("home/nobody", b"x", 2, 900))
        self.assertEqual(self.phone.expect(wire.PUBREC).packet_id, 900)
        for packet_id in (901, 902):
            self.phone.send(wire.publish("home/1/lamp", b"x", 2, packet_id))
        self.sent, self.received = lamp.expect(wire.PUBLISH).packet_id, lamp.expect(wire.PUBLISH).packet_id
        lamp.send(wire.ack(wire.PUBREC, self.received))
        lamp.expect(wire.PUBREL)
        for packet_id in (903, 904):
            self.phone.send(wire.publish("home/wait", b"x", 1, packet_id))

    def test_every_record_is_what_was_put_in(self):
        self.fill()
        self.store = eventually(self.look_at_all, timeout=25, what="rows of logins, and of sessions that are away, in data.mdb")
        self.assertEqual(self.store.unknown, [])
        counts = {table: len(self.store.of(table)) for table, *_ in records.CLASSES.values()}
        self.assertEqual((counts["session"], counts["subscription"], counts["accounts"], counts["device keys"]), (4, 5, 2, 1))
        self.accounts = {record.body["name"]: record for record in self.store.of("accounts")}
        self.sessions = {record.body["client_id"]: record for record in self.store.of("session")}
        for check in (self.check_accounts, self.check_device_key, self.check_sessions, self.check_token, self.check_subscriptions,
                      self.check_exchanges, self.check_logins, self.check_files):
            check()

    def look_at_all(self):
        """Logins are written every ten seconds; that a client has gone, when it has."""
        store = look(self.broker)
        found = store.bodies("auth")
        away = [body for body in store.bodies("session") if not body["connected"]]
        return store if (len(found), len(away)) == (4, 2) else None

    def check_accounts(self):
        ann, bob = (self.accounts[name].body for name in (self.ann, self.bob))
        self.assertEqual(ann["flags"], {"has_address", "has_password", "has_rights"})
        self.assertEqual(bob["flags"], {"has_address", "has_password", "disabled"})
        self.assertEqual(ann["address"], records.mac(self.store.keys["email-index", 0], b"ann@example.org"))
        self.assertEqual(sorted(ann["rights"]), sorted([("readwrite", "home/#"), ("read", "jobs/+"),
                                                        ("deny", "home/secret with blanks/#")]))
        self.assertEqual(bob["rights"], [])
        self.assertNotEqual(ann["secret"], bob["secret"])
        for body in (ann, bob):
            self.assertRegex(body["password"], r"^\$argon2id\$v=19\$m=256,t=1,p=\d+\$[A-Za-z0-9+/]{22,}\$[A-Za-z0-9+/]{43}$")

    def check_device_key(self):
        key, = self.store.bodies("device keys")
        self.assertEqual((key["id"], key["account"], key["rights"]),
                         (self.key, self.accounts[self.ann].row, [("read", "home/1/#")]))
        self.assertTrue(self.began_s + 2 * DAY_S <= key["ends_s"] <= time.time() + 2 * DAY_S + 1)
        salted = hashlib.pbkdf2_hmac("sha256", self.secret.encode(), key["salt"], key["iterations"])
        self.assertEqual(key["stored_key"], hashlib.sha256(records.mac(salted, b"Client Key")).digest())
        self.assertEqual(key["server_key"], records.mac(salted, b"Server Key"))

    def check_sessions(self):
        owners = {"ann-phone": ACCOUNT << 61 | self.accounts[self.ann].row, "bob-lamp": ACCOUNT << 61 | self.accounts[self.bob].row,
                  "bob-away": ACCOUNT << 61 | self.accounts[self.bob].row, "carol's": self.store.owner(FILE, "carol")}
        self.assertEqual(set(self.sessions), set(owners))
        for client_id, record in self.sessions.items():
            body = record.body
            self.assertEqual((body["realm"], body["expiry_s"], body["owner"]), (0, 600, owners[client_id]))
            self.assertEqual(body["connected"], not client_id.startswith("bob"))  # who was disabled was disconnected
            self.assertTrue(self.began_s <= body["since_s"] <= time.time())

    def check_token(self):
        self.assertEqual([name for name, record in self.sessions.items() if record.body["token"]], ["ann-phone"])
        body = self.sessions["ann-phone"].body
        password = self.accounts[self.ann].body["password"].split("$")
        credential = b"".join(base64.b64decode(part + "=" * (-len(part) % 4)) for part in password[4:])
        self.assertEqual(body["token"]["latest"], self.store.token_hash(body["owner"], credential, "ann-phone", self.token))
        self.assertEqual(body["token"]["before"], bytes(32))
        self.assertTrue(self.began_s <= body["token"]["made_s"] <= time.time())

    def check_subscriptions(self):
        client_of = {record.row: client_id for client_id, record in self.sessions.items()}
        self.assertEqual(sorted((client_of[one["session"]], one["filter"], one["identifier"], one["options"])
                                for one in self.store.bodies("subscription")),
                         [("ann-phone", "$share/workers/jobs/+", 0, 2), ("ann-phone", "home/+/lamp", 7, 1 | 4 | 8 | 0x20),
                          ("bob-away", "home/wait", 0, 1), ("bob-lamp", "home/1/lamp", 0, 2), ("carol's", "carol/été", 0, 0)])

    def check_exchanges(self):
        row = {client_id: record.row for client_id, record in self.sessions.items()}
        open_ones, waiting = self.store.exchanges()
        came = {packet_id: (row["ann-phone"], records.INBOUND, packet_id) for packet_id in (900, 901, 902)}
        went = {packet_id: (row["bob-lamp"], records.OUTBOUND, packet_id) for packet_id in (self.sent, self.received)}
        self.assertEqual({name: one["state"] for name, one in open_ones.items()},
                         {**dict.fromkeys(came.values(), "open"), went[self.sent]: "sent", went[self.received]: "received"})
        envelope = {name: one["envelope"] for name, one in open_ones.items()}
        self.assertEqual(len({0, *(envelope[name] for name in came.values())}), 4)
        self.assertEqual((envelope[went[self.sent]], envelope[went[self.received]]), (envelope[came[901]], envelope[came[902]]))
        self.assertEqual(waiting, {row["bob-away"]: 2})

    def check_logins(self):
        minutes = {self.began_s // 60 + i for i in range(3)}
        found = {(row["account"], row["result"]) for row in self.store.bodies("auth")}
        ann, bob = (self.accounts[name].row for name in (self.ann, self.bob))
        self.assertEqual(found, {(ann, "right"), (ann, "wrong"), (bob, "right"), (bob, "refused")})
        for record in self.store.of("auth"):
            self.assertIn(record.body["minute"], minutes)
            self.assertEqual(record.key_number, record.body["minute"] * 60 // DAY_S)

    def check_files(self):
        """No file that docs/records.md does not name."""
        table = (ROOT / "docs" / "records.md").read_text(encoding="utf-8").split("\n## ")[0]
        named = {name.rstrip("/") for name in re.findall(r"`([\w.]+/?)`", "".join(re.findall(r"^\|[^|]*\|", table, re.M)))}
        self.assertLessEqual({"keys.slots", "data.mdb", "lock.mdb", "log"}, named)
        self.assertEqual({path.name for path in self.broker.data.iterdir()} - named, set())
        self.assertTrue(self.holders(self.broker.root / "passwords", ["carol"]), "the search sees")
        words = [self.ann, self.bob, "Ann@Example.org", "ann@example.org", "bob@example.org", "carol", self.key, self.secret,
                 self.token, *self.sessions, *(one["filter"] for one in self.store.bodies("subscription"))]
        for path in self.broker.data.rglob("*"):
            if path.is_file():
                self.assertEqual(self.holders(path, words), [], path)

    @staticmethod
    def holders(path, words):
        """The words that a file holds, as they are or in a form that needs no key."""
        content = path.read_bytes()
        return [word for word in words if any(form in content for form in disguises(word))]


@own_only("sealed records")
@unittest.skipIf(os.geteuid() != 0, "not possible here: only root may read the broker's memory, where the keys of route rows are")
class RouteRows(StoreTest):
    abstract = False

    many = [f"bob-{i}" for i in range(8)]  # at both homes: their rows are runs

    def test_route_rows(self):
        for client_id in self.many:
            self.lasting(self.bob, client_id).subscribe("home/all", 0)
        phone, lamp = self.lasting(self.ann, "ann-phone"), self.lasting(self.bob, "bob-lamp")
        lamp.subscribe("home/1", 2)
        phone.subscribe("home/2", 0)
        sent = [(0, 3), (1, 2), (2, 1)]
        before_ms = int(time.time()) * 1000
        for qos, count in sent:
            for _ in range(count):
                phone.publish("home/1", b"x", qos)
                lamp.message()
        lamp.publish("home/2", b"x", 1)
        phone.message()
        phone.publish("home/all", b"x", 0)
        lamp.disconnect()
        phone.publish("home/1", b"x", 0)
        flush_routes(self.broker)
        with stopped(self.broker) as copy:
            secrets = memory.Secrets(self.broker.process.pid)
            store = records.Store(copy)
            self.assertEqual((store.unknown, store.of("route")), ([], []))
            store = records.Store(copy, routes=secrets.route_keys(store.sealed_routes))
        self.assertEqual((store.unknown, store.sealed_routes), ([], []))
        rows = self.with_clients(store, secrets)
        self.assertEqual(sorted((row["source"], row["destination"], row["qos"], row["outcome"]) for row in rows),
                         sorted([("ann-phone", "bob-lamp", qos, "delivered") for qos, count in sent for _ in range(count)] +
                                [("ann-phone", client_id, 0, "delivered") for client_id in self.many] +
                                [("bob-lamp", "ann-phone", 0, "delivered"), ("ann-phone", "bob-lamp", 0, "qos0_away")]))
        for row in rows:
            self.assertTrue(before_ms <= row["at_ms"] <= time.time() * 1000 + 1000, row)

    def with_clients(self, store, secrets):
        """Rows with client identifiers for pseudonyms, by the secrets of accounts."""
        account = {record.body["name"]: record.body for record in store.of("accounts")}
        identities = {client_id: records.mac(account[name]["secret"], client_id.encode())
                      for client_id, name in (("ann-phone", self.ann), *((one, self.bob) for one in ("bob-lamp", *self.many)))}
        rows = []
        for record in store.of("route"):
            names = record.body["names"]
            called = {}
            for client_id, identity in identities.items():
                key = secrets.pseudonym_key(record.key_number, identity, names)
                called[records.pseudonym(key, identity) if key else b""] = client_id
            rows += [{**row, "source": called[row["source"]], "destination": called[row["destination"]]} for row in
                     record.body["rows"]]
        return rows


if __name__ == "__main__":
    unittest.main()
