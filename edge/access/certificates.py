"""A small authority, the broker's certificate and one for each user, by the ``openssl`` command.

What is there and good is kept, keys always; what ends within ``RENEW_DAYS``, is for other names or
of another authority is signed anew.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from pathlib import Path

AUTHORITY_DAYS, DAYS = 3650, 825
RENEW_DAYS = 400
"""So that a run a year renews what would end before the next."""
LATE_DAYS = 60
"""Who keeps the authority's key elsewhere is asked for it no sooner than so long before an end."""
DAY_S = 86_400
CONFIG = """
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[one]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = {usage}
subjectAltName = {names}
"""


class CertificateError(Exception):
    """A certificate can not be made; the text says why."""


class Authority:
    """Certificates in a folder: ``ca.crt``, ``ca.key``, and what it signed."""

    def __init__(self, folder: Path, name: str) -> None:
        """Take the authority in a folder, or make it.

        Raises:
            CertificateError: there is no ``openssl``, or it fails.
        """
        self._folder, self.changed = folder, list[Path]()
        self.ca, self._ca_key = folder / "ca.crt", folder / "ca.key"
        if shutil.which("openssl") is None:
            raise CertificateError("found no openssl, expected the command to make certificates")
        if not self.ca.exists():
            key = self._key(self._ca_key)
            self._openssl(
                "req", "-x509", "-key", key, "-out", self.ca, "-subj", f"/CN={name}",
                "-days", AUTHORITY_DAYS, "-extensions", "authority",
            )  # fmt: skip
            self.changed.append(self.ca)

    def server(self, hosts: Iterable[str]) -> Path:
        """Return the broker's certificate, for all these names and addresses."""
        names = [f"IP:{one}" if _is_address(one) else f"DNS:{one}" for one in hosts]
        return self._signed(self._folder / "server.crt", "broker", "serverAuth", names)

    def client(self, user: str) -> Path:
        """Return a user's certificate; its common name is the user's."""
        path = self._folder / "clients" / f"{user}.crt"
        return self._signed(path, user, "clientAuth", [f"DNS:{user}"])

    def ends(self, path: Path) -> str:
        """Return until when a certificate is valid, as openssl says it."""
        return self._openssl("x509", "-in", path, "-noout", "-enddate").strip()[9:]

    def _signed(self, path: Path, name: str, usage: str, names: Sequence[str]) -> Path:
        if path.exists() and self._is_good(path, names):
            return path
        if not self._ca_key.exists():
            raise CertificateError(
                f"{self._ca_key} is not here, expected the authority's key to make {path.name};"
                " bring it back for as long as that takes"
            )
        key = self._key(path.with_suffix(".key"))
        with tempfile.TemporaryDirectory() as beside:
            request, serial = Path(beside) / "request", Path(beside) / "serial"
            self._openssl("req", "-new", "-key", key, "-out", request, "-subj", f"/CN={name}")
            self._openssl(
                "x509", "-req", "-in", request, "-out", path, "-days", DAYS,
                "-CA", self.ca, "-CAkey", self._ca_key,
                "-CAcreateserial", "-CAserial", serial, "-extensions", "one",
                usage=usage, names=", ".join(names),
            )  # fmt: skip
        self.changed.append(path)
        return path

    def _is_good(self, path: Path, names: Sequence[str]) -> bool:
        soon_s = (RENEW_DAYS if self._ca_key.exists() else LATE_DAYS) * DAY_S
        try:
            self._openssl("x509", "-in", path, "-noout", "-checkend", soon_s)
            self._openssl("verify", "-CAfile", self.ca, path)
            said = self._openssl("x509", "-in", path, "-noout", "-ext", "subjectAltName")
        except CertificateError:
            return False
        found = said.replace("IP Address:", "IP:").split("\n")[1].strip().split(", ")
        return [*map(_spelt, found)] == [*map(_spelt, names)]

    def _key(self, path: Path) -> Path:
        """Return a key for elliptic curve signatures (P-256), the one that is there if one is."""
        if not path.exists():
            kind = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
            self._openssl("genpkey", *kind, "-out", path)
            self.changed.append(path)
        return path

    def _openssl(
        self, *arguments: str | int | Path, usage: str = "clientAuth", names: str = "DNS:x"
    ) -> str:
        """Run openssl with settings of our own, not the system's; return what it prints."""
        with tempfile.NamedTemporaryFile("w", suffix=".cnf") as config:
            config.write(CONFIG.format(usage=usage, names=names))
            config.flush()
            settings: list[str] = []
            if "-CAkey" in arguments or arguments[0] == "req":
                settings = ["-extfile" if "-CAkey" in arguments else "-config", config.name]
            done = subprocess.run(
                ["openssl", *map(str, arguments), *settings], capture_output=True, text=True,
                check=False, umask=0o077, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        if done.returncode:
            raise CertificateError(f"openssl {arguments[0]}: {done.stderr.strip()}")
        return done.stdout


def _spelt(name: str) -> str:
    """Return a name as it is always spelt, which an address of IPv6 is not.

    >>> _spelt("IP:0:0:0:0:0:0:0:1")
    'IP:::1'
    """
    kind, _, host = name.partition(":")
    return f"IP:{ip_address(host)}" if kind == "IP" else name


def _is_address(host: str) -> bool:
    """Is this an IP address rather than a name?

    >>> _is_address("192.168.1.5"), _is_address("jetson-01")
    (True, False)
    """
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
