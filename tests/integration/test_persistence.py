"""What outlives the process: sessions and subscriptions, whether it was stopped or killed; never a message."""

import pathlib
import time

from harness import ACCEPTED, own_only, OwnBrokerTest, STAND_IN
import wire

LASTING = [("session_expiry_interval", 3600)]


class Restart(OwnBrokerTest):
    """The same tests for an orderly end and for a kill, as subclasses."""

    abstract = True
    config = ACCEPTED
    workers = 2
    kill = False

    def setUp(self):
        super().setUp()
        self.broker.start()

    def again(self):
        """Ends the broker and starts it on the same data."""
        if self.kill:
            self.broker.kill()
        else:
            self.assertEqual(self.broker.stop(), 0)
        self.broker.start()

    def lasting(self, client_id, version=5, clean=False):
        return self.client(client_id, version=version, clean=clean, properties=LASTING if version == 5 else None)

    def resumed(self, client_id, version=5, present=1):
        client = self.lasting(client_id, version)
        if version > 3:
            self.assertEqual((client_id, client.connack.session_present), (client_id, present))
        return client

    def reaches(self, client, topic, qos=1):
        mark = self.name("mark").encode()
        self.client().publish(topic, mark, qos)
        self.assertEqual(client.message().payload, mark)

    def test_subscriptions_come_back(self):
        for version in (3, 4, 5):
            client = self.lasting(f"v{version}", version)
            client.subscribe([(f"plain/{version}", 1), (f"wild/{version}/+/#", 2)])
        self.again()
        for version in (3, 4, 5):
            client = self.resumed(f"v{version}", version)
            self.reaches(client, f"plain/{version}")
            self.reaches(client, f"wild/{version}/x/y", 2)

    def test_messages_queue_for_sessions_that_have_not_returned(self):
        self.lasting("away").subscribe("t", 1)
        self.again()
        publisher = self.client()
        for n in range(10):
            publisher.publish("t", b"%d" % n, 1)
        client = self.resumed("away")
        self.assertEqual([int(m.payload) for m in client.messages(10)], list(range(10)))

    def test_options_come_back(self):
        client = self.lasting("options")
        client.subscribe("local", 1, no_local=True)
        client.subscribe("flag", 2, retain_as_published=True, identifier=77)
        self.again()
        client = self.resumed("options")
        client.publish("local", b"own", 1)
        self.client().publish("flag", b"f", 2, retain=True)
        message = client.message()
        self.assertEqual((message.payload, message.qos, message.retain, message.all("subscription_identifier")),
                         (b"f", 2, 1, [77]))
        client.silent(0.2)

    @own_only("mosquitto loses them")
    def test_shared_subscriptions_come_back(self):
        for name in ("one", "two"):
            self.lasting(name).subscribe("$share/g/t/+", 1)
        self.again()
        members = [self.resumed(name) for name in ("one", "two")]
        publisher = self.client()
        for n in range(20):
            publisher.publish("t/x", b"%d" % n, 1)
        got, end = [], time.monotonic() + 10
        while len(got) < 20 and time.monotonic() < end:
            for member in members:
                try:
                    got.append(int(member.message(0.05).payload))
                except AssertionError:
                    continue
        self.assertEqual(sorted(got), list(range(20)))
        for member in members:
            member.silent(0.1)

    def test_what_was_removed_stays_away(self):
        client = self.lasting("left")
        client.subscribe([("kept", 1), ("removed", 1)])
        self.assertEqual(client.unsubscribe("removed").reasons, [0])
        self.lasting("cleaned").subscribe("kept", 1)
        self.lasting("cleaned", clean=True).disconnect(0, [("session_expiry_interval", 0)])
        self.client("brief", properties=[("session_expiry_interval", 0)]).subscribe("kept", 1)
        lowered = self.client("lowered", properties=LASTING)
        lowered.subscribe("kept", 1)
        lowered.disconnect(0, [("session_expiry_interval", 0)])
        time.sleep(1.2)  # an end by DISCONNECT is not waited for by anyone, so it is written a little later
        self.again()
        for name in ("cleaned", "brief", "lowered"):
            self.resumed(name, present=0)
        client = self.resumed("left")
        self.client().publish("removed", b"", 1)
        self.reaches(client, "kept")
        client.silent(0.1)

    def test_a_clean_start_that_was_told_holds(self):
        """CONNACK of the clean start came, so the old subscriptions are gone whatever happens next."""
        self.lasting("fresh").subscribe("old", 1)
        self.lasting("fresh", clean=True)
        self.again()
        client = self.resumed("fresh", present=0 if STAND_IN else 1)
        self.client().publish("old", b"", 1)
        client.silent(0.2)

    @own_only("measured from the disconnect, over the restart")
    def test_expiry_runs_on(self):
        for name, expiry_s in (("short", 1), ("long", 100)):
            client = self.client(name, properties=[("session_expiry_interval", expiry_s)])
            client.subscribe("t", 1)
            client.disconnect()
        time.sleep(0.3)
        self.again()
        time.sleep(1.5)
        self.resumed("short", present=0)
        self.resumed("long", present=1)

    def test_twice(self):
        self.lasting("twice").subscribe("t", 1)
        self.again()
        self.again()
        self.reaches(self.resumed("twice"), "t")
        self.again()
        self.reaches(self.resumed("twice"), "t")

    def test_hundreds_of_sessions(self):
        for n in range(300):
            self.lasting(f"many-{n}").subscribe(f"many/{n}", 1)
        self.again()
        for n in range(0, 300, 29):
            self.reaches(self.resumed(f"many-{n}"), f"many/{n}")


