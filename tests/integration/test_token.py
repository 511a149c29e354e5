"""Session tokens: asked for in CONNECT or by subscribing, good for the next connections, and seen by nobody else."""

import base64
import hashlib
import re
import socket
import urllib.request

import harness
import pki
import wire
from test_door import DoorTest, knock, metrino_passwd, mosquitto_passwd
from test_tls import handshake

TOPIC = "$metrino/token"
ASKING = [("user_property", ("metrino-token", "1"))]
EXPIRING = [("session_expiry_interval", 3600)]
TOKEN = re.compile(r"metrino_t1_[A-Za-z0-9_-]{43}\Z")


def token_of(connack):
    """What is in a CONNACK, or None."""
    return dict(connack.all("user_property")).get("metrino-token")


class TokenTest(DoorTest):
    def setUp(self):
        super().setUp()
        self.admin = harness.free_port()
        self.more = f"admin_listener {self.admin}\n"
        self.broker.config += self.more
        metrino_passwd("-c", "-b", self.passwords, "bob", "secret")
        metrino_passwd("-b", self.passwords, "eve", "secrets")

    def passwords_hashed(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=10) as answer:
            return int(re.search(r"^metrino_argon2_runs_total (\d+)", answer.read().decode(), re.M).group(1))

    def ask(self, client_id, password, user="bob", clean=False, properties=EXPIRING, **args):
        """A new token by CONNACK, or None."""
        return token_of(knock(self.port, client_id, user, password, 5, clean=clean, properties=properties + ASKING,
                              **args))

    def reason(self, client_id, password, user="bob", version=5, **args):
        return knock(self.port, client_id, user, password, version, clean=False, **args).reason


