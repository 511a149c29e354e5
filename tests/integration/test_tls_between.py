"""An authority between the clients and the one at the top, and what happens when it is revoked."""

import signal
import ssl

from harness import OwnBrokerTest, eventually, free_port, own_only
import pki
import wire
from test_tls import handshake


@own_only("it drops nobody at a reload")
class Between(OwnBrokerTest):
    workers = 1

    def setUp(self):
        super().setUp()
        self.home = self.broker.root / "pki"
        self.home.mkdir(mode=0o755)
        self.top = pki.Authority(self.home / "top")
        self.between = self.authority("between")
        self.device, self.other = self.between.sign("device"), self.top.sign("other")
        self.all, self.lists = self.home / "all.crt", self.home / "all.crl"
        self.all.write_text(self.top.certificate.read_text() + self.between.certificate.read_text())
        self.write_lists()
        certificate, key = self.top.server()
        self.tls_port = free_port()
        self.broker.folders.append(self.home)
        self.broker.config = (f"listener {self.tls_port} 127.0.0.1\ncertfile {certificate}\nkeyfile {key}\ncafile {self.all}\n"
                              f"crlfile {self.lists}\nrequire_certificate true\n")
        self.broker.start()

    def authority(self, folder):
        """One named Between, with a key of its own."""
        made = pki.Authority(self.home / folder, "Between")
        request = self.home / "request.csr"
        pki.run("req", "-config", made.config, "-new", "-key", made.key, "-out", request, "-subj", "/CN=Between",
                "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=keyCertSign,cRLSign")
        pki.run("ca", "-config", self.top.config, "-batch", "-notext", "-preserveDN", "-in", request, "-out", made.certificate)
        return made

    def write_lists(self):
        self.lists.write_text(self.top.revocations().read_text() + self.between.revocations().read_text())

    def reload(self):
        self.broker.signal(signal.SIGHUP)
        eventually(lambda: "the configuration was read again" in self.broker.log(), what="the new lists")

    def connect(self, pair):
        context = self.top.context(*pair)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        sealed = handshake(self.tls_port, context)
        client = wire.Client(0, self.name(), dial=lambda: sealed)
        self.addCleanup(client.cut)
        return client

    def test_its_clients_go_and_stay_out(self):
        device, other = self.connect(self.device), self.connect(self.other)
        self.top.revoke(self.between.certificate)
        self.write_lists()
        self.reload()
        self.assertEqual(device.ended(), 0x87)
        with self.assertRaises((ssl.SSLError, ConnectionError, wire.Closed)):
            self.connect(self.device)
        for client in (other, self.connect(self.other)):
            client.ping()

    def test_another_with_its_name_and_a_new_key(self):
        """Both stand in cafile: whose client it is says the signature."""
        device = self.connect(self.device)
        self.top.revoke(self.between.certificate)
        self.between = self.authority("again")
        self.all.write_text(self.all.read_text() + self.between.certificate.read_text())
        self.write_lists()
        self.reload()
        self.assertEqual(device.ended(), 0x87)
        self.connect(self.between.sign("newer")).ping()
