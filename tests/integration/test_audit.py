"""The audit log: its format by verifiers of others, damage and forgery found, death at every write, and the broker's use of it.

tests/audit/verifier.py is written from the specifications alone; tests/audit/verify.go stands on golang.org/x/mod.
"""

import base64
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from harness import BUILD, COMMAND, ROOT, OwnBrokerTest, eventually, one_at_a_time, own_only
import wire

sys.path.insert(0, str(ROOT / "tests" / "audit"))
import verifier  # noqa: E402

not_under = ("tsan",)

METRINO = os.environ.get("METRINO") or str(pathlib.Path(COMMAND[0]).parent / "metrino")
APPEND = str(pathlib.Path(METRINO).parent / "audit_append")
SIZES = (0, 1, 255, 256, 257, 65535, 65536, 65537, 70000)


def run(*command, timeout=50):
    return subprocess.run([str(word) for word in command], capture_output=True, timeout=timeout, check=False)


def append(data, count, batch=1, *fault):
    """Gives the process and the checkpoints that could be read meanwhile."""
    done = run(APPEND, data, count, batch, *fault)
    checkpoints = re.findall(rb"(metrino/\w+\n\d+\n\S+\n\n[^\n]+\n)", done.stdout)
    return done, checkpoints


def go_verifier():
    """Built once, offline, with Debian's golang-golang-x-mod-dev."""
    program = BUILD / "audit_verify"
    with one_at_a_time():
        if not program.exists():
            env = dict(os.environ, GOPATH="/usr/share/gocode", GO111MODULE="off", GOCACHE=str(BUILD / "go-cache"))
            subprocess.run(["go", "build", "-o", str(program), str(ROOT / "tests" / "audit" / "verify.go")], env=env,
                           check=True, timeout=50)
    return program


def complaint_of(log):
    """What the independent verifier finds; None: nothing."""
    try:
        verifier.verify(log)
    except Exception as wrong:  # pylint: disable=broad-except
        return wrong
    return None


class LogTest(unittest.TestCase):
    abstract = True

    def setUp(self):
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.data = pathlib.Path(tempfile.mkdtemp(prefix="metrino-audit-", dir=memory))
        self.addCleanup(shutil.rmtree, self.data, ignore_errors=True)
        self.log = self.data / "log"

    def made(self, size, batch=1):
        done, _ = append(self.data, size, batch)
        self.assertEqual(done.returncode, 0, done.stderr)

    def found(self, words=""):
        """`metrino audit verify` finds something, and says the words."""
        done = run(METRINO, "audit", "verify", self.data)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn(words, done.stderr.decode(errors="replace"))


