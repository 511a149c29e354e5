"""A million operations by clients whose every word is a canary, and then a search for these words.

OPERATIONS   how many packets clients send (1,000,000)

Searched are all files of the broker: the data directory and all that it logs at its most talkative, while it runs, after a kill
and after a restart and an orderly end. Searched for is each word as it is, in hexadecimal, in base64, and as a hash without a key.
"""

import multiprocessing
import os
import random

import wire
from account import AccountTest, another_address
from forms import forms_of
from harness import own_only
from test_door import metrino_passwd

OPERATIONS = int(os.environ.get("OPERATIONS") or 1_000_000)
PROCESSES = 2
BURST = 200
WORDS = {kind: [f"canary-{kind}-{number}-7d1f" for number in range(4)] for kind in ("client", "topic", "user", "payload", "property")}
ADDRESS = "127.83.71.59"
PASSWORD = "canary-password-2b90"


class Device:
    """Connects again and again as one of its names, and does a bit of everything."""

    def __init__(self, port, number):
        self.port = port
        self.names = list(zip(WORDS["client"], WORDS["user"]))[number::PROCESSES]  # a session is one user's
        self.random = random.Random(number)
        self.sent = 0

    def word(self, kind):
        return self.random.choice(WORDS[kind])

    def connect(self, password=PASSWORD, expect=0, source=ADDRESS):
        client_id, user = self.random.choice(self.names)
        topic, payload = self.word("topic"), self.word("payload").encode()
        return wire.Client(self.port, client_id, source=source, user_name=user, expect=expect,
                           password=password.encode(), clean=self.random.random() < 0.3, will=wire.Will(topic, payload, retain=True),
                           properties=[("session_expiry_interval", 3600), ("user_property", (self.word("property"), "x"))],
                           timeout=60)

    def answer(self, client, packet):
        """What a packet asks for, or nothing."""
        replies = {wire.PUBREC: wire.PUBREL, wire.PUBREL: wire.PUBCOMP}
        if packet.type == wire.PUBLISH and packet.qos:
            client.send(wire.ack(wire.PUBACK if packet.qos == 1 else wire.PUBREC, packet.packet_id))
        elif packet.type in replies:
            client.send(wire.ack(replies[packet.type], packet.packet_id))

    def burst(self, client):
        qos = self.random.choice((0, 0, 0, 1, 2))
        topics = [f"{topic}/{number}" for topic in WORDS["topic"] for number in range(3)]
        client.send(b"".join(wire.publish(self.random.choice(topics), self.word("payload").encode(), qos, client.next_id() if qos else None,
                                          retain=self.random.random() < 0.05, properties=[("response_topic", self.word("topic"))])
                             for _ in range(BURST)))
        client.send(wire.frame(wire.PINGREQ, 0))
        finals = {1: wire.PUBACK, 2: wire.PUBCOMP}
        waits = BURST if qos else 0
        ponged = False
        while waits or not ponged:
            packet = client.receive()
            ponged = ponged or packet.type == wire.PINGRESP
            waits -= bool(qos) and packet.type == finals[qos]
            self.answer(client, packet)
        self.sent += BURST + 1

    def visit(self):
        with self.connect() as client:
            client.kept.clear()
            client.send(wire.subscribe(client.next_id(), [(f"{self.word('topic')}/#", self.random.randrange(3)),
                                                          (f"$share/{self.word('client')}/{self.word('topic')}/1", 1)]))
            for _ in range(self.random.randrange(1, 8)):
                self.burst(client)
            client.send(wire.unsubscribe(client.next_id(), [f"{self.word('topic')}/#"]))
            if self.random.random() < 0.5:
                client.send(wire.disconnect())
            self.sent += 4

    def live(self, operations):
        while self.sent < operations:
            self.visit()
            if self.random.random() < 0.02:
                self.connect("canary-password-wrong-11", tuple(range(256)), another_address()).cut()
                self.sent += 1
        return self.sent


def live(port, number, operations):
    return Device(port, number).live(operations)


@own_only("what is kept")
class Canaries(AccountTest):
    timeout_s = 3600
    alone = True
    config = ("allow_anonymous false\nargon2_memory 256\nargon2_time 1\nlog_type all\nconnection_messages true\n"
              "max_queued_messages 100000\n")

    def setUp(self):
        super().setUp()
        self.users = self.broker.root / "passwords"
        for user in WORDS["user"]:
            metrino_passwd(*([] if self.users.exists() else ["-c"]), "-b", self.users, user, PASSWORD)
        self.broker.config += f"password_file {self.users}\n"
        self.broker.start()
        self.account("create", lines=("canary-mail-5e@example.org", PASSWORD))

    def found(self):
        texts = {path: path.read_bytes() for path in self.broker.root.rglob("*") if path.is_file() and path not in (self.users, self.broker.conf)}
        self.assertIn(self.broker.data / "data.mdb", texts)
        secrets = [word for words in WORDS.values() for word in words] + [ADDRESS, PASSWORD, "canary-mail-5e@example.org"]
        return {(secret, str(path)) for secret in secrets for form in forms_of(secret) for path, text in texts.items() if form in text}

    def test_no_word_is_in_any_file(self):
        with multiprocessing.Pool(PROCESSES) as pool:
            sent = sum(pool.starmap(live, [(self.broker.port, number, OPERATIONS // PROCESSES) for number in range(PROCESSES)]))
        self.assertGreaterEqual(sent, OPERATIONS)
        self.assertEqual(self.found(), set())
        self.broker.kill()
        self.assertEqual(self.found(), set())
        self.broker.start()
        self.assertEqual(self.broker.stop(), 0)
        self.assertEqual(self.found(), set())
        (self.broker.data / "planted").write_text("x" + WORDS["topic"][2])
        self.assertEqual({secret for secret, _ in self.found()}, {WORDS["topic"][2]})
