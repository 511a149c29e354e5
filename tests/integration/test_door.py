"""Who comes in: password_file and acl_file, with files that mosquitto_passwd made and clients of others."""

import fcntl
import itertools
import os
import pathlib
import re
import signal
import subprocess
import time

import harness
import wire

METRINO = os.environ.get("METRINO") or str(harness.ROOT / "build" / "metrino")
CHEAP = ("--memory", "256", "--time", "1")


def mosquitto_passwd(*words):
    """Debian's tool, which is unpacked and not installed."""
    command = subprocess.run([harness.ROOT / "scripts" / "mosquitto-unpack"], stdout=subprocess.PIPE, check=True,
                             text=True, stderr=subprocess.DEVNULL).stdout.strip()
    folders = re.search(r"LD_LIBRARY_PATH=(\S+)", pathlib.Path(command).read_text()).group(1)
    harness.run_client([pathlib.Path(command).parent / "usr/bin/mosquitto_passwd", *map(str, words)],
                       env=dict(os.environ, LD_LIBRARY_PATH=folders))


def metrino_passwd(*words):
    harness.run_client([METRINO, "passwd", *CHEAP, *map(str, words)])


addresses = itertools.count(2)


def another_address():
    """Of this machine: 127.0.0.0/8 is loopback."""
    number = next(addresses)
    return f"127.{os.getpid() % 250 + 1}.{number // 250}.{number % 250 + 1}"


def knock(port, client_id, user, password, version, **args):
    """The CONNACK; the connection is closed."""
    password = password.encode() if password is not None else None
    with wire.Client(port, client_id, version=version, user_name=user, password=password, expect=tuple(range(256)),
                     **args) as client:
        return client.connack


class DoorTest(harness.OwnBrokerTest):
    """`passwords` and `acl` are the files' names in the broker's folder, which it starts with."""

    more = ""
    acl = None

    def setUp(self):
        super().setUp()
        self.passwords = self.broker.root / "passwords"
        self.acl_file = self.broker.root / "acl"
        lines = ["allow_anonymous false", "argon2_memory 256", "argon2_time 1", f"password_file {self.passwords}"]
        if self.acl is not None:
            self.acl_file.write_text(self.acl)
            lines.append(f"acl_file {self.acl_file}")
        self.broker.config = "\n".join(lines) + "\n" + self.more

    def comes_in(self, user, password, version=4, **args):
        """The CONNACK code. Each time from another address, so that nobody waits for failures of before."""
        args.setdefault("source", another_address())
        return knock(self.port, self.name(), user, password, version, **args).reason

    def in_folder_that_cannot_be_written(self):
        """Moves the passwords there."""
        if os.geteuid() == 0:
            self.broker.root.chmod(0o755)
        folder = self.broker.root / "fixed"
        folder.mkdir()
        self.passwords.rename(folder / "passwords")
        self.broker.config = self.broker.config.replace(str(self.passwords), str(folder / "passwords"))
        self.broker.hand_over()
        harness.run_client(["mount", "--bind", str(folder), str(folder)]) if os.geteuid() == 0 else folder.chmod(0o555)
        self.addCleanup(subprocess.run, ["umount", str(folder)], check=False)
        if os.geteuid() == 0:
            harness.run_client(["mount", "-o", "remount,ro,bind", str(folder)])

    def hup(self, said):
        """HUP, and waits until the log has said that once more."""
        before = self.broker.log().count(said)
        self.broker.signal(signal.SIGHUP)
        harness.eventually(lambda: self.broker.log().count(said) > before, what=f"'{said}' in the log")


