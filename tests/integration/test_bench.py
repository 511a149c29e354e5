"""`metrino bench`: against our broker and mosquitto, and through a proxy that plants faults."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import unittest

from harness import BrokerTest, ROOT, free_port
from test_cli import METRINO

not_under = ("tsan",)

SHORT = ["--duration", "0.25", "--warm-up", "0.05", "--json"]
TIMEOUT_S = 40
LOST, DUPLICATED, OUT_OF_ORDER = 33, 34, 36
FAULTS = ("lost", "duplicated", "out_of_order", "connections_lost", "sessions_lost", "refused", "foreign")


def bench(port, *args, env=None):
    """(exit status, result, words on the standard error)"""
    done = subprocess.run([*METRINO, "bench", "-p", str(port), *SHORT, *args], capture_output=True, timeout=TIMEOUT_S,
                          env=dict(os.environ, **(env or {})), check=False)
    return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr.decode()


class BenchTest(BrokerTest):
    abstract = True

    def faultless(self, *args, port=None):
        code, result, words = bench(port or self.port, *args)
        self.assertEqual(code, 0, words)
        self.assertEqual([result["faults"][name] for name in FAULTS], [0] * len(FAULTS), args)
        return result


class Bench(BenchTest):
    abstract = False

    def test_topologies(self):
        small = ["--publishers", "4", "--subscribers", "4"]
        for args in (["-q", "2", *small], ["-q", "1", "-V", "5", "--persistent", *small], ["-V", "31", *small],
                     ["--topology", "fan-out", "--subscribers", "9", "--size", "5000", "--window", "4"],
                     ["--topology", "fan-in", "-q", "1", "--publishers", "9", "--subscribers", "2"],
                     ["--topology", "wildcard", "--filters", "900"], ["--rate", "500", "-q", "1", *small]):
            with self.subTest(args=args):
                result = self.faultless(*args)
                self.assertGreater(result["phases"]["messages"]["count"], 100)
                latency = result["latency_us"]
                self.assertEqual(latency["count"], result["phases"]["messages"]["count"])
                self.assertTrue(0 < latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["max"], latency)

    def test_a_rate_is_kept(self):
        # 0.4 s at 1000/s; what arrives in that time may have been due a moment before it or after
        count = self.faultless("--rate", "1000", "--duration", "0.4")["phases"]["messages"]["count"]
        self.assertTrue(300 <= count <= 500, count)

    def test_the_brokers_costs(self):
        result = self.faultless("--topology", "idle", "--count", "500", "--idle-subscribe",
                                "--pid", str(self.broker.process.pid))
        connect, subscribe = result["phases"]["connect"], result["phases"]["subscribe"]
        self.assertEqual((connect["count"], subscribe["count"]), (500, 500))
        self.assertTrue(1 < connect["cpu_us_each"] < 10000, connect)
        self.assertGreater(result["broker_memory_bytes"], 1 << 20)

    def test_who_comes_and_goes(self):
        result = self.faultless("--topology", "connect", "--count", "10")
        self.assertGreater(result["phases"]["visit"]["count"], 50)
        for version in ("311", "5"):
            result = self.faultless("--topology", "sessions", "--count", "300", "-V", version)
            self.assertEqual(result["phases"]["resume"]["count"], 300)

    def test_nothing_is_left_at_the_broker(self):
        self.faultless("--topology", "retained", "--count", "700")
        self.faultless("--topology", "sessions", "--count", "20")
        self.faultless("--persistent", "-q", "1", "--publishers", "3")
        listed = subprocess.run([*METRINO, "clients", "--data", str(self.broker.data)], capture_output=True, check=True,
                                timeout=20)
        self.assertEqual(listed.stdout.decode().split(",")[1].strip(), "0 sessions")
        code, result, _ = bench(self.port, "--topology", "retained", "--count", "5")
        self.assertEqual((code, result["phases"]["replay"]["count"], result["faults"]["foreign"]), (0, 5, 0))

    def test_an_interrupt_ends_it_with_a_result(self):
        process = subprocess.Popen([*METRINO, "bench", "-p", str(self.port), "--duration", "30", "--warm-up", "0",
                                    "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        progress = b""
        while b" delivered, " not in progress and (more := os.read(process.stderr.fileno(), 4096)):
            progress += more
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        self.assertEqual(process.returncode, 0, progress + err)
        self.assertGreater(json.loads(out)["phases"]["messages"]["count"], 0)


class Refusals(BenchTest):
    abstract = False
    config = "max_connections 20"

    def test_nobody_there(self):
        code, _, words = bench(free_port())
        self.assertEqual((code, words), (1, "Error: Connection refused\n"))

    def test_no_such_process(self):
        code, _, words = bench(self.port, "--pid", "2147483647")
        self.assertEqual(code, 1)
        self.assertIn("There is no process 2147483647", words)

    def test_too_many_connections(self):
        code, result, words = bench(self.port, "--topology", "idle", "--count", "50")
        self.assertEqual((code, result), (1, None))
        self.assertIn("of 50 clients are connected", words)


class Mosquitto(unittest.TestCase):
    """Debian's, unpacked by scripts/mosquitto-unpack: bench is for any broker."""

    def setUp(self):
        command = ROOT / "build" / "mosquitto" / "mosquitto"
        if not command.exists() and subprocess.run([str(ROOT / "scripts" / "mosquitto-unpack")], capture_output=True,
                                                   check=False).returncode != 0:
            raise unittest.SkipTest("not possible here: Debian's mosquitto cannot be fetched")
        self.port = free_port()
        self.process = subprocess.Popen([str(command), "-p", str(self.port)], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        self.addCleanup(self.end)

    def end(self):
        self.process.kill()
        self.process.wait(10)

    def bench(self, *args):
        for _ in range(100):
            code, result, words = bench(self.port, *args)
            if "Connection refused" not in words:
                break
            time.sleep(0.05)
        self.assertEqual(code, 0, words)
        return result

    def test_pairs_and_sessions(self):
        for version, qos in (("311", "1"), ("5", "2")):
            result = self.bench("-q", qos, "-V", version, "--publishers", "4", "--window", "8",
                                "--pid", str(self.process.pid))
            self.assertGreater(result["phases"]["messages"]["count"], 100)
            self.assertGreater(result["phases"]["messages"]["cpu_us_each"], 0.5)
        self.assertEqual(self.bench("--topology", "sessions", "--count", "100")["phases"]["resume"]["count"], 100)


class PlantedFaults(BenchTest):
    """tests/chaos/proxy.py loses, repeats or reorders; it tells when, and bench must have seen it."""

    abstract = False

    def through_proxy(self, fault, qos):
        proxy = subprocess.Popen([sys.executable, str(ROOT / "tests" / "chaos" / "proxy.py"), str(self.port), "7", fault],
                                 stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            port = int(proxy.stdout.readline())
            code, result, _ = bench(port, "-q", str(qos), "--publishers", "3", "--window", "8")
        finally:
            proxy.kill()
            planted = proxy.stdout.read().decode().split()[::2].count(fault)
            proxy.stdout.close()
            proxy.wait(10)
        return code, result["faults"], planted

    def test_none(self):
        code, faults, _ = self.through_proxy("none", 1)
        self.assertEqual((code, faults["lost"], faults["duplicated"], faults["out_of_order"]), (0, 0, 0, 0))

    def test_losses(self):
        code, faults, planted = self.through_proxy("lose", 1)
        self.assertEqual((code, faults["lost"]), (LOST, planted))

    def test_repetitions(self):
        code, faults, planted = self.through_proxy("duplicate", 2)
        self.assertEqual((code, faults["duplicated"]), (DUPLICATED, planted))

    def test_another_order(self):
        code, faults, planted = self.through_proxy("reorder", 1)
        self.assertEqual((code, faults["out_of_order"]), (OUT_OF_ORDER, planted))


if __name__ == "__main__":
    sys.exit(f"run it with {pathlib.Path(__file__).with_name('run')} test_bench")