@harness.own_only("session tokens")
class Tokens(TokenTest):
    def test_a_token_is_the_password_of_one_client(self):
        self.broker.start()
        token = self.ask("meter", "secret")
        self.assertRegex(token, TOKEN)
        before = self.passwords_hashed()
        for version in (3, 4, 5):
            self.assertEqual(self.reason("meter", token, version=version), 0)
        self.assertIsNone(self.ask("meter", token))  # it is young
        self.assertEqual(self.reason("meter2", token), 0x86)
        self.assertEqual(self.reason("meter", token, user="eve"), 0x86)
        self.assertEqual(self.reason("meter", token, user="nobody"), 0x86)
        self.assertEqual(self.reason("meter", token[:-1] + ("A" if token[-1] != "A" else "B")), 0x86)
        self.assertEqual(self.reason("meter", token, user=""), 0x86)
        self.assertEqual(self.passwords_hashed(), before)
        self.assertEqual(self.reason("meter", token + "x"), 0x86)  # a password like any other
        self.assertEqual(self.passwords_hashed(), before + 1)
        self.assertEqual(self.reason("meter", "secret"), 0)

    def test_by_topic_with_clients_of_others(self):
        self.broker.start()
        paho = self.paho("meter", version=4, login=("bob", "secret"), clean=False)
        paho.subscribe(TOPIC, 1)
        message = paho.message()
        self.assertEqual((message.topic, message.qos, message.retain), (TOPIC, 0, False))
        token = message.payload.decode()
        self.assertRegex(token, TOKEN)
        paho.disconnect()
        before = self.passwords_hashed()
        harness.mosquitto_pub(self.port, "-i", "meter", "-u", "bob", "-P", token, "-t", "t", "-m", "x", "-c")
        again = self.paho("meter", version=4, login=("bob", token), clean=False)
        again.disconnect()
        self.assertEqual(self.passwords_hashed(), before)

    def test_who_gets_none(self):
        """Nobody's client, and one on a link that others may read."""
        behind = harness.free_port()
        self.broker.config += (f"allow_cleartext_password true\nlistener {behind} 127.0.0.1\n"
                               "enable_proxy_protocol 1\nproxy_protocol_from 127.0.0.1\nallow_anonymous true\n")
        self.broker.start()
        anonymous = wire.Client(behind, "a", greet=False)
        anonymous.send(b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 1883\r\n")
        anonymous._greet(wire.connect("a", properties=ASKING), 0)
        self.assertIsNone(token_of(anonymous.connack))
        anonymous.send(wire.subscribe(1, [(TOPIC, 0)]))
        self.assertEqual(anonymous.expect(wire.SUBACK).reasons, [0x87])
        anonymous.cut()
        open_link = wire.Client(behind, "b", greet=False)
        open_link.send(b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 1883\r\n")
        open_link._greet(wire.connect("b", user_name="bob", password=b"secret", properties=ASKING), 0)
        self.assertIsNone(token_of(open_link.connack))
        open_link.send(wire.subscribe(1, [(TOPIC, 0)]))
        self.assertEqual(open_link.expect(wire.SUBACK).reasons, [0x87])
        open_link.cut()
        token = self.ask("b", "secret")
        stolen = wire.Client(behind, "b", greet=False)
        stolen.send(b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 1883\r\n")
        stolen._greet(wire.connect("b", user_name="bob", password=token.encode(), properties=wire.WORDS), 0x87)
        self.assertIn("token", stolen.connack.get("reason_string"))
        stolen.cut()

    def test_links_that_nobody_else_reads(self):
        """TLS and a Unix socket, besides loopback; a token of one is good on the others."""
        home = self.broker.root / "links"
        home.mkdir(mode=0o755)
        authority = pki.Authority(home / "ca")
        certificate, key = authority.server()
        secure, path = harness.free_port(), home / "sock"
        self.broker.config += (f"listener {secure} 127.0.0.1\ncertfile {certificate}\nkeyfile {key}\n"
                               f"listener 0 {path}\n")
        self.broker.start()

        def unix():
            link = socket.socket(socket.AF_UNIX)
            link.connect(str(path))
            return link

        dials = (lambda: handshake(secure, authority.context()), unix)
        for dial in dials:
            token = self.ask("meter", "secret", dial=dial)
            self.assertRegex(token, TOKEN)
            before = self.passwords_hashed()
            for other in (None, *dials):
                self.assertEqual(self.reason("meter", token, **({"dial": other} if other else {})), 0)
            self.assertEqual(self.passwords_hashed(), before)

    def test_of_passwords_that_are_hashed_anew_in_memory_only(self):
        """What stands in the file is the password of before: neither HUP nor a restart is another one."""
        mosquitto_passwd("-b", self.passwords, "bob", "secret")
        self.in_folder_that_cannot_be_written()
        self.broker.start()
        token = self.ask("meter", "secret")
        self.assertIn("hashed anew in memory only", self.broker.log())
        self.assertEqual(self.reason("meter", token, properties=EXPIRING), 0)
        self.hup("was read again")
        self.assertEqual(self.reason("meter", token, properties=EXPIRING), 0)
        self.broker.stop()
        self.broker.start()
        self.assertEqual(self.reason("meter", token, properties=EXPIRING), 0)

    def test_restarts_and_revocation(self):
        self.broker.start()
        lasting, brief = self.ask("lasting", "secret"), self.ask("brief", "secret", clean=True, properties=[])
        self.assertEqual(self.reason("brief", brief), 0)
        self.broker.kill()
        self.broker.start()
        self.assertEqual(self.reason("lasting", lasting), 0)
        self.assertEqual(self.reason("brief", brief), 0x86)  # in memory only
        brief = self.ask("brief", "secret", clean=True, properties=[])
        connected = self.client("lasting", user_name="bob", password=lasting.encode(), clean=False,
                                properties=EXPIRING)
        lines = self.passwords.read_text().splitlines()
        self.passwords.write_text(lines[1] + "\n")
        self.hup("password_file: 1 users")
        self.assertEqual(connected.ended(), 0x87)
        for client_id, token in (("lasting", lasting), ("brief", brief)):
            self.assertEqual(self.reason(client_id, token), 0x86)
        self.passwords.write_text("\n".join(lines) + "\n")
        self.hup("password_file: 2 users")
        self.assertEqual(self.reason("lasting", lasting), 0x86)
        token = self.ask("lasting", "secret")
        metrino_passwd("-b", self.passwords, "bob", "another")  # another password: none of before is good
        self.hup("password_file: 2 users")
        self.assertEqual(self.reason("lasting", token), 0x86)
        self.assertEqual(self.reason("lasting", "another"), 0)

    def test_a_user_who_comes_back_has_no_old_token(self):
        """Whether the session is away, is of before a restart, or has ended; out by HUP, or while the broker did not run."""
        self.broker.start()
        lines = self.passwords.read_text().splitlines()
        without, whole = lines[1] + "\n", "\n".join(lines) + "\n"
        for restarts in (False, True):
            away, brief = self.ask("away", "secret"), self.ask("brief", "secret", clean=True, properties=[])
            other = self.ask("other", "secrets", user="eve")
            if restarts:
                self.broker.stop()
                self.broker.start()
            self.passwords.write_text(without)
            self.hup("password_file: 1 users")
            self.passwords.write_text(whole)
            self.hup("password_file: 2 users")
            self.assertEqual((self.reason("away", away), self.reason("brief", brief)), (0x86, 0x86))
            self.assertEqual(self.reason("other", other, user="eve"), 0)
        away = self.ask("away", "secret")
        for text in (without, whole):
            self.broker.stop()
            self.passwords.write_text(text)
            self.broker.start()
        self.assertEqual(self.reason("away", away), 0x86)

    def test_wrong_tokens_ban_nobody(self):
        self.broker.config += "auth_fail_ban 5 60s\n"
        self.broker.start()
        wrong = "metrino_t1_" + "A" * 43
        for number in range(20):
            self.assertEqual(self.reason(f"c{number}", wrong), 0x86)
        self.assertEqual(self.reason("c", "secret"), 0)

    def test_acl_file_has_no_say(self):
        self.acl_file.write_text("user bob\ntopic t\n")
        self.broker.config += f"acl_file {self.acl_file}\n"
        self.broker.start()
        client = self.client("meter", user_name="bob", password=b"secret")
        client.send(wire.subscribe(1, [(TOPIC, 0)]))
        self.assertEqual(client.expect(wire.SUBACK).reasons, [0])
        self.assertRegex(client.expect(wire.PUBLISH).payload.decode(), TOKEN)
        client.send(wire.publish(TOPIC, b"x", 1, 7))
        self.assertEqual(client.expect(wire.PUBACK).reason, 0)
        client.silent()

    def test_nothing_of_it_is_on_disk_or_in_a_log(self):
        self.broker.config += "log_type all\nconnection_messages true\n"
        self.broker.start()
        tokens = [self.ask(f"c{number}", "secret") for number in range(3)]
        for number, token in enumerate(tokens):
            self.assertEqual(self.reason(f"c{number}", token), 0)
            self.assertEqual(self.reason("other", token), 0x86)
        self.broker.stop()
        held = b"".join(path.read_bytes() for path in self.broker.root.rglob("*") if path.is_file())
        held += self.broker.log().encode()
        self.assertIn(b"password_file", held)  # the search finds what is there
        for token in tokens:
            for secret in (token.encode(), base64.urlsafe_b64decode(token[11:] + "=")):
                for shape in (secret, secret.hex().encode(), secret.hex().upper().encode(), base64.b64encode(secret)[:-4],
                              base64.urlsafe_b64encode(secret)[:-4], hashlib.sha256(secret).digest(),
                              hashlib.sha256(secret).hexdigest().encode(), hashlib.sha512(secret).digest(),
                              hashlib.sha1(secret).digest(), hashlib.md5(secret).digest()):
                    self.assertNotIn(shape, held)
