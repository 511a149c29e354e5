"""A clock that is set back while the broker is down keeps no session longer (build/chaos, as test_days.py)."""

import os
import pathlib
import shutil
import struct
import subprocess
import tempfile
import time
import urllib.request

from account import METRINO
from harness import OwnBrokerTest, eventually, free_port, own_only

HOUR_S = 3600


@own_only("a clock that can be set")
class SetBack(OwnBrokerTest):
    alone = True  # METRINO_CLOCK is the process's

    def setUp(self):
        super().setUp()
        folder = pathlib.Path(tempfile.mkdtemp(prefix="metrino-clock-"))
        self.addCleanup(shutil.rmtree, folder, True)
        folder.chmod(0o755)
        self.clock = folder / "clock"
        self.clock.write_bytes(bytes(16))
        self.clock.chmod(0o644)
        os.environ["METRINO_CLOCK"] = str(self.clock)
        self.addCleanup(os.environ.pop, "METRINO_CLOCK")
        self.boot_s = self.wall_s = 0
        self.admin = free_port()
        self.broker.config = f"admin_listener {self.admin}\nmax_keepalive unlimited\n"

    def set_clock(self, boot_s, wall_s):
        self.boot_s, self.wall_s = self.boot_s + boot_s, self.wall_s + wall_s
        with open(self.clock, "r+b") as file:  # it is mapped: never shorter
            file.write(struct.pack("<qq", self.boot_s * 1000, self.wall_s * 1000))

    def renewed(self):
        """The envelope key is that of this hour."""
        text = urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=5).read().decode()
        last, = (int(line.split()[-1]) for line in text.splitlines() if line.startswith('metrino_job_last_run') and '"envelope"' in line)
        return last >= (time.time() + self.wall_s) // HOUR_S * HOUR_S

    def pass_hours(self, count):
        for _ in range(count):
            self.set_clock(HOUR_S, HOUR_S)
            eventually(self.renewed, timeout=20, what="the job of this hour")

    def clients(self):
        done = subprocess.run([METRINO, "clients", "list", "--json", "--data", str(self.broker.data)], capture_output=True,
                              text=True, timeout=30, check=True)
        return "away" in done.stdout

    def test_session_ends_in_time(self):
        self.broker.start()
        self.client("away", properties=[("session_expiry_interval", 4 * HOUR_S)]).disconnect()
        self.pass_hours(3)
        self.assertTrue(self.clients())
        self.assertEqual(self.broker.stop(), 0)
        self.set_clock(0, -30 * HOUR_S)
        self.broker.start()
        self.assertIn("the clock says less than it did", self.broker.log())
        self.assertTrue(self.clients())
        self.set_clock(2 * HOUR_S, 2 * HOUR_S)  # two to three had passed, as its keys know
        eventually(lambda: not self.clients(), what="the end of the session")
