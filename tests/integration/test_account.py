"""Accounts and their device keys, with clients of others: made, used, changed, deleted."""

import contextlib
import json
import pathlib
import socket
import subprocess
import threading
import time

import harness
from account import (ADMINISTRATIVE, BAD_CLIENT_ID, BAD_PASSWORD, LASTING, METRINO, NOT_AUTHORIZED, AccountTest)
from test_door import metrino_passwd


@harness.own_only("accounts")
class Accounts(AccountTest):
    def test_with_clients_of_others(self):
        self.broker.start()
        name = self.create()
        self.assertRegex(name, r"^acct-[0-9a-hjkmnp-tv-z]{16}$")
        for version in (4, 5):
            harness.mosquitto_pub(self.port, "-u", name, "-P", "the password", "-t", "t", "-m", "x", "-q", "1",
                                  version=version)
        paho = self.paho(login=(name, "the password"))
        paho.subscribe("t", 1)
        paho.publish("t", b"hello", 1)
        self.assertEqual(paho.message().payload, b"hello")
        for user, password in ((name, "the passworD"), (name, ""), ("acct-0123456789abcdef", "the password")):
            self.assertEqual(self.knock(user, password, version=4), 4, user)
            self.assertEqual(self.knock(user, password), BAD_PASSWORD, user)
        self.assertEqual(self.knock(name, None), BAD_PASSWORD)
        self.assertEqual(self.knock("ann@example.org", "the password"), NOT_AUTHORIZED, "an address is no user name")
        self.restart()
        self.assertEqual(self.knock(name, "the password"), 0)
        self.assertEqual(self.knock(name, "the passworD"), BAD_PASSWORD)

    def test_made_while_the_broker_starts(self):
        """The threads for passwords are there once: those of password_file, or of the first account."""
        passwords, made = self.broker.root / "passwords", []
        metrino_passwd("-c", "-b", passwords, "bob", "secret")
        self.broker.config += f"argon2_memory 65536\nauth_threads 2\npassword_file {passwords}\n"

        def make():
            path, end = self.broker.data / "control.sock", time.monotonic() + 30
            while not made and time.monotonic() < end:
                with contextlib.suppress(FileNotFoundError, ConnectionRefusedError), socket.socket(socket.AF_UNIX) as link:
                    link.connect(str(path))
                    link.sendall(b'{"command":"accounts.create"}\n')
                    made.append(json.loads(link.makefile().read())["ok"])

        maker = threading.Thread(target=make)
        maker.start()
        self.broker.start()
        maker.join()
        self.assertEqual(made, [True])
        tasks = pathlib.Path(f"/proc/{self.broker.process.pid}/task").iterdir()
        self.assertEqual(sum((task / "comm").read_text().startswith("login") for task in tasks), 2)

    def test_listed_without_addresses_and_found_by_them(self):
        self.broker.start()
        names = {self.create("Ann@Example.org"), self.create("bob@example.org")}
        nobody = self.account("create", "--no-address", "--no-password").strip()
        listed = self.account("list").splitlines()
        self.assertEqual({line.split()[0] for line in listed}, names | {nobody})
        self.assertIn(f"{nobody} 0 keys, no address, no password, no rights of its own", listed)
        self.assertNotIn("example", self.account("list", "--json").lower())
        self.assertIn(self.account("find", lines=["ANN@example.ORG"]).strip(), names)
        self.assertEqual(self.ask("find", lines=["eve@example.org"])[2], "Error: no account has this address\n")
        code, _, errors = self.ask("create", lines=["ann@EXAMPLE.org", "pw"])
        self.assertEqual((code, errors), (1, "Error: another account has this address\n"))
        self.assertEqual(self.knock(nobody, ""), BAD_PASSWORD)

    def test_bad_input_says_what_is_right(self):
        self.broker.start()
        name = self.create()
        for words, lines, said in (
                (["create", "ann@example.org"], ["x", "y"], "read from standard input"),
                (["create"], ["ann", "pw"], "that is no e-mail address"),
                (["create"], ["a@b\tx", "pw"], "that is no e-mail address"),
                (["create"], ["ann@example.com"], "there is no password"),
                (["create"], ["ann@example.com", ""], "the password is empty"),
                (["create", "--read", "a/#/b"], ["ann@example.com", "pw"], "topic filter that is not valid"),
                (["show"], [], "name is missing"),
                (["show", "bob"], [], "no account of this name"),
                (["grant", name, "all", "t"], [], "read, write, readwrite or deny"),
                (["withdraw", name, "t"], [], "no right for this topic filter"),
                (["key", "add", name, "--read", "a/#/b", "--read", "c", "--write", "d+"], [], "right 1: the right has"),
                (["key", "add", name, "--read", "a/#/b", "--read", "c", "--write", "d+"], [], "; right 3: the right has"),
                (["key", "add", name, "--expires", "soon"], [], "90d"),
                (["key", "revoke", "key-0"], [], "no device key of this id"),
                (["list", "--expires", "3d"], [], "no option of list"),
                (["recover"], ["ann@example.org"], "recovery_mailer is not configured"),
                (["dance"], [], "right would be create")):
            code, out, errors = self.ask(*words, lines=lines)
            self.assertEqual((code, out), (1, ""), words)
            self.assertIn(said, errors)
        self.assertEqual(self.account("list").splitlines(), [f"{name} 0 keys, no rights of its own"])

    def test_disabled_and_enabled(self):
        self.broker.start()
        name = self.create()
        key, secret = self.add_key(name)
        clients = [self.enter(name, "the password"), self.enter(key, secret)]
        self.account("disable", name)
        self.assertEqual([client.ended() for client in clients], [NOT_AUTHORIZED] * 2)
        self.assertIn("disabled", self.account("show", name))
        for _ in range(2):
            self.assertEqual(self.knock(name, "the password"), BAD_PASSWORD)
            self.assertEqual(self.knock(key, secret), BAD_PASSWORD)
            self.restart()
        self.account("enable", name)
        self.assertEqual(self.knock(name, "the password"), 0)
        self.assertEqual(self.knock(key, secret), 0)

    def test_another_password_closes_what_came_with_the_old_one(self):
        self.broker.start()
        name = self.create()
        key, secret = self.add_key(name)
        old, device = self.enter(name, "the password"), self.enter(key, secret)
        self.account("password", name, lines=["another one"])
        self.assertEqual(old.ended(), NOT_AUTHORIZED)
        device.ping()
        for _ in range(2):
            self.assertEqual(self.knock(name, "the password"), BAD_PASSWORD)
            self.assertEqual(self.knock(name, "another one"), 0)
            self.restart()

    def test_deleted_at_once_with_all_that_it_had(self):
        self.broker.start()
        name, other = self.create(), self.create("bob@example.org")
        key, secret = self.add_key(name)
        gone = [self.enter(name, "the password", "one", properties=LASTING), self.enter(key, secret, "two")]
        self.enter(name, "the password", "away", properties=LASTING).cut()
        stays = self.enter(other, "the password", "three", properties=LASTING)
        self.account("delete", name)
        self.assertEqual([client.ended() for client in gone], [ADMINISTRATIVE] * 2)
        stays.ping()
        self.assertEqual([line.split()[0] for line in self.account("list").splitlines()], [other])
        for _ in range(2):
            self.assertEqual(self.knock(name, "the password"), BAD_PASSWORD)
            self.assertEqual(self.knock(key, secret), BAD_PASSWORD)
            for client_id in ("one", "two", "away"):
                client = self.enter(other, "the password", client_id)
                self.assertFalse(client.connack.session_present)
            self.restart()
        self.assertEqual(self.account("find", lines=["bob@example.org"]).strip(), other)
        again = self.create()  # the address is free again
        self.assertNotEqual(again, name)

    def test_a_session_is_its_owners(self):
        self.broker.start()
        ann, bob = self.create(), self.create("bob@example.org")
        key, secret = self.add_key(ann)
        self.enter(ann, "the password", "house", properties=LASTING).cut()
        for _ in range(2):
            self.assertEqual(self.knock(bob, "the password", client_id="house"), BAD_CLIENT_ID)
            self.restart()
        resumed = self.enter(key, secret, "house", clean=False, properties=LASTING)  # the key is its account's
        self.assertTrue(resumed.connack.session_present)
        self.assertEqual(self.knock(bob, "the password", client_id="house"), BAD_CLIENT_ID)
        resumed.ping()

    def test_an_administrative_right_is_in_the_audit_log_once_an_hour(self):
        self.broker.start()
        minute = time.gmtime().tm_min
        names = [self.create(f"a{number}@example.org") for number in range(3)]
        self.add_key(names[0])
        self.account("delete", names[1])
        rights = [entry["right"] for entry in map(json.loads, (self.broker.data / "log/audit.jsonl").read_text().splitlines())
                  if entry["event"] == "admin"]
        if time.gmtime().tm_min < minute:
            self.skipTest("not possible here: the hour changed meanwhile")
        self.assertEqual(rights, ["account_create", "key_add", "account_delete"])


