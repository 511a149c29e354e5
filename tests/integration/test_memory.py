"""Payload in the memory of the broker: gone once it was delivered, out of reach of swap, dumps and children before."""

import os
import pathlib
import re
import subprocess
import sys
import time
import unittest

from harness import COMMAND, BrokerTest, OwnBrokerTest, eventually, for_workers, free_port, own_only, preload, tool
from test_faults import behind
from test_household import get, metric
import wire

SANITIZED = any(f"/{variant}/" in word for word in COMMAND for variant in ("asan", "tsan"))
MIB = 1 << 20
MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+ *(.*)")
SIZES = (16, 64, 300, 1000, 5000, 40000, 70000, 300000, 5 * MIB)


def mappings(pid):
    """(from, to, name, flags) of what is mapped, readable and not empty."""
    found, flags = [], None
    for line in pathlib.Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if head := MAPPING.fullmatch(line):
            start, end, rights, name = head.groups()
            resident = 0
        elif line.startswith("Rss:"):
            resident = int(line.split()[1])
        elif line.startswith("VmFlags:"):
            flags = line.split()[1:]
            if resident and "r" in rights and name not in ("[vvar]", "[vsyscall]", "[vdso]"):
                found.append((int(start, 16), int(end, 16), name, flags))
    return found


def search(pid, token):
    """(address, name, flags) of every place in memory that holds the token."""
    places = []
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for start, end, name, flags in mappings(pid):
            for at in range(start, end, MIB):
                try:
                    memory.seek(at)
                    content = memory.read(min(MIB + len(token) - 1, end - at))
                except OSError:  # a page behind the end of a file
                    continue
                places += [(hex(at + match.start()), name, flags)
                           for match in re.finditer(re.escape(token), content)][:20]
    return places


