#!/usr/bin/python3
"""Tests of the shim and of what is made of its journal: small programs whose files lose their power."""

import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.dont_write_bytecode = True

import image  # noqa: E402

SHIM = os.environ.get("POWER_SHIM", str(pathlib.Path(__file__).resolve().parents[2] / "build" / "power.so"))
TRIES = 80
OPEN = "import os\nf = os.open('f', os.O_RDWR | os.O_CREAT, 0o600)\nd = os.open('.', os.O_RDONLY)\n"


class Losses(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.TemporaryDirectory()
        self.addCleanup(self.root.cleanup)
        self.folder = pathlib.Path(self.root.name).resolve() / "data"
        self.folder.mkdir()
        self.journal = self.folder.parent / "journal"

    def fill(self, content):
        for path in self.folder.iterdir():
            if path.name not in content:
                path.unlink()
        for name, data in content.items():
            (self.folder / name).write_bytes(data)

    def content(self):
        return {path.name: path.read_bytes() for path in self.folder.iterdir()}

    def live(self, program, before=None, **options):
        """Runs the program in the folder, which holds `before`; gives the disk."""
        self.fill(before or {})
        disk = image.Disk(self.folder, random.Random(0))
        environment = disk.environment(SHIM, self.journal, **options)
        done = subprocess.run([sys.executable, "-c", program], cwd=self.folder, env=dict(os.environ, **environment),
                              capture_output=True, text=True, timeout=20, check=False)
        self.assertIn(done.returncode, (0, -signal.SIGILL), done.stderr)
        return disk

    def outcomes(self, program, name="f", **options):
        """Each content that the file has after some loss; None: it is not there."""
        disk, found = self.live(program, **options), set()
        base, now = disk.base, self.content()
        for seed in range(TRIES):
            self.fill(now)
            disk.base, disk.random = base, random.Random(seed)
            disk.lose(self.journal)
            found.add(self.content().get(name))
        return found

    def test_what_was_synced_stays(self):
        program = OPEN + "os.write(f, b'x' * 9000)\nos.fsync(f)\nos.fsync(d)\n"
        self.assertEqual(self.outcomes(program), {b"x" * 9000})
        program = OPEN + "os.pwrite(f, b'x' * 9000, 0)\nos.fdatasync(f)\nos.fsync(d)\n"
        self.assertEqual(self.outcomes(program), {b"x" * 9000})

    def test_what_was_not_synced_may_be_lost(self):
        old, new = b"o" * 8192, b"n" * 8192
        found = self.outcomes(OPEN + "os.pwrite(f, b'n' * 8192, 0)\n", before={"f": old})
        self.assertTrue({old, new, old[:4096] + new[4096:], new[:4096] + old[4096:]} <= found)

    def test_sectors_are_whole(self):
        found = self.outcomes(OPEN + "os.pwrite(f, b'n' * 4096, 0)\n", before={"f": b"o" * 4096})
        sectors = {data[at:at + 512] for data in found for at in range(0, 4096, 512)}
        self.assertEqual(sectors, {b"o" * 512, b"n" * 512})
        self.assertGreater(len(found), 2)

    def test_writing_through_makes_only_itself_durable(self):
        program = OPEN + ("s = os.open('f', os.O_RDWR | os.O_DSYNC)\nos.pwrite(f, b'n' * 4096, 4096)\n"
                          "os.pwrite(s, b'n' * 4096, 0)\n")
        found = self.outcomes(program, before={"f": b"o" * 8192})
        self.assertEqual({data[:4096] for data in found}, {b"n" * 4096})
        self.assertIn(b"n" * 4096 + b"o" * 4096, found)

    def test_no_page_is_older_than_its_sync(self):
        program = OPEN + "".join(f"os.pwrite(f, b'{n}' * 4096, 0)\n" for n in range(3)) + "os.fsync(f)\nos.fsync(d)\n" \
            + "os.pwrite(f, b'3' * 4096, 0)\n"
        self.assertEqual({data[:1] for data in self.outcomes(program)} - {b"2", b"3"}, set())

    def test_a_sync_of_one_file_is_none_of_another(self):
        program = OPEN + "g = os.open('g', os.O_RDWR)\nos.pwrite(g, b'n', 0)\nos.fsync(f)\n"
        self.assertEqual(self.outcomes(program, "g", before={"f": b"", "g": b"o"}), {b"o", b"n"})

    def test_names(self):
        made = OPEN + "os.write(f, b'x')\nos.fsync(f)\n"
        self.assertEqual(self.outcomes(made), {b"x", None})
        renamed = OPEN + "os.rename('f', 'g')\n"
        self.assertEqual(self.outcomes(renamed, "g", before={"f": b"f", "g": b"g"}), {b"f", b"g"})
        self.assertEqual(self.outcomes(renamed + "os.fsync(d)\n", "g", before={"f": b"f", "g": b"g"}), {b"f"})
        self.assertEqual(self.outcomes("import os\nos.unlink('f')\n", before={"f": b"f"}), {b"f", None})

    def test_sizes(self):
        found = self.outcomes(OPEN + "os.ftruncate(f, 5000)\n", before={"f": b"abc"})
        self.assertEqual(found, {b"abc", b"abc".ljust(5000, b"\0")})
        found = self.outcomes(OPEN + "os.ftruncate(f, 1)\nos.fsync(f)\n", before={"f": b"abc"})
        self.assertEqual(found, {b"a"})
        found = self.outcomes(OPEN + "os.posix_fallocate(f, 0, 9)\nos.fsync(f)\n", before={"f": b"abc"})
        self.assertEqual(found, {b"abc".ljust(9, b"\0")})

    def test_gathered_and_streaming_writes(self):
        program = OPEN + "os.pwritev(f, [b'ab', b'cd'], 0)\nos.writev(f, [b'xy'])\nos.fsync(f)\n"
        self.assertEqual(self.outcomes(program, before={"f": b""}), {b"xycd"})
        program = "import os\nf = os.open('f', os.O_RDWR | os.O_APPEND)\nos.write(f, b'b')\nos.fsync(f)\n"
        self.assertEqual(self.outcomes(program, before={"f": b"a"}), {b"ab"})

    def test_a_cut(self):
        program = OPEN + "".join(f"os.pwrite(f, b'{n}', {n})\nos.fsync(f)\n" for n in range(9))
        for cut in range(1, 20):
            self.live(program, before={"f": b""}, cut=cut).lose(self.journal)
            data = self.content()["f"]
            self.assertIn(len(data) - (cut - 1) // 3, (0, 1), (cut, data))  # write, written, synced

    def test_a_lying_disk(self):
        self.assertIn(b"o", self.outcomes(OPEN + "os.pwrite(f, b'n', 0)\nos.fsync(f)\n", before={"f": b"o"}, lies=True))

    def test_what_cannot_be_kept_is_said(self):
        for program in (OPEN + "import mmap\nm = mmap.mmap(f, 4096)\nm[0] = 7\n",
                        "import ctypes\nc = ctypes.CDLL(None)\nc.fopen.restype = ctypes.c_void_p\n"
                        "c.fclose(ctypes.c_void_p(c.fopen(b'f', b'w')))\n"):
            with self.assertRaises(image.Fault):
                self.live(program, before={"f": b"o" * 4096}).lose(self.journal)

    def test_writing_past_the_shim_is_found(self):
        past = OPEN + "import ctypes\nctypes.CDLL(None).syscall(18, f, b'new', 3, 0)\n"  # pwrite64
        with self.assertRaises(image.Fault):
            self.live(past, before={"f": b"old"}).lose(self.journal)


if __name__ == "__main__":
    unittest.main()
