"""Whose models run: bundles signed with minisign, keys made here, the real minisign where it is."""

import base64
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from edge import bundle as bundles, bundle_signature
from edge.bundle import MANIFEST, BundleError
from edge.bundle_signature import check, trusted
from edge.config import Bundles
from sensor_adapters.settings import ConfigError
from tests.live import BUNDLES, ROOT, site_of

ed25519 = pytest.importorskip(
    "cryptography.hazmat.primitives.asymmetric.ed25519", reason="needs the extra `signed`"
)


class Signer:
    """Who signs as minisign does."""

    def __init__(self, id_: bytes = b"12345678") -> None:
        self._id, self._key = id_, ed25519.Ed25519PrivateKey.generate()

    @property
    def public(self) -> str:
        raw = self._key.public_key().public_bytes_raw()
        return base64.b64encode(b"Ed" + self._id + raw).decode()

    def sign(self, folder: Path, kind: bytes = b"ED", comment: str = "for osaka") -> Path:
        content = (folder / MANIFEST).read_bytes()
        sum_ = self._key.sign(hashlib.blake2b(content).digest() if kind == b"ED" else content)
        overall = self._key.sign(sum_ + comment.encode())
        text = (
            "untrusted comment: anything\n"
            f"{base64.b64encode(kind + self._id + sum_).decode()}\n"
            f"trusted comment: {comment}\n{base64.b64encode(overall).decode()}\n"
        )
        path = folder / f"{MANIFEST}.minisig"
        path.write_text(text)
        return path


@pytest.fixture
def folder(tmp_path) -> Path:
    return Path(shutil.copytree(BUNDLES / "iot", tmp_path / "iot"))


def key(signer: Signer) -> bundle_signature.PublicKey:
    return of(Bundles(public_key=signer.public))


def of(settings: Bundles) -> bundle_signature.PublicKey:
    found = trusted(settings)
    assert found is not None
    return found


@pytest.mark.parametrize("kind", [b"ED", b"Ed"], ids=["prehashed", "legacy"])
def test_a_bundle_that_is_signed_is_taken(folder, kind):
    signer = Signer()
    signer.sign(folder, kind)
    assert check(folder, key(signer)) == "for osaka"


def test_a_bundle_that_is_not_signed_or_by_another_or_changed_since_is_refused(folder):
    signer = Signer()
    with pytest.raises(BundleError, match=r"expected the signature of key 3837363534333231"):
        check(folder, key(signer))
    Signer(b"another.").sign(folder)
    with pytest.raises(BundleError, match=r"signed with key 2E726568746F6E61, expected 38373"):
        check(folder, key(signer))
    Signer().sign(folder)  # of the same id, which is no proof
    with pytest.raises(BundleError, match="the signature does not fit"):
        check(folder, key(signer))
    path = signer.sign(folder)
    path.write_text(path.read_text().replace("for osaka", "for kyoto"))
    with pytest.raises(BundleError, match="the signature does not fit"):
        check(folder, key(signer))
    signer.sign(folder)
    manifest = folder / MANIFEST
    manifest.write_bytes(manifest.read_bytes() + b"\n")
    with pytest.raises(BundleError, match="the signature does not fit"):
        check(folder, key(signer))


@pytest.mark.parametrize(
    "text", ["", "?", "a\nb\nc\nd\n", "a\n\xff\nc\nd\n", "a\nRWQ=\ntrusted comment: x\nRWQ=\n"]
)
def test_what_is_no_signature_is_refused(folder, text):
    (folder / f"{MANIFEST}.minisig").write_text(text)
    with pytest.raises(BundleError, match="found no signature of minisign, expected one"):
        check(folder, key(Signer()))


def test_a_key_that_is_none_is_a_wrong_setting(tmp_path):
    file = tmp_path / "minisign.pub"
    file.write_text("untrusted comment: minisign public key\nRWQ=\n")
    for settings, says in (
        (Bundles(public_key="RWQ="), "bundles.public_key is 'RWQ='"),
        (Bundles(public_key_file=str(file)), "minisign.pub is 'RWQ='"),
        (Bundles(public_key_file=str(tmp_path / "none")), "No such file"),
    ):
        with pytest.raises(ConfigError, match=says):
            trusted(settings)


def test_without_the_library_a_key_is_a_wrong_setting(monkeypatch):
    public = Signer().public
    for name in [name for name in sys.modules if name.startswith("cryptography")]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError, match=r"pip install 'solosense\[signed\]'"):
        trusted(Bundles(public_key=public))


def started(folder: Path, settings: str) -> tuple[int, str]:
    site = folder.parent / "site.toml"
    kinds = dict.fromkeys(("scanner", "printer"), "event")
    kinds |= dict.fromkeys(("tape", "pen", "shelf", "back_table"), "state")
    text = site_of(1, "iot", {place.replace("_", ""): (k, place) for place, k in kinds.items()})
    site.write_text(text.replace(str(BUNDLES / "iot"), str(folder)) + settings)
    done = subprocess.run(
        [sys.executable, "-m", "edge", "run", str(site)],
        capture_output=True, text=True, cwd=ROOT, check=False, timeout=60,
    )  # fmt: skip
    return done.returncode, done.stderr


def test_a_board_that_trusts_a_key_does_not_start_with_a_bundle_of_nobody(folder):
    code, said = started(folder, f'[bundles]\npublic_key = "{Signer().public}"\n')
    assert code == 2
    assert "expected the signature of key" in said
    assert "Traceback" not in said


def test_what_minisign_signs_is_taken_and_what_is_changed_after_is_not(folder, tmp_path):
    if shutil.which("minisign") is None:
        pytest.skip("no minisign on this machine, expected one for this test")
    public, secret = tmp_path / "minisign.pub", tmp_path / "minisign.key"
    subprocess.run(
        ["minisign", "-G", "-W", "-p", public, "-s", secret], check=True, capture_output=True
    )
    for more in ([], ["-l"]):
        subprocess.run(
            ["minisign", "-S", *more, "-s", secret, "-m", folder / MANIFEST, "-t", "für Osaka"],
            check=True, capture_output=True, input=b"\n",
        )  # fmt: skip
        by = of(Bundles(public_key_file=str(public)))
        assert check(folder, by) == "für Osaka"
        assert by.name in public.read_text()
    bundles.write(folder, msgspec.structs.replace(bundles.load(folder).manifest, name="other"))
    with pytest.raises(BundleError, match="the signature does not fit"):
        check(folder, by)
    subprocess.run(
        ["minisign", "-S", "-s", secret, "-m", folder / MANIFEST], check=True, capture_output=True
    )
    assert check(folder, by)
    assert bundles.load(folder).manifest.name == "other", "signed anew, and all fits"