class AfterTerm(Restart):
    abstract = False


@own_only("mosquitto writes at its leisure")
class AfterKill(Restart):
    abstract = False
    kill = True


@own_only("mosquitto writes messages to its file")
class NoMessageOnDisk(OwnBrokerTest):
    """The bytes of payloads, topics of messages and user properties never reach the data directory."""

    CANARIES = (b"canary-payload-7f3a", b"canary-topic-91bc", b"canary-user-5d20", b"canary-will-payload-11",
                b"canary-retained-c0de", b"canary-content-77aa", b"canary-response-3e3e", b"canary-correlation-8b")

    def assert_absent(self):
        files = [path for path in pathlib.Path(self.broker.data).rglob("*") if path.is_file()]
        self.assertTrue(any(path.stat().st_size for path in files), "nothing was written at all")
        for path in files:
            data = path.read_bytes()
            for canary in self.CANARIES:
                self.assertNotIn(canary, data, path.name)

    def test_raw_bytes(self):
        payload, topic, user, will, retained, content, response, correlation = (c.decode() for c in self.CANARIES)
        self.broker.start()
        away = self.client("away", properties=LASTING)
        away.subscribe("#", 2)
        away.disconnect()
        open_one = self.client("open", properties=LASTING)
        open_one.subscribe("#", 2)
        publisher = self.client("publisher", properties=LASTING, will=wire.Will(f"{topic}/w", will.encode(), 2, True))
        properties = [("user_property", (user, user)), ("content_type", content), ("response_topic", response),
                      ("correlation_data", correlation.encode())]
        for n in range(200):
            publisher.publish(f"{topic}/{n}", f"{payload} {n}", n % 3, properties=properties)
        publisher.publish(f"{topic}/r", retained, 1, retain=True)
        publisher.send(wire.publish(f"{topic}/open", payload.encode(), 2, 9999, properties=properties))
        publisher.expect(wire.PUBREC)
        open_one.expect(wire.PUBLISH)
        publisher.cut()
        time.sleep(1.2)  # the record of the queue's length is written once a second
        self.assert_absent()
        self.broker.kill()
        self.assert_absent()
        self.broker.start()
        self.assertEqual(self.client("away", clean=False, properties=LASTING).connack.session_present, 1)
        self.assertEqual(self.broker.stop(), 0)
        self.assert_absent()

    def test_only_its_own_files(self):
        self.broker.start()
        self.client("x", properties=LASTING).subscribe("a", 1)
        self.assertEqual(self.broker.stop(), 0)
        names = {path.name for path in self.broker.data.iterdir()}
        self.assertLessEqual(names, {"data.mdb", "lock.mdb", "keys.slots", "log", "audit.seen", "control.sock"})
        self.assertEqual(self.broker.data.stat().st_mode & 0o077, 0)
        self.assertEqual({path.name for path in self.broker.root.iterdir()}, {"data", "broker.conf", "stderr"})

    def test_persistence_false_writes_nothing(self):
        self.broker.config = "persistence false"
        self.broker.start()
        client = self.client("x", properties=LASTING)
        client.subscribe("a", 1)
        client.disconnect()
        self.assertEqual(self.client("x", clean=False, properties=LASTING).connack.session_present, 1)
        self.broker.kill()
        self.assertEqual([path.name for path in self.broker.data.iterdir() if path.suffix == ".mdb"], [])
