"""`metrino bench` over TLS: certificates of both sides, pre-shared keys, and what is refused."""

import pathlib
import shutil
import tempfile

from harness import free_port, own_only
from test_bench import BenchTest, bench
import pki

not_under = ("tsan",)

KEY = "5a" * 16


@own_only("its own transports")
class OverTls(BenchTest):
    abstract = False
    workers = 2

    @classmethod
    def setUpClass(cls):
        cls.home = pathlib.Path(tempfile.mkdtemp(prefix="metrino-pki-"))
        cls.addClassCleanup(shutil.rmtree, cls.home, ignore_errors=True)
        cls.authority = pki.Authority(cls.home / "ca")
        certificate, key = cls.authority.server()
        elsewhere = cls.authority.sign("elsewhere", "/CN=elsewhere.example", "DNS:elsewhere.example")
        cls.device = cls.authority.sign("device-1")
        (cls.home / "keys").write_text(f"device-1:{KEY}\n")
        cls.ports = {name: free_port() for name in ("mutual", "psk", "elsewhere")}
        cls.config = f"""
listener {cls.ports["mutual"]} 127.0.0.1
certfile {certificate}
keyfile {key}
cafile {cls.authority.certificate}
require_certificate true
listener {cls.ports["psk"]} 127.0.0.1
psk_hint x
psk_file {cls.home / "keys"}
listener {cls.ports["elsewhere"]} 127.0.0.1
certfile {elsewhere[0]}
keyfile {elsewhere[1]}
"""
        cls.start_broker(folders=[cls.home])

    def ca(self):
        return ["--cafile", str(self.authority.certificate)]

    def mutual(self):
        return [*self.ca(), "--cert", str(self.device[0]), "--key", str(self.device[1])]

    def test_loads(self):
        small = ["--publishers", "4", "--subscribers", "4"]
        for port, args in (("mutual", [*self.mutual(), "-q", "1", *small]),
                           ("mutual", [*self.mutual(), "--size", "40000", "--window", "4", *small]),  # records end within messages
                           ("psk", ["--psk", KEY, "--psk-identity", "device-1", "-q", "2", *small]),
                           ("elsewhere", [*self.ca(), "--insecure", *small])):
            with self.subTest(port=port, args=args):
                result = self.faultless(*args, port=self.ports[port])
                self.assertGreater(result["phases"]["messages"]["count"], 0)

    def test_who_comes_and_goes(self):
        result = self.faultless("--topology", "sessions", "--count", "10", *self.mutual(), port=self.ports["mutual"])
        self.assertEqual(result["phases"]["resume"]["count"], 10)
        result = self.faultless("--topology", "idle", "--count", "30", *self.mutual(), port=self.ports["mutual"])
        self.assertEqual(result["phases"]["connect"]["count"], 30)

    def test_refused(self):
        wrong = [
            ("mutual", self.ca(), "TLS"),
            ("elsewhere", self.ca(), "for another host"),
            ("psk", ["--psk", "00" * 16, "--psk-identity", "device-1"], "TLS"),
            ("mutual", ["--cafile", str(self.home / "none")], "--cafile"),
            ("mutual", ["--insecure"], "--insecure needs TLS"),
        ]
        for port, args, words in wrong:
            with self.subTest(args=args):
                code, result, said = bench(self.ports[port], *args)
                self.assertEqual((code, result), (1, None), said)
                self.assertIn(words, said)
