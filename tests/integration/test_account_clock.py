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
        key, secret = self.add_key(self.create(), "--expires", "1h")
        device = self.enter(key, secret)
        self.await_jobs(2)
        self.assertEqual(device.ended(), NOT_AUTHORIZED)
        self.to_hour(0)
        self.assertEqual(self.knock(key, secret), BAD_PASSWORD)
        self.restart()
        self.assertEqual(self.knock(key, secret), BAD_PASSWORD)
