"""TLS: certificates, mutual TLS, pre-shared keys, versions and ciphers; what a reload changes."""

import contextlib
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import tempfile
import shutil
import time
import urllib.request

from harness import ROOT, BrokerTest, MosquittoSub, OwnBrokerTest, eventually, free_port, mosquitto_pub, own_only, run_client, tool
import pki
import wire


def handshake(port, context, name="localhost"):
    """A TLS connection to the broker; raises ssl.SSLError or OSError when it does not come to be."""
    plain = socket.create_connection(("127.0.0.1", port), timeout=10)
    try:
        return context.wrap_socket(plain, server_hostname=name)
    except BaseException:
        plain.close()
        raise


def s_client(port, *args):
    """openssl s_client to the end of the handshake; gives its exit code and words."""
    done = subprocess.run([tool("openssl"), "s_client", "-connect", f"127.0.0.1:{port}", *map(str, args)], input=b"",
                          capture_output=True, timeout=20, check=False)
    return done.returncode, (done.stdout + done.stderr).decode(errors="replace")


class TlsTest(BrokerTest):
    """A broker with a second listener, which speaks TLS; its keys are in `keys()`."""

    abstract = True

    @classmethod
    def setUpClass(cls):
        cls.home = pathlib.Path(tempfile.mkdtemp(prefix="metrino-pki-"))
        cls.home.chmod(0o755)
        cls.addClassCleanup(shutil.rmtree, cls.home, ignore_errors=True)
        cls.authority = pki.Authority(cls.home / "ca")
        cls.certificate, cls.key = cls.authority.server()
        cls.tls_port = free_port()
        cls.config = f"listener {cls.tls_port} 127.0.0.1\n{cls.keys()}"
        cls.start_broker(folders=[cls.home])

    @classmethod
    def own(cls):
        return f"certfile {cls.certificate}\nkeyfile {cls.key}\n"

    @classmethod
    def keys(cls):
        return cls.own()

    def secure(self, client_id=None, context=None, **args):
        client = wire.Client(0, self.name("s") if client_id is None else client_id,
                             dial=lambda: handshake(self.tls_port, context or self.authority.context()), **args)
        self.addCleanup(client.cut)
        return client

    def refused(self, context):
        """The broker does not let a client with these settings in. TLS 1.2: the handshake fails."""
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            handshake(self.tls_port, context).close()


class OwnTlsTest(OwnBrokerTest):
    """What a broker for each test needs to speak TLS."""

    abstract = True

    def setUp(self):
        super().setUp()
        self.home = self.broker.root / "pki"
        self.home.mkdir(mode=0o755)
        self.authority = pki.Authority(self.home / "ca")
        self.certificate, self.key = self.authority.server()


