"""The broker dies while an account is deleted: what is left of it then goes at the next start."""

import os
import struct

import harness
from account import LASTING, AccountTest
from test_faults import behind

not_under = ("tsan",)


@harness.own_only("accounts")
class Death(AccountTest):
    """Behind a library that makes syncs slow: sessions are written by a thread of their own, which waits then."""

    def setUp(self):
        super().setUp()
        self.file = self.broker.root / "syncs"
        self.file.write_bytes(bytes(8))
        asan = os.environ.get("ASAN_OPTIONS", "")
        behind(self.broker, harness.tool("env"), f"LD_PRELOAD={harness.preload('syncs')}", f"SYNCS_FILE={self.file}",
               f"ASAN_OPTIONS={asan}:verify_asan_link_order=0")

    def slow(self, ms):
        with open(self.file, "r+b") as file:
            file.write(struct.pack("q", ms))

    def test_sessions_of_an_account_that_is_gone_end_at_the_start(self):
        self.broker.start()
        name, other = self.create(), self.create("bob@example.org")
        client = self.enter(name, "the password", "house", properties=LASTING)
        client.subscribe("t", 1)
        client.cut()
        self.enter(other, "the password", "stays", properties=LASTING).cut()
        self.slow(400)
        self.account("delete", name)
        self.broker.kill()  # the deletion was answered; that of the session's rows is not committed
        self.slow(0)
        self.broker.start()
        self.assertIn("2 sessions with 1 subscriptions", self.broker.log(), "it was too late: both were committed")
        for _ in range(2):
            self.assertFalse(self.enter(other, "the password", "house", clean=False).connack.session_present)
            self.assertTrue(self.enter(other, "the password", "stays", clean=False, properties=LASTING).connack.session_present)
            self.restart()

    def test_a_write_that_was_lost_ends_the_broker_whoever_wrote(self):
        self.broker.start()
        name = self.create()
        self.slow(-1)
        code, _, errors = self.ask("delete", name)
        self.assertEqual(code, 1)
        self.assertIn("the broker must be restarted", errors)
        self.assertEqual(self.broker.wait(), 1)
        self.assertIn("the store cannot be trusted any more", self.broker.log())
