"""Enhanced authentication: SCRAM-SHA-256 (RFC 5802, RFC 7677) of device keys, by a client that was written apart."""

import base64
import hashlib
import hmac
import os
import subprocess
import time

import harness
import wire
from test_door import another_address
from test_token import ASKING, TOKEN, token_of

METRINO = os.environ.get("METRINO") or str(harness.ROOT / "build" / "metrino")
METHOD = ("authentication_method", "SCRAM-SHA-256")


class Scram:
    """The client's side."""

    def __init__(self, name, secret, header="n,,"):
        self.name, self.secret, self.header = name, secret, header
        self.nonce = base64.b64encode(os.urandom(18)).decode()
        self.bare = f"n={name},r={self.nonce}"

    def first(self):
        return (self.header + self.bare).encode()

    def final(self, challenge):
        parts = dict(part.split("=", 1) for part in challenge.decode().split(","))
        assert parts["r"].startswith(self.nonce) and len(parts["r"]) >= len(self.nonce) + 16, challenge
        self.salt, self.iterations = base64.b64decode(parts["s"]), int(parts["i"])
        salted = hashlib.pbkdf2_hmac("sha256", self.secret.encode(), self.salt, self.iterations)
        key = hmac.digest(salted, b"Client Key", "sha256")
        without = f"c={base64.b64encode(self.header.encode()).decode()},r={parts['r']}"
        signed = f"{self.bare},{challenge.decode()},{without}".encode()
        signature = hmac.digest(hashlib.sha256(key).digest(), signed, "sha256")
        proof = bytes(a ^ b for a, b in zip(key, signature))
        self.expected = b"v=" + base64.b64encode(hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), signed,
                                                             "sha256"))
        return f"{without},p={base64.b64encode(proof).decode()}".encode()


def auth(reason, data, method=METHOD):
    properties = [method] + ([("authentication_data", data)] if data is not None else [])
    return wire.frame(wire.AUTH, 0, bytes([reason]) + wire.encode_properties(properties))


