"""Passwords, secrets and addresses in the memory of the broker: gone once they were looked at."""

import os
import socket

from account import AccountTest
from harness import own_only
from test_memory import MemoryTest, filled


@own_only("accounts")
class Secrets(AccountTest, MemoryTest):
    abstract = False

    def setUp(self):
        super().setUp()
        self.token = os.urandom(8).hex().encode()
        self.word = filled(self.token, 160).decode()

    def ask_socket(self, line):
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(str(self.broker.data / "control.sock"))
            control.sendall(line.encode() + b"\n")
            self.assertIn(b'"error"', control.recv(65536))

    def test_accounts_and_logins(self):
        self.broker.start()
        name = self.create(f"{self.token.decode()}@example.org", self.word)
        self.gone()
        self.assertEqual(self.knock(name, self.word), 0)
        self.assertNotEqual(self.knock(name, self.word + "!"), 0)
        self.assertNotEqual(self.knock(f"nobody-{self.token.decode()}", self.word), 0)
        self.gone()

    def test_requests_that_are_refused(self):
        self.broker.start()
        for line in (f'{{"command":"accounts.create","address":"{self.word}","password":"{self.word}',
                     f'{{"command":"{self.word}"}}', f'{{"command":"accounts.create","address":["{self.word}"]}}',
                     f'{{"command":"accounts","{self.word}":"{self.word}","password":"{self.word}"}}'):
            self.ask_socket(line)
        self.gone()
