"""Who reads the audit log while it is appended to."""

import subprocess

from harness import own_only
from test_audit import APPEND, METRINO, LogTest, run

not_under = ("tsan",)


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