@harness.own_only("accounts")
class Rights(AccountTest):
    def test_granted_and_withdrawn(self):
        self.broker.start()
        name = self.create("ann@example.org", "the password", "--read", "in/#", "--write", "out/%c")
        client = self.enter(name, "the password", "c1")
        watcher = self.enter(name, "the password", "c2")
        watcher.subscribe("#")

        def may_write(topic):
            return client.publish(topic, "x", 1) != NOT_AUTHORIZED

        self.assertTrue(may_write("out/c1"))
        self.assertFalse(may_write("out/c2"))
        self.assertFalse(may_write("in/x"))
        self.account("grant", name, "readwrite", "in/#")
        self.account("grant", name, "deny", "in/secret")
        self.assertTrue(may_write("in/x"))
        self.assertEqual(watcher.message().topic, "in/x")
        self.assertFalse(may_write("in/secret"))
        for filter_ in ("in/#", "in/secret", "out/%c"):
            self.account("withdraw", name, filter_)
        self.assertFalse(may_write("out/c1"), "rights without a line allow nothing")
        self.assertEqual(self.account("show", name).splitlines()[1:], ["  nothing"])
        self.restart()
        client = self.enter(name, "the password", "c1")
        self.assertFalse(may_write("in/x"))

    def test_without_rights_all_topics(self):
        self.broker.start()
        client = self.enter(self.create(), "the password")
        client.subscribe("any/#")
        client.publish("any/thing", "x", 1)
        self.assertEqual(client.message().topic, "any/thing")

    def test_lines_for_users_are_not_for_accounts(self):
        rules = self.broker.root / "acl"
        rules.write_text("pattern readwrite home/%u\n")
        self.broker.config += f"acl_file {rules}\n"
        self.broker.start()
        name = self.create()
        rules.write_text(f"user {name}\ntopic readwrite user/line\npattern readwrite home/%u\n")
        self.restart()
        client = self.enter(name, "the password")
        self.assertEqual(client.publish("user/line", "x", 1), NOT_AUTHORIZED)
        self.assertNotEqual(client.publish(f"home/{name}", "x", 1), NOT_AUTHORIZED)

    def test_names_of_accounts_are_nobody_elses(self):
        """A pre-shared key of that identity, a user of password_file: what an account may is not theirs."""
        psk, port = self.broker.root / "psk", harness.free_port()
        psk.write_text(f"acct-0123456789abcdef:{'ab' * 32}\ndevice:{'cd' * 32}\n")
        self.broker.config += (f"psk_file {psk}\nlistener {port} 127.0.0.1\npsk_hint x\nuse_identity_as_username true\n"
                               "listener_allow_anonymous false\n")
        self.broker.start()
        for identity, secret, code in (("device", "cd", 0), ("acct-0123456789abcdef", "ab", 5)):
            done = subprocess.run([harness.tool("mosquitto_pub"), "-p", str(port), "--psk-identity", identity, "--psk",
                                   secret * 32, "-t", "t", "-m", "x", "-q", "1"], capture_output=True, timeout=30, check=False)
            self.assertEqual(done.returncode, code, done.stderr)
        passwords = self.broker.root / "passwords"
        harness.run_client([METRINO, "passwd", "--memory", "256", "--time", "1", "-c", "-b", passwords, "acct-0123456789abcdef",
                            "pw"])
        self.broker.stop()
        self.broker.config = f"{self.config}password_file {passwords}\n"
        self.broker.write_config()
        code, words = self.broker.run_to_end()
        self.assertEqual(code, 1)
        self.assertIn("passwords:1: the name has a form that only accounts", words)
        self.broker.end_asked = True


