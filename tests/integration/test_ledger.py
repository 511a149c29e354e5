"""The audit log and the privacy ledger over HTTP: what is served, how it may be kept, what is not there, and what it costs others."""

import itertools
import json
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

from harness import OwnBrokerTest, eventually, free_port, own_only, tool
from test_audit import METRINO, go_verifier, run, verifier
from test_audit_hours import ClockTest


ANSWERS_MAX = 2000  # of a listener and second: broker/http.h
CONNECTIONS_MAX = 64


def get(port, path, headers=None):
    """Gives status, headers and body."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.headers, refused.read()


def is_closed(sock):
    try:
        return sock.recv(1) == b""
    except ConnectionError:
        return True


class Served(OwnBrokerTest):
    abstract = True
    workers = 2
    more = ""

    def setUp(self):
        super().setUp()
        self.admin, self.public = free_port(), free_port()
        self.broker.config = f"admin_listener {self.admin}\nlog_listener {self.public}\n{self.more}"
        self.log = self.broker.data / "log"
        self.broker.start()

    def ledger(self):
        status, _, body = get(self.admin, "/ledger.json")
        self.assertEqual(status, 200)
        return json.loads(body)


@own_only("an audit log over HTTP")
class Log(Served):
    abstract = False

    def test_files_and_how_they_are_kept(self):
        status, headers, body = get(self.public, "/log/checkpoint")
        self.assertEqual((status, headers["Content-Type"], headers["Cache-Control"]),
                         (200, "text/plain; charset=utf-8", "public, max-age=5"))
        self.assertEqual(body, (self.log / "checkpoint").read_bytes())
        size = int(body.split(b"\n")[1])
        for level in ("entries", "0"):
            path = f"tile/{level}/000.p/{size}"
            status, headers, body = get(self.public, f"/log/{path}")
            self.assertEqual((status, headers["Content-Type"]), (200, "application/octet-stream"))
            self.assertIn("immutable", headers["Cache-Control"])
            self.assertEqual(body, (self.log / path).read_bytes())
        self.assertEqual(get(self.public, "/log/vkey")[2], (self.log / "vkey").read_bytes())

    def test_what_is_not_published(self):
        """A bundle is written before the checkpoint that says it; until then it may become another one."""
        size = int((self.log / "checkpoint").read_bytes().split(b"\n")[1])
        for path in (f"tile/entries/000.p/{size + 1}", f"tile/0/000.p/{size + 1}", "tile/entries/000", "tile/0/000"):
            (self.log / path).write_bytes(b"of an append that is under way")
            status, headers, _ = get(self.public, f"/log/{path}")
            self.assertEqual((status, headers["Cache-Control"]), (404, "no-store"), path)

    def test_nothing_else(self):
        (self.log / "key").write_text("secret")
        for path in ("/", "/log", "/log/", "/log/key", "/log/audit.jsonl", "/log/tile", "/log/tile/0", "/log/../keys.slots",
                     "/log/tile/0/../../key", "/log/%2e%2e/keys.slots", "/log/tile/0/000.p/0", "/log/tile/0/000.p/256",
                     "/log/tile/0/000.p/05", "/log/tile/8/000", "/log/tile/entries/x000/000", "/log//checkpoint",
                     "/ledger", "/metrics", "/log/tile/0/000.p/77"):
            status, headers, body = get(self.public, path)
            self.assertEqual(status, 404, path)
            self.assertEqual(headers["Cache-Control"], "no-store", path)
            self.assertNotIn(b"secret", body)
        request = urllib.request.Request(f"http://127.0.0.1:{self.public}/log/checkpoint", method="POST", data=b"")
        with self.assertRaises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=10)
        self.assertEqual(refused.exception.code, 405)

    def test_followed_over_http(self):
        copy = pathlib.Path(tempfile.mkdtemp(prefix="metrino-copy-")) / "copy"
        self.addCleanup(shutil.rmtree, copy.parent, ignore_errors=True)
        follow = ("audit", "follow", f"http://127.0.0.1:{self.public}/log/", "--copy", copy)
        done = run(METRINO, *follow, "--vkey", self.log / "vkey", "--max-age", "1")
        self.assertEqual(done.returncode, 0, done.stderr)
        run(METRINO, "clients", "list", "--data", self.broker.data)
        done = run(METRINO, *follow)
        self.assertEqual(done.returncode, 0, done.stderr)
        size, _ = verifier.verify(copy)
        self.assertEqual(run(go_verifier(), copy).returncode, 0)
        self.assertEqual(json.loads((copy / "audit.jsonl").read_bytes().splitlines()[-1])["right"], "clients_list")
        self.assertEqual(size, len((self.log / "audit.jsonl").read_bytes().splitlines()))


@own_only("a privacy ledger")
class Ledger(Served):
    abstract = False
    more = 'region DE\nprivacy_contact <b>dpo</b> & co <dpo@example.org>\npolicy_version 3'
    CLASSES = ("payload", "route", "session", "account", "guard", "envelope", "auth", "aggregate", "audit")

    def test_what_it_says(self):
        ledger = self.ledger()
        self.assertEqual((ledger["region"], ledger["policy_version"], ledger["payload_bytes_on_disk"]), ("DE", 3, 0))
        self.assertIn("dpo@example.org", ledger["privacy_contact"])
        self.assertEqual(ledger["audit_log"]["origin"], (self.log / "vkey").read_text().split("+")[0])
        self.assertEqual(ledger["audit_log"]["size"], int((self.log / "checkpoint").read_text().split("\n")[1]))
        self.assertEqual(ledger["audit_log"]["root"], (self.log / "checkpoint").read_text().split("\n")[2])
        classes = {row["class"]: row for row in ledger["classes"]}
        for name in self.CLASSES:
            self.assertIn(name, classes)
            self.assertFalse(classes[name]["late"])
        self.assertEqual(classes["session"]["limit_seconds"], 30 * 86400)
        self.assertIn(ledger["erase"]["level"], ("clear", "none"))

    def test_counts_are_powers_of_two(self):
        clients = [self.client(f"canary-{number}") for number in range(11)]
        eventually(lambda: self.rows("session") == 8, what="eight")
        clients.pop().disconnect()
        self.assertEqual(self.rows("session"), 8)

    def rows(self, name):
        return self.of_class(name)["rows_at_least"]

    def test_deliveries(self):
        """A row for what became of deliveries: with none there is nothing, with one its age and end are those of its hour."""
        before = self.of_class("route")
        self.assertEqual((before["rows_at_least"], before["bytes"], before["limit_seconds"]), (0, 0, 86400))
        self.assertEqual((before["oldest"], before["next_destruction"]), (None, None))
        client = self.client("a")
        client.subscribe("t", 1)
        for _ in range(5):
            client.publish("t", b"x", 1)
            client.message()
        run(METRINO, "traffic", "--data", self.broker.data)  # what happened is written first
        eventually(lambda: self.of_class("route")["rows_at_least"] == 4, what="five rows")
        row = self.of_class("route")
        hour = int(time.time()) // 3600
        self.assertIn(row["next_destruction"] // 3600 - 24, (hour - 1, hour))
        self.assertEqual(row["next_destruction"] % 3600, 0)
        self.assertEqual(row["oldest"], row["next_destruction"] - 86400)
        self.assertGreater(row["bytes"], 0)

    def of_class(self, name):
        return next(row for row in self.ledger()["classes"] if row["class"] == name)

    def test_page(self):
        client = self.client("canary-client")
        client.publish("canary-topic", b"canary-payload", 1, retain=True)
        status, headers, body = get(self.admin, "/ledger")
        page = body.decode()
        self.assertEqual((status, headers["Content-Type"], headers["Cache-Control"]), (200, "text/html; charset=utf-8", "no-store"))
        self.assertIn("default-src 'none'", headers["Content-Security-Policy"])
        self.assertIn("&lt;b&gt;dpo&lt;/b&gt; &amp; co", page)
        self.assertNotRegex(page, r"(?i)<script|<b>|src=|@import|url\(|http://|https://")
        self.assertIn('name="viewport"', page)
        self.assertEqual(page.count("<section"), page.count("</section>"))
        for text in (page, get(self.admin, "/ledger.json")[2].decode()):
            self.assertNotIn("canary", text)

    def test_in_a_browser(self):
        """Headless Chromium lays it out at a phone's width without a sideways scroll, and asks for nothing else."""
        browser = tool("chromium")
        body = get(self.admin, "/ledger")[2]
        probe = b"<script>document.title=document.documentElement.scrollWidth+' of '+innerWidth</script>"
        folder = pathlib.Path(tempfile.mkdtemp(prefix="metrino-page-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        (folder / "page.html").write_bytes(body.replace(b"</body>", probe + b"</body>"))
        done = subprocess.run([browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/profile",
                               "--window-size=390,844", "--dump-dom", f"file://{folder}/page.html"],
                              capture_output=True, timeout=50, check=False)
        found = re.search(r"<title>(\d+) of (\d+)</title>", done.stdout.decode(errors="replace"))
        self.assertTrue(found, done.stderr[-500:])
        self.assertLessEqual(int(found.group(1)), int(found.group(2)))


@own_only("admin listener")
class Strangers(OwnBrokerTest):
    """Who has no token, or asks for nothing, keeps nobody out who has it."""

    TOKEN = "0123456789abcdef0123456789abcdef"

    def setUp(self):
        super().setUp()
        self.admin = free_port()
        path = self.broker.root / "token"
        path.write_text(self.TOKEN + "\n")
        self.broker.config = f"admin_listener {self.admin} 0.0.0.0\nadmin_token_file {path}"
        self.broker.start()

    def ask(self):
        return get(self.admin, "/health/ping", {"Authorization": f"Bearer {self.TOKEN}"})[0]

    def dial(self, words):
        sock = socket.create_connection(("127.0.0.1", self.admin), timeout=30)
        self.addCleanup(sock.close)
        sock.sendall(words)
        return sock

    def test_connections_that_ask_for_nothing(self):
        """They are closed when others come, first those that came first; whoever had an answer with the token stays."""
        mine = self.dial(f"GET /health/ping HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {self.TOKEN}\r\n\r\n".encode())
        self.assertTrue(mine.recv(4096).startswith(b"HTTP/1.1 200"))
        began = time.monotonic()
        slow = [self.dial(b"GET /health/ping HTTP/1.1\r\nHost:") for _ in range(3 * CONNECTIONS_MAX)]
        self.assertEqual(self.ask(), 200)
        if time.monotonic() - began < 8:  # else they are closed for their silence, after 10 s
            self.assertTrue(is_closed(slow[0]))
            mine.sendall(b"GET /health/ping HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertTrue(mine.recv(4096).startswith(b"HTTP/1.1 401"))

    def test_requests_without_the_token(self):
        """More of them than a second has answers; those with the token have their own."""
        request, too_many = "GET /health/ping HTTP/1.1\r\nHost: a\r\n{}\r\n", threading.Event()
        flood = self.dial(b"")

        def read():
            for line in flood.makefile("rb"):
                if b" 429 " in line:
                    too_many.set()
            too_many.set()  # a slow machine may not come to so many

        threads = [threading.Thread(target=read),
                   threading.Thread(target=flood.sendall, args=((3 * ANSWERS_MAX * request.format("") + request.format("Connection: close\r\n")).encode(),))]
        for thread in threads:
            thread.start()
        too_many.wait(30)
        self.assertEqual([self.ask() for _ in range(5)], [200] * 5)
        for thread in threads:
            thread.join()


@own_only("a privacy ledger")
class Late(ClockTest):
    abstract = False

    def test_a_late_row_is_red(self):
        """The broker is stopped while an hour passes, and asked before it has caught up; then it has."""
        admin = free_port()
        self.broker.config = f"sys_interval 1\nadmin_listener {admin}"
        self.start()
        before = get(admin, "/ledger")[2].decode()
        self.assertNotIn('<section class="late">', before)
        late = []
        # The jobs may run before the page is asked for: then it is late another time.
        for hour in itertools.takewhile(lambda _: not late, range(5, 100, 5)):
            self.to_hour(hour)
            end = time.monotonic() + 0.3
            while time.monotonic() < end and not late:
                late = [row["class"] for row in json.loads(get(admin, "/ledger.json")[2])["classes"] if row["late"]]
        self.assertTrue(late, "no row is late right after the clock went on")
        eventually(lambda: '<section class="late">' not in get(admin, "/ledger")[2].decode(), what="the job")


@own_only("a privacy ledger")
class Crowd(Served):
    abstract = False

    def burst(self, port, path, count):
        """So many requests at once over one connection; gives the statuses of the answers, and the seconds that it took."""
        began = time.monotonic()
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            asker = threading.Thread(target=connection.sendall, args=(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode() * count,))
            asker.start()
            answers, statuses = connection.makefile("rb"), []
            for _ in range(count):
                statuses.append(int(answers.readline().split()[1]))
                fields = dict(line.split(b": ", 1) for line in iter(lambda: answers.readline().rstrip(), b""))
                answers.read(int(fields[b"Content-Length"]))
            asker.join()
        return statuses, time.monotonic() - began

    def test_a_thousand_are_answered(self):
        """Together no more of a listener than a second has, however fast they come."""
        for port, path in ((self.public, "/log/checkpoint"), (self.admin, "/ledger"), (self.admin, "/metrics")):
            self.assertEqual(set(self.burst(port, path, ANSWERS_MAX // 2)[0]), {200}, path)

    def test_too_many_requests(self):
        """Above so many in a second the answer is 429; above twice as many it comes a second later."""
        statuses, took_s = self.burst(self.admin, "/health/ping", 3 * ANSWERS_MAX)
        self.assertEqual(set(statuses) - {200, 429}, set())
        self.assertLessEqual(statuses.count(200), ANSWERS_MAX * (int(took_s) + 2))
        eventually(lambda: get(self.admin, "/health/ping")[0] == 200, what="a second with time")
