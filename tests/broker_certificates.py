"""Certificates made here, by openssl: of any authority, for any name, for any time."""

import os
import shutil
import subprocess
from datetime import datetime, timezone
from pathlib import Path

import pytest

CONFIG = """
[ca]
default_ca = here
[here]
dir = .
database = index.txt
new_certs_dir = .
serial = serial
default_md = sha256
policy = any
rand_serial = yes
unique_subject = no
[any]
commonName = supplied
[req]
distinguished_name = any_name
[any_name]
[authority]
basicConstraints = critical, CA:TRUE
[one]
subjectAltName = {names}
"""


class Authority:
    """An authority in a folder of its own; skips where there is no openssl."""

    def __init__(self, folder: Path, name: str = "an authority") -> None:
        if shutil.which("openssl") is None:
            pytest.skip("no openssl on this machine, expected one for this test")
        self._folder = folder
        folder.mkdir(parents=True)
        (folder / "index.txt").touch()
        self.ca = folder / "ca.crt"
        self._config("DNS:nobody")
        self._openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", "ca.key", "-out", "ca.crt", "-days", "3650", "-subj", f"/CN={name}",
            "-config", "openssl.cnf", "-extensions", "authority",
        )  # fmt: skip

    def _config(self, names: str) -> None:
        (self._folder / "openssl.cnf").write_text(CONFIG.format(names=names))

    def _openssl(self, *arguments: str) -> None:
        done = subprocess.run(
            ["openssl", *arguments], cwd=self._folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    def sign(
        self, name: str, names: str = "DNS:localhost, IP:127.0.0.1", years: tuple[int, int] = (0, 5)
    ) -> tuple[Path, Path]:
        """Return a certificate and its key; ``years`` from now between which it is valid."""
        self._config(names)
        this = datetime.now(timezone.utc).year
        start, end = (f"{this + year}0101000000Z" for year in years)
        self._openssl(
            "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}",
            "-config", "openssl.cnf",
        )  # fmt: skip
        self._openssl(
            "ca", "-batch", "-notext", "-config", "openssl.cnf", "-cert", "ca.crt",
            "-keyfile", "ca.key", "-in", f"{name}.csr", "-out", f"{name}.crt",
            "-startdate", start, "-enddate", end, "-extensions", "one",
        )  # fmt: skip
        return self._folder / f"{name}.crt", self._folder / f"{name}.key"


def listener(ca: Path, cert: Path, key: Path) -> str:
    """Return what tells mosquitto's listener to speak TLS."""
    who = "user root\n" if os.geteuid() == 0 else ""  # else it may not read what we made
    return f"cafile {ca}\ncertfile {cert}\nkeyfile {key}\n{who}"