@harness.own_only("its own password forms")
class Passwords(DoorTest):
    def make_all_kinds(self):
        mosquitto_passwd("-H", "sha512", "-c", "-b", self.passwords, "six", "secret6")
        mosquitto_passwd("-b", self.passwords, "seven", "secret7")
        metrino_passwd("-b", self.passwords, "argon", "secretA")

    def test_a_file_that_the_user_who_serves_may_not_read(self):
        """Root makes it with `metrino passwd`, and the broker is another user: --test-config knows."""
        metrino_passwd("-c", "-b", self.passwords, "bob", "secret")
        self.passwords.chmod(0)
        self.broker.write_config()
        for words in ((), ("--test-config",)):
            code, said = self.broker.run_to_end(*words)
            self.assertEqual(code, 3 if words else 1, said)
            self.assertRegex(said, r"password_file: .*/passwords: Permission denied for user \d+; right would be")

    def test_all_kinds_with_clients_of_others(self):
        self.make_all_kinds()
        self.broker.start()
        for user, password in (("six", "secret6"), ("seven", "secret7"), ("argon", "secretA")):
            for version in (4, 5):
                harness.mosquitto_pub(self.port, "-u", user, "-P", password, "-t", "t", "-m", "x", "-q", "1",
                                      version=version)
        for user, password in (("six", "secret7"), ("seven", ""), ("argon", "secreta"), ("nobody", "secret6"),
                               ("", "secret6")):
            self.assertEqual(self.comes_in(user, password), 4, user)
            self.assertEqual(self.comes_in(user, password, version=5), 0x86, user)
        self.assertEqual(self.comes_in(None, None), 5)
        self.assertEqual(self.comes_in(None, None, version=5), 0x87)

    def test_older_forms_are_hashed_anew_at_the_first_login(self):
        self.make_all_kinds()
        self.passwords.chmod(0o640)
        before = self.passwords.read_text().splitlines()
        self.broker.start()
        self.assertEqual(self.comes_in("six", "wrong"), 4)
        self.assertEqual(self.passwords.read_text().splitlines(), before)
        self.assertEqual(self.comes_in("six", "secret6"), 0)
        after = self.passwords.read_text().splitlines()
        self.assertTrue(after[0].startswith("six:$argon2id$v=19$m=256,t=1,p=4$"), after[0])
        self.assertEqual(after[1:], before[1:])
        self.assertEqual(self.passwords.stat().st_mode & 0o7777, 0o640)
        self.assertEqual(self.comes_in("six", "secret6"), 0)
        self.assertEqual(self.comes_in("six", "secret7"), 4)
        self.broker.stop()
        self.broker.start()
        self.assertEqual(self.comes_in("six", "secret6"), 0)

    def test_a_file_that_somebody_has_locked_holds_nobody_up(self):
        self.make_all_kinds()
        self.broker.start()
        with open(self.passwords, encoding="utf-8") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            for user, password in (("six", "secret6"), ("seven", "secret7"), ("argon", "secretA")):
                self.assertEqual(self.comes_in(user, password, timeout=5), 0)
        self.assertIn("is being changed by another program", self.broker.log())
        self.assertEqual(self.comes_in("six", "secret7"), 4)

    def test_a_file_that_cannot_be_written_is_said_once(self):
        self.make_all_kinds()
        self.in_folder_that_cannot_be_written()
        self.broker.start()
        for user, password in (("six", "secret6"), ("seven", "secret7"), ("six", "secret6")):
            self.assertEqual(self.comes_in(user, password), 0)
        self.assertEqual(self.broker.log().count("hashed anew in memory only"), 1)
        self.assertEqual(self.comes_in("six", "secret7"), 4)

    def test_neither_name_nor_password_is_in_the_log(self):
        self.make_all_kinds()
        self.broker.config += "log_type all\nconnection_messages true\n"
        self.broker.start()
        self.comes_in("six", "secret6")
        self.comes_in("curious", "hunter2hunter2")
        with open(self.passwords, "a", encoding="utf-8") as file:
            file.write("brokenuser:brokensecret\n")
        self.hup("the configuration of before stays in force")
        self.assertIn("passwords:4: the password is not", self.broker.log())
        self.broker.stop()
        for word in ("secret", "hunter2", "curious", "brokenuser", "seven", "argon:"):
            self.assertNotIn(word, self.broker.log())

    def test_who_left_the_file_is_disconnected_and_others_stay(self):
        self.make_all_kinds()
        self.broker.start()
        stays, goes = [self.client(version=5, user_name=user, password=password.encode())
                       for user, password in (("argon", "secretA"), ("six", "secret6"))]
        metrino_passwd("-D", self.passwords, "six")
        metrino_passwd("-b", self.passwords, "new", "secretN")
        self.assertEqual(self.comes_in("new", "secretN"), 4)
        self.hup("the configuration was read again")
        self.assertEqual(goes.ended(), 0x87)
        stays.ping()
        self.assertEqual(self.comes_in("six", "secret6"), 4)
        self.assertEqual(self.comes_in("new", "secretN"), 0)

    def test_cleartext_is_refused_unless_permitted(self):
        """Off loopback; this machine's own address is as good as another's."""
        host = own_address()
        if host is None:
            self.skipTest("this machine has no address but loopback")
        metrino_passwd("-c", "-b", self.passwords, "bob", "secret")
        for permitted in (False, True):
            broker = harness.Broker(self.broker.config + f"allow_cleartext_password {str(permitted).lower()}\n",
                                    host="0.0.0.0", folders=[self.broker.root])
            self.addCleanup(broker.finish)
            broker.host = "0.0.0.0"
            broker.start()
            connack = knock(broker.port, "c", "bob", "secret", 5, host=host, properties=wire.WORDS)
            self.assertEqual(connack.reason, 0 if permitted else 0x87)
            if not permitted:
                self.assertIn("not encrypted", connack.get("reason_string"))
                self.assertIn("allow_cleartext_password true", broker.log())
            broker.stop()


