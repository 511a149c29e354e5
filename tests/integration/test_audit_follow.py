"""The audit log from another machine: `metrino audit follow` and `schedule`, over HTTP and from a directory."""

import base64
import fcntl
import functools
import hashlib
import http.server
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import threading
import time

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from harness import eventually, own_only
from test_audit import METRINO, SIZES, LogTest, append, complaint_of, run, verifier

not_under = ("tsan",)


class Handler(http.server.SimpleHTTPRequestHandler):
    asked, logins = [], []
    busy = []  # statuses, and when to ask again: what the next requests are told

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.asked.append(self.path)
        self.logins.append(self.headers.get("Authorization"))
        try:
            status, retry_after = self.busy.pop(0)
        except IndexError:
            super().do_GET()
            return
        self.send_response(status)
        if retry_after is not None:
            self.send_header("Retry-After", retry_after)
        self.send_header("Content-Length", "0")
        self.end_headers()


class FollowTest(LogTest):
    abstract = True

    def setUp(self):
        super().setUp()
        self.copy = pathlib.Path(tempfile.mkdtemp(prefix="metrino-copy-")) / "copy"
        self.addCleanup(shutil.rmtree, self.copy.parent, ignore_errors=True)

    def serve(self):
        """Gives the URL of the log."""
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(self.data)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        Handler.asked.clear()
        Handler.logins.clear()
        Handler.busy.clear()
        return f"http://127.0.0.1:{server.server_port}/log"

    def follow(self, where, *words):
        return run(METRINO, "audit", "follow", where, "--copy", self.copy, *words)

    def followed(self, where, *words):
        done = self.follow(where, *words)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.decode()

    def refused(self, where, phrase, *words):
        before = {path: path.read_bytes() for path in self.copy.rglob("*") if path.name in ("checkpoint", "audit.jsonl")}
        done = self.follow(where, *words)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn(phrase, done.stderr.decode())
        self.assertEqual({path: path.read_bytes() for path in before}, before, "the copy is not what it was")


