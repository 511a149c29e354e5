"""`metrino privacy verify`: passes on a healthy broker, and finds each fault that is planted from outside."""

import base64
import hashlib
import json
import os
import pathlib
import shutil
import socket
import struct
import sys
import tempfile
import time

from harness import OwnBrokerTest, free_port, own_only, tool
import pki
from test_audit import METRINO, run
from test_audit_hours import HOUR_S, ClockTest
from test_faults import behind

not_under = ("tsan",)

DATA = "no payload, topic or client id in the data directory"
OPEN = "nor in any other file that the broker has open"
SWAP = "memory is out of reach of swap"
CORE = "no core dump can be written"
OUT = "no outbound connection but configured ones"
MODES = "only the broker reads its data directory"
KEYS = "no key lives longer than its class allows"
WHOLE = "the audit log is whole"
HOURLY = "the audit log is written each hour"
ENDED = "every key ended in time"
JOBS = "every job was done in time"
ARRIVE = "messages of every kind arrive"
WORD = "canary-7c1f0a99"


class VerifyTest(OwnBrokerTest):
    abstract = True
    workers = 2

    def setUp(self):
        if os.geteuid() != 0:
            self.skipTest("not possible here: of a process that may not be dumped only root sees open files and sockets")
        super().setUp()

    def verify(self, *words):
        """Gives what was found, by promise; None: it is kept."""
        done = run(METRINO, "privacy", "verify", "--data", self.broker.data, "-p", self.broker.port, "--canary", WORD,
                   "--json", *words)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertTrue(lines, done.stderr)
        found = {line["promise"]: line.get("why") for line in lines}
        if all(line["kept"] for line in lines) == (done.returncode == 1) and len(lines) == len(found):
            self.fail(f"exit status {done.returncode} does not fit")
        return found

    def found(self, promise, phrase, *words):
        why = self.verify(*words)[promise]
        self.assertIsNotNone(why, f"not found: {promise}")
        self.assertIn(phrase, why)


@own_only("promises")
class Healthy(VerifyTest):
    abstract = False

    def test_healthy(self):
        self.broker.start()
        for _ in range(2):
            self.assertEqual({promise: why for promise, why in self.verify().items() if why}, {})

    def test_every_way_in(self):
        """Over TLS, WebSocket and both; with a port at which nobody answers in that way it is found to be missing."""
        home = pathlib.Path(tempfile.mkdtemp(prefix="metrino-pki-"))
        self.addCleanup(shutil.rmtree, home, ignore_errors=True)
        os.chmod(home, 0o755)
        authority = pki.Authority(home)
        certificate, key = authority.server()
        tls, ws, wss = free_port(), free_port(), free_port()
        files = f"certfile {certificate}\nkeyfile {key}"
        self.broker.config = "\n".join([f"listener {tls} 127.0.0.1", files, f"listener {ws} 127.0.0.1", "protocol websockets",
                                        f"listener {wss} 127.0.0.1", files, "protocol websockets"])
        self.broker.start()
        ca = ("--cafile", authority.certificate)
        self.assertIsNone(self.verify("--tls-port", tls, "--ws-port", ws, "--wss-port", wss, *ca)[ARRIVE])
        self.found(ARRIVE, "over WebSocket: ", "--ws-port", tls)
        self.found(ARRIVE, "over WebSocket and TLS: ", "--wss-port", ws, *ca)

    def test_table(self):
        self.broker.start()
        done = run(METRINO, "privacy", "verify", "--data", self.broker.data, "-p", self.broker.port)
        self.assertIn(b"pass  the audit log is whole", done.stdout)
        self.assertIn(b"needs --data", run(METRINO, "privacy", "verify").stderr)
        for word in ("", "canary", "canary/#", "c" * 65, "c" * 300):
            done = run(METRINO, "privacy", "verify", "--data", self.broker.data, "-p", self.broker.port, "--canary", word)
            self.assertIn(b"--canary needs 8 to 64 letters", done.stderr)
        self.assertIn(b"Error", run(METRINO, "privacy", "verify", "--data", "/nowhere").stderr)