@own_only("an audit log")
class Format(LogTest):
    abstract = False

    def test_sizes(self):
        go, have = go_verifier(), 0
        for size in SIZES:
            self.made(size - have, 500 if size > 1000 else 100)
            have = size
            found, root = verifier.verify(self.log)
            text = f"{size} {base64.b64encode(root).decode()}"
            self.assertEqual(found, size)
            done = run(go, self.log)
            self.assertEqual((done.returncode, done.stdout.decode().strip()), (0, text), done.stderr)
            ours = run(METRINO, "audit", "verify", self.log)
            self.assertIn(f"verified: {size} entries", ours.stdout.decode(), ours.stderr)
            self.assertIn(text.split()[1], ours.stdout.decode())

    def test_opening_a_long_log_takes_milliseconds(self):
        self.made(70000, 5000)
        times = []
        for _ in range(5):
            began = time.monotonic()
            done, _ = append(self.data, 0)
            times.append(time.monotonic() - began)
            self.assertEqual(done.returncode, 0)
        self.assertLess(min(times), 0.1)  # a process with a sanitizer takes some of that to begin

    def test_proofs_are_right_at_other_tools_too(self):
        """Inclusion as c2sp.org/tlog-proof, folded by hand; consistency checked offline."""
        self.made(300, 50)
        (self.data / "old").write_bytes((self.log / "checkpoint").read_bytes())
        for index in (0, 255, 256, 299):
            proof = run(METRINO, "audit", "prove", index, "--data", self.data).stdout
            head, note = proof.split(b"\n\n", 1)
            lines = head.split(b"\n")
            self.assertEqual(lines[0], b"c2sp.org/tlog-proof@v1")
            self.assertEqual(lines[2], b"index %d" % index)
            size, root = verifier.open_note(note, verifier.read_vkey((self.log / "vkey").read_bytes()))
            entry = base64.b64decode(lines[1].split()[1])
            self.assertEqual(fold(index, size, entry, [base64.b64decode(line) for line in lines[3:]]), root)
            (self.data / "proof").write_bytes(proof)
            self.assertEqual(run(METRINO, "audit", "check", self.data / "proof", "--vkey", self.log / "vkey").returncode, 0)
            (self.data / "proof").write_bytes(proof.replace(lines[1], b"extra " + base64.b64encode(entry + b" ")))
            self.assertEqual(run(METRINO, "audit", "check", self.data / "proof", "--vkey", self.log / "vkey").returncode, 1)
        self.made(70, 7)
        proof = run(METRINO, "audit", "prove", "--from", self.data / "old", "--data", self.data).stdout
        (self.data / "proof").write_bytes(proof)
        check = ("audit", "check", self.data / "proof", "--from", self.data / "old", "--vkey", self.log / "vkey")
        self.assertEqual(run(METRINO, *check).returncode, 0)
        line = proof.split(b"\n")[1]
        (self.data / "proof").write_bytes(proof.replace(line, base64.b64encode(bytes(32))))
        self.assertEqual(run(METRINO, *check).returncode, 1)

    def test_what_was_asked_for_and_is_not_looked_at(self):
        self.made(5)
        kept, proof = self.log / "checkpoint", self.data / "proof"
        proof.write_bytes(run(METRINO, "audit", "prove", 2, "--data", self.data).stdout)
        for file in (proof, kept):
            done = run(METRINO, "audit", "check", file, "--from", kept, "--data", self.data)
            self.assertEqual(done.returncode, 1)
            self.assertIn(b"not a proof that the log continues", done.stderr)
        for words in (("verify", "--max-age", "2"), ("schedule", "--from", kept), ("verify", "-n", "1"), ("follow", self.data, "--data", self.data),
                      ("schedule", "--json"), ("verify", "-f"), ("tail", "--copy", self.data)):
            done = run(METRINO, "audit", *words, *(() if words[0] == "follow" else (self.data,)))
            self.assertEqual(done.returncode, 1)
            self.assertIn(b"does not take -", done.stderr)


def fold(index, size, entry, path):
    """RFC 9162, section 2.1.3.2, recursively: the root that the path makes of the entry."""
    if size == 1:
        assert not path
        return hashlib.sha256(b"\0" + entry).digest()
    k = 1
    while 2 * k < size:
        k *= 2
    if index < k:
        return verifier.node(fold(index, k, entry, path[:-1]), path[-1])
    return verifier.node(path[-1], fold(index - k, size - k, entry, path[:-1]))


class Signed(LogTest):
    """Logs of one partial bundle, which are written anew."""

    abstract = True

    def files(self, width):
        return [self.log / f"tile/entries/000.p/{width}", self.log / f"tile/0/000.p/{width}", self.log / "checkpoint"]

    def forge(self, size, change):
        """Rewrites entries, bundle, tile, lines; gives the leaves. For logs of one partial bundle."""
        entries, tile, _ = self.files(size)
        lines = change(verifier.entries_of(entries.read_bytes()))
        new = self.files(len(lines))
        new[0].write_bytes(b"".join(len(line).to_bytes(2, "big") + line for line in lines))
        leaves = [hashlib.sha256(b"\0" + line).digest() for line in lines]
        new[1].write_bytes(b"".join(leaves))
        (self.log / "audit.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
        return leaves

    def sign(self, leaves):
        """A checkpoint of other entries, by the right key: what only the holder of the key can make."""
        key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex((self.log / "key").read_text()))
        name, key_id, _ = verifier.read_vkey((self.log / "vkey").read_bytes())
        body = b"%s\n%d\n%s\n" % (name, len(leaves), base64.b64encode(verifier.root_of(leaves)))
        signature = base64.b64encode(key_id + key.sign(body))
        (self.log / "checkpoint").write_bytes(body + "\n\N{EM DASH} ".encode() + name + b" " + signature + b"\n")


