"""What the broker gives up before it serves, and what it does when somebody has got hold of it."""

import collections
import ctypes
import os
import pathlib
import shutil
import signal
import socket
import sys
import tempfile
import unittest

from harness import COMMAND, ROOT, OwnBrokerTest, eventually, free_port, own_only, preload, run_client, tool
from test_faults import behind
from test_household import get, metric
import pki

SCHED_GETATTR = {"x86_64": 315}.get(os.uname().machine, 275)  # the others have one table
SHORT_NS = 500000
SANITIZED = any(f"/{variant}/" in word for word in COMMAND for variant in ("asan", "tsan"))


@own_only("the sandbox")
class Sandbox(OwnBrokerTest):
    def status(self):
        text = pathlib.Path(f"/proc/{self.broker.process.pid}/status").read_text()
        return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)

    def test_what_is_given_up(self):
        admin = free_port()
        self.broker.config = f"admin_listener {admin}"
        self.broker.start()
        status = self.status()
        self.assertEqual([status[f"Cap{which}"].strip("0") for which in ("Inh", "Prm", "Eff", "Amb")], [""] * 4)
        self.assertEqual(status["NoNewPrivs"], "1")
        self.assertNotIn("0", status["Uid"].split())
        if os.geteuid() == 0:
            self.assertEqual(status["CapBnd"].strip("0"), "")
            self.assertEqual(status["Groups"].split(), [status["Gid"].split()[0]])
        text = get(admin, "/metrics")[1]
        self.assertEqual(status["Seccomp"], "0" if SANITIZED else "2")
        self.assertEqual(metric(text, "metrino_sandbox_calls"), 0 if SANITIZED else 1)
        # Where the kernel has no Landlock that is said.
        self.assertEqual(metric(text, "metrino_sandbox_files") == 0, "no Landlock" in self.broker.log())

    def test_the_unit_lets_it_start_and_give_up_the_same(self):
        """The filter of our systemd unit: what it forbids, the broker does not need."""
        if SANITIZED:
            self.skipTest("not possible here: sanitizers make calls of their own")
        if not shutil.which("systemd-analyze"):
            self.skipTest("not possible here: no systemd that knows its sets of calls")
        admin = free_port()
        self.broker.config = f"admin_listener {admin}"
        unit = ROOT / "scripts" / "metrinod.service.in"
        behind(self.broker, sys.executable, ROOT / "tests" / "lib" / "unit_filter.py", unit)
        self.broker.start()
        text = get(admin, "/metrics")[1]
        self.assertEqual(metric(text, "metrino_sandbox_calls"), 1)
        self.assertEqual(metric(text, "metrino_sandbox_files") == 0, "no Landlock" in self.broker.log())

    def time_slices(self):
        """Of the broker's threads, by name, in nanoseconds."""
        slices = collections.defaultdict(list)
        for task in pathlib.Path(f"/proc/{self.broker.process.pid}/task").iterdir():
            attr = ctypes.create_string_buffer(56)  # struct sched_attr
            self.assertEqual(ctypes.CDLL(None).syscall(SCHED_GETATTR, int(task.name), attr, 56, 0), 0)
            name = (task / "comm").read_text().split()[0]
            slices[name].append(int.from_bytes(attr.raw[24:32], sys.byteorder))
        return slices

    def test_workers_run_soon_after_they_wake_up(self):
        """Inside the sandbox, and nobody else in the broker asks for it."""
        release = os.uname().release.split(".")
        if (int(release[0]), int(release[1])) < (6, 12):
            self.skipTest("not possible here: Linux before 6.12 has no time slices to ask for")
        self.broker.config = "workers 2"
        self.broker.start()
        eventually(lambda: self.time_slices()["worker"] == [SHORT_NS, SHORT_NS], what="short time slices")
        self.assertEqual([name for name, slices in self.time_slices().items() if SHORT_NS in slices], ["worker"])

    def plant(self, what):
        """A broker that does it at a HUP."""
        path = str(self.broker.root / "notify")
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(sock.close)
        sock.bind(path)
        words = [tool("env"), f"LD_PRELOAD={preload('plant')}", f"PLANT={what}", f"NOTIFY_SOCKET={path}"]
        self.broker.command = lambda *extra: [*words, *type(self.broker).command(self.broker, *extra)]
        self.broker.start()
        self.broker.signal(signal.SIGHUP)

    @unittest.skipIf(SANITIZED, "not possible here: calls are not filtered under sanitizers")
    def test_a_forbidden_call_ends_the_broker(self):
        for what, number in (("program", 59), ("socket", 41)):
            for json in ("", "log_format json"):
                log = self.broker.root / f"log-{what}"
                self.broker.config = f"log_dest file {log}\nlog_dest stderr\n{json}"
                self.plant(what)
                self.assertEqual(self.broker.wait(), -signal.SIGSYS)
                words = f"forbidden system call {number} (sandbox): the broker ends"
                for text in (self.broker.log(), log.read_text()):
                    self.assertIn(f'"event":"sandbox","text":"{words}"' if json else f"sandbox: {words}", text)
                (self.broker.root / "notify").unlink()
        self.assertEqual([path.name for path in self.broker.root.rglob("core*")], [])

    @unittest.skipIf(SANITIZED, "not possible here: sanitizers may read everything")
    def test_a_forbidden_file_stays_closed(self):
        for path, opens in (("/etc/passwd", False), (self.broker.conf, True)):
            self.broker.log_path.unlink(missing_ok=True)
            self.plant(f"file:{path}")
            line = eventually(lambda: [row for row in self.broker.log().splitlines() if row.startswith("planted: ")])[0]
            self.assertEqual(int(line.split()[1]) >= 0, opens, path)
            self.broker.stop()
            (self.broker.root / "notify").unlink()


