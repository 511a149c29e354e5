"""An export says what a separate reader finds of the account in data.mdb (docs/records.md), and nothing of anybody else: over the
control socket, and over MQTT."""

import json
import os
import subprocess
import time
import unittest

import wire
from account import BAD_PASSWORD, LASTING, METRINO
from harness import eventually, own_only
from test_records import TOKEN, StoreTest, memory, records, stopped

not_under = ("tsan",)

ANSWER = "$metrino/me/answer"


def document(note):
    return json.loads(note.split("\n\n")[0].split("\n", 1)[1])


class Walk:
    """What the reader finds of one account, in the words of an export."""

    def __init__(self, store, name, secrets=None):
        self.store, self.secrets = store, secrets
        self.record, = (record for record in store.of("accounts") if record.body["name"] == name)
        self.body = self.record.body
        owner = 1 << 61 | self.record.row
        self.mine = {record.row: record.body for record in store.of("session") if record.body["owner"] == owner}

    def account(self):
        flags = self.body["flags"]
        found = {"name": self.body["name"], **{word: word in flags for word in
                                               ("disabled", "restricted", "objected", "has_address", "has_password")}}
        return {**found, "rights": self.rights(self.body)} if "has_rights" in flags else found

    @staticmethod
    def rights(body):
        return [{"access": access, "filter": topic_filter} for access, topic_filter in body["rights"]]

    def device_keys(self):
        return [{"id": key["id"], "ends_at": key["ends_s"], **({"rights": self.rights(key)} if "has_rights" in key["flags"] else {})}
                for key in self.store.bodies("device keys") if key["account"] == self.record.row]

    def logins(self):
        return sorted((row["minute"] * 60, row["result"]) for row in self.store.bodies("auth") if row["account"] == self.record.row)

    def sessions(self):
        """{client identifier: (expiry, what is kept)} of those that are kept."""
        found = {}
        for row, body in self.mine.items():
            filters = [{"filter": one["filter"], "qos": one["options"] & 3, "no_local": bool(one["options"] & 4),
                        "retain_as_published": bool(one["options"] & 8), "retain_handling": one["options"] >> 4,
                        "identifier": one["identifier"]}
                       for one in self.store.bodies("subscription") if one["session"] == row]
            found[body["client_id"]] = (body["expiry_s"], body["since_s"], body["token"]["made_s"] if body["token"] else None,
                                        sorted(filters, key=json.dumps), *self.exchanges(row))
        return found

    def exchanges(self, session):
        """Those that are open, and how many deliveries wait."""
        found, waiting = self.store.exchanges()
        ends = {records.INBOUND: "client", records.OUTBOUND: "broker"}
        return (sorted((ends[what], one["state"], packet_id) for (row, what, packet_id), one in found.items() if row == session),
                waiting.get(session, 0))

    def names(self, client_ids, epoch, names):
        """{pseudonym: client identifier} of those that have one of these names."""
        identities = {client_id: records.mac(self.body["secret"], client_id.encode()) for client_id in client_ids}
        keys = {client_id: self.secrets.pseudonym_key(epoch, identity, names) for client_id, identity in identities.items()}
        return {records.pseudonym(key, identities[client_id]): client_id for client_id, key in keys.items() if key}

    def deliveries(self, client_ids):
        found = []
        for record in self.store.of("route"):
            called = self.names(client_ids, record.key_number, record.body["names"])
            found += [(row["at_ms"], called.get(row["source"]), called.get(row["destination"]), row["qos"], row["outcome"])
                      for row in record.body["rows"] if row["source"] in called or row["destination"] in called]
        return sorted(found, key=str)