@own_only("an audit log")
class Damage(Signed):
    abstract = False

    def test_every_byte(self):
        self.made(3, 3)
        for path in self.files(3) + [self.log / "audit.jsonl"]:
            right = path.read_bytes()
            for at in range(len(right)):
                path.write_bytes(right[:at] + bytes([right[at] ^ (1 << at % 8)]) + right[at + 1:])
                self.assertIsNotNone(complaint_of(self.log), f"{path} byte {at}")
                if at % 3 == 0:
                    self.found()
                if at % 9 == 0 and path.name != "audit.jsonl":
                    done, _ = append(self.data, 0)
                    self.assertEqual(done.returncode, 1, f"{path} byte {at}")
            path.write_bytes(right)
        self.assertIsNone(complaint_of(self.log))

    def test_bytes_of_whole_tiles(self):
        """Of a log with full tiles, a second level and a partial tile each file is damaged at bytes all over it."""
        self.made(300, 100)
        paths = [path for path in self.log.rglob("*") if path.is_file() and path.name not in ("key", "vkey") and ".p" not in path.parent.name]
        paths += [path for path in self.log.rglob("*.p/*") if path.name in ("44", "1")]
        self.assertEqual(len([path for path in paths if "tile" in str(path)]), 5)
        for path in paths:
            right = path.read_bytes()
            step = max(1, len(right) // 20)
            for at in range(0, len(right), step):
                path.write_bytes(right[:at] + bytes([right[at] ^ (1 << at % 8)]) + right[at + 1:])
                self.assertIsNotNone(complaint_of(self.log), f"{path} byte {at}")
                if at // step % 5 == 0:
                    self.found()
            path.write_bytes(right)
        self.assertIsNone(complaint_of(self.log))

    def test_start_names_file_and_entry(self):
        self.made(300, 300)
        path = self.log / "tile/entries/000"
        path.write_bytes(path.read_bytes().replace(b'"index":5,', b'"index":4,'))
        done, _ = append(self.data, 0)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"tile/entries/000: entry 5 ", done.stderr)

    def test_last_entry_dropped(self):
        self.made(5)
        entries, tile, _ = self.files(5)
        entries.write_bytes(b"".join(len(e).to_bytes(2, "big") + e for e in verifier.entries_of(entries.read_bytes())[:4]))
        tile.write_bytes(tile.read_bytes()[:-32])
        self.found("000.p/5")

    def test_a_line_too_many(self):
        """What `tail -F` shows is in the log; whole or not, read again by whoever reads it now."""
        self.made(5)
        lines = self.log / "audit.jsonl"
        right = lines.read_bytes()
        for more in (right.splitlines(True)[4], b"{}\n" * 3, b"{"):
            lines.write_bytes(right + more)
            self.found("audit.jsonl: has")
        lines.write_bytes(right)
        self.made(1)
        self.assertEqual(run(METRINO, "audit", "verify", self.data).returncode, 0)

    def test_entry_forged_with_its_tile(self):
        self.made(5)
        self.forge(5, lambda lines: [line.replace(b"envelope", b"aggregate") for line in lines])
        self.found("they were changed together")
        done, _ = append(self.data, 0)
        self.assertEqual(done.returncode, 1)

    def test_fork_and_rollback(self):
        self.made(5)
        kept = self.data / "kept"
        shutil.copy(self.log / "checkpoint", kept)
        check = ("audit", "check", kept, "--data", self.data)
        self.made(2)
        self.assertIn(b"of 7 entries continues that of 5", run(METRINO, *check).stdout)
        self.sign(self.forge(7, lambda lines: [line.replace(b"envelope", b"aggregate") for line in lines]))
        self.assertIsNone(complaint_of(self.log))  # by itself it is a right log
        done = run(METRINO, *check)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"fork", done.stderr)
        self.sign(self.forge(7, lambda lines: lines[:4]))
        self.assertIn(b"put back to an earlier state", run(METRINO, *check).stderr)

    def test_what_is_gone(self):
        for name, words in (("key", b"its signing key is gone"), ("checkpoint", b"checkpoint: is gone")):
            self.setUp()
            self.made(2)
            (self.log / name).unlink()
            done, _ = append(self.data, 1)
            self.assertEqual(done.returncode, 1)
            self.assertIn(words, done.stderr)

    def test_key_for_others_is_refused(self):
        self.made(1)
        self.assertEqual((self.log / "key").stat().st_mode & 0o777, 0o600)
        (self.log / "key").chmod(0o644)
        self.assertIn(b"others may read it", append(self.data, 0)[0].stderr)