class Certificates(TlsTest):
    abstract = False
    workers = 2

    def test_messages_of_every_size(self):
        client = self.secure()
        client.subscribe("t", 2)
        for size in (0, 1, 1000, 16384, 16385, 100000, 3000000):
            payload = os.urandom(size)
            client.publish("t", payload, 1)
            self.assertEqual(client.message(timeout=20).payload, payload)

    def test_links_move_between_workers_with_their_tls(self):
        """Two workers: half of the clients are at home on the other one."""
        for n in range(16):
            client = self.secure(f"moves-{n}")
            client.subscribe(f"m/{n}", 1)
            client.publish(f"m/{n}", b"x", 1)
            self.assertEqual(client.message().payload, b"x")

    def test_mosquitto_clients(self):
        arguments = ["--cafile", str(self.authority.certificate), "-h", "localhost"]
        for version in (3, 4, 5):
            topic = self.name()
            sub = MosquittoSub(self.tls_port, *arguments, "-t", topic, "-q", "2", version=version, count=1)
            self.addCleanup(sub.end)
            mosquitto_pub(self.tls_port, *arguments, "-t", topic, "-q", "2", "-m", "sealed", version=version)
            self.assertEqual(sub.finish(), [f"{topic}|2|0|sealed"])

    def test_paho(self):
        import paho.mqtt.client as mqtt
        received = []
        client = mqtt.Client(self.name())
        client.tls_set(ca_certs=str(self.authority.certificate))
        client.on_connect = lambda c, *_: c.subscribe("paho", 1)
        client.on_subscribe = lambda c, *_: c.publish("paho", b"sealed", 1)
        client.on_message = lambda _c, _u, message: received.append(message.payload)
        client.connect("localhost", self.tls_port)
        client.loop_start()
        eventually(lambda: received == [b"sealed"], what="the message")
        client.disconnect()
        client.loop_stop()

    def test_versions(self):
        code, words = s_client(self.tls_port, "-tls1_2")
        self.assertEqual(code, 0, words)
        self.assertIn("TLSv1.2", words)
        for old in ("-tls1_1", "-tls1"):
            # Security level 0: our side has to be willing to.
            code, words = s_client(self.tls_port, old, "-cipher", "ALL:@SECLEVEL=0")
            self.assertNotEqual(code, 0, words)
            self.assertIn("alert protocol version", words)

    def test_ciphers(self):
        for name in ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305",
                     "ECDHE-ECDSA-AES128-CCM"):
            code, words = s_client(self.tls_port, "-tls1_2", "-cipher", name)
            self.assertEqual(code, 0, words)
            self.assertIn(name, words)
        for name in ("ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES128-SHA256", "NULL-SHA256:@SECLEVEL=0"):
            code, words = s_client(self.tls_port, "-tls1_2", "-cipher", name)
            self.assertNotEqual(code, 0, words)

    def test_alpn_and_server_name(self):
        code, words = s_client(self.tls_port, "-alpn", "mqtt", "-servername", "somewhere.example")
        self.assertEqual(code, 0)
        self.assertIn("ALPN protocol: mqtt", words)
        code, words = s_client(self.tls_port, "-alpn", "h2")
        self.assertNotEqual(code, 0)
        self.assertIn("no application protocol", words)

    def test_sessions_are_resumed(self):
        context = self.authority.context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        first = handshake(self.tls_port, context)
        session = first.session
        first.close()
        plain = socket.create_connection(("127.0.0.1", self.tls_port), timeout=10)
        again = context.wrap_socket(plain, server_hostname="localhost", session=session)
        self.addCleanup(again.close)
        self.assertTrue(again.session_reused)
        client = wire.Client(0, self.name(), dial=lambda: again)
        client.ping()

    def test_plain_bytes_on_the_port(self):
        """[bad-inputs 70]: neither a CONNECT nor noise is answered, and the broker goes on."""
        for noise in (wire.connect("plain"), b"GET / HTTP/1.1\r\n\r\n", bytes(1000), b"\x16\x03\x01\xff\xff" + bytes(99)):
            with socket.create_connection(("127.0.0.1", self.tls_port), timeout=10) as plain:
                plain.sendall(noise)
                answer = plain.recv(1000)
                self.assertIn(answer[:1], (b"", b"\x15"), "an alert, if anything")
                while answer:
                    answer = plain.recv(1000)
        self.secure().ping()

    def test_bytes_one_by_one(self):
        """A handshake and packets cut at every byte."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = self.authority.context()
        sealed = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
        with socket.create_connection(("127.0.0.1", self.tls_port), timeout=10) as plain:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

            def push():
                for byte in outgoing.read():
                    plain.sendall(bytes([byte]))

            def pull(step):
                while True:
                    try:
                        return step()
                    except ssl.SSLWantReadError:
                        push()
                        incoming.write(plain.recv(4096))
            pull(sealed.do_handshake)
            sealed.write(wire.connect(self.name()))
            sealed.write(b"\xc0\x00")
            push()
            self.assertEqual(pull(lambda: sealed.read(1)), b"\x20")

    def test_slow_reader(self):
        """More than the socket takes: records wait, and come whole."""
        reader = self.secure(timeout=30)
        reader.subscribe("slow", 0)
        writer = self.client()
        payload = os.urandom(100000)
        for _ in range(100):
            writer.publish("slow", payload, 1)
        for _ in range(100):
            self.assertEqual(reader.message(timeout=20).payload, payload)

    def test_goodbye(self):
        """After DISCONNECT the broker says close_notify: the end is not cut short."""
        plain = socket.create_connection(("127.0.0.1", self.tls_port), timeout=10)
        context = self.authority.context()
        context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
        sealed = context.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False)
        client = wire.Client(0, self.name(), dial=lambda: sealed)
        client.send(b"\xe0\x00")
        self.assertEqual(sealed.recv(100), b"")  # SSLEOFError without close_notify


class Subjects(TlsTest):
    """use_subject_as_username: the name as mosquitto writes it. It shows as the client identifier that it becomes."""

    abstract = False

    @classmethod
    def keys(cls):
        return cls.own() + (f"cafile {cls.authority.certificate}\nrequire_certificate true\nuse_subject_as_username true\n"
                            "use_username_as_clientid true\nlistener_allow_anonymous false\n")

    def test_subjects(self):
        for subject, name in (("/C=GB/O=Example, Inc./OU=a;b/CN=device 7", r"CN=device 7,OU=a\;b,O=Example\, Inc.,C=GB"),
                              ("/CN=Gerät", r"CN=Ger\C3\A4t"), ("/CN=#1", r"CN=\#1")):
            client = self.secure(context=self.authority.context(*self.authority.sign("named", subject)))
            # A plain client of that identifier is refused, so that is its identifier; and it stays its own.
            self.client(name, expect=0x85)
            client.ping()


class BehindABalancer(TlsTest):
    abstract = False
    workers = 1  # connections are taken in their order

    @classmethod
    def keys(cls):
        return cls.own() + "enable_proxy_protocol 1\nproxy_protocol_from 127.0.0.1\nconnect_timeout 60\n"

    def test_tls_begins_behind_the_header(self):
        plain = socket.create_connection(("127.0.0.1", self.tls_port), timeout=10)
        self.addCleanup(plain.close)
        plain.sendall(b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 8883\r\n")
        client = wire.Client(0, self.name(), dial=lambda: self.authority.context().wrap_socket(plain, server_hostname="localhost"))
        client.ping()

    def test_nobody_comes_in_by_files_of_before(self):
        """Who is still to send the header when the files are read again would shake hands by the old ones."""
        early = socket.create_connection(("127.0.0.1", self.tls_port), timeout=10)
        self.addCleanup(early.close)
        self.test_tls_begins_behind_the_header()
        self.broker.signal(signal.SIGHUP)
        self.assertEqual(early.recv(1), b"")
        self.test_tls_begins_behind_the_header()


class Rsa(TlsTest):
    abstract = False

    @classmethod
    def keys(cls):
        cls.certificate, cls.key = cls.authority.server("rsa", kind=("rsa", "rsa_keygen_bits:2048"))
        return cls.own() + "ciphers ECDHE-RSA-AES256-GCM-SHA384:!aNULL"

    def test_ciphers_as_listed(self):
        code, words = s_client(self.tls_port, "-tls1_2")
        self.assertEqual(code, 0, words)
        self.assertIn("ECDHE-RSA-AES256-GCM-SHA384", words)
        code, words = s_client(self.tls_port, "-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256")
        self.assertNotEqual(code, 0, words)
        self.secure().ping()


def words_of(port, topic="$SYS/broker/version"):
    return run_client([tool("mosquitto_sub"), "-p", str(port), "-t", topic, "-C", "1", "-W", "10"])


class Mutual(TlsTest):
    abstract = False
    workers = 2

    @classmethod
    def keys(cls):
        cls.device = cls.authority.sign("device-7")
        cls.expired = cls.authority.sign("expired", days=(-20, -10))
        cls.early = cls.authority.sign("early", days=(10, 20))
        cls.revoked = cls.authority.sign("revoked")
        cls.authority.revoke(cls.revoked[0])
        cls.stranger = pki.Authority(cls.home / "stranger").sign("device-7")
        return cls.own() + (f"cafile {cls.authority.certificate}\ncrlfile {cls.authority.revocations()}\n"
                            "require_certificate true\nuse_identity_as_username true\nlistener_allow_anonymous false\n"
                            "use_username_as_clientid true\n")

    def with_certificate(self, pair):
        context = self.authority.context(*pair)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        return context

    def test_who_comes_in(self):
        client = self.secure(context=self.with_certificate(self.device), user_name="somebody-else", password=b"x")
        client.ping()
        for pair in (self.expired, self.early, self.revoked, self.stranger):
            self.refused(self.with_certificate(pair))
        nobody = self.authority.context()
        nobody.maximum_version = ssl.TLSVersion.TLSv1_2
        self.refused(nobody)

    def test_why_not_is_said(self):
        """An alert, where a bare end of the connection would let an operator look for the cause in the network."""
        for pair, alert in (((), "SSLV3_ALERT_HANDSHAKE_FAILURE"), (self.expired, "SSLV3_ALERT_CERTIFICATE_EXPIRED"),
                            (self.revoked, "SSLV3_ALERT_CERTIFICATE_REVOKED"), (self.stranger, "TLSV1_ALERT_UNKNOWN_CA")):
            with self.assertRaises(ssl.SSLError) as said:
                handshake(self.tls_port, self.with_certificate(pair)).close()
            self.assertEqual(said.exception.reason, alert)

    def test_the_identity_is_the_user_name(self):
        """use_username_as_clientid shows what the broker takes for the user name: both connections are one client."""
        first = self.secure("a", context=self.with_certificate(self.device))
        self.secure("b", context=self.with_certificate(self.device), user_name="somebody-else")
        self.assertEqual(first.ended(), 0x8E)

    def test_mosquitto(self):
        mosquitto_pub(self.tls_port, "--cafile", str(self.authority.certificate), "--cert", str(self.device[0]), "--key",
                      str(self.device[1]), "-h", "localhost", "-t", "t", "-m", "x", "-q", "1")

    def test_a_resumed_session_has_its_identity(self):
        context = self.with_certificate(self.device)
        first = handshake(self.tls_port, context)
        session = first.session
        first.close()
        plain = socket.create_connection(("127.0.0.1", self.tls_port), timeout=10)
        again = context.wrap_socket(plain, server_hostname="localhost", session=session)
        self.assertTrue(again.session_reused)
        client = wire.Client(0, self.name(), dial=lambda: again)
        self.addCleanup(client.cut)
        self.secure("other", context=context)
        self.assertEqual(client.ended(), 0x8E)


class Names(TlsTest):
    """What is in a certificate becomes a user name, or the client is turned away. [bad-inputs 70]"""

    abstract = False

    @classmethod
    def keys(cls):
        folder = cls.home / "authorities"  # with what else lies in such folders
        folder.mkdir()
        (folder / "README").write_text("no certificate")
        (folder / "sub").mkdir()
        shutil.copy(cls.authority.certificate, folder / "one.pem")
        (folder / "0a1b2c3d.0").symlink_to("one.pem")
        return cls.own() + (f"capath {folder}\nrequire_certificate true\nuse_identity_as_username true\n"
                            "use_username_as_clientid true\n")

    def test_common_names(self):
        for subject in ("/CN=plain", "/CN=Gerät mit Ümlaut", "/O=Example/CN=two words/OU=after"):
            pair = self.authority.sign("named", subject)
            self.secure(context=self.authority.context(*pair)).ping()
        for subject in ("/O=no name at all", "/CN=control\x01character"):
            pair = self.authority.sign("nameless", subject)
            context = self.authority.context(*pair)
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            with self.assertRaises((ssl.SSLError, ConnectionError, wire.Closed)):
                client = wire.Client(0, "x", dial=lambda: handshake(self.tls_port, context))
                client.cut()


class SharedKeys(TlsTest):
    abstract = False
    workers = 2

    @classmethod
    def keys(cls):
        cls.file = cls.home / "keys"
        cls.file.write_text("# comment\ndevice-1:0123456789abcdef0123456789ABCDEF\r\ndevice-2:" + "5a" * 32 + "\nweak:12345\n")
        return (f"psk_hint anything\npsk_file {cls.file}\nuse_identity_as_username true\nlistener_allow_anonymous false\n"
                "use_username_as_clientid true\n")

    def pub(self, identity, key):
        return subprocess.run([tool("mosquitto_pub"), "-p", str(self.tls_port), "--psk-identity", identity, "--psk", key,
                               "-t", "t", "-m", "x", "-q", "1"], capture_output=True, timeout=20, check=False)

    def test_right_keys(self):
        for identity, key in (("device-1", "0123456789abcdef0123456789abcdef"), ("device-2", "5a" * 32), ("weak", "12345"), ("weak", "012345")):
            done = self.pub(identity, key)
            self.assertEqual(done.returncode, 0, done.stderr)

    def test_wrong_keys_and_unknown_identities_have_one_answer(self):
        answers = set()
        self.assertNotEqual(self.pub("", "00" * 16).returncode, 0)
        for identity, key in (("device-1", "00" * 16), ("nobody", "00" * 16), ("x" * 120, "5a" * 32)):
            self.assertNotEqual(self.pub(identity, key).returncode, 0)
            code, words = s_client(self.tls_port, "-psk_identity", identity, "-psk", key, "-tls1_2")
            self.assertNotEqual(code, 0)
            alert = [line.split(":error:")[1] for line in words.splitlines() if "alert" in line]
            self.assertEqual(len(alert), 1, words)
            answers.add(alert[0])
        self.assertEqual(len(answers), 1, answers)

    def test_no_tickets(self):
        """A ticket would bring the session back without the identity."""
        code, words = s_client(self.tls_port, "-psk_identity", "device-2", "-psk", "5a" * 32, "-tls1_2")
        self.assertEqual(code, 0, words)
        self.assertNotIn("TLS session ticket", words)

    def test_weak_keys_are_said(self):
        self.assertIn("1 keys of psk_file are shorter than 128 bits", self.broker.log())


class Stalled(TlsTest):
    abstract = False

    @classmethod
    def keys(cls):
        return cls.own() + "connect_timeout 1"

    def test_a_handshake_that_stops(self):
        """[bad-inputs 70]: it ends with connect_timeout, wherever it stopped."""
        hello = bytearray()
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        sealed = self.authority.context().wrap_bio(incoming, outgoing, server_hostname="localhost")
        with self.assertRaises(ssl.SSLWantReadError):
            sealed.do_handshake()
        hello += outgoing.read()
        for part in (b"", hello[:1], hello[:100], hello):
            with socket.create_connection(("127.0.0.1", self.tls_port), timeout=10) as plain:
                plain.sendall(part)
                while plain.recv(4096):
                    pass
        self.secure().ping()


class Warned(TlsTest):
    abstract = False

    @classmethod
    def keys(cls):
        return cls.own() + "connect_timeout 120"

    def test_warnings_without_end(self):
        """Alerts that end nothing are passed over, but no handshake has room for thousands of them (RFC 5246 section 7.2)."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = self.authority.context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        sealed = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
        with self.assertRaises(ssl.SSLWantReadError):
            sealed.do_handshake()
        warning = bytes((21, 3, 3, 0, 2, 1, 90))
        with socket.create_connection(("127.0.0.1", self.tls_port), timeout=20) as plain:
            plain.sendall(outgoing.read() + 100 * warning)
            self.assertEqual(plain.recv(4096)[0], 22, "what a server says after the hello of a client")
            with contextlib.suppress(ConnectionError):  # that is an end as well
                plain.sendall(30000 * warning)
                while plain.recv(4096):
                    pass
        self.secure().ping()


