"""The broker that is killed: always on the same port and the same data directory."""

import os
import pathlib
import shlex
import shutil
import socket
import subprocess
import tempfile
import time

import disk
import harness
import image

READY_TIMEOUT_S = 20
WRITING = ",".join(("write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,sendmmsg,mmap", *disk.BLIND))

# What every broker here is configured with. A limit must not be what loses a message.
CONFIG = {
    "metrino": ["max_queued_messages unlimited", "max_queued_bytes unlimited"],
    "mosquitto": ["user root" if os.geteuid() == 0 else "", "max_queued_messages 0"],
}


SHIM = harness.ROOT / "build" / "power.so"


class Failure(Exception):
    """The broker did something that no kill explains."""


def traced(words, output):
    """The same command under strace. -D: the program, and not strace, is our child."""
    return ["strace", "-D", "-f", "-yy", "-s", "65536", "-e", f"trace={WRITING}", "-o", str(output), *words]


class Broker:
    """`command` may hold {config}, {port} and {data}; without {config}, `-c FILE` is appended."""

    def __init__(self, command, kind="metrino", config=(), strace=False, power=None):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="metrino-chaos-"))
        self.root.chmod(0o755)  # the broker's user comes by
        self.data, self.log_path = self.root / "data", self.root / "stderr"
        self.data.mkdir(mode=0o700)
        self.port = harness.free_port()
        lines = [f"listener {self.port} 127.0.0.1", "allow_anonymous true", f"persistence_location {self.data}/"]
        conf = self.root / "broker.conf"
        conf.write_text("\n".join([*lines, *CONFIG[kind], *config]) + "\n")
        words = shlex.split(command)
        if "/" in words[0]:
            words[0] = os.path.abspath(words[0])
        values = {"config": conf, "port": self.port, "data": self.data}
        if "{config}" not in command:
            words += ["-c", "{config}"]
        self.words = [word.format(**values) for word in words]
        self.strace = strace
        self.disk = image.Disk(self.data, power) if power else None  # `power`: the chances of what a loss leaves
        self.journal = self.root / "journal"
        self.process, self.starts, self.began = None, 0, 0.0

    def start(self, cut=0, lies=False, **environment):
        """Does not wait: see ready(). `cut`, `lies`: tests/power/shim.c."""
        if self.disk:
            environment.update(self.disk.environment(SHIM, self.journal, cut, lies))
        words = self.words
        if self.strace:
            words = traced(words, self.root / f"strace.{self.starts}")
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.root,
                                            env=dict(os.environ, **environment))
        self.starts += 1
        self.began = time.monotonic()

    def running(self):
        return self.process is not None and self.process.poll() is None

    def ready(self):
        """Waits until the port accepts."""
        while time.monotonic() < self.began + READY_TIMEOUT_S:
            if not self.running():
                raise Failure(f"the broker ended with {self.process.returncode} at start:\n{self.tail()}")
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.005)
        raise Failure(f"the broker does not listen after {READY_TIMEOUT_S} s:\n{self.tail()}")

    def kill(self):
        self.process.kill()
        self.process.wait(10)
        if self.disk:
            try:
                self.disk.lose(self.journal)
            except image.Fault as fault:
                raise Failure(f"the shim cannot answer for the disk: {fault}") from None

    def tail(self):
        return self.log_path.read_text(errors="replace")[-2000:] if self.log_path.exists() else ""

    def traces(self):
        return sorted(self.root.glob("strace.*"))

    def finish(self, keep=False):
        if self.running():
            self.process.kill()
            self.process.wait(10)
        if not keep:
            shutil.rmtree(self.root, ignore_errors=True)