@own_only("an audit log")
class Death(LogTest):
    """Dies, or finds the disk full, at each call that changes a file; a batch begins a new tile."""

    abstract = False

    def check_consistent(self, checkpoints, at):
        self.assertIsNone(complaint_of(self.log), f"call {at}")
        vkey = verifier.read_vkey((self.log / "vkey").read_bytes())
        size, _ = verifier.open_note((self.log / "checkpoint").read_bytes(), vkey)
        entries = []
        for _, _, data in verifier.read_level(self.log, "entries", size):
            entries += verifier.entries_of(data)
        leaves = [hashlib.sha256(b"\0" + entry).digest() for entry in entries]
        for note in checkpoints:
            old, root = verifier.open_note(note, vkey)
            self.assertLessEqual(old, size, f"call {at}: a checkpoint of {old} was published")
            self.assertEqual(verifier.root_of(leaves[:old]), root, f"call {at}")

    def everywhere(self, fault, size, step=1):
        self.made(size, 100)
        base = self.data / "base"
        self.log.rename(base)
        seen = self.data / "audit.seen"
        right = seen.read_bytes()
        at, ended = 1, False
        while not ended:
            shutil.rmtree(self.log, ignore_errors=True)
            seen.unlink()
            if size:
                shutil.copytree(base, self.log)
                seen.write_bytes(right)
            done, checkpoints = append(self.data, 5, 3, fault, at)
            ended = done.returncode == 0
            if (self.log / "checkpoint").exists():
                checkpoints.append((self.log / "checkpoint").read_bytes())
            again, more = append(self.data, 2, 1)
            self.assertEqual(again.returncode, 0, f"{fault} at call {at}: {again.stderr}")
            self.check_consistent(checkpoints + more, at)
            at += step
        self.assertGreater(at, 30)

    def test_killed_in_a_new_log(self):
        self.everywhere("kill", 0)

    def test_killed_while_a_tile_fills(self):
        self.everywhere("kill", 254)

    def test_full_disk(self):
        self.everywhere("fail", 254)

    def test_power_takes_a_checkpoint_that_was_read(self):
        """Its rename was not durable yet, what it says was: it comes back as it was."""
        for size, more, batch in ((3, 2, 2), (254, 5, 5), (254, 2, 1)):
            self.setUp()
            self.made(size, 100)
            before = {name: (self.log / name).read_bytes() for name in ("checkpoint", "audit.jsonl")}
            _, read = append(self.data, more, batch)
            for name, right in before.items():
                (self.log / name).write_bytes(right)
            self.made(0)
            self.assertEqual(verifier.verify(self.log)[0], size + more)
            self.check_consistent(read, 0)

    def test_put_back_to_an_earlier_state(self):
        """It goes on under a new origin, whatever was put back, and however often the broker dies over it."""
        self.made(3, 3)
        base = self.data / "base"
        shutil.copytree(self.log, base)
        old = verifier.read_vkey((self.log / "vkey").read_bytes())
        self.made(2, 2)
        longer = (self.log / "audit.jsonl").read_bytes()
        seen = (self.data / "audit.seen").read_bytes()
        for lines in (None, longer):
            at, ended = 1, False
            while not ended:
                shutil.rmtree(self.log)
                shutil.copytree(base, self.log)
                (self.data / "audit.seen").write_bytes(seen)
                if lines:
                    (self.log / "audit.jsonl").write_bytes(lines)
                done, checkpoints = append(self.data, 0, 1, "kill", at)
                ended = done.returncode == 0
                again, more = append(self.data, 2, 1)
                self.assertEqual(again.returncode, 0, again.stderr)
                self.assertIsNone(complaint_of(self.log), f"call {at}")
                new = verifier.read_vkey((self.log / "vkey").read_bytes())
                self.assertNotEqual(new[0], old[0], "the origin is the old one")
                self.assertEqual(verifier.verify(self.log)[0], 5)
                for note in more:
                    verifier.open_note(note, new)  # under one origin from the first that was published on
                self.assertEqual((self.log / "audit.jsonl.before").exists(), bool(lines))
                self.assertNotIn(b"restored", append(self.data, 0)[0].stdout)
                at += 1
            self.assertGreater(at, 8)

    def test_a_log_moved_away(self):
        self.made(3)
        shutil.rmtree(self.log)
        done, _ = append(self.data, 1)
        self.assertNotIn(b"restored", done.stdout)
        self.assertIsNone(complaint_of(self.log))

    def test_another_verifier_key_beside_the_log(self):
        self.made(3)
        (self.log / "vkey").write_text("metrino/0000000000000000+00000000+AAAA\n")
        done, _ = append(self.data, 1)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"vkey: is not the key that signs here", done.stderr)

    def test_left_over_from_a_failure(self):
        """A longer bundle that does not go on from what is published is no entry of the log."""
        self.made(3, 3)
        right = (self.log / "tile/entries/000.p/3").read_bytes()
        for leftover in (right.replace(b"envelope", b"aggregate") + right[:80], right + right, right + b"\0\2{}", b""):
            (self.log / "tile/entries/000.p/6").write_bytes(leftover)
            self.made(0)
            self.assertEqual(verifier.verify(self.log)[0], 3)


