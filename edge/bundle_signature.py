"""The gate to cryptography: bundles are signed with minisign, and the board checks by whom.

``manifest.json.minisig`` beside the manifest; the manifest holds the hash of every other file.
Ed25519 over the file's BLAKE2b-512 (``ED``, minisign's default), or over the file (``Ed``, older
ones); the trusted comment is signed together with the signature.

Source: minisign's documentation, "Signature format" and "Public key format".
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass
from pathlib import Path

from edge.bundle import MANIFEST, BundleError
from edge.config import Bundles
from sensor_adapters.settings import ConfigError

SUFFIX = ".minisig"
KEY_BYTES, SIGNED_BYTES, GLOBAL_BYTES = 42, 74, 64
COMMENT = "trusted comment: "


@dataclass(frozen=True)
class PublicKey:
    """Of whom bundles must be."""

    id: bytes
    """Eight bytes; minisign shows them backwards, in hexadecimal."""
    key: bytes

    @property
    def name(self) -> str:
        """As minisign shows it: a number, without zeros before it."""
        return f"{int.from_bytes(self.id, 'little'):X}"


def trusted(settings: Bundles) -> PublicKey | None:
    """Return the key that all bundles must be signed with; None where none is configured.

    Raises:
        ConfigError: it is no key of minisign, or the library that checks signatures is missing.
    """
    where, text = "bundles.public_key", settings.public_key
    if settings.public_key_file:
        where = f"bundles.public_key_file: {settings.public_key_file}"
        try:
            lines = Path(settings.public_key_file).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{where}: {error}, expected minisign's public key") from error
        text = next((one for one in lines if not one.startswith("untrusted comment:")), "")
    elif not text:
        return None
    try:
        raw = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != KEY_BYTES or raw[:2] != b"Ed":
        raise ConfigError(f"{where} is {text[:80]!r}, expected a public key of minisign (RW…)")
    try:
        import cryptography.hazmat.primitives.asymmetric.ed25519  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"{where}: found no {error.name}, expected the extra `signed`:"
            " pip install 'solosense[signed]'"
        ) from error
    return PublicKey(raw[2:10], raw[10:])


def check(folder: Path, by: PublicKey) -> str:
    """Return the trusted comment of a bundle that this key signed.

    Raises:
        BundleError: it is not signed, by another key, or was changed since.
    """
    path = folder / MANIFEST
    signature = folder / f"{MANIFEST}{SUFFIX}"
    try:
        content, text = path.read_bytes(), signature.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(
            f"{signature}: {error.strerror if isinstance(error, OSError) else error}, expected the"
            f" signature of key {by.name}: minisign -Sm {MANIFEST}"
        ) from error
    try:
        _, first, comment, second = text.splitlines()[:4]
        signed = base64.b64decode(first, validate=True)
        overall = base64.b64decode(second, validate=True)
    except ValueError as error:
        raise BundleError(f"{signature}: found no signature of minisign, expected one") from error
    kind, whose, sum_ = signed[:2], signed[2:10], signed[10:]
    fits = len(signed) == SIGNED_BYTES and len(overall) == GLOBAL_BYTES
    if not fits or kind not in (b"ED", b"Ed") or not comment.startswith(COMMENT):
        raise BundleError(f"{signature}: found no signature of minisign, expected one")
    if whose != by.id:
        raise BundleError(
            f"{signature}: signed with key {PublicKey(whose, b'').name}, expected {by.name}"
        )
    said = comment.removeprefix(COMMENT)
    message = hashlib.blake2b(content).digest() if kind == b"ED" else content
    if not _is_signed(by, sum_, message) or not _is_signed(by, overall, sum_ + said.encode()):
        raise BundleError(
            f"{signature}: the signature does not fit {MANIFEST}, expected one of key {by.name} for"
            " it: one of the two was changed, or it was not signed anew after an export"
        )
    return said


def _is_signed(by: PublicKey, signature: bytes, message: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(by.key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
