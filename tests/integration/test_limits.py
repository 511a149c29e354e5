"""Limits of addresses and clients (docs/operations.md), and what is counted of logins."""

import re
import signal
import socket
import subprocess
import time

from harness import BrokerTest, OwnBrokerTest, eventually, free_port, own_only
from test_door import METRINO, another_address, metrino_passwd
from test_household import get
import wire


def is_open(sock):
    sock.settimeout(0.05)
    try:
        return sock.recv(1) != b""
    except TimeoutError:
        return True
    except ConnectionError:
        return False


def five_stay_open(socks):
    eventually(lambda: sum(map(is_open, socks)) == 5)


@own_only("its own key")
class HalfOpen(BrokerTest):
    config = "max_half_open 5\nconnect_timeout 2"
    workers = 2

    def dial(self, source):
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=10, source_address=(source, 0))
        self.addCleanup(sock.close)
        return sock

    def come_in(self, source):
        client = wire.Client(0, self.name("c"), dial=lambda: self.dial(source), version=4)
        self.addCleanup(client.cut)
        return client

    def test_some_may_wait_and_no_more(self):
        here, there = another_address(), another_address()
        waiting = [self.dial(here) for _ in range(8)]
        five_stay_open(waiting)
        self.come_in(there).ping()
        # Who has sent CONNECT does not count any more, nor who has gone, nor whose time is over.
        for sock in waiting:
            sock.close()
        clients = [eventually(lambda: self.try_to_come(here)) for _ in range(12)]
        for client in clients:
            client.ping()
        waiting = [self.dial(here) for _ in range(5)]
        time.sleep(2.5)
        eventually(lambda: self.try_to_come(here)).ping()

    def try_to_come(self, source):
        try:
            return self.come_in(source)
        except (ConnectionError, wire.Closed, AssertionError):
            return None


@own_only("its own listeners")
class BehindABalancer(OwnBrokerTest):
    """What counts is the address that the PROXY header tells."""

    def setUp(self):
        super().setUp()
        self.behind, self.admin = free_port(), free_port()
        self.passwords = self.broker.root / "passwords"
        metrino_passwd("-c", "-b", self.passwords, "bob", "right")
        self.broker.config = (f"listener {self.behind} 127.0.0.1\nenable_proxy_protocol 1\nproxy_protocol_from 127.0.0.1\n"
                              "allow_anonymous true\nallow_cleartext_password true\nargon2_memory 256\nargon2_time 1\n"
                              f"password_file {self.passwords}\nmax_half_open 5\nauth_fail_ban 5 1h\nworkers 2\n"
                              f"rate_address_messages 50\nadmin_listener {self.admin}\n")
        self.broker.start()

    def dial(self, address=None):
        sock = socket.create_connection(("127.0.0.1", self.behind), timeout=10)
        self.addCleanup(sock.close)
        if address:
            family = "TCP6" if ":" in address else "TCP4"
            sock.sendall(f"PROXY {family} {address} {address} 50000 1883\r\n".encode())
        return sock

    def come(self, address, **args):
        client = wire.Client(0, self.name("c"), dial=lambda: self.dial(address), **args)
        self.addCleanup(client.cut)
        return client

    def test_who_waits_counts_where_it_comes_from(self):
        silent = [self.dial() for _ in range(40)]  # the balancer's own, that have not told
        waiting = [self.dial("192.0.2.1") for _ in range(8)]
        five_stay_open(waiting)
        network = [self.dial(f"2001:db8::{number}") for number in range(8)]
        five_stay_open(network)
        clients = [self.come("192.0.2.2") for _ in range(12)]
        for client in clients:
            client.ping()
        # Not told: one of these may still become any address's.
        self.assertTrue(all(map(is_open, silent[:3])))
        for sock in silent[:3]:
            sock.sendall(b"PROXY TCP4 192.0.2.1 192.0.2.1 50000 1883\r\n")
        eventually(lambda: not any(map(is_open, silent[:3])))
        for sock in waiting:
            sock.close()
        eventually(lambda: self.still_open("192.0.2.1"))

    def still_open(self, address):
        sock = self.dial(address)
        return sock if is_open(sock) else None

    def test_clients_of_an_address_share_its_rate(self):
        begun, clients = time.monotonic(), [self.come("192.0.2.5") for _ in range(4)]
        for client in clients:
            for _ in range(30):
                client.publish("t", b"x", 0)
        for client in clients:  # 50 at once, and 70 more: from then on it is read again
            client.ping()
        self.assertGreater(time.monotonic() - begun, 1.2)
        elsewhere = [self.come(f"192.0.2.{number}") for number in range(10, 14)]
        for client in elsewhere:
            for _ in range(30):
                client.publish("t", b"x", 0)
            client.ping()
        pauses = re.search(r"^metrino_rate_pauses_total (\d+)", get(self.admin, "/metrics")[1], re.M)
        self.assertIn(int(pauses.group(1)), range(4, 71))

    def test_a_ban_is_of_the_address_that_was_told(self):
        answers = [self.come("192.0.2.3", user_name=f"eve{number}", password=b"wrong", expect=(0x86, 0x8a)).connack.reason
                   for number in range(7)]
        self.assertIn(0x8a, answers[5:])
        self.come("192.0.2.3", user_name="bob", password=b"right", expect=0x8a)
        self.come("192.0.2.4", user_name="bob", password=b"right").ping()
        listed = subprocess.run([METRINO, "ban", "--data", str(self.broker.data)], stdout=subprocess.PIPE, timeout=30, check=True,
                                text=True).stdout
        self.assertEqual(listed.split()[1:], ["failed_logins", "address", "192.0.2.3"])


