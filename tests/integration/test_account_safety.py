"""Accounts when something is wrong: nobody gets in who should not, nothing of them lies about, nothing is told by time."""

import base64
import contextlib
import hashlib
import pathlib
import signal
import socket
import time

import harness
from account import BAD_PASSWORD, LASTING, NOT_AUTHORIZED, AccountTest
from forms import forms_of

not_under = ("tsan",)


def own_address():
    """An address of this machine that is not loopback; None: there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent
            address = probe.getsockname()[0]
        except OSError:
            return None
    return None if address.startswith("127.") else address


@harness.own_only("accounts")
class FailOpen(AccountTest):
    """Whatever happens to the data: who has no account now does not get in."""

    def stays_out(self, *others):
        tries = [(None, None), ("", ""), ("", None), ("bob", "pw"), ("acct-0123456789abcdef", "pw"), ("acct-", "pw"),
                 ("key-0123456789abcdef", "pw"), ("acct-0123456789abcdef", ""), *others]
        for user, password in tries:
            self.assertIn(self.knock(user, password), (BAD_PASSWORD, NOT_AUTHORIZED), (user, password))

    def hup(self):
        before = self.broker.log().count("was read again")
        self.broker.signal(signal.SIGHUP)
        harness.eventually(lambda: self.broker.log().count("was read again") > before, what="the reload")

    def test_before_the_first_and_after_the_last_account(self):
        self.broker.start()
        self.stays_out()
        name = self.create()
        key, secret = self.add_key(name)
        self.stays_out()
        self.account("delete", name)
        self.stays_out((name, "the password"), (key, secret))
        self.hup()
        self.stays_out((name, "the password"), (key, secret))
        self.restart()
        self.stays_out((name, "the password"), (key, secret))

    def test_an_account_asks_for_its_password_also_where_anonymous_clients_come_in(self):
        self.broker.config += "allow_anonymous true\n"
        self.broker.start()
        self.assertEqual(self.knock("acct-0123456789abcdef", "pw"), BAD_PASSWORD, "there is no account at all")
        name = self.create()
        for _ in range(2):
            self.assertEqual(self.knock(name, "wrong"), BAD_PASSWORD)
            self.assertEqual(self.knock(name, None), BAD_PASSWORD)
            self.assertEqual(self.knock(name, "the password"), 0)
            self.assertEqual(self.knock("bob", "whatever"), 0, "a name that nobody proved, as ever")
            self.restart()
        self.account("delete", name)
        self.assertEqual(self.knock(name, "the password"), BAD_PASSWORD)

    def test_a_lost_database(self):
        self.broker.start()
        name = self.create()
        self.broker.stop()
        (self.broker.data / "data.mdb").unlink()
        self.broker.write_config()
        self.refuses_or_admits_nobody((name, "the password"))

    def refuses_or_admits_nobody(self, *others):
        """Gives what it said when it refused to start, or None."""
        before = len(self.broker.log())
        with contextlib.suppress(AssertionError):
            self.broker.start()
        harness.eventually(lambda: self.broker.process.poll() is not None or "is ready" in self.broker.log()[before:],
                           what="a start, or none")
        if self.broker.process.poll() is not None:
            self.broker.end_asked = True
            self.assertEqual(self.broker.process.returncode, 1)
            return self.broker.log()[before:]
        self.stays_out(*others)
        self.hup()
        self.stays_out(*others)
        self.broker.stop()
        return None

    def files(self):
        """Of the data directory: a start after damage may change others than the damaged one."""
        return {path: path.read_bytes() for path in self.broker.data.rglob("*") if path.is_file()}

    def test_a_damaged_database_or_keys(self):
        self.broker.start()
        name = self.create()
        self.broker.stop()
        for file in ("data.mdb", "keys.slots"):
            path, kept = self.broker.data / file, self.files()
            whole = kept[path]
            for damage in (b"", whole[:8192], b"acct-0123456789abcdef:pw\n" * 2000, bytes(len(whole)),
                           whole[:8192] + bytes(len(whole) - 8192), None):
                if damage is None:
                    path.chmod(0)  # and the broker does not serve as root
                else:
                    path.write_bytes(damage)
                with self.subTest(file=file, damage=damage and damage[:20]):
                    said = self.refuses_or_admits_nobody((name, "the password"))
                    self.assertTrue(said is None or file in said, said)
                    self.assertTrue(said or (file == "data.mdb" and not (damage or b"x" * (damage is None)).strip(b"\0")), "only what is empty is begun anew")
                for other, text in kept.items():
                    other.chmod(0o600)
                    other.write_bytes(text)
        self.broker.start()
        self.assertEqual(self.knock(name, "the password"), 0, "it was the damage that kept it out")

    def test_cleartext_is_refused_unless_permitted(self):
        """Off loopback; this machine's own address is as good as another's."""
        host = own_address()
        if host is None:
            self.skipTest("this machine has no address but loopback")
        for permitted in (False, True):
            broker = harness.Broker(self.config + f"allow_cleartext_password {str(permitted).lower()}\n", host="0.0.0.0")
            self.addCleanup(broker.finish)
            self.broker = broker.start()
            name = self.create()
            key, secret = self.add_key(name)
            for user, password in ((name, "the password"), (key, secret), (name, "wrong")):
                expected = NOT_AUTHORIZED if not permitted else 0 if password != "wrong" else BAD_PASSWORD
                self.assertEqual(self.knock(user, password, host=host, source=None), expected)
            self.assertEqual(self.knock(name, "the password", host="127.0.0.1"), 0)
            broker.stop()


@harness.own_only("accounts")
class Time(AccountTest):
    """Refusing takes the same time whether there is such an account or not, and whether it may log in."""

    config = "allow_anonymous false\nargon2_memory 16384\nargon2_time 1\nauth_threads 1\n"

    def processor_ms(self):
        """Of all the broker's threads: it does not grow with what else the machine does, as time does."""
        tasks = pathlib.Path(f"/proc/{self.broker.process.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text(encoding="ascii").split()[0]) for task in tasks) / 1e6

    def milliseconds(self, user, password):
        begin = self.processor_ms()
        self.assertEqual(self.knock(user, password), BAD_PASSWORD)
        return self.processor_ms() - begin

    def all_the_same(self, tries):
        """Tried in turn until the shortest times agree: busy caches only make them longer."""
        best = {}
        for _ in range(60):
            for user, password in tries:
                best[user] = min(self.milliseconds(user, password), best.get(user, 1e9))
            if max(best.values()) < 1.4 * min(best.values()):
                return best
        self.fail(f"refusing takes different times: {best}")

    def test_unknown_wrong_and_disabled(self):
        self.broker.start()
        name, disabled = self.create(), self.create("bob@example.org")
        bare = self.account("create", "--no-address", "--no-password").strip()
        self.account("disable", disabled)
        best = self.all_the_same(((name, "wrong"), ("acct-0123456789abcdef", "wrong"), (disabled, "the password"), (bare, "wrong")))
        self.assertGreater(best[name], 4, "so short that it tells nothing")

    def test_device_keys(self):
        self.broker.start()
        name = self.create()
        key, _ = self.add_key(name)
        disabled = self.create("bob@example.org")
        other, secret = self.add_key(disabled)
        self.account("disable", disabled)
        self.all_the_same(((key, "wrong"), ("key-0123456789abcdef", "wrong"), (other, secret)))


@harness.own_only("accounts")
class Bytes(AccountTest):
    """Data directory and log, byte by byte."""

    more = "log_type all\nconnection_messages true\n"
    ADDRESS, PASSWORD, OTHER = "Ann.Canary@Example.Org", "canary password 1", "canary password 2"

    def found(self, secrets):
        texts = {str(path): path.read_bytes() for path in self.broker.root.rglob("*")
                 if path.is_file() and path.name not in ("mail", "mailer")}
        self.assertIn(str(self.broker.data / "data.mdb"), texts)
        return {(secret, path) for secret in secrets for form in forms_of(secret) for path, text in texts.items()
                if form in text or form.lower() in text}

    def test_no_address_name_password_or_key(self):
        mail, mailer = self.broker.root / "mail", self.broker.root / "mailer"
        mailer.write_text(f"#!/bin/sh\ncat > {mail}.new && mv {mail}.new {mail}\n")
        mailer.chmod(0o755)
        self.broker.config += f"recovery_mailer {mailer}\n"
        self.broker.start()
        name = self.create(self.ADDRESS, self.PASSWORD, "--readwrite", "canary/topic/%c")
        key, secret = self.add_key(name, "--write", "canary/scope/#")
        self.enter(name, self.PASSWORD, "canary-client", properties=LASTING).cut()
        self.assertEqual(self.knock(key, secret), 0)
        self.assertEqual(self.knock(name, self.OTHER), BAD_PASSWORD)
        self.account("recover", lines=[self.ADDRESS])
        harness.eventually(mail.exists, what="the mail")
        code = mail.read_text().split("The code is ")[1].split()[0]
        self.account("recover", "--code", lines=[self.ADDRESS, code, self.OTHER])
        self.account("disable", name)
        secrets = [self.ADDRESS, self.ADDRESS.lower(), "Canary", name, self.PASSWORD, self.OTHER, key, secret, code,
                   "canary/topic", "canary/scope", "canary-client"]
        self.assertEqual(self.found(secrets), set())
        self.broker.stop()
        self.assertEqual(self.found(secrets), set())
        self.broker.start()
        self.account("delete", name)
        self.assertEqual(self.found(secrets), set())
        self.broker.stop()
        self.assertEqual(self.found(secrets), set())
        planted = self.broker.data / "planted"  # the same search finds what there is
        for text in (secret, secret.encode().hex(), base64.b64encode(b"xy" + secret.encode()).decode(),
                     hashlib.sha256(self.ADDRESS.lower().encode()).hexdigest()):
            planted.write_text(f"something {text} something")
            self.assertEqual(len({path for _, path in self.found(secrets)}), 1, text)


@harness.own_only("accounts")
class Recovery(AccountTest):
    SAID = "If there is an account with this address, a mail with a code is on its way.\n"

    def setUp(self):
        super().setUp()
        self.mail, mailer = self.broker.root / "mail", self.broker.root / "mailer"
        mailer.write_text(f"#!/bin/sh\ntest \"$1 $2\" = '-t -i' || exit 1\ncat > {self.mail}.new && mv {self.mail}.new {self.mail}\n")
        mailer.chmod(0o755)
        self.broker.config += f"recovery_mailer {mailer} -t  -i\n"

    def mailed_code(self):
        harness.eventually(self.mail.exists, what="the mail")
        text = self.mail.read_text()
        self.mail.unlink()
        self.assertTrue(text.startswith("To: <ann@example.org>\nSubject: "), text)
        return text.split("The code is ")[1].split()[0]

    def reset(self, code, password="a new one", address="ANN@example.org"):
        return self.ask("recover", "--code", lines=[address, code, password])

    def test_a_code_sets_the_password_once(self):
        self.broker.start()
        name = self.create()
        old = self.enter(name, "the password")
        self.assertEqual(self.account("recover", lines=["ann@example.org"]), self.SAID)
        code = self.mailed_code()
        wrong = self.reset(code[:-1] + ("0" if code[-1] != "0" else "1"))
        self.assertEqual(wrong[0], 1)
        self.assertEqual(self.knock(name, "the password"), 0)
        self.assertEqual(self.reset(code), (0, "", ""))
        self.assertEqual(old.ended(), NOT_AUTHORIZED)
        self.assertEqual(self.knock(name, "the password"), BAD_PASSWORD)
        self.assertEqual(self.knock(name, "a new one"), 0)
        self.assertEqual(self.reset(code, "a third one"), wrong)
        self.restart()
        self.assertEqual(self.knock(name, "a new one"), 0)

    def test_five_tries(self):
        self.broker.start()
        name = self.create()
        self.account("recover", lines=["ann@example.org"])
        code = self.mailed_code()
        for _ in range(5):
            self.assertEqual(self.reset("00000000")[0], 1)
        self.assertEqual(self.reset(code)[0], 1)
        self.assertEqual(self.knock(name, "the password"), 0)

    def test_the_answer_does_not_tell_who_is_there(self):
        self.broker.start()
        self.create()
        self.account("disable", self.create("bob@example.org"))
        self.account("recover", lines=["ann@example.org"])
        code = self.mailed_code()
        for address in ("ann@example.org", "eve@example.org", "bob@example.org", "no address"):
            self.assertEqual(self.ask("recover", lines=[address]), (0, self.SAID, ""))
        time.sleep(0.3)
        self.assertFalse(self.mail.exists(), "another code only after a minute, and none for others")
        self.assertEqual(self.reset(code, address="eve@example.org"), self.reset("00000000"))

    def test_nor_does_its_time(self):
        self.broker.start()
        known = [f"a{number}@example.org" for number in range(30)]
        for address in known:
            self.create(address)
        best = {True: 1e9, False: 1e9}

        def ask(there, address):
            begin = time.monotonic()
            self.assertEqual(self.ask("recover", lines=[address]), (0, self.SAID, ""))
            best[there] = min(best[there], time.monotonic() - begin)
            return abs(best[True] - best[False]) < 0.4 * best[False] + 0.002

        for address in known:  # one that gets a mail, and one that does not, in turn
            ask(True, address)
            if ask(False, f"x{address}"):
                return
        for number in range(100):  # who is known gets one mail a minute; the machine may have been busy with the others
            if ask(False, f"y{number}@example.org"):
                return
        self.fail(f"an address that is known takes another time: {best}")

    def test_a_mailer_that_takes_its_time_is_not_waited_for(self):
        self.broker.start()
        self.create()
        slow = self.broker.root / "mailer"
        slow.write_text(f"#!/bin/sh\nsleep 3\ncat > {self.mail}.new && mv {self.mail}.new {self.mail}\n")
        begin = time.monotonic()
        self.account("recover", lines=["ann@example.org"])  # reads its output to the end
        self.assertLess(time.monotonic() - begin, 2.5)
        self.mailed_code()

    def test_a_mailer_that_is_not_there(self):
        self.broker.start()
        self.create()
        (self.broker.root / "mailer").unlink()
        answers = {self.ask("recover", lines=[address])[:2] for address in ("ann@example.org", "eve@example.org")}
        self.assertEqual(answers, {(1, "")})

    def test_who_has_no_address_cannot_recover(self):
        self.broker.start()
        self.account("create", "--no-address", lines=["the password"])
        code, _, errors = self.ask("recover", lines=[""])
        self.assertEqual((code, errors), (1, "Error: the address is empty.\n"))
