"""A broker with accounts, and `metrino account` on its control socket."""

import itertools
import os
import subprocess

import harness
import wire

METRINO = os.environ.get("METRINO") or str(harness.ROOT / "build" / "metrino")
NOT_AUTHORIZED, BAD_PASSWORD, BAD_CLIENT_ID, ADMINISTRATIVE = 0x87, 0x86, 0x85, 0x98
LASTING = [("session_expiry_interval", 600)]

addresses = itertools.count(2)


def another_address():
    """Of this machine: 127.0.0.0/8 is loopback."""
    number = next(addresses)
    return f"127.{os.getpid() % 250 + 1}.{number // 250}.{number % 250 + 1}"


class AccountTest(harness.OwnBrokerTest):
    config = "allow_anonymous false\nargon2_memory 256\nargon2_time 1\n"
    more = ""
    workers = 2

    def setUp(self):
        super().setUp()
        self.broker.config = self.config + self.more

    def ask(self, *words, lines=()):
        """Exit code, standard output and standard error of `metrino account`."""
        done = subprocess.run([METRINO, "account", *map(str, words), "--data", str(self.broker.data)], timeout=30, check=False,
                              input="".join(line + "\n" for line in lines), capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    def account(self, *words, lines=()):
        code, out, errors = self.ask(*words, lines=lines)
        self.assertEqual((code, errors), (0, ""), words)
        return out

    def create(self, address="ann@example.org", password="the password", *words):
        return self.account("create", *words, lines=(address, password)).strip()

    def add_key(self, name, *words):
        first, second = self.account("key", "add", name, *words).splitlines()
        return first.split()[1], second.split()[1]

    def knock(self, user, password, version=5, client_id=None, **args):
        """The CONNACK code. Each time from another address, so that nobody waits for failures of before."""
        args.setdefault("source", another_address())
        password = password.encode() if isinstance(password, str) else password
        with wire.Client(self.port, client_id or self.name(), version=version, user_name=user, password=password,
                         expect=tuple(range(256)), **args) as client:
            return client.connack.reason

    def enter(self, user, password, client_id=None, **args):
        """A client that stays."""
        args.setdefault("source", another_address())
        client = wire.Client(self.port, client_id or self.name(), user_name=user, password=password.encode(), **args)
        self.addCleanup(client.cut)
        return client

    def restart(self):
        self.assertEqual(self.broker.stop(), 0)
        self.broker.start()
