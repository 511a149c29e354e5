"""Of which hour a receipt is, while the audit log cannot be written and after it."""

import json
import re

import harness
from account import AccountTest
from test_audit_hours import HOUR_S, ClockTest

not_under = ("tsan",)

ANSWER = "$metrino/me/answer"


@harness.own_only("accounts")
class Receipts(ClockTest, AccountTest):
    abstract = False
    config = AccountTest.config

    def come(self, address):
        name = self.create(address)
        client = self.enter(name, "the password")
        client.subscribe(ANSWER)
        return name, client

    def erase(self, name, client):
        client.publish("$metrino/me/erase", name.encode(), 1)
        answer = json.loads(client.message().payload)
        self.assertTrue(answer["ok"])
        return answer

    def test_none_is_of_an_hour_that_is_over(self):
        self.start()
        persons = [self.come(f"{word}@example.org") for word in ("ann", "bob")]
        (self.log / "new").mkdir()  # what is written is written there first
        self.to_hour(1)
        harness.eventually(lambda: "administrative changes are refused" in self.broker.log(), what="the failure")
        answer = self.erase(*persons[0])
        self.assertNotIn("receipt", answer)
        self.assertIn("the receipts of this hour are not in the audit log", answer["no_receipt"])
        (self.log / "new").rmdir()
        self.account("list")  # whose use is written at once, and what waits with it
        receipt = self.erase(*persons[1])["receipt"]
        self.assertEqual(re.search("^hour ([0-9]+)$", receipt, re.M)[1], str((self.hour + 1) * HOUR_S))
