"""Session tickets of TLS, under a clock that is set: nobody comes in by one who would be refused without it."""

import socket
import ssl

from harness import free_port, own_only
import pki
import wire
from test_audit_hours import ClockTest
from test_tls import handshake

not_under = ("tsan",)


@own_only("its clock is set")
class Tickets(ClockTest):
    abstract = False
    workers = 1

    def setUp(self):
        super().setUp()
        self.home = self.broker.root / "pki"
        self.authority = pki.Authority(self.home)
        self.home.chmod(0o755)
        certificate, key = self.authority.server()
        self.long, self.short = self.authority.sign("long"), self.authority.sign("short", days=(-1, 0.5))
        self.ports = {"without a list": free_port(), "with a list": free_port()}
        own = f"certfile {certificate}\nkeyfile {key}\ncafile {self.authority.certificate}\nrequire_certificate true\n"
        self.broker.folders.append(self.home)
        self.broker.config = (f"listener {self.ports['without a list']} 127.0.0.1\n{own}"
                              f"listener {self.ports['with a list']} 127.0.0.1\n{own}"
                              f"crlfile {self.authority.revocations(days=0.5)}\n")
        self.start()

    def begin(self, port, pair):
        """A first handshake; gives what resumes it."""
        context = self.authority.context(*pair)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with handshake(self.ports[port], context) as first:
            return port, context, first.session

    def resume(self, port, context, session):
        plain = socket.create_connection(("127.0.0.1", self.ports[port]), timeout=10)
        self.addCleanup(plain.close)
        sealed = context.wrap_socket(plain, server_hostname="localhost", session=session)
        self.addCleanup(sealed.close)
        client = wire.Client(0, self.name(), dial=lambda: sealed)
        client.ping()
        return sealed.session_reused

    def test_what_ended_since_the_ticket(self):
        ended = [self.begin("without a list", self.short), self.begin("with a list", self.long)]
        lasting = self.begin("without a list", self.long)
        for ticket in (*ended, lasting):
            self.assertTrue(self.resume(*ticket))
        self.to_hour(14)
        self.assertTrue(self.resume(*lasting))
        for ticket in ended:
            with self.subTest(ticket[0]), self.assertRaises((ssl.SSLError, ConnectionError, wire.Closed)):
                self.resume(*ticket)