@own_only("the sandbox")
class Reload(OwnBrokerTest):
    """Files in folders that were not known at the start need a restart, whatever the kernel offers."""

    def hup(self, said):
        before = self.broker.log().count(said)
        self.broker.signal(signal.SIGHUP)
        eventually(lambda: self.broker.log().count(said) > before, what=said)
        self.client().ping()

    def test_files_elsewhere(self):
        here, there = (pathlib.Path(tempfile.mkdtemp(prefix="metrino-pki-")) for _ in range(2))
        for folder in (here, there):
            self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
            self.broker.folders.append(folder)
        authorities = [pki.Authority(folder) for folder in (here, there)]
        pairs = [authority.server() for authority in authorities]
        secure = free_port()

        def use(certificate, key, more=""):
            self.broker.config = f"{more}\nlistener {secure} 127.0.0.1\ncertfile {certificate}\nkeyfile {key}\n"
            self.broker.write_config()
        use(*pairs[0])
        self.broker.start()
        use(*pairs[1])
        self.hup("restart needed")
        self.assertIn("lies outside of the folders that were known at the start: restart needed", self.broker.log())
        self.assertIn("the configuration of before stays in force", self.broker.log())
        # Another name in a folder that is known.
        use(*authorities[0].server("other"))
        self.hup("the configuration was read again")
        use(*pairs[0], more=f"log_dest file {there}/log")
        self.hup("restart needed")
        self.assertFalse((there / "log").exists())
        use(*pairs[0], more=f"include_dir {there}")
        self.hup("restart needed" if SANITIZED else "include_dir")
        self.assertEqual(self.broker.stop(), 0)
        use(*pairs[1])
        self.broker.start()  # and a restart takes it


@own_only("the sandbox")
@unittest.skipIf(os.geteuid() != 0, "not possible here: only root can become another user")
class StartedAsRoot(OwnBrokerTest):
    def refused(self, *words):
        code, said = self.broker.run_to_end()
        self.assertEqual(code, 1, said)
        for each in words:
            self.assertIn(each, said)

    def test_never_as_root(self):
        self.broker.config = "user root"
        self.broker.write_config()
        self.refused("user: root is root, and the broker never serves as root")

    def test_data_below_a_closed_folder(self):
        """As `make run` in root's own folder: the data directory is reached all the same."""
        self.broker.start()
        self.client("kept", properties=[("session_expiry_interval", 100)]).disconnect()
        self.broker.stop()
        self.broker.hand_over = lambda: None
        os.chown(self.broker.root, 0, 0)
        self.broker.root.chmod(0o700)
        self.addCleanup(self.broker.root.chmod, 0o755)
        self.broker.start()
        self.assertTrue(self.client("kept", clean=False, properties=[("session_expiry_interval", 100)])
                        .connack.session_present)
        metrino = os.environ.get("METRINO") or COMMAND[0].removesuffix("d")
        self.assertIn(b"1 connected", run_client([metrino, "clients", "--data", str(self.broker.data)]))
        self.assertEqual(self.broker.stop(), 0)
        self.assertFalse((self.broker.data / "control.sock").exists())

    def test_what_is_not_its_own_is_not_taken(self):
        """A wrong persistence_location must not change whose a folder is."""
        os.chown(self.broker.root, 0, 0)
        os.chown(self.broker.data, 0, 0)
        (self.broker.data / "letter").write_text("dear")
        os.chown(self.broker.data / "letter", 0, 0)
        self.broker.hand_over = lambda: None
        self.broker.write_config()
        self.refused("which is not Metrino's")
        self.assertEqual([self.broker.data.stat().st_uid, (self.broker.data / "letter").stat().st_uid], [0, 0])

    def test_the_log_file_can_be_opened_again(self):
        log = self.broker.root / "metrino.log"
        self.broker.config = f"log_dest file {log}"
        self.broker.start()
        self.broker.hand_over = lambda: None
        self.broker.signal(signal.SIGHUP)
        eventually(lambda: "was read again" in log.read_text(), what="the reload")
