"""What can be read from the raw bytes of a data directory: of the image of a file system of its own, where the machine lets us
mount one; else of the files themselves.

CARVE  the program that reads them (build/carve)
"""

import base64
import contextlib
import json
import os
import subprocess

from harness import ROOT

CARVE = os.environ.get("CARVE") or str(ROOT / "build" / "carve")
IMAGE_BYTES = 64 << 20


class Image:
    """A folder on an ext4 image of its own, where that is possible."""

    def __init__(self, folder):
        self.folder, self.file, self.mounted = folder, folder / "image", False
        self.root = folder / "root"
        self.root.mkdir()
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            with open(self.file, "wb") as file:
                file.truncate(IMAGE_BYTES)
            subprocess.run(["mkfs.ext4", "-q", "-F", "-b", "4096", str(self.file)], check=True, capture_output=True)
            subprocess.run(["mount", "-o", "loop", str(self.file), str(self.root)], check=True, capture_output=True)
            self.mounted = True
            (self.root / "lost+found").rmdir()

    def parts(self):
        os.sync()
        return [self.file] if self.mounted else [path for path in (self.root / "data").rglob("*") if path.is_file()]

    def finish(self):
        if self.mounted:
            subprocess.run(["umount", str(self.root)], check=False)


def hidden(canary):
    """The forms in which it may not be on the disk."""
    return [canary, canary.hex().encode(), base64.b64encode(canary).rstrip(b"=")[:-1]]


def what(line):
    """Of carve's output."""
    return f"key {line['key']}" if "key" in line else f"row {line['row']}"


def carve(parts):
    """The lines of tests/privacy/carve.c."""
    done = subprocess.run([CARVE, *map(str, parts)], capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        raise AssertionError(done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines()]


def holds(parts, forms):
    """Those of the forms that are somewhere."""
    return [form for part in parts for content in [part.read_bytes()] for form in forms if form in content]