def filled(token, size):
    """The token over and over: whatever 16 bytes are left behind, they hold it."""
    return (token * (size // len(token) + 1))[:size]


@own_only("mosquitto keeps payload where malloc puts it")
@unittest.skipIf(SANITIZED, "not possible here: a sanitizer has the heap for itself")
@unittest.skipIf(os.geteuid() != 0, "not possible here: only root may read the broker's memory")
class MemoryTest(BrokerTest):
    abstract = True
    config = "max_packet_size 16777216\nack_when accepted"

    def setUp(self):
        self.token = os.urandom(8)

    def places(self):
        return search(self.broker.process.pid, self.token)

    def gone(self):
        """Nothing is left. Blocks that another worker gave back are wiped already."""
        end = time.monotonic() + 5
        while (places := self.places()) and time.monotonic() < end:
            time.sleep(0.1)
        self.assertEqual(places, [])

    def protected(self):
        """It is there, and nowhere but in payload memory."""
        places = self.places()
        self.assertNotEqual(places, [])
        for at, name, flags in places:
            self.assertEqual({"dd", "wf"} & set(flags), {"dd", "wf"}, f"{at} {name} {flags}")


@for_workers(1, 2)
class Canaries(MemoryTest):
    def test_search_sees(self):
        """The search finds what is there: in a process that keeps it in its heap."""
        words = f"import sys; kept = bytes.fromhex('{self.token.hex()}') * 99; print(flush=True); sys.stdin.read()"
        with subprocess.Popen([sys.executable, "-c", words], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
            other.stdout.readline()
            self.assertNotEqual(search(other.pid, self.token), [])
            other.stdin.close()

    def test_delivered(self):
        for version in (4, 5):
            for qos in (0, 1, 2):
                topic = self.name()
                subscribers = [self.client(version=v) for v in (4, 5, 5)]
                for subscriber in subscribers:
                    subscriber.subscribe(topic, qos)
                publisher = self.client(version=version)
                for size in SIZES:
                    publisher.publish(topic, filled(self.token, size), qos)
                    for subscriber in subscribers:
                        self.assertEqual(len(subscriber.message().payload), size)
                self.gone()

    def test_properties(self):
        topic = self.name()
        subscriber, publisher = self.client(), self.client()
        subscriber.subscribe(topic, 1)
        for extra in ([], [("message_expiry_interval", 60)], [("topic_alias", 1)]):
            publisher.publish(topic, filled(self.token, 99), 1,
                              properties=[("correlation_data", filled(self.token, 500)), *extra])
            subscriber.message()
            self.gone()

    def test_in_pieces(self):
        """A packet that comes slowly is kept meanwhile."""
        topic = self.name()
        subscriber, publisher = self.client(), self.client()
        subscriber.subscribe(topic, 0)
        for size in (1000, 200000):
            packet = wire.publish(topic, filled(self.token, size))
            for at in range(0, len(packet), len(packet) // 5):
                publisher.send(packet[at:at + len(packet) // 5])
                time.sleep(0.02)
            subscriber.message()
            self.gone()

    def test_behind_connect(self):
        """CONNECT with a will and PUBLISH in one write: with several workers some of these move."""
        topic = self.name()
        subscriber = self.client()
        subscriber.subscribe(topic, 1)
        for _ in range(8):
            client = self.client(greet=False)
            will = wire.Will(topic, filled(self.token, 3000), 1, properties=[
                ("correlation_data", filled(self.token, 300)), ("message_expiry_interval", 60)])
            client.send(wire.connect(self.name("c"), will=will) + wire.publish(topic, filled(self.token, 2000), 1, 7))
            client.expect(wire.CONNACK)
            client.expect(wire.PUBACK)
            client.cut()
            self.assertEqual(sorted(len(message.payload) for message in subscriber.messages(2)), [2000, 3000])
        self.gone()

    def test_refused(self):
        """What is not taken is not kept either."""
        publisher = self.client()
        publisher.send(wire.publish("#", filled(self.token, 3000)))
        publisher.ended()
        big = self.client()
        big.send(wire.publish(self.name(), filled(self.token, 17 * MIB))[:200000])
        big.ended()
        cut = self.client()
        cut.send(wire.publish(self.name(), filled(self.token, 9000))[:5000])
        cut.cut()
        self.gone()

    def test_waits(self):
        """Queued for a session that is away, then delivered."""
        topic, name = self.name(), self.name("c")
        self.client(name, properties=[("session_expiry_interval", 60)]).subscribe(topic, 1)
        eventually(lambda: self.client(name, clean=False, properties=[("session_expiry_interval", 60)])).disconnect()
        publisher = self.client()
        for size in SIZES:
            publisher.publish(topic, filled(self.token, size), 1)
        self.protected()
        back = self.client(name, clean=False, properties=[("session_expiry_interval", 60)])
        back.messages(len(SIZES))
        back.ping()
        self.gone()

    def test_retained(self):
        publisher, topics = self.client(), [self.name() for _ in SIZES]
        for topic, size in zip(topics, SIZES):
            publisher.publish(topic, filled(self.token, size), 1, retain=True)
        self.protected()
        reader = self.client()
        reader.subscribe([(topic, 1) for topic in topics])
        reader.messages(len(topics))
        reader.ping()
        self.protected()
        for topic in topics:
            publisher.publish(topic, b"", 1, retain=True)
        self.gone()

    def test_will_waits(self):
        topic = self.name()
        client = self.client(will=wire.Will(topic, filled(self.token, 4000), 1))
        client.ping()
        self.protected()
        client.disconnect()
        self.gone()


NO_SWAP = "Filename\tType\tSize\tUsed\tPriority\n"
SWAP = NO_SWAP + "/dev/sda2 partition\t999\t0\t-2\n"


@own_only("memory_protection")
@unittest.skipIf(os.geteuid() != 0, "not possible here: only root may say that there is swap")
class Protection(OwnBrokerTest):
    LIMIT = 8 * MIB
    UNLIMITED = [tool("prlimit"), "--memlock=unlimited:unlimited"]

    def truly_locks(self):
        """Else it can only seem so: root may not raise its limits everywhere."""
        return subprocess.run([*self.UNLIMITED, "true"], capture_output=True, check=False).returncode == 0

    def start(self, swaps, config="", locks=False):
        """A broker with another /proc/swaps that the limit of locks holds, or that sees none."""
        file = self.broker.root / "swaps"
        file.write_text(swaps)
        probe = f"mount --bind {file} /proc/swaps"
        words = ["unshare", "-m", "--propagation", "private", "sh", "-c", f'{probe} && exec "$0" "$@"']
        if subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
            self.skipTest("not possible here: no mount namespace")
        if locks and self.truly_locks():
            words += self.UNLIMITED
        elif locks:
            words += [tool("env"), f"LD_PRELOAD={preload('locks')}"]
        else:
            words += [tool("prlimit"), f"--memlock={self.LIMIT}:{self.LIMIT}", tool("setpriv"), "--bounding-set=-ipc_lock"]
        behind(self.broker, *words)
        self.admin = free_port()
        self.broker.config = f"admin_listener {self.admin}\n{config}"

    def numbers(self):
        text = get(self.admin, "/metrics")[1]
        return [metric(text, f"metrino_payload_memory_{name}") for name in ("bytes", "locked_bytes", "protected")]

    def hold(self, amount):
        client = self.client()
        for i in range(amount // MIB):
            client.publish(f"held/{i}", bytes(MIB - 1000), 1, retain=True)

    def test_wanted(self):
        self.start(SWAP)
        self.broker.start()
        self.assertEqual(self.broker.log().count("payload may be swapped to a disk"), 1)
        self.assertIn("only 8192 kB may be locked", self.broker.log())
        if SANITIZED:
            return
        used, locked, protected = self.numbers()
        self.assertEqual((locked, protected), (used, 1))  # there is little of it yet
        self.hold(20 * MIB)
        used, locked, protected = self.numbers()
        self.assertGreaterEqual(used, 20 * MIB - 20000)
        self.assertLessEqual(locked, self.LIMIT)
        self.assertGreaterEqual(locked, self.LIMIT // 2)  # large blocks do not fill a region
        self.assertEqual(protected, 0)

    def test_required(self):
        self.start(SWAP, "memory_protection required")
        self.broker.write_config()
        code, words = self.broker.run_to_end()
        self.assertEqual(code, 1)
        self.assertIn("memory_protection required: payload may be swapped to a disk", words)
        self.assertIn("LimitMEMLOCK=infinity", words)

    def test_required_without_swap(self):
        self.start(NO_SWAP, "memory_protection required")
        self.broker.start()
        self.assertIn("there is none for us", self.broker.log())
        if SANITIZED:
            return
        self.hold(20 * MIB)
        used, locked, protected = self.numbers()
        self.assertLess(locked, used)
        self.assertEqual(protected, 1)

    @unittest.skipIf(SANITIZED, "not possible here: sanitizers make mlockall do nothing")
    def test_required_with_locks(self):
        """Without a limit everything is locked, threads and all, and only as it is used."""
        self.start(SWAP, "memory_protection required\nworkers 4", locks=True)
        self.broker.start()
        self.assertNotIn("payload", self.broker.log())
        self.hold(20 * MIB)
        used, locked, protected = self.numbers()
        self.assertEqual((locked, protected), (used, 1))
        status = pathlib.Path(f"/proc/{self.broker.process.pid}/status").read_text()
        locked_kb, resident_kb = (int(re.search(rf"{name}:\s+(\d+) kB", status).group(1)) for name in ("VmLck", "VmRSS"))
        if self.truly_locks():
            self.assertGreater(locked_kb, 20 * 1024)
        self.assertLess(resident_kb, 100 * 1024)

    def test_reload_needs_a_restart(self):
        self.start(NO_SWAP)
        self.broker.start()
        self.broker.config += "\nmemory_protection required"
        self.broker.write_config()
        self.broker.signal(1)
        eventually(lambda: "memory_protection: a change needs a restart" in self.broker.log())
