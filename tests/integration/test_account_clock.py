"""The end of a device key, under a clock that is set."""

import harness
from account import BAD_PASSWORD, NOT_AUTHORIZED, AccountTest
from test_audit_hours import ClockTest

not_under = ("tsan",)


@harness.own_only("accounts")
class KeyEnds(ClockTest, AccountTest):
    abstract = False
    config = AccountTest.config

    def test_a_key_that_ended_stays_so_when_the_clock_is_set_back(self):
        self.start()
        name = self.create()
        key, secret = self.add_key(name, "--expires", "1h")
        device = self.enter(key, secret)
        self.await_jobs(2)
        self.assertEqual(device.ended(), NOT_AUTHORIZED)
        self.to_hour(0)
        self.assertEqual(self.knock(key, secret), BAD_PASSWORD)
        code, _, said = self.ask("key", "add", name, "--expires", "1h")
        self.assertEqual(code, 1)
        self.assertIn("which it has been already", said)
        self.restart()
        self.assertEqual(self.knock(key, secret), BAD_PASSWORD)