@own_only("it does not tell")
class Expiry(OwnBrokerTest):
    """The end of each certificate is a metric, and is warned of 30, 7 and 1 days before."""

    def test_warnings_and_metrics(self):
        home = pathlib.Path(tempfile.mkdtemp(prefix="metrino-pki-"))
        self.addCleanup(shutil.rmtree, home, ignore_errors=True)
        self.broker.folders.append(home)
        authority, admin = pki.Authority(home / "ca"), free_port()
        ends = {"far": 100, "month": 29.01, "week": 6.01, "day": 0.51, "over": -0.1}
        ports = {name: free_port() for name in ends}
        self.broker.config = f"admin_listener {admin}\n"
        for name, days in ends.items():
            certificate, key = authority.sign(name, "/CN=localhost", days=(-2, days))
            self.broker.config += f"listener {ports[name]} 127.0.0.1\ncertfile {certificate}\nkeyfile {key}\n"
        self.broker.start()
        log = eventually(lambda: "has expired" in self.broker.log() and self.broker.log(), what="the warnings")
        self.assertNotIn("listener 2: certfile", log)
        for number, words in ((3, "expires in 696 hours"), (4, "expires in 144 hours"), (5, "expires in 12 hours"), (6, "has expired")):
            self.assertIn(f"listener {number}: certfile: entry 1 {words}", log)
        with urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics", timeout=10) as page:
            text = page.read().decode()
        for number, (name, days) in enumerate(ends.items(), 2):
            labels = f'listener="{number}",port="{ports[name]}",key="certfile",position="0"'
            value = int(re.search(re.escape("metrino_certificate_expiry_seconds{" + labels + "} ") + r"(\d+)", text)[1])
            self.assertAlmostEqual(value, time.time() + days * 86400, delta=60)
        self.broker.signal(signal.SIGHUP)
        eventually(lambda: self.broker.log().count("has expired") == 2, what="the warning once more after a reload")


