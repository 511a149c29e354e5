"""The rights of the person behind an account, for the operator and over MQTT; the export is read by what others wrote."""

import base64
import hashlib
import json
import signal
import subprocess
import time

import harness
import wire
from account import ADMINISTRATIVE, BAD_PASSWORD, LASTING, METRINO, NOT_AUTHORIZED, AccountTest

not_under = ("tsan",)

ANSWER = "$metrino/me/answer"


@harness.own_only("accounts")
class Subjects(AccountTest):
    more = "privacy_contact dpo@example.org\n"

    def subject(self, *words, lines=(), code=0):
        done = subprocess.run([METRINO, "subject", *words, "--data", str(self.broker.data)], timeout=30, check=False,
                              input="".join(line + "\n" for line in lines), capture_output=True, text=True)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stdout if code == 0 else done.stderr

    def document(self, note):
        """The JSON of an export; its form is that of a signed note."""
        body, signature = note.split("\n\n")
        first, text = body.split("\n", 1)
        self.assertEqual(first, "metrino export v1")
        self.assertRegex(signature, r"^— metrino/[0-9a-f]{16} [A-Za-z0-9+/=]+\n$")
        return json.loads(text)

    def test_logins_of_the_last_seconds_outlive_a_stop(self):
        self.broker.start()
        name = self.create()
        self.enter(name, "the password", "mine")
        self.assertEqual(self.broker.stop(), 0)
        self.broker.start()
        document = self.document(self.subject("export", name))
        self.assertEqual([line["result"] for line in document["logins"]], ["right"])

    def test_export_is_all_of_one_and_nothing_of_another(self):
        self.broker.start()
        name, other = self.create(), self.create("bob@example.org")
        key, secret = self.add_key(name, "--read", "a/#")
        self.account("grant", name, "readwrite", "b/#")
        self.enter(name, "the password", "mine", properties=LASTING)
        self.enter(key, secret, "mine-too", properties=LASTING).cut()
        self.enter(other, "the password", "not-mine", properties=LASTING)
        self.until_written(name)
        note = self.subject("export", name)
        document = self.document(note)
        self.assertEqual(document["account"]["name"], name)
        self.assertEqual(document["account"]["rights"], [{"access": "readwrite", "filter": "b/#"}])
        self.assertEqual([key], [line["id"] for line in document["device_keys"]])
        self.assertEqual({(line["client_id"], line["connected"]) for line in document["sessions"]},
                         {("mine", True), ("mine-too", False)})
        self.assertTrue(document["logins"])
        for row in document["logins"]:
            self.assertEqual((row["minute"] % 60, row["result"]), (0, "right"))
        self.assertEqual((document["region"], document["privacy_contact"]), ("EU", "dpo@example.org"))
        for word in (other, "not-mine", "ann@", secret):
            self.assertNotIn(word, note)
        self.assertEqual(self.document(self.subject("export", "--address", lines=["ANN@example.org"]))["account"],
                         document["account"])
        self.check_signature(note)

    def test_export_says_what_is_in_force(self):
        """Also of what a HUP has changed."""
        self.broker.start()
        name = self.create()
        self.broker.config = self.broker.config.replace("dpo@example.org", "other@example.org") + "region US\n"
        self.broker.write_config()
        self.broker.signal(signal.SIGHUP)
        harness.eventually(lambda: "was read again" in self.broker.log())
        document = self.document(self.subject("export", name))
        self.assertEqual((document["region"], document["privacy_contact"]), ("US", "other@example.org"))

    def until_written(self, name):
        """Rows of logins are written every ten seconds."""
        end = time.monotonic() + 30
        while not self.document(self.subject("export", name))["logins"]:
            self.assertLess(time.monotonic(), end)
            time.sleep(0.5)

    def check_signature(self, note):
        """By the verifier's key that lies in the log, with a library of others."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        vkey = (self.broker.data / "log" / "vkey").read_text(encoding="ascii").strip()
        name, number, key = vkey.split("+", 2)
        key = base64.b64decode(key)
        self.assertEqual(hashlib.sha256(name.encode() + b"\n" + key).digest()[:4].hex(), number)
        body, signature = note.split("\n\n")
        raw = base64.b64decode(signature.split()[2])
        self.assertEqual(raw[:4].hex(), number)
        public = Ed25519PublicKey.from_public_bytes(key[1:])
        public.verify(raw[4:], (body + "\n").encode())
        with self.assertRaises(Exception):
            public.verify(raw[4:], (body + "\n").encode().replace(b"false", b"true ", 1))

    def test_erased_at_once_with_a_receipt(self):
        self.broker.start()
        name, other = self.create(), self.create("bob@example.org")
        key, secret = self.add_key(name)
        mine = [self.enter(name, "the password", "one", properties=LASTING), self.enter(key, secret, "two")]
        stays = self.enter(other, "the password", "three")
        for number in range(20):  # at both homes
            mine[number % 2].publish(f"kept/{number}", b"x", 1, retain=True)
        stays.publish("kept/other", b"y", 1, retain=True)
        receipt = self.subject("erase", "--address", lines=["ann@example.org"])
        self.assertTrue(receipt.startswith("metrino receipt v1\nevent account.erased\n"), receipt)
        self.assertNotIn(name, receipt)
        self.assertEqual([client.ended() for client in mine], [ADMINISTRATIVE] * 2)
        stays.subscribe("kept/#", 1)
        self.assertEqual(stays.message().payload, b"y")
        stays.ping()
        self.assertEqual([packet for packet in stays.kept if packet.type == wire.PUBLISH], [])
        self.assertEqual(self.knock(name, "the password"), BAD_PASSWORD)
        self.assertIn("no account of this name", self.subject("export", name, code=1))
        self.restart()
        self.assertEqual(self.knock(key, secret), BAD_PASSWORD)

    def test_rectified_restricted_and_objected(self):
        self.broker.start()
        name = self.create()
        self.create("bob@example.org")
        self.subject("rectify", name, lines=["anna@example.org"])
        self.assertEqual(self.account("find", lines=["anna@example.org"]).strip(), name)
        self.assertEqual(self.ask("find", lines=["ann@example.org"])[0], 1)
        self.assertIn("another account has this address", self.subject("rectify", name, lines=["bob@example.org"], code=1))
        self.assertIn("no e-mail address", self.subject("rectify", name, lines=["bob"], code=1))
        for action, member in (("restrict", "restricted"), ("object", "objected")):
            for word, value in (("on", True), ("off", False), ("on", True)):
                self.subject(action, name, word)
                self.assertIs(self.document(self.subject("export", name))["account"][member], value)
        self.assertIn("either on or off", self.subject("restrict", name, "perhaps", code=1))
        self.restart()
        account = self.document(self.subject("export", name))["account"]
        self.assertTrue(account["restricted"] and account["objected"])

    def test_bad_arguments_say_what_is_right(self):
        for words, said in (((), "export, rectify, restrict"), (("dance",), "export, rectify, restrict"),
                            (("export",), "the name of the account"), (("restrict", "x"), "on or off"),
                            (("export", "x", "y"), "the name of the account"), (("export", "--data"), "a word behind"),
                            (("export", "x", "--client"), "a client identifier behind"),
                            (("export", "x", "--client", "a\nb"), "of one line"),
                            (("object", "x", "on", "--client", "a"), "is for export")):
            done = subprocess.run([METRINO, "subject", *words], timeout=10, check=False, capture_output=True, text=True)
            self.assertEqual(done.returncode, 1)
            self.assertIn(said, done.stderr)


@harness.own_only("accounts")
class Persons(AccountTest):
    """The same, asked for by the person over MQTT."""

    def ask_broker(self, client, action, payload=b"", reason=0):
        self.assertEqual(client.publish(f"$metrino/me/{action}", payload, 1,
                                        properties=[("correlation_data", b"17")]), reason)
        message = client.message()
        self.assertEqual(message.topic, ANSWER)
        self.assertIn(("correlation_data", b"17"), list(message.properties))
        return json.loads(message.payload)

    def test_asks_for_everything(self):
        self.broker.start()
        name = self.create()
        me = self.enter(name, "the password", "me")
        me.subscribe(ANSWER)
        answer = self.ask_broker(me, "export")
        self.assertIn(name, answer["export"])
        self.assertTrue(self.ask_broker(me, "rectify", b"anna@example.org")["ok"])
        self.assertEqual(self.account("find", lines=["anna@example.org"]).strip(), name)
        self.assertEqual(self.ask_broker(me, "restrict", b"on"), {"ok": True})
        self.assertEqual(self.ask_broker(me, "object", b"on"), {"ok": True})
        self.assertEqual(self.ask_broker(me, "object", b"?"), {"ok": False, "error": "this is either on or off"})
        self.assertFalse(self.ask_broker(me, "erase", b"yes")["ok"])
        me.ping()
        answer = self.ask_broker(me, "erase", name.encode())
        self.assertTrue(answer["receipt"].startswith("metrino receipt v1\n"))
        self.assertEqual(me.ended(), ADMINISTRATIVE)
        self.assertEqual(self.account("list"), "")

    def test_nobody_learns_whose_an_address_is(self):
        """The answer is the same, and so is what the person sees of it afterwards."""
        self.broker.start()
        name = self.account("create", "--no-address", lines=("the password",)).strip()
        other = self.create("bob@example.org")
        me = self.enter(name, "the password", "me")
        me.subscribe(ANSWER)
        seen = []
        for address in ("free@example.org", "bob@example.org", "bob@example.org"):
            answer = self.ask_broker(me, "rectify", address.encode())
            self.assertTrue(answer["ok"])
            seen.append((answer, '"has_address": true' in self.ask_broker(me, "export")["export"]))
        self.assertEqual(seen, [seen[0]] * 3)
        self.assertTrue(seen[0][1])
        self.assertEqual(self.account("find", lines=["bob@example.org"]).strip(), other)
        self.assertEqual(self.ask("find", lines=["free@example.org"])[0], 1)

    def test_a_device_may_not(self):
        self.broker.start()
        key, secret = self.add_key(self.create())
        device = self.enter(key, secret, "device")
        for action in ("export", "erase"):
            self.assertEqual(device.publish(f"$metrino/me/{action}", b"", 1), NOT_AUTHORIZED)
        device.subscribe(ANSWER, expect=[NOT_AUTHORIZED])

    def test_others_see_nothing_of_it(self):
        self.broker.start()
        name, other = self.create(), self.create("bob@example.org")
        watcher = self.enter(other, "the password", "watcher")
        watcher.subscribe("#", 1)
        watcher.subscribe(ANSWER)
        me = self.enter(name, "the password", "me")
        me.subscribe(ANSWER)
        self.ask_broker(me, "export")
        watcher.publish("end", b"", 1)
        self.assertEqual(watcher.message().topic, "end")