class ExportTest(StoreTest):
    abstract = True

    def live(self):
        """Everybody sends to everybody, in every QoS; sessions that last and one that does not."""
        self.phone = self.lasting(self.ann, "ann-phone", properties=[TOKEN])
        self.phone.subscribe("home/+/lamp", 1, identifier=7, no_local=True, retain_as_published=True, retain_handling=2)
        self.phone.subscribe("$share/workers/jobs/+", 2)
        self.phone.subscribe("home/bell", 0)
        passing = self.enter(self.ann, "the password", "ann-passing")
        passing.subscribe("home/passing", 0)
        lamp, carol = self.lasting(self.bob, "bob-lamp"), self.lasting("carol", "carol's", "her password")
        lamp.subscribe("home/secret-of-bob", 2)
        carol.subscribe("home/secret-of-carol", 1)
        for client in (self.phone, passing, lamp, carol):
            for qos in (0, 1, 2):
                client.publish("home/secret-of-bob", b"x", qos)
                lamp.message()
            client.publish("home/bell", b"x", 1)
            self.phone.message()
            client.publish("home/secret-of-carol", b"x", 1)
            carol.message()
        self.leave_open(lamp)
        lamp.disconnect()
        self.assertEqual([self.phone.expect(wire.PUBREC).packet_id for _ in range(2)], [900, 901])
        passing.publish("home/secret-of-bob", b"x", 0)
        self.add_key(self.ann, "--expires", "2d", "--read", "home/1/#")
        self.add_key(self.bob)
        self.assertEqual(self.knock(self.ann, "another password"), BAD_PASSWORD)

    def leave_open(self, lamp):
        """Exchanges of each state; a delivery that waits."""
        for packet_id in (900, 901):
            self.phone.send(wire.publish("home/secret-of-bob", b"x", 2, packet_id))
        sent = [lamp.expect(wire.PUBLISH).packet_id for _ in range(2)]
        lamp.send(wire.ack(wire.PUBREC, sent[1]))
        lamp.expect(wire.PUBREL)
        away = self.lasting(self.bob, "bob-away")
        away.subscribe("home/wait", 1)
        away.disconnect()
        self.phone.send(wire.publish("home/wait", b"x", 1, 902))
        self.assertEqual(self.phone.expect(wire.PUBACK).packet_id, 902)

    def export(self, name, *clients):
        return subprocess.run([METRINO, "subject", "export", name, "--data", str(self.broker.data),
                               *(word for client in clients for word in ("--client", client))],
                              timeout=30, check=True, capture_output=True, text=True).stdout

    def until_logins_are_written(self):
        """Once in ten seconds; and that a client has gone, when it has."""
        eventually(lambda: {line["result"] for line in document(self.export(self.ann))["logins"]} == {"right", "wrong"} and
                   document(self.export(self.bob))["logins"], timeout=25, what="rows of logins")

    def compare(self, found, walk):
        self.assertEqual(found["account"], walk.account())
        self.assertEqual(found["device_keys"], walk.device_keys())
        self.assertEqual(sorted((line["minute"], line["result"]) for line in found["logins"]), walk.logins())
        kept = {line["client_id"]: (line["expiry_s"], line["kept"]["since"], line["kept"]["token_made_at"],
                                    sorted(line["kept"]["filters"], key=json.dumps),
                                    sorted((one["from"], one["state"], one["packet_id"]) for one in line["kept"]["exchanges"]),
                                    line["kept"]["waiting"])
                for line in found["sessions"] if line["kept"]}
        self.assertEqual(kept, walk.sessions())
        if walk.secrets:
            client_ids = [line["client_id"] for line in found["sessions"]]
            self.assertEqual(sorted(((row["at_ms"], row["from"], row["to"], row["qos"], row["outcome"])
                                     for row in found["deliveries"]["rows"]), key=str), walk.deliveries(client_ids))
            self.assertEqual(found["deliveries"]["older_left_out"], 0)