@harness.own_only("its own command")
class Bans(DoorTest):
    more = "auth_fail_ban 10 2h\n"

    def ban(self, *words):
        done = subprocess.run([METRINO, "ban", *words, "--data", str(self.broker.data)], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=30, check=False, text=True)
        return done.returncode, done.stdout

    def test_listed_and_lifted(self):
        metrino_passwd("-c", "-b", self.passwords, "bob", "secret")
        self.broker.start()
        here = another_address()
        self.assertEqual(self.ban(), (0, ""))
        reasons = [self.comes_in(f"user{number}", "wrong", version=5, source=here) for number in range(20)]
        wrong = reasons.index(0x8A)  # one is forgotten every four seconds
        self.assertEqual(reasons, [0x86] * wrong + [0x8A] * (20 - wrong))
        self.assertIn(wrong, range(10, 15))
        self.assertEqual(self.comes_in("bob", "secret", version=5, source=here), 0x8A)
        self.assertEqual(self.comes_in("bob", "secret", version=4, source=here), 5)
        self.assertEqual(self.comes_in("bob", "secret"), 0, "from another address")
        code, words = self.ban("list")
        self.assertEqual((code, words.split()[1:], int(words.split()[0]) <= 7200), (0, ["failed_logins", "address", here], True))
        self.assertEqual(self.ban("lift", "192.0.2.1"), (1, "Error: no ban of this address\n"))
        for word in ("bob", "192.0.2", "192.0.2.1/24", "2001:db8::/48"):
            code, words = self.ban("lift", word)
            self.assertEqual(code, 1)
            self.assertIn("that is no IP address; right would be", words)
        self.assertEqual(self.ban("lift", here), (0, ""))
        self.assertEqual(self.comes_in("bob", "secret", source=here), 0)
        self.assertEqual(self.ban(), (0, ""))

    def test_the_third_failure_is_followed_by_a_wait(self):
        metrino_passwd("-c", "-b", self.passwords, "bob", "secret")
        self.broker.start()
        here = another_address()
        reasons = [self.comes_in("bob", "wrong", version=5, source=here) for _ in range(4)]
        self.assertEqual(reasons, [0x86, 0x86, 0x86, 0x97])
        time.sleep(1.1)
        self.assertEqual(self.comes_in("bob", "secret", version=5, source=here), 0)


@harness.own_only("its own key")
class RateConnect(harness.OwnBrokerTest):
    config = "rate_connect 5\n"

    def test_connections_above_the_rate_are_closed(self):
        self.broker.start()
        here, closed = another_address(), 0
        for number in range(20):
            try:
                self.assertEqual(knock(self.port, f"c{number}", None, None, 4, source=here).reason, 0)
            except (OSError, AssertionError, wire.Closed):
                closed += 1
        self.assertGreaterEqual(closed, 10)
        self.assertEqual(knock(self.port, "c", None, None, 4, source=another_address()).reason, 0)
        time.sleep(1.1)
        self.assertEqual(knock(self.port, "c", None, None, 4, source=here).reason, 0)


def own_address():
    import socket
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: the kernel only chooses an address
            address = probe.getsockname()[0]
        except OSError:
            return None
    return None if address.startswith("127.") else address


GOOD = "bob:$6$4GZiTCBJdrxu3lep$c6tPn56Xz8L4gYLK9JVlYjVFLyaW6NAXu5/AWvO1e33+AkIWra2UL1cbTuVbGOguVvojvNFTQ5XnW+Hn/qlo5g==\n"
BROKEN_PASSWORDS = {
    "nothing": "",
    "blank": "\n\n",
    "a comment": "# bob:plain\n",
    "plain": "bob:plain\n",
    "no colon": "bob\n",
    "no password": "bob:\n",
    "no user": ":" + GOOD.split(":", 1)[1],
    "cut off": GOOD[:-20],
    "cut off behind a good line": GOOD + GOOD.replace("bob", "eve")[:-3],
    "no end": GOOD[:-1],
    "another kind": "bob:$1$abcdefgh$ijklmnopqrstuvwxyz\n",
    "a zero byte": GOOD + "\0\n",
    "bytes": "\x7fELF\x02\x01\x01\0\0\n",
    "twice": GOOD + GOOD,
}
BROKEN_ACLS = {
    "nothing": "",
    "blank": "\n \n",
    "a comment": "# topic readwrite #\n",
    "another word": "topics readwrite #\n",
    "another access": "topic all #\n",
    "not a filter": "topic readwrite a#\n",
    "no topic": "user bob\ntopic\n",
    "no user": "user\ntopic readwrite #\n",
    "cut off": "user bob\ntopic readwrite #\ntopic deny sec",
    "bytes": "\x7fELF\x02\x01\x01\0\0\n",
}