@own_only("its own key")
class Reconnects(BrokerTest):
    config = "rate_reconnect 10"
    workers = 2

    def test_who_flaps(self):
        for _ in range(10):
            self.client("flaps").disconnect()
        refused = self.client("flaps", expect=0x9f, properties=wire.WORDS)
        self.assertIn("too often", refused.connack.get("reason_string"))
        self.client("flaps", version=4, expect=3)
        self.client("another").ping()


@own_only("its own key")
class SetByHup(OwnBrokerTest):
    """Limits that nothing asked for at the start, without a data directory that would ask for accounts."""

    def test_who_connects_too_often(self):
        self.broker.config = "persistence false\n"
        self.broker.start()
        self.broker.config += "rate_connect 2\n"
        self.broker.write_config()
        self.broker.signal(signal.SIGHUP)
        eventually(lambda: "was read again" in self.broker.log())
        here = another_address()
        socks = [socket.create_connection(("127.0.0.1", self.port), timeout=10, source_address=(here, 0)) for _ in range(8)]
        for sock in socks:
            self.addCleanup(sock.close)
        eventually(lambda: sum(map(is_open, socks)) < 8)


@own_only("its own key")
class Flapping(BrokerTest):
    config = "rate_reconnect 10\nreconnect_ban 5 1h"
    workers = 2

    def ban(self, *words):
        done = subprocess.run([METRINO, "ban", *words, "--data", str(self.broker.data)], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=30, check=False, text=True)
        return done.returncode, done.stdout

    def come(self, name, count=1):
        answers = []
        for _ in range(count):
            client = self.client(name, expect=(0, 0x9f, 0x8a))
            answers.append(client.connack.reason)
            client.cut()
        return answers

    def test_who_goes_on_is_banned_and_no_other(self):
        self.assertEqual(self.come("flaps\\", 10), [0] * 10)
        answers = self.come("flaps\\", 8)
        banned = answers.index(0x8a)  # one is forgotten every ten seconds
        self.assertEqual(answers, [0x9f] * banned + [0x8a] * (8 - banned))
        self.assertIn(banned, range(4, 7))
        refused = self.client("flaps\\", expect=0x8a, properties=wire.WORDS)
        self.assertIn("banned for a while", refused.connack.get("reason_string"))
        self.client("flaps\\", version=4, expect=5)
        # A fleet behind the same address that comes back at once is no flapping.
        self.assertEqual({reason for number in range(60) for reason in self.come(f"fleet{number}")}, {0})
        code, listed = self.ban()
        self.assertEqual((code, listed.split()[1:]), (0, ["connects_too_often", "client_id", "flaps\\x5c"]))
        self.assertIn(int(listed.split()[0]), range(3500, 3601))
        self.assertEqual(self.ban("lift-client", "flops"), (1, "Error: no ban of this client identifier\n"))
        self.assertEqual(self.ban("lift-client", "flaps\\"), (0, ""))
        self.assertEqual(self.ban(), (0, ""))
        self.assertEqual(self.come("flaps\\"), [0x9f])  # its minute is not over


@own_only("its own metrics")
class LoginMetrics(OwnBrokerTest):
    def test_by_result(self):
        passwords, admin = self.broker.root / "passwords", free_port()
        metrino_passwd("-c", "-b", passwords, "bob", "right")
        self.broker.config = f"password_file {passwords}\nadmin_listener {admin}\nargon2_memory 256\nargon2_time 1\nsys_interval 1\n"
        self.broker.start()

        def counts():
            lines = [line for line in get(admin, "/metrics")[1].splitlines() if line.startswith("metrino_logins_total{")]
            return {line.split('"')[1]: int(line.split()[1]) for line in lines}
        before = counts()
        self.client(user_name="bob", password=b"right").ping()
        for _ in range(3):
            self.client(user_name="bob", password=b"wrong", expect=0x86)
        self.client(user_name="bob", password=b"wrong", expect=0x97)  # it has to wait
        more = {name: count - before[name] for name, count in counts().items()}
        self.assertEqual(more, {"accepted": 1, "wrong": 3, "denied": 0, "wait": 1, "busy": 0, "banned": 0, "other": 0})
        reader = self.client(user_name=None)
        reader.subscribe("$SYS/broker/logins/+", 0)
        self.assertEqual({message.topic.rsplit("/", 1)[1] for message in reader.messages(2)}, {"accepted", "refused"})