@own_only("an audit log")
class Follow(FollowTest):
    abstract = False

    def test_sizes(self):
        """At each size the copy is the log, verified by another tool."""
        url, have = self.serve(), 0
        for size in SIZES:
            self.made(size - have, 500 if size > 1000 else 100)
            words = self.followed(url, *(() if have else ("--vkey", self.log / "vkey")))
            self.assertIn(f"the log of {size} entries continues that of {have}", words)
            have = size
            self.assertEqual(verifier.verify(self.copy)[0], size)
            self.assertEqual((self.copy / "audit.jsonl").read_bytes(), (self.log / "audit.jsonl").read_bytes())
        self.assertEqual(run(METRINO, "audit", "verify", self.copy).returncode, 0)

    def test_a_server_that_has_no_time(self):
        """429 and 503 are waited for, and as long as the server says; what goes on for long is a failure."""
        self.made(10)
        url = self.serve()
        Handler.busy += [(429, "1"), (503, None), (429, "0")]
        began = time.monotonic()
        self.followed(url, "--vkey", self.log / "vkey")
        self.assertGreaterEqual(time.monotonic() - began, 1.4)
        self.assertEqual(Handler.asked[:4], [Handler.asked[0]] * 4)
        Handler.busy += [(429, "86400")]
        self.refused(url, "the server answers 429")
        Handler.busy += [(500, None)]
        self.refused(url, "the server answers 500")

    def test_only_what_is_new(self):
        self.made(600, 100)
        url = self.serve()
        self.assertIn("the first look", self.followed(url))
        self.made(1)
        Handler.asked.clear()
        self.followed(url)
        self.assertEqual(Handler.asked, ["/log/checkpoint", "/log/tile/entries/002.p/89"])
        Handler.asked.clear()
        self.followed(url)
        self.assertEqual(Handler.asked, ["/log/checkpoint"])

    def test_full_in_place_of_partial(self):
        """The log grew between the checkpoint and the bundle."""
        self.made(250, 250)
        note = (self.log / "checkpoint").read_bytes()
        self.made(10, 10)
        (self.log / "checkpoint").write_bytes(note)
        self.followed(self.data)
        self.assertEqual(verifier.verify(self.copy)[0], 250)

    def test_from_a_directory(self):
        self.made(5)
        for where in (self.data, self.log):
            self.followed(where)
        self.assertIsNone(complaint_of(self.copy))

    def forged(self, change):
        """A log with other entries, all of it signed by the right key."""
        size, _ = verifier.open_note((self.log / "checkpoint").read_bytes(),
                                     verifier.read_vkey((self.log / "vkey").read_bytes()))
        lines = change(verifier.entries_of((self.log / f"tile/entries/000.p/{size}").read_bytes()))
        leaves = [hashlib.sha256(b"\0" + line).digest() for line in lines]
        (self.log / f"tile/entries/000.p/{len(lines)}").write_bytes(
            b"".join(len(line).to_bytes(2, "big") + line for line in lines))
        key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex((self.log / "key").read_text()))
        name, key_id, _ = verifier.read_vkey((self.log / "vkey").read_bytes())
        body = b"%s\n%d\n%s\n" % (name, len(leaves), base64.b64encode(verifier.root_of(leaves)))
        signature = base64.b64encode(key_id + key.sign(body))
        (self.log / "checkpoint").write_bytes(body + "\n\N{EM DASH} ".encode() + name + b" " + signature + b"\n")

    def test_fork_and_rollback(self):
        self.made(5)
        self.followed(self.data)
        self.made(2)
        good = {path: path.read_bytes() for path in self.log.rglob("*") if path.is_file()}
        self.forged(lambda lines: [line.replace(b"envelope", b"aggregate") for line in lines])
        self.refused(self.data, "another branch (fork)")
        self.forged(lambda lines: lines[:5])
        self.refused(self.data, "fork")  # of the same size
        self.forged(lambda lines: lines[:4])
        self.refused(self.data, "it was put back to an earlier state")
        for path, data in good.items():
            path.write_bytes(data)
        self.followed(self.data)
        self.assertIsNone(complaint_of(self.copy))

    def test_the_whole_machine_was_put_back(self):
        """What the copy has seen, put in the place of audit.seen, makes of a fork to come another origin."""
        self.made(3, 3)
        shutil.copytree(self.data, self.copy.parent / "backup")
        self.made(4, 2)
        self.followed(self.data)
        shutil.rmtree(self.log)
        shutil.copytree(self.copy.parent / "backup/log", self.log)
        shutil.copy(self.copy / "checkpoint", self.data / "audit.seen")
        self.assertIn(b"restored", append(self.data, 1)[0].stdout)
        self.assertIsNone(complaint_of(self.log))
        self.assertEqual(verifier.verify(self.log)[0], 4)
        self.refused(self.data, "it is of the log")

    def test_every_byte_of_what_is_fetched(self):
        self.made(3, 3)
        self.followed(self.data)
        self.made(2, 2)
        for name in ("checkpoint", "tile/entries/000.p/5"):
            right = (self.log / name).read_bytes()
            step = 1 if name == "checkpoint" else 3
            for at in range(0, len(right), step):
                (self.log / name).write_bytes(right[:at] + bytes([right[at] ^ (1 << at % 8)]) + right[at + 1:])
                if name != "checkpoint" and at < self.behind(right, 3):
                    continue  # entries that the copy has already are not looked at again
                self.assertEqual(self.follow(self.data).returncode, 1, f"{name} byte {at}")
            (self.log / name).write_bytes(right)
        self.followed(self.data)

    def behind(self, bundle, count):
        """Where the entries after so many begin."""
        return sum(2 + len(line) for line in verifier.entries_of(bundle)[:count])

    def test_another_key(self):
        self.made(2)
        self.followed(self.data)
        shutil.rmtree(self.log)
        (self.data / "audit.seen").unlink()
        self.made(4)
        self.refused(self.data, "it is of the log")
        self.refused(self.data, "the copy is of the log", "--vkey", self.log / "vkey")

    def test_age(self):
        self.made(5)
        self.followed(self.data)
        self.assertIn("stands still", self.follow(self.data, "--max-age", "3").stderr.decode())
        self.assertIn("hours, not", self.follow(self.data, "--max-age", "x").stderr.decode())

    def test_an_entry_that_is_to_come(self):
        """A log that stands still behind one would be young for ever."""
        self.made(5)
        self.forged(lambda lines: lines[:4] + [re.sub(rb'"time":\d+', b'"time":4102444800', lines[4])])
        self.assertIn("hours ahead", self.follow(self.data, "--max-age", "3").stderr.decode())

    def test_one_at_a_time(self):
        """Two would write into the same new files."""
        self.made(3)
        self.followed(self.data)
        other = os.open(self.copy, os.O_RDONLY)
        fcntl.flock(other, fcntl.LOCK_EX)
        self.refused(self.data, "another `metrino audit follow`")
        os.close(other)
        self.followed(self.data)

    def test_where_nothing_is(self):
        for where, phrase in ((f"{self.serve()}/nothing", "404"), ("http://127.0.0.1:9/log", "127.0.0.1:9"),
                              ("ftp://127.0.0.1/log", "not a URL"), (self.data, "no audit log there")):
            done = self.follow(where)
            self.assertEqual(done.returncode, 1)
            self.assertIn(phrase, done.stderr.decode())
        self.assertIn("--copy", run(METRINO, "audit", "follow", self.data).stderr.decode())

    def test_a_password_is_overwritten_on_the_command_line(self):
        """While the server has no time for us; and it is sent."""
        self.made(3)
        url = self.serve().replace("//", "//me:s3cret@")
        Handler.busy += [(503, None)] * 15
        with subprocess.Popen([METRINO, "audit", "follow", url, "--copy", self.copy], stdout=subprocess.DEVNULL) as process:
            eventually(lambda: Handler.asked, what="its request")
            words = pathlib.Path(f"/proc/{process.pid}/cmdline").read_bytes()
            Handler.busy.clear()
        self.assertEqual(process.returncode, 0)
        self.assertIn(b"follow", words)
        self.assertNotIn(b"cret", words)
        self.assertEqual(base64.b64decode(Handler.logins[0].split()[1]), b"me:s3cret")

    def test_no_password_of_a_url_is_shown(self):
        """Whatever is wrong with it, and whoever was given it by mistake."""
        long = 64 * "h"  # no name may have such a part, so nobody is asked for it
        for url in ("https://me:s3cret@127.0.0.1:9/log", f"ftp://me:s3cret@{long}/log", "http://me:s3/cret@host/log", "http://me:s3@cret@127.0.0.1:9/log"):
            for command in (("audit", "follow", url, "--copy", self.copy), ("audit", "follow", self.data, "--copy", url), ("audit", "verify", url),
                            ("audit", "check", url), ("audit", "follow", self.data, url), ("audit", "tail", self.data, url),
                            ("sub", url), ("bench", url), ("sub", "-t", "a", "-h", f"mqtt://me:s3cret@{long}")):
                done = run(METRINO, *command)
                said = (done.stdout + done.stderr).decode()
                with self.subTest(command=command, said=said):
                    self.assertEqual(done.returncode, 1)
                    for part in ("me:", "s3", "cret"):
                        self.assertNotIn(part, said)
        self.assertIn("https://...@127.0.0.1:9/log/", self.follow("https://me:s3cret@127.0.0.1:9/log").stderr.decode())


@own_only("an audit log")
class Schedule(FollowTest):
    abstract = False

    def test_late(self):
        """append makes an envelope key in each fourth entry, with no end, and hours that pass."""
        self.made(3, 3)
        done = run(METRINO, "audit", "schedule", self.data)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("1 keys that end", done.stdout.decode())
        path = self.log / "tile/entries/000.p/3"
        path.write_bytes(path.read_bytes().replace(b'"epoch":2', b'"epoch":3'))
        self.assertEqual(run(METRINO, "audit", "schedule", self.data).returncode, 1)  # not what was signed