@harness.own_only("its own files")
class FailOpen(DoorTest):
    """Whatever is wrong with a file, nobody gets in by it: not by its own text, not by an empty name, not by any."""

    acl = "user bob\ntopic readwrite #\n"

    def tries(self, text):
        """What somebody may try who has seen the file, or knows nothing."""
        yield from ((None, None), ("", ""), ("", None), ("bob", None), ("bob", ""), ("eve", "eve"), ("root", "root"))
        for line in text.splitlines():
            user, _, password = line.partition(":")
            if all(c.isprintable() for c in line):
                yield from ((user, password), (line, line), (line, ""), (user, line))

    def test_refuses_to_start_with_broken_passwords(self):
        """[bad-inputs 72]"""
        for what, text in BROKEN_PASSWORDS.items():
            self.passwords.write_text(text)
            self.broker.write_config()
            for extra in ((), ("--test-config",)):
                code, words = self.broker.run_to_end(*extra)
                self.assertEqual(code, 3 if extra else 1, (what, words))
                self.assertRegex(words, r"password_file: \S*passwords(:\d+)?: ", what)

    def test_refuses_to_start_with_broken_rules(self):
        """[bad-inputs 72]"""
        self.passwords.write_text(GOOD)
        for what, text in BROKEN_ACLS.items():
            self.acl_file.write_text(text)
            self.broker.write_config()
            code, words = self.broker.run_to_end()
            self.assertEqual(code, 1, (what, words))
            self.assertRegex(words, r"acl_file: \S*acl(:\d+)?: ", what)

    def test_names_all_that_is_wrong_at_once(self):
        """At a test of the configuration, at the start and at a HUP: each line of both files, once."""
        acl = self.acl_file.read_text()
        broken = {self.passwords: "bob:plain\n" + GOOD.replace("bob", "eve") + "bob\n", self.acl_file: "topic all #\n" + acl + "what\n"}
        wrong = [f"password_file: {self.passwords}:1: ", f"password_file: {self.passwords}:3: ", f"acl_file: {self.acl_file}:1: ",
                 f"acl_file: {self.acl_file}:{acl.count(chr(10)) + 2}: "]

        def write(texts):
            for file, text in texts.items():
                file.write_text(text)
        write(broken)
        self.broker.config += "log_dest stderr\n"
        for extra in ((), ("--test-config",)):
            self.broker.write_config()
            code, words = self.broker.run_to_end(*extra)
            self.assertEqual(code, 3 if extra else 1, words)
            self.assertEqual([words.count(line) for line in wrong], [1] * len(wrong), words)
        write({self.passwords: GOOD, self.acl_file: acl})
        self.broker.start()
        write(broken)
        self.hup("the configuration of before stays in force")
        self.assertEqual([self.broker.log().count(line) for line in wrong], [1] * len(wrong), self.broker.log())

    def test_refuses_to_start_without_the_file(self):
        self.passwords.write_text(GOOD)
        for file in (self.passwords, self.acl_file):
            text = file.read_text()
            file.unlink()
            self.broker.write_config()
            code, words = self.broker.run_to_end()
            self.assertEqual(code, 1, words)
            self.assertIn(f"{file}: No such file", words)
            file.mkdir()
            self.assertIn("is not a file", self.broker.run_to_end()[1])
            file.rmdir()
            file.write_text(text)

    def test_a_reload_keeps_what_was_before(self):
        """[bad-inputs 72]: before and after, and never more than before."""
        self.passwords.write_text(GOOD)
        self.broker.config += "auth_fail_ban never\n"
        self.broker.start()
        first = self.acl_file.read_text()
        for broken, file, good in ((BROKEN_PASSWORDS, self.passwords, GOOD), (BROKEN_ACLS, self.acl_file, first)):
            for what, text in broken.items():
                file.write_text(text)
                self.hup("the configuration of before stays in force")
                for user, password in self.tries(text):
                    self.assertNotEqual(self.comes_in(user, password), 0, (what, user, password))
            file.unlink()
            self.hup("the configuration of before stays in force")
            for user, password in self.tries(""):
                self.assertNotEqual(self.comes_in(user, password), 0, (user, password))
            file.write_text(good)
        self.assertEqual(self.comes_in("bob", "secret"), 0)
        self.hup("the configuration was read again")
        self.assertEqual(self.comes_in("bob", "secret"), 0)