class SeveralCertificates(TlsTest):
    """The name that a client asks for chooses among them; [bad-inputs 70] for names that are nobody's."""

    abstract = False

    @classmethod
    def keys(cls):
        pairs = [(cls.certificate, cls.key)]
        pairs.append(cls.authority.sign("one", "/CN=nobody", "DNS:one.example,DNS:*.many.example"))
        pairs.append(cls.authority.sign("two", "/CN=two.example", kind=("rsa", "rsa_keygen_bits:2048")))
        pairs.append(cls.authority.sign("three", "/CN=three", "DNS:one.example", kind=("rsa", "rsa_keygen_bits:2048")))
        return "".join(f"certfile {certificate}\nkeyfile {key}\n" for certificate, key in pairs)

    def shown(self, name, *args):
        words = s_client(self.tls_port, "-tls1_2", *(["-servername", name] if name else ["-noservername"]), *args)[1]
        return re.search(r"^subject=CN = (.*)$", words, re.M)[1]

    def test_the_name_chooses(self):
        for name, subject in ((None, "localhost"), ("localhost", "localhost"), ("somewhere.example", "localhost"),
                              ("one.example", "nobody"), ("ONE.Example", "nobody"), ("nobody", "localhost"),
                              ("a.many.example", "nobody"), ("many.example", "localhost"), ("a.b.many.example", "localhost"),
                              ("two.example", "two.example"), ("x" * 200, "localhost")):
            self.assertEqual(self.shown(name), subject, name)

    def test_the_client_chooses_the_kind_of_key(self):
        self.assertEqual(self.shown("one.example", "-sigalgs", "RSA+SHA256:ECDSA+SHA256", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"), "three")
        self.assertEqual(self.shown("one.example", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"), "nobody")

    def test_all_work_and_their_ends_are_seen(self):
        context = self.authority.context()
        for name in ("localhost", "one.example", "b.many.example"):
            client = wire.Client(0, self.name(), dial=lambda name=name: handshake(self.tls_port, context, name))
            self.addCleanup(client.cut)
            client.ping()
        with self.assertRaises(ssl.SSLCertVerificationError):
            handshake(self.tls_port, context, "c.d.many.example")


class Crowd(TlsTest):
    """Handshakes get a part of a worker's time, not all of it."""

    abstract = False
    alone = True
    workers = 1

    def test_messages_go_on_while_a_crowd_comes(self):
        """400 handshakes at once are most of a second of work: a client that is there already does not wait for it."""
        crowd = []
        for _ in range(400):
            sealed = self.authority.context().wrap_bio(ssl.MemoryBIO(), out := ssl.MemoryBIO(), server_hostname="localhost")
            with self.assertRaises(ssl.SSLWantReadError):
                sealed.do_handshake()
            plain = socket.create_connection(("127.0.0.1", self.tls_port), timeout=10)
            self.addCleanup(plain.close)
            crowd.append((plain, out.read()))
        bystander = self.client()
        bystander.ping()
        for plain, hello in crowd:
            plain.sendall(hello)
        waits = []
        for _ in range(20):
            began = time.monotonic()
            bystander.ping()
            waits.append(time.monotonic() - began)
        self.assertLess(max(waits), 0.3, waits)
        for plain, _ in crowd:  # and all of them get their answer
            self.assertEqual(plain.recv(1), b"\x16")


@own_only("it checks neither")
class WithPasswords(TlsTest):
    """TLS beside password_file and acl_file: passwords may travel there, and a proved name has its rights."""

    abstract = False

    @classmethod
    def keys(cls):
        passwords, rights, cls.psk = cls.home / "passwords", cls.home / "rights", cls.home / "psk"
        run_client([os.environ.get("METRINO") or str(ROOT / "build" / "metrino"), "passwd", "-c", "-b", str(passwords), "alice", "right"])
        rights.write_text("user alice\ntopic readwrite alice/#\nuser device-7\ntopic readwrite seven/#\n")
        cls.device, cls.proved_port = cls.authority.sign("device-7"), free_port()
        return (f"password_file {passwords}\nacl_file {rights}\nlistener_allow_anonymous false\n{cls.own()}"
                f"listener {cls.proved_port} 127.0.0.1\n{cls.own()}cafile {cls.authority.certificate}\n"
                "require_certificate true\nuse_identity_as_username true\nlistener_allow_anonymous false\n")

    def test_passwords_and_rights(self):
        self.secure(user_name="alice", password=b"right").ping()
        self.secure(user_name="alice", password=b"wrong", expect=0x86)
        context = self.authority.context(*self.device)
        proved = wire.Client(0, self.name(), dial=lambda: handshake(self.proved_port, context), user_name="alice", password=b"x")
        self.addCleanup(proved.cut)
        proved.subscribe("seven/a", 1)
        proved.publish("seven/a", b"mine", 1)
        self.assertEqual(proved.message().payload, b"mine")
        self.broker.signal(signal.SIGHUP)
        eventually(lambda: "was read again" in self.broker.log(), what="the reload")
        proved.ping()  # password_file does not know the name, and need not