@harness.own_only("device keys")
class DeviceKeys(AccountTest):
    def test_used_and_revoked(self):
        self.broker.start()
        name = self.create()
        first, second = self.add_key(name), self.add_key(name)
        self.assertRegex(first[0], r"^key-[0-9a-hjkmnp-tv-z]{16}$")
        self.assertEqual(len(first[1]), 43)
        harness.mosquitto_pub(self.port, "-u", first[0], "-P", first[1], "-t", "t", "-m", "x", "-q", "1")
        clients = [self.enter(*first), self.enter(*second)]
        self.assertEqual(self.knock(first[0], second[1]), BAD_PASSWORD)
        self.assertEqual(self.knock("key-0123456789abcdef", first[1]), BAD_PASSWORD)
        self.assertEqual(self.knock(name, first[1]), BAD_PASSWORD, "a secret is no password")
        self.restart()
        clients = [self.enter(*first), self.enter(*second)]
        listed = self.account("key", "list", name)
        self.assertEqual({line.split()[0] for line in listed.splitlines()}, {first[0], second[0]})
        self.assertNotIn(first[1], listed)
        self.account("key", "revoke", first[0])
        self.assertEqual(clients[0].ended(), NOT_AUTHORIZED)
        clients[1].ping()
        for _ in range(2):
            self.assertEqual(self.knock(*first), BAD_PASSWORD)
            self.assertEqual(self.knock(*second), 0)
            self.restart()

    def test_scope(self):
        self.broker.start()
        name = self.create("ann@example.org", "the password", "--readwrite", "home/#")
        scoped = self.enter(*self.add_key(name, "--write", "home/up/#", "--readwrite", "other"))
        publisher = self.enter(*self.add_key(name, "--publish-only"))
        reader = self.enter(*self.add_key(name, "--subscribe-only"))
        for client in (scoped, publisher, reader):
            client.subscribe("home/#")
        allowed = {(client, topic): client.publish(topic, "x", 1) != NOT_AUTHORIZED
                   for client in (scoped, publisher, reader) for topic in ("home/up/1", "home/down", "other")}
        self.assertEqual(list(allowed.values()),
                         [True, False, False, True, True, False, False, False, False])
        self.assertEqual([reader.message().topic for _ in range(3)], ["home/up/1", "home/up/1", "home/down"])
        for client in (scoped, publisher):
            client.ping()
            self.assertFalse(client.kept, "it may not read")

    def test_one_that_ends(self):
        self.broker.start()
        name = self.create()
        key, lasting = self.add_key(name, "--expires", "3s"), self.add_key(name, "--expires", "1d")
        clients = [self.enter(*key), self.enter(*lasting)]
        self.assertEqual(clients[0].ended(10), NOT_AUTHORIZED)
        clients[1].ping()
        self.assertEqual(self.knock(*key), BAD_PASSWORD)
        self.assertEqual(self.knock(*lasting), 0)

    def test_a_key_of_an_account_without_password(self):
        self.broker.start()
        name = self.account("create", "--no-address", "--no-password").strip()
        self.assertEqual(self.knock(*self.add_key(name)), 0)
        self.assertEqual(self.knock(name, ""), BAD_PASSWORD)
