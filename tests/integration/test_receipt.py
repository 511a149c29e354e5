"""Receipts for erasures: given when an account is deleted, right without the broker, and nothing of them in the log."""

import base64
import hashlib
import re
import subprocess

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

import harness
from test_account import AccountTest
from test_audit import METRINO, complaint_of, run, verifier

not_under = ("tsan",)


def leaf(data):
    return hashlib.sha256(b"\0" + data).digest()


@harness.own_only("receipts")
class Receipts(AccountTest):
    def setUp(self):
        super().setUp()
        self.log = self.broker.data / "log"
        self.file = self.broker.root / "receipt"

    def erased(self, number=0):
        name = self.create(f"canary{number}@example.org")
        receipt = self.account("delete", name)
        self.file.write_text(receipt)
        return name, receipt

    def check(self, *words):
        return run(METRINO, "subject", "check-receipt", self.file, "--vkey", self.log / "vkey", *words)

    def test_right_without_the_broker(self):
        self.broker.start()
        name, receipt = self.erased()
        vkey = (self.log / "vkey").read_text().strip()
        self.assertEqual(self.broker.stop(), 0)
        (self.broker.root / "vkey").write_text(vkey)
        self.log.rename(self.broker.root / "away")
        done = run(METRINO, "subject", "check-receipt", self.file, "--vkey", vkey, "--name", name)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("an account was erased in the hour from", done.stdout.decode())
        self.assertNotIn(name, receipt)
        self.assertNotIn("canary", receipt)
        done = run(METRINO, "subject", "check-receipt", self.file, "--vkey", vkey, "--name", "acct-another")
        self.assertEqual(done.returncode, 1)
        self.assertIn("it is not about that name", done.stderr.decode())
        done = run(METRINO, "subject", "check-receipt", self.file, "--vkey", vkey, "--name", "")
        self.assertEqual(done.returncode, 1)
        self.assertIn("--name needs the name", done.stderr.decode())

    def test_that_cannot_be_written(self):
        """What is lost is said: there is no second one."""
        self.broker.start()
        name = self.create("canary@example.org")
        with open("/dev/full", "wb") as full:
            done = subprocess.run([METRINO, "account", "delete", name, "--data", str(self.broker.data)], stdout=full, stderr=subprocess.PIPE, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"could not be written to standard output", done.stderr)

    def test_by_another_tool(self):
        """The signed head is a note, the tail a proof, and the path leads from the secret to the root in the entry."""
        self.broker.start()
        _, receipt = self.erased()
        note, tail = re.match(r"(.*?\n\n.*?\n)\n(.*)", receipt, re.DOTALL).groups()
        name, key_id, key = verifier.read_vkey((self.log / "vkey").read_bytes())
        body, signature = note.encode().split(b"\n\n", 1)
        raw = base64.b64decode(signature.split()[2])
        self.assertEqual(raw[:4], key_id)
        Ed25519PublicKey.from_public_bytes(key).verify(raw[4:], body + b"\n")
        fields = dict(line.split(" ", 1) for line in body.decode().split("\n")[1:])
        head, proof = tail.split("\n\n", 1)
        node = leaf(base64.b64decode(re.search(r"^secret (\S+)$", head, re.MULTILINE).group(1)))
        index = int(fields["ticket"])
        for sibling in re.findall(r"^path (\S+)$", head, re.MULTILINE):
            other = base64.b64decode(sibling)
            node = verifier.node(other, node) if index & 1 else verifier.node(node, other)
            index >>= 1
        entry = base64.b64decode(re.search(r"^extra (\S+)$", proof, re.MULTILINE).group(1))
        self.assertEqual(base64.b64decode(fields["root"]), node)
        self.assertIn(b'"root":"%s"' % node.hex().encode(), entry)
        self.assertIn(entry, (self.log / "audit.jsonl").read_bytes().splitlines())

    def test_nothing_of_it_in_the_log(self):
        """The log has the same entries whether anybody was erased, and no part of a receipt but the root it had before."""
        self.broker.start()
        before = (self.log / "audit.jsonl").read_bytes()
        receipts = [self.erased(number)[1] for number in range(5)]
        added = (self.log / "audit.jsonl").read_bytes()[len(before):].splitlines()
        self.assertEqual([line for line in added if b'"event":"admin"' not in line], [])
        data = b"".join(path.read_bytes() for path in self.broker.data.rglob("*") if path.is_file())
        for receipt in receipts:
            for word in ("salt", "secret", "subject"):
                value = re.search(rf"^{word} (\S+)$", receipt, re.MULTILINE).group(1)
                raw = base64.b64decode(value)
                for form in (value.encode(), raw, raw.hex().encode()):
                    self.assertNotIn(form, data, word)
        self.assertEqual(len({re.search(r"^subject (\S+)$", receipt, re.MULTILINE).group(1) for receipt in receipts}), 5)
        self.assertIsNone(complaint_of(self.log))

    def test_refused(self):
        self.broker.start()
        name, receipt = self.erased()
        self.file.write_text(receipt.replace("account.erased", "data.erased"))
        self.assertIn("signature", self.check().stderr.decode())
        self.file.write_text(re.sub(r"salt \S+\n", "", receipt))
        self.assertEqual(self.check().returncode, 0)
        self.assertIn("does not tell whose", self.check("--name", name).stderr.decode())
        self.file.write_text("nothing")
        self.assertIn("not a receipt", self.check().stderr.decode())
        self.assertIn("--vkey", run(METRINO, "subject", "check-receipt", self.file).stderr.decode())

    def test_a_restart_has_others(self):
        self.broker.start()
        name, receipt = self.erased()
        self.assertEqual(self.broker.stop(), 0)
        self.broker.start()
        self.file.write_text(receipt)
        self.assertEqual(self.check("--name", name).returncode, 0)
        second = self.erased(1)[1]
        self.assertEqual(self.check().returncode, 0)
        root = re.compile(r"^root (\S+)$", re.MULTILINE)
        self.assertNotEqual(root.search(receipt).group(1), root.search(second).group(1))