@own_only("promises")
class Faults(VerifyTest):
    """Each is planted beside a broker that runs and knows nothing of it."""

    abstract = False

    def setUp(self):
        super().setUp()
        self.log = self.broker.data / "log"

    def proc(self, **files):
        """A proc that tells something else of the broker, as on a machine of that kind; what lies beside it, too."""
        pid = self.pid()
        beside = pathlib.Path(tempfile.mkdtemp(prefix="metrino-proc-"))
        self.addCleanup(shutil.rmtree, beside, ignore_errors=True)
        root = beside / "proc"
        (root / str(pid)).mkdir(parents=True)
        for entry in pathlib.Path(f"/proc/{pid}").iterdir():
            if entry.name not in files:
                (root / str(pid) / entry.name).symlink_to(entry)
        (root / "swaps").write_text(files.pop("swaps", pathlib.Path("/proc/swaps").read_text()))
        (root / "sys/kernel").mkdir(parents=True)
        (root / "sys/kernel/core_pattern").write_text(files.pop("core_pattern", "core"))
        for name, text in files.items():
            (root / str(pid) / name).write_text(text)
        return ("--proc", root)

    def pid(self):
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(str(self.broker.data / "control.sock"))
            return struct.unpack("3i", control.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]

    def own(self, path):
        owner = self.broker.data.stat()
        os.chown(path, owner.st_uid, owner.st_gid)

    def test_a_record_that_is_not_sealed(self):
        """A page behind the others of data.mdb, as a record in clear would leave it."""
        self.broker.start()
        with open(self.log / "audit.jsonl.before", "wb") as file:
            file.write(b"\0" * 4000 + f"{WORD}-receiver".encode() + b"\0" * 100)
        self.found(DATA, "audit.jsonl.before holds a canary as it is")

    def test_payload_in_other_forms(self):
        self.broker.start()
        payload = f"{WORD}-payload-qos1".encode()
        place = self.log / "tile" / "left"
        for data, form in ((payload.hex().encode(), "in hexadecimal"), (base64.b64encode(b"x" + payload), "in base64"),
                           (base64.b64encode(b"xy" + payload + b"z"), "in base64"),
                           (hashlib.sha256(payload).digest(), "as SHA-256"),
                           (hashlib.sha256(payload).hexdigest().encode(), "as SHA-256 in hexadecimal")):
            place.write_bytes(b"." * 65530 + data)
            self.found(DATA, f"left holds a canary {form}")
        place.unlink()

    def test_a_large_file(self):
        """As data.mdb is: its first pages are written again."""
        self.broker.start()
        with open(self.log / "tile" / "left", "wb") as file:
            file.write(b"." * 4097 + f"{WORD}/qos1".encode())
            file.truncate(260 << 20)
        self.found(DATA, "left holds a canary as it is")

    def test_what_is_not_looked_at(self):
        self.broker.start()
        (self.log / "elsewhere").symlink_to("/usr")
        self.found(DATA, "elsewhere was not searched")

    def test_beside_the_data_directory(self):
        """The name of a log begins like the data directory; and a file that was removed and is still open."""
        beside = pathlib.Path(f"{self.broker.data}.log")
        inside = self.broker.data / "audit.seen.new"
        self.addCleanup(beside.unlink)
        beside.write_text(f"client {WORD}-sender connected\n")
        behind(self.broker, "sh", "-c", f'exec 7<{beside} 8<{inside}; rm {inside}; exec "$@"', "sh")
        self.broker.data.mkdir(mode=0o700, exist_ok=True)
        self.own(beside)
        inside.write_text(f"PUBLISH to {WORD}/qos0\n")
        self.own(inside)
        self.broker.start()
        self.found(OPEN, f"{beside} holds a canary as it is")
        self.found(OPEN, "audit.seen.new (deleted) holds a canary as it is")

    def test_a_debug_log_of_topics(self):
        debug = self.broker.root / "debug.log"
        debug.write_text("")
        debug.chmod(0o666)
        behind(self.broker, "sh", "-c", f'exec "$@" 7>>{debug}', "sh")
        self.broker.start()
        self.assertEqual(os.readlink(f"/proc/{self.pid()}/fd/7"), str(debug))
        debug.write_text(f"PUBLISH to {WORD}/qos0 from somebody\n")
        self.found(OPEN, "debug.log holds a canary as it is")

    def test_a_log_of_client_ids(self):
        """log_dest is a file: what stands in it is looked at."""
        folder = pathlib.Path(tempfile.mkdtemp(prefix="metrino-log-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o777)
        self.broker.config = f"log_dest file {folder}/broker.log"
        self.broker.start()
        self.assertIsNone(self.verify()[OPEN])
        with open(folder / "broker.log", "a", encoding="ascii") as file:
            file.write(f"client {WORD}-sender connected\n")
        self.found(OPEN, "broker.log holds a canary as it is")

    def test_swap(self):
        """Locked room that nothing was written to, as payload memory has, does not stand for memory that is not locked."""
        self.broker.start()
        own = pathlib.Path(f"/proc/{self.pid()}")
        status = (own / "status").read_text()
        smaps = (own / "smaps").read_text().replace(" lo", "").replace("VmFlags: rd", "VmFlags: lo rd", 1)
        swaps = "Filename Type Size Used Priority\n/dev/sda2 partition 1000000 0 -2\n"
        many = "\n".join("VmLck:\t 99999999 kB" if line.startswith("VmLck") else line for line in status.split("\n"))
        self.found(SWAP, "kB are not locked", *self.proc(swaps=swaps, smaps=smaps, status=many))
        locked = smaps.replace("VmFlags:", "VmFlags: lo")
        self.assertIsNone(self.verify(*self.proc(swaps=swaps, smaps=locked))[SWAP])
        swapped = "\n".join("VmSwap:\t 12 kB" if line.startswith("VmSwap") else line for line in status.split("\n"))
        self.found(SWAP, "12 kB of its memory are in swap", *self.proc(status=swapped))

    def test_no_swap_for_the_group(self):
        self.broker.start()
        smaps = pathlib.Path(f"/proc/{self.pid()}/smaps").read_text().replace(" lo", "")
        swaps = "Filename Type Size Used Priority\n/dev/sda2 partition 1000000 0 -2\n"
        words = self.proc(swaps=swaps, smaps=smaps, cgroup="1:name=x:/other\n0::/units/broker\n")
        group = words[1].parent / "sys/fs/cgroup/units"
        (group / "broker").mkdir(parents=True)
        (group / "broker/memory.swap.max").write_text("max\n")
        self.found(SWAP, "kB are not locked", *words)
        (group / "memory.swap.max").write_text("0\n")
        self.assertIsNone(self.verify(*words)[SWAP])

    def test_core(self):
        self.broker.start()
        limits = pathlib.Path(f"/proc/{self.pid()}/limits").read_text()
        lines = ["Max core file size        unlimited            unlimited            bytes"
                 if line.startswith("Max core") else line for line in limits.split("\n")]
        self.found(CORE, "may be written", *self.proc(limits="\n".join(lines)))
        words = self.proc(core_pattern="|/usr/lib/collect %p")
        self.assertIsNone(self.verify(*words)[CORE])
        os.chown(words[1] / str(self.pid()), self.broker.data.stat().st_uid, -1)
        self.found(CORE, "a core dump goes to a program", *words)

    def test_a_datagram_from_a_port_of_a_listener(self):
        child = f"import os, socket, sys; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('127.0.0.1', {self.broker.port})); " \
                "s.connect(('127.0.0.1', 9)); os.dup2(s.fileno(), 8); os.execv(sys.argv[1], sys.argv[1:])"
        behind(self.broker, sys.executable, "-c", child)
        self.broker.start()
        self.found(OUT, "a connection to 127.0.0.1:9;")

    def test_connections_that_cannot_be_seen(self):
        self.broker.start()
        words = self.proc(net="no folder")
        self.found(OUT, "cannot be read", *words)

    def test_files_that_others_may_read(self):
        self.broker.start()
        (self.broker.data / "keys.slots").chmod(0o644)
        found = self.verify()
        self.assertIn("keys.slots: others may read it (mode 0644)", found[MODES])
        self.assertIn("keys.slots: others may read it (mode 0644)", found[KEYS])
        (self.broker.data / "keys.slots").chmod(0o600)
        self.broker.data.chmod(0o755)
        self.found(MODES, "others may enter it")
        self.broker.data.chmod(0o700)
        for name, promise in (("lock.mdb", MODES), ("keys.slots", KEYS)):
            os.chown(self.broker.data / name, 4242, -1)
            self.found(promise, f"{name}: belongs to user 4242")
            self.own(self.broker.data / name)
        (self.broker.data / "copy.mdb").write_text("")
        self.found(MODES, "copy.mdb: is not the broker's")

    def slot(self, number, key_class, epoch):
        """A key in clear (storage/keys/slot.h)."""
        head = b"metrkey1" + struct.pack(">HBBIQQ", number, 1, key_class, 0, epoch, 99) + os.urandom(72)
        block = head + struct.pack(">I", crc32c(head)) + os.urandom(4096 - len(head) - 4)
        with open(self.broker.data / "keys.slots", "r+b") as file:
            file.seek(4096 * number)
            file.write(block)

    def test_a_key_that_lives_too_long(self):
        """An envelope key of yesterday, as one that records would be sealed under for ever; and a day's of last year."""
        self.broker.start()
        hours = int(time.time()) // HOUR_S
        self.slot(250, 2, hours)
        self.assertIsNone(self.verify()[KEYS])
        self.slot(250, 2, hours - 24)
        self.found(KEYS, f"the envelope key of epoch {hours - 24} should have been destroyed")
        self.slot(250, 3, (hours - 49) * 60)
        self.found(KEYS, f"the auth-day key of epoch {(hours - 49) * 60} should have been")
        self.slot(250, 3, hours // 24 - 300)
        self.found(KEYS, "the auth-day key of epoch")
        self.slot(250, 1, 0)
        self.found(KEYS, "has 2 root keys")

    def test_slots_that_cannot_be_read(self):
        self.broker.start()
        os.truncate(self.broker.data / "keys.slots", 255 * 4096)
        self.found(KEYS, "slot 255 of keys.slots cannot be read")

    def test_an_outbound_connection(self):
        with socket.socket() as elsewhere:
            elsewhere.bind(("127.0.0.1", 0))
            elsewhere.listen()
            port = elsewhere.getsockname()[1]
            behind(self.broker, tool("bash"), "-c", f'exec 8<>/dev/tcp/127.0.0.1/{port}; exec "$@"', "bash")
            self.broker.start()
            self.assertTrue(os.path.exists(f"/proc/{self.pid()}/fd/8"), "the broker has not inherited the connection")
            self.found(OUT, f"a connection to 127.0.0.1:{port}")
            self.assertIsNone(self.verify("--allow", f"127.0.0.1:{port}")[OUT])

    def test_an_entry_that_was_changed(self):
        self.broker.start()
        path = max((self.log / "tile/entries/000.p").iterdir(), key=lambda each: int(each.name))
        right = path.read_bytes()
        path.write_bytes(right.replace(b'"ip_logging":"none"', b'"ip_logging":"full"'))
        self.found(WHOLE, "entry 1")
        path.write_bytes(right)
        self.assertIsNone(self.verify()[WHOLE])

    def test_messages_that_do_not_arrive(self):
        self.broker.start()
        done = run(METRINO, "privacy", "verify", "--data", self.broker.data, "-p", free_port(), "--json")
        found = {line["promise"]: line for line in map(json.loads, done.stdout.splitlines())}
        self.assertFalse(found[ARRIVE]["kept"])
        self.assertEqual(done.returncode, 1)

    def test_nothing_stays_when_it_fails(self):
        """TLS is asked for where there is none: by then a message is retained, and a session lasts."""
        self.broker.start()
        self.found(ARRIVE, "over TLS", "--tls-port", self.broker.port)
        client = self.client("looks")
        client.subscribe(f"{WORD}/#", 1)
        client.publish(f"{WORD}/end", b"", 1)
        self.assertEqual(client.message().topic, f"{WORD}/end")
        self.assertNotIn(WORD, run(METRINO, "clients", "list", "--data", self.broker.data).stdout.decode())

    def test_a_client_that_is_refused(self):
        self.broker.config = "allow_anonymous false"
        self.broker.start()
        self.found(ARRIVE, "refuses a client: Not authorized; -u NAME")


@own_only("promises")
class Hours(ClockTest, VerifyTest):
    """What time brings to light."""

    abstract = False

    def test_late(self):
        """The clock goes on by five hours: the job is late, and says so."""
        self.start()
        self.assertIsNone(self.verify()[JOBS])
        self.await_hour(5)
        self.to_hour(0, int(time.time()) % HOUR_S)
        self.assertIsNotNone(self.verify()[JOBS])

    def test_a_log_that_stands_still(self):
        """It was written an hour back, as the clock says now: three hours without an entry."""
        self.start()
        self.assertEqual(self.broker.stop(), 0)
        with open(self.file, "r+b") as file:
            file.write(struct.pack("q", -5 * HOUR_S))
        self.broker.start()
        self.found(HOURLY, "hours old")


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
