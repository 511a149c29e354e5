"""`metrino pub`, `sub` and `rr` over TLS and Unix sockets, with the flags of mosquitto's."""

import os
import pathlib
import shutil
import tempfile

from harness import free_port, own_only
from test_cli import CommandTest
import pki

not_under = ("tsan",)

IDENTITY, KEY = "device-1", "5a" * 16


@own_only("the command's own transports")
class Transports(CommandTest):
    abstract = False
    workers = 2

    @classmethod
    def setUpClass(cls):
        cls.home = pathlib.Path(tempfile.mkdtemp(prefix="metrino-pki-"))
        cls.addClassCleanup(shutil.rmtree, cls.home, ignore_errors=True)
        cls.authority, cls.stranger = pki.Authority(cls.home / "ca"), pki.Authority(cls.home / "stranger", "Another")
        certificate, key = cls.authority.server()
        elsewhere = cls.authority.sign("elsewhere", "/CN=elsewhere.example", "DNS:elsewhere.example,IP:192.0.2.7")
        cls.device = cls.authority.sign("device-1")
        cls.authorities = cls.home / "authorities"
        cls.authorities.mkdir()
        shutil.copy(cls.authority.certificate, cls.authorities / "ours.pem")
        (cls.authorities / "README").write_text("no certificate")
        (cls.home / "keys").write_text(f"{IDENTITY}:{KEY}\n{IDENTITY}-odd:0{KEY[1:]}\n")
        cls.ports = {name: free_port() for name in ("tls", "mutual", "psk", "elsewhere", "ws", "wss")}
        cls.socket = cls.home / "mqtt.sock"
        cls.config = f"""
listener {cls.ports["tls"]} 127.0.0.1
certfile {certificate}
keyfile {key}
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
listener {cls.ports["ws"]} 127.0.0.1
protocol websockets
listener {cls.ports["wss"]} 127.0.0.1
protocol websockets
certfile {certificate}
keyfile {key}
listener 0 {cls.socket}
"""
        cls.start_broker(folders=[cls.home])
        cls.socket.chmod(0o777)

    def over(self, name, *args, host="localhost"):
        return ["-h", host, "-p", str(self.ports[name]), *map(str, args)]

    def ca(self, name, *args, host="localhost"):
        return self.over(name, "--cafile", self.authority.certificate, *args, host=host)

    def ways(self):
        cert, key = self.device
        yield self.ca("tls")
        yield self.ca("tls", "--tls-alpn", "mqtt", "--tls-version", "tlsv1.2", "--keyform", "pem")
        yield self.ca("tls", "--ciphers", "ECDHE-ECDSA-AES256-GCM-SHA384")
        yield self.ca("tls", host="127.0.0.1")  # an address that the certificate names
        yield self.over("tls", "--capath", self.authorities)
        yield self.ca("mutual", "--cert", cert, "--key", key)
        yield self.over("psk", "--psk", KEY, "--psk-identity", IDENTITY)
        yield self.over("psk", "--psk", KEY[1:], "--psk-identity", IDENTITY + "-odd")  # a number, as for mosquitto
        yield self.ca("elsewhere", "--insecure")
        yield ["--unix", str(self.socket)]
        yield self.over("ws", "--ws")
        yield self.over("ws", "--ws", "--ws-path", "/")
        yield self.ca("wss", "--ws")

    def test_there_and_back(self):
        for way in self.ways():
            topic = self.name()
            with self.subTest(way=way):
                sub = self.subscribed(*way, "-t", topic, "-C", "1", "-q", "1")
                done = self.pub(*way, "-t", topic, "-m", "sealed", "-q", "2")
                self.assertEqual((done.returncode, done.stderr), (0, b""))
                self.assertEqual(self.finish(sub)[0], b"sealed\n")

    def test_by_url(self):
        topic = self.name()
        for scheme, args in (("mqtts", self.ca("tls")), ("ws", []), ("wss", self.ca("wss"))):
            port = self.ports[{"mqtts": "tls"}.get(scheme, scheme)]
            url = [*args, "-L", f"{scheme}://localhost:{port}/{topic}"]
            with self.subTest(scheme=scheme):
                sub = self.subscribed(*url, "-C", "1")
                self.assertEqual(self.pub(*url, "-m", "by url").returncode, 0)
                self.assertEqual(self.finish(sub)[0], b"by url\n")

    def test_authorities_of_the_system_count_beside_others(self):
        """As in mosquitto_pub, also where a URL asks for them."""
        topic, stranger = self.name(), ["--cafile", str(self.stranger.certificate)]
        url = ["-L", f"mqtts://localhost:{self.ports['tls']}/{topic}"]
        system = dict(os.environ, SSL_CERT_FILE=str(self.authority.certificate))
        for way, env, code in ((self.over("tls", "-t", topic, "--tls-use-os-certs", *stranger), system, 0), ([*stranger, *url], system, 0),
                               (url, system, 0), (self.over("tls", "-t", topic, *stranger), system, 1),
                               ([*self.ca("tls"), *url], dict(system, SSL_CERT_FILE="/nonexistent"), 0)):
            with self.subTest(way=way):
                done = self.pub(*way, "-m", "x", env=env)
                self.assertEqual(done.returncode, code, done.stderr)
                theirs = self.pub(*way, "-m", "x", program="mosquitto", env=env)
                self.assertEqual(theirs.returncode == 0, code == 0, theirs.stderr)

    def test_large_ones_and_many_by_websocket(self):
        topic, payload = self.name(), os.urandom(3 << 20)
        for way in (self.over("ws", "--ws"), self.ca("wss", "--ws")):
            sub = self.subscribed(*way, "-t", topic, "-C", "1", "-N", "-q", "1")
            self.assertEqual(self.pub(*way, "-t", topic, "-s", "-q", "1", stdin=payload).returncode, 0)
            self.assertEqual(self.finish(sub)[0], payload)

    def test_large_ones_and_many(self):
        topic, payload = self.name(), os.urandom(3 << 20)
        sub = self.subscribed(*self.ca("tls"), "-t", topic, "-C", "2", "-N", "-q", "1")
        for _ in range(2):
            self.assertEqual(self.pub(*self.ca("tls"), "-t", topic, "-s", "-q", "1", stdin=payload).returncode, 0)
        self.assertEqual(self.finish(sub)[0], payload * 2)
        sub = self.subscribed(*self.ca("tls"), "-t", topic, "-C", "5000", "-q", "1")
        lines = b"".join(b"line %d\n" % n for n in range(5000))
        self.assertEqual(self.pub(*self.ca("tls"), "-t", topic, "-l", "-q", "1", stdin=lines).returncode, 0)
        self.assertEqual(self.finish(sub)[0], lines)

    def test_refused(self):
        wrong = [
            (self.over("tls", "--cafile", self.stranger.certificate), b"not correctly signed by the trusted CA"),
            (self.ca("elsewhere"), b"for another host"),
            (self.ca("elsewhere", host="127.0.0.1"), b"for another host"),
            (self.over("tls", "--cafile", self.stranger.certificate, "--insecure"), b"not correctly signed"),
            (self.ca("mutual"), b"TLS"),
            (self.over("psk", "--psk", "00" * 16, "--psk-identity", IDENTITY), b"TLS"),
            (self.over("psk", "--psk", "xyz", "--psk-identity", IDENTITY), b"hexadecimal digits"),
            (self.over("tls", "--cafile", self.home / "none"), f"--cafile: {self.home}/none: No such file or directory.".encode()),
            (self.over("tls", "--cafile", self.home / "keys"), b"--cafile"),
            (self.ca("tls", "--cert", self.device[0], "--key", self.home / "keys"), b"--key"),
            (self.ca("tls", "--cert", self.home / "none", "--key", self.home / "keys"), b"none: No such file or directory."),
            (self.ca("tls", "--ciphers", "NO-SUCH"), b"--ciphers"),
            (["--unix", str(self.home / "nobody.sock")], b"No such file"),
            (self.over("ws", "--ws", "--ws-path", "/elsewhere"), b"404"),
            (self.over("wss", "--ws", "--cafile", self.stranger.certificate), b"not correctly signed by the trusted CA"),
            (["--ws"], b"WebSocket"),
        ]
        for way, words in wrong:
            with self.subTest(way=way):
                done = self.pub(*way, "-t", "a", "-m", "x")
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertIn(words, done.stderr)

    def test_the_key_does_not_stay_in_the_list_of_processes(self):
        process = self.subscribed(*self.over("psk", "--psk", KEY, "--psk-identity", IDENTITY), "-t", self.name())
        self.assertNotIn(KEY.encode(), pathlib.Path(f"/proc/{process.pid}/cmdline").read_bytes())
