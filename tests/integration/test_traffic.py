"""`metrino traffic`: what became of deliveries, counted as they were made; and what of it is on the disk."""

import base64
import hashlib
import json
import os
import pathlib
import signal
import subprocess
import time
import unittest

from harness import ACCEPTED, COMMAND, OwnBrokerTest, eventually, own_only

METRINO = os.environ.get("METRINO") or str(pathlib.Path(COMMAND[0]).parent / "metrino")
LASTING = [("session_expiry_interval", 300)]


def traffic(broker, *words):
    """The broker's answer, one dict for each line."""
    command = [METRINO, "traffic", *words, "--json", "--data", str(broker.data)]
    done = subprocess.run(command, capture_output=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def delivered(lines, role=None):
    """By QoS, over all hours."""
    hours = [line["delivered"] for line in lines if "hour" in line and line.get("role") == role]
    return [sum(hour[qos] for hour in hours) for qos in range(3)]


def reasons(lines):
    return {(line["outcome"], line.get("role")): line["rows"] for line in lines if "meaning" in line}


def disguises(text):
    """As somebody who searches the disk would look for it."""
    raw = text.encode()
    forms = [raw, raw.hex().encode(), base64.b64encode(raw).rstrip(b"=")[:-1]]
    for name in ("md5", "sha1", "sha256"):
        digest = hashlib.new(name, raw).digest()
        forms += [digest[:8], digest.hex().encode()[:16]]
    return forms


@own_only("metrino traffic")
class Traffic(OwnBrokerTest):
    workers = 2
    config = "max_queued_messages 10\n" + ACCEPTED

    def setUp(self):
        super().setUp()
        self.broker.config = self.config
        self.broker.start()

    def test_every_delivery_is_told_once(self):
        """So many subscribers on both workers, each QoS: the sums are what was sent and acknowledged."""
        subscribers = []
        for i in range(12):
            client = self.client(f"canary-sub-{i}")
            client.subscribe("canarytopic/#", i % 3)
            subscribers.append(client)
        publishers = [self.client(f"canary-pub-{i}") for i in range(4)]
        for publisher in publishers:
            for qos in range(3):
                for _ in range(5):
                    publisher.publish("canarytopic/x", "canarypayload", qos)
        for client in subscribers:
            for _ in range(60):
                client.message()
        lines = eventually(lambda: sum(delivered(traffic(self.broker))) == 720 and traffic(self.broker), 10,
                           "720 rows")
        # Of 12 subscribers 4 have QoS 0, 4 have 1, 4 have 2; of 60 messages 20 are of each.
        self.assertEqual(delivered(lines), [4 * 60 + 8 * 20, 4 * 40 + 4 * 20, 4 * 20])
        self.assertEqual(reasons(lines), {})
        self.assertEqual(lines[-1]["delivered"], 720)
        one = traffic(self.broker, "client", "canary-sub-1", "--last", "1000")
        self.assertEqual(delivered(one, "subscriber"), [20, 40, 0])
        self.assertEqual(sum(line.get("clients", 0) for line in one), 4)
        rows = [line for line in one if "at_ms" in line]
        self.assertEqual(len(rows), 60)
        self.assertEqual([row["at_ms"] for row in rows], sorted(row["at_ms"] for row in rows))
        self.assertLess(abs(rows[-1]["at_ms"] / 1000 - time.time()), 60)
        one = traffic(self.broker, "client", "canary-pub-2")
        self.assertEqual(sum(delivered(one, "publisher")), 180)
        self.assertEqual(sum(line.get("clients", 0) for line in one), 12)
        busiest = [line for line in traffic(self.broker, "busiest", "--count", "16") if "pseudonym" in line]
        self.assertEqual(sorted(line["published"] for line in busiest)[-4:], [180] * 4)
        self.assertEqual(sum(line["received"] for line in busiest), 720)
        self.nothing_on_disk(busiest)

    def nothing_on_disk(self, busiest):
        """Neither who, nor what, nor what they are called in answers."""
        names = [f"canary-{kind}-{i}" for kind in ("sub", "pub") for i in range(4)]
        wanted = [form for name in names + ["canarytopic/x", "canarypayload"] for form in disguises(name)]
        for line in busiest:
            wanted += [bytes.fromhex(line["pseudonym"]), line["pseudonym"].encode()]
        kept = (self.broker.data / "data.mdb").read_bytes()
        files = [path for path in self.broker.data.rglob("*") if path.is_file()]
        self.assertGreater(block_heads(kept), 0, "there are no blocks: is this the file?")
        for path in files:
            content = path.read_bytes()
            for form in wanted:
                self.assertNotIn(form, content, path)

    def test_what_was_not_delivered(self):
        to = self.client("away", properties=LASTING)
        to.subscribe("t", 1)
        to.cut()
        eventually(lambda: traffic(self.broker), 5, "an answer")
        publisher = self.client("from")
        for qos in (0, 1):
            for _ in range(12):
                publisher.publish("t", "x", qos)
        lines = eventually(lambda: (r := traffic(self.broker, "client", "away"))[-1]["undelivered"] >= 14 and r, 5,
                           "rows")
        self.assertEqual(reasons(lines), {("qos0_away", "subscriber"): 12, ("queue_full", "subscriber"): 2})
        to = self.client("away", clean=False, properties=LASTING)
        for _ in range(10):
            to.message()
        lines = eventually(lambda: (r := traffic(self.broker, "client", "away"))[-1]["delivered"] == 10 and r, 5,
                           "deliveries")
        self.assertEqual(delivered(lines, "subscriber"), [0, 10, 0])

    def test_for_people(self):
        client = self.client("reader")
        client.subscribe("t")
        client.publish("t", "x")
        client.message()
        text = subprocess.run([METRINO, "traffic", "client", "reader", "--data", str(self.broker.data)],
                              capture_output=True, timeout=30, check=True).stdout.decode()
        self.assertRegex(text, r"HOUR \(UTC\) +AS +QOS 0")
        self.assertRegex(text, r"publisher +0 +[0-9a-f]{16} +delivered")
        self.assertRegex(text, r"2 deliveries, 0 not; recorded since 20\d\d-\d\d-\d\d")
        for words, complaint in ((["--hours", "25"], b"whole number up to 24"), (["client"], b"needs a word"),
                                 (["rows"], b"Unknown argument 'rows'"), (["--hours", "0"], b"from 1 to 24")):
            done = subprocess.run([METRINO, "traffic", *words, "--data", str(self.broker.data)],
                                  capture_output=True, timeout=30, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn(complaint, done.stderr)

    def test_a_restart_forgets(self):
        client = self.client("reader")
        client.subscribe("t")
        client.publish("t", "x")
        client.message()
        self.assertEqual(traffic(self.broker, "client", "reader")[-1]["delivered"], 2)
        self.broker.kill()
        self.broker.start()
        self.assertEqual(traffic(self.broker, "client", "reader")[-1]["delivered"], 0)

    def test_use_is_recorded(self):
        traffic(self.broker)
        log = (self.broker.data / "log" / "audit.jsonl").read_text()
        self.assertRegex(log, r'"right":"traffic"')

    def test_off_by_a_reload_needs_a_restart(self):
        """As the log says then, and the audit log: until that what is kept stays, and more of it is kept."""
        client = self.client("reader")
        client.subscribe("t")
        for deliveries in (2, 4):
            client.publish("t", "x")
            client.message()
            self.assertEqual(traffic(self.broker, "client", "reader")[-1]["delivered"], deliveries)
            self.broker.config = self.config + "\nroute_max_bytes 0\n"
            self.broker.write_config()
            self.broker.signal(signal.SIGHUP)
            eventually(lambda: "was read again" in self.broker.log())
            self.assertIn("route_max_bytes, to 0 or from 0: a change needs a restart", self.broker.log())
        log = (self.broker.data / "log" / "audit.jsonl").read_text()
        self.assertNotIn('"route_rows":"off"', log)
        self.broker.stop()
        self.broker.start()
        log = (self.broker.data / "log" / "audit.jsonl").read_text()
        self.assertIn('"route_rows":"off"', log)

    def test_off(self):
        self.broker.stop()
        self.broker.config = "route_max_bytes 0"
        self.broker.start()
        done = subprocess.run([METRINO, "traffic", "--data", str(self.broker.data)], capture_output=True, timeout=30,
                              check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"route_max_bytes is 0", done.stderr)


def block_heads(content):
    """Of sealed blocks of this hour or the one before: format 2, class 10, the hour."""
    hour = int(time.time()) // 3600
    return sum(content.count(bytes([2, 10]) + number.to_bytes(4, "big")) for number in (hour - 1, hour))


@own_only("route_expiry")
class Expiry(OwnBrokerTest):
    """A day's limit as some seconds: in real time, with the program as it is shipped."""

    workers = 2
    config = "route_expiry 16s"

    def test_gone_in_time(self):
        self.broker.config = self.config
        self.broker.start()
        client = self.client("reader", keep_alive=0)
        client.subscribe("t")
        client.publish("t", "old")
        client.message()
        self.assertEqual(traffic(self.broker, "client", "reader")[-1]["delivered"], 2)
        begun = time.time()
        time.sleep(8)
        client.publish("t", "new")
        client.message()
        self.assertEqual(traffic(self.broker, "client", "reader")[-1]["delivered"], 4)
        lines = eventually(lambda: (r := traffic(self.broker, "client", "reader"))[-1]["delivered"] == 2 and r, 12,
                           "the end of the first two")
        self.assertLess(time.time() - begun, 18)
        self.assertEqual(lines[-1]["kept_seconds"], 16)
        eventually(lambda: traffic(self.broker)[-1]["delivered"] == 0, 15, "the end of all")

    def test_longer_is_refused(self):
        self.broker.config = "route_expiry 25h"
        self.broker.write_config()
        code, output = self.broker.run_to_end("--test-config")
        self.assertNotEqual(code, 0)
        self.assertIn("24h", output)


if __name__ == "__main__":
    unittest.main()
