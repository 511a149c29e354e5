"""Certificates for tests, made by openssl: an authority, what it signs, and what it revokes."""

import datetime
import pathlib
import ssl
import subprocess

CONFIG = """
[ca]
default_ca = here
[here]
dir = {home}
database = {home}/index.txt
serial = {home}/serial
crlnumber = {home}/crlnumber
new_certs_dir = {home}
certificate = {home}/ca.crt
private_key = {home}/ca.key
default_md = sha256
default_days = 30
default_crl_days = 30
policy = anything
unique_subject = no
copy_extensions = copy
[anything]
commonName = optional
organizationName = optional
countryName = optional
organizationalUnitName = optional
[req]
distinguished_name = none
string_mask = utf8only
utf8 = yes
[none]
"""


def run(*words):
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True, timeout=30, check=False)
    if done.returncode != 0:
        raise AssertionError(f"openssl {' '.join(map(str, words))[:200]}: {done.stderr.decode(errors='replace')[-1000:]}")
    return done.stdout


def utc(days):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)).strftime("%y%m%d%H%M%SZ")


class Authority:
    """Files of an authority in a folder of its own: ca.crt, and NAME.crt and NAME.key of each that it signs."""

    def __init__(self, home, name="Test authority"):
        self.home = pathlib.Path(home)
        self.home.mkdir(exist_ok=True)
        self.config = self.home / "openssl.cnf"
        self.config.write_text(CONFIG.format(home=self.home))
        (self.home / "index.txt").touch()
        (self.home / "serial").write_text("01\n")
        (self.home / "crlnumber").write_text("01\n")
        self.certificate = self.home / "ca.crt"
        self.key = self.home / "ca.key"
        run("req", "-config", self.config, "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", self.key, "-out", self.certificate, "-subj", f"/CN={name}", "-days", "3650",
            "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=keyCertSign,cRLSign")

    def sign(self, name, subject=None, alternative="", days=(-1, 30), kind=("ec", "ec_paramgen_curve:P-256")):
        """Gives the paths of a certificate and its key."""
        certificate, key, request = (self.home / f"{name}.{end}" for end in ("crt", "key", "csr"))
        extra = ["-addext", f"subjectAltName={alternative}"] if alternative else []
        run("req", "-config", self.config, "-new", "-newkey", kind[0], "-pkeyopt", kind[1], "-nodes", "-utf8",
            "-keyout", key, "-out", request, "-subj", subject or f"/CN={name}", *extra)
        run("ca", "-config", self.config, "-batch", "-notext", "-preserveDN", "-in", request, "-out", certificate,
            "-startdate", utc(days[0]), "-enddate", utc(days[1]))
        return certificate, key

    def server(self, name="server", **args):
        return self.sign(name, "/CN=localhost", "DNS:localhost,IP:127.0.0.1", **args)

    def revoke(self, certificate):
        run("ca", "-config", self.config, "-revoke", certificate)

    def revocations(self, days=30):
        """Writes a list of what is revoked; gives its path."""
        path = self.home / "ca.crl"
        run("ca", "-config", self.config, "-gencrl", "-crlhours", int(days * 24), "-out", path)
        return path

    def context(self, certificate=None, key=None):
        """A client's settings for Python's ssl module: trusts this authority."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        if certificate:
            context.load_cert_chain(certificate, key)
        return context