ACL = """topic read open/#
user bob
topic readwrite house/#
topic deny house/safe
user eve
topic write house/bell
pattern readwrite own/%u/%c
"""


@harness.own_only("refused publishes of 5.0 are answered")
class Rights(DoorTest):
    acl = ACL
    more = "allow_anonymous true\nack_when accepted\n"

    def setUp(self):
        super().setUp()
        self.passwords.write_text("")
        self.passwords.unlink()
        for option, user in (("-cb", "bob"), ("-b", "eve"), ("-b", "+")):
            metrino_passwd(*(["-c", "-b"] if option == "-cb" else [option]), self.passwords, user, user)
        self.broker.start()

    def user(self, name, version=5, client_id=None, **args):
        return self.client(client_id, version=version, user_name=name, password=name.encode(), **args)

    def test_mosquitto_clients_see_what_they_may(self):
        sub = harness.MosquittoSub(self.port, "-u", "bob", "-P", "bob", "-t", "#", count=2)
        self.addCleanup(sub.end)
        for topic in ("elsewhere", "house/safe", "house/door"):
            harness.mosquitto_pub(self.port, "-u", "bob", "-P", "bob", "-t", topic, "-m", topic, "-q", "1")
        for topic in ("house/door", "house/bell"):
            harness.mosquitto_pub(self.port, "-u", "eve", "-P", "eve", "-t", topic, "-m", "eve", "-q", "1")
        self.assertEqual(sub.finish(), ["house/door|0|0|house/door", "house/bell|0|0|eve"])

    def test_publishing_is_answered_by_version(self):
        for version, said in ((5, 0x87), (4, 0)):
            client = self.user("eve", version)
            self.assertEqual(client.publish("house/door", b"x", qos=1), said)
            self.assertEqual(client.publish("house/door", b"x", qos=2), said)
            self.assertIn(client.publish("house/bell", b"x", qos=1), (0, 0x10))

    def test_patterns_and_nobody(self):
        eve = self.user("eve", client_id="device7")
        self.assertEqual(eve.publish("own/eve/device7", b"x", qos=1), 0x10)
        self.assertEqual(eve.publish("own/eve/device8", b"x", qos=1), 0x87)
        self.assertEqual(eve.publish("own/bob/device7", b"x", qos=1), 0x87)
        odd = self.user("+", client_id="device9")  # [bad-inputs 21]
        self.assertEqual(odd.publish("own/eve/device9", b"x", qos=1), 0x87)
        odd = self.user("eve", client_id="+")
        self.assertEqual(odd.publish("own/eve/device9", b"x", qos=1), 0x87)
        nobody = self.client(version=5)
        self.assertEqual(nobody.publish("open/a", b"x", qos=1), 0x87)
        self.assertEqual(nobody.publish("house/bell", b"x", qos=1), 0x87)

    def test_a_reload_takes_and_gives(self):
        """[bad-inputs 63] and 5.0's answer before and after."""
        bob = self.user("bob", client_id="lasting", clean=True)
        bob.subscribe("house/#", qos=1)
        eve = self.user("eve")
        eve.publish("house/bell", b"1", qos=1)
        self.assertEqual(bob.expect(wire.PUBLISH).payload, b"1")
        self.acl_file.write_text("user eve\ntopic write house/#\nuser bob\ntopic read house/door\n")
        self.hup("the configuration was read again")
        harness.eventually(lambda: eve.publish("house/bell2", b"2", qos=1) != 0x87, what="the new right")
        self.assertEqual(eve.publish("house/door", b"3", qos=1), 0)
        self.assertEqual(bob.expect(wire.PUBLISH).payload, b"3")
        self.assertEqual(bob.publish("house/door", b"4", qos=1), 0x87)

    def test_a_retained_message_outlives_the_right(self):
        """[bad-inputs 49]: what was allowed when it was published stays, as the manual says."""
        eve = self.user("eve")
        eve.publish("house/bell", b"kept", qos=1, retain=True)
        self.acl_file.write_text("user bob\ntopic read #\n")
        self.hup("the configuration was read again")
        harness.eventually(lambda: eve.publish("house/bell", b"new", qos=1, retain=True) == 0x87)
        bob = self.user("bob")
        bob.subscribe("house/bell")
        self.assertEqual(bob.expect(wire.PUBLISH).payload, b"kept")
