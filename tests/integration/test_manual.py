"""The manual pages and --help name the same commands and flags."""

import os
import re
import shlex
import subprocess
import tempfile
import unittest

from harness import COMMAND, ROOT, own_only

MANUAL = ROOT / "docs" / "man"
METRINO = shlex.split(os.environ.get("METRINO") or shlex.quote(str(ROOT / "build" / "metrino")))
FLAG = re.compile(r"(?<![\w-])--?[A-Za-z][\w-]*")
PAGES_OF_THEIR_OWN = ("pub", "sub", "rr", "bench", "account", "audit", "privacy", "subject")


def page(name):
    """The text of a page, without what troff does to letters."""
    text = (MANUAL / name).read_text().replace(r"\-", "-")
    return re.sub(r"\\f[BIRP]", "", text)


def tags(text):
    """What entries begin with: the lines behind .TP."""
    return "\n".join(re.findall(r"^\.TP\n(.*)$", text, re.MULTILINE))


def flags(text):
    return set(FLAG.findall(text))


def help_of(*command, flag="--help"):
    done = subprocess.run([*command, flag], capture_output=True, text=True, timeout=15, check=False)
    assert done.returncode == 0, done
    return done.stdout


@own_only("its own pages")
class Manual(unittest.TestCase):
    def same(self, helped, text):
        """--help itself need not be told of."""
        self.assertEqual(flags(helped) - flags(text), set(), "in --help, not in the page")
        self.assertEqual(flags(tags(text)) - flags(helped) - {"--help"}, set(), "in the page, not in --help")

    def test_commands_with_a_page(self):
        for name in PAGES_OF_THEIR_OWN:
            with self.subTest(name):
                self.same(help_of(*METRINO, name), page(f"metrino-{name}.1"))

    def test_the_others(self):
        names = re.findall(r"^  ([a-z]+) ", help_of(*METRINO), re.MULTILINE)
        self.assertGreater(set(names), set(PAGES_OF_THEIR_OWN))
        text = page("metrino.1")
        for name in names:
            self.assertRegex(text, rf"(?m)^\.B metrino {name}\b", "the synopsis")
            self.assertRegex(text, rf"(?m)^\.TP\n\.B {name}$", "the description")
        self.same("".join(help_of(*METRINO, name) for name in set(names) - set(PAGES_OF_THEIR_OWN)), text)

    def test_examples_of_configuration(self):
        """What stands in a document is taken as it stands there; files that are not here apart."""
        keys = set(re.findall(r"^#([a-z_]+) ", help_of(*COMMAND, flag="--example-config"), re.MULTILINE))
        seen = 0
        for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
            # Blocks; of each the lines that are of a configuration.
            for block in re.findall(r"(?m)^(?:(?:    .*)?\n)+", path.read_text()):
                lines = [line[4:] for line in block.splitlines()]
                lines = [line for line in lines if line.partition(" ")[0] in keys]
                seen += len(lines)
                with self.subTest(path.name, block=block), tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
                    self.assertEqual([line for line in lines if " #" in line], [])
                    file.write("\n".join(lines) + "\n")
                    file.flush()
                    done = subprocess.run([*COMMAND, "--test-config", "-c", file.name], capture_output=True, text=True, timeout=15,
                                          check=False, env={**os.environ, "STATE_DIRECTORY": "/nowhere"})
                    self.assertNotIn(file.name + ":", done.stderr)
        self.assertGreater(seen, 15)

    def test_the_broker(self):
        self.same(help_of(*COMMAND), page("metrinod.8"))
