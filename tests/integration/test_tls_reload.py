"""TLS: what a reload changes: the revoked go, other authorities and certificates, broken files."""

import shutil
import signal
import socket
import ssl

from harness import MosquittoSub, eventually, free_port, mosquitto_pub, own_only
from test_tls import OwnTlsTest, handshake
import pki
import wire


@own_only("it drops nobody at a reload")
class Reload(OwnTlsTest):
    abstract = False
    workers = 2

    def setUp(self):
        super().setUp()
        self.devices = [self.authority.sign(f"device-{n}") for n in range(3)]
        self.tls_port = free_port()
        self.psk_port = free_port()
        self.keys = self.home / "keys"
        self.keys.write_text(f"one:{'11' * 16}\ntwo:{'22' * 16}\n")
        self.crl = self.authority.revocations()
        self.broker.folders.append(self.home)
        self.broker.config = f"""
listener {self.tls_port} 127.0.0.1
certfile {self.certificate}
keyfile {self.key}
cafile {self.authority.certificate}
crlfile {self.crl}
require_certificate true
listener {self.psk_port} 127.0.0.1
psk_hint x
psk_file {self.keys}
"""
        self.broker.start()

    def connect(self, n, context=None):
        client = wire.Client(0, f"d{n}", dial=lambda: handshake(self.tls_port, context or self.authority.context(*self.devices[n])))
        self.addCleanup(client.cut)
        return client

    def reload(self, wait="the configuration was read again"):
        before = self.broker.log().count(wait)
        self.broker.signal(signal.SIGHUP)
        eventually(lambda: self.broker.log().count(wait) > before, what=wait)

    def test_the_revoked_go_and_the_others_stay(self):
        clients = [self.connect(n) for n in range(3)]
        plain = self.client()
        self.authority.revoke(self.devices[1][0])
        self.authority.revocations()
        self.reload()
        self.assertEqual(clients[1].ended(), 0x87)
        for client in (clients[0], clients[2], plain):
            client.ping()
        with self.assertRaises((ssl.SSLError, ConnectionError, wire.Closed)):
            self.connect(1)
        self.connect(0).ping()

    def test_a_handshake_under_way(self):
        """It would come to its end by what was in force before, so it does not."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        sealed = self.authority.context(*self.devices[0]).wrap_bio(incoming, outgoing, server_hostname="localhost")
        with self.assertRaises(ssl.SSLWantReadError):
            sealed.do_handshake()
        with socket.create_connection(("127.0.0.1", self.tls_port), timeout=10) as plain:
            plain.sendall(outgoing.read())
            self.assertEqual(plain.recv(1), b"\x16")
            self.reload()
            plain.settimeout(4)  # before connect_timeout
            while plain.recv(4096):
                pass

    def test_another_authority(self):
        old = [self.connect(n) for n in range(2)]
        other = pki.Authority(self.home / "other", "Another authority")
        pair = other.sign("theirs")
        both = self.home / "both.crt"
        both.write_text(self.authority.certificate.read_text() + other.certificate.read_text())
        lists = self.home / "both.crl"
        lists.write_text(self.crl.read_text() + other.revocations().read_text())
        config = self.broker.config
        self.broker.config = config.replace(str(self.authority.certificate), str(both)).replace(str(self.crl), str(lists))
        self.broker.write_config()
        self.reload()
        context = ssl.create_default_context(cafile=str(self.authority.certificate))
        context.load_cert_chain(*pair)
        theirs = wire.Client(0, "theirs", dial=lambda: handshake(self.tls_port, context))
        self.addCleanup(theirs.cut)
        for client in (*old, theirs):
            client.ping()
        self.broker.config = config.replace(str(self.authority.certificate), str(other.certificate)).replace(
            str(self.crl), str(other.home / "ca.crl"))
        self.broker.write_config()
        self.reload()
        for client in old:
            self.assertEqual(client.ended(), 0x87)
        theirs.ping()

    def test_a_new_certificate(self):
        old = self.connect(0)
        certificate, key = self.authority.server("renewed")
        shutil.copy(certificate, self.certificate)
        shutil.copy(key, self.key)
        self.reload()
        old.ping()
        served = self.connect(1).socket.getpeercert()
        self.assertEqual(int(served["serialNumber"], 16), int(pki.run("x509", "-in", certificate, "-noout", "-serial")
                                                              .decode().strip().split("=")[1], 16))

    def test_tickets_end_with_the_certificates(self):
        context = self.authority.context(*self.devices[0])
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        session = handshake(self.tls_port, context).session
        self.reload()
        plain = socket.create_connection(("127.0.0.1", self.tls_port), timeout=10)
        again = context.wrap_socket(plain, server_hostname="localhost", session=session)
        self.addCleanup(again.close)
        self.assertFalse(again.session_reused)

    def test_broken_files_change_nothing(self):
        old = self.connect(0)
        context = self.authority.context(*self.devices[1])
        for path in (self.certificate, self.key, self.crl, self.authority.certificate, self.keys):
            good = path.read_bytes()
            for bad in (b"", b"nonsense\n", good[:len(good) - 35]):  # of the keys: within an identity
                path.write_bytes(bad)
                self.reload("the configuration of before stays in force")
                self.connect(1, context).ping()
            path.write_bytes(good)
        old.ping()
        self.reload()
        self.connect(2).ping()

    def test_all_broken_files_are_named(self):
        self.certificate.write_bytes(b"nonsense\n")
        self.keys.write_text("one\ntwo\n")
        self.reload("the configuration of before stays in force")
        log = self.broker.log()
        self.assertIn(f'listener {self.tls_port}: no certificate', log)
        self.assertIn(f'listener {self.psk_port}: psk_file "{self.keys}": lines 1, 2: right would be', log)

    def test_keys_that_are_gone(self):
        subs = []
        for identity, key in (("one", "11" * 16), ("two", "22" * 16)):
            subs.append(MosquittoSub(self.psk_port, "--psk-identity", identity, "--psk", key, "-t", f"{identity}/t", "-i",
                                     identity, version=5))
            self.addCleanup(subs[-1].end)
        self.keys.write_text(f"one:{'11' * 16}\ntwo:{'33' * 16}\n")
        self.reload()
        subs[1].process.wait(10)  # long before its own time is over
        mosquitto_pub(self.broker.port, "-t", "one/t", "-m", "still here", "-q", "1")
        self.assertTrue(subs[0]._read_until(lambda line: "still here" in line), "the other one goes on")
