"""TLS: wrong files and keys that do not fit are said at the start."""

from harness import free_port, own_only
from test_tls import OwnTlsTest
import pki


@own_only("its clients get in without a word about a wrong configuration")
class StartErrors(OwnTlsTest):
    """What is wrong with a file is said with key and path, and the broker does not start."""

    abstract = False

    def fails(self, lines, *words, code=1):
        self.broker.config = f"listener {free_port()} 127.0.0.1\n{lines}"
        self.broker.write_config()
        got, said = self.broker.run_to_end()
        self.assertEqual(got, code, said)
        for word in words:
            self.assertIn(word, said)

    def test_files(self):
        own = f"certfile {self.certificate}\nkeyfile {self.key}\n"
        part = self.home / "part.crt"
        text = self.certificate.read_text()
        broken = text.replace(text[text.index("-----BEGIN") + 100:text.index("-----BEGIN") + 200], "A" * 100)
        part.write_text(text + broken)
        other = self.authority.sign("other")[1]
        locked = self.home / "locked.key"
        pki.run("ec", "-in", self.key, "-out", locked, "-aes256", "-passout", "pass:x")
        empty = self.home / "empty"
        empty.touch()
        strange = pki.Authority(self.home / "strange", "Another authority").revocations()
        rows = [
            (f"certfile /nowhere\nkeyfile {self.key}", "certfile", "/nowhere", "No such file"),
            (f"certfile {self.certificate}\nkeyfile /nowhere", "keyfile", "/nowhere", "No such file"),
            (f"certfile {part}\nkeyfile {self.key}", "part.crt", "1 of its certificates cannot be read"),
            (f"certfile {empty}\nkeyfile {self.key}", "no certificate"),
            (f"certfile {self.key}\nkeyfile {self.key}", "no certificate"),
            (f"certfile {self.certificate}\nkeyfile {self.certificate}", "no private key"),
            (f"certfile {self.certificate}\nkeyfile {other}", "is not the key of"),
            (f"certfile {self.certificate}\nkeyfile {locked}", "is encrypted"),
            (f"{own}cafile {part}\nrequire_certificate true", "cafile", "1 of its certificates"),
            (f"{own}capath {empty}\nrequire_certificate true", "capath", "Not a directory"),
            (f"{own}cafile {self.authority.certificate}\nrequire_certificate true\ncrlfile {empty}",
             "no revocation list"),
            (f"{own}cafile {self.authority.certificate}\nrequire_certificate true\ncrlfile {strange}",
             "none of the authorities"),
            (f"{own}ciphers RC4-MD5", "'RC4-MD5' is not a cipher"),
            (f"psk_hint h\npsk_file {empty}", "holds no key"),
        ]
        for lines, *words in rows:
            with self.subTest(lines=lines):
                self.fails(lines, *words)

    def test_keys_that_do_not_fit(self):
        own = f"certfile {self.certificate}\nkeyfile {self.key}\n"
        rows = [
            (f"certfile {self.certificate}", "certfile: stands there without keyfile"),
            (f"keyfile {self.key}", "keyfile: stands there without certfile"),
            (f"cafile {self.authority.certificate}", "cafile: means TLS"),
            ("require_certificate true", "require_certificate: means TLS"),
            (f"{own}require_certificate true", "can verify nothing"),
            (f"{own}use_identity_as_username true", "has nothing to take it from"),
            (f"{own}use_subject_as_username true", "has nothing to take it from"),
            (f"{own}cafile {self.authority.certificate}\nrequire_certificate true\nuse_subject_as_username true\n"
             "psk_hint x\npsk_file /nowhere", "use_subject_as_username: and psk_hint: who has a key shows no certificate"),
            ("enable_proxy_protocol 2\nuse_subject_as_username true",
             "use_subject_as_username: and `enable_proxy_protocol 2`: the load balancer's header tells no more"),
            ("enable_proxy_protocol 1\nrequire_certificate true", "require_certificate: means TLS"),
            ("enable_proxy_protocol 2\nuse_identity_as_username true", "has nothing to take it from"),
            (f"{own}tls_version tlsv1.3", "not offered by the library"),
            (f"{own}tls_version tlsv1.1", "refused, because it is broken"),
            ("psk_hint x", "psk_hint: stands there without psk_file"),
            ("psk_file /nowhere", "psk_file: is used by no listener"),
            ("ciphers ECDHE-ECDSA-AES128-GCM-SHA256", "ciphers: means TLS"),
        ]
        for lines, words in rows:
            with self.subTest(lines=lines):
                self.fails(lines, words, code=3)

    def test_test_config_reads_the_files(self):
        self.broker.config = f"listener {free_port()} 127.0.0.1\ncertfile /nowhere\nkeyfile {self.key}"
        self.broker.write_config()
        code, said = self.broker.run_to_end("--test-config")
        self.assertEqual(code, 3)
        self.assertIn("/nowhere", said)
