#!/usr/bin/python3
"""Tests of what judges: the checker with faults put into its input, the search for payloads, the libraries' habits."""

import base64
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
import unittest.mock

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "lib"), str(HERE.parent / "power")]
sys.dont_write_bytecode = True

import disk  # noqa: E402
import habits  # noqa: E402
import wire  # noqa: E402
from broker import traced  # noqa: E402
from checker import AWAY, CONNECTED, Checker  # noqa: E402

CANARY = "canary0123456789abcdef"


class Judged(unittest.TestCase):
    """One publisher per QoS, ten acknowledged messages each on two topics; a test changes what the subscriber gets."""

    def setUp(self):
        self.checker = Checker(CANARY)
        self.sent = {}
        for qos in (1, 2):
            name = f"p{qos}"
            self.checker.add_publisher(name, qos)
            self.sent[qos] = []
            for n in range(10):
                topic = f"t/{qos}/{n % 2}"
                number, payload = self.checker.next_message(name, topic)
                self.assertTrue(self.checker.acknowledged(name, number))
                self.sent[qos].append((topic, payload))
        self.checker.add_subscriber("s", CONNECTED)

    def give(self, qos, numbers, subscriber="s"):
        for n in numbers:
            self.checker.delivered(subscriber, *self.sent[qos][n])

    def found(self, qos, kind=CONNECTED):
        row = self.checker.row(qos, kind)
        return row.lost, row.duplicated, row.disordered, row.repeated

    def test_all_is_well(self):
        for qos in (1, 2):
            self.give(qos, range(10))
            self.assertEqual(self.found(qos), (0, 0, 0, 0))
        self.assertTrue(self.checker.complete())
        self.assertEqual(list(self.checker.cells()), [])

    def test_nothing_came(self):
        self.assertEqual(self.found(1), (10, 0, 0, 0))
        self.assertFalse(self.checker.complete())

    def test_one_lost(self):
        for qos, missing in ((1, 0), (2, 9)):
            self.give(qos, [n for n in range(10) if n != missing])
            self.assertEqual(self.found(qos), (1, 0, 0, 0))
        self.assertFalse(self.checker.complete())
        self.assertEqual(list(self.checker.cells()), [("s", "p1", 1, 0, 0), ("s", "p2", 1, 0, 0)])

    def test_not_acknowledged_is_not_owed(self):
        self.checker.next_message("p2", "t/2/0")
        self.give(2, range(10))
        self.assertEqual(self.found(2), (0, 0, 0, 0))

    def test_twice(self):
        for qos, expected in ((1, (0, 0, 0, 2)), (2, (0, 2, 0, 0))):
            self.give(qos, [0, 1, 2, 3, 3, 4, 5, 6, 7, 8, 9, 9])
            self.assertEqual(self.found(qos), expected)

    def test_late(self):
        for qos in (1, 2):
            self.give(qos, [0, 1, 4, 2, 3, 5, 6, 7, 8, 9])  # 2 after 4: the same topic; 3 is of the other
            self.assertEqual(self.found(qos), (0, 0, 1, 0))

    def test_topics_do_not_order_each_other(self):
        self.give(2, [1, 0, 3, 2, 5, 4, 7, 6, 9, 8])
        self.assertEqual(self.found(2), (0, 0, 0, 0))

    def test_a_repetition_may_come_late(self):
        self.give(1, [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
        self.assertEqual(self.found(1), (0, 0, 0, 5))

    def test_each_subscriber_is_owed_each_message(self):
        self.checker.add_subscriber("absent", AWAY)
        self.give(2, range(10))
        self.give(2, range(5), "absent")
        self.assertEqual((self.found(2), self.found(2, AWAY)), ((0, 0, 0, 0), (5, 0, 0, 0)))

    def test_a_lower_granted_qos_counts(self):
        self.checker.add_subscriber("low", AWAY, 1)
        self.give(2, [*range(10), 9], "low")
        self.assertEqual(self.found(2, AWAY), (0, 0, 0, 0))
        self.assertEqual(self.found(1, AWAY), (10, 0, 0, 1))  # and all of p1 is missing there

    def test_a_retained_copy_is_no_delivery(self):
        self.checker.delivered("s", *self.sent[2][0], retained=True)
        self.assertEqual(self.found(2), (10, 0, 0, 0))

    def test_foreign(self):
        topic, payload = self.sent[2][3]
        for words in ((topic, payload[:-1]), (topic, payload + "."), ("t/2/0", payload), (topic, "garbage"),
                      (topic, payload.replace("/3/", "/77/")), (topic, payload.replace("p2", "p9")), (topic, "")):
            before = len(self.checker.foreign)
            self.checker.delivered("s", *words)
            self.assertEqual(len(self.checker.foreign), before + 1, words)
        self.assertEqual(self.found(2)[0], 10)

    def test_an_acknowledgement_of_nothing(self):
        self.assertFalse(self.checker.acknowledged("p1", 3))   # a second one
        self.assertFalse(self.checker.acknowledged("p1", 10))  # never sent


class Payloads(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.file = pathlib.Path(self.folder.name) / "data"

    def forms(self, data):
        self.file.write_bytes(b"\0\xff" * 999 + data + b"tail")
        found, size = disk.secrets_in([self.folder.name], [CANARY])
        self.assertGreater(size, 0)
        return {form.rstrip("+012") for _, form, _ in found}

    def test_clean(self):
        self.assertEqual(self.forms(CANARY[:-1].encode()), set())

    def test_each_disguise(self):
        plain = CANARY.encode()
        for form, data in (("clear", plain), ("hex", plain.hex().encode()), ("HEX", plain.hex().upper().encode()),
                           ("reversed", plain[::-1]), ("utf-16", CANARY.encode("utf-16-le"))):
            self.assertIn(form, self.forms(data))
        for before in (b"", b"x", b"yy", b"zzz"):
            self.assertIn("base64", self.forms(base64.b64encode(before + plain + b"/more")))

    def test_files_and_folders(self):
        self.assertEqual(self.forms(b"t/opic"), set())
        found, size = disk.secrets_in([self.file, self.folder.name], [CANARY, "t/opic"])
        self.assertEqual([(name, form) for name, form, _ in found], [("data", "clear")] * 2)
        self.assertEqual(size, 2 * self.file.stat().st_size)

    def traced(self, *lines):
        self.file.write_text("".join(f"7 {line}\n" for line in lines))
        elsewhere, to_clients = disk.payloads_traced([self.file], CANARY, 1883)
        return [line.split(" ", 1)[1].strip() for line in elsewhere], to_clients

    def test_trace_of_clients(self):
        self.assertEqual(self.traced(f'sendto(9<TCP:[127.0.0.1:1883->127.0.0.1:2]>, "{CANARY}", 9) = 9',
                                     f'sendmsg(9<TCPv6:[[::1]:1883->[::1]:2]>, {{msg_iov=[{{"{CANARY}", 9}}]}}, 0) = 9',
                                     f'sendto(9<TCP:[4711]>, "{CANARY}", 9) = -1 EPIPE',
                                     'write(3</tmp/data.mdb>, "else", 4) = 4',
                                     'mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_SHARED, 7</tmp/lock.mdb>, 0) = 0x7',
                                     'mmap(NULL, 8192, PROT_READ, MAP_SHARED, 7</tmp/data.mdb>, 0) = 0x7',
                                     'mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE, 7</lib/c.so>, 0) = 0x7'),
                         ([], 3))

    def test_trace_of_anything_else(self):
        for line in (f'write(3</tmp/data.mdb>, "{CANARY}", 9) = 9',
                     f'pwrite64(3</tmp/data.mdb>, "\\0\\377{CANARY}", 9, 0 <unfinished ...>',
                     f'pwrite64(3</tmp/data.mdb>, "{CANARY.encode().hex()}", 9, 0) = 9',
                     'write(3</tmp/data.mdb>, "' + "".join(f"{c}\\000" for c in CANARY) + '", 9) = 9',
                     'write(3</tmp/data.mdb>, "' + "".join(f"\\x{ord(c):02x}" for c in CANARY) + '", 9) = 9',
                     f'sendto(4<UNIX-DGRAM:[5->6]>, "{CANARY}", 9) = 9',
                     f'sendto(4<UDP:[127.0.0.1:1883->127.0.0.1:514]>, "{CANARY}", 9) = 9',
                     f'sendto(4<TCP:[127.0.0.1:2->127.0.0.1:1883]>, "{CANARY}", 9) = 9',
                     f'sendto(4<TCP:[127.0.0.1:8080->127.0.0.1:2]>, "{CANARY}", 9) = 9',
                     f'writev(2</tmp/stderr>, [{{iov_base="{CANARY}", iov_len=9}}], 1) = 9',
                     'mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_SHARED, 7</tmp/data.mdb>, 0) = 0x7',
                     'sendfile(9<TCP:[127.0.0.1:8080->127.0.0.1:2]>, 3</tmp/data.mdb>, NULL, 9) = 9',
                     'io_uring_setup(8, {flags=0}) = 5'):
            self.assertEqual(self.traced(line), ([line], 0))


@unittest.skipUnless(shutil.which("strace"), "strace is not installed")
class Traced(unittest.TestCase):
    """What the real strace says of a program that leaks."""

    LEAKS = {
        "a file": "open('leak', 'w').write(canary)",
        "a map": "import mmap; f = open('leak', 'w+b'); f.truncate(99); mmap.mmap(f.fileno(), 99)[:7] = b'unknown'",
        "the log": "import sys; sys.stderr.write(canary)",
        "a datagram": "import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(canary.encode(), ('127.0.0.1', 9))",
        "a copy": "import os; open('a', 'w').write('x'); os.sendfile(os.open('b', 65), os.open('a', 0), 0, 1)",
        "in reverse": "open('leak', 'w').write(canary[::-1])",
        "in UTF-16": "open('leak', 'wb').write(canary.encode('utf-16-le'))",
    }

    def found(self, program):
        with tempfile.TemporaryDirectory() as folder:
            trace = pathlib.Path(folder) / "trace"
            subprocess.run(traced([sys.executable, "-c", f"canary = '{CANARY}'\n{program}"], trace), cwd=folder,
                           stderr=subprocess.DEVNULL, timeout=20, check=True)
            time.sleep(0.2)  # strace ends after the program
            return disk.payloads_traced([trace], CANARY, 1883)[0]

    def test_leaks(self):
        for name, program in self.LEAKS.items():
            with self.subTest(name):
                self.assertNotEqual(self.found(program), [])

    def test_none(self):
        self.assertEqual(self.found("open('x', 'w').write('nothing of it')"), [])


class Habits(unittest.TestCase):
    """Which libraries can be trusted with QoS 2. What mosquitto_sub does here is why it is used with QoS 1."""

    def copies(self, library):
        with tempfile.TemporaryDirectory() as folder:
            return habits.copies_given(library, folder)

    def test_paho_c(self):
        self.assertEqual(self.copies("paho_c"), 1)

    def test_paho_py(self):
        self.assertEqual(self.copies("paho_py"), 1)

    def test_mqttjs(self):
        self.assertEqual(self.copies("mqttjs"), 1)

    def test_mosquitto_repeats(self):
        self.assertEqual(self.copies("mosquitto"), 2)


class PublishersHabits(unittest.TestCase):
    """Which libraries can be trusted with QoS 2 as publishers; client_paho_py.py helps Paho for Python."""

    def sent(self, library):
        with tempfile.TemporaryDirectory() as folder:
            return [wire.TYPE_NAMES[kind] for kind in habits.sent_after_pubrel(library, folder)]

    def test_paho_c(self):
        self.assertEqual(self.sent("paho_c"), ["PUBREL"])

    def test_paho_py(self):
        self.assertEqual(self.sent("paho_py"), ["PUBREL"])

    def test_paho_py_publishes_again(self):
        with unittest.mock.patch.dict(os.environ, UNAIDED="1"):
            self.assertEqual(self.sent("paho_py"), ["PUBLISH"])

    def test_mqttjs(self):
        self.assertEqual(self.sent("mqttjs"), ["PUBREL"])

    def test_mosquitto(self):
        self.assertEqual(self.sent("mosquitto"), ["PUBREL"])


if __name__ == "__main__":
    unittest.main()
