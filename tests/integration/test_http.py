"""HTTP requests that no page is made for: bodies, odd paths; and files beside which a start or a HUP must not wait."""

import contextlib
import os
import pathlib
import signal
import socket
import tempfile

from harness import BrokerTest, OwnBrokerTest, eventually, free_port, own_only
import wire


def answer_of(sock, words):
    """Sends a request; the status of what comes back, which is read whole."""
    sock.sendall(words)
    with sock.makefile("rb") as answer:
        status = int(answer.readline().split()[1])
        fields = dict(line.lower().split(b": ", 1) for line in iter(lambda: answer.readline().rstrip(), b""))
        answer.read(int(fields[b"content-length"]))
    return status


@own_only("admin listener")
class Requests(BrokerTest):
    @classmethod
    def setUpClass(cls):
        cls.admin = free_port()
        cls.config = f"admin_listener {cls.admin}"
        super().setUpClass()

    def dial(self):
        sock = socket.create_connection(("127.0.0.1", self.admin), timeout=30)
        self.addCleanup(sock.close)
        return sock

    def test_a_body_is_read_and_the_answer_comes(self):
        body = b"x" * 300000
        for method, status in (("POST", 405), ("PUT", 405), ("GET", 200)):
            head = f"{method} /health/ping HTTP/1.1\r\nHost: a\r\n".encode()
            self.assertEqual(answer_of(self.dial(), head + b"Content-Length: %d\r\n\r\n" % len(body) + body), status)
            self.assertEqual(answer_of(self.dial(), head + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"), status)

    def test_a_body_too_large_is_answered(self):
        """RFC 9110 section 15.5.14; by its length, and in chunks, whose sum nobody says."""
        body = b"x" * (5 << 20)
        for fields, sent in ((b"Content-Length: %d\r\n" % len(body), body),
                             (b"Transfer-Encoding: chunked\r\n", b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))):
            self.assertEqual(answer_of(self.dial(), b"POST /metrics HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n" + sent), 413)

    def test_behind_a_body_comes_nothing(self):
        """It may be hidden in what a proxy before us takes for a body: RFC 9112 section 11.2."""
        hidden = b"GET /health/ping HTTP/1.1\r\nHost: a\r\n\r\n"
        for fields, body, status in ((b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n", 405),
                                     (b"Content-Length: 5\r\nContent-Length: 60\r\n", b"abcde", 400), (b"Content-Length: 0\r\n", b"", 405)):
            sock = self.dial()
            self.assertEqual(answer_of(sock, b"POST /metrics HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n" + body), status)
            with contextlib.suppress(ConnectionError):  # that is an end as well
                sock.sendall(hidden)
                self.assertEqual(sock.recv(4096), b"", fields)

    def test_a_body_that_does_not_end(self):
        sock = self.dial()
        sock.sendall(b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000000\r\n\r\n")
        with self.assertRaises(ConnectionError):
            for _ in range(1000):
                sock.sendall(b"x" * 65536)

    def test_who_asks_whether_a_body_is_wanted(self):
        """RFC 9110 section 10.1.1: the answer comes before it, however long it would be."""
        words = b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000000\r\nExpect: 100-continue\r\n\r\n"
        self.assertEqual(answer_of(self.dial(), words), 405)

    def test_a_zero_byte_does_not_end_a_path(self):
        for path, status in (("/health/ping%00", 404), ("/health/ping%00x", 404), ("/health%00/ping", 404), ("/health/%70ing", 200),
                             ("/health/ping%2500", 404), ("/%00", 404)):
            self.assertEqual(answer_of(self.dial(), f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()), status, path)

    def test_the_absolute_form(self):
        """RFC 9112 section 3.2.2: a server takes it; whatever authority it names."""
        for target, status in ((f"http://127.0.0.1:{self.admin}/health/ping", 200), ("HTTPS://other.example/health/ping?x", 200),
                               ("http://a/health", 200), ("http://a", 404), ("http:///health", 404), ("ftp://a/health", 404),
                               ("http:/health", 404), ("/http://a/health", 404), ("http://a//health", 404)):
            self.assertEqual(answer_of(self.dial(), f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode()), status, target)

    def test_one_host_and_one_length(self):
        """RFC 9112 sections 3.2 and 6.3."""
        for version, fields, status in (("1.1", "", 400), ("1.0", "", 200), ("1.1", "Host: a\r\n", 200), ("1.1", "Host:\r\n", 200),
                                        ("1.1", "Host: a\r\nhost: b\r\n", 400),
                                        ("1.0", "Host: a\r\nHost: a\r\n", 400), ("1.1", "Host: a\r\nContent-Length: 0\r\nContent-Length: 5\r\n", 400),
                                        ("1.1", "Host: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n", 200)):
            self.assertEqual(answer_of(self.dial(), f"GET /health/ping HTTP/{version}\r\n{fields}\r\n".encode()), status, (version, fields))


@own_only("admin listener")
class Tokens(BrokerTest):
    token = "correct horse battery staple"

    @classmethod
    def setUpClass(cls):
        cls.admin = free_port()
        folder = tempfile.TemporaryDirectory(prefix="metrino-test-")
        cls.addClassCleanup(folder.cleanup)
        path = pathlib.Path(folder.name) / "token"
        path.write_text(cls.token + "\n")
        cls.config = f"admin_listener {cls.admin}\nadmin_token_file {path}"
        super().setUpClass()

    def test_a_scheme_has_no_case(self):
        """RFC 9110 section 11.1; a token has."""
        for words, status in (("Bearer ", 200), ("bearer ", 200), ("BEARER ", 200), ("Basic ", 401), ("Bearer", 401), ("", 401)):
            with socket.create_connection(("127.0.0.1", self.admin), timeout=30) as sock:
                ask = f"GET /health/ping HTTP/1.1\r\nHost: a\r\nAuthorization: {words}{self.token}\r\n\r\n"
                self.assertEqual(answer_of(sock, ask.encode()), status, words)
        with socket.create_connection(("127.0.0.1", self.admin), timeout=30) as sock:
            ask = f"GET /health/ping HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {self.token.upper()}\r\n\r\n"
            self.assertEqual(answer_of(sock, ask.encode()), 401)


@own_only("its own files")
class NoFiles(OwnBrokerTest):
    """A FIFO that nobody writes into, where a file should be."""

    def setUp(self):
        super().setUp()
        self.fifo = self.broker.root / "fifo"
        os.mkfifo(self.fifo)

    def test_a_token_file(self):
        for path in (self.fifo, "/dev/zero"):
            self.broker.config = f"admin_listener {free_port()}\nadmin_token_file {path}"
            self.broker.write_config()
            for extra in ((), ("--test-config",)):
                code, words = self.broker.run_to_end(*extra)
                self.assertEqual(code, 3 if extra else 1, words)
                self.assertIn(f'admin_token_file "{path}": not a file; right would be a file', words)

    def test_a_pid_file(self):
        self.broker.config = f"pid_file {self.fifo}"
        self.broker.write_config()
        code, words = self.broker.run_to_end()
        self.assertEqual(code, 1, words)
        self.assertIn(f"pid_file {self.fifo} cannot be opened", words)

    def test_the_configuration_at_a_hup(self):
        """At the start it may be one: -c /dev/stdin."""
        self.broker.start()
        self.broker.conf.unlink()
        self.fifo.rename(self.broker.conf)
        self.broker.signal(signal.SIGHUP)
        eventually(lambda: "broker.conf: is no file that can be read again" in self.broker.log(), what="the refusal")
        wire.Client(self.broker.port, "still there").ping()
