"""What an append to the audit log leaves behind that fails, and who reads the log meanwhile."""

import shutil
import subprocess

from harness import own_only
from test_audit import APPEND, METRINO, LogTest, append, complaint_of, run, verifier

not_under = ("tsan",)


@own_only("an audit log")
class Refused(LogTest):
    """Of entries that were refused nothing is left that could become an entry later."""

    abstract = False

    def size(self):
        vkey = verifier.read_vkey((self.log / "vkey").read_bytes())
        return verifier.open_note((self.log / "checkpoint").read_bytes(), vkey)[0]

    def everywhere(self, size, batch):
        """Each call of an append that changes a file fails alone; the same entries may come again, or others."""
        self.made(size, 100)
        base, seen = self.data / "base", self.data / "audit.seen"
        self.log.rename(base)
        right, refused, at, ended = seen.read_bytes(), 0, 1, False
        while not ended:
            shutil.rmtree(self.log, ignore_errors=True)
            shutil.copytree(base, self.log)
            seen.write_bytes(right)
            done, _ = append(self.data, batch, batch, "once", at)
            ended = done.returncode == 0 and int(done.stdout.split()[-1]) < at
            published = self.size()
            if done.returncode != 0 and published == size:
                refused += 1
                self.assertNotIn(b"removed\n", done.stdout, f"call {at}: a loss of power would bring it back")
            self.made(0)
            self.assertEqual(self.size(), published, f"call {at}: {done.stderr}")
            self.made(1)
            self.assertEqual(verifier.verify(self.log)[0], published + 1, f"call {at}")
            self.assertIsNone(complaint_of(self.log), f"call {at}")
            at += 1
        self.assertGreater(refused, 5)

    def test_a_partial_tile(self):
        self.everywhere(3, 2)

    def test_a_tile_that_fills(self):
        self.everywhere(254, 5)


@own_only("an audit log")
class Beside(LogTest):
    """`metrino audit verify` beside a broker that writes."""

    abstract = False

    def test_verified_while_it_is_written(self):
        self.made(1)
        with subprocess.Popen([APPEND, self.data, "1000000", "1"], stdout=subprocess.DEVNULL) as writer:
            try:
                for _ in range(40):
                    done = run(METRINO, "audit", "verify", self.data)
                    self.assertEqual(done.returncode, 0, done.stderr)
            finally:
                writer.kill()

    def test_lines_that_do_not_come(self):
        """They are waited for, and then they are missing."""
        self.made(5)
        lines = self.log / "audit.jsonl"
        right = lines.read_bytes()
        for less in (right[:-1], b"".join(right.splitlines(True)[:4])):
            lines.write_bytes(less)
            self.found("audit.jsonl: line 5 is not entry 4")