@own_only("an audit log")
class Household(OwnBrokerTest):
    workers = 2

    def setUp(self):
        super().setUp()
        self.log = self.broker.data / "log"

    def metrino(self, *words):
        return run(METRINO, *words, "--data", self.broker.data)

    def events(self):
        """Without those of keys: how many there are is theirs to know."""
        names = re.findall(r'"event":"([a-z.]+)"', (self.log / "audit.jsonl").read_text())
        return [name for name in names if not name.startswith("key.")]

    def keys(self):
        lines = [json.loads(line) for line in (self.log / "audit.jsonl").read_text().splitlines()]
        return [(line["event"], line["class"], 0 if line["class"] == "root" else line["epoch"]) for line in lines
                if line["event"].startswith("key.")]

    def test_a_life(self):
        self.broker.start()
        self.assertIn((self.log / "vkey").read_text().strip(), self.broker.log())
        client = self.client("canary-client")
        client.subscribe("canary-topic", 1)
        for words in ("list", "list", "count"):
            self.assertEqual(self.metrino("clients", words).returncode, 0)
        self.assertEqual(self.metrino("clients", "kick", "canary-client").returncode, 0)
        self.broker.config = "ip_logging full"
        self.broker.write_config()
        self.broker.signal(signal.SIGHUP)
        eventually(lambda: self.events().count("config") == 2, what="the new setting")
        self.assertEqual(self.broker.stop(), 0)
        self.assertEqual(self.events(), ["version", "config", "start", "receipts", "admin", "admin", "admin", "config", "stop"])
        self.broker.start()
        self.broker.kill()
        self.broker.start()
        self.assertEqual(self.events()[9:], ["start", "receipts"] * 2)  # nothing changed; the kill left no stop
        self.assertIsNone(complaint_of(self.log))
        for path in self.log.rglob("*"):
            self.assertNotIn(b"canary", path.read_bytes() if path.is_file() else b"")

    def test_the_signing_key_is_a_key_like_others(self):
        """In keys.slots; one that lies in a file, as older versions left it, moves there."""
        self.broker.start()
        self.assertIn(("key.new", "audit", 0), self.keys())
        self.assertFalse((self.log / "key").exists())
        self.assertEqual(self.broker.stop(), 0)
        shutil.rmtree(self.log)
        for name in ("keys.slots", "audit.seen", "data.mdb"):
            (self.broker.data / name).unlink()
        self.assertEqual(append(self.broker.data, 3)[0].returncode, 0)
        owner = self.broker.data.stat()
        for path in (self.broker.data / "audit.seen", self.log, *self.log.rglob("*")):
            os.chown(path, owner.st_uid, owner.st_gid)
        vkey, seed = (self.log / "vkey").read_bytes(), bytes.fromhex((self.log / "key").read_text())
        self.broker.start()
        self.assertFalse((self.log / "key").exists())
        self.assertIn(seed, (self.broker.data / "keys.slots").read_bytes())
        self.assertEqual((self.log / "vkey").read_bytes(), vkey)
        self.assertEqual(self.broker.stop(), 0)
        self.assertIsNone(complaint_of(self.log))

    def test_put_back(self):
        """A new origin is a new key; the old one is destroyed, and both are in the log."""
        self.broker.start()
        self.assertEqual(self.broker.stop(), 0)
        shutil.copytree(self.log, self.broker.data.parent / "copy")
        old = (self.log / "vkey").read_bytes()
        self.broker.start()
        self.assertEqual(self.broker.stop(), 0)
        shutil.rmtree(self.log)
        shutil.copytree(self.broker.data.parent / "copy", self.log)
        owner = self.broker.data.stat()
        for path in (self.log, *self.log.rglob("*")):
            os.chown(path, owner.st_uid, owner.st_gid)
        self.broker.start()
        self.assertIn("was put back to an earlier state", self.broker.log())
        self.assertNotEqual((self.log / "vkey").read_bytes(), old)
        self.assertIn((self.log / "vkey").read_text().strip(), self.broker.log())
        self.assertIn('"alert":"log_restored"', (self.log / "audit.jsonl").read_text())
        self.assertEqual([key for key in self.keys() if key[1] == "audit"],
                         [("key.new", "audit", 0), ("key.gone", "audit", 0), ("key.new", "audit", 1)])
        self.assertIsNone(complaint_of(self.log))
        self.assertEqual(self.broker.stop(), 0)
        self.broker.start()
        self.assertEqual((self.log / "audit.jsonl").read_text().count("log_restored"), 1)

    def test_keys_that_the_log_lacks(self):
        """The broker died before its hour's entries: the next start compares."""
        self.broker.start()
        self.assertEqual(self.broker.stop(), 0)
        before = self.keys()
        shutil.rmtree(self.log)  # as who wants a new log does: it is another one, and knows the keys that live
        self.broker.start()
        self.assertEqual(sorted(self.keys()), sorted(("key.new", name, epoch + (name == "audit")) for _, name, epoch in before))
        after = self.keys()
        self.broker.kill()
        self.broker.start()
        self.assertEqual(self.keys(), after)

    def test_tail(self):
        self.broker.start()
        self.assertIn(b"the broker started", self.metrino("audit", "tail", "-n", "100").stdout)
        self.assertIn(b"the broker started", run(METRINO, "audit", "tail", self.broker.data, "-n", "100").stdout)
        self.assertEqual(self.metrino("audit", "verify").returncode, 0)
        self.assertIn(b"--data names the log already", self.metrino("audit", "verify", self.log).stderr)
        self.assertIn(b'{"config":1,"event":"start","index":2,', self.metrino("audit", "tail", "--json", "-n", "100").stdout)
        tail = subprocess.Popen([METRINO, "audit", "tail", "-f", "-n", "4", "--data", str(self.broker.data)],
                                stdout=subprocess.PIPE)
        self.addCleanup(tail.wait, 5)
        self.addCleanup(tail.kill)
        lines = [tail.stdout.readline() for _ in range(4)]  # from now on it follows
        self.assertNotIn(b"clients_list", b"".join(lines))
        self.metrino("clients", "list")
        self.assertIn(b"an administrative right was used: clients_list", tail.stdout.readline())
        tail.stdout.close()

    def test_unwritable(self):
        self.broker.start()
        (self.log / "new").mkdir()  # what is written is written there first
        for words in (("list",), ("kick", "x")):
            done = self.metrino("clients", *words)
            self.assertEqual(done.returncode, 1)
            self.assertIn(b"refused: its use cannot be recorded", done.stderr)
        self.assertEqual(self.metrino("clients", "count").returncode, 0)
        self.assertIn("administrative changes are refused", self.broker.log())
        self.broker.config = "ip_logging full"
        self.broker.write_config()
        self.broker.signal(signal.SIGHUP)
        eventually(lambda: "a change of privacy settings cannot be recorded" in self.broker.log(), what="a refusal")
        self.client("serves").subscribe("t", 1)
        self.assertEqual(self.events(), ["version", "config", "start", "receipts"])
        (self.log / "new").rmdir()
        self.assertEqual(self.metrino("clients", "list").returncode, 0)
        self.assertEqual(self.events()[4:], ["alert", "admin"])
        self.assertIn("can be written again", self.broker.log())
        self.assertIsNone(complaint_of(self.log))

    def test_written_and_not_settled(self):
        """What a checkpoint says is not written again because what comes behind it failed; that is made up for."""
        self.broker.start()
        behind = self.broker.data / "audit.seen.new"
        behind.mkdir()
        done = [self.metrino("clients", "list").returncode for _ in range(3)]
        self.assertEqual(done, [0, 1, 1])  # it is recorded; then it has been noticed
        self.assertIn("administrative changes are refused", self.broker.log())
        behind.rmdir()
        self.assertEqual(self.metrino("clients", "list").returncode, 0)
        self.assertIn("can be written again", self.broker.log())
        self.assertEqual(self.events(), ["version", "config", "start", "receipts", "admin", "alert"])
        self.assertIsNone(complaint_of(self.log))
        self.assertEqual(self.metrino("audit", "verify").returncode, 0)

    def test_damage_refuses_to_start(self):
        self.broker.start()
        self.assertEqual(self.broker.stop(), 0)
        path = max((self.log / "tile/0/000.p").iterdir(), key=lambda each: int(each.name))
        right = path.read_bytes()
        path.write_bytes(right[:40] + b"x" + right[41:])
        code, words = self.broker.run_to_end()
        self.assertEqual(code, 1)
        self.assertIn(f"audit log: tile/0/000.p/{path.name}: hash 1 is not that of the entries; the first bad entry is 1", words)
        path.write_bytes(right)
        self.broker.start()

    def test_switched_off(self):
        self.broker.start()
        self.assertEqual(self.broker.stop(), 0)
        self.broker.config = "audit_log false"
        for _ in range(2):
            self.broker.start()
            self.assertEqual(self.metrino("clients", "list").returncode, 0)
            self.assertEqual(self.broker.stop(), 0)
        self.assertEqual(self.events(), ["version", "config", "start", "receipts", "stop", "config"])
        self.assertIn('"audit_log":"off"', (self.log / "audit.jsonl").read_text())

    def test_never_on(self):
        self.broker.config = "audit_log false"
        self.broker.start()
        self.assertFalse(self.log.exists())