@harness.own_only("device keys")
class Exchange(harness.OwnBrokerTest):
    config = "argon2_memory 256\nargon2_time 1\n"

    def setUp(self):
        super().setUp()
        self.broker.start()
        self.account = self.metrino("create", "--no-address", "--no-password").strip()
        self.key, self.secret = self.new_key()

    def metrino(self, *words, says=""):
        done = subprocess.run([METRINO, "account", *words, "--data", str(self.broker.root / "data")],
                              stdout=subprocess.PIPE, check=True, timeout=30, input=says.encode())
        return done.stdout.decode()

    def new_key(self, *words):
        lines = dict(line.split() for line in self.metrino("key", "add", self.account, *words).splitlines())
        return lines["id"], lines["secret"]

    def begin(self, scram, client_id=None, properties=(), source=None, **args):
        """A connection that has sent CONNECT."""
        client = wire.Client(self.port, greet=False, source=source or another_address())
        self.addCleanup(client.cut)
        client.send(wire.connect(client_id or self.name(), properties=[
            METHOD, ("authentication_data", scram.first()), *properties], **args))
        return client

    def challenged(self, client):
        packet = client.expect(wire.AUTH)
        self.assertEqual(packet.reason, 0x18)
        self.assertEqual([name for name, _ in packet.properties], ["authentication_method", "authentication_data"])
        self.assertEqual(packet.get("authentication_method"), METHOD[1])
        return packet.get("authentication_data")

    def come_in(self, scram, expect=0, **args):
        client = self.begin(scram, **args)
        client.send(auth(0x18, scram.final(self.challenged(client))))
        client.connack = client.expect(wire.CONNACK)
        self.assertEqual(client.connack.reason, expect)
        if expect == 0:
            self.assertEqual(client.connack.get("authentication_method"), METHOD[1])
            self.assertEqual(client.connack.get("authentication_data"), scram.expected)
        return client

    def test_a_device_key_comes_in(self):
        """[MQTT-4.12.0-2] [MQTT-4.12.0-3] [MQTT-4.12.0-5] [MQTT-3.15.2-2] [MQTT-3.15.2-3]"""
        client = self.come_in(Scram(self.key, self.secret))
        client.send(wire.subscribe(1, [("t", 1)]))
        client.expect(wire.SUBACK)
        client.send(wire.publish("t", b"x", 1, 2))
        self.assertEqual(client.expect(wire.PUBLISH).payload, b"x")
        self.come_in(Scram(self.key, self.secret, header="y,,"))
        self.come_in(Scram(self.key, self.secret, header=f"n,a={self.key},"))
        self.come_in(Scram(self.key, self.secret), user_name=self.key)

    def test_mqttjs_comes_in(self):
        """[MQTT-4.12.0-5]: a library that knows enhanced authentication, and node's own cryptography."""
        harness.mqttjs("scram", self.port, 5, f"{self.key} {self.secret}")

    def test_who_does_not_come_in(self):
        """[MQTT-4.12.0-1] [MQTT-4.12.0-4]: and what a key is answered that does not exist does not tell."""
        salts = set()
        for _ in range(2):
            scram = Scram("key-abcdefgh23456789", "secret")
            client = self.come_in(scram, expect=0x87)
            self.assertIsNone(client.ended())
            self.assertEqual((scram.iterations, len(scram.salt)), (4096, 16))
            salts.add(scram.salt)
        self.assertEqual(len(salts), 1)
        self.come_in(Scram(self.key, self.secret + "x"), expect=0x87)
        self.come_in(Scram(self.account, self.secret), expect=0x87)
        for scram, args, reason in (
                (Scram(self.key, self.secret, header="p=tls-exporter,,"), {}, 0x87),
                (Scram(self.key, self.secret, header="n,a=other,"), {}, 0x87),
                (Scram(self.key, self.secret), {"user_name": "other"}, 0x87)):
            self.assertEqual(self.begin(scram, **args).expect(wire.CONNACK).reason, reason)
        client = wire.Client(self.port, "c", properties=[("authentication_method", "SCRAM-SHA-1")], expect=0x8C)
        client.cut()
        client = wire.Client(self.port, "c", properties=[METHOD], expect=0x87)
        client.cut()

    def test_who_has_not_shown_it_is_half_open(self):
        """At whatever worker its home is; and the time for CONNECT is the time for all of it."""
        self.broker.stop()
        self.broker.config += "max_half_open 5\nconnect_timeout 2\n"
        self.broker.start()
        here = another_address()
        waiting = []
        for number in range(8):
            try:
                client = self.begin(Scram(self.key, self.secret), f"waits{number}", source=here)
                self.challenged(client)
                waiting.append(client)
            except (AssertionError, ConnectionError):
                continue
        self.assertEqual(len(waiting), 5)
        for client in waiting:
            self.assertIsNone(client.ended(timeout=4))
            client.cut()
        time.sleep(0.2)
        for number in range(8):
            self.come_in(Scram(self.key, self.secret), client_id=f"comes{number}", source=here)

    def test_a_proof_is_good_once(self):
        scram = Scram(self.key, self.secret)
        client = self.begin(scram)
        final = scram.final(self.challenged(client))
        client.send(auth(0x18, final))
        self.assertEqual(client.expect(wire.CONNACK).reason, 0)
        other = self.begin(scram)
        self.challenged(other)
        other.send(auth(0x18, final))
        self.assertEqual(other.expect(wire.CONNACK).reason, 0x87)

    def test_again(self):
        """[MQTT-4.12.1-1]: and messages go on meanwhile."""
        client = self.come_in(Scram(self.key, self.secret))
        client.send(wire.subscribe(1, [("t", 0)]))
        client.expect(wire.SUBACK)
        for _ in range(2):
            scram = Scram(self.key, self.secret)
            client.send(auth(0x19, scram.first()))
            challenge = self.challenged(client)
            client.send(wire.publish("t", b"meanwhile"))
            self.assertEqual(client.expect(wire.PUBLISH).payload, b"meanwhile")
            client.send(auth(0x18, scram.final(challenge)))
            answer = client.expect(wire.AUTH)
            self.assertEqual((answer.reason, answer.get("authentication_data")), (0, scram.expected))
        client.ping()


    def test_again_as_somebody_else(self):
        """[MQTT-4.12.1-2]"""
        other, secret = self.new_key()
        for scram in (Scram(other, secret), Scram(self.key, self.secret + "x")):
            client = self.come_in(Scram(self.key, self.secret))
            client.send(auth(0x19, scram.first()))
            client.send(auth(0x18, scram.final(self.challenged(client))))
            self.assertEqual(client.ended(), 0x87)

    def test_a_revoked_key(self):
        """Between challenge and proof, and when it begins again."""
        scram = Scram(self.key, self.secret)
        client = self.begin(scram)
        final = scram.final(self.challenged(client))
        self.metrino("key", "revoke", self.key)
        client.send(auth(0x18, final))
        self.assertEqual(client.expect(wire.CONNACK).reason, 0x87)
        self.come_in(Scram(self.key, self.secret), expect=0x87)

    def test_tokens_of_a_device_key(self):
        client = self.come_in(Scram(self.key, self.secret), client_id="meter",
                              properties=[*ASKING, ("session_expiry_interval", 3600)])
        token = token_of(client.connack)
        self.assertRegex(token, TOKEN)
        client.cut()
        args = {"user_name": self.key, "password": token.encode(), "clean": False}
        self.client("meter", **args).cut()
        self.broker.kill()
        self.broker.start()
        live = self.client("meter", **args)
        self.metrino("key", "revoke", self.key)
        self.assertEqual(live.ended(), 0x87)
        self.client("meter", expect=0x86, **args)

    def test_tokens_of_an_account_that_is_disabled(self):
        name = self.account
        token = token_of(self.come_in(Scram(self.key, self.secret), client_id="meter", properties=ASKING).connack)
        args = {"user_name": self.key, "password": token.encode()}
        self.client("meter", **args).cut()
        self.metrino("disable", name)
        self.client("meter", expect=0x86, **args)
        self.metrino("delete", name)
        self.client("meter", expect=0x86, **args)

    def test_tokens_of_an_account_with_another_password(self):
        """Those that the password gave are good no more; those of a device key are."""
        name = self.metrino("create", "--no-address", says="the password\n").strip()
        lasting = {"clean": False, "properties": [*ASKING, ("session_expiry_interval", 3600)], "user_name": name}
        token = token_of(self.client("phone", password=b"the password", **lasting).connack)
        self.client("phone", password=token.encode(), **lasting).cut()
        of_key = token_of(self.come_in(Scram(self.key, self.secret), client_id="meter", properties=ASKING).connack)
        self.metrino("password", name, says="another one\n")
        self.client("phone", password=token.encode(), expect=0x86, **lasting)
        self.client("meter", user_name=self.key, password=of_key.encode()).cut()
        token = token_of(self.client("phone", password=b"another one", **lasting).connack)
        self.client("phone", password=token.encode(), **lasting).cut()
        self.broker.kill()
        self.broker.start()
        self.client("phone", password=token.encode(), **lasting).cut()
        self.broker.kill()
        self.broker.start()
        self.metrino("disable", name)
        self.metrino("enable", name)
        self.client("phone", password=token.encode(), expect=0x86, **lasting)
        self.client("phone", password=b"another one", **lasting).cut()