@own_only("metrino subject")
class Export(ExportTest):
    abstract = False

    def test_it_is_what_a_reader_finds(self):
        self.live()
        self.until_logins_are_written()
        notes, store, secrets = eventually(self.look_twice, timeout=20, what="two exports with nothing new between them")
        self.assertEqual(store.unknown, [])
        for name, note in notes.items():
            self.compare(document(note), Walk(store, name, secrets))
        kept = {line["client_id"]: line["kept"] for name in notes for line in document(notes[name])["sessions"]}
        self.assertEqual([one["state"] for one in kept["ann-phone"]["exchanges"]], ["open"] * 2)
        self.assertEqual(sorted(one["state"] for one in kept["bob-lamp"]["exchanges"]), ["received", "sent"])
        self.assertEqual(kept["bob-away"]["waiting"], 1)
        self.check_deliveries(document(notes[self.ann])["deliveries"]["rows"])
        self.check_others(notes)

    def look_twice(self):
        """Exports, and what lies in the file then: the same before and after, when all has been written that is written late."""
        before = self.exports()
        with stopped(self.broker) as copy:
            secrets = memory.Secrets(self.broker.process.pid) if os.geteuid() == 0 else None
            store = records.Store(copy)
            if secrets:
                store = records.Store(copy, routes=secrets.route_keys(store.sealed_routes))
                self.assertEqual(store.sealed_routes, [])
        away = sum(not body["connected"] for body in store.bodies("session"))
        same = all(self.what(note) == self.what(before[name]) for name, note in self.exports().items())
        return (before, store, secrets) if same and away == 2 else None

    def exports(self):
        return {name: self.export(name) for name in (self.ann, self.bob)}

    @staticmethod
    def what(note):
        """All of it but when it was made; lists come in any order."""
        found = document(note)
        found.pop("made_at")
        for lines in (found["logins"], found["sessions"], found["deliveries"]["rows"],
                      *(line["kept"][member] for line in found["sessions"] if line["kept"] for member in ("filters", "exchanges"))):
            lines.sort(key=lambda line: json.dumps(line, sort_keys=True))
        return found

    def check_deliveries(self, rows):
        """Those of one's own clients, by name; of others it is not even told that they are others'."""
        ends = [(row["from"], row["to"], row["qos"], row["outcome"]) for row in rows]
        mine = ("ann-phone", "ann-passing")
        expected = [(who, None, qos, "delivered") for who in mine for qos in (0, 1, 2)]  # to bob
        expected += [(who, None, 1, "delivered") for who in mine]  # to carol
        expected += [(who, "ann-phone", 0, "delivered") for who in (*mine, None, None)]
        expected += [("ann-passing", None, 0, "qos0_away"), ("ann-phone", None, 2, "delivered")]  # PUBREC came of the latter
        self.assertEqual(sorted(ends, key=str), sorted(expected, key=str))

    def check_others(self, notes):
        words = {self.ann: ("ann-phone", "ann-passing", self.ann), self.bob: ("bob-lamp", "secret-of-bob", self.bob),
                 "carol": ("carol", "secret-of-carol")}
        for name, note in notes.items():
            for other, others in words.items():
                for word in others:
                    (self.assertIn if other == name else self.assertNotIn)(word, note)

    def test_the_person_gets_the_same(self):
        self.live()
        self.until_logins_are_written()
        self.phone.subscribe(ANSWER)

        def the_same():
            """Once nothing comes between them."""
            self.phone.publish("$metrino/me/export", b"", 1, properties=[("correlation_data", b"17")])
            own = self.what(json.loads(self.phone.message().payload)["export"])
            return own == self.what(self.export(self.ann))
        eventually(the_same, what="the same over MQTT and over the control socket")

    def test_a_client_that_takes_no_large_packets_is_told(self):
        me = self.lasting(self.ann, "me", properties=[("maximum_packet_size", 500)])
        me.subscribe(ANSWER)
        me.publish("$metrino/me/export", b"", 1)
        self.assertIn("Maximum Packet Size", json.loads(me.message().payload)["error"])

    def test_filters_in_thousands(self):
        """More than are read at a time; what was given up is not there."""
        me = self.lasting(self.bob, "bob-many")
        filters = [f"many/{i}/#" for i in range(1500)]
        for at in range(0, len(filters), 300):
            me.subscribe([(topic_filter, wire.options(1)) for topic_filter in filters[at:at + 300]])
        me.unsubscribe(*filters[::3])
        session, = document(self.export(self.bob))["sessions"]
        self.assertEqual(sorted(one["filter"] for one in session["kept"]["filters"]),
                         sorted(set(filters) - set(filters[::3])))

    def ends(self):
        return [(row["from"], row["to"], row["outcome"]) for row in document(self.export(self.ann))["deliveries"]["rows"]]

    def say(self, action, word):
        subprocess.run([METRINO, "subject", action, self.ann, word, "--data", str(self.broker.data)], timeout=30, check=True)

    def test_objection_and_restriction(self):
        """After an objection the rows that there were are nobody's, with a restriction they are still one's own; of neither are there
        more until it ends."""
        me, lamp = self.lasting(self.ann, "ann-phone"), self.lasting(self.bob, "bob-lamp")
        lamp.subscribe("home/1", 1)
        rows = 0
        for action, stay in (("restrict", True), ("object", False)):
            for _ in range(2):
                me.publish("home/1", b"x", 1)
                lamp.message()
                rows += 1
                self.assertEqual(self.ends(), [("ann-phone", None, "delivered")] * rows)
                self.say(action, "on")
                me.publish("home/1", b"x", 1)
                lamp.message()
                rows *= stay
                self.assertEqual(self.ends(), [("ann-phone", None, "delivered")] * rows)
                self.say(action, "off")
                self.assertEqual(self.ends(), [("ann-phone", None, "delivered")] * rows)

    def test_clients_that_have_gone_are_named(self):
        """What they sent and got is in it then; who names clients of somebody else learns nothing."""
        lamp, phone = self.lasting(self.bob, "bob-lamp"), self.lasting(self.ann, "ann-phone")
        lamp.subscribe("home/1", 1)
        phone.subscribe("home/2", 1)
        for client_id in ("ann-once", "ann: twice"):
            gone = self.enter(self.ann, "the password", client_id)
            gone.publish("home/1", b"x", 1)
            lamp.message()
            gone.publish("home/2", b"x", 1)
            phone.message()
            gone.disconnect()

        def told(*named):
            found = document(self.export(self.ann, *named))["deliveries"]
            self.assertEqual(found["named"], list(named))
            return sorted(((row["from"], row["to"]) for row in found["rows"]), key=str)
        eventually(lambda: told() == [(None, "ann-phone")] * 2, what="both clients to have gone")
        once, twice = (("ann-once", None), ("ann-once", "ann-phone")), (("ann: twice", None), ("ann: twice", "ann-phone"))
        self.assertEqual(told("ann-once"), sorted([*once, (None, "ann-phone")], key=str))
        everybody = sorted([*once, *twice], key=str)
        self.assertEqual(told("ann-once", "bob-lamp", "ann-phone", "nobody", "ann: twice"), everybody)
        phone.subscribe(ANSWER)
        phone.publish("$metrino/me/export", b"ann-once\n\nann: twice\n", 1)
        own = document(json.loads(phone.message().payload)["export"])["deliveries"]
        self.assertEqual(sorted(((row["from"], row["to"]) for row in own["rows"]), key=str), everybody)
        phone.publish("$metrino/me/export", b"ann-\xff", 1)
        self.assertIn("UTF-8, one a line", json.loads(phone.message().payload)["error"])

    def test_without_route_rows(self):
        self.broker.config += "route_max_bytes 0\n"
        self.restart()
        self.lasting(self.ann, "ann-phone")
        self.assertEqual(document(self.export(self.ann))["deliveries"],
                         {"rows": [], "older_left_out": 0, "damaged_rows": 0, "named": []})


if __name__ == "__main__":
    unittest.main()
